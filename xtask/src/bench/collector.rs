//! What the collector does under load: `cargo xtask bench collector`. Out: a
//! table, JSON, `docs/reference/performance.md`.
//!
//! `monitor-collector/examples/load` measures; here it is built and told.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::artifacts::{self, Artifact};
use crate::cache::Project;
use crate::machine::Machine;
use crate::{document, process};

/// The question that finds nothing.
const NOT_THERE: &str = "a name that is not there";
/// How often it is started with nothing of its files in memory.
const COLD_RESTARTS: &str = "3";
const PAGE: &str = "docs/reference/performance.md";

#[derive(Debug, clap::Args)]
pub(super) struct CollectorArgs {
    /// Events that are sent and asked for; a ledger takes 60 to 100 bytes for each.
    #[arg(long, default_value_t = 10_000_000)]
    events: u64,
    /// Subscribers at once; 0 leaves them out.
    #[arg(long, default_value_t = 1_000)]
    readers: u64,
    /// With ledgers and state sealed.
    #[arg(long)]
    seal: bool,
    /// Where the ledgers are made; without it a folder of the cache, removed at the end.
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Write the figures here.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Put the tables into `docs/reference/performance.md`.
    #[arg(long)]
    document: bool,
    /// Measures nothing: takes the figures that `--json` wrote.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["events", "readers", "seal", "folder", "json"])]
    results: Option<PathBuf>,
}

/// What the example says.
#[derive(Debug, Deserialize)]
struct Measured {
    ingest: Ingest,
    ledger_bytes: u64,
    recoveries: Vec<Recovery>,
    #[serde(default)]
    cold_recoveries: Vec<Recovery>,
    questions: Vec<Asked>,
    alone: Option<Ingest>,
    readers: Option<Followed>,
}

#[derive(Debug, Deserialize)]
struct Recovery {
    served: f64,
    acked: f64,
}

#[derive(Debug, Deserialize)]
struct Ingest {
    events: u64,
    seconds: f64,
    events_per_second: f64,
    slowest_ten_seconds: f64,
    ack_ms_p50: f64,
    ack_ms_p99: f64,
    ack_ms_max: f64,
    collector_cpu_seconds: f64,
    load_cpu_seconds: f64,
    collector_peak_bytes: u64,
    ledger_bytes_per_event: f64,
    bytes_per_event: f64,
}

#[derive(Debug, Deserialize)]
struct Asked {
    question: String,
    found: f64,
    pages: u64,
    ms_p50: f64,
    ms_max: f64,
}

#[derive(Debug, Deserialize)]
struct Followed {
    readers: u64,
    delivered: u64,
    event_to_reader_ms_p50: f64,
    event_to_reader_ms_p99: f64,
    event_to_reader_ms_max: f64,
    cut: u64,
    ingest: Ingest,
}

