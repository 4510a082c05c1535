//! Which program serves which family of hooks, on which tier: data, not code.
//!
//! The ladder takes, for each family, the first row of the best tier that
//! loads. A further tier (LSM, fentry) is further rows above those of this one.

use super::offsets::Need;

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// Births and ends of tasks: marks spread, sessions end.
    Life,
    /// Starts of programs.
    Exec,
    /// Connections over IPv4.
    ConnectV4,
    /// Connections over IPv6.
    ConnectV6,
    /// Opens of watched files.
    Credential,
}

impl Family {
    /// All.
    pub const ALL: [Self; 5] = [
        Self::Life,
        Self::Exec,
        Self::ConnectV4,
        Self::ConnectV6,
        Self::Credential,
    ];

    /// The name used in messages and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Life => "life",
            Self::Exec => "exec",
            Self::ConnectV4 => "connect_v4",
            Self::ConnectV6 => "connect_v6",
            Self::Credential => "credential",
        }
    }
}

/// By what means a family is watched, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tier {
    /// BTF tracepoints and control group hooks: work wherever BTF is.
    Tracepoint,
}

impl Tier {
    /// The name used in messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tracepoint => "tracepoint",
        }
    }
}

/// Where a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attach {
    /// A tracepoint, with BTF arguments.
    Tracepoint(&'static str),
    /// The root of control groups version 2.
    CgroupRoot,
}

/// One program.
#[derive(Debug)]
pub(super) struct Program {
    /// Its name in the object, and that of its pin.
    pub(super) name: &'static str,
    pub(super) attach: Attach,
}

/// One row: all programs together serve the family.
#[derive(Debug)]
pub(super) struct Hook {
    pub(super) family: Family,
    pub(super) tier: Tier,
    pub(super) programs: &'static [Program],
    pub(super) needs: &'static [Need],
    pub(super) kernel_min: (u32, u32),
    pub(super) sees: &'static str,
    pub(super) misses: &'static str,
}

const fn tracepoint(name: &'static str, event: &'static str) -> Program {
    Program {
        name,
        attach: Attach::Tracepoint(event),
    }
}

const fn cgroup(name: &'static str) -> Program {
    Program {
        name,
        attach: Attach::CgroupRoot,
    }
}

/// Rows, the better tier of a family first.
pub(super) const HOOKS: &[Hook] = &[
    Hook {
        family: Family::Life,
        tier: Tier::Tracepoint,
        programs: &[
            tracepoint("task_exit", "sched_process_exit"),
            tracepoint("task_fork", "sched_process_fork"),
        ],
        needs: &[Need::Life],
        kernel_min: (5, 12),
        sees: "every new and every ending task",
        misses: "nothing known",
    },
    Hook {
        family: Family::Exec,
        tier: Tier::Tracepoint,
        programs: &[tracepoint("task_exec", "sched_process_exec")],
        needs: &[Need::Exec, Need::Paths],
        kernel_min: (5, 12),
        sees: "every successful start of a program",
        misses: "code that an interpreter reads from its input",
    },
    Hook {
        family: Family::ConnectV4,
        tier: Tier::Tracepoint,
        programs: &[cgroup("connect_v4")],
        needs: &[],
        kernel_min: (5, 12),
        sees: "TCP and connected UDP over IPv4; can refuse them",
        misses: "datagrams sent without connecting, raw sockets",
    },
    Hook {
        family: Family::ConnectV6,
        tier: Tier::Tracepoint,
        programs: &[cgroup("connect_v6")],
        needs: &[],
        kernel_min: (5, 12),
        sees: "TCP and connected UDP over IPv6; can refuse them",
        misses: "datagrams sent without connecting, raw sockets",
    },
    Hook {
        family: Family::Credential,
        tier: Tier::Tracepoint,
        programs: &[tracepoint("syscall_exit", "sys_exit")],
        needs: &[Need::Open, Need::Paths],
        kernel_min: (5, 12),
        sees: "opens of watched files by open, openat, openat2, creat, open_by_handle_at",
        misses: "opens by io_uring; a descriptor that another thread replaces at once; \
                 descriptors received over a socket",
    },
];
