//! What every record begins with: who did it, when, in which session.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Kind of a record. An integer, never transmuted to an enum; numbers are
/// never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct Kind(pub u16);

impl Kind {
    /// [`crate::Exec`].
    pub const EXEC: Self = Self(1);
    /// [`crate::Fork`].
    pub const FORK: Self = Self(2);
    /// [`crate::Exit`].
    pub const EXIT: Self = Self(3);
    /// [`crate::Connect`].
    pub const CONNECT: Self = Self(4);
    /// [`crate::Credential`].
    pub const CREDENTIAL: Self = Self(5);
    /// [`crate::SessionEnded`].
    pub const SESSION_ENDED: Self = Self(6);
    /// [`crate::LocalConnect`].
    pub const LOCAL_CONNECT: Self = Self(7);
    /// [`crate::Socket`].
    pub const SOCKET: Self = Self(8);
    /// [`crate::Memory`].
    pub const MEMORY: Self = Self(9);
    /// [`crate::Identity`].
    pub const IDENTITY: Self = Self(10);
    /// [`crate::Signal`].
    pub const SIGNAL: Self = Self(11);
    /// [`crate::HostChange`].
    pub const HOST_CHANGE: Self = Self(12);
    /// [`crate::Pulse`].
    pub const PULSE: Self = Self(13);
}

/// Value of [`Header::loginuid`] and [`Header::audit_session`] where audit has
/// set none, or the kernel was built without audit.
pub const AUDIT_UNSET: u32 = u32::MAX;

/// The first 120 bytes of every record. All ids are those of the initial
/// namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Header {
    /// What follows the header.
    pub kind: Kind,
    /// [`crate::ABI_VERSION`] of the program that wrote it.
    pub abi: u16,
    /// Bytes of the whole record, header and tail included.
    pub size: u32,
    /// Number of this record on its processor and ring, from 1; 0 of a pulse,
    /// which has none. A number is
    /// used up also when the record found no room, so a hole is a loss. Two
    /// neighbours may arrive in swapped order: programs can be preempted
    /// between taking a number and entering the ring.
    pub sequence: u64,
    /// Nanoseconds since boot, suspend included (`CLOCK_BOOTTIME`).
    pub boot_ns: u64,
    /// The session of the process; zero where it belongs to none.
    pub session: crate::SessionMark,
    /// Start of the process (of its leading thread), nanoseconds since boot.
    /// With `pid` it names a process for ever.
    pub start_boot_ns: u64,
    /// Id of the version 2 control group.
    pub cgroup_id: u64,
    /// Process id (the kernel's tgid).
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
    /// Process id of the parent.
    pub ppid: u32,
    /// Real user id.
    pub uid: u32,
    /// Real group id.
    pub gid: u32,
    /// Effective user id.
    pub euid: u32,
    /// Audit login user id, or [`AUDIT_UNSET`]. Evidence: root can rewrite it.
    pub loginuid: u32,
    /// Audit session id, or [`AUDIT_UNSET`]. Evidence: root can renew it.
    pub audit_session: u32,
    /// Inode number of the task's network namespace.
    pub netns: u32,
    /// Inode number of the task's mount namespace.
    pub mntns: u32,
    /// Inode number of the task's process id namespace.
    pub pidns: u32,
    /// Processor whose sequence this is.
    pub cpu: u16,
    /// Ring whose sequence this is: [`crate::Ring`] as a number.
    pub ring: u8,
    /// Zero. Named, so that no kernel stack byte leaks through padding.
    pub reserved: u8,
    /// Name of the thread. Evidence: the process sets it as it likes.
    pub comm: [u8; 16],
    /// What a version to come may have: zero.
    #[cfg(feature = "next-abi")]
    pub later: u64,
}

impl Header {
    /// Bytes of the header: where a record's own fields begin.
    pub const BYTES: usize = size_of::<Self>();

    /// Whether somebody should hear of it at once, also while much is coming:
    /// what may end in an alert or a revocation, and ends of sessions. Only
    /// sessions are refused anything, so what was refused is among it.
    #[expect(
        clippy::inline_always,
        reason = "the verifier judges a program as one function"
    )]
    #[inline(always)]
    #[must_use]
    pub fn is_urgent(&self) -> bool {
        match self.kind {
            Kind::CREDENTIAL | Kind::MEMORY | Kind::HOST_CHANGE | Kind::SESSION_ENDED => true,
            Kind::CONNECT | Kind::LOCAL_CONNECT | Kind::SOCKET => !self.session.is_none(),
            _ => false,
        }
    }
}

const _: () = assert!(
    Header::BYTES == if cfg!(feature = "next-abi") { 128 } else { 120 },
    "the header is part of the ABI"
);
