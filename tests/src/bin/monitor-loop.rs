//! Measures the loop from kernel event to refused login in the running kernel.
//!
//! `monitor-loop --programs FOLDER --sshd FILE --json FILE --runs N
//! [--slowness N]`, as root.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use monitor_tests::facts::Facts;
use monitor_tests::stage::lock::Patience;
use monitor_tests::stage::{Settings, Shape, Stage, folder};
use monitor_tests::timeline::{Show, Timeline};
use monitor_tests::{bench, interrupt, poll};

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
    runs: Option<usize>,
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
                "--runs" => line.runs = Some(value.parse().context("--runs")?),
                "--slowness" => line.slowness = Some(value.parse().context("--slowness")?),
                _ => bail!("unknown: {flag}"),
            }
        }
        Ok(line)
    }
}

fn measure() -> Result<()> {
    let line = Line::read()?;
    interrupt::listen()?;
    poll::allow_slowness(line.slowness.unwrap_or(1));
    let settings = Settings {
        programs: line.programs.context("--programs FOLDER is missing")?,
        sshd: line.sshd.context("--sshd FILE is missing")?,
        name: format!("{}-loop", folder::PREFIX),
        patience: Patience::Wait(OTHERS_WITHIN),
        best_tier: None,
    };
    let json = line.json.context("--json FILE is missing")?;
    let timeline = Timeline::new(Show::Sessions);
    let mut stage = Stage::set(&settings, Shape::Scene)?;
    let facts = Arc::new(Facts::read(&stage.folder, Box::new(|_| {}))?);
    let measured = bench::run(
        &mut stage,
        &facts,
        &timeline,
        line.runs.context("--runs N is missing")?,
    );
    if measured.is_err() {
        for words in stage.services.last_words() {
            eprintln!("{words}");
        }
    }
    let down = stage.take_down();
    measured?.write(&json)?;
    down
}
