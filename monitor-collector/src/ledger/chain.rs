//! What an entry's hash is made of.
//!
//! SHA-256 over a domain, the hash before, and the fields, each with its
//! length before it, so that no two entries share an encoding. The first link
//! is made of the tenant's name: entries cannot be moved to another ledger.

use monitor_model::{clock::UnixNs, id::TenantId};
use sha2::{Digest as _, Sha256};

/// A SHA-256 digest.
pub type Hash = [u8; 32];

const FIRST: &[u8] = b"monitor.v1 ledger first\0";
const ENTRY: &[u8] = b"monitor.v1 ledger entry\0";

/// What the first entry of a tenant's ledger is chained to.
#[must_use]
pub fn first(tenant: &TenantId) -> Hash {
    let mut digest = Sha256::new_with_prefix(FIRST);
    field(&mut digest, tenant.as_str().as_bytes());
    digest.finalize().into()
}

/// The hash of an entry that follows another.
#[must_use]
pub fn link(before: &Hash, event: &[u8], judgement: &[u8], stored_at: UnixNs) -> Hash {
    let mut digest = Sha256::new_with_prefix(ENTRY);
    field(&mut digest, before);
    field(&mut digest, event);
    field(&mut digest, judgement);
    field(&mut digest, &stored_at.0.to_be_bytes());
    digest.finalize().into()
}

fn field(digest: &mut Sha256, bytes: &[u8]) {
    digest.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
    digest.update(bytes);
}
