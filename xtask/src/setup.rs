//! Installs what is missing: packages all at once, then the rest in order.
//!
//! All checks together take a fraction of a second, so every command makes
//! them; nothing is installed twice, and a removed part is noticed.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::cache::Project;
use crate::machine::Machine;
use crate::needs::{Fix, Goal, NEEDS, Need};
use crate::process::Steps;
use crate::{packages, process};

/// How much the set-up says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Voice {
    /// Each need, also those that are met.
    Full,
    /// Nothing, if nothing is missing.
    OnlyMissing,
}

/// Makes sure that everything for a goal is there.
pub(crate) fn ensure(project: &Project, goal: Goal, voice: Voice) -> Result<()> {
    let machine = Machine::here(project);
    let needs: Vec<&Need> = NEEDS.iter().filter(|need| need.goal <= goal).collect();
    if voice == Voice::Full {
        for need in needs.iter().filter(|need| (need.present)(&machine)) {
            process::say(&format!("there:   {}", need.what));
        }
    }
    fix_missing(&machine, &needs)?;
    if voice == Voice::Full {
        process::say(&format!(
            "Everything for `cargo xtask {}` is there.",
            goal.name()
        ));
    }
    Ok(())
}

/// Makes sure that everything for these steps of `test` is there.
pub(crate) fn ensure_steps(project: &Project, steps: &[&str]) -> Result<()> {
    let wanted =
        |need: &Need| need.steps.is_empty() || need.steps.iter().any(|step| steps.contains(step));
    let needs: Vec<&Need> = NEEDS.iter().filter(|need| wanted(need)).collect();
    fix_missing(&Machine::here(project), &needs)
}

/// Makes sure that these are there.
pub(crate) fn ensure_these(project: &Project, needs: &[Need]) -> Result<()> {
    let needs: Vec<&Need> = needs.iter().collect();
    fix_missing(&Machine::here(project), &needs)
}

/// Says what is there and what is missing; changes nothing.
pub(crate) fn check(project: &Project, goal: Goal) -> ExitCode {
    let machine = Machine::here(project);
    let mut missing = 0_u32;
    for need in NEEDS.iter().filter(|need| need.goal <= goal) {
        if (need.present)(&machine) {
            process::say(&format!("there:   {}", need.what));
        } else {
            missing = missing.saturating_add(1);
            process::say(&format!(
                "missing: {} ({}); `cargo xtask setup`: {}",
                need.what,
                need.why,
                need.fix.text()
            ));
        }
    }
    if missing == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Installs what is missing: all packages at once, then the rest in order.
/// A part that only a test step wants does not stop the others: that step fails.
fn fix_missing(machine: &Machine, needs: &[&Need]) -> Result<()> {
    let missing: Vec<&&Need> = needs
        .iter()
        .filter(|need| !(need.present)(machine))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    eprintln!("This machine lacks:");
    for need in &missing {
        eprintln!("  - {}: {} -> {}", need.what, need.why, need.fix.text());
    }
    let wanted: Vec<&str> = missing
        .iter()
        .flat_map(|need| need.fix.packages())
        .copied()
        .collect();
    let makes = missing
        .iter()
        .filter(|need| matches!(need.fix, Fix::Make(..)))
        .count();
    let mut steps = Steps::new(makes.saturating_add(usize::from(!wanted.is_empty())));
    if !wanted.is_empty() {
        steps.silent(&format!("installing {}", wanted.join(" ")), || {
            install_packages(machine, &wanted)
        })?;
    }
    for need in &missing {
        let Fix::Make(how, make) = need.fix else {
            continue;
        };
        // An earlier one may have brought it.
        if (need.present)(machine) {
            continue;
        }
        let result = steps.silent(&format!("setting up {} ({how})", need.what), || {
            make(machine)?;
            if !(need.present)(machine) {
                bail!(
                    "it was installed without an error, and still {} is not found",
                    need.what
                );
            }
            Ok(())
        });
        match result {
            Err(error) if need.goal == Goal::Test => eprintln!("warning: {}: {error:#}", need.what),
            result => result.with_context(|| format!("{} is needed: {}", need.what, need.why))?,
        }
    }
    Ok(())
}

fn install_packages(machine: &Machine, wanted: &[&str]) -> Result<()> {
    if !machine.has_apt() {
        bail!(
            "{} has no apt: install by hand what these Debian packages bring: {}",
            machine.distribution(),
            wanted.join(" ")
        );
    }
    packages::install(machine, wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_apt_the_packages_to_install_by_hand_are_named() {
        let root = tempfile::tempdir().unwrap();
        let machine = Machine::made_up(root.path(), true);
        let needs: Vec<&Need> = NEEDS
            .iter()
            .filter(|need| ["ip", "curl"].contains(&need.what))
            .collect();
        let text = format!("{:#}", fix_missing(&machine, &needs).unwrap_err());
        assert!(
            text.contains("no apt") && text.contains("iproute2 curl"),
            "{text}"
        );
    }
}
