//! Which program serves which family of hooks, on which tier: data, not code.
//!
//! The ladder takes, for each family, the first row whose programs this kernel
//! loads. Rows lie by subject, the better tier of a family first:
//! [`process`], [`network`], [`files`], [`host`].
//! `docs/reference/hooks.md` is made from this table.

use monitor_common::Fault;

use super::offsets::Need;

pub use document::document;

mod document;
mod files;
mod host;
mod network;
mod process;

macro_rules! families {
    ($($variant:ident => $name:literal, $doc:literal;)*) => {
        /// What is watched.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Family { $(#[doc = $doc] $variant,)* }

        impl Family {
            /// All.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name used in messages and metrics.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What it is, in words.
            #[must_use]
            pub const fn subject(self) -> &'static str {
                match self { $(Self::$variant => $doc,)* }
            }
        }
    };
}

families! {
    Life => "life", "Births and ends of tasks: marks spread, sessions end.";
    Birth => "birth", "Newborn tasks of sessions that are killed or stand still.";
    // Before exec: the record of a start carries the digest.
    Arguments => "arguments", "Digests of long arguments.";
    Exec => "exec", "Starts of programs.";
    Script => "script", "The script that an interpreter was started for.";
    ConnectV4 => "connect_v4", "Connections over IPv4.";
    ConnectV6 => "connect_v6", "Connections over IPv6.";
    SendV4 => "send_v4", "Datagrams over IPv4, sent without connecting.";
    SendV6 => "send_v6", "Datagrams over IPv6, sent without connecting.";
    ConnectOther => "connect_other", "Connections of other sockets: unix, vsock, SCTP, raw.";
    SocketCreated => "socket_created", "Raw, packet and similar sockets.";
    Bind => "bind", "Sockets bound to an address.";
    Listen => "listen", "Sockets that listen.";
    Accept => "accept", "Connections accepted.";
    Credential => "credential", "Opens of watched files.";
    Fifo => "fifo", "FIFOs that sessions open, by which one may speak to another.";
    IoUring => "io_uring", "Opens of watched files by `io_uring`.";
    Received => "received", "Descriptors of watched files that arrive from another process.";
    UsedElsewhere => "used_elsewhere", "Use of watched files through descriptors opened elsewhere.";
    Change => "change", "Changes of watched files and directories.";
    AccessList => "access_list", "Access lists of watched files.";
    Memory => "memory", "Access to another process's memory.";
    Terminal => "terminal", "Input pushed into terminals.";
    Identity => "identity", "Changes of user and group.";
    Signal => "signal", "Signals that dump memory or cross sessions.";
    Bpf => "bpf", "Use of BPF by others.";
    Perf => "perf", "Probes set by others.";
    Module => "module", "Kernel modules.";
    Mount => "mount", "Mounts.";
    Kexec => "kexec", "Kernels loaded for a restart.";
}

/// By what means a family is watched, the best first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// Hooks of the BPF security module: see, and can refuse.
    #[default]
    Lsm,
    /// Entry of the kernel's own functions: see.
    Fentry,
    /// BTF tracepoints and control group hooks: work wherever BTF is.
    Tracepoint,
}

impl Tier {
    /// All, the best first.
    pub const ALL: [Self; 3] = [Self::Lsm, Self::Fentry, Self::Tracepoint];

    /// The name used in messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lsm => "lsm",
            Self::Fentry => "fentry",
            Self::Tracepoint => "tracepoint",
        }
    }
}

