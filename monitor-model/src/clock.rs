//! Instants as numbers, and the one place that reads a clock.
//!
//! Time comes in as an argument everywhere else, so that every stage can be
//! tested with the time of the test's choice.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::Serialize;

/// Nanoseconds since 1970-01-01 UTC, leap seconds not counted; good until 2554.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct UnixNs(pub u64);

impl UnixNs {
    /// The last instant that can be expressed: "never ends".
    pub const MAX: Self = Self(u64::MAX);

    /// The instant this many whole seconds after 1970, saturating.
    #[must_use]
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1_000_000_000))
    }

    /// Whole seconds since 1970, rounded down.
    #[must_use]
    pub const fn as_seconds(self) -> u64 {
        self.0 / 1_000_000_000
    }

    /// Whole milliseconds since 1970, rounded down.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// This instant moved forward, saturating.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)),
        )
    }

    /// Time from `earlier` to this instant; zero when it lies ahead.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for UnixNs {
    /// Seconds and nanoseconds; people's output formats it as RFC 3339.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.as_seconds(), self.0 % 1_000_000_000)
    }
}

/// Where a service takes its time from.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The present instant.
    fn now(&self) -> UnixNs;
}

/// The machine's real-time clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that everybody else takes"
    )]
    fn now(&self) -> UnixNs {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        UnixNs(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }
}
