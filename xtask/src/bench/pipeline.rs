//! Kernel, agent and collector together at steady rates: `cargo xtask bench
//! pipeline`. Out: a table, JSON, `docs/reference/performance.md`.
//!
//! `monitor-steady`, a program of the tests, plays and measures; here it is built,
//! started as root, and its figures are shown.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use monitor_tests::steady::{Report, Run, Usage};

use crate::cache::Project;
use crate::host_build::{self, Profile};
use crate::player::{self, Player};
use crate::{document, process};

const PLAYER: &str = "monitor-steady";
const PAGE: &str = "docs/reference/performance.md";
/// Of a short run in CI: connections a second, and seconds.
const SMOKE: (u32, u32) = (2_000, 2);
/// Who is looked at, and how.
type Row = (&'static str, fn(&Run) -> &Usage);
const WATCHED: [Row; 2] = [
    ("agent", |run| &run.agent),
    ("collector", |run| &run.collector),
];

#[derive(Debug, clap::Args)]
pub(super) struct PipelineArgs {
    /// Connections a second; may be repeated: a run each.
    #[arg(long, value_name = "N", default_values_t = [20_000, 50_000, 100_000], value_parser = clap::value_parser!(u32).range(1..))]
    rate: Vec<u32>,
    /// How long each run is; half an hour is 1800. A ledger takes 60 to 100 bytes for an event.
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=7200))]
    seconds: u32,
    /// Write the figures here.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Put the table into `docs/reference/performance.md`.
    #[arg(long)]
    document: bool,
    /// The folder of programs that are built already.
    #[arg(long, hide = true, value_name = "FOLDER")]
    programs: Option<PathBuf>,
}

/// Measures, prints the table, writes what was asked for.
pub(super) fn run(project: &Project, args: &PipelineArgs) -> Result<ExitCode> {
    let programs = match &args.programs {
        Some(programs) => programs.clone(),
        None => host_build::build_all(project, Profile::Release)?.programs,
    };
    let measured = here(project, &programs, &args.rate, args.seconds)?;
    let table = table(&measured);
    process::say(&table);
    if let Some(file) = &args.json {
        measured.write(file)?;
    }
    measured.check()?;
    if args.document {
        document::put(project, PAGE, "bench pipeline", &table)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A short run with the programs that tests use: nothing is lost, at whatever
/// rate.
pub(crate) fn smoke(project: &Project, programs: &Path) -> Result<()> {
    let (rate, seconds) = SMOKE;
    here(project, programs, &[rate], seconds)?.check()
}

fn here(project: &Project, programs: &Path, rates: &[u32], seconds: u32) -> Result<Report> {
    let mut words = vec!["--seconds".to_owned(), seconds.to_string()];
    for rate in rates {
        words.extend(["--rate".to_owned(), rate.to_string()]);
    }
    let player = Player {
        name: "bench-pipeline",
        program: PLAYER,
        programs,
        words,
    };
    let (status, results) = player::run(project, player)?;
    if !status.success() {
        bail!("{PLAYER} failed with {status}: its last words are above");
    }
    let read = serde_json::from_slice(&results);
    read.context("the player left no figures: its last words are above")
}

/// Writing to a string cannot fail.
fn table(measured: &Report) -> String {
    let mut text = format!(
        "Linux {}, {} processors ({}), work, agent and collector on them:\n\n",
        measured.kernel, measured.processors, measured.machine
    );
    let mut row = |name: &str, cell: &dyn Fn(&Run) -> String| {
        let cells: Vec<String> = measured.runs.iter().map(cell).collect();
        _ = writeln!(text, "| {name} | {} |", cells.join(" | "));
    };
    row("connections a second, asked for", &|run| {
        run.rate.to_string()
    });
    row("---", &|_| "---".to_owned());
    row("seconds", &|run| {
        (run.work.milliseconds / 1_000).to_string()
    });
    row("events", &|run| run.produced.to_string());
    row("events a second", &|run| {
        run.events_per_second().to_string()
    });
    row("stored once", &|run| run.stored.to_string());
    row("named gaps", &|run| run.gaps.to_string());
    row("lost, told twice", &|run| {
        format!("{}, {}", run.lost, run.twice)
    });
    row(
        "behind at the end, s: a read of a credential until it is found",
        &|run| format!("{:.2}", run.behind_ms / 1_000.0),
    );
    row("largest spool, MiB", &|run| mebibytes(run.spool_bytes_max));
    for (name, of) in WATCHED {
        row(&format!("processor time an event, µs: {name}"), &|run| {
            let tenths = run.processor_ns(of(run)) / 100;
            format!("{}.{}", tenths / 10, tenths % 10)
        });
        row(
            &format!("memory of the {name}, MiB: before, after a tenth, most, end"),
            &|run| {
                let used = of(run);
                let all = [
                    used.memory_before,
                    used.memory_early,
                    used.memory_max,
                    used.memory_end,
                ];
                all.map(mebibytes).join(", ")
            },
        );
    }
    text
}

fn mebibytes(bytes: u64) -> String {
    (bytes >> 20).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_become_a_table_with_a_column_for_each_rate() {
        let usage = r#"{"memory_before":1048576,"memory_early":2097152,"memory_max":4194304,
            "memory_end":3145728,"processor_ms":2500}"#;
        let run = format!(
            r#"{{"rate":1000,"work":{{"connects":10000,"programs":20,"milliseconds":10000}},"produced":10060,
            "stored":10050,"gaps":10,"lost":0,"twice":0,"behind_ms":250.0,"spool_bytes_max":2097152,
            "agent":{usage},"collector":{usage}}}"#
        );
        let text = format!(
            r#"{{"schema_version":1,"kernel":"6.12.1","processors":2,"machine":"QEMU","runs":[{run},{run}]}}"#
        );
        let report: Report = serde_json::from_str(&text).unwrap();
        report.check().unwrap();
        let table = table(&report);
        for line in [
            "| connections a second, asked for | 1000 | 1000 |",
            "| events a second | 1006 | 1006 |",
            "| lost, told twice | 0, 0 | 0, 0 |",
            "| memory of the agent, MiB: before, after a tenth, most, end | 1, 2, 4, 3 | 1, 2, 4, 3 |",
            "| processor time an event, µs: collector | 248.5 | 248.5 |",
        ] {
            assert!(table.lines().any(|found| found == line), "{table}");
        }
        let mut lossy = report;
        lossy.runs[0].lost = 1;
        assert!(lossy.check().is_err());
    }
}
