//! The tree while it grows, and its checkpoints.
//!
//! In: hashes of entries. Out: rows of what the tree keeps, and a signed
//! checkpoint once [`CHECKPOINT_EVERY`] while entries come, all in the
//! transaction of the entries: what was signed is on disk, or was never shown.

use std::{path::Path, time::Duration};

use monitor_ledger::{
    Hash,
    checkpoint::{self, Checkpoint},
    file::{self, CHECKPOINTS_MAX, Stored},
    key::{LogSigner, VerifierKey},
    merkle::Frontier,
    proof::{self, Tree},
};
use monitor_model::clock::UnixNs;
use rusqlite::{Connection, params};

use super::{LedgerError, integer};

/// Longest time that an entry waits for a checkpoint.
pub const CHECKPOINT_EVERY: Duration = Duration::from_secs(1);

/// The tree of a ledger that is open for writing.
#[derive(Debug)]
pub(super) struct Growing {
    frontier: Frontier,
    signer: Option<LogSigner>,
    /// The size that was signed last.
    signed: u64,
    signed_at: UnixNs,
}

impl Growing {
    /// Of a file that holds so many entries. Its newest checkpoint must be of
    /// a tree that this one begins with.
    pub(super) fn open(
        connection: &Connection,
        path: &Path,
        size: u64,
        signer: Option<LogSigner>,
    ) -> Result<Self, LedgerError> {
        let stored = Stored(connection);
        let frontier =
            Frontier::restore(size, |level, index| proof::subtree(&stored, level, index))
                .map_err(|error| LedgerError::stored(path, error))?;
        let newest = file::newest_checkpoint(connection)
            .map_err(|source| LedgerError::sqlite(path, source))?;
        let mut sealed = 0;
        if let Some(kept) = newest {
            let broken = |cause: String| LedgerError::broken(path, kept.size, cause);
            let key = VerifierKey::parse(&kept.key).map_err(|error| broken(error.to_string()))?;
            let checkpoint = Checkpoint::open(&kept.note, &key);
            let tree = checkpoint.map_err(|error| broken(error.to_string()))?.tree;
            if tree.size > size {
                let cause = format!("entries are missing: {} were signed", tree.size);
                return Err(LedgerError::broken(path, size + 1, cause));
            }
            let root = proof::root(&stored, tree.size)
                .map_err(|error| LedgerError::stored(path, error))?;
            if root != tree.root {
                let cause = "the entries up to here are not those that were signed";
                return Err(LedgerError::broken(path, tree.size, cause));
            }
            sealed = tree.size;
        }
        Ok(Self {
            frontier,
            signer,
            signed: sealed,
            signed_at: UnixNs(0),
        })
    }

    /// Takes the next entry.
    pub(super) fn push(&mut self, connection: &Connection, hash: Hash) -> rusqlite::Result<()> {
        let mut kept = Vec::new();
        self.frontier.push(hash, |one| kept.push(one));
        for one in &kept {
            file::put_node(connection, one)?;
        }
        Ok(())
    }

    /// Whether there is something to sign, and a key.
    pub(super) const fn is_unsealed(&self) -> bool {
        self.signer.is_some() && self.frontier.size() > self.signed
    }

    /// Whether it waited long enough.
    pub(super) fn is_due(&self, now: UnixNs) -> bool {
        let every = u64::try_from(CHECKPOINT_EVERY.as_nanos()).unwrap_or(u64::MAX);
        // A clock that was set back makes it due as well.
        let waited = now.0.checked_sub(self.signed_at.0);
        self.is_unsealed() && waited.is_none_or(|waited| waited >= every)
    }

    /// Signs the tree as it is, within the open transaction.
    pub(super) fn sign(
        &mut self,
        connection: &Connection,
        path: &Path,
        now: UnixNs,
    ) -> Result<(), LedgerError> {
        let Some(signer) = &self.signer else {
            return Ok(());
        };
        let tree = Tree {
            size: self.frontier.size(),
            root: self.frontier.root(),
        };
        let note = checkpoint::sign(signer, &tree)?;
        keep(connection, tree.size, &note, signer.verifier())
            .map_err(|source| LedgerError::sqlite(path, source))?;
        (self.signed, self.signed_at) = (tree.size, now);
        Ok(())
    }
}

fn keep(
    connection: &Connection,
    size: u64,
    note: &[u8],
    key: &VerifierKey,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO checkpoint (size, note, key) VALUES (?1, ?2, ?3)")?
        .execute(params![integer(size), note, key.as_str()])?;
    connection
        .prepare_cached(
            "DELETE FROM checkpoint WHERE size <=
             (SELECT size FROM checkpoint ORDER BY size DESC LIMIT 1 OFFSET ?1)",
        )?
        .execute([integer(CHECKPOINTS_MAX)])?;
    Ok(())
}
