//! Agent, collector and broker are killed, in any order and at any moment.

use std::time::Duration;

use anyhow::Result;

use super::ground::Ground;
use crate::stage::program::Program;

/// Most time between two kills.
const APART: Duration = Duration::from_millis(250);
/// Most time that a program stays away.
const AWAY: Duration = Duration::from_millis(500);

/// Each is killed once; some come back at once, some stay away while the next one
/// is killed.
///
/// # Errors
/// A program could not be killed or started.
pub(super) fn strike(ground: &mut Ground) -> Result<()> {
    for program in ground.chance.shuffled(Program::ALL) {
        ground.waits(APART)?;
        ground.stage.services.kill(program.name())?;
        ground.counts(&format!("{} killed", program.word()));
        if ground.chance.tosses() {
            ground.waits(AWAY)?;
        }
        ground.stage.services.start_program(program)?;
    }
    Ok(())
}
