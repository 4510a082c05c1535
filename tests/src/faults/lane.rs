//! Packets on their way in one direction, and what becomes of them there.
//!
//! In: packets in their order, and how the way is just now. Out: the same packets
//! when their time is there: late ones after those that were sent behind them, some
//! twice, some never. Bound: what comes in while the longest of them is late.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use super::chance::Chance;

/// How a way treats packets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Weather {
    /// So many of a hundred are lost.
    pub lost: u64,
    /// So many of a hundred come twice.
    pub doubled: u64,
    /// So many of a hundred are late; those that were sent behind them are not.
    pub late: u64,
    /// By how much at most.
    pub by: Duration,
}

impl Weather {
    /// Packets come as they were sent.
    pub const FAIR: Self = Self {
        lost: 0,
        doubled: 0,
        late: 0,
        by: Duration::ZERO,
    };
}

/// What became of packets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Not given on.
    pub lost: u64,
    /// Given on twice.
    pub doubled: u64,
    /// Given on after one that was sent later.
    pub overtaken: u64,
}

impl Tally {
    /// What became of them since an earlier count.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self {
            lost: self.lost.saturating_sub(earlier.lost),
            doubled: self.doubled.saturating_sub(earlier.doubled),
            overtaken: self.overtaken.saturating_sub(earlier.overtaken),
        }
    }
}

/// A packet, by the time when it goes on; at the same time, in the order of sending.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Packet {
    due: Instant,
    number: u64,
    bytes: Vec<u8>,
}

/// One direction.
#[derive(Debug)]
pub struct Lane {
    chance: Chance,
    on_their_way: BinaryHeap<Reverse<Packet>>,
    taken: u64,
    newest_given: u64,
}

impl Lane {
    /// Nothing is on its way.
    #[must_use]
    pub const fn new(chance: Chance) -> Self {
        Self {
            chance,
            on_their_way: BinaryHeap::new(),
            taken: 0,
            newest_given: 0,
        }
    }

    /// A packet was sent.
    pub fn takes(&mut self, bytes: &[u8], weather: &Weather, now: Instant, tally: &mut Tally) {
        self.taken = self.taken.wrapping_add(1);
        if self.chance.below(100) < weather.lost {
            tally.lost += 1;
            return;
        }
        let is_doubled = self.chance.below(100) < weather.doubled;
        if is_doubled {
            tally.doubled += 1;
        }
        for _ in 0..=u8::from(is_doubled) {
            let is_late = self.chance.below(100) < weather.late;
            let late = if is_late {
                self.chance.within(weather.by)
            } else {
                Duration::ZERO
            };
            self.on_their_way.push(Reverse(Packet {
                due: now.checked_add(late).unwrap_or(now),
                number: self.taken,
                bytes: bytes.to_vec(),
            }));
        }
    }

    /// The next packet whose time is there.
    pub fn gives(&mut self, now: Instant, tally: &mut Tally) -> Option<Vec<u8>> {
        if self.next().is_none_or(|due| due > now) {
            return None;
        }
        let Reverse(packet) = self.on_their_way.pop()?;
        if packet.number < self.newest_given {
            tally.overtaken += 1;
        }
        self.newest_given = self.newest_given.max(packet.number);
        Some(packet.bytes)
    }

    /// When the next one goes on.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        self.on_their_way.peek().map(|Reverse(packet)| packet.due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: u8 = 200;
    const LATEST: Duration = Duration::from_millis(50);

    /// What arrives of [`SENT`] packets, one a millisecond, and what is counted.
    fn arrives(weather: Weather) -> (Vec<u8>, Tally) {
        let (mut lane, mut tally) = (Lane::new(Chance::new(7)), Tally::default());
        let begin = Instant::now();
        let mut arrived = Vec::new();
        for number in 0..SENT {
            let now = begin + Duration::from_millis(u64::from(number));
            lane.takes(&[number], &weather, now, &mut tally);
            while let Some(packet) = lane.gives(now, &mut tally) {
                arrived.extend(packet);
            }
        }
        let end = begin + Duration::from_millis(u64::from(SENT)) + LATEST;
        while let Some(packet) = lane.gives(end, &mut tally) {
            arrived.extend(packet);
        }
        assert_eq!(lane.next(), None);
        (arrived, tally)
    }

    #[test]
    fn fair_weather_changes_nothing() {
        let (arrived, tally) = arrives(Weather::FAIR);
        assert_eq!(arrived, (0..SENT).collect::<Vec<_>>());
        assert_eq!(tally, Tally::default());
    }

    #[test]
    fn late_packets_are_overtaken_and_all_arrive() {
        let (mut arrived, tally) = arrives(Weather {
            late: 30,
            by: LATEST,
            ..Weather::FAIR
        });
        assert!(tally.overtaken > 10, "{tally:?}");
        assert!(!arrived.is_sorted());
        arrived.sort_unstable();
        assert_eq!(arrived, (0..SENT).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_lost_or_doubled_is_what_is_counted() {
        let (mut arrived, tally) = arrives(Weather {
            lost: 10,
            doubled: 20,
            ..Weather::FAIR
        });
        assert!(tally.lost > 5 && tally.doubled > 10, "{tally:?}");
        let count = |arrived: &[u8]| u64::try_from(arrived.len()).unwrap();
        let once = u64::from(SENT) - tally.lost;
        assert_eq!(count(&arrived), once + tally.doubled);
        arrived.dedup();
        assert_eq!(count(&arrived), once);
    }
}
