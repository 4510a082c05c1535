//! What of a record goes into the tree: when it was stored, and digests of its two parts.
//!
//! Digests instead of the bytes, so that a part can be withheld from a reader,
//! or deleted when its time is over, and the rest is still provable. The place
//! in the tree is the position; the tenant stands in the checkpoint.

use sha2::{Digest as _, Sha256};

use crate::merkle::{self, Hash};

/// Length of an encoded leaf in bytes.
pub const LEAF_BYTES: usize = 76;
/// The first four bytes: this encoding, first version.
const MAGIC: [u8; 4] = *b"mon\x01";

/// What of a record goes into the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// When it was stored, nanoseconds since 1970.
    pub stored_at_unix_ns: u64,
    /// SHA-256 of the event's bytes.
    pub event: Hash,
    /// SHA-256 of the judgement's bytes.
    pub judgement: Hash,
}

impl Leaf {
    /// Of a record's parts.
    #[must_use]
    pub fn new(stored_at_unix_ns: u64, event: &[u8], judgement: &[u8]) -> Self {
        Self {
            stored_at_unix_ns,
            event: digest(event),
            judgement: digest(judgement),
        }
    }

    /// The bytes that are hashed: magic, time (big-endian), digests.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; LEAF_BYTES] {
        let mut bytes = [0; LEAF_BYTES];
        let time = self.stored_at_unix_ns.to_be_bytes();
        let parts = MAGIC.iter().chain(&time).chain(&self.event);
        for (to, from) in bytes.iter_mut().zip(parts.chain(&self.judgement)) {
            *to = *from;
        }
        bytes
    }

    /// Reads the bytes; none when they are no leaf.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk::<4>()?;
        let (time, rest) = rest.split_first_chunk::<8>()?;
        let (event, rest) = rest.split_first_chunk::<32>()?;
        let judgement = rest.try_into().ok()?;
        (*magic == MAGIC).then_some(Self {
            stored_at_unix_ns: u64::from_be_bytes(*time),
            event: *event,
            judgement,
        })
    }

    /// Its hash in the tree.
    #[must_use]
    pub fn hash(&self) -> Hash {
        merkle::leaf_hash(&self.to_bytes())
    }
}

/// SHA-256 of a part.
#[must_use]
pub fn digest(bytes: &[u8]) -> Hash {
    Sha256::digest(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leaf_comes_back_from_its_bytes_and_from_no_others() {
        let leaf = Leaf::new(7, b"event", b"judgement");
        let bytes = leaf.to_bytes();
        assert_eq!(Leaf::parse(&bytes), Some(leaf));
        assert_eq!(Leaf::parse(&bytes[..LEAF_BYTES - 1]), None);
        assert_eq!(Leaf::parse(&[&bytes[..], &[0]].concat()), None);
        let mut other = bytes;
        other[3] = 2;
        assert_eq!(Leaf::parse(&other), None);
    }

    #[test]
    fn every_part_changes_the_hash() {
        let hashes = [
            Leaf::new(7, b"event", b"judgement").hash(),
            Leaf::new(8, b"event", b"judgement").hash(),
            Leaf::new(7, b"eventj", b"udgement").hash(),
            Leaf::new(7, b"judgement", b"event").hash(),
        ];
        for (index, hash) in hashes.iter().enumerate() {
            assert!(!hashes[index + 1..].contains(hash));
        }
    }
}
