//! Measures the loop from kernel event to refused login in the running kernel, as
//! root.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use clap::Parser;
use monitor_tests::bench;
use monitor_tests::facts::Facts;
use monitor_tests::player::{self, Ground};
use monitor_tests::stage::{Shape, Stage};
use monitor_tests::timeline::{Show, Timeline};

/// Cuts sessions off one after another, and measures how long each step takes.
#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    ground: Ground,
    /// How many sessions.
    #[arg(long, value_name = "N")]
    runs: usize,
}

fn main() -> ExitCode {
    player::exit_code(measure(&Line::parse()).map(|()| true))
}

fn measure(line: &Line) -> Result<()> {
    let settings = line.ground.settings("loop")?;
    let timeline = Timeline::new(Show::Sessions);
    let mut stage = Stage::set(&settings, Shape::Scene)?;
    let facts = Arc::new(Facts::read(&stage.folder, Box::new(|_| {}))?);
    let measured = bench::run(&mut stage, &facts, &timeline, line.runs);
    if measured.is_err() {
        for words in stage.services.last_words() {
            eprintln!("{words}");
        }
    }
    let down = stage.take_down();
    measured?.write(&line.ground.json)?;
    down
}
