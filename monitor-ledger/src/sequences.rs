//! Numbers held and missing, stream by stream.
//!
//! Every agent counts what it tells, in each boot and each source of events.
//! In: names of events, in any order, and the gaps that agents named. Out: the
//! ranges that are missing, each with its cause. Bound: [`RANGES_MAX`] ranges;
//! beyond them nothing is said of what is missing, rather than something wrong.

use std::collections::BTreeMap;

use monitor_model::{
    event::{Action, Event, GapCause},
    id::{AgentName, BootId, EventId, Source},
};
use serde::Serialize;

use crate::intervals::Intervals;

/// Most ranges that are kept.
pub const RANGES_MAX: usize = 1_000_000;

/// One stream of one host's events.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Stream {
    /// The agent.
    pub agent: AgentName,
    /// The host's boot.
    pub boot: BootId,
    /// The source within the boot.
    pub source: Source,
}

impl From<&EventId> for Stream {
    fn from(id: &EventId) -> Self {
        Self {
            agent: id.agent.clone(),
            boot: id.boot,
            source: id.source,
        }
    }
}

/// Numbers that are missing in a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// The stream.
    pub stream: Stream,
    /// The first.
    pub first: u64,
    /// The last.
    pub last: u64,
    /// Why, as the agent named it; none where it named nothing.
    pub cause: Option<String>,
}

/// What is held, and which gaps were named.
#[derive(Clone, Debug, Default)]
pub struct Sequences {
    held: BTreeMap<Stream, Intervals>,
    named: BTreeMap<Stream, Vec<(u64, u64, GapCause)>>,
    ranges: usize,
    is_full: bool,
}

impl Sequences {
    /// Takes an event: its number is held, and a gap that it names is known.
    /// False when the number was held before.
    pub fn take(&mut self, event: &Event) -> bool {
        self.take_gap(event);
        self.hold(Stream::from(&event.id), event.id.sequence)
    }

    /// Takes the gap that an event names, if it does, and not its number.
    pub fn take_gap(&mut self, event: &Event) {
        if let Action::Gap {
            source,
            first,
            last,
            cause,
        } = &event.action
        {
            let named = Stream {
                source: *source,
                ..Stream::from(&event.id)
            };
            self.name(named, (*first, *last, *cause));
        }
    }

    /// Takes a number as held; false when it was before.
    pub fn hold(&mut self, stream: Stream, number: u64) -> bool {
        let has_room = self.has_room();
        let held = self.held.entry(stream).or_default();
        if held.contains(number) {
            return false;
        }
        if !has_room && !held.touches(number) {
            self.is_full = true;
            return true;
        }
        let before = held.len();
        held.insert(number);
        self.ranges = (self.ranges + held.len()).saturating_sub(before);
        true
    }

    /// Takes a gap that an agent named.
    pub fn name(&mut self, stream: Stream, gap: (u64, u64, GapCause)) {
        if self.has_room() {
            self.ranges += 1;
            self.named.entry(stream).or_default().push(gap);
        } else {
            self.is_full = true;
        }
    }

    fn has_room(&self) -> bool {
        self.ranges < RANGES_MAX
    }

