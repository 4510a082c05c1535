//! The two rings, their counters and their wake-up word.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A ring. A flood on one cannot starve the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ring {
    /// Everything but fork and exit: wakes a reader that sleeps, and by urgent
    /// records ([`crate::Header::is_urgent`]) one that lingers.
    Priority,
    /// Fork, exit: waits until it is half full.
    Bulk,
}

impl Ring {
    /// Both, in the order of their numbers.
    pub const ALL: [Self; 2] = [Self::Priority, Self::Bulk];

    /// The number of the ring in records and tables.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Priority => 0,
            Self::Bulk => 1,
        }
    }

    /// The ring with this number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Priority),
            1 => Some(Self::Bulk),
            _ => None,
        }
    }

    /// The name used in metrics and messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Priority => "priority",
            Self::Bulk => "bulk",
        }
    }
}

/// Value of `RING_COUNTERS`, one for each processor and ring.
/// `produced` is the newest sequence number: `produced = delivered + dropped`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct RingCounters {
    /// Sequence numbers taken.
    pub produced: u64,
    /// Of them, those whose record found no room.
    pub dropped: u64,
}

/// Value of `RING_WAKE`, one for each ring. The reader sets it to
/// [`RingWake::ASLEEP`] or [`RingWake::LINGERING`] before it waits and looks
/// once more; the kernel sets it back and wakes. (The kernel's own adaptive wake-up compares with the
/// consumer position, which here stays behind until the spool has committed.)
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct RingWake {
    /// One of this type's constants.
    pub state: u64,
}

impl RingWake {
    /// The reader will look by itself.
    pub const AWAKE: u64 = 0;
    /// The reader waits to be woken.
    pub const ASLEEP: u64 = 1;
    /// The reader will look by itself, in milliseconds: it has just read, and
    /// more is coming. Only what is urgent, or a ring half full, wakes it.
    pub const LINGERING: u64 = 2;
}
