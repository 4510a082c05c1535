//! Acts that are counted instead of being told one by one.
//!
//! The kernel keeps one sum for each process, file, operation and mode, in two
//! tables of [`SUMS_MAX`] places: `SUM_STATES`, which user space maps into its memory,
//! and `SUMS`, which holds the record of the first act that was counted. A place is
//! used by who changes its [`SumWord`] in one step: acts are added to an open one,
//! and the program `tell_sum`, which user space runs, takes it, tells it, and sets it
//! free.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{Credential, file::PATH_BYTES_MAX};

/// Most sums at a time: a power of two.
pub const SUMS_MAX: usize = 1_024;
/// Most bytes of the record of a sum: with one path of full length. Acts with
/// longer names are told, or lost and named.
pub const SUM_RECORD_BYTES_MAX: usize = size_of::<Credential>() + PATH_BYTES_MAX;
/// Words of a [`SumKey`].
pub const SUM_KEY_WORDS: usize = 8;

/// Who does what to which file: acts with the same key make one sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct SumKey(pub [u64; SUM_KEY_WORDS]);

impl SumKey {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

    /// The place where the look for this key begins; below [`SUMS_MAX`].
    #[expect(
        clippy::inline_always,
        reason = "the verifier judges a program as one function"
    )]
    #[expect(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        reason = "of a product the upper bits, cut by the mask"
    )]
    #[inline(always)]
    #[must_use]
    pub fn place(&self) -> u32 {
        let mut mixed: u64 = 0;
        for word in self.0 {
            mixed = (mixed ^ word).wrapping_mul(Self::ODD);
            mixed ^= mixed >> 32;
        }
        (mixed >> 32) as u32 & (SUMS_MAX as u32 - 1)
    }
}

/// State of a place in one number: how often it was begun, one of this type's
/// constants, and how many acts are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct SumWord(pub u64);

#[expect(
    clippy::inline_always,
    reason = "the verifier judges a program as one function"
)]
impl SumWord {
    /// Nobody uses it.
    pub const FREE: u64 = 0;
    /// Somebody makes it or tells it; it is nobody else's.
    pub const TAKEN: u64 = 1;
    /// Acts are added to it.
    pub const OPEN: u64 = 2;
    /// Most acts of a sum.
    pub const COUNT_MAX: u64 = 0xffff_ffff;

    const STATE_BIT: u32 = 32;
    const TURN_BIT: u32 = 34;

    /// One of this type's constants.
    #[inline(always)]
    #[must_use]
    pub const fn state(self) -> u64 {
        self.0 >> Self::STATE_BIT & 3
    }

    /// Acts that are counted.
    #[inline(always)]
    #[must_use]
    pub const fn count(self) -> u64 {
        self.0 & Self::COUNT_MAX
    }

    /// How often the place was begun.
    #[inline(always)]
    #[must_use]
    pub const fn turn(self) -> u64 {
        self.0 >> Self::TURN_BIT
    }

    /// The same turn and count in another state.
    #[inline(always)]
    #[must_use]
    pub const fn with_state(self, state: u64) -> Self {
        Self(self.0 & !(3 << Self::STATE_BIT) | state << Self::STATE_BIT)
    }

    /// The next turn, taken, with the one act that begins it.
    #[inline(always)]
    #[must_use]
    pub const fn begun(self) -> Self {
        let turn = self.turn().wrapping_add(1) << Self::TURN_BIT;
        Self(turn | Self::TAKEN << Self::STATE_BIT | 1)
    }

    /// One act more; none where that is too many, or the sum is not open.
    #[inline(always)]
    #[must_use]
    pub const fn with_another(self) -> Option<Self> {
        if self.state() == Self::OPEN && self.count() < Self::COUNT_MAX {
            Some(Self(self.0 + 1))
        } else {
            None
        }
    }
}

/// Value of `SUM_STATES`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SumState {
    /// The first field: user space looks at nothing else.
    pub word: SumWord,
    /// When the last act was counted, nanoseconds since boot.
    pub last_boot_ns: u64,
    /// Whose acts are counted; changes only while the place is taken.
    pub key: SumKey,
}

/// Value of `SUMS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Sum {
    /// Bytes of the record.
    pub bytes: u64,
    /// A [`Credential`] with its tails.
    pub record: [u8; SUM_RECORD_BYTES_MAX],
}

const _: () = assert!(SUMS_MAX.is_power_of_two(), "places are found by a mask");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_counts_only_while_it_is_open_and_never_runs_over() {
        let free = SumWord(0);
        assert_eq!((free.state(), free.with_another()), (SumWord::FREE, None));
        let begun = free.begun();
        assert_eq!(
            (begun.turn(), begun.state(), begun.count()),
            (1, SumWord::TAKEN, 1)
        );
        assert_eq!(begun.with_another(), None, "still being made");
        let open = begun.with_state(SumWord::OPEN);
        let two = open.with_another().unwrap();
        assert_eq!(
            (two.turn(), two.state(), two.count()),
            (1, SumWord::OPEN, 2)
        );
        let taken = two.with_state(SumWord::TAKEN);
        assert_eq!((taken.count(), taken.with_another()), (2, None));
        let full = SumWord(open.0 | SumWord::COUNT_MAX);
        assert_eq!(full.with_another(), None, "the state is not counted into");
        let next = taken.with_state(SumWord::FREE).begun();
        assert_eq!((next.turn(), next.count()), (2, 1));
    }

    #[test]
    fn keys_of_one_process_begin_at_many_places() {
        let mut seen = [false; SUMS_MAX];
        for inode in 0..1_024 {
            let key = SumKey([1_000_000, 7, 9, 0x80_0001, inode, 77, 1, 0]);
            seen[usize::try_from(key.place()).unwrap()] = true;
        }
        let places = seen.iter().filter(|was| **was).count();
        assert!(places > SUMS_MAX / 2, "{places}");
    }
}
