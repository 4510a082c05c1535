//! How many events the judge judges on one core, and what live grants take:
//! `cargo xtask bench judge`. Out: a table, JSON, `docs/reference/performance.md`.
//!
//! `monitor-model/examples/judge.rs` measures; here it is built and told.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::cache::Project;
use crate::{document, process};

const PAGE: &str = "docs/reference/performance.md";

#[derive(Debug, clap::Args)]
pub(super) struct JudgeArgs {
    /// Write the figures here.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Put the table into `docs/reference/performance.md`.
    #[arg(long)]
    document: bool,
}

/// What the example says.
#[derive(Debug, Deserialize)]
struct Measured {
    tenants: u64,
    grants: u64,
    events: u64,
    events_per_second: f64,
    kinds: Vec<Kind>,
    bytes_per_10000_grants: Bytes,
}

#[derive(Debug, Deserialize)]
struct Kind {
    kind: String,
    ns: f64,
}

#[derive(Debug, Deserialize)]
struct Bytes {
    opens_all: u64,
    lists: u64,
}

/// Measures, prints the table, writes what was asked for.
pub(super) fn run(project: &Project, args: &JudgeArgs) -> Result<ExitCode> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(project.root());
    command.args(["run", "--release", "--quiet", "--package", "monitor-model"]);
    command.args(["--example", "judge"]);
    let text = process::quiet_stdout_of(&mut command)?;
    let measured: Measured = serde_json::from_str(&text).context("reading the figures")?;
    let table = table(&measured);
    process::say(&table);
    if let Some(file) = &args.json {
        fs::write(file, &text).with_context(|| format!("writing {}", file.display()))?;
    }
    if args.document {
        document::put(project, PAGE, "bench judge", &table)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn table(measured: &Measured) -> String {
    let Measured {
        tenants,
        grants,
        events,
        events_per_second,
        kinds,
        bytes_per_10000_grants: bytes,
    } = measured;
    let mut text = format!(
        "{events} events, {tenants} tenants in the same ranges, {grants} live grants, one thread, its own processor time.\n\n\
         | kind of event | nanoseconds a judgement | events/s |\n|---|---|---|\n"
    );
    // Writing to a string cannot fail.
    for Kind { kind, ns } in kinds {
        _ = writeln!(text, "| {kind} | {ns:.0} | {:.0} |", 1e9 / ns);
    }
    let mean = 1e9 / events_per_second;
    _ = writeln!(
        text,
        "| **all in equal parts** | {mean:.0} | {events_per_second:.0} |\n"
    );
    let mebibytes = |bytes: u64| bytes.div_ceil(1 << 20);
    _ = writeln!(
        text,
        "| 10,000 live grants take | MiB |\n|---|---|\n\
         | that open all of their tenant | {} |\n\
         | that list 3 destinations, 2 credentials, 2 programs | {} |",
        mebibytes(bytes.opens_all),
        mebibytes(bytes.lists)
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_become_a_table() {
        let text = r#"{"tenants":2,"grants":3,"events":4,"events_per_second":2000000.0,
            "kinds":[{"kind":"fork","ns":250.4}],
            "bytes_per_10000_grants":{"opens_all":1048576,"lists":1048577}}"#;
        let table = table(&serde_json::from_str(text).unwrap());
        for line in [
            "4 events, 2 tenants in the same ranges, 3 live grants, one thread, its own processor time.",
            "| fork | 250 | 3993610 |",
            "| **all in equal parts** | 500 | 2000000 |",
            "| that open all of their tenant | 1 |",
            "| that list 3 destinations, 2 credentials, 2 programs | 2 |",
        ] {
            assert!(table.lines().any(|found| found == line), "{table}");
        }
    }
}
