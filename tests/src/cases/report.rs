//! The table and the JSON.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::alerts::{self, RuleAlerts};
use super::compare::Found;
use super::discover::Case;
use super::sensing::Sensing;

/// How a case came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// As expected.
    Ok,
    /// Something differs.
    Failed,
    /// Not seen, and said not to be.
    Blind,
    /// A need is not met.
    CannotRun,
}

/// What became of one case.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CaseReport {
    /// Its id.
    pub id: String,
    /// What is done in it.
    pub title: String,
    /// How it came out.
    pub result: Outcome,
    /// Whether everything was seen, as often as it should be.
    pub seen: Option<bool>,
    /// Whether all of it is of the right session.
    pub attributed: Option<bool>,
    /// Whether all of it has the right verdict.
    pub judged: Option<bool>,
    /// What differs, why it cannot run, or why it is not seen.
    pub reasons: Vec<String>,
    /// How long it took.
    pub seconds: f64,
    /// How many events it made.
    #[serde(default)]
    pub events: usize,
    /// The alerts that it raised.
    #[serde(default)]
    pub alerts: Vec<RuleAlerts>,
    /// Each expectation.
    pub expects: Vec<Found>,
}

impl CaseReport {
    /// Of what was found in a case.
    #[must_use]
    pub fn of(
        case: &Case,
        start: Instant,
        result: Outcome,
        reasons: Vec<String>,
        expects: Vec<Found>,
    ) -> Self {
        let all = |of: fn(&Found) -> Option<bool>| {
            let mut said = expects.iter().filter_map(of).peekable();
            said.peek().is_some().then(|| said.all(|yes| yes))
        };
        Self {
            id: case.id.clone(),
            title: case.expectations.title.clone(),
            result,
            seen: all(|found| Some(found.seen)),
            attributed: all(|found| found.attributed),
            judged: all(|found| found.judged),
            reasons,
            seconds: start.elapsed().as_secs_f64(),
            events: 0,
            alerts: Vec::new(),
            expects,
        }
    }

    /// Its line.
    #[must_use]
    pub fn line(&self) -> String {
        let result = match self.result {
            Outcome::Ok => "ok",
            Outcome::Failed => "FAILED",
            Outcome::Blind => "blind",
            Outcome::CannotRun => "cannot run here",
        };
        let mut line = format!(
            "{:<6} {:<46} {:<5} {:<11} {:<7} {:<7} {result}",
            self.id,
            cut(&self.title, 46),
            word(self.seen),
            word(self.attributed),
            word(self.judged),
            self.alerts.iter().map(|alerts| alerts.count).sum::<usize>()
        );
        if !self.alerts.is_empty() {
            line.push_str("\n         alerts: ");
            line.push_str(&alerts::in_words(&self.alerts));
        }
        for reason in &self.reasons {
            line.push_str("\n         ");
            line.push_str(reason);
        }
        line
    }
}

/// The names of the columns.
#[must_use]
pub fn head() -> String {
    format!(
        "{:<6} {:<46} {:<5} {:<11} {:<7} {:<7} result",
        "case", "what", "seen", "attributed", "judged", "alerts"
    )
}

const fn word(is: Option<bool>) -> &'static str {
    match is {
        Some(true) => "yes",
        Some(false) => "no",
        None => "-",
    }
}

fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(most.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// What became of all cases on one kernel.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// The kernel's release.
    pub release: String,
    /// What the agent said it can see.
    pub sensing: Option<Sensing>,
    /// Each case.
    pub cases: Vec<CaseReport>,
    /// Why the run was broken off; none if it was not.
    pub error: Option<String>,
}

impl Report {
    /// How many came out so.
    #[must_use]
    pub fn count(&self, outcome: Outcome) -> usize {
        self.cases
            .iter()
            .filter(|case| case.result == outcome)
            .count()
    }

    /// Whether nothing failed.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.error.is_none() && self.count(Outcome::Failed) == 0
    }

    /// The closing line.
    #[must_use]
    pub fn sum(&self) -> String {
        let expects = self.cases.iter().flat_map(|case| &case.expects);
        let (mut right, mut unnamed, mut wrong) = (0_usize, 0_usize, 0_usize);
        for found in expects {
            right = right.saturating_add(found.right);
            unnamed = unnamed.saturating_add(found.unnamed);
            wrong = wrong.saturating_add(found.wrong);
        }
        format!(
            "{}: {} ok, {} failed, {} blind, {} cannot run here; \
             of the events: {right} to whom they belong, {unnamed} to nobody, {wrong} to somebody else",
            self.release,
            self.count(Outcome::Ok),
            self.count(Outcome::Failed),
            self.count(Outcome::Blind),
            self.count(Outcome::CannotRun)
        )
    }

    /// Writes the JSON, on disk when this returns.
    ///
    /// # Errors
    /// The disk refused.
    pub fn write(&self, file: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        let write = || {
            let mut open = fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .open(file)?;
            // A device keeps its size.
            if open.metadata()?.is_file() {
                open.set_len(0)?;
            }
            open.write_all(text.as_bytes())?;
            open.sync_all()
        };
        write().with_context(|| format!("writing {}", file.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_says_what_differs_below_it() {
        let report = CaseReport {
            id: "A1".to_owned(),
            title: "x".repeat(60),
            result: Outcome::Failed,
            seen: Some(true),
            attributed: Some(false),
            judged: None,
            reasons: vec!["why".to_owned()],
            seconds: 1.0,
            events: 3,
            alerts: vec![RuleAlerts {
                rule: "listener".to_owned(),
                severity: "low".to_owned(),
                count: 2,
                sentence: String::new(),
            }],
            expects: Vec::new(),
        };
        let line = report.line();
        assert!(
            line.contains(
                "yes   no          -       2       FAILED\n         alerts: listener 2\n"
            ),
            "{line}"
        );
        assert!(
            line.ends_with("         why") && line.contains('…'),
            "{line}"
        );
    }
}
