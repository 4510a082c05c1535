//! The wall clock of agent, collector or broker jumps, forward and back, while
//! the others' go on; at times all of them are wrong together.

use std::time::Duration;

use anyhow::Result;

use super::ground::Ground;
use crate::stage::clocks;
use crate::stage::program::Program;

/// Most seconds that a clock is wrong: grants hold for an hour, and are over by
/// the clock of whoever looks.
const SECONDS: u64 = 1_500;
/// Most time between two jumps.
const APART: Duration = Duration::from_millis(500);
/// Most time that a clock is wrong.
const WRONG: Duration = Duration::from_secs(2);

/// Each clock jumps and is right again, in any order.
///
/// # Errors
/// A clock could not be moved.
pub(super) fn strike(ground: &mut Ground) -> Result<()> {
    let together = ground.chance.tosses();
    let programs = ground.chance.shuffled(Program::ALL);
    for program in programs {
        ground.waits(APART)?;
        let seconds = ground.chance.below(SECONDS).saturating_add(1);
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
        let (seconds, way) = if ground.chance.tosses() {
            (seconds, "forward")
        } else {
            (-seconds, "back")
        };
        clocks::is_movable(ground.stage.services.pid(program.name())?)?;
        clocks::set(ground.stage.folder.root(), program, seconds)?;
        ground.counts(&format!("{}'s clock set {way}", program.word()));
        if !together {
            ground.waits(WRONG)?;
            clocks::set(ground.stage.folder.root(), program, 0)?;
        }
    }
    if together {
        ground.waits(WRONG)?;
        for program in programs {
            clocks::set(ground.stage.folder.root(), program, 0)?;
        }
    }
    Ok(())
}
