//! A process of a session changed its user or group.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::header::Header;

/// A process of a session changed its user or group. The header has the ids
/// after the change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Identity {
    /// Who.
    pub header: Header,
    /// Real user id before.
    pub uid_before: u32,
    /// Effective user id before.
    pub euid_before: u32,
    /// Real group id before.
    pub gid_before: u32,
    /// Real user id after.
    pub uid_after: u32,
    /// Effective user id after.
    pub euid_after: u32,
    /// Real group id after.
    pub gid_after: u32,
    /// Bits of this type's constants.
    pub flags: u32,
    /// Zero.
    pub reserved: u32,
}

impl Identity {
    /// By the start of a program with the set-user-id or set-group-id bit;
    /// otherwise by a system call.
    pub const BY_EXEC: u32 = 1;
}
