//! Numbers of one stream, and where they are.
//!
//! In: which numbers are stored, named as missing, or on their way, and how many
//! there are. Out: how many are where, and those that are nowhere or in two
//! places. Pure.

use monitor_ledger::{intervals::Intervals, sequences::Stream};
use serde::Serialize;

/// First and last of a range of numbers.
pub type Range = (u64, u64);

/// How far an agent read a stream of the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Added to a kernel's number to get an event's.
    pub base: u64,
    /// Every kernel number up to here was told or named as missing.
    pub done: u64,
    /// Numbers above that were told.
    pub ahead: Vec<u64>,
}

impl Place {
    fn newest(&self) -> u64 {
        self.ahead.iter().copied().max().unwrap_or(0).max(self.done)
    }

    /// How many numbers the kernel had given out, of which it said the first
    /// number before this place was read, and the second one after it.
    #[must_use]
    pub fn given_out(&self, before: u64, after: u64) -> u64 {
        if after < self.newest() {
            // Not even now as many as were read: these counters began anew.
            before
        } else {
            before.max(self.newest())
        }
    }

    /// Whether an event's number was read from the ring.
    fn was_read(&self, number: u64) -> bool {
        match number.checked_sub(self.base) {
            None | Some(0) => true,
            Some(kernel) => kernel <= self.done || self.ahead.contains(&kernel),
        }
    }
}

/// What is known of one stream.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Numbers in some ledger.
    pub stored: Intervals,
    /// Records whose number another record has.
    pub twice: u64,
    /// Records in some ledger that stand for several acts each, and how many acts.
    pub counting: (u64, u64),
    /// Numbers that the agent named as missing.
    pub gaps: Intervals,
    /// Numbers in the spool.
    pub spool: Intervals,
    /// How far the agent read; none without a spool.
    pub place: Option<Place>,
    /// How many numbers the kernel gave out since the probes were loaded; none
    /// where the stream is not the kernel's, or its counters were not read.
    pub produced: Option<u64>,
}

/// Where the numbers of one stream are. A number that is in a ledger and still
/// in the spool counts as stored: the ack was on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The stream.
    #[serde(flatten)]
    pub stream: Stream,
    /// All numbers: from 1 to the newest that is known.
    pub produced: u64,
    /// Whether the kernel itself said so; else the newest number seen counts,
    /// and nothing is known of what came after it.
    pub by_kernel: bool,
    /// In a ledger.
    pub stored: u64,
    /// Of them, those that stand for several acts: of a flood, which the kernel
    /// counted. What is counted has no number of its own.
    pub counting: u64,
    /// How many acts those stand for.
    pub counted_acts: u64,
    /// Named as missing.
    pub gaps: u64,
    /// In the spool alone.
    pub spool: u64,
    /// Not read by the agent yet.
    pub ring: u64,
    /// Nowhere, in ranges.
    pub lost: Vec<Range>,
    /// Records whose number another record has.
    pub twice: u64,
    /// Numbers that are stored and were named as missing.
    pub contradicted: u64,
}

impl Row {
    /// Whether every number is in one place.
    #[must_use]
    pub const fn holds(&self) -> bool {
        self.lost.is_empty() && self.twice == 0 && self.contradicted == 0
    }

    /// How many numbers are nowhere.
    #[must_use]
    pub fn lost_numbers(&self) -> u64 {
        self.lost.iter().map(|(first, last)| last - first + 1).sum()
    }
}

impl Known {
    /// All numbers: from 1 to this one.
    fn newest(&self) -> u64 {
        let seen = [&self.stored, &self.gaps, &self.spool];
        let seen = seen.into_iter().filter_map(Intervals::last).max();
        let Some(place) = &self.place else {
            // How the kernel's numbers and those of events are related is in the
            // spool. Without one they are the same, while probes were loaded once.
            return self.produced.unwrap_or(0).max(seen.unwrap_or(0));
        };
        let read = place.newest();
        match self.produced {
            Some(produced) if produced >= read => place.base + produced,
            // The probes were loaded anew, and the agent has not noted it.
            Some(produced) => place.base + read + produced,
            None => (place.base + read).max(seen.unwrap_or(0)),
        }
    }