/// Measures, prints the tables, writes what was asked for.
pub(super) fn run(project: &Project, args: &CollectorArgs) -> Result<ExitCode> {
    let text = match &args.results {
        Some(file) => {
            fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?
        }
        None => measure(project, args)?,
    };
    let measured: Measured = serde_json::from_str(&text).context("reading the figures")?;
    let tables = tables(&measured);
    process::say(&tables);
    if let Some(file) = &args.json {
        fs::write(file, &text).with_context(|| format!("writing {}", file.display()))?;
    }
    if args.document {
        document::put(project, PAGE, "bench collector", &tables)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The figures, as the example says them.
fn measure(project: &Project, args: &CollectorArgs) -> Result<String> {
    let mut command = process::cargo();
    command.current_dir(project.root());
    command.args(["build", "--release", "--package", "monitor-collector"]);
    command.args(["--bins", "--example", "load"]);
    let built = artifacts::build(&mut command)?;
    let own = project.cache().join("bench").join("collector");
    let folder = args.folder.as_deref().unwrap_or(&own);
    if args.folder.is_none() {
        remove(folder)?;
    }
    let mut command = Command::new(executable(&built, "load")?);
    command.arg("--collector");
    command.arg(executable(&built, "monitor-collector")?);
    command.arg("--folder").arg(folder);
    command.args(["--events", &args.events.to_string()]);
    command.args(["--readers", &args.readers.to_string()]);
    if args.seal {
        command.arg("--seal");
    }
    if Machine::here(project).is_root() {
        command.args(["--cold-restarts", COLD_RESTARTS]);
    } else {
        process::say("starts with nothing in memory are left out: only root can have it forgotten");
    }
    let measured = process::stdout_of(&mut command);
    if args.folder.is_none() {
        remove(folder)?;
    }
    measured
}

/// A short run with the programs that tests use: everything is asked, and
/// everything that is there is found.
pub(crate) fn smoke(project: &Project, programs: &Path, built: &[Artifact]) -> Result<()> {
    let folder = project.cache().join("bench").join("collector-smoke");
    remove(&folder)?;
    let mut command = Command::new(executable(built, "load")?);
    command.arg("--collector");
    command.arg(programs.join("monitor-collector"));
    command.arg("--folder").arg(&folder);
    command.args(["--events", "150000", "--readers", "20", "--restarts", "1"]);
    command.args(["--reader-rate", "1000", "--reader-seconds", "2"]);
    let measured = process::quiet_stdout_of(&mut command);
    remove(&folder)?;
    let measured: Measured = serde_json::from_str(&measured?).context("reading the figures")?;
    for asked in &measured.questions {
        let is_there = asked.question != NOT_THERE;
        if (asked.found > 0.0) != is_there {
            bail!("{}: {} found", asked.question, asked.found);
        }
    }
    let readers = measured.readers.context("nobody followed")?;
    if readers.delivered == 0 || readers.cut > 0 {
        bail!(
            "{} events sent, {} readers cut off",
            readers.delivered,
            readers.cut
        );
    }
    Ok(())
}

fn executable<'a>(built: &'a [Artifact], name: &str) -> Result<&'a Path> {
    let found = built.iter().find(|artifact| artifact.name == name);
    let found = found.with_context(|| format!("cargo built no {name}"))?;
    Ok(&found.executable)
}

fn remove(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("removing {}", folder.display()))?;
    }
    Ok(())
}

/// Writing to a string cannot fail.
fn tables(measured: &Measured) -> String {
    let mut text = String::new();
    ingest(&mut text, &measured.ingest);
    for (how, recoveries) in [
        ("", &measured.recoveries),
        (
            " and with nothing of it in memory",
            &measured.cold_recoveries,
        ),
    ] {
        recovery(&mut text, how, recoveries, measured.ledger_bytes);
    }
    questions(&mut text, &measured.questions);
    if let (Some(alone), Some(readers)) = (&measured.alone, &measured.readers) {
        followed(&mut text, alone, readers);
    }
    text
}

fn ingest(text: &mut String, ingest: &Ingest) {
    let micros = |seconds: f64| seconds * 1e6 / precise(ingest.events);
    _ = write!(
        text,
        "| {} events, as fast as they are acked | |\n|---|---|\n\
         | events/s, all {:.0} s | {:.0} |\n\
         | events/s, the slowest ten seconds on end | {:.0} |\n\
         | from a batch to its ack, ms: p50, p99, max | {:.1}, {:.1}, {:.1} |\n\
         | processor time an event, µs: collector, load beside it | {:.1}, {:.1} |\n\
         | most resident memory of the collector, MiB | {} |\n\
         | bytes an event: ledgers, everything on disk | {:.1}, {:.1} |\n\n",
        ingest.events,
        ingest.seconds,
        ingest.events_per_second,
        ingest.slowest_ten_seconds,
        ingest.ack_ms_p50,
        ingest.ack_ms_p99,
        ingest.ack_ms_max,
        micros(ingest.collector_cpu_seconds),
        micros(ingest.load_cpu_seconds),
        ingest.collector_peak_bytes >> 20,
        ingest.ledger_bytes_per_event,
        ingest.bytes_per_event,
    );
}

fn recovery(text: &mut String, how: &str, recoveries: &[Recovery], ledger_bytes: u64) {
    let sorted = |seconds: fn(&Recovery) -> f64| {
        let mut seconds: Vec<f64> = recoveries.iter().map(seconds).collect();
        seconds.sort_by(f64::total_cmp);
        let median = seconds.get(seconds.len() / 2).copied();
        median.zip(seconds.last().copied())
    };
    let served = sorted(|recovery| recovery.served);
    let Some((served, acked)) = served.zip(sorted(|recovery| recovery.acked)) else {
        return;
    };
    _ = write!(
        text,
        "| after `kill -9`{how}, {:.2} GiB of ledgers, {} times | median, s | longest, s |\n|---|---|---|\n\
         | from the start to the first answer | {:.2} | {:.2} |\n\
         | from the start to the ack of a batch of each host | {:.2} | {:.2} |\n\n",
        precise(ledger_bytes) / f64::from(1 << 30),
        recoveries.len(),
        served.0,
        served.1,
        acked.0,
        acked.1,
    );
}

