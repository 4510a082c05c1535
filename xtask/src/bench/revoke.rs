//! The loop from a kernel event to a refused login: `cargo xtask bench revoke`.
//! Out: a table, JSON, `docs/reference/performance.md`.
//!
//! `monitor-loop`, a program of the tests, plays and measures; here it is built,
//! started as root or in a machine of its own, and its figures are shown.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use monitor_tests::bench::Loop;
use monitor_tests::steps::in_words;

use crate::cache::Project;
use crate::errand::{self, Errand};
use crate::host_build::{self, Profile};
use crate::kernels::Series;
use crate::player::{self, Player};
use crate::{document, process};

const PLAYER: &str = "monitor-loop";
const PAGE: &str = "docs/reference/performance.md";
/// Of a short run in CI.
const RUNS_OF_A_SMOKE: u16 = 3;
/// For each run in emulation, on a busy host.
const RUN_LIMIT: Duration = Duration::from_secs(90);
/// What a part may take, milliseconds in 99 of 100 runs.
const BARS: [(&str, f64); 2] = [("broker_asked", 50.0), ("last_process_gone", 50.0)];

#[derive(Debug, clap::Args)]
pub(super) struct RevokeArgs {
    /// Sessions that are cut off, one after another; 99 of 100 take 1000.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
    /// On a jump host in QEMU with this kernel instead of here; times are those
    /// of an emulated processor.
    #[arg(long, value_enum)]
    kernel: Option<Series>,
    /// Write the figures here, those of each run among them.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Put the table into `docs/reference/performance.md`.
    #[arg(long)]
    document: bool,
    /// The folder of programs that are built already.
    #[arg(long, hide = true, value_name = "FOLDER")]
    programs: Option<PathBuf>,
}

impl RevokeArgs {
    /// The steps of `test` with the same needs.
    pub(super) fn steps(&self) -> &'static [&'static str] {
        if self.kernel.is_some() {
            &["cases-6.1", "cases-6.12"]
        } else {
            &["cases-host"]
        }
    }
}

/// Measures, prints the table, writes what was asked for.
pub(super) fn run(project: &Project, args: &RevokeArgs) -> Result<ExitCode> {
    let programs = match &args.programs {
        Some(programs) => programs.clone(),
        None => host_build::build_all(project, Profile::Release)?.programs,
    };
    let (place, measured) = match args.kernel {
        Some(series) => (
            series.name(),
            in_machine(project, &programs, args.runs, series)?,
        ),
        None => ("host", here(project, &programs, args.runs)?),
    };
    measured.check()?;
    let table = table(&measured);
    process::say(&table);
    if let Some(file) = &args.json {
        measured.write(file)?;
    }
    if args.document {
        document::put(project, PAGE, &format!("bench revoke {place}"), &table)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A short run with the programs that tests use: every session is cut off, in
/// whatever time.
pub(crate) fn smoke(project: &Project, programs: &Path) -> Result<()> {
    here(project, programs, RUNS_OF_A_SMOKE)?.check()
}

fn here(project: &Project, programs: &Path, runs: u16) -> Result<Loop> {
    let player = Player {
        name: "bench-revoke",
        program: PLAYER,
        programs,
        words: vec!["--runs".to_owned(), runs.to_string()],
    };
    let (status, results) = player::run(project, player)?;
    if !status.success() {
        bail!("{PLAYER} failed with {status}: its last words are above");
    }
    read(&results)
}

fn in_machine(project: &Project, programs: &Path, runs: u16, series: Series) -> Result<Loop> {
    let errand = Errand {
        name: "bench-revoke",
        player: PLAYER,
        programs,
        folders: &[],
        words: format!("--runs {runs} --slowness {}", errand::SLOWNESS),
        limit: RUN_LIMIT.saturating_mul(u32::from(runs)),
    };
    read(&errand::run(project, &errand, series)?)
}

fn read(text: &[u8]) -> Result<Loop> {
    serde_json::from_slice(text).context("the player left no figures: its last words are above")
}

/// Writing to a string cannot fail.
fn table(measured: &Loop) -> String {
    let mut text = format!(
        "Linux {} ({} tier), {} processors ({}), {} sessions one after another:\n\n\
         | milliseconds from the kernel event to | p50 | p99 | max | bar, p99 | |\n\
         |---|---|---|---|---|---|\n",
        measured.kernel,
        measured.tier,
        measured.processors,
        measured.machine,
        measured.runs.len()
    );
    for part in &measured.parts {
        let bar = BARS.iter().find(|(name, _)| *name == part.name);
        let (bar, kept) = bar.map_or(("-".to_owned(), ""), |(_, bar)| {
            let kept = if part.p99_ms <= *bar {
                "kept"
            } else {
                "missed"
            };
            (format!("{bar:.0}"), kept)
        });
        _ = writeln!(
            text,
            "| {} | {:.1} | {:.1} | {:.1} | {bar} | {kept} |",
            in_words(&part.name),
            part.p50_ms,
            part.p99_ms,
            part.max_ms
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_become_a_table_that_says_which_bars_are_kept() {
        let part = |name: &str, p99_ms: f64| {
            format!(r#"{{"name":"{name}","runs":2,"p50_ms":1.25,"p99_ms":{p99_ms},"max_ms":60.5}}"#)
        };
        let text = format!(
            r#"{{"schema_version":1,"kernel":"6.12.1","processors":2,"machine":"QEMU","tier":"lsm","runs":[],"parts":[{},{},{}]}}"#,
            part("alert", 7.0),
            part("broker_asked", 50.0),
            part("last_process_gone", 50.5)
        );
        let table = table(&read(text.as_bytes()).unwrap());
        for line in [
            "Linux 6.12.1 (lsm tier), 2 processors (QEMU), 0 sessions one after another:",
            "| alert raised | 1.2 | 7.0 | 60.5 | - |  |",
            "| broker asked, the order being on disk | 1.2 | 50.0 | 60.5 | 50 | kept |",
            "| last process of the session gone | 1.2 | 50.5 | 60.5 | 50 | missed |",
        ] {
            assert!(table.lines().any(|found| found == line), "{table}");
        }
        assert!(read(b"").is_err());
    }
}
