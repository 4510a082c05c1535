//! Another process that a record speaks of.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::mark::SessionMark;

/// Another process, by its leading thread. All zero: not known.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct ProcessRef {
    /// Start of the process, nanoseconds since boot; 0 where only the id is
    /// known (then `pid` is as the caller gave it, in the caller's namespace).
    pub start_boot_ns: u64,
    /// Its session; zero where it belongs to none.
    pub session: SessionMark,
    /// Process id.
    pub pid: u32,
    /// [`crate::mark::TaskMark`] flags of it, [`crate::mark::TaskMark::HOLDS`]
    /// among them.
    pub flags: u32,
}
