//! What the kernel programs count: records made and dropped, faults by reason.

use monitor_common::{Fault, Ring, ring::RingCounters};

use super::{KernelError, pins::Pins, table::CpuTable};

/// The counters of one processor and ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingCount {
    /// Processor.
    pub cpu: u16,
    /// Ring.
    pub ring: Ring,
    /// Sequence numbers taken: the newest one. `produced = delivered + dropped`.
    pub produced: u64,
    /// Records that found no room.
    pub dropped: u64,
}

/// All counters, since the probes were loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// By processor and ring; those that made nothing included.
    pub rings: Vec<RingCount>,
    /// By reason, all processors together; every reason is there.
    pub faults: Vec<(Fault, u64)>,
}

impl Counters {
    /// Sequence numbers taken on a ring.
    #[must_use]
    pub fn produced(&self, ring: Ring) -> u64 {
        self.of(ring).map(|count| count.produced).sum()
    }

    /// Records that found no room on a ring.
    #[must_use]
    pub fn dropped(&self, ring: Ring) -> u64 {
        self.of(ring).map(|count| count.dropped).sum()
    }

    /// How often a fault happened.
    #[must_use]
    pub fn fault(&self, fault: Fault) -> u64 {
        self.faults
            .iter()
            .filter(|(found, _)| *found == fault)
            .map(|(_, count)| count)
            .sum()
    }

    fn of(&self, ring: Ring) -> impl Iterator<Item = &RingCount> {
        self.rings.iter().filter(move |count| count.ring == ring)
    }
}

/// The tables of counters.
#[derive(Debug)]
pub(super) struct CounterTables {
    rings: CpuTable<RingCounters>,
    faults: CpuTable<u64>,
}

impl CounterTables {
    pub(super) fn open(pins: &Pins) -> Result<Self, KernelError> {
        Ok(Self {
            rings: CpuTable::open(&pins.map("RING_COUNTERS")).map_err(failed("open"))?,
            faults: CpuTable::open(&pins.map("FAULTS")).map_err(failed("open"))?,
        })
    }

    pub(super) fn read(&self) -> Result<Counters, KernelError> {
        let mut counters = Counters::default();
        for ring in Ring::ALL {
            let counts = self
                .rings
                .get(u32::from(ring.number()))
                .map_err(failed("read"))?;
            for (cpu, count) in (0..).zip(counts) {
                let RingCounters { produced, dropped } = count;
                counters.rings.push(RingCount {
                    cpu,
                    ring,
                    produced,
                    dropped,
                });
            }
        }
        for fault in Fault::ALL {
            let counts = self.faults.get(fault.number()).map_err(failed("read"))?;
            counters.faults.push((fault, counts.iter().sum()));
        }
        Ok(counters)
    }
}

fn failed(action: &'static str) -> impl Fn(std::io::Error) -> KernelError {
    move |error| KernelError::Table {
        action,
        table: "counters",
        error,
    }
}
