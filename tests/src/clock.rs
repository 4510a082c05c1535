//! The present instant, for times that only this side can observe.

use std::time::{SystemTime, UNIX_EPOCH};

/// Nanoseconds since 1970-01-01 UTC, by the machine's real-time clock.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "the one place here that reads the clock"
)]
pub fn now_unix_ns() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// `12:34:56.789` in UTC, of nanoseconds since 1970.
#[must_use]
pub fn time_of_day(unix_ns: u64) -> String {
    let milliseconds = unix_ns / 1_000_000;
    let seconds = milliseconds / 1_000;
    format!(
        "{:02}:{:02}:{:02}.{:03}",
        seconds / 3_600 % 24,
        seconds / 60 % 60,
        seconds % 60,
        milliseconds % 1_000
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_of_day_has_milliseconds() {
        assert_eq!(time_of_day(1_700_000_000_123_456_789), "22:13:20.123");
    }
}
