//! Simulated time, and hosts whose clocks are wrong.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use monitor_model::clock::{Clock, UnixNs};

/// When every play begins.
pub const EPOCH: UnixNs = UnixNs::from_seconds(1_800_000_000);

/// Time since the beginning, as everybody would tell it whose clock is right.
#[derive(Clone, Debug, Default)]
pub struct Time(Arc<AtomicU64>);

impl Time {
    /// So much has gone by.
    pub fn set(&self, since: Duration) {
        let ns = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        self.0.store(ns, Ordering::Relaxed);
    }

    /// Since the beginning.
    #[must_use]
    pub fn since(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }

    /// A clock that is right until it is moved.
    #[must_use]
    pub fn clock(&self) -> HostClock {
        HostClock {
            time: self.clone(),
            wrong_ms: Arc::default(),
        }
    }
}

/// The calendar clock of one host.
#[derive(Clone, Debug)]
pub struct HostClock {
    time: Time,
    wrong_ms: Arc<AtomicI64>,
}

impl HostClock {
    /// Is wrong by so much from now on.
    pub fn jump(&self, wrong_ms: i64) {
        self.wrong_ms.store(wrong_ms, Ordering::Relaxed);
    }
}

impl Clock for HostClock {
    fn now(&self) -> UnixNs {
        let right = EPOCH.plus(self.time.since()).0;
        let wrong = self.wrong_ms.load(Ordering::Relaxed);
        UnixNs(right.saturating_add_signed(wrong.saturating_mul(1_000_000)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_goes_with_time_and_is_wrong_where_it_was_moved() {
        let time = Time::default();
        let (right, wrong) = (time.clock(), time.clock());
        wrong.jump(-2_000);
        time.set(Duration::from_secs(5));
        assert_eq!(right.now().since(EPOCH), Duration::from_secs(5));
        assert_eq!(wrong.now().since(EPOCH), Duration::from_secs(3));
    }
}
