//! A process of a session made another.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::header::Header;

/// A process of a session made another. The header is the parent's; the child
/// has the same mark. Threads are not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Fork {
    /// The parent.
    pub header: Header,
    /// Start of the child, nanoseconds since boot.
    pub child_start_boot_ns: u64,
    /// Process id of the child.
    pub child_pid: u32,
    /// Zero.
    pub reserved: u32,
}
