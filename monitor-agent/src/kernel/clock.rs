//! From the kernel's clock to the calendar.

use rustix::time::{ClockId, Timespec, clock_gettime};

/// What to add to `boot_ns` of a record to get Unix time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeOffset {
    /// Unix time less time since boot, nanoseconds.
    pub unix_minus_boot_ns: i64,
    /// How far it may be off, nanoseconds: the two clocks cannot be read at
    /// once.
    pub uncertainty_ns: u64,
}

/// Tries to read both clocks; the closest pair counts.
const TRIES: usize = 5;

impl TimeOffset {
    /// Reads both clocks. Changes when the calendar clock is set: read it again
    /// from time to time.
    #[must_use]
    pub fn now() -> Self {
        let measure = || {
            let before = nanoseconds(clock_gettime(ClockId::Boottime));
            let unix = nanoseconds(clock_gettime(ClockId::Realtime));
            let after = nanoseconds(clock_gettime(ClockId::Boottime));
            let gap = after.saturating_sub(before);
            Self {
                unix_minus_boot_ns: unix.saturating_sub(before.saturating_add(gap / 2)),
                uncertainty_ns: u64::try_from(gap).unwrap_or(0),
            }
        };
        let first = measure();
        (1..TRIES).map(|_| measure()).fold(first, |best, next| {
            if next.uncertainty_ns < best.uncertainty_ns {
                next
            } else {
                best
            }
        })
    }

    /// Unix time of a moment since boot, nanoseconds.
    #[must_use]
    pub fn unix_ns(&self, boot_ns: u64) -> i64 {
        i64::try_from(boot_ns)
            .unwrap_or(i64::MAX)
            .saturating_add(self.unix_minus_boot_ns)
    }
}

fn nanoseconds(time: Timespec) -> i64 {
    time.tv_sec
        .saturating_mul(1_000_000_000)
        .saturating_add(time.tv_nsec)
}