    /// Where its numbers are.
    #[must_use]
    pub fn row(&self, stream: &Stream) -> Row {
        let newest = self.newest();
        let mut named = Intervals::default();
        let (mut gaps, mut contradicted) = (0, 0);
        for (first, last) in up_to(&self.gaps, newest) {
            let fresh = absent(&self.stored, first, last);
            let fresh: u64 = fresh.iter().map(count).sum();
            gaps += fresh;
            contradicted += count(&(first, last)) - fresh;
            named.insert_range(first, last);
        }
        let mut told = self.stored.clone();
        for (first, last) in named.ranges_from(0) {
            told.insert_range(first, last);
        }
        let mut spool = 0;
        for (first, last) in up_to(&self.spool, newest) {
            spool += absent(&told, first, last).iter().map(count).sum::<u64>();
        }
        for (first, last) in self.spool.ranges_from(0) {
            told.insert_range(first, last);
        }
        let (mut ring, mut lost) = (0, Vec::new());
        for range in absent(&told, 1, newest) {
            for (number_range, is_waiting) in self.parted(range) {
                if is_waiting {
                    ring += count(&number_range);
                } else {
                    lost.push(number_range);
                }
            }
        }
        Row {
            stream: stream.clone(),
            produced: newest,
            by_kernel: self.produced.is_some(),
            stored: up_to(&self.stored, newest).iter().map(count).sum(),
            counting: self.counting.0,
            counted_acts: self.counting.1,
            gaps,
            spool,
            ring,
            lost,
            twice: self.twice,
            contradicted,
        }
    }

    /// A range of numbers that are nowhere, parted by whether they wait to be read.
    fn parted(&self, (first, last): Range) -> Vec<(Range, bool)> {
        let Some(place) = &self.place else {
            // Who reads no spool cannot say how far the agent read.
            let seen = self.stored.last().max(self.gaps.last()).unwrap_or(0);
            let is_waiting = self.produced.is_some() && first > seen;
            return vec![((first, last), is_waiting)];
        };
        let mut parts: Vec<(Range, bool)> = Vec::new();
        // Only up to the last number that was read they differ one by one.
        let single = last.min(place.base + place.newest());
        for number in first..=single {
            let is_waiting = !place.was_read(number);
            match parts.last_mut() {
                Some(((_, end), before)) if *before == is_waiting => *end = number,
                _ => parts.push(((number, number), is_waiting)),
            }
        }
        if single < last {
            parts.push(((first.max(single + 1), last), true));
        }
        parts
    }
}

const fn count((first, last): &Range) -> u64 {
    *last - *first + 1
}

/// The ranges of a set, up to a number.
fn up_to(set: &Intervals, newest: u64) -> Vec<Range> {
    let ranges = set
        .ranges_from(0)
        .map(|(first, last)| (first, last.min(newest)));
    ranges.filter(|(first, last)| first <= last).collect()
}

