//! A process reached into another one's memory.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{header::Header, process::ProcessRef};

/// By what means. An integer, never transmuted to an enum; numbers are never
/// reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct MemoryAccess(pub u32);

impl MemoryAccess {
    /// Attached to it with the right to read and write (ptrace,
    /// `process_vm_readv`, `pidfd_getfd`, `/proc/PID/mem`): `syscall` says which.
    pub const ATTACHED: Self = Self(1);
    /// Asked to be traced by its parent.
    pub const TRACED_BY_PARENT: Self = Self(2);
    /// Opened `/proc/PID/environ`.
    pub const ENVIRONMENT: Self = Self(3);
    /// Opened `/proc/PID/mem`.
    pub const MEMORY_FILE: Self = Self(4);
}

/// A process reached into another one's memory. One that reaches into its own
/// is not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Memory {
    /// Who did it; for [`MemoryAccess::TRACED_BY_PARENT`] who asked for it.
    pub header: Header,
    /// Whose memory; for [`MemoryAccess::TRACED_BY_PARENT`] who traces.
    pub target: ProcessRef,
    /// By what means.
    pub access: MemoryAccess,
    /// Mode that the kernel was asked for (`PTRACE_MODE_`); 0 where unknown.
    pub mode: u32,
    /// Number of the system call; `u32::MAX` where it is not known.
    pub syscall: u32,
    /// Bits of this type's constants.
    pub flags: u32,
}

impl Memory {
    /// Refused, because the session is contained or killed.
    pub const DENIED: u32 = 1;
}
