//! Why something that should have been told was not.
//!
//! Faults are counted by processor and reason in `FAULTS`; a number is never
//! reused. They travel as counters, not as log lines: a counter survives the
//! agent and cannot be lost when nobody reads.

/// A reason. The numbers index `FAULTS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// All of the processor's scratch buffers were in use: the record was lost
    /// (and counted as dropped on its ring).
    ScratchBusy,
    /// The mark could not be copied to a new task. It is still known by its
    /// process id, but the count of living tasks misses it.
    MarkCopyFailed,
    /// `PROCESS_MARKS` is full: connections of that process carry no mark.
    ProcessTableFull,
    /// A task has the mark of a session that has no row.
    SessionRowMissing,
    /// An opened file could not be read back: it was closed or replaced before
    /// the hook looked.
    DescriptorRaced,
    /// Kernel memory that should be readable was not.
    KernelUnreadable,
    /// A task of a killed session could not be sent the signal.
    SignalFailed,
    /// A file below more directories than are compared with the watched ones.
    WatchTooDeep,
    /// `LEARNED` is full: the file is not watched by its names outside of the
    /// watched directory.
    LearnedFull,
    /// The kernel did not run the program that tells starts of programs; its
    /// second look told this one. Nothing is missing.
    StartToldAgain,
    /// A session stands under a compiled grant of which there is no cell: its
    /// connection was let through.
    ScopeMissing,
}

impl Fault {
    /// All, in the order of their numbers.
    pub const ALL: [Self; 11] = [
        Self::ScratchBusy,
        Self::MarkCopyFailed,
        Self::ProcessTableFull,
        Self::SessionRowMissing,
        Self::DescriptorRaced,
        Self::KernelUnreadable,
        Self::SignalFailed,
        Self::WatchTooDeep,
        Self::LearnedFull,
        Self::StartToldAgain,
        Self::ScopeMissing,
    ];

    /// The number of the reason.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::ScratchBusy => 0,
            Self::MarkCopyFailed => 1,
            Self::ProcessTableFull => 2,
            Self::SessionRowMissing => 3,
            Self::DescriptorRaced => 4,
            Self::KernelUnreadable => 5,
            Self::SignalFailed => 6,
            Self::WatchTooDeep => 7,
            Self::LearnedFull => 8,
            Self::StartToldAgain => 9,
            Self::ScopeMissing => 10,
        }
    }

    /// The name used in metrics and messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ScratchBusy => "scratch_busy",
            Self::MarkCopyFailed => "mark_copy_failed",
            Self::ProcessTableFull => "process_table_full",
            Self::SessionRowMissing => "session_row_missing",
            Self::DescriptorRaced => "descriptor_raced",
            Self::KernelUnreadable => "kernel_unreadable",
            Self::SignalFailed => "signal_failed",
            Self::WatchTooDeep => "watch_too_deep",
            Self::LearnedFull => "learned_full",
            Self::StartToldAgain => "start_told_again",
            Self::ScopeMissing => "scope_missing",
        }
    }
}

/// Entries of `FAULTS`: room for later reasons without a change of the map.
pub const FAULTS_MAX: usize = 32;
