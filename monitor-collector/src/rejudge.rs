//! Makes the judgements of a ledger again, from what is stored: the event, the
//! policy of the version that the judgement names, and the grants as they stood
//! when it was made.
//!
//! In: a collector's folder; nothing in it is changed. Out: how many came out
//! the same, and the first that did not. Bound: one entry at a time; policies
//! and grants are kept once they were needed.

use std::collections::{HashMap, hash_map::Entry as MapEntry};

use monitor_model::{
    clock::UnixNs,
    evaluate::Grants,
    grant::Grant,
    id::{GrantId, TenantId},
    judge::{judge_under, stands_on},
    policy::Policy,
    verdict::Judgement,
};

use crate::{
    ledger::{
        Entry, Home, LedgerError,
        read::{Filter, Reader, Span},
    },
    state::{StateError, policies::Form, read::StateReader},
};

/// Entries that are read at once.
const PAGE: u32 = 1_000;

/// Why a ledger cannot be judged again.
#[derive(Debug, thiserror::Error)]
pub enum RejudgeError {
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The state.
    #[error(transparent)]
    State(#[from] StateError),
}

/// What became of a ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Judgements that came out the same.
    pub same: u64,
    /// Judgements under a version that this collector does not have.
    pub unknown: u64,
    /// Judgements that came out otherwise.
    pub differing: u64,
    /// The first of those.
    pub first: Option<Differing>,
}

/// A judgement that came out otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Differing {
    /// Its place in the ledger.
    pub position: u64,
    /// What is stored.
    pub stored: Judgement,
    /// What came out.
    pub again: Judgement,
}

/// Judges every entry of a tenant's ledger again.
///
/// # Errors
/// [`RejudgeError`] when ledger or state cannot be read.
pub fn rejudge(home: impl Into<Home>, tenant: &TenantId) -> Result<Report, RejudgeError> {
    let home = home.into();
    let reader = Reader::open(&home, tenant)?;
    let mut past = Past::open(&home)?;
    let mut report = Report::default();
    let mut after = UnixNs(0);
    loop {
        let span = Span {
            after,
            up_to: UnixNs::MAX,
            limit: PAGE,
        };
        let (entries, _) = reader.page(span, &Filter::default())?;
        let Some(last) = entries.last() else {
            return Ok(report);
        };
        after = last.stored_at;
        for entry in &entries {
            report.take(entry, past.judge(entry)?);
        }
    }
}

impl Report {
    fn take(&mut self, entry: &Entry, again: Option<Judgement>) {
        let stored = &entry.judged.judgement;
        match again {
            None => self.unknown += 1,
            Some(again) if again == *stored => self.same += 1,
            Some(again) => {
                self.differing += 1;
                self.first.get_or_insert_with(|| Differing {
                    position: entry.position,
                    stored: stored.clone(),
                    again,
                });
            }
        }
    }
}

/// What judgements were made from.
#[derive(Debug)]
struct Past {
    state: StateReader,
    policies: HashMap<String, Option<Policy>>,
    forms: HashMap<GrantId, Vec<Form>>,
}

/// The grants as they stood at a place among events.
struct GrantsAt<'a> {
    forms: &'a HashMap<GrantId, Vec<Form>>,
    at: UnixNs,
}

impl Grants for GrantsAt<'_> {
    fn find(&self, id: &GrantId) -> Option<&Grant> {
        let forms = self.forms.get(id)?.iter();
        let before = forms.take_while(|(after, _)| *after < self.at);
        before.last().map(|(_, grant)| grant)
    }
}

impl Past {
    fn open(home: &Home) -> Result<Self, StateError> {
        Ok(Self {
            state: StateReader::open(home)?,
            policies: HashMap::new(),
            forms: HashMap::new(),
        })
    }

    /// None where the version is not known.
    fn judge(&mut self, entry: &Entry) -> Result<Option<Judgement>, StateError> {
        let version = &entry.judged.judgement.policy_version;
        for id in stands_on(&entry.judged.event) {
            if let MapEntry::Vacant(place) = self.forms.entry(id.clone()) {
                place.insert(self.state.forms(id)?);
            }
        }
        let policy = match self.policies.entry(version.clone()) {
            MapEntry::Occupied(known) => known.into_mut(),
            MapEntry::Vacant(place) => place.insert(self.state.policy(version)?),
        };
        let Some(policy) = policy else {
            return Ok(None);
        };
        let grants = GrantsAt {
            forms: &self.forms,
            at: entry.stored_at,
        };
        Ok(Some(judge_under(policy, &grants, &entry.judged.event)))
    }
}
