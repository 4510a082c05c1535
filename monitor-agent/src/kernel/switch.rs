//! The switch between versions of the programs (`monitor-ebpf/src/switch.rs`).
//!
//! A version that follows another puts its programs on the other side of the
//! switch, which is turned by one number. Once it is turned and the kernel has left
//! the programs of before, these can tell nothing more: their rings may be read to
//! the end.

use std::{fmt, io, time::Duration};

use super::{KernelError, pins::Pins, sys, table::Put, table::Table};

const SWITCH: &str = "SWITCH";

/// Where no way of waiting for the kernel is: longer than any program runs.
const LONG: Duration = Duration::from_secs(1);

/// A side of the switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Side(u32);

impl Side {
    /// The one that is used where nobody was before.
    pub(super) const FIRST: Self = Self(0);
    /// Both.
    pub(super) const ALL: [Self; 2] = [Self::FIRST, Self(1)];

    /// The other one.
    pub(super) const fn other(self) -> Self {
        Self(1 - self.0)
    }

    /// Its place in the tables.
    pub(super) const fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Of the versions before, the one that the kernel runs.
pub(super) fn running(before: &[Pins]) -> Result<Option<&Pins>, KernelError> {
    let mut left = before.iter().filter(|pins| !pins.is_over());
    let Some(first) = left.next() else {
        return Ok(None);
    };
    let side = side(first)?;
    let mut all = before.iter().filter(|pins| !pins.is_over());
    Ok(all.find(|pins| pins.side() == Some(side)))
}

/// The side that is used.
pub(super) fn side(pins: &Pins) -> Result<Side, KernelError> {
    let found = table(pins)?.get(&0).map_err(failed("read"))?;
    let is_used = |side: &Side| Some(side.0) == found;
    let not_one = || failed("read")(io::Error::other(format!("it is at {found:?}, no side")));
    Side::ALL.into_iter().find(is_used).ok_or_else(not_one)
}

/// Turns the switch to the side of a version; when this returns, the kernel is in
/// no program of the other.
pub(super) fn turn_to(pins: &Pins) -> Result<(), KernelError> {
    let Some(side) = pins.side() else {
        return Ok(());
    };
    let switch = table(pins)?;
    switch.put(&0, &side.0, Put::Any).map_err(failed("turn"))?;
    match sys::wait_for_programs() {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => std::thread::sleep(LONG),
        waited => waited.map_err(failed("wait behind"))?,
    }
    clear(pins, side.other())
}

/// Takes every program from a side.
pub(super) fn clear(pins: &Pins, side: Side) -> Result<(), KernelError> {
    for path in pins.tables_of_sides()? {
        let sides = Table::<u32, u32>::open(&path).map_err(failed("clear a side of"))?;
        sides.remove(&side.0).map_err(failed("clear a side of"))?;
    }
    Ok(())
}

fn table(pins: &Pins) -> Result<Table<u32, u32>, KernelError> {
    Table::open(&pins.map(SWITCH)).map_err(failed("open"))
}

fn failed(action: &'static str) -> impl Fn(io::Error) -> KernelError {
    move |error| KernelError::Switch { action, error }
}
