//! The ground that the monitor stands on was changed.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{file::PathTail, header::Header, process::ProcessRef};

/// What was changed. An integer, never transmuted to an enum; numbers are
/// never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct Change(pub u32);

impl Change {
    /// `bpf()`: [`HostChange::number`] is the command.
    pub const BPF: Self = Self(1);
    /// `perf_event_open()` of a probe: `number` is the type of the event.
    pub const PERF: Self = Self(2);
    /// A kernel module was loaded: `detail` is its name.
    pub const MODULE: Self = Self(3);
    /// Something was mounted: the path is where, `detail` the type of the file
    /// system, `number` the flags.
    pub const MOUNTED: Self = Self(4);
    /// A mount was moved, or attached by `move_mount`.
    pub const MOUNT_MOVED: Self = Self(5);
    /// Something was unmounted.
    pub const UNMOUNTED: Self = Self(6);
    /// The root was changed by `pivot_root`.
    pub const PIVOTED: Self = Self(7);
    /// `/proc/PID/loginuid` was opened for writing: `target` is whose.
    pub const LOGIN_UID: Self = Self(8);
    /// Another kernel was loaded (`kexec`).
    pub const KEXEC: Self = Self(9);
}

/// The ground that the monitor stands on was changed. A path may follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct HostChange {
    /// Who did it.
    pub header: Header,
    /// Whose login id, for [`Change::LOGIN_UID`].
    pub target: ProcessRef,
    /// See [`Change`].
    pub number: u64,
    /// What was changed.
    pub change: Change,
    /// Bits of this type's constants.
    pub flags: u32,
    /// Where; no bytes where it does not apply.
    pub path: PathTail,
    /// Bytes of `detail` that are used.
    pub detail_bytes: u32,
    /// Zero.
    pub reserved: u32,
    /// See [`Change`]; may hold any byte.
    pub detail: [u8; 64],
}

impl HostChange {
    /// Refused, because the session is contained or killed.
    pub const DENIED: u32 = 1;
    /// `detail` was read from the caller's memory: evidence.
    pub const DETAIL_GIVEN: u32 = 2;
}