fn questions(text: &mut String, questions: &[Asked]) {
    _ = writeln!(
        text,
        "| question, until 100 are found or there are no more | found | pages | p50, ms | max, ms |\n|---|---|---|---|---|"
    );
    for Asked {
        question,
        found,
        pages,
        ms_p50,
        ms_max,
    } in questions
    {
        _ = writeln!(
            text,
            "| {question} | {found:.0} | {pages} | {ms_p50:.1} | {ms_max:.1} |"
        );
    }
    text.push('\n');
}

fn followed(text: &mut String, alone: &Ingest, readers: &Followed) {
    _ = write!(
        text,
        "| {:.0} events/s | no subscriber | {} subscribers, one more takes nothing |\n|---|---|---|\n\
         | events sent to them | – | {} |\n\
         | from an event to its reader, ms: p50, p99, max | – | {:.1}, {:.1}, {:.1} |\n\
         | readers cut off, but for that one | – | {} |\n\
         | from a batch to its ack, ms: p50, p99, max | {:.1}, {:.1}, {:.1} | {:.1}, {:.1}, {:.1} |\n\
         | processor seconds of the collector in {:.0} s | {:.1} | {:.1} |\n\
         | most resident memory of the collector, MiB | {} | {} |\n",
        alone.events_per_second,
        readers.readers,
        readers.delivered,
        readers.event_to_reader_ms_p50,
        readers.event_to_reader_ms_p99,
        readers.event_to_reader_ms_max,
        readers.cut,
        alone.ack_ms_p50,
        alone.ack_ms_p99,
        alone.ack_ms_max,
        readers.ingest.ack_ms_p50,
        readers.ingest.ack_ms_p99,
        readers.ingest.ack_ms_max,
        alone.seconds,
        alone.collector_cpu_seconds,
        readers.ingest.collector_cpu_seconds,
        alone.collector_peak_bytes >> 20,
        readers.ingest.collector_peak_bytes >> 20,
    );
}

#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "for display"
)]
fn precise(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const INGEST: &str = r#"{"events":2000000,"seconds":20.0,"events_per_second":100000.0,
        "slowest_ten_seconds":90000.0,"ack_ms_p50":1.0,"ack_ms_p99":2.0,"ack_ms_max":3.0,
        "collector_cpu_seconds":10.0,"load_cpu_seconds":2.0,"collector_peak_bytes":1048576,
        "ledger_bytes_per_event":63.25,"bytes_per_event":70.0}"#;

    #[test]
    fn figures_become_tables() {
        let text = format!(
            r#"{{"ingest":{INGEST},"ledger_bytes":2147483648,"recoveries":[{{"served":0.5,"acked":0.75}},{{"served":0.25,"acked":2.0}},{{"served":1.0,"acked":0.5}}],
            "cold_recoveries":[{{"served":5.0,"acked":6.0}}],
            "questions":[{{"question":"a session","found":100.0,"pages":1,"ms_p50":1.25,"ms_max":9.0}}],
            "alone":{INGEST},"readers":{{"readers":7,"delivered":9,"event_to_reader_ms_p50":1.0,
            "event_to_reader_ms_p99":2.0,"event_to_reader_ms_max":3.0,"cut":0,"ingest":{INGEST}}}}}"#
        );
        let tables = tables(&serde_json::from_str(&text).unwrap());
        for line in [
            "| events/s, all 20 s | 100000 |",
            "| processor time an event, µs: collector, load beside it | 5.0, 1.0 |",
            "| after `kill -9`, 2.00 GiB of ledgers, 3 times | median, s | longest, s |",
            "| from the start to the first answer | 0.50 | 1.00 |",
            "| after `kill -9` and with nothing of it in memory, 2.00 GiB of ledgers, 1 times | median, s | longest, s |",
            "| from the start to the first answer | 5.00 | 5.00 |",
            "| from the start to the ack of a batch of each host | 0.75 | 2.00 |",
            "| a session | 100 | 1 | 1.2 | 9.0 |",
            "| 100000 events/s | no subscriber | 7 subscribers, one more takes nothing |",
        ] {
            assert!(tables.lines().any(|found| found == line), "{tables}");
        }
    }
}
