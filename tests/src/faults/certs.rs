//! Certificates are replaced while streams stand: each program gets a new one, and
//! is asked to end and started again, as an administrator would; until then its
//! peers have seen the old one, and then the new one. The agent needs no start: at
//! times it goes on, and shows the new one when it connects again.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::ground::Ground;
use crate::stage::certificates::{self, AGENT};
use crate::stage::program::Program;

/// Most time between two certificates.
const APART: Duration = Duration::from_millis(250);

/// Each program gets a new certificate with a new key, in any order.
///
/// # Errors
/// None was issued, or a program did not end or start.
pub(super) fn strike(ground: &mut Ground) -> Result<()> {
    for program in ground.chance.shuffled(Program::ALL) {
        ground.waits(APART)?;
        rotate(ground, program)?;
        if program == Program::Agent && ground.chance.tosses() {
            ground.counts("agent's certificate replaced while it goes on");
            continue;
        }
        ground.counts(&format!("{}'s certificate replaced", program.word()));
        // It goes on with the one that it read when it started.
        ground.waits(APART)?;
        ground.stage.services.end(program.name())?;
        ground.stage.services.start_program(program)?;
    }
    Ok(())
}

fn rotate(ground: &Ground, program: Program) -> Result<()> {
    let folder = &ground.stage.folder;
    let name = match program {
        Program::Agent => AGENT,
        Program::Collector | Program::Broker => program.word(),
    };
    for ending in ["pem", "key"] {
        let file = folder.at("pki").join(format!("{name}.{ending}"));
        fs::remove_file(&file).with_context(|| format!("removing {}", file.display()))?;
    }
    let hosts: &[&str] = match program {
        Program::Agent => &[],
        Program::Collector | Program::Broker => certificates::LOCAL,
    };
    certificates::issue(folder, program.word(), name, hosts)
}
