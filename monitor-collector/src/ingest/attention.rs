//! For how long the collector could hear.
//!
//! A collector that stood still (a stopped process, a machine that slept, no
//! turn on the processor) has heard nobody, and that is nobody's silence. So
//! silence is counted in time that goes on only while the collector looks: from
//! one look to the next at most [`STEP_MAX`].

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Most that counts from one look to the next.
pub const STEP_MAX: Duration = Duration::from_millis(500);

/// Time that stands still with the collector.
#[derive(Debug)]
pub struct Attention {
    at: Mutex<(Instant, Duration)>,
}

impl Attention {
    /// From now on.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self {
            at: Mutex::new((now, Duration::ZERO)),
        }
    }

    /// The time that counts, as of now.
    #[must_use]
    pub fn at(&self, now: Instant) -> Duration {
        let (looked, counted) = *self.at.lock().unwrap_or_else(PoisonError::into_inner);
        counted + now.saturating_duration_since(looked).min(STEP_MAX)
    }

    /// The collector looks: time goes on.
    pub fn look(&self, now: Instant) {
        let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        let (looked, counted) = *at;
        let step = now.saturating_duration_since(looked).min(STEP_MAX);
        *at = (now.max(looked), counted + step);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_that_stood_still_has_not_been_listening() {
        let start = Instant::now();
        let attention = Attention::new(start);
        let after = |ms| start + Duration::from_millis(ms);
        attention.look(after(100));
        attention.look(after(200));
        assert_eq!(attention.at(after(300)), Duration::from_millis(300));
        // An hour in which nobody looked.
        attention.look(after(3_600_200));
        assert_eq!(attention.at(after(3_600_200)), Duration::from_millis(700));
        assert_eq!(attention.at(after(3_600_300)), Duration::from_millis(800));
        // A look that comes late with an earlier time takes nothing back.
        attention.look(after(100));
        assert_eq!(attention.at(after(3_600_300)), Duration::from_millis(800));
    }
}
