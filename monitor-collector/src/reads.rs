//! Counts reads by people, so that many alike are one entry. Pure.
//!
//! In: reads, each with its time. Out: what is entered, for each ledger: the
//! first read at once, further ones of the same caller, call, question and
//! ledgers together when the time is over. Bound: [`COUNTED_MAX`] questions are
//! counted at once; beyond it each read is entered by itself. Loss: none in
//! itself; a process that is killed loses what it counted and did not enter,
//! all of it further reads of what was entered once.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use monitor_model::{
    clock::UnixNs,
    event::{Action, Caller},
    id::TenantId,
};

use crate::{core::voice::Said, ledger::Hash};

/// Most questions that are counted at once.
pub const COUNTED_MAX: usize = 4_096;

/// What was asked, by whom.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Asked {
    /// Who.
    pub by: Caller,
    /// The call.
    pub call: &'static str,
    /// The question, cut where it is too long.
    pub question: String,
    /// SHA-256 of the question before it was cut.
    pub digest: Hash,
    /// Whether it was cut.
    pub question_truncated: bool,
    /// The tenants that it is of; empty for all.
    pub tenants: Vec<TenantId>,
    /// The ledgers that the answer may show.
    pub ledgers: Vec<TenantId>,
}

/// How many items of each ledger a stream sent.
pub type Items = BTreeMap<TenantId, u64>;

/// What is counted: a question, and whether it is the end of its stream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    asked: Arc<Asked>,
    is_end: bool,
}

/// Reads since the first, which was entered.
#[derive(Debug)]
struct Further {
    since: UnixNs,
    times: u64,
    first_at: UnixNs,
    last_at: UnixNs,
    items: Option<Items>,
}

/// Reads that are counted.
#[derive(Debug)]
pub struct Reads {
    further: HashMap<Key, Further>,
    /// For how long reads alike are one.
    window: Duration,
    counted_max: usize,
}

impl Reads {
    /// Counts within this time; with none each read is entered by itself.
    #[must_use]
    pub fn new(window: Duration, counted_max: usize) -> Self {
        Self {
            further: HashMap::new(),
            window,
            counted_max,
        }
    }

    /// Takes a read, and gives what is to be entered now; nothing where it was
    /// counted. `items` are those of a stream that ended.
    pub fn read(&mut self, asked: &Arc<Asked>, items: Option<Items>, at: UnixNs) -> Vec<Said> {
        let key = Key {
            asked: Arc::clone(asked),
            is_end: items.is_some(),
        };
        let mut said = Vec::new();
        if let Some(further) = self.further.get_mut(&key) {
            if at.since(further.since) < self.window {
                further.take(items, at);
                return Vec::new();
            }
            said = further.said(asked);
            self.further.remove(&key);
        }
        let mut first = Further::since(at, items.as_ref().map(|_| Items::new()));
        first.take(items, at);
        said.extend(first.said(asked));
        if !self.window.is_zero() && self.further.len() < self.counted_max {
            let none = key.is_end.then(Items::new);
            self.further.insert(key, Further::since(at, none));
        }
        said
    }

    /// What is to be entered since its time is over.
    pub fn due(&mut self, now: UnixNs) -> Vec<Said> {
        let window = self.window;
        let is_due = |further: &Further| now.since(further.since) >= window;
        self.take(is_due)
    }

    /// Everything that was counted.
    pub fn all(&mut self) -> Vec<Said> {
        self.take(|_| true)
    }

    /// How many questions are counted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.further.len()
    }

    /// Whether nothing is counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.further.is_empty()
    }

    fn take(&mut self, wanted: impl Fn(&Further) -> bool) -> Vec<Said> {
        let over = self.further.extract_if(|_, further| wanted(further));
        over.flat_map(|(key, further)| further.said(&key.asked))
            .collect()
    }
}

impl Further {
    const fn since(at: UnixNs, items: Option<Items>) -> Self {
        Self {
            since: at,
            times: 0,
            first_at: at,
            last_at: at,
            items,
        }
    }

    fn take(&mut self, items: Option<Items>, at: UnixNs) {
        if self.times == 0 {
            self.first_at = at;
        }
        self.times = self.times.saturating_add(1);
        self.last_at = at;
        for (ledger, sent) in items.into_iter().flatten() {
            let all = self.items.get_or_insert_default().entry(ledger);
            let all = all.or_default();
            *all = all.saturating_add(sent);
        }
    }

    /// An entry for each ledger; none where there was no further read.
    fn said(&self, asked: &Asked) -> Vec<Said> {
        if self.times == 0 {
            return Vec::new();
        }
        let of = |ledger: &TenantId| {
            let read = Action::Read {
                by: asked.by.clone(),
                call: asked.call.to_owned(),
                question: asked.question.clone(),
                question_truncated: asked.question_truncated,
                tenants: asked.tenants.clone(),
                first_at: self.first_at,
                last_at: self.last_at,
                times: self.times,
                items: self
                    .items
                    .as_ref()
                    .map(|items| items.get(ledger).copied().unwrap_or(0)),
            };
            Said::of(ledger.clone(), read, self.last_at)
        };
        asked.ledgers.iter().map(of).collect()
    }
}

#[cfg(test)]
mod tests;