/// What of a range is not in a set.
fn absent(set: &Intervals, first: u64, last: u64) -> Vec<Range> {
    let (mut found, mut next) = (Vec::new(), first);
    for (begin, end) in set.ranges_from(0) {
        if end < next {
            continue;
        }
        if begin > last {
            break;
        }
        if begin > next {
            found.push((next, begin - 1));
        }
        next = end.saturating_add(1);
    }
    if next <= last {
        found.push((next, last));
    }
    found
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use monitor_model::{
        clock::UnixNs,
        id::{BootId, Source},
    };
    use proptest::prelude::*;

    use super::*;

    fn stream() -> Stream {
        Stream {
            agent: "jump-1".parse().unwrap(),
            boot: BootId::from_parts(UnixNs(0), 1),
            source: Source::Priority { cpu: 0 },
        }
    }

    fn set(numbers: &[u64]) -> Intervals {
        let mut set = Intervals::default();
        for number in numbers {
            set.insert(*number);
        }
        set
    }

    #[test]
    fn every_number_is_somewhere() {
        let known = Known {
            stored: set(&[1, 2, 3, 6]),
            gaps: set(&[4, 5]),
            spool: set(&[6, 7]),
            place: Some(Place {
                base: 0,
                done: 7,
                ahead: vec![9],
            }),
            produced: Some(12),
            twice: 0,
            counting: (1, 500),
        };
        let mut row = known.row(&stream());
        assert_eq!(row.lost, [(9, 9)], "it was read, and is nowhere");
        assert_eq!((row.stored, row.gaps, row.spool, row.ring), (4, 2, 1, 4));
        assert_eq!(
            (row.counting, row.counted_acts),
            (1, 500),
            "with no numbers"
        );
        let spool = set(&[6, 7, 9]);
        row = Known { spool, ..known }.row(&stream());
        assert!(row.holds(), "{row:?}");
        assert_eq!(row.produced, 12);
    }

    #[test]
    fn what_is_told_twice_or_denied_breaks_it() {
        let known = Known {
            stored: set(&[1, 2, 3]),
            gaps: set(&[3]),
            ..Known::default()
        };
        let row = known.row(&stream());
        assert_eq!((row.contradicted, row.gaps, row.holds()), (1, 0, false));
        let row = Known {
            twice: 1,
            gaps: Intervals::default(),
            ..known
        };
        assert!(!row.row(&stream()).holds());
    }

    #[test]
    fn numbers_of_probes_that_were_loaded_anew_follow_those_before() {
        let known = Known {
            stored: set(&[1, 2, 3, 4, 5]),
            place: Some(Place {
                base: 3,
                done: 2,
                ahead: Vec::new(),
            }),
            produced: Some(4),
            ..Known::default()
        };
        let row = known.row(&stream());
        assert_eq!((row.produced, row.ring, row.holds()), (7, 2, true));
        let anew = Known {
            produced: Some(1),
            ..known
        };
        assert_eq!(anew.row(&stream()).produced, 6, "not noted yet");
    }

    #[test]
    fn what_was_read_while_the_books_were_opened_is_no_sign_of_probes_loaded_anew() {
        let place = Place {
            base: 3,
            done: 7,
            ahead: vec![9],
        };
        // Five when the kernel was asked, nine were read before the spool was.
        let known = Known {
            stored: (1..=10).fold(set(&[12]), |mut all, number| {
                all.insert(number);
                all
            }),
            produced: Some(place.given_out(5, 11)),
            place: Some(place.clone()),
            ..Known::default()
        };
        let row = known.row(&stream());
        assert_eq!((row.produced, row.ring, row.stored), (12, 1, 11));
        assert_eq!(place.given_out(10, 11), 10, "two that nobody read");
        assert_eq!(place.given_out(4, 6), 4, "of probes loaded anew");
    }

    #[test]
    fn without_a_spool_what_came_after_the_newest_number_waits_somewhere() {
        let known = Known {
            stored: set(&[1, 3]),
            produced: Some(5),
            ..Known::default()
        };
        let row = known.row(&stream());
        assert_eq!((row.lost, row.ring), (vec![(2, 2)], 2));
    }

    proptest! {
        #[test]
        fn the_sum_is_what_was_produced_and_what_is_lost_is_told(
            places in prop::collection::vec(0u8..6, 1..80), base in 0u64..9, more in 0u64..5) {
            // Each number is somewhere: 0 stored, 1 named, 2 in the spool, 3 in both, 4 lost,
            // 5 named and stored.
            let mut known = Known::default();
            let mut lost = BTreeSet::new();
            let mut contradicted = 0;
            for (number, place) in (1u64..).zip(&places) {
                match place {
                    0 => _ = known.stored.insert(number),
                    1 => _ = known.gaps.insert(number),
                    2 => _ = known.spool.insert(number),
                    3 => _ = known.spool.insert(number) && known.stored.insert(number),
                    4 => _ = lost.insert(number),
                    _ => {
                        known.stored.insert(number);
                        known.gaps.insert(number);
                        contradicted += 1;
                    }
                }
            }
            let newest = u64::try_from(places.len()).unwrap();
            let base = base.min(newest);
            known.place = Some(Place { base, done: newest - base, ahead: Vec::new() });
            known.produced = Some(newest - base + more);
            let row = known.row(&stream());
            let told: BTreeSet<u64> = row.lost.iter().flat_map(|(first, last)| *first..=*last).collect();
            prop_assert_eq!(&told, &lost);
            prop_assert_eq!(row.contradicted, contradicted);
            prop_assert_eq!(row.ring, more);
            prop_assert_eq!(row.produced, newest + more);
            prop_assert_eq!(row.stored + row.gaps + row.spool + row.ring + row.lost_numbers(), row.produced);
            prop_assert_eq!(row.holds(), lost.is_empty() && contradicted == 0);
        }
    }
}
