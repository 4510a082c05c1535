//! Many seeds, one after another, each in a process of its own: what a library
//! keeps for the whole process, as what it drew when it was first used, would be
//! another thing in the second play of one process than in the first.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::{
    play::{Outcome, Sabotage},
    verdict::Books,
};

/// What a process that plays one seed says of it, on a line of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Played {
    /// The seed.
    pub seed: u64,
    /// The hash of what happened.
    pub trace: String,
    /// How much happened.
    pub happened: u64,
    /// What was counted; none where it does not hold.
    pub books: Option<Books>,
    /// What does not hold; empty where all does.
    pub broken: String,
}

impl From<&Outcome> for Played {
    fn from(outcome: &Outcome) -> Self {
        let (trace, happened) = outcome.trace.clone();
        let error = outcome.books.as_ref().err();
        Self {
            seed: outcome.seed,
            trace,
            happened,
            books: outcome.books.as_ref().ok().copied(),
            broken: error.map(|error| format!("{error:#}")).unwrap_or_default(),
        }
    }
}

impl Played {
    /// What came of it, and how to see it again.
    #[must_use]
    pub fn told(&self) -> String {
        let Self { seed, broken, .. } = self;
        match &self.books {
            Some(books) => format!("seed {seed} holds: {books:?}; trace {}", self.trace),
            None => format!(
                "seed {seed} does not hold: {broken}\n  again, with everything that happens: cargo xtask simulate --seed {seed}"
            ),
        }
    }
}

/// What became of a series.
#[derive(Debug, Default)]
pub struct Series {
    /// How many were played.
    pub played: u64,
    /// Of those that hold, everything together.
    pub books: Books,
    /// Those that do not hold.
    pub broken: Vec<Played>,
}

/// Plays one seed in a process of its own; `program` is `monitor-simulate`.
///
/// # Errors
/// The process does not run, or says nothing of its play.
pub fn play_apart(program: &Path, seed: u64, sabotage: Sabotage) -> Result<Played> {
    let output = Command::new(program)
        .args([format!("--seed={seed}"), format!("--sabotage={sabotage}")])
        .arg("--machine")
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("running {}", program.display()))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let last = said.lines().last().unwrap_or_default();
    let played: Played = serde_json::from_str(last)
        .with_context(|| format!("seed {seed}: the play ended by {}: {last:?}", output.status))?;
    ensure!(
        played.seed == seed,
        "seed {} was played instead of {seed}",
        played.seed
    );
    Ok(played)
}

/// Plays so many seeds, from one on; `say` hears of each that does not hold.
///
/// # Errors
/// As [`play_apart`].
pub fn play_all(
    program: &Path,
    (first, seeds): (u64, u64),
    mut say: impl FnMut(&Played),
) -> Result<Series> {
    let mut series = Series::default();
    for seed in first..first.saturating_add(seeds) {
        let played = play_apart(program, seed, Sabotage::None)?;
        series.played += 1;
        if let Some(books) = played.books {
            series.books = series.books.and(books);
        } else {
            say(&played);
            series.broken.push(played);
        }
    }
    Ok(series)
}
