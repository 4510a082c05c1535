//! What happened of the scene, step by step, and the times that were measured.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::clock::now_unix_ns;

/// One step of the scene.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct Step {
    /// Its name, stable for programs.
    pub name: &'static str,
    /// What should happen, in words.
    pub about: &'static str,
    /// Whether it did.
    pub happened: bool,
    /// What was seen, or why not.
    pub seen: String,
    /// When it was over, nanoseconds since 1970.
    pub over_unix_ns: u64,
}

/// When each thing happened, nanoseconds since 1970. The last is observed from
/// outside, the others are what the collector recorded.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, PartialEq, Eq)]
pub struct Times {
    /// The kernel saw the event that revoked.
    pub kernel_event_unix_ns: Option<u64>,
    /// The alert was raised.
    pub alert_unix_ns: Option<u64>,
    /// The order was given; the broker is asked once it is on disk.
    pub ordered_unix_ns: Option<u64>,
    /// The broker was asked.
    pub broker_asked_unix_ns: Option<u64>,
    /// The order had come to the host.
    pub host_told_unix_ns: Option<u64>,
    /// The host let no login in with the certificate, and the kernel no
    /// connection of the session out.
    pub held_unix_ns: Option<u64>,
    /// The broker answered.
    pub broker_answered_unix_ns: Option<u64>,
    /// The broker's revocation list was in place.
    pub krl_published_unix_ns: Option<u64>,
    /// The session's last process was gone.
    pub last_process_gone_unix_ns: Option<u64>,
    /// The next login had been refused.
    pub login_refused_unix_ns: Option<u64>,
}

/// A later time in words.
#[must_use]
pub fn in_words(name: &str) -> &'static str {
    match name {
        "alert" => "alert raised",
        "ordered" => "order given",
        "broker_asked" => "broker asked, the order being on disk",
        "host_told" => "order at the host",
        "held" => "kernel refuses the session's connections",
        "last_process_gone" => "last process of the session gone",
        "krl_published" => "serial on the revocation list",
        "broker_answered" => "broker answered",
        "login_refused" => "next login refused",
        _ => "a time that has no name here",
    }
}

impl Times {
    /// Each later time with its name.
    #[must_use]
    pub fn later(&self) -> [(&'static str, Option<u64>); 9] {
        [
            ("alert", self.alert_unix_ns),
            ("ordered", self.ordered_unix_ns),
            ("broker_asked", self.broker_asked_unix_ns),
            ("host_told", self.host_told_unix_ns),
            ("held", self.held_unix_ns),
            ("last_process_gone", self.last_process_gone_unix_ns),
            ("krl_published", self.krl_published_unix_ns),
            ("broker_answered", self.broker_answered_unix_ns),
            ("login_refused", self.login_refused_unix_ns),
        ]
    }

    /// Milliseconds from the kernel event to a later time.
    #[must_use]
    pub fn since_event_ms(&self, later: Option<u64>) -> Option<f64> {
        let nanoseconds = later?.saturating_sub(self.kernel_event_unix_ns?);
        let micros = u32::try_from(nanoseconds / 1_000).unwrap_or(u32::MAX);
        Some(f64::from(micros) / 1_000.0)
    }
}

/// The whole of it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// Version of this shape.
    pub schema_version: u32,
    /// Whether every step happened as written.
    pub happened: bool,
    /// Why it ended early, where it did.
    pub error: Option<String>,
    /// The steps, in order, up to the first that did not happen.
    pub steps: Vec<Step>,
    /// The times.
    pub times: Times,
    /// Milliseconds from the kernel event to each later time.
    pub since_kernel_event_ms: serde_json::Map<String, serde_json::Value>,
}

impl Report {
    /// Nothing happened yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            schema_version: 1,
            ..Self::default()
        }
    }

    /// Plays one step and notes what became of it.
    ///
    /// # Errors
    /// The step did not happen.
    pub fn step<T>(
        &mut self,
        name: &'static str,
        about: &'static str,
        play: impl FnOnce() -> Result<(T, String)>,
    ) -> Result<T> {
        let played = play();
        let (happened, seen) = match &played {
            Ok((_, seen)) => (true, seen.clone()),
            Err(error) => (false, format!("{error:#}")),
        };
        let over_unix_ns = now_unix_ns();
        self.steps.push(Step {
            name,
            about,
            happened,
            seen,
            over_unix_ns,
        });
        played
            .map(|(value, _)| value)
            .with_context(|| format!("step {name} ({about})"))
    }

    /// Closes the report.
    pub fn close(&mut self, result: &Result<()>) {
        self.happened = result.is_ok();
        self.error = result.as_ref().err().map(|error| format!("{error:#}"));
        for (name, at) in self.times.later() {
            let value = self
                .times
                .since_event_ms(at)
                .map_or(serde_json::Value::Null, Into::into);
            self.since_kernel_event_ms.insert(name.to_owned(), value);
        }
    }

    /// Writes it as JSON.
    ///
    /// # Errors
    /// The disk refused.
    pub fn write(&self, file: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        std::fs::write(file, text + "\n").with_context(|| format!("writing {}", file.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn step_that_did_not_happen_is_written_with_its_reason() {
        let mut report = Report::new();
        let result = report.step("a", "something", || -> Result<((), String)> {
            anyhow::bail!("it rained")
        });
        report.close(&result);
        assert!(!report.happened);
        assert_eq!(report.steps[0].seen, "it rained");
        assert!(
            report
                .error
                .unwrap()
                .contains("step a (something): it rained")
        );
    }

    #[test]
    fn every_time_has_words_of_its_own() {
        let times = Times::default().later();
        let words: std::collections::BTreeSet<_> =
            times.iter().map(|(name, _)| in_words(name)).collect();
        assert_eq!(words.len(), times.len());
        assert!(!words.contains(in_words("")));
    }

    #[test]
    fn times_are_counted_from_the_kernel_event() {
        let times = Times {
            kernel_event_unix_ns: Some(1_000_000),
            alert_unix_ns: Some(3_500_000),
            ..Times::default()
        };
        assert_eq!(times.since_event_ms(times.alert_unix_ns), Some(2.5));
        assert_eq!(times.since_event_ms(times.broker_answered_unix_ns), None);
    }
}
