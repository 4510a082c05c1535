//! Has parts fail in the running kernel: `docs/reference/reliability.md`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use monitor_tests::faults::{self, Family, Plan};
use monitor_tests::player::{self, Ground};

/// Has parts fail while people work, and counts what is lost by it; as root.
#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    ground: Ground,
    /// Rounds of each family of faults.
    #[arg(long, value_name = "N")]
    rounds: u64,
    /// Where chance begins.
    #[arg(long, value_name = "N")]
    seed: u64,
    /// Only this family; may be repeated.
    #[arg(long, value_name = "FAMILY", value_parser = Family::named)]
    only: Vec<Family>,
}

fn main() -> ExitCode {
    player::exit_code(play(Line::parse()))
}

#[expect(
    clippy::print_stdout,
    reason = "how it goes on is this program's result"
)]
fn play(line: Line) -> Result<bool> {
    let settings = line.ground.settings("faults")?;
    let families = if line.only.is_empty() {
        Family::ALL.to_vec()
    } else {
        line.only
    };
    let plan = Plan {
        families,
        rounds: line.rounds,
        seed: line.seed,
    };
    let report = faults::run(&settings, &plan, |text| println!("{text}"))?;
    report.write(&line.ground.json)?;
    Ok(report.is_good())
}
