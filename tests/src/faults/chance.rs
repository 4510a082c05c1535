//! Chance that can be played again: the same for the same seed.

use std::time::Duration;

/// A row of numbers that a seed begins: xorshift64.
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// Seeds that are neighbours begin rows that are none.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        // The first step of splitmix64. Zero would stay zero for ever.
        let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self((mixed ^ (mixed >> 31)) | 1)
    }

    /// One of several rows of the same seed.
    #[must_use]
    pub const fn row(seed: u64, number: u64) -> Self {
        let apart = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self::new(seed.wrapping_add(apart))
    }

    /// A number below a bound; zero below zero.
    pub const fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        // The low bits of a step are like those of the step before.
        match (self.0 >> 16).checked_rem(bound) {
            Some(number) => number,
            None => 0,
        }
    }

    /// Yes or no.
    pub const fn tosses(&mut self) -> bool {
        self.below(2) == 0
    }

    /// A length of time, whole milliseconds below a bound.
    pub fn within(&mut self, bound: Duration) -> Duration {
        let bound = u64::try_from(bound.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(self.below(bound))
    }

    /// The same things in an order of its own.
    pub fn shuffled<T, const N: usize>(&mut self, mut things: [T; N]) -> [T; N] {
        for last in (1..N).rev() {
            let bound = u64::try_from(last).unwrap_or(0).saturating_add(1);
            let other = usize::try_from(self.below(bound)).unwrap_or(0);
            things.swap(last, other);
        }
        things
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn same_seed_plays_the_same_and_neighbours_do_not() {
        let numbers =
            |mut chance: Chance| -> Vec<u64> { (0..20).map(|_| chance.below(1_000_000)).collect() };
        assert_eq!(numbers(Chance::new(7)), numbers(Chance::new(7)));
        assert_ne!(numbers(Chance::new(7)), numbers(Chance::new(8)));
        assert_ne!(numbers(Chance::row(7, 0)), numbers(Chance::row(7, 1)));
        assert_ne!(numbers(Chance::new(0)), [0; 20]);
    }

    #[test]
    fn every_order_of_three_comes_up() {
        let mut chance = Chance::new(1);
        let orders: BTreeSet<[u8; 3]> = (0..200).map(|_| chance.shuffled([1, 2, 3])).collect();
        assert_eq!(orders.len(), 6);
        assert_eq!(chance.below(0), 0);
        assert!(chance.within(Duration::from_millis(5)) < Duration::from_millis(5));
    }
}
