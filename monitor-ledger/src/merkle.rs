//! The tree's hashes as RFC 6962 (section 2.1) makes them, and its right edge while it grows.
//!
//! In: hashes of leaves, in order. Out: the root at every size, and the hashes
//! that have to be kept so that everything else can be made again: those of
//! full subtrees of 256, 65,536, ... leaves. Bound: 64 hashes in memory.

use sha2::{Digest as _, Sha256};

/// A SHA-256 digest.
pub type Hash = [u8; 32];

/// Levels of the tree in one tile: it holds 2^8 hashes.
pub const TILE_HEIGHT: u32 = 8;
/// Hashes in a full tile.
pub const TILE_WIDTH: u64 = 1 << TILE_HEIGHT;

/// The hash of a leaf.
#[must_use]
pub fn leaf_hash(bytes: &[u8]) -> Hash {
    let mut digest = Sha256::new_with_prefix([0]);
    digest.update(bytes);
    digest.finalize().into()
}

/// The hash of an inner node.
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut digest = Sha256::new_with_prefix([1]);
    digest.update(left);
    digest.update(right);
    digest.finalize().into()
}

/// The root of a tree without leaves.
#[must_use]
pub fn empty_root() -> Hash {
    Sha256::digest([]).into()
}

/// The hash of a full subtree over hashes of one level; none unless there are
/// a power of two of them.
#[must_use]
pub fn fold(hashes: &[Hash]) -> Option<Hash> {
    if !hashes.len().is_power_of_two() {
        return None;
    }
    let mut level = hashes.to_vec();
    while level.len() > 1 {
        level = level
            .chunks_exact(2)
            .filter_map(|pair| match pair {
                [left, right] => Some(node_hash(left, right)),
                _ => None,
            })
            .collect();
    }
    level.first().copied()
}

/// A hash that tiles keep: the root of a full subtree of 256^`level` leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Level of tiles, from 1; level 0 are the leaves themselves.
    pub level: u8,
    /// Place in the level, from 0.
    pub index: u64,
    /// The hash.
    pub hash: Hash,
}

/// The right edge of a growing tree: the roots of its full subtrees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    /// Largest subtree first; one for each bit of the size.
    peaks: Vec<Hash>,
}

impl Frontier {
    /// Of a tree that is there already; `subtree` gives the root of the full
    /// subtree of 2^level leaves at an index.
    ///
    /// # Errors
    /// Those of `subtree`.
    pub fn restore<E>(
        size: u64,
        mut subtree: impl FnMut(u32, u64) -> Result<Hash, E>,
    ) -> Result<Self, E> {
        let mut peaks = Vec::new();
        for level in (0..u64::BITS).rev().filter(|level| size >> level & 1 == 1) {
            peaks.push(subtree(level, (size >> level) - 1)?);
        }
        Ok(Self { size, peaks })
    }

    /// How many leaves there are.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The root over all leaves.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        let Some(last) = peaks.next() else {
            return empty_root();
        };
        peaks.fold(*last, |right, left| node_hash(left, &right))
    }

    /// Adds a leaf by its hash, and hands out what tiles keep of it.
    pub fn push(&mut self, leaf: Hash, mut keep: impl FnMut(Kept)) {
        let (mut hash, mut level) = (leaf, 0u32);
        while self.size >> level & 1 == 1 {
            let Some(left) = self.peaks.pop() else {
                break;
            };
            hash = node_hash(&left, &hash);
            level += 1;
            if level.is_multiple_of(TILE_HEIGHT) {
                keep(Kept {
                    level: u8::try_from(level / TILE_HEIGHT).unwrap_or(u8::MAX),
                    index: self.size >> level,
                    hash,
                });
            }
        }
        self.peaks.push(hash);
        self.size += 1;
    }
}

#[cfg(test)]
mod tests {
    use tlog_tiles::tlog::{self, HashReader};

    use super::*;

    /// The other implementation's store of hashes.
    #[derive(Default)]
    struct Stored(Vec<tlog::Hash>);

    impl HashReader for Stored {
        fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog::Hash>, tlog::Error> {
            Ok(indexes
                .iter()
                .map(|index| self.0[usize::try_from(*index).unwrap()])
                .collect())
        }
    }

    #[test]
    fn roots_are_those_of_another_implementation_at_every_size() {
        let (mut stored, mut frontier) = (Stored::default(), Frontier::default());
        assert_eq!(frontier.root(), tlog::EMPTY_HASH.0);
        for n in 0..1_100u64 {
            let leaf = n.to_be_bytes();
            let hashes = tlog::stored_hashes(n, &leaf, &stored).unwrap();
            stored.0.extend(hashes);
            frontier.push(leaf_hash(&leaf), |_| {});
            let theirs = tlog::tree_hash(n + 1, &stored).unwrap();
            assert_eq!(frontier.root(), theirs.0, "size {}", n + 1);
        }
    }

    #[test]
    fn what_is_kept_is_the_root_of_its_leaves_and_nothing_is_left_out() {
        let leaves: Vec<Hash> = (0..66_000u64)
            .map(|n| leaf_hash(&n.to_be_bytes()))
            .collect();
        let (mut frontier, mut kept) = (Frontier::default(), Vec::new());
        for leaf in &leaves {
            frontier.push(*leaf, |hash| kept.push(hash));
        }
        assert_eq!(kept.iter().filter(|kept| kept.level == 1).count(), 257);
        assert_eq!(kept.iter().filter(|kept| kept.level == 2).count(), 1);
        for one in kept {
            let width = 256usize.pow(one.level.into());
            let first = usize::try_from(one.index).unwrap() * width;
            assert_eq!(fold(&leaves[first..first + width]), Some(one.hash));
        }
    }

    #[test]
    fn an_edge_that_was_restored_goes_on_as_if_it_had_never_stopped() {
        let leaves: Vec<Hash> = (0..70u64).map(|n| leaf_hash(&n.to_be_bytes())).collect();
        for size in 0..leaves.len() {
            let mut whole = Frontier::default();
            leaves[..size]
                .iter()
                .for_each(|leaf| whole.push(*leaf, |_| {}));
            let restored = Frontier::restore(whole.size(), |level, index| {
                let width = 1usize << level;
                let first = usize::try_from(index).unwrap() * width;
                fold(&leaves[first..first + width]).ok_or(())
            });
            assert_eq!(restored, Ok(whole));
        }
    }

    #[test]
    fn only_full_subtrees_fold() {
        assert_eq!(fold(&[]), None);
        assert_eq!(fold(&[[1; 32]; 3]), None);
        assert_eq!(fold(&[[1; 32]]), Some([1; 32]));
    }
}
