//! Whether the ledgers hold every number of every stream, once.
//!
//! In: what `monitorctl tail` reads from all ledgers. The collector's own
//! bookkeeping is not asked.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::command;
use crate::equation;
use crate::poll;
use crate::scene::SEEN_WITHIN;
use crate::stage::{Stage, config};

/// Sequence numbers by stream: agent, boot and source.
type Streams = BTreeMap<String, BTreeSet<u64>>;

/// What the ledgers hold at one time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holdings {
    stored: Streams,
    gaps: Vec<(String, u64, u64)>,
}

impl Holdings {
    /// Reads every ledger to its present end.
    ///
    /// # Errors
    /// `monitorctl` failed, or an event is there twice.
    pub fn read(stage: &Stage) -> Result<Self> {
        let arguments = ["-v", "tail", "--from-start", "--until-now", "-o", "ndjson"];
        let mut tail = config::monitorctl(&stage.folder, arguments)?;
        let text = command::stdout(&mut tail)?;
        let mut holdings = Self::default();
        for line in text.lines() {
            let value: Value = serde_json::from_str(line).context("reading a line of tail")?;
            if value.pointer("/type").and_then(Value::as_str) == Some("event") {
                holdings.take(&value)?;
            }
        }
        Ok(holdings)
    }

    /// How many events there are.
    #[must_use]
    pub fn events(&self) -> usize {
        self.stored.values().map(BTreeSet::len).sum()
    }

    /// Gaps that are named.
    #[must_use]
    pub fn gaps(&self) -> &[(String, u64, u64)] {
        &self.gaps
    }

    /// Numbers up to `bounds` that are neither stored nor in a named gap.
    #[must_use]
    pub fn missing(&self, bounds: &Self) -> Vec<String> {
        let mut missing = Vec::new();
        for (stream, numbers) in &bounds.stored {
            let Some(last) = numbers.last() else { continue };
            let stored = self.stored.get(stream);
            for number in 1..=*last {
                let is_stored = stored.is_some_and(|stored| stored.contains(&number));
                let is_named = self
                    .gaps
                    .iter()
                    .any(|(of, first, last)| of == stream && (*first..=*last).contains(&number));
                if !is_stored && !is_named {
                    missing.push(format!("{stream}/{number}"));
                }
            }
        }
        missing
    }

    fn take(&mut self, value: &Value) -> Result<()> {
        let text = |place: &str| {
            value
                .pointer(place)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let id = text("/event/id");
        let (stream, number) = id
            .rsplit_once('/')
            .with_context(|| format!("event id {id:?}"))?;
        let number = number.parse().with_context(|| format!("event id {id:?}"))?;
        if !self
            .stored
            .entry(stream.to_owned())
            .or_default()
            .insert(number)
        {
            bail!("event {id} is in the ledgers twice");
        }
        if text("/event/action/kind") == "gap" {
            let of = |place: &str| value.pointer(place).and_then(Value::as_u64);
            let (before, _) = stream
                .rsplit_once('/')
                .context("a stream without a source")?;
            let source = format!("{before}/{}", text("/event/action/source"));
            let first = of("/event/action/first").context("a gap without a first number")?;
            let last = of("/event/action/last").context("a gap without a last number")?;
            self.gaps.push((source, first, last));
        }
        Ok(())
    }
}

/// Waits until everything up to the present is there; gives back what is.
///
/// # Errors
/// Something is missing, or is there twice.
pub fn settle(stage: &Stage) -> Result<Holdings> {
    let bounds = Holdings::read(stage)?;
    let mut last = Vec::new();
    let settled = poll::until("every event in a ledger", SEEN_WITHIN, || {
        let now = Holdings::read(stage)?;
        last = now.missing(&bounds);
        Ok(last.is_empty().then_some(now))
    });
    let holdings = settled.with_context(|| {
        let some: Vec<&str> = last.iter().take(20).map(String::as_str).collect();
        format!(
            "{} numbers are neither stored nor named as a gap: {}",
            last.len(),
            some.join(", ")
        )
    })?;
    equation::holds(&stage.folder)?;
    Ok(holdings)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(id: &str) -> Value {
        json!({"type": "event", "event": {"id": id, "action": {"kind": "exec"}}})
    }

    #[test]
    fn number_is_missing_unless_it_is_stored_or_named() {
        let mut holdings = Holdings::default();
        for id in ["j/B/p0/1", "j/B/p0/4", "j/B/p0/6"] {
            holdings.take(&event(id)).unwrap();
        }
        let gap = json!({"type": "event", "event": {"id": "j/B/a/1",
            "action": {"kind": "gap", "source": "p0", "first": 2, "last": 3}}});
        holdings.take(&gap).unwrap();
        assert_eq!(holdings.missing(&holdings.clone()), ["j/B/p0/5"]);
        assert_eq!(holdings.events(), 4);
    }

    #[test]
    fn event_that_is_there_twice_is_refused() {
        let mut holdings = Holdings::default();
        holdings.take(&event("j/B/p0/1")).unwrap();
        let text = holdings.take(&event("j/B/p0/1")).unwrap_err().to_string();
        assert!(text.contains("twice"), "{text}");
    }
}
