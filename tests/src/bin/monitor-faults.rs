//! Has parts fail in the running kernel: `docs/reference/reliability.md`.
//!
//! `monitor-faults --programs FOLDER --sshd FILE --json FILE --rounds N --seed N
//! [--only FAMILY] [--slowness N]`, as root.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use monitor_tests::faults::{self, Family, Plan};
use monitor_tests::stage::lock::Patience;
use monitor_tests::stage::{Settings, folder};
use monitor_tests::{interrupt, poll};

/// How long another stage is waited for.
const OTHERS_WITHIN: Duration = Duration::from_secs(20 * 60);

fn main() -> ExitCode {
    match play() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
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
    rounds: Option<u64>,
    seed: Option<u64>,
    only: Vec<Family>,
    slowness: Option<u32>,
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
                "--rounds" => line.rounds = Some(value.parse().context("--rounds")?),
                "--seed" => line.seed = Some(value.parse().context("--seed")?),
                "--only" => line.only.push(Family::named(&value)?),
                "--slowness" => line.slowness = Some(value.parse().context("--slowness")?),
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
fn play() -> Result<bool> {
    let line = Line::read()?;
    interrupt::listen()?;
    poll::allow_slowness(line.slowness.unwrap_or(1));
    let settings = Settings {
        programs: line.programs.context("--programs FOLDER is missing")?,
        sshd: line.sshd.context("--sshd FILE is missing")?,
        name: format!("{}-faults", folder::PREFIX),
        patience: Patience::Wait(OTHERS_WITHIN),
        best_tier: None,
    };
    let json = line.json.context("--json FILE is missing")?;
    let families = if line.only.is_empty() {
        Family::ALL.to_vec()
    } else {
        line.only
    };
    let plan = Plan {
        families,
        rounds: line.rounds.context("--rounds N is missing")?,
        seed: line.seed.context("--seed N is missing")?,
    };
    let report = faults::run(&settings, &plan, |text| println!("{text}"))?;
    report.write(&json)?;
    Ok(report.is_good())
}
