//! Plays cases in the running kernel: `docs/reference/cases.md`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use monitor_tests::cases::{discover, runner};
use monitor_tests::player::{self, Ground};
use monitor_tests::stage::{Settings, Shape};

/// Plays cases one after another, and compares what was told with what should be;
/// as root.
#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    ground: Ground,
    /// Where the cases are.
    #[arg(long, value_name = "FOLDER")]
    cases: PathBuf,
    /// Where the programs are that cases are played with.
    #[arg(long, value_name = "FOLDER")]
    built: Option<PathBuf>,
    /// Only some: by id, by the name of their folder or by the letters that ids begin
    /// with; commas between.
    #[arg(long, value_name = "IDS")]
    only: Option<String>,
    /// The best tier that hooks may have.
    #[arg(long, value_name = "NAME")]
    tier: Option<String>,
    /// This machine is thrown away afterwards: the stage may have accounts and
    /// rules in its /etc.
    #[arg(long)]
    own_machine: bool,
}

fn main() -> ExitCode {
    player::exit_code(play(Line::parse()))
}

#[expect(clippy::print_stdout, reason = "the table is this program's result")]
fn play(line: Line) -> Result<bool> {
    let run = runner::Run {
        settings: Settings {
            best_tier: line.tier,
            ..line.ground.settings("cases")?
        },
        cases: discover::cases(&line.cases, line.only.as_deref())?,
        built: line.built,
        shape: if line.own_machine {
            Shape::OwnMachine
        } else {
            Shape::Cases
        },
        slowness: line.ground.slowness,
    };
    let report = runner::run(&run, |text| println!("{text}"))?;
    println!("{}", report.sum());
    if let Some(error) = &report.error {
        println!("broken off: {error}");
    }
    report.write(&line.ground.json)?;
    Ok(report.is_good())
}
