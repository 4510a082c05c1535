//! Arguments, output and exit codes.

use std::{
    ffi::OsString,
    fmt::Write as _,
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Parser, ValueEnum};
use monitor_model::id::AgentName;

use crate::{
    books::{self, Asked},
    equation::Row,
};

/// Something was lost, told twice, or contradicts itself.
const BROKEN: u8 = 4;

/// Counts what the kernel produced against what spool and ledgers hold.
///
/// For each stream of numbers (host, boot, ring and processor):
/// produced = stored + named gaps + on its way (spool, ring).
/// Exit code 0: it holds. 1: something cannot be read. 2: wrong arguments.
/// 4: it does not hold; what is lost is listed.
#[derive(Debug, Parser)]
#[command(name = "monitor-verify", version)]
struct Args {
    /// The collector's `data_dir`: all of its ledgers are read
    #[arg(long, value_name = "DIR")]
    ledgers: PathBuf,
    /// The key that the ledgers are sealed with
    #[arg(long, value_name = "FILE")]
    seal_key: Option<PathBuf>,
    /// An agent's `spool.db`: what is not acked yet is on its way
    #[arg(long, value_name = "FILE")]
    spool: Option<PathBuf>,
    /// The agent's `pin_dir`: the kernel itself says how much there is
    #[arg(long, value_name = "DIR")]
    pins: Option<PathBuf>,
    /// The agent's name; only its streams are told
    #[arg(long, value_name = "NAME")]
    agent: Option<AgentName>,
    /// How it is printed
    #[arg(short, long, default_value = "table")]
    output: Output,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    /// For people
    Table,
    /// One object for each stream and line
    Ndjson,
}

/// Runs the program.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args = match Args::try_parse_from(args) {
        Ok(args) => args,
        Err(error) => {
            // Nothing more can be said where this cannot be.
            _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let output = args.output;
    let asked = Asked {
        ledgers: args.ledgers,
        seal: args.seal_key,
        spool: args.spool,
        pins: args.pins,
        agent: args.agent,
    };
    let rows = match books::read(&asked) {
        Ok(rows) => rows,
        Err(error) => {
            _ = writeln!(io::stderr(), "monitor-verify: {error}");
            return ExitCode::FAILURE;
        }
    };
    let text = match output {
        Output::Table => table(&rows),
        Output::Ndjson => ndjson(&rows),
    };
    if let Err(error) = io::stdout().write_all(text.as_bytes()) {
        _ = writeln!(io::stderr(), "monitor-verify: standard output: {error}");
        return ExitCode::FAILURE;
    }
    if rows.iter().all(Row::holds) {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(BROKEN)
    }
}

fn ndjson(rows: &[Row]) -> String {
    let line = |row| serde_json::to_string(row).unwrap_or_default() + "\n";
    rows.iter().map(line).collect()
}

fn table(rows: &[Row]) -> String {
    const HEAD: [&str; 10] = [
        "HOST", "BOOT", "STREAM", "PRODUCED", "STORED", "GAPS", "SPOOL", "RING", "LOST", "TWICE",
    ];
    let mut lines: Vec<Vec<String>> = vec![HEAD.map(str::to_owned).to_vec()];
    lines.extend(rows.iter().map(cells));
    let mut widths = [0; HEAD.len()];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.len().max(*width);
        }
    }
    let mut text = String::new();
    for line in lines {
        let padded = line
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:<width$}"));
        text += padded.collect::<Vec<_>>().join("  ").trim_end();
        text += "\n";
    }
    for row in rows {
        for (first, last) in &row.lost {
            let stream = &row.stream;
            // Writing to a string cannot fail.
            _ = writeln!(
                text,
                "LOST: {} {} {}: {first} to {last}: in no ledger, no gap, no spool and no ring",
                stream.agent, stream.boot, stream.source
            );
        }
    }
    text + &counted(rows) + &verdict(rows)
}

/// What stands for several acts, in a line for each stream that has any.
fn counted(rows: &[Row]) -> String {
    let told = rows.iter().filter(|row| row.counting > 0).map(|row| {
        let stream = &row.stream;
        format!(
            "COUNTED: {} {} {}: {} of the stored records stand for {} acts\n",
            stream.agent, stream.boot, stream.source, row.counting, row.counted_acts
        )
    });
    told.collect()
}

/// The columns of a stream; a star where the kernel itself said how much there is.
fn cells(row: &Row) -> Vec<String> {
    let star = if row.by_kernel { "*" } else { "" };
    let twice = row.twice + row.contradicted;
    vec![
        row.stream.agent.to_string(),
        row.stream.boot.to_string(),
        row.stream.source.to_string(),
        format!("{}{star}", row.produced),
        row.stored.to_string(),
        row.gaps.to_string(),
        row.spool.to_string(),
        row.ring.to_string(),
        row.lost_numbers().to_string(),
        twice.to_string(),
    ]
}

fn verdict(rows: &[Row]) -> String {
    let sum = |of: fn(&Row) -> u64| -> u64 { rows.iter().map(of).sum() };
    let (produced, stored) = (sum(|row| row.produced), sum(|row| row.stored));
    let (gaps, spool, ring) = (
        sum(|row| row.gaps),
        sum(|row| row.spool),
        sum(|row| row.ring),
    );
    let holds = if rows.iter().all(Row::holds) {
        "holds"
    } else {
        "DOES NOT HOLD"
    };
    format!(
        "{produced} produced = {stored} stored + {gaps} in named gaps + {spool} in spools + {ring} in rings + {} lost; {} told twice: {holds}\n",
        sum(Row::lost_numbers),
        sum(|row| row.twice + row.contradicted),
    )
}
