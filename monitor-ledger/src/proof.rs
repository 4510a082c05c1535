//! Inclusion and consistency, made from what tiles keep, and checked from nothing but hashes.
//!
//! Made as RFC 6962 (2.1.1, 2.1.2) says, checked as RFC 9162 (2.1.3.2, 2.1.4.2)
//! says. Bound: a proof has at most [`PROOF_HASHES_MAX`] hashes.

use crate::merkle::{Hash, TILE_HEIGHT, TILE_WIDTH, fold, node_hash};

/// Most hashes of a proof: two for each level of the largest tree.
pub const PROOF_HASHES_MAX: usize = 128;

/// Where hashes are kept.
pub trait Hashes {
    /// Why they cannot be read.
    type Error: From<Missing>;

    /// Hashes of one level of tiles (0: the leaves), `count` (at most 256) of
    /// them from `first` on.
    ///
    /// # Errors
    /// When they cannot be read. Fewer than were asked for are none.
    fn hashes(&self, level: u8, first: u64, count: u64) -> Result<Vec<Hash>, Self::Error>;
}

/// A hash is not kept that the tree needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the tree has no {count} hashes of level {level} from {first} on")]
pub struct Missing {
    /// Level of tiles.
    pub level: u8,
    /// The first that was asked for.
    pub first: u64,
    /// How many were.
    pub count: u64,
}

/// The root of the full subtree of 2^level leaves at an index.
///
/// # Errors
/// Those of the store.
pub fn subtree<H: Hashes + ?Sized>(from: &H, level: u32, index: u64) -> Result<Hash, H::Error> {
    let tile_level = u8::try_from(level / TILE_HEIGHT).unwrap_or(u8::MAX);
    let count = 1u64 << (level % TILE_HEIGHT);
    let first = index.saturating_mul(count);
    let hashes = from.hashes(tile_level, first, count)?;
    let whole = u64::try_from(hashes.len()).is_ok_and(|found| found == count);
    fold(&hashes).filter(|_| whole).ok_or_else(|| {
        H::Error::from(Missing {
            level: tile_level,
            first,
            count,
        })
    })
}

/// The root over the first `size` leaves.
///
/// # Errors
/// Those of the store.
pub fn root<H: Hashes + ?Sized>(from: &H, size: u64) -> Result<Hash, H::Error> {
    if size == 0 {
        return Ok(crate::merkle::empty_root());
    }
    range(from, 0, size)
}

/// Proves that the leaf at `index` (from 0) is in the tree of `size` leaves;
/// empty when it is not below `size`.
///
/// # Errors
/// Those of the store.
pub fn inclusion<H: Hashes + ?Sized>(
    from: &H,
    index: u64,
    size: u64,
) -> Result<Vec<Hash>, H::Error> {
    let mut path = Vec::new();
    let (mut low, mut high) = (0, size);
    if index >= size {
        return Ok(path);
    }
    while high - low > 1 {
        let middle = low + split(high - low);
        if index < middle {
            path.push(range(from, middle, high)?);
            high = middle;
        } else {
            path.push(range(from, low, middle)?);
            low = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// Proves that the tree of `old` leaves is the beginning of that of `new`;
/// empty when nothing has to be proved.
///
/// # Errors
/// Those of the store.
pub fn consistency<H: Hashes + ?Sized>(
    from: &H,
    old: u64,
    new: u64,
) -> Result<Vec<Hash>, H::Error> {
    let mut path = Vec::new();
    if old == 0 || old >= new {
        return Ok(path);
    }
    let (mut low, mut high) = (0, new);
    while old != high {
        let middle = low + split(high - low);
        if old <= middle {
            path.push(range(from, middle, high)?);
            high = middle;
        } else {
            path.push(range(from, low, middle)?);
            low = middle;
        }
    }
    // The old tree itself is known to who asks, unless it is a part of one.
    if low != 0 {
        path.push(range(from, low, high)?);
    }
    path.reverse();
    Ok(path)
}

/// Whether a path proves that a leaf's hash is at `index` in the tree of this size and root.
#[must_use]
pub fn proves_inclusion(path: &[Hash], leaf: &Hash, index: u64, size: u64, root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut at, mut last, mut hash) = (index, size - 1, *leaf);
    for other in path {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            hash = node_hash(other, &hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, other);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// A tree by its size and root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tree {
    /// How many leaves.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
}

/// Whether a path proves that one tree is the beginning of another.
#[must_use]
pub fn proves_consistency(path: &[Hash], old: &Tree, new: &Tree) -> bool {
    if old.size == 0 {
        return path.is_empty();
    }
    if old.size == new.size {
        return path.is_empty() && old.root == new.root;
    }
    if old.size > new.size {
        return false;
    }
    let mut path = path.iter();
    let first = if old.size.is_power_of_two() {
        Some(&old.root)
    } else {
        path.next()
    };
    let Some(first) = first else {
        return false;
    };
    let (mut at, mut last) = (old.size - 1, new.size - 1);
    while at & 1 == 1 {
        at >>= 1;
        last >>= 1;
    }
    let (mut from_old, mut from_new) = (*first, *first);
    for other in path {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            from_old = node_hash(other, &from_old);
            from_new = node_hash(other, &from_new);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            from_new = node_hash(&from_new, other);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && from_old == old.root && from_new == new.root
}

/// The root over leaves `low..high`, where `low` is a multiple of the least
/// power of two that is not below their number.
fn range<H: Hashes + ?Sized>(from: &H, low: u64, high: u64) -> Result<Hash, H::Error> {
    let size = high - low;
    if size.is_power_of_two() {
        let level = size.trailing_zeros();
        return subtree(from, level, low >> level);
    }
    let middle = low + split(size);
    let left = range(from, low, middle)?;
    Ok(node_hash(&left, &range(from, middle, high)?))
}

/// The largest power of two below a number that is at least two.
const fn split(size: u64) -> u64 {
    1 << (u64::BITS - 1 - (size - 1).leading_zeros())
}

/// Hashes of a level that lie in one tile with the first: how many at most.
#[must_use]
pub const fn within_tile(first: u64) -> u64 {
    TILE_WIDTH - first % TILE_WIDTH
}

#[cfg(test)]
mod tests;
