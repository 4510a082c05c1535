//! What the reader and the kernel tell each other about waking.

use std::sync::atomic::Ordering;

use monitor_common::{Ring, ring::RingWake};

use crate::kernel::{
    KernelError,
    mapping::{Access, Mapping},
    pins::Pins,
    sys,
};

/// Whether a wait ended because there is something to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// There is something to read.
    Ready,
    /// The time was up.
    TimedOut,
}

/// How long a reader that has just read leaves the priority ring alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// Until then nothing is looked at.
    pub quiet_until: tokio::time::Instant,
    /// From then on until this only what is urgent, or a ring half full.
    pub linger_until: tokio::time::Instant,
}

/// `RING_WAKE`, shared with the kernel.
#[derive(Debug)]
pub(super) struct Wake {
    states: Mapping,
}

impl Wake {
    pub(super) fn open(pins: &Pins) -> Result<Self, KernelError> {
        let failed = |error| KernelError::Table {
            action: "map",
            table: "RING_WAKE",
            error,
        };
        let map = sys::open_pin(&pins.map("RING_WAKE")).map_err(failed)?;
        let bytes = rustix::param::page_size();
        let states = Mapping::new(map, Access::ReadWrite, bytes, 0).map_err(failed)?;
        Ok(Self { states })
    }

    pub(super) fn set(&self, ring: Ring, state: u64) {
        let at = usize::from(ring.number()) * size_of::<RingWake>();
        if let Some(number) = self.states.number(at) {
            number.store(state, Ordering::SeqCst);
        }
    }
}
