//! What was injected, how often, and what the equation said.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::equation::Sum;

/// The version of the results' form.
pub const SCHEMA_VERSION: u32 = 1;

/// One run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The kernel's release.
    pub kernel: String,
    /// With which the same is played again.
    pub seed: u64,
    /// One a family, in the order in which they were played.
    pub families: Vec<Row>,
}

/// One family of faults.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Its name.
    pub family: String,
    /// Rounds that were wanted.
    pub wanted: u64,
    /// Rounds that ended with the equation.
    pub rounds: u64,
    /// What was injected, and how often.
    pub faults: BTreeMap<String, u64>,
    /// Orders that were carried out, each once.
    pub orders: u64,
    /// Numbers that kernel and agent gave out in these rounds.
    pub produced: u64,
    /// Of them, those in a ledger.
    pub stored: u64,
    /// Of them, those that were named as missing.
    pub gaps: u64,
    /// Nowhere.
    pub lost: u64,
    /// Told twice.
    pub twice: u64,
    /// The longest time from the last mended part until everything was stored
    /// and the order carried out, milliseconds.
    pub settled_ms_max: u64,
    /// Why it was broken off; none when every round held.
    pub failed: Option<String>,
}

impl Row {
    /// Nothing yet.
    #[must_use]
    pub fn of(family: &str, wanted: u64) -> Self {
        Self {
            family: family.to_owned(),
            wanted,
            ..Self::default()
        }
    }

    /// Adds one round: its faults, and the sums before and after it.
    pub fn add(&mut self, faults: &BTreeMap<String, u64>, before: &Sum, after: &Sum) {
        for (fault, times) in faults {
            *self.faults.entry(fault.clone()).or_default() += times;
        }
        self.rounds += 1;
        self.orders += 1;
        self.produced += after.produced.saturating_sub(before.produced);
        self.stored += after.stored.saturating_sub(before.stored);
        self.gaps += after.gaps.saturating_sub(before.gaps);
        self.lost += after.lost;
        self.twice += after.twice;
    }

    /// How long this round took to be whole again.
    pub fn settled_within(&mut self, time: Duration) {
        let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.settled_ms_max = self.settled_ms_max.max(ms);
    }

    /// Whether every round that was wanted held.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        self.failed.is_none() && self.rounds == self.wanted && self.lost == 0 && self.twice == 0
    }
}

impl Report {
    /// Whether every family held.
    #[must_use]
    pub fn is_good(&self) -> bool {
        !self.families.is_empty() && self.families.iter().all(Row::is_good)
    }

    /// Writes it as JSON.
    ///
    /// # Errors
    /// The disk refused.
    pub fn write(&self, file: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(file, text).with_context(|| format!("writing {}", file.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_add_up_and_a_row_is_good_when_all_of_them_held() {
        let sum = |produced, stored, gaps| Sum {
            produced,
            stored,
            gaps,
            ..Sum::default()
        };
        let faults = BTreeMap::from([("agent killed".to_owned(), 2)]);
        let mut row = Row::of("kill", 2);
        row.add(&faults, &sum(100, 90, 0), &sum(300, 295, 5));
        row.settled_within(Duration::from_millis(30));
        assert!(!row.is_good(), "one round is missing");
        row.add(&faults, &sum(300, 295, 5), &sum(400, 395, 5));
        row.settled_within(Duration::from_millis(20));
        assert!(row.is_good());
        assert_eq!((row.produced, row.stored, row.gaps), (300, 305, 5));
        assert_eq!((row.faults["agent killed"], row.settled_ms_max), (4, 30));
        let lost = Row {
            lost: 1,
            ..row.clone()
        };
        assert!(!lost.is_good());
        let failed = Row {
            failed: Some("the agent ended by itself".to_owned()),
            ..row
        };
        assert!(!failed.is_good());
    }
}
