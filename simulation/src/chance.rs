//! Numbers that follow from a seed.

use std::{ops::Range, time::Duration};

/// A source of numbers (`SplitMix64`): the same from the same seed, on every machine.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// What follows from a seed, apart from what follows for others.
    #[must_use]
    pub const fn of(seed: u64, whom: u64) -> Self {
        Self(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ whom.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// The next number.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One of a range; its first where it is empty.
    pub const fn within(&mut self, range: Range<u64>) -> u64 {
        let wide = range.end.saturating_sub(range.start);
        if wide == 0 {
            return range.start;
        }
        range.start + self.next() % wide
    }

    /// A time, in whole milliseconds.
    pub const fn ms(&mut self, range: Range<u64>) -> Duration {
        Duration::from_millis(self.within(range))
    }

    /// Whether it happens, where it does so often out of a hundred times.
    pub const fn happens(&mut self, percent: u64) -> bool {
        self.within(0..100) < percent
    }

    /// A place in a list of this length; 0 in an empty one.
    pub fn index(&mut self, length: usize) -> usize {
        let most = u64::try_from(length).unwrap_or(u64::MAX);
        usize::try_from(self.within(0..most)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_and_another_another() {
        let drawn = |seed, whom| {
            let mut chance = Chance::of(seed, whom);
            [(); 8].map(|()| chance.within(10..20))
        };
        assert_eq!(drawn(1, 1), drawn(1, 1));
        assert_ne!(drawn(1, 1), drawn(2, 1));
        assert_ne!(drawn(1, 1), drawn(1, 2));
        assert!(drawn(3, 3).iter().all(|one| (10..20).contains(one)));
        assert_eq!(Chance::of(1, 1).within(5..5), 5);
        assert_eq!(Chance::of(1, 1).index(0), 0);
    }
}
