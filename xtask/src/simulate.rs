//! `cargo xtask simulate`: agents, collector and broker in one thread, by seeds.

use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use crate::cache::Project;
use crate::host_build;

/// The program that plays.
const PROGRAM: &str = "monitor-simulate";

/// What is played.
#[derive(Debug, clap::Args)]
pub(crate) struct SimulateArgs {
    /// How many seeds are played, one after another.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first of them; without it one is drawn, and told.
    #[arg(long, value_name = "S")]
    first: Option<u64>,
    /// Only this one, with everything that happens on standard error.
    #[arg(long, value_name = "S", conflicts_with_all = ["seeds", "first"])]
    seed: Option<u64>,
}

impl SimulateArgs {
    fn words(&self) -> Vec<String> {
        if let Some(seed) = self.seed {
            return vec![format!("--seed={seed}")];
        }
        let first = self.first.map(|first| format!("--first={first}"));
        [format!("--seeds={}", self.seeds)]
            .into_iter()
            .chain(first)
            .collect()
    }
}

/// `cargo xtask simulate`.
///
/// # Errors
/// The program could not be built or run.
pub(crate) fn run(project: &Project, args: &SimulateArgs) -> Result<ExitCode> {
    let programs = host_build::build_with_tests(project)?.0.programs;
    let status = Command::new(programs.join(PROGRAM))
        .args(args.words())
        .status()
        .with_context(|| format!("running {PROGRAM}"))?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_is_played_alone_and_many_from_a_first_one_on() {
        let many = SimulateArgs {
            seeds: 7,
            first: Some(3),
            seed: None,
        };
        assert_eq!(many.words(), ["--seeds=7", "--first=3"]);
        let one = SimulateArgs {
            seed: Some(9),
            ..many
        };
        assert_eq!(one.words(), ["--seed=9"]);
    }
}
