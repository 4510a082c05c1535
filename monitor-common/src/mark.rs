//! The session mark, and the tables that hold it.
//!
//! Each table has one writer of each field. `TASK_MARKS` (task storage) is
//! written by user space for the first process of a session and by the fork
//! hook for every other task. `PROCESS_MARKS` repeats it by process id, for
//! programs that may not read task storage. `SESSION_CONTROL` belongs to user
//! space, `SESSION_LIVE` to the kernel; `STOPPED` is the one that both write.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Names a session: the 16 bytes of its ULID. Zero is "no session".
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
)]
#[repr(transparent)]
pub struct SessionMark(pub [u8; 16]);

impl SessionMark {
    /// No session.
    pub const NONE: Self = Self([0; 16]);

    /// Whether this names no session.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::NONE
    }
}

/// Value of `TASK_MARKS`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct TaskMark {
    /// The session of the task.
    pub session: SessionMark,
    /// Set by the exit hook on the leading thread, once the exit of the whole
    /// process was told: threads that end at the same moment tell it once.
    pub exit_told: u64,
    /// Set by the exit hook once this task was taken out of its session's
    /// books: the hook may look twice.
    pub departed: u64,
    /// Real user id when last looked at, where [`Self::IDS_KNOWN`] is set.
    pub uid: u32,
    /// Effective user id, likewise.
    pub euid: u32,
    /// Real group id, likewise.
    pub gid: u32,
    /// Bits of this type's constants; those of a process are on its leading
    /// thread.
    pub flags: u32,
}

impl TaskMark {
    /// This program opened a watched file, or descends by fork from one that
    /// did. Cleared when another program is started.
    pub const HOLDS: u32 = 1;
    /// The ids are known.
    pub const IDS_KNOWN: u32 = 2;
}

/// Value of `PROCESS_MARKS`, whose key is the process id (u32).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct ProcessMark {
    /// The session of the process.
    pub session: SessionMark,
    /// Start of the process in [`START_TICK_NS`] since boot (what user space can
    /// read): an entry that outlived its process never speaks for the next one
    /// with that id.
    pub start_ticks: u64,
    /// Bits of [`TaskMark`]'s constants, for who looks from outside.
    pub flags: u64,
}

/// Unit of [`ProcessMark::start_ticks`]: a hundredth of a second, as field 22
/// of `/proc/PID/stat` counts (`USER_HZ`, the same on all architectures).
pub const START_TICK_NS: u64 = 10_000_000;

/// Value of `SESSION_CONTROL`; user space writes it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct SessionControl {
    /// One of the `STATE_` constants.
    pub state: u32,
    /// Tasks that user space marked, less those that it moved to another
    /// session. Added to [`SessionLive::tasks`] it gives the living tasks.
    pub adopted: i32,
}

impl SessionControl {
    /// Nothing is refused.
    pub const STATE_OPEN: u32 = 0;
    /// New connections are refused.
    pub const STATE_CONTAINED: u32 = 1;
    /// New connections are refused, and every task that forks, is born or
    /// starts a program is killed.
    pub const STATE_KILLED: u32 = 2;
    /// New connections are refused, and every task that forks, is born or
    /// starts a program is stopped.
    pub const STATE_FROZEN: u32 = 3;
}

/// Value of `STOPPED`, whose key is the process id (u32): a process that was
/// stopped with its session, and is to go on with it. One that its owner had
/// stopped before has none. Written by the kernel and by user space.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Stopped {
    /// The session of the process.
    pub session: SessionMark,
    /// Start of the process, as in [`ProcessMark::start_ticks`].
    pub start_ticks: u64,
}

/// Value of `SESSION_LIVE`; the kernel writes it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct SessionLive {
    /// Tasks born in the session less tasks of the session that ended.
    pub tasks: i64,
}

/// Most sessions at a time.
pub const SESSIONS_MAX: usize = 4_096;
/// Most processes with a mark that [`ProcessMark`] can hold.
pub const PROCESSES_MAX: usize = 32_768;
