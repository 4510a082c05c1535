//! How soon the rings are read again: at once after a pause, in batches under
//! load. Pure.
//!
//! A reading costs some hundred thousand instructions, whatever it holds: a
//! transaction, a sync, waking. So a reading that follows another one closely
//! is followed by a pause: [`QUIET`] for everything, then up to [`LINGER`] for
//! what is not urgent. Bound of the delay: [`LINGER`], and [`QUIET`] for urgent
//! records; none for the first event after [`RECENT`] without any, nor for the
//! second.

use std::time::Duration;

use tokio::time::Instant;

use crate::kernel::ring::Pause;

/// Two readings within this are load.
pub const RECENT: Duration = Duration::from_millis(30);
/// Under load, from one reading to the next at least.
pub const QUIET: Duration = Duration::from_millis(1);
/// Under load, from one reading to the next at most, where something came.
pub const LINGER: Duration = Duration::from_millis(20);

/// When the rings were read, as far as that matters.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    newest: Option<Instant>,
    busy: bool,
}

impl Pace {
    /// Takes note of a reading; one without records is none.
    pub fn read(&mut self, records: usize, now: Instant) {
        if records == 0 {
            return;
        }
        let newest = self.newest.replace(now);
        self.busy = newest.is_some_and(|newest| now.saturating_duration_since(newest) < RECENT);
    }

    /// The pause that follows the newest reading.
    #[must_use]
    pub fn pause(&self) -> Option<Pause> {
        let newest = self.newest.filter(|_| self.busy)?;
        Some(Pause {
            quiet_until: newest + QUIET,
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
