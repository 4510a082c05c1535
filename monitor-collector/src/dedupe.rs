//! Drops what the ledgers already hold. Pure.
//!
//! In: names of events, in any order. Out: whether each is new.
//! Bound: [`STREAMS_MAX`] streams; the longest idle one is forgotten, and
//! loaded again from the ledgers when it speaks. Loss: none.

use std::collections::{BTreeMap, HashMap};

pub use monitor_ledger::sequences::Stream;

/// Most streams kept in memory.
pub const STREAMS_MAX: usize = 100_000;

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
}

/// What is known of every stream.
#[derive(Debug)]
pub struct Dedupe {
    streams: HashMap<Stream, Known>,
    streams_max: usize,
    /// Counts uses, to find the longest idle stream.
    tick: u64,
}

#[derive(Debug)]
struct Known {
    stored: Intervals,
    used: u64,
}

impl Dedupe {
    /// Knows nothing yet, and keeps at most so many streams.
    #[must_use]
    pub fn new(streams_max: usize) -> Self {
        Self {
            streams: HashMap::new(),
            streams_max: streams_max.max(1),
            tick: 0,
        }
    }

    /// Whether the stream has to be loaded before it can be asked.
    #[must_use]
    pub fn is_unknown(&self, stream: &Stream) -> bool {
        !self.streams.contains_key(stream)
    }

    /// Takes what the ledgers hold of a stream.
    pub fn load(&mut self, stream: Stream, stored: Intervals) {
        if self.streams.len() >= self.streams_max && self.is_unknown(&stream) {
            let idle = self
                .streams
                .iter()
                .min_by_key(|(_, known)| known.used)
                .map(|(idle, _)| idle.clone());
            if let Some(idle) = idle {
                self.streams.remove(&idle);
            }
        }
        self.tick += 1;
        self.streams.insert(
            stream,
            Known {
                stored,
                used: self.tick,
            },
        );
    }

    /// Takes a number of a loaded stream; false when it was there. A stream
    /// that was never loaded counts as empty.
    pub fn insert(&mut self, stream: &Stream, sequence: u64) -> bool {
        if self.is_unknown(stream) {
            self.load(stream.clone(), Intervals::default());
        }
        self.tick += 1;
        let tick = self.tick;
        self.streams.get_mut(stream).is_some_and(|known| {
            known.used = tick;
            known.stored.insert(sequence)
        })
    }

    /// How many streams are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.streams.len()
    }

    /// Whether none is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use monitor_model::{
        clock::UnixNs,
        id::{AgentName, BootId, Source},
    };
    use proptest::prelude::*;

    use super::*;

    fn stream(cpu: u16) -> Stream {
        Stream {
            agent: AgentName::new("jump-1").unwrap(),
            boot: BootId::from_parts(UnixNs(0), 1),
            source: Source::Bulk { cpu },
        }
    }

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
        fn forgotten_streams_that_are_loaded_again_lose_nothing(
            names in prop::collection::vec((0u16..5, 0u64..20), 0..300)
        ) {
            let (mut dedupe, mut oracle) = (Dedupe::new(2), HashSet::new());
            for (cpu, sequence) in names {
                if dedupe.is_unknown(&stream(cpu)) {
                    let mut stored = Intervals::default();
                    for &(_, known) in oracle.iter().filter(|&&(of, _)| of == cpu) {
                        stored.insert(known);
                    }
                    dedupe.load(stream(cpu), stored);
                }
                prop_assert_eq!(dedupe.insert(&stream(cpu), sequence), oracle.insert((cpu, sequence)));
                prop_assert!(dedupe.len() <= 2);
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
