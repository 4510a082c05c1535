//! What the agent counts, all of it from zero at start.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

/// One count that only grows.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds to it.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// Adds the number of some things.
    pub fn add_len(&self, more: usize) {
        self.add(u64::try_from(more).unwrap_or(u64::MAX));
    }

    /// What it stands at.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($($name:ident: $doc:literal,)*) => {
        /// Every count of the agent.
        #[derive(Debug, Default)]
        pub struct Counters { $(#[doc = $doc] pub $name: Count,)* }

        impl Counters {
            /// Names and values, for a log line or an exporter.
            #[must_use]
            pub fn all(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.get()),)*]
            }
        }
    };
}

counters! {
    records_read: "Records taken from the rings.",
    records_again: "Records that were taken before, or named as missing.",
    records_undecodable: "Records that could not be read.",
    records_missing: "Sequence numbers that gaps named.",
    events_spooled: "Events on disk here.",
    batches_spooled: "Batches on disk here.",
    spool_errors: "Writes to the spool that failed and were tried again.",
    spool_full: "Times that the rings were left alone because the spool was full.",
    events_sent: "Events handed to the stream to the collector; again after a loss.",
    batches_acked: "Batches that the collector has on disk.",
    uplinks: "Streams to the collector that came about.",
    grants_unreadable: "Grants from the collector that made no sense.",
    logins_bound: "Sessions that were bound to a person.",
    logins_unattributed: "Sessions that were let in without a person.",
    logins_refused: "Logins that were refused.",
    refusals_untold: "Refused logins that were too many in a second to be told one by one.",
    asks_refused: "Requests on the socket from accounts that may not ask.",
    contained: "Sessions that were ended by order.",
    frozen: "Sessions that were frozen.",
    released: "Sessions that were released.",
    secrets_removed: "Secrets taken out of what people wrote.",
    watches_beyond: "Watched files above the maximum, which are not watched.",
    watches_let_go: "Replaced or moved files that were let go to make room.",
    watch_ids_unknown: "Opens of watched files whose watch is not known.",
    sessions_evicted: "Ended sessions forgotten to make room.",
    executables_evicted: "Programs of processes forgotten to make room.",
    steering_untaken: "Processes of sessions of which it is not known who else steers them: the table is full.",
}

impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, value)) in self.all().into_iter().enumerate() {
            write!(f, "{}{name}={value}", if at == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}
