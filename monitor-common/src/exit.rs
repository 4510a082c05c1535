//! A process of a session ended.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::header::Header;

/// A process of a session ended: its last thread did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Exit {
    /// The process; the thread is the one that ended last.
    pub header: Header,
    /// As `wait` returns it: status in bits 8 to 15, signal in bits 0 to 6.
    pub exit_code: u32,
    /// Zero.
    pub reserved: u32,
}
