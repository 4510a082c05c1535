//! A signal went to another process.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{header::Header, process::ProcessRef};

/// A signal that dumps memory, or that crosses from one session to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Signal {
    /// Who sent it.
    pub header: Header,
    /// To whom.
    pub target: ProcessRef,
    /// Its number.
    pub signal: u32,
    /// Zero.
    pub reserved: u32,
}
