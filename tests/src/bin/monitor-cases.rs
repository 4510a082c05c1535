//! Plays cases in the running kernel: `docs/reference/cases.md`.
//!
//! `monitor-cases --cases FOLDER --programs FOLDER --sshd FILE --json FILE
//! [--built FOLDER] [--only ID[,ID]] [--slowness N] [--tier NAME]
//! [--own-machine]`, as root. The last one: this machine is thrown away
//! afterwards, so the stage may have accounts and rules in its /etc.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use monitor_tests::cases::{discover, runner};
use monitor_tests::interrupt;
use monitor_tests::stage::lock::Patience;
use monitor_tests::stage::{Settings, Shape, folder};

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
    cases: Option<PathBuf>,
    programs: Option<PathBuf>,
    sshd: Option<PathBuf>,
    json: Option<PathBuf>,
    built: Option<PathBuf>,
    only: Option<String>,
    slowness: Option<u32>,
    tier: Option<String>,
    own_machine: bool,
}

impl Line {
    fn read() -> Result<Self> {
        let mut line = Self::default();
        let mut words = std::env::args().skip(1);
        while let Some(flag) = words.next() {
            if flag == "--own-machine" {
                line.own_machine = true;
                continue;
            }
            let value = words
                .next()
                .with_context(|| format!("{flag} without a value"))?;
            match flag.as_str() {
                "--cases" => line.cases = Some(value.into()),
                "--programs" => line.programs = Some(value.into()),
                "--sshd" => line.sshd = Some(value.into()),
                "--json" => line.json = Some(value.into()),
                "--built" => line.built = Some(value.into()),
                "--only" => line.only = Some(value),
                "--tier" => line.tier = Some(value),
                "--slowness" => line.slowness = Some(value.parse().context("--slowness")?),
                _ => bail!("unknown: {flag}"),
            }
        }
        Ok(line)
    }
}

#[expect(clippy::print_stdout, reason = "the table is this program's result")]
fn play() -> Result<bool> {
    let line = Line::read()?;
    interrupt::listen()?;
    let run = runner::Run {
        settings: Settings {
            programs: line.programs.context("--programs FOLDER is missing")?,
            sshd: line.sshd.context("--sshd FILE is missing")?,
            name: format!("{}-cases", folder::PREFIX),
            patience: Patience::Wait(OTHERS_WITHIN),
            best_tier: line.tier,
        },
        cases: discover::cases(
            &line.cases.context("--cases FOLDER is missing")?,
            line.only.as_deref(),
        )?,
        built: line.built,
        shape: if line.own_machine {
            Shape::OwnMachine
        } else {
            Shape::Cases
        },
        slowness: line.slowness.unwrap_or(1).max(1),
    };
    let report = runner::run(&run, |text| println!("{text}"))?;
    println!("{}", report.sum());
    if let Some(error) = &report.error {
        println!("broken off: {error}");
    }
    if let Some(file) = line.json {
        report.write(&file)?;
    }
    Ok(report.is_good())
}
