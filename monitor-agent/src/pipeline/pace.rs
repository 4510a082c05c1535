//! How soon the rings are read again: at once after a pause, in batches under
//! load. Pure.
//!
//! A reading costs some hundred thousand instructions, whatever it holds: a
//! transaction, a sync, waking; and a batch as much at the collector. So a reading
//! that follows another one closely is followed by a pause: [`QUIET`] for
//! everything, [`QUIET_MANY`] where as much as [`MANY`] came, then up to [`LINGER`]
//! for what is not urgent. Bound of the delay: [`LINGER`], and these for urgent
//! records; none for the first event after [`RECENT`] without any, nor for the
//! second. A reading that is full, or nearly so, is followed by the next one soon.

use std::time::Duration;

use tokio::time::Instant;

use super::LIMITS;
use crate::kernel::ring::Pause;

/// Two readings within this are load.
pub const RECENT: Duration = Duration::from_millis(30);
/// Under load, from one reading to the next at least.
pub const QUIET: Duration = Duration::from_millis(1);
/// The same where many come: so long that what a reading costs is spread over more
/// of them, so short that nobody notices.
pub const QUIET_MANY: Duration = Duration::from_millis(8);
/// So many records in a reading are many. Below, a pause as long would spare little;
/// above, the rings fill faster than one reading may take.
pub const MANY: std::ops::Range<usize> = 64..LIMITS.records_max / 2;
/// Under load, from one reading to the next at most, where something came.
pub const LINGER: Duration = Duration::from_millis(20);

/// When the rings were read, as far as that matters.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    newest: Option<Instant>,
    busy: bool,
    many: bool,
}

impl Pace {
    /// Takes note of a reading; one without records is none.
    pub fn read(&mut self, records: usize, now: Instant) {
        if records == 0 {
            return;
        }
        self.many = MANY.contains(&records);
        let newest = self.newest.replace(now);
        self.busy = newest.is_some_and(|newest| now.saturating_duration_since(newest) < RECENT);
    }

    /// The pause that follows the newest reading.
    #[must_use]
    pub fn pause(&self) -> Option<Pause> {
        let newest = self.newest.filter(|_| self.busy)?;
        Some(Pause {
            quiet_until: newest + if self.many { QUIET_MANY } else { QUIET },
            linger_until: newest + LINGER,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_event_after_a_pause_and_the_second_are_read_at_once() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        assert_eq!(pace.pause(), None);
        pace.read(1, start);
        assert_eq!(pace.pause(), None);
    }

    #[test]
    fn readings_close_to_each_other_are_followed_by_a_pause() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        pace.read(1, start);
        let second = start + RECENT / 2;
        pace.read(5, second);
        let pause = pace.pause().unwrap();
        assert_eq!(pause.quiet_until, second + QUIET);
        assert_eq!(pause.linger_until, second + LINGER);
    }

    #[test]
    fn many_records_are_waited_for_unless_they_fill_a_reading() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        let mut quiet_after = |records| {
            pace.read(records, start);
            pace.pause().map(|pause| pause.quiet_until - start)
        };
        assert_eq!(quiet_after(1_000), None, "the first is no load");
        assert_eq!(quiet_after(1_000), Some(QUIET_MANY));
        assert_eq!(quiet_after(MANY.start - 1), Some(QUIET));
        assert_eq!(quiet_after(LIMITS.records_max), Some(QUIET));
    }

    #[test]
    fn load_that_is_read_once_a_linger_stays_load() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        for at in 0..5 {
            pace.read(100, start + LINGER * at);
        }
        assert!(pace.pause().is_some());
    }

    #[test]
    fn silence_ends_it_and_an_empty_reading_is_not_load() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        pace.read(1, start);
        pace.read(0, start + QUIET);
        assert_eq!(pace.pause(), None);
        pace.read(1, start + QUIET * 2);
        pace.read(1, start + QUIET * 2 + RECENT);
        assert_eq!(pace.pause(), None);
    }
}
