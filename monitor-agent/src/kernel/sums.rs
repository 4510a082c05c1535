//! Acts that the kernel counted: it is asked to tell them.
//!
//! The kernel keeps sums until somebody asks (`monitor_common::flood`). For each one
//! that is open a kernel program is run (`BPF_PROG_TEST_RUN`), which takes the sum,
//! sends it as a record on the priority ring and sets its place free, in one step for
//! everybody else: an agent that ends in the middle loses nothing and tells nothing
//! twice. A sum that finds no room in the ring goes on.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
    sync::atomic::Ordering,
};

use aya::Ebpf;
use monitor_common::flood::{SUMS_MAX, SumState, SumWord};

use super::{
    KernelError, Probes,
    mapping::{Access, Mapping},
    pins::Pins,
    program, sys,
};

/// Name of the program, and of its pin.
const PROGRAM: &str = "tell_sum";
const STATES: &str = "SUM_STATES";

/// Loads the program and pins it; nothing is attached.
pub(super) fn load(ebpf: &mut Ebpf, pins: &Pins) -> Result<(), KernelError> {
    program::load(ebpf, pins, PROGRAM).map_err(failed("load the program of"))
}

impl Probes {
    /// Has the kernel tell what it counted instead of telling it one by one: one
    /// record a sum, on the priority ring; how many sums there were. Those that find
    /// no room there go on, and are told by a later call.
    ///
    /// # Errors
    /// [`KernelError::Table`].
    pub fn tell_sums(&self) -> Result<usize, KernelError> {
        self.sums.tell()
    }
}

/// The sums of the kernel.
#[derive(Debug)]
pub(super) struct Sums {
    program: OwnedFd,
    states: Mapping,
}

impl Sums {
    pub(super) fn open(pins: &Pins) -> Result<Self, KernelError> {
        let map = sys::open_pin(&pins.map(STATES)).map_err(failed("open"))?;
        let bytes = SUMS_MAX * size_of::<SumState>();
        Ok(Self {
            program: sys::open_pin(&pins.link(PROGRAM)).map_err(failed("open the program of"))?,
            states: Mapping::new(map, Access::Read, bytes, 0).map_err(failed("map"))?,
        })
    }

    /// Has the kernel tell every sum that is open; how many there were.
    pub(super) fn tell(&self) -> Result<usize, KernelError> {
        let mut told = 0;
        for place in (0..SUMS_MAX).filter(|place| self.is_open(*place)) {
            let argument = u64::try_from(place).unwrap_or(u64::MAX);
            sys::run(self.program.as_fd(), [argument, 0]).map_err(failed("tell"))?;
            told += 1;
        }
        Ok(told)
    }

    fn is_open(&self, place: usize) -> bool {
        let word = self.states.number(place * size_of::<SumState>());
        word.is_some_and(|word| SumWord(word.load(Ordering::Acquire)).state() == SumWord::OPEN)
    }
}

fn failed(action: &'static str) -> impl Fn(io::Error) -> KernelError {
    move |error| KernelError::Table {
        action,
        table: STATES,
        error,
    }
}