    /// Whether there were too many ranges to know all of them.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.is_full
    }

    /// How many streams there are.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.held.len()
    }

    /// Ranges held in a stream, ascending.
    pub fn held(&self) -> impl Iterator<Item = (&Stream, u64, u64)> {
        self.held.iter().flat_map(|(stream, held)| {
            held.ranges_from(0)
                .map(move |(first, last)| (stream, first, last))
        })
    }

    /// Takes in what another holds.
    pub fn merge(&mut self, other: &Self) {
        self.is_full |= other.is_full;
        for (stream, first, last) in other.held() {
            self.hold_range(stream, first, last);
        }
        for (stream, gaps) in &other.named {
            for gap in gaps {
                self.name(stream.clone(), *gap);
            }
        }
    }

    /// Takes numbers as held, first to last.
    pub fn hold_range(&mut self, stream: &Stream, first: u64, last: u64) {
        if !self.has_room() {
            self.is_full = true;
            return;
        }
        let held = self.held.entry(stream.clone()).or_default();
        let before = held.len();
        held.insert_range(first, last);
        self.ranges = (self.ranges + held.len()).saturating_sub(before);
    }

    /// Numbers of one stream that are missing within `from..=to`, ascending,
    /// cut where what was named begins and ends.
    #[must_use]
    pub fn missing(&self, stream: &Stream, from: u64, to: u64) -> Vec<Missing> {
        let mut missing = Vec::new();
        let mut next = from;
        let empty = Intervals::default();
        let held = self.held.get(stream).unwrap_or(&empty);
        for (first, last) in held.ranges_from(from) {
            if first > to {
                break;
            }
            if first > next {
                self.causes(stream, next, first - 1, &mut missing);
            }
            next = last.saturating_add(1);
        }
        if next <= to {
            self.causes(stream, next, to, &mut missing);
        }
        missing
    }

    /// The first of the missing numbers right before a number; the number where
    /// none is missing there.
    #[must_use]
    pub fn first_missing_before(&self, stream: &Stream, number: u64) -> u64 {
        let held = self.held.get(stream);
        let before = held.and_then(|held| held.last_below(number));
        before.map_or(1, |before| before + 1).min(number)
    }

    /// The last of the missing numbers right after a number; the number where
    /// none is missing there, or nothing further is held.
    #[must_use]
    pub fn last_missing_after(&self, stream: &Stream, number: u64) -> u64 {
        let held = self.held.get(stream);
        let after = held.and_then(|held| held.first_above(number));
        after.map_or(number, |after| after - 1)
    }

    /// Every number that is missing below the newest of its stream.
    #[must_use]
    pub fn all_missing(&self) -> Vec<Missing> {
        self.held
            .iter()
            .flat_map(|(stream, held)| self.missing(stream, 1, held.last().unwrap_or(0)))
            .collect()
    }

    /// Every gap that was named, held or not.
    pub fn named(&self) -> impl Iterator<Item = Missing> {
        self.named.iter().flat_map(|(stream, gaps)| {
            gaps.iter().map(|(first, last, cause)| Missing {
                stream: stream.clone(),
                first: *first,
                last: *last,
                cause: Some(cause.to_string()),
            })
        })
    }

    /// Parts a missing range by what was named of it.
    fn causes(&self, stream: &Stream, first: u64, last: u64, into: &mut Vec<Missing>) {
        let mut named: Vec<_> = self.named.get(stream).cloned().unwrap_or_default();
        named.sort_unstable_by_key(|(first, last, _)| (*first, *last));
        let mut push = |first, last, cause: Option<GapCause>| {
            into.push(Missing {
                stream: stream.clone(),
                first,
                last,
                cause: cause.map(|cause| cause.to_string()),
            });
        };
        let mut next = first;
        for (from, to, cause) in named {
            let (from, to) = (from.max(next), to.min(last));
            if from > to {
                continue;
            }
            if from > next {
                push(next, from - 1, None);
            }
            push(from, to, Some(cause));
            next = to.saturating_add(1);
        }
        if next <= last {
            push(next, last, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use monitor_model::clock::UnixNs;
    use proptest::prelude::*;

    use super::*;

    fn stream() -> Stream {
        Stream {
            agent: "jump-1".parse().unwrap(),
            boot: BootId::from_parts(UnixNs(0), 1),
            source: Source::Agent,
        }
    }

    fn ranges(missing: &[Missing]) -> Vec<(u64, u64, Option<&str>)> {
        missing
            .iter()
            .map(|one| (one.first, one.last, one.cause.as_deref()))
            .collect()
    }

    #[test]
    fn what_is_missing_is_told_with_its_cause_or_without() {
        let mut sequences = Sequences::default();
        for number in [1, 2, 5, 9, 10] {
            sequences.hold(stream(), number);
        }
        sequences.name(stream(), (7, 8, GapCause::RingFull));
        sequences.name(stream(), (3, 3, GapCause::SpoolFull));
        let missing = sequences.all_missing();
        let expected = [
            (3, 3, Some("spool full")),
            (4, 4, None),
            (6, 6, None),
            (7, 8, Some("ring full")),
        ];
        assert_eq!(ranges(&missing), expected);
        assert_eq!(
            ranges(&sequences.missing(&stream(), 4, 6)),
            [(4, 4, None), (6, 6, None)]
        );
        assert!(!sequences.hold(stream(), 9) && sequences.hold(stream(), 8));
        assert_eq!(
            ranges(&sequences.missing(&stream(), 9, 12)),
            [(11, 12, None)]
        );
    }

    #[test]
    fn what_is_missing_next_to_a_number_is_found_on_both_sides() {
        let mut sequences = Sequences::default();
        for number in [3, 4, 5, 9] {
            sequences.hold(stream(), number);
        }
        let before = |number| sequences.first_missing_before(&stream(), number);
        let after = |number| sequences.last_missing_after(&stream(), number);
        assert_eq!((before(3), before(4), before(9)), (1, 4, 6));
        assert_eq!((after(4), after(5), after(9)), (4, 8, 9));
    }

    #[test]
    fn nothing_is_said_beyond_the_bound() {
        let mut sequences = Sequences {
            ranges: RANGES_MAX - 1,
            ..Sequences::default()
        };
        sequences.hold(stream(), 1);
        assert!(!sequences.is_full());
        sequences.hold(stream(), 2);
        assert!(!sequences.is_full(), "it touches what is held");
        sequences.hold(stream(), 9);
        assert!(sequences.is_full());
    }

    proptest! {
        #[test]
        fn merged_halves_are_the_whole(numbers in prop::collection::vec((1u64..80, any::<bool>()), 0..120)) {
            let mut halves = [Sequences::default(), Sequences::default()];
            let mut whole = Sequences::default();
            for (number, half) in numbers {
                halves[usize::from(half)].hold(stream(), number);
                whole.hold(stream(), number);
            }
            let [mut one, two] = halves;
            one.merge(&two);
            prop_assert_eq!(&one.held, &whole.held);
            prop_assert_eq!(one.ranges, whole.ranges);
        }
    }
}
