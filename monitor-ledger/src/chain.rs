//! How the records of ledgers of layout 1 were linked, for taking them over.
//!
//! SHA-256 over a domain, the hash before, and the fields, each with its
//! length before it, so that no two records share an encoding. The first link
//! is made of the tenant's name.

use sha2::{Digest as _, Sha256};

use crate::merkle::Hash;

const FIRST: &[u8] = b"monitor.v1 ledger first\0";
const ENTRY: &[u8] = b"monitor.v1 ledger entry\0";

/// What the first record of a tenant's ledger was linked to.
#[must_use]
pub fn first(tenant: &str) -> Hash {
    let mut digest = Sha256::new_with_prefix(FIRST);
    field(&mut digest, tenant.as_bytes());
    digest.finalize().into()
}

/// The hash of a record that follows another.
#[must_use]
pub fn link(before: &Hash, event: &[u8], judgement: &[u8], stored_at_unix_ns: u64) -> Hash {
    let mut digest = Sha256::new_with_prefix(ENTRY);
    field(&mut digest, before);
    field(&mut digest, event);
    field(&mut digest, judgement);
    field(&mut digest, &stored_at_unix_ns.to_be_bytes());
    digest.finalize().into()
}

fn field(digest: &mut Sha256, bytes: &[u8]) {
    digest.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
    digest.update(bytes);
}
