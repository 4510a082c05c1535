//! What is signed and what is refused, and why.
//!
//! In: a body as it was sent. Out: a signature line, once what it says is on
//! disk; or a [`Refusal`]. Of one log, no two trees are signed of which one is
//! not the beginning of the other.

use std::sync::{Mutex, PoisonError};

use monitor_ledger::{
    checkpoint::{Checkpoint, CheckpointError},
    cosignature::{self, CosigningKey},
    proof::{Tree, proves_consistency},
};
use monitor_model::clock::UnixNs;
use tracing::{debug, error, warn};

use crate::{
    logs::Logs,
    store::{Change, Store, StoreError, Submitted},
    submission::{Submission, SubmissionError},
};

/// Why nothing is signed.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The body is none.
    #[error(transparent)]
    Malformed(#[from] SubmissionError),
    /// The log is none of those that are known.
    #[error("log {origin:?} is not known here; the witness's [[log]] tables say which are")]
    Unknown {
        /// Its name.
        origin: String,
    },
    /// None of its keys signed.
    #[error("the checkpoint is not signed by the key of its log: {0}")]
    Unsigned(CheckpointError),
    /// It goes on from another size than that which was signed last.
    #[error("the newest tree that was signed has {size} entries")]
    Size {
        /// That which was signed last; 0 before the first.
        size: u64,
    },
    /// A tree of this size was signed, and it was another.
    #[error("another tree of {size} entries was signed")]
    Root {
        /// The size of both.
        size: u64,
    },
    /// The proof does not show that it goes on from what was signed.
    #[error(
        "the proof does not show that the first {old} of {size} entries are those that were signed"
    )]
    Proof {
        /// The size that was signed last.
        old: u64,
        /// The size of the checkpoint.
        size: u64,
    },
    /// Too many logs.
    #[error("as many logs are known as limits.logs_max allows ({most})")]
    Full {
        /// How many.
        most: u64,
    },
    /// The signature could not be made.
    #[error(transparent)]
    Sign(CheckpointError),
    /// The state failed: nothing was signed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Signs with one key.
#[derive(Debug)]
pub struct Witness {
    key: CosigningKey,
    logs: Logs,
    logs_max: u64,
    store: Mutex<Store>,
}

impl Witness {
    /// Over a state.
    #[must_use]
    pub const fn new(key: CosigningKey, logs: Logs, logs_max: u64, store: Store) -> Self {
        Self {
            key,
            logs,
            logs_max,
            store: Mutex::new(store),
        }
    }

    /// Signs a checkpoint that goes on from what was signed before; what it
    /// signs is on disk before this returns.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn add_checkpoint(&self, body: &[u8], now: UnixNs) -> Result<Vec<u8>, Refusal> {
        let submission = Submission::read(body)?;
        self.check_signature(&submission)?;
        submission.check_order()?;
        let at_unix_s = now.as_seconds();
        let origin = &submission.checkpoint.origin;
        let submitted = Submitted {
            origin,
            note: &submission.note,
            at_unix_s,
        };
        let turned = {
            let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
            store.turn(submitted, |known, logs| {
                self.decide(&submission, known, logs)
            })
        };
        match turned? {
            Ok(tree) => debug!(%origin, size = tree.size, "Checkpoint cosigned."),
            Err(refusal) => {
                tell(origin, &submission, &refusal);
                return Err(refusal);
            }
        }
        let text = cosignature::text(&submission.note).map_err(Refusal::Sign)?;
        let line = self.key.cosign(&text, at_unix_s);
        line.map_err(|error| Refusal::Sign(error.into()))
    }

    fn check_signature(&self, submission: &Submission) -> Result<(), Refusal> {
        let origin = &submission.checkpoint.origin;
        let mut refusal = Refusal::Unknown {
            origin: origin.clone(),
        };
        for key in self.logs.keys(origin) {
            match Checkpoint::open(&submission.note, &key) {
                Ok(_) => return Ok(()),
                Err(error) => refusal = Refusal::Unsigned(error),
            }
        }
        Err(refusal)
    }

    fn decide(&self, submission: &Submission, known: Option<Tree>, logs: u64) -> Change<Refusal> {
        if known.is_none() && logs >= self.logs_max {
            let most = self.logs_max;
            return Change::Refused(Refusal::Full { most });
        }
        decide(submission, known)
    }
}

/// Whether a tree goes on from the newest that was signed of its log.
fn decide(submission: &Submission, known: Option<Tree>) -> Change<Refusal> {
    let (old, new) = (submission.old, submission.checkpoint.tree);
    let size = known.map_or(0, |tree| tree.size);
    // Two trees of one size, both signed by the log, show a fork whatever else was sent.
    if known.is_some_and(|known| known.size == new.size && known.root != new.root) {
        return Change::Contradicts(Refusal::Root { size });
    }
    if old != size {
        return Change::Refused(Refusal::Size { size });
    }
    let begins = match &known {
        // Before the first, an empty tree has one root.
        None if new.size == 0 => {
            submission.proof.is_empty() && new.root == monitor_ledger::merkle::empty_root()
        }
        None => submission.proof.is_empty(),
        Some(known) => proves_consistency(&submission.proof, known, &new),
    };
    if begins {
        Change::Signed(new)
    } else {
        Change::Contradicts(Refusal::Proof {
            old,
            size: new.size,
        })
    }
}

/// A contradiction is an operator's matter; the rest is everyday.
fn tell(origin: &str, submission: &Submission, refusal: &Refusal) {
    let size = submission.checkpoint.tree.size;
    match refusal {
        Refusal::Root { .. } | Refusal::Proof { .. } => {
            error!(%origin, size, %refusal, "A checkpoint contradicts what was signed; it is kept as evidence.");
        }
        Refusal::Full { .. } => warn!(%origin, size, %refusal, "Log refused."),
        Refusal::Size { .. } => debug!(%origin, size, %refusal, "Checkpoint not cosigned yet."),
        Refusal::Malformed(_)
        | Refusal::Unknown { .. }
        | Refusal::Unsigned(_)
        | Refusal::Sign(_)
        | Refusal::Store(_) => {}
    }
}

#[cfg(test)]
mod tests;
