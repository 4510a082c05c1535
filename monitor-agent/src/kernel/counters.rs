//! What the kernel programs count: records made and dropped, faults by reason;
//! and what the kernel counts of them: how often it did not run one.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
};

use monitor_common::{Fault, Ring, ring::RingCounters};

use super::{
    KernelError,
    hooks::{self, Attach},
    pins::Pins,
    sys,
    table::CpuTable,
};

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
    /// Programs that the kernel did not always run.
    pub not_run: Vec<NotRun>,
}

/// How often the kernel did not run a program, because it was in the middle of
/// its work on that processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotRun {
    /// Its name.
    pub program: &'static str,
    /// How often.
    pub times: u64,
    /// Its second look, where there is one.
    pub again: Option<SecondLook>,
}

/// What became of a second look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecondLook {
    /// How often the kernel did not run that one.
    pub not_run: u64,
    /// How often it told what the first did not, where it can know.
    pub told: Option<u64>,
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
    programs: Vec<Watched>,
}

/// A program that is attached by itself, and its second look.
#[derive(Debug)]
struct Watched {
    name: &'static str,
    program: OwnedFd,
    again: Option<(OwnedFd, Option<Fault>)>,
}

impl Watched {
    /// Every one that is pinned.
    fn all(pins: &Pins) -> Result<Vec<Self>, KernelError> {
        let mut watched: Vec<Self> = Vec::new();
        for program in hooks::attached() {
            let path = pins.link(program.name);
            if !path.exists() {
                continue;
            }
            let opened = sys::open_pin(&path).and_then(|link| sys::program_of(link.as_fd()));
            let opened = opened.map_err(|error| KernelError::Pin {
                action: "look at the program of the link",
                path,
                error,
            })?;
            if let Attach::Again { of, told, .. } = program.attach {
                if let Some(first) = watched.iter_mut().find(|first| first.name == of) {
                    first.again = Some((opened, told));
                }
                continue;
            }
            watched.push(Self {
                name: program.name,
                program: opened,
                again: None,
            });
        }
        Ok(watched)
    }

    fn not_run(&self, fault: impl Fn(Fault) -> u64) -> io::Result<Option<NotRun>> {
        let times = sys::misses(self.program.as_fd())?;
        if times == 0 {
            return Ok(None);
        }
        let again = match &self.again {
            Some((program, told)) => Some(SecondLook {
                not_run: sys::misses(program.as_fd())?,
                told: told.map(fault),
            }),
            None => None,
        };
        Ok(Some(NotRun {
            program: self.name,
            times,
            again,
        }))
    }
}

impl CounterTables {
    pub(super) fn open(pins: &Pins) -> Result<Self, KernelError> {
        Ok(Self {
            rings: CpuTable::open(&pins.map("RING_COUNTERS")).map_err(failed("open"))?,
            faults: CpuTable::open(&pins.map("FAULTS")).map_err(failed("open"))?,
            programs: Watched::all(pins)?,
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
        for program in &self.programs {
            let not_run = program.not_run(|fault| counters.fault(fault));
            counters.not_run.extend(not_run.map_err(failed("read"))?);
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
