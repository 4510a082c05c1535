//! The agent's disk gives back something else than what was written: one bit of one
//! batch that waits for the collector is another.
//!
//! The agent must send nothing of that batch, and name every number in it as missing;
//! everything else is stored once. What is changed waits since the collector is gone,
//! so that nobody has it; and is no part of the session that is ordered off, whose end
//! is asked for. Python turns the bit: this library is kept small.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::ground::Ground;
use super::leaver::ENGINEER;
use crate::command::{self, command};
use crate::poll;
use crate::stage::program::Program;

/// Most time before and between the two kills.
const APART: Duration = Duration::from_millis(250);
/// Most time until work waits on the agent's disk.
const WAITS_WITHIN: Duration = Duration::from_secs(30);
/// What is done to the spool.
const SCRIPT: &str = include_str!("rot.py");

/// Collector and agent are killed, a bit of what waits turns, and both come back.
///
/// # Errors
/// A program could not be killed or started, or nothing waits.
pub(super) fn strike(ground: &mut Ground) -> Result<()> {
    ground.waits(APART)?;
    ground.stage.services.kill(Program::Collector.name())?;
    let spool = ground.stage.folder.at(Program::Agent.word());
    let spool = spool.join("spool.db");
    let sent = python(&spool, "newest", &[])?;
    let sent = sent.trim();
    let what = "a batch of others on the agent's disk";
    poll::until(what, WAITS_WITHIN, || {
        let waits = python(&spool, "waits", &[sent, ENGINEER])?;
        Ok((waits.trim() != "0").then_some(()))
    })?;
    ground.waits(APART)?;
    ground.stage.services.kill(Program::Agent.name())?;
    let [which, place] = [(); 2].map(|()| ground.chance.below(1 << 32).to_string());
    python(&spool, "turn", &[sent, ENGINEER, &which, &place])
        .with_context(|| format!("turning a bit in {}", spool.display()))?;
    ground.counts("bit of the agent's spool turned");
    ground.stage.services.start_program(Program::Agent)?;
    ground.stage.services.start_program(Program::Collector)
}

fn python(spool: &Path, what: &str, arguments: &[&str]) -> Result<String> {
    let mut python = command("python3", ["-c", SCRIPT, what]);
    command::stdout(python.arg(spool).args(arguments))
}
