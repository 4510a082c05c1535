//! Losses are told when they grow, not each time they are looked at.

use monitor_common::{Fault, Ring};
use tracing::{error, warn};

use crate::{counters::Counters, kernel::Counters as KernelCounters};

/// What was told so far.
#[derive(Debug, Default)]
pub(super) struct Told {
    first: Option<()>,
    dropped: [u64; 2],
    faults: Vec<(Fault, u64)>,
    missing: u64,
    undecodable: u64,
}

impl Told {
    /// Compares, and tells what grew since the last time.
    pub(super) fn tell(&mut self, kernel: &KernelCounters, counters: &Counters) {
        let first = self.first.replace(()).is_none();
        for (ring, told) in Ring::ALL.into_iter().zip(&mut self.dropped) {
            let total = kernel.dropped(ring);
            let new = total.saturating_sub(std::mem::replace(told, total));
            if new > 0 && !first {
                error!(
                    ring = ring.name(),
                    new,
                    total,
                    "The kernel dropped records, because a ring was full; a gap names them."
                );
            }
        }
        for (fault, total) in &kernel.faults {
            let before = self
                .faults
                .iter()
                .find(|(known, _)| known == fault)
                .map_or(0, |(_, count)| *count);
            if *total > before && !first {
                warn!(
                    fault = fault.name(),
                    new = total - before,
                    total,
                    "The kernel's programs met a fault."
                );
            }
        }
        self.faults.clone_from(&kernel.faults);
        let missing = counters.records_missing.get();
        if missing > self.missing {
            error!(
                new = missing - self.missing,
                total = missing,
                "Sequence numbers are missing; gaps name them."
            );
        }
        self.missing = missing;
        let undecodable = counters.records_undecodable.get();
        if undecodable > self.undecodable {
            error!(
                new = undecodable - self.undecodable,
                total = undecodable,
                "Records could not be read."
            );
        }
        self.undecodable = undecodable;
    }
}
