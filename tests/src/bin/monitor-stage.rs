//! Sets a stage, says `stands`, and stays until it is killed: for tests of
//! what is left when nobody takes a stage down.
//!
//! `monitor-stage NAME`, with `MONITOR_BIN_DIR` in the environment.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use monitor_tests::stage::{Shape, Stage};
use monitor_tests::test_stage;

fn main() -> ExitCode {
    match stand() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "the test waits for this line")]
fn stand() -> Result<()> {
    let name = std::env::args()
        .nth(1)
        .context("usage: monitor-stage NAME")?;
    let mut settings = test_stage::settings("stands")?;
    settings.name = name;
    let _stage = Stage::set(&settings, Shape::Scene)?;
    println!("stands");
    loop {
        std::thread::park();
    }
}
