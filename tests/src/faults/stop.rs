//! Agent, collector and broker stand still, in any order and for any time, and go
//! on: their connections live, and nobody answers.

use std::time::Duration;

use anyhow::Result;
use rustix::process::Signal;

use super::ground::Ground;
use crate::stage::program::Program;

/// Most time between two stops.
const APART: Duration = Duration::from_millis(250);
/// Most time that a program stands still.
const STILL: Duration = Duration::from_secs(3);

/// Each stands still once; at times all of them do.
///
/// # Errors
/// A program is not there.
pub(super) fn strike(ground: &mut Ground) -> Result<()> {
    let together = ground.chance.tosses();
    let programs = ground.chance.shuffled(Program::ALL);
    for program in programs {
        ground.waits(APART)?;
        ground.stage.services.signal(program.name(), Signal::STOP)?;
        ground.counts(&format!("{} stopped", program.word()));
        if !together {
            ground.waits(STILL)?;
            ground.stage.services.signal(program.name(), Signal::CONT)?;
        }
    }
    if together {
        ground.waits(STILL)?;
        for program in ground.chance.shuffled(programs) {
            ground.stage.services.signal(program.name(), Signal::CONT)?;
        }
    }
    Ok(())
}
