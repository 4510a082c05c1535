//! What came, what came again, what never came. Pure.
//!
//! In: for each processor and ring, the sequence numbers of records in the
//! order of the ring, and the kernel's counters. Out: which record is new, and
//! named gaps. Bound: [`REORDER_MAX`] numbers ahead of a hole, for each
//! stream. Loss: none here; a number that arrives after its gap was named is
//! not told twice and counted by the caller.
//!
//! For every stream: delivered + gaps = produced, and nothing is in both. The
//! kernel counts from 1 again whenever probes are loaded anew; [`Stream::base`]
//! keeps the numbers of events rising within a boot.

use std::collections::{BTreeMap, BTreeSet};

use monitor_model::{
    event::{Action, GapCause},
    id::Source,
};

/// Numbers that may arrive before a missing one is given up. Programs can be
/// preempted between taking a number and entering the ring, so neighbours
/// swap; no more than a few can.
pub const REORDER_MAX: usize = 1_024;

/// Where one stream stands; kept with the spool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stream {
    /// Added to a kernel's number to get an event's.
    pub base: u64,
    /// Every kernel number up to here was delivered or named.
    pub done: u64,
    /// Numbers above that were delivered.
    pub ahead: BTreeSet<u64>,
    /// Of the kernel's count of dropped records, those that gaps named.
    pub dropped_named: u64,
}

impl Stream {
    /// The newest number that was seen or named.
    fn newest(&self) -> u64 {
        self.ahead.last().copied().unwrap_or(0).max(self.done)
    }

    /// Moves `done` over what was delivered.
    fn advance(&mut self) {
        while self
            .done
            .checked_add(1)
            .is_some_and(|next| self.ahead.remove(&next))
        {
            self.done += 1;
        }
    }
}

/// Whether a record is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It is; its event has this number.
    New(u64),
    /// It was delivered before, or named as missing.
    Again,
}

/// Numbers that never came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The stream.
    pub source: Source,
    /// First missing event number.
    pub first: u64,
    /// Last missing event number.
    pub last: u64,
    /// Why.
    pub cause: GapCause,
}

impl Gap {
    /// How many they are.
    #[must_use]
    pub const fn numbers(&self) -> u64 {
        self.last - self.first + 1
    }
}

impl From<Gap> for Action {
    fn from(gap: Gap) -> Self {
        let Gap {
            source,
            first,
            last,
            cause,
        } = gap;
        Self::Gap {
            source,
            first,
            last,
            cause,
        }
    }
}

/// What the kernel counted for one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The stream.
    pub source: Source,
    /// Numbers taken.
    pub produced: u64,
    /// Of them, those whose record found no room.
    pub dropped: u64,
}

/// All streams of the kernel.
#[derive(Clone, Debug, Default)]
pub struct Sequences {
    streams: BTreeMap<Source, Stream>,
    dropped: BTreeMap<Source, u64>,
    /// What the kernel had produced when it was last looked at.
    produced_before: BTreeMap<Source, u64>,
    changed: BTreeSet<Source>,
}

impl Sequences {
    /// Goes on from where the spool was left.
    #[must_use]
    pub fn resume(streams: BTreeMap<Source, Stream>) -> Self {
        Self {
            streams,
            ..Self::default()
        }
    }

    /// The kernel counts from 1 again, because the probes were loaded anew.
    /// What was still open then is named.
    #[must_use]
    pub fn restart(&mut self) -> Vec<Gap> {
        let mut gaps = Vec::new();
        for (source, stream) in &mut self.streams {
            let newest = stream.newest();
            give_up(*source, stream, (newest, 0), &mut gaps);
            stream.base += newest;
            stream.done = 0;
            stream.dropped_named = 0;
            self.changed.insert(*source);
        }
        self.dropped.clear();
        self.produced_before.clear();
        gaps
    }

    /// Takes the number of a record.
    pub fn observe(&mut self, source: Source, number: u64) -> Seen {
        let stream = self.streams.entry(source).or_default();
        if number <= stream.done || !stream.ahead.insert(number) {
            return Seen::Again;
        }
        stream.advance();
        self.changed.insert(source);
        Seen::New(stream.base + number)
    }

    /// What the kernel counted; gaps are explained by it.
    pub fn counted(&mut self, counts: &[Counted]) {
        for count in counts {
            self.dropped.insert(count.source, count.dropped);
        }
    }

    /// Whether [`Self::overdue`] would name something: the kernel's counters
    /// should be fresh then.
    #[must_use]
    pub fn is_overdue(&self) -> bool {
        self.streams
            .values()
            .any(|stream| stream.ahead.len() > REORDER_MAX)
    }

    /// Names holes that too many later numbers have passed.
    #[must_use]
    pub fn overdue(&mut self) -> Vec<Gap> {
        let mut gaps = Vec::new();
        for (source, stream) in &mut self.streams {
            let excess = stream.ahead.len().saturating_sub(REORDER_MAX);
            let Some(passed) = excess
                .checked_sub(1)
                .and_then(|at| stream.ahead.iter().nth(at).copied())
            else {
                continue;
            };
            let dropped = self.dropped.get(source).copied().unwrap_or(0);
            give_up(*source, stream, (passed, dropped), &mut gaps);
            self.changed.insert(*source);
        }
        gaps
    }

    /// Names holes that stayed from one look to the next, those at the end of
    /// a stream among them. To be called when the rings of these streams were
    /// read to their end after the counters were taken, a second or more apart.
    #[must_use]
    pub fn settle(&mut self, counts: &[Counted]) -> Vec<Gap> {
        self.counted(counts);
        let mut gaps = Vec::new();
        for count in counts {
            let before = self.produced_before.insert(count.source, count.produced);
            let until = before.unwrap_or(0).min(count.produced);
            if until == 0 {
                continue;
            }
            let stream = self.streams.entry(count.source).or_default();
            if until > stream.done {
                give_up(count.source, stream, (until, count.dropped), &mut gaps);
                self.changed.insert(count.source);
            }
        }
        gaps
    }

    /// The streams that changed since this was last asked, to be kept with
    /// what was delivered.
    pub fn take_changed(&mut self) -> Vec<(Source, Stream)> {
        std::mem::take(&mut self.changed)
            .into_iter()
            .filter_map(|source| Some((source, self.streams.get(&source)?.clone())))
            .collect()
    }
}

/// Names every hole up to a number, and moves on behind it.
fn give_up(source: Source, stream: &mut Stream, (until, dropped): (u64, u64), gaps: &mut Vec<Gap>) {
    while stream.done < until {
        let first = stream.done + 1;
        let next = stream.ahead.first().copied().filter(|next| *next <= until);
        let last = next.map_or(until, |next| next - 1);
        if first <= last {
            name(source, stream, (first, last, dropped), gaps);
        }
        stream.done = last;
        stream.advance();
    }
}

/// Names one hole: as much of it as the kernel counted was lost to a full
/// ring, the rest has no explanation.
fn name(
    source: Source,
    stream: &mut Stream,
    (first, last, dropped): (u64, u64, u64),
    gaps: &mut Vec<Gap>,
) {
    let explained = dropped
        .saturating_sub(stream.dropped_named)
        .min(last - first + 1);
    stream.dropped_named += explained;
    let mut push = |first: u64, last: u64, cause| {
        gaps.push(Gap {
            source,
            first: stream.base + first,
            last: stream.base + last,
            cause,
        });
    };
    if explained > 0 {
        push(first, first + explained - 1, GapCause::RingFull);
    }
    if first + explained <= last {
        push(first + explained, last, GapCause::Unexplained);
    }
}

#[cfg(test)]
mod tests;
