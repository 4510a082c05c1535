//! What of a record goes into the tree: when it was stored, and digests of its two parts.
//!
//! Digests instead of the bytes, so that a part can be withheld from a reader,
//! or deleted when its time is over, and the rest is still provable. They are
//! blinded: who has only the digest of a judgement cannot try tenants' names
//! until one fits. The place in the tree is the position; the tenant stands in
//! the checkpoint.

use sha2::{Digest as _, Sha256};

use crate::merkle::{self, Hash};

/// Length of an encoded leaf in bytes.
pub const LEAF_BYTES: usize = 76;
/// The first four bytes: this encoding, first version.
const MAGIC: [u8; 4] = *b"mon\x01";

/// What is hashed before a part; told with the part, and with nothing else.
pub type Blind = [u8; 16];

/// The secret of a ledger that blinds are made of: 32 random bytes. It lies in
/// the ledger, and goes out with no bundle.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Blinding(pub Hash);

impl std::fmt::Debug for Blinding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Blinding")
    }
}

impl Blinding {
    /// The blinds of a record's event and judgement. The input has one length,
    /// within one block, so that SHA-256 behind a secret does as a keyed hash.
    #[must_use]
    pub fn at(&self, position: u64) -> (Blind, Blind) {
        let mut digest = Sha256::new_with_prefix(self.0);
        digest.update(position.to_be_bytes());
        let both: Hash = digest.finalize().into();
        let (event, judgement) = both.as_chunks::<16>().0.split_at(1);
        let blind = |half: &[Blind]| half.first().copied().unwrap_or_default();
        (blind(event), blind(judgement))
    }
}

/// What of a record goes into the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// When it was stored, nanoseconds since 1970.
    pub stored_at_unix_ns: u64,
    /// [`digest`] of the event.
    pub event: Hash,
    /// [`digest`] of the judgement.
    pub judgement: Hash,
}

/// The bytes of a record.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// When it was stored, nanoseconds since 1970.
    pub stored_at_unix_ns: u64,
    /// The event as the agent encoded it.
    pub event: &'a [u8],
    /// The judgement as the collector encoded it.
    pub judgement: &'a [u8],
}

impl Leaf {
    /// Of a record at a position (from 1).
    #[must_use]
    pub fn new(blinding: &Blinding, position: u64, parts: Parts<'_>) -> Self {
        let (event, judgement) = blinding.at(position);
        Self {
            stored_at_unix_ns: parts.stored_at_unix_ns,
            event: digest(&event, parts.event),
            judgement: digest(&judgement, parts.judgement),
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

/// SHA-256 of a blind and the part that it goes before.
#[must_use]
pub fn digest(blind: &Blind, part: &[u8]) -> Hash {
    let mut digest = Sha256::new_with_prefix(blind);
    digest.update(part);
    digest.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(position: u64, stored_at_unix_ns: u64, event: &[u8], judgement: &[u8]) -> Leaf {
        let parts = Parts {
            stored_at_unix_ns,
            event,
            judgement,
        };
        Leaf::new(&Blinding([5; 32]), position, parts)
    }

    #[test]
    fn a_leaf_comes_back_from_its_bytes_and_from_no_others() {
        let leaf = leaf(1, 7, b"event", b"judgement");
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
            leaf(1, 7, b"event", b"judgement").hash(),
            leaf(1, 8, b"event", b"judgement").hash(),
            leaf(1, 7, b"eventj", b"udgement").hash(),
            leaf(1, 7, b"judgement", b"event").hash(),
            leaf(2, 7, b"event", b"judgement").hash(),
        ];
        for (index, hash) in hashes.iter().enumerate() {
            assert!(!hashes[index + 1..].contains(hash));
        }
    }

    #[test]
    fn digests_of_like_parts_differ_and_tell_nothing_without_their_blind() {
        let one = leaf(1, 7, b"same", b"same");
        let two = leaf(2, 7, b"same", b"same");
        let all = [one.event, one.judgement, two.event, two.judgement];
        for (index, hash) in all.iter().enumerate() {
            assert!(!all[index + 1..].contains(hash));
        }
        assert_eq!(digest(&Blinding([5; 32]).at(1).1, b"same"), one.judgement);
        assert_ne!(digest(&Blinding([6; 32]).at(1).1, b"same"), one.judgement);
    }
}
