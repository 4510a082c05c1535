//! Sets of numbers that come mostly without holes. Pure.

use std::collections::BTreeMap;

/// A set of numbers as disjoint ranges that do not touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Intervals {
    /// First to last, both inclusive.
    ranges: BTreeMap<u64, u64>,
}

impl Intervals {
    /// Whether the number is in the set.
    #[must_use]
    pub fn contains(&self, number: u64) -> bool {
        self.ranges
            .range(..=number)
            .next_back()
            .is_some_and(|(_, &last)| number <= last)
    }

    /// The highest number in the set.
    #[must_use]
    pub fn last(&self) -> Option<u64> {
        self.ranges.last_key_value().map(|(_, &last)| last)
    }

    /// Adds a number; false when it was there.
    pub fn insert(&mut self, number: u64) -> bool {
        if self.contains(number) {
            return false;
        }
        let before = self
            .ranges
            .range(..number)
            .next_back()
            .map(|(&first, &last)| (first, last));
        let first = match before {
            Some((first, last)) if last.checked_add(1) == Some(number) => first,
            _ => number,
        };
        let last = number
            .checked_add(1)
            .and_then(|next| self.ranges.remove(&next))
            .unwrap_or(number);
        self.ranges.insert(first, last);
        true
    }

    /// Adds the numbers from first to last, both inclusive.
    pub fn insert_range(&mut self, first: u64, last: u64) {
        let (mut first, mut last) = (first, last);
        // What touches or overlaps becomes one.
        let touching: Vec<u64> = self
            .ranges
            .range(..=last.saturating_add(1))
            .rev()
            .take_while(|(_, end)| end.saturating_add(1) >= first)
            .map(|(start, _)| *start)
            .collect();
        for start in touching {
            if let Some(end) = self.ranges.remove(&start) {
                first = first.min(start);
                last = last.max(end);
            }
        }
        self.ranges.insert(first, last);
    }

    /// How many ranges there are: one for a stream without holes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Whether there is no number in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether a number would lengthen a range instead of beginning one.
    #[must_use]
    pub fn touches(&self, number: u64) -> bool {
        let before = number
            .checked_sub(1)
            .is_some_and(|before| self.contains(before));
        before
            || number
                .checked_add(1)
                .is_some_and(|after| self.contains(after))
    }

    /// The ranges from the one on that a number is in or before, ascending,
    /// first and last inclusive.
    pub fn ranges_from(&self, number: u64) -> impl Iterator<Item = (u64, u64)> {
        let within = self.ranges.range(..number).next_back();
        let within = within.filter(|(_, last)| **last >= number);
        let after = self.ranges.range(number..);
        within
            .into_iter()
            .chain(after)
            .map(|(first, last)| (*first, *last))
    }

    /// The last number below another one.
    #[must_use]
    pub fn last_below(&self, number: u64) -> Option<u64> {
        let (_, last) = self.ranges.range(..number).next_back()?;
        Some((*last).min(number.saturating_sub(1)))
    }

    /// The first number above another one.
    #[must_use]
    pub fn first_above(&self, number: u64) -> Option<u64> {
        let above = number.checked_add(1)?;
        let (first, _) = self.ranges_from(above).next()?;
        Some(first.max(above))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ranges_at_once_agree_with_numbers_one_by_one(ranges in prop::collection::vec((0u64..60, 0u64..9), 0..40)) {
            let (mut at_once, mut one_by_one) = (Intervals::default(), Intervals::default());
            for (first, more) in ranges {
                at_once.insert_range(first, first + more);
                for number in first..=first + more {
                    one_by_one.insert(number);
                }
            }
            prop_assert_eq!(at_once, one_by_one);
        }

        #[test]
        fn intervals_agree_with_a_set(numbers in prop::collection::vec(0u64..60, 0..300)) {
            let (mut intervals, mut oracle) = (Intervals::default(), HashSet::new());
            for number in numbers {
                prop_assert_eq!(intervals.insert(number), oracle.insert(number));
            }
            for number in 0..62 {
                prop_assert_eq!(intervals.contains(number), oracle.contains(&number));
            }
            let starts = oracle.iter().filter(|&&n| n == 0 || !oracle.contains(&(n - 1))).count();
            prop_assert_eq!(intervals.len(), starts);
        }

        #[test]
        fn neighbours_agree_with_a_set(numbers in prop::collection::btree_set(0u64..60, 0..40)) {
            let mut intervals = Intervals::default();
            for number in &numbers {
                intervals.insert(*number);
            }
            for number in 0..62 {
                let touches = number > 0 && numbers.contains(&(number - 1)) || numbers.contains(&(number + 1));
                prop_assert_eq!(intervals.touches(number), touches);
                prop_assert_eq!(intervals.last_below(number), numbers.range(..number).next_back().copied());
                prop_assert_eq!(intervals.first_above(number), numbers.range(number + 1..).next().copied());
                let from: Vec<u64> = intervals.ranges_from(number).flat_map(|(first, last)| first..=last)
                    .filter(|held| *held >= number).collect();
                prop_assert_eq!(from, numbers.range(number..).copied().collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn the_last_number_there_is_counts_too() {
        let mut intervals = Intervals::default();
        assert!(intervals.insert(u64::MAX));
        assert!(intervals.insert(u64::MAX - 1));
        assert!(!intervals.insert(u64::MAX));
        assert_eq!(intervals.len(), 1);
    }
}
