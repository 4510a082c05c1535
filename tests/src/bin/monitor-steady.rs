//! Measures the whole pipeline at steady rates: `docs/reference/performance.md`.
//!
//! `monitor-steady --programs FOLDER --sshd FILE --json FILE --seconds N
//! --rate N...`, as root.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use monitor_tests::interrupt;
use monitor_tests::stage::lock::Patience;
use monitor_tests::stage::{Settings, folder};
use monitor_tests::steady::{self, Plan};

/// How long another stage is waited for.
const OTHERS_WITHIN: Duration = Duration::from_secs(20 * 60);

fn main() -> ExitCode {
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[derive(Default)]
struct Line {
    programs: Option<PathBuf>,
    sshd: Option<PathBuf>,
    json: Option<PathBuf>,
    seconds: Option<u64>,
    rates: Vec<u64>,
}

impl Line {
    fn read() -> Result<Self> {
        let mut line = Self::default();
        let mut words = std::env::args().skip(1);
        while let Some(flag) = words.next() {
            let value = words
                .next()
                .with_context(|| format!("{flag} without a value"))?;
            match flag.as_str() {
                "--programs" => line.programs = Some(value.into()),
                "--sshd" => line.sshd = Some(value.into()),
                "--json" => line.json = Some(value.into()),
                "--seconds" => line.seconds = Some(value.parse().context("--seconds")?),
                "--rate" => line.rates.push(value.parse().context("--rate")?),
                _ => bail!("unknown: {flag}"),
            }
        }
        Ok(line)
    }
}

#[expect(
    clippy::print_stdout,
    reason = "how it goes on is this program's result"
)]
fn measure() -> Result<()> {
    let line = Line::read()?;
    interrupt::listen()?;
    let settings = Settings {
        programs: line.programs.context("--programs FOLDER is missing")?,
        sshd: line.sshd.context("--sshd FILE is missing")?,
        name: format!("{}-steady", folder::PREFIX),
        patience: Patience::Wait(OTHERS_WITHIN),
        best_tier: None,
    };
    let json = line.json.context("--json FILE is missing")?;
    ensure!(!line.rates.is_empty(), "--rate N is missing");
    let plan = Plan {
        rates: line.rates,
        seconds: line.seconds.context("--seconds N is missing")?,
    };
    steady::run(&settings, &plan, |text| println!("{text}"))?.write(&json)
}
