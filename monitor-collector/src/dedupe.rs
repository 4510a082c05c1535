//! Drops what the ledgers already hold. Pure.
//!
//! In: names of events, in any order. Out: whether each is new.
//! Bound: [`STREAMS_MAX`] streams; the longest idle one is forgotten, and
//! loaded again from the ledgers when it speaks. What changed is noted in the
//! state, so that a start need not read all of the ledgers. Loss: none.

use std::collections::HashMap;

pub use monitor_ledger::{intervals::Intervals, sequences::Stream};

/// Most streams kept in memory.
pub const STREAMS_MAX: usize = 100_000;

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
    /// Since it was last told by [`Dedupe::take_changes`].
    is_changed: bool,
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

    /// Whether the stream has to be loaded before numbers of it are taken.
    #[must_use]
    pub fn is_unknown(&self, stream: &Stream) -> bool {
        !self.streams.contains_key(stream)
    }

    /// Takes what the ledgers hold of a stream.
    pub fn load(&mut self, stream: Stream, stored: Intervals) {
        self.keep(stream, stored, true);
    }

    /// Takes what was noted of a stream.
    pub fn recall(&mut self, stream: Stream, noted: Intervals) {
        self.keep(stream, noted, false);
    }

    fn keep(&mut self, stream: Stream, stored: Intervals, is_changed: bool) {
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
        let used = self.tick;
        let known = Known {
            stored,
            used,
            is_changed,
        };
        self.streams.insert(stream, known);
    }

    /// Whether a number of a stream was taken; none when the stream has to be
    /// loaded first.
    #[must_use]
    pub fn holds(&self, stream: &Stream, sequence: u64) -> Option<bool> {
        let known = self.streams.get(stream)?;
        Some(known.stored.contains(sequence))
    }

    /// Takes a number of a stream; false when it was there, and none when the
    /// stream has to be loaded first.
    pub fn insert(&mut self, stream: &Stream, sequence: u64) -> Option<bool> {
        self.tick += 1;
        let known = self.streams.get_mut(stream)?;
        known.used = self.tick;
        let is_new = known.stored.insert(sequence);
        known.is_changed |= is_new;
        Some(is_new)
    }

    /// The streams of which more is known than was noted, with all they have.
    pub fn take_changes(&mut self) -> impl Iterator<Item = (&Stream, &Intervals)> {
        self.streams.iter_mut().filter_map(|(stream, known)| {
            std::mem::take(&mut known.is_changed).then_some((stream, &known.stored))
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
                prop_assert_eq!(dedupe.insert(&stream(cpu), sequence), Some(oracle.insert((cpu, sequence))));
                prop_assert!(dedupe.len() <= 2);
            }
        }
    }
}
