//! What is sent: the newest checkpoint, and the proof that it goes on from an older tree.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use monitor_model::id::TenantId;

use crate::ledger::{Home, LedgerError, evidence::Evidence};

/// A request of `add-checkpoint` (`c2sp.org/tlog-witness`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// The checkpoint.
    pub note: Vec<u8>,
    /// The size of its tree.
    pub size: u64,
    /// The body.
    pub body: Vec<u8>,
}

/// Of a ledger's newest checkpoint, from the tree of `old` entries on; none before
/// the first checkpoint. Where the ledger is smaller the proof is empty.
///
/// # Errors
/// [`LedgerError`].
pub fn prepare(
    home: impl Into<Home>,
    tenant: &TenantId,
    old: u64,
) -> Result<Option<Submission>, LedgerError> {
    let evidence = Evidence::open(home, tenant)?;
    let Some(newest) = evidence.newest() else {
        return Ok(None);
    };
    let (note, size) = (newest.note.clone(), newest.size);
    let mut text = format!("old {old}\n");
    if old < size {
        for hash in evidence.consistency(old, size)?.hashes {
            // Writing to a string cannot fail.
            _ = writeln!(text, "{}", STANDARD.encode(hash));
        }
    }
    text.push('\n');
    let body = [text.as_bytes(), &note].concat();
    Ok(Some(Submission { note, size, body }))
}
