//! Measures the whole pipeline at steady rates: `docs/reference/performance.md`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use monitor_tests::player::{self, Ground};
use monitor_tests::steady::{self, Plan};

/// Has a session work at a steady rate, and measures how kernel, agent and
/// collector follow; as root.
#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    ground: Ground,
    /// How long each run is.
    #[arg(long, value_name = "N")]
    seconds: u64,
    /// Connections a second; may be repeated: a run each.
    #[arg(long, value_name = "N", required = true)]
    rate: Vec<u64>,
}

fn main() -> ExitCode {
    player::exit_code(measure(Line::parse()).map(|()| true))
}

#[expect(
    clippy::print_stdout,
    reason = "how it goes on is this program's result"
)]
fn measure(line: Line) -> Result<()> {
    let settings = line.ground.settings("steady")?;
    let plan = Plan {
        rates: line.rate,
        seconds: line.seconds,
    };
    steady::run(&settings, &plan, |text| println!("{text}"))?.write(&line.ground.json)
}