/// Where a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attach {
    /// A tracepoint, with BTF arguments.
    Tracepoint(&'static str),
    /// The same tracepoint once more, behind the program of the name `of`:
    /// attached only where tracepoints can be preempted, and a kernel may keep
    /// the first from running. See `monitor-ebpf/src/twice.rs`. What it tells
    /// because the first did not, it counts as `told`, where it can know.
    Again {
        event: &'static str,
        of: &'static str,
        told: Option<Fault>,
    },
    /// The root of control groups version 2.
    CgroupRoot,
    /// A hook of the BPF security module.
    Lsm(&'static str),
    /// The entry of a kernel function.
    Fentry(&'static str),
    /// The end of these system calls: a slot of the dispatcher on `sys_exit`.
    Syscall(&'static [Syscall]),
    /// No program of its own: another one, of this name, sees it too.
    With(&'static str),
    /// The same, on kernels before a version.
    Until {
        of: &'static str,
        kernel: (u32, u32),
    },
}

/// A system call by its number on this architecture, and on 32-bit x86 where
/// this kernel may run such programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Syscall {
    pub(super) name: &'static str,
    /// None: this architecture lacks it.
    pub(super) native: Option<u32>,
    /// From `arch/x86/entry/syscalls/syscall_32.tbl`.
    pub(super) ia32: Option<u32>,
}

/// `syscall!(openat, 295)`: the name, and the number on 32-bit x86.
macro_rules! syscall {
    ($number:ident, $name:literal, $ia32:literal) => {
        $crate::kernel::hooks::Syscall {
            name: $name,
            native: Some($crate::kernel::hooks::number(libc::$number)),
            ia32: Some($ia32),
        }
    };
    // Calls that 32-bit x86 does without.
    ($number:ident, $name:literal) => {
        $crate::kernel::hooks::Syscall {
            name: $name,
            native: Some($crate::kernel::hooks::number(libc::$number)),
            ia32: None,
        }
    };
    // Calls that newer architectures do without.
    (x86 $number:ident, $name:literal, $ia32:literal) => {
        $crate::kernel::hooks::Syscall {
            name: $name,
            #[cfg(target_arch = "x86_64")]
            native: Some($crate::kernel::hooks::number(libc::$number)),
            #[cfg(not(target_arch = "x86_64"))]
            native: None,
            ia32: Some($ia32),
        }
    };
}
use syscall;

#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "numbers of system calls are small constants; conversions are not const"
)]
const fn number(number: libc::c_long) -> u32 {
    number as u32
}

/// One program.
#[derive(Debug)]
pub(super) struct Program {
    /// Its name in the object, and that of its pin.
    pub(super) name: &'static str,
    pub(super) attach: Attach,
}

impl Program {
    /// The name of the pin that says that it is armed.
    pub(super) const fn pin(&self) -> &'static str {
        match self.attach {
            Attach::With(other)
            | Attach::Until { of: other, .. }
            | Attach::Again { of: other, .. } => other,
            Attach::Tracepoint(_)
            | Attach::CgroupRoot
            | Attach::Lsm(_)
            | Attach::Fentry(_)
            | Attach::Syscall(_) => self.name,
        }
    }
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

const fn again(
    name: &'static str,
    event: &'static str,
    of: &'static str,
    told: Option<Fault>,
) -> Program {
    Program {
        name,
        attach: Attach::Again { event, of, told },
    }
}

const fn cgroup(name: &'static str) -> Program {
    Program {
        name,
        attach: Attach::CgroupRoot,
    }
}

const fn lsm(name: &'static str, hook: &'static str) -> Program {
    Program {
        name,
        attach: Attach::Lsm(hook),
    }
}

const fn fentry(name: &'static str, function: &'static str) -> Program {
    Program {
        name,
        attach: Attach::Fentry(function),
    }
}

const fn with(name: &'static str, other: &'static str) -> Program {
    Program {
        name,
        attach: Attach::With(other),
    }
}

const fn until(name: &'static str, of: &'static str, kernel: (u32, u32)) -> Program {
    Program {
        name,
        attach: Attach::Until { of, kernel },
    }
}

const fn syscalls(name: &'static str, calls: &'static [Syscall]) -> Program {
    Program {
        name,
        attach: Attach::Syscall(calls),
    }
}

/// The program on `sys_exit` that the [`Attach::Syscall`] programs are slots
/// of. It is attached where a family needs it, and only there: it costs every
/// system call of the machine something.
pub(super) const DISPATCHER: Program = tracepoint("syscall_exit", "sys_exit");

/// Rows of a family, the better tier first.
pub(super) fn rows(family: Family) -> impl Iterator<Item = &'static Hook> {
    all().filter(move |hook| hook.family == family)
}

/// All rows.
pub(super) fn all() -> impl Iterator<Item = &'static Hook> {
    let files = files::HOOKS.iter().copied();
    [process::HOOKS, network::HOOKS, host::HOOKS]
        .into_iter()
        .chain(files)
        .flatten()
}

/// Programs that the kernel runs by themselves, a second look behind its first.
pub(super) fn attached() -> impl Iterator<Item = &'static Program> {
    all()
        .flat_map(|hook| hook.programs)
        .chain([&DISPATCHER])
        .filter(|program| {
            !matches!(
                program.attach,
                Attach::Syscall(_) | Attach::With(_) | Attach::Until { .. }
            )
        })
}

/// The program of a name.
pub(super) fn named(name: &str) -> Option<&'static Program> {
    let mut programs = all().flat_map(|hook| hook.programs);
    programs.find(|program| program.name == name)
}

/// The best tier that a family has a row for.
pub(crate) fn best(family: Family) -> Option<Tier> {
    rows(family).next().map(|hook| hook.tier)
}

/// What a row misses that misses nothing.
pub const NOTHING_KNOWN: &str = "nothing known";

/// Names of all programs, of all tiers.
#[must_use]
pub fn program_names() -> Vec<&'static str> {
    let programs = all().flat_map(|hook| hook.programs);
    let mut names: Vec<_> = programs.map(|program| program.name).collect();
    names.push(DISPATCHER.name);
    names
}

/// The slot of a program in the dispatcher's table.
pub(super) fn slot(program: &str) -> Option<u32> {
    all()
        .flat_map(|hook| hook.programs)
        .filter(|candidate| matches!(candidate.attach, Attach::Syscall(_)))
        .position(|candidate| candidate.name == program)
        .and_then(|position| u32::try_from(position).ok())
        .and_then(|position| position.checked_add(1))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use monitor_common::syscall::{SYSCALL_NUMBERS_MAX, SYSCALL_SLOTS_MAX};

    use super::*;

    #[test]
    fn every_family_has_a_row_and_the_better_tier_comes_first() {
        for family in Family::ALL {
            let tiers: Vec<_> = rows(*family).map(|hook| hook.tier).collect();
            assert!(!tiers.is_empty(), "{}", family.name());
            assert!(tiers.is_sorted(), "{}: {tiers:?}", family.name());
        }
    }

    #[test]
    fn no_program_is_in_two_rows_and_names_fit_the_kernel() {
        let mut names = BTreeSet::new();
        for program in all().flat_map(|hook| hook.programs) {
            assert!(names.insert(program.name), "{} is twice", program.name);
        }
    }

    #[test]
    fn system_calls_fit_the_dispatcher_and_none_has_two_programs() {
        let mut native = BTreeSet::new();
        for program in all().flat_map(|hook| hook.programs) {
            let Attach::Syscall(calls) = program.attach else {
                continue;
            };
            let slot = slot(program.name).unwrap();
            assert!((1..SYSCALL_SLOTS_MAX).contains(&slot), "{}", program.name);
            for call in calls {
                let number = call.native.unwrap_or(0);
                assert!(number < SYSCALL_NUMBERS_MAX, "{}", call.name);
                assert!(native.insert(call.name), "{} is twice", call.name);
            }
        }
    }
}
