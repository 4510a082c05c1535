//! Certificates are replaced while streams stand: each program gets a new one and
//! goes on, or is asked to end and started again, as an administrator would. Collector
//! and broker look at their files and show the new one to who comes then; the agent
//! shows its own when it connects again.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::ground::Ground;
use crate::poll;
use crate::stage::certificates::{self, AGENT};
use crate::stage::program::Program;

/// Most time between two certificates.
const APART: Duration = Duration::from_millis(250);
/// Most time until a program shows what was put there: it looks every two seconds.
const TAKEN_UP_WITHIN: Duration = Duration::from_secs(10);
/// What it says then.
const TAKEN_UP: &str = "A new certificate is shown from now on";

/// Each program gets a new certificate with a new key, in any order.
///
/// # Errors
/// None was issued, or a program did not end or start.
pub(super) fn strike(ground: &mut Ground) -> Result<()> {
    for program in ground.chance.shuffled(Program::ALL) {
        ground.waits(APART)?;
        let taken_up = ground.said(program, TAKEN_UP)?;
        rotate(ground, program)?;
        if ground.chance.tosses() {
            goes_on(ground, program, taken_up)?;
            continue;
        }
        ground.counts(&format!("{}'s certificate replaced", program.word()));
        // At times it has taken it up by then.
        ground.waits(APART)?;
        ground.stage.services.end(program.name())?;
        ground.stage.services.start_program(program)?;
    }
    Ok(())
}

/// It takes up its new certificate while it runs; the agent has nobody to show it to
/// until it connects again.
fn goes_on(ground: &mut Ground, program: Program, before: usize) -> Result<()> {
    let word = program.word();
    ground.counts(&format!("{word}'s certificate replaced while it goes on"));
    match program {
        Program::Agent => Ok(()),
        Program::Collector | Program::Broker => poll::until(
            &format!("a new certificate of the {word}"),
            TAKEN_UP_WITHIN,
            || {
                let is_taken_up = ground.said(program, TAKEN_UP)? > before;
                Ok(is_taken_up.then_some(()))
            },
        ),
    }
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
