//! Reads by people are entries in the ledgers that they may show.
//!
//! In: who asks what. Out: an entry on its way to disk before the answer goes
//! out; the answer does not wait for the disk. Bound: as [`crate::reads`].
//! Loss: none: where nothing can be entered, nothing is answered.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use monitor_model::{
    event::{Caller, QUESTION_BYTES_MAX},
    id::{SessionId, TenantId},
};
use monitor_proto::v1::{EventFilter, VerdictKind};
use monitor_transport::identity::{Identity, Role};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use tonic::Status;
use tracing::error;

use super::{Edge, denied};
use crate::{
    core::voice::Said,
    reads::{Asked, Items, Reads},
    writer::{Request, Writer},
};

/// Reads that are counted, for all calls.
#[derive(Clone, Debug)]
pub struct Counted {
    reads: Arc<Mutex<Reads>>,
    /// Nothing is entered: for tests that compare ledgers.
    #[cfg(test)]
    is_deaf: bool,
}

impl Counted {
    /// Shares what is counted.
    #[must_use]
    pub fn new(reads: Reads) -> Self {
        Self {
            reads: Arc::new(Mutex::new(reads)),
            #[cfg(test)]
            is_deaf: false,
        }
    }

    /// The same, but nothing is entered.
    #[cfg(test)]
    pub(crate) fn deaf(reads: Reads) -> Self {
        Self {
            is_deaf: true,
            ..Self::new(reads)
        }
    }

    /// What is counted.
    pub fn lock(&self) -> MutexGuard<'_, Reads> {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters everything that was counted; for a stop.
    pub async fn enter_all(&self, writer: &Writer) {
        let said = self.lock().all();
        tell(writer, said).await;
    }
}

/// The parts of a question that say something, by name.
#[derive(Debug, Default)]
pub(super) struct Words(Map<String, Value>);

impl Words {
    /// With a part; one that says nothing is left out.
    pub(super) fn with(mut self, name: &str, part: impl Into<Value>) -> Self {
        let part = part.into();
        let says_nothing = match &part {
            Value::Null | Value::Bool(false) => true,
            Value::Bool(true) => false,
            Value::Number(number) => number.as_u64() == Some(0),
            Value::String(text) => text.is_empty(),
            Value::Array(values) => values.is_empty(),
            Value::Object(fields) => fields.is_empty(),
        };
        if !says_nothing {
            self.0.insert(name.to_owned(), part);
        }
        self
    }

    /// The parts of a filter of events that was found good.
    pub(super) fn of_filter(filter: &EventFilter) -> Self {
        let EventFilter {
            tenants,
            principals,
            sessions,
            hosts,
            kinds,
            verdicts,
            object_prefix,
            least_severity,
        } = filter;
        let sessions: Vec<String> = sessions.iter().map(|id| session(id)).collect();
        let verdicts: Vec<&str> = verdicts
            .iter()
            .filter_map(|number| VerdictKind::try_from(*number).ok())
            .map(|kind| kind.as_str_name())
            .collect();
        Self::default()
            .with("tenants", tenants.clone())
            .with("principals", principals.clone())
            .with("sessions", sessions)
            .with("hosts", hosts.clone())
            .with("kinds", kinds.clone())
            .with("verdicts", verdicts)
            .with("object_prefix", object_prefix.clone())
            .with("least_severity", *least_severity)
    }
}

/// A session as people name it; empty when it is none.
pub(super) fn session(bytes: &[u8]) -> String {
    SessionId::from_slice(bytes).map_or_else(|_| String::new(), |id| id.to_string())
}

impl Edge {
    /// A question of these tenants, all where none is named, as it is entered:
    /// in their ledgers. What is nobody's is the provider's.
    pub(super) fn asked(
        &self,
        identity: &Identity,
        call: &'static str,
        words: Words,
        of: &[TenantId],
    ) -> Arc<Asked> {
        let policy = Arc::clone(&self.writer.tables().borrow().policy);
        let all = policy.tenants().iter().map(|tenant| &tenant.id);
        let ledgers: Vec<TenantId> = all
            .filter(|id| of.is_empty() || of.contains(id))
            .cloned()
            .collect();
        let ledgers = match ledgers.as_slice() {
            [] => vec![TenantId::provider()],
            [..] => ledgers,
        };
        let whole = Value::Object(words.0).to_string();
        let digest = Sha256::digest(&whole).into();
        let question = beginning(&whole).to_owned();
        let question_truncated = question.len() < whole.len();
        let names = |id: &TenantId| whole.contains(id.as_str()) && !of.contains(id);
        // Who is outside knows no other tenants; whether a word is held back must
        // not tell that it is one's name.
        let names_others = match identity.role {
            Role::Auditor => identity.tenants.iter().any(names),
            Role::Agent | Role::Collector | Role::Broker | Role::Soc | Role::Admin => {
                policy.tenants().iter().any(|tenant| names(&tenant.id))
            }
        };
        let is_of_these = !question_truncated && !of.is_empty() && !names_others;
        Arc::new(Asked {
            by: Caller {
                role: identity.role.as_str().to_owned(),
                name: identity.name.clone(),
                tenants: identity.tenants.clone(),
            },
            call,
            question,
            digest,
            question_truncated,
            tenants: if is_of_these { of.to_vec() } else { Vec::new() },
            ledgers,
        })
    }

    /// Enters a read by a person; to be called before anything is answered.
    ///
    /// # Errors
    /// `UNAVAILABLE` when nothing can be entered: then nothing may be shown.
    pub(super) async fn enter(&self, asked: &Arc<Asked>) -> Result<(), Status> {
        // Room first, so that what is counted is sure to be entered.
        let room = self.writer.room().await.map_err(denied)?;
        let said = self.reads.lock().read(asked, None, self.clock.now());
        #[cfg(test)]
        let said = if self.reads.is_deaf { Vec::new() } else { said };
        if !said.is_empty() {
            room.send(Request::Say(said));
        }
        Ok(())
    }

    /// The same of a question that is asked in one piece; of programs nothing
    /// is entered.
    pub(super) async fn enter_call(
        &self,
        identity: &Identity,
        call: &'static str,
        words: Words,
        of: &[TenantId],
    ) -> Result<(), Status> {
        match identity.role {
            Role::Soc | Role::Admin | Role::Auditor => {
                let asked = self.asked(identity, call, words, of);
                self.enter(&asked).await
            }
            Role::Agent | Role::Collector | Role::Broker => Ok(()),
        }
    }

    /// Enters that a stream ended, and what it had sent.
    pub(super) async fn enter_end(&self, asked: &Arc<Asked>, items: Items) {
        let now = self.clock.now();
        let said = self.reads.lock().read(asked, Some(items), now);
        #[cfg(test)]
        let said = if self.reads.is_deaf { Vec::new() } else { said };
        tell(&self.writer, said).await;
    }
}

/// Hands over what cannot be refused any more.
async fn tell(writer: &Writer, said: Vec<Said>) {
    let entries = said.len();
    if entries > 0 && writer.tell(Request::Say(said)).await.is_err() {
        error!(entries, "Reads are not entered, the writer has stopped.");
    }
}

/// As much of a question as an entry has.
fn beginning(whole: &str) -> &str {
    let mut ends = (0..=QUESTION_BYTES_MAX.min(whole.len())).rev();
    let beginning = ends.find_map(|end| whole.get(..end));
    beginning.unwrap_or_default()
}
