//! Tasks, programs, identities, memory and signals.

use monitor_common::Fault;

use super::{Family, Hook, Tier, again, fentry, lsm, syscall, syscalls, tracepoint};
use crate::kernel::offsets::Need;

pub(super) const HOOKS: &[Hook] = &[
    Hook {
        family: Family::Life,
        tier: Tier::Tracepoint,
        programs: &[
            tracepoint("task_exit", "sched_process_exit"),
            tracepoint("task_fork", "sched_process_fork"),
            again("task_exit_again", "sched_process_exit", "task_exit", None),
            again("task_fork_again", "sched_process_fork", "task_fork", None),
        ],
        needs: &[Need::Life],
        kernel_min: (5, 12),
        sees: "every new and every ending task",
        misses: "nothing known",
    },
    Hook {
        family: Family::Birth,
        tier: Tier::Lsm,
        programs: &[lsm("task_alloc_lsm", "task_alloc")],
        needs: &[],
        kernel_min: (5, 15),
        sees: "births in sessions that are killed or stand still; refuses them",
        misses: "nothing known",
    },
    Hook {
        family: Family::Birth,
        tier: Tier::Tracepoint,
        programs: &[syscalls(
            "syscall_birth",
            &[
                syscall!(SYS_clone, "clone", 120),
                syscall!(SYS_clone3, "clone3", 435),
                syscall!(x86 SYS_fork, "fork", 2),
                syscall!(x86 SYS_vfork, "vfork", 190),
            ],
        )],
        needs: &[Need::Open],
        kernel_min: (5, 12),
        sees: "newborn tasks, before their first instruction; kills those of killed sessions, stops \
               those of frozen ones",
        misses: "nothing known",
    },
    Hook {
        family: Family::Arguments,
        tier: Tier::Tracepoint,
        programs: &[tracepoint("argv_digest", "sched_process_exec")],
        needs: &[Need::Exec],
        kernel_min: (5, 17),
        sees: "a digest of all arguments where a record has room for the first 4,096 bytes only",
        misses: "nothing known",
    },
    Hook {
        family: Family::Exec,
        tier: Tier::Tracepoint,
        programs: &[
            tracepoint("task_exec", "sched_process_exec"),
            again(
                "task_exec_again",
                "sched_process_exec",
                "task_exec",
                Some(Fault::StartToldAgain),
            ),
        ],
        needs: &[Need::Exec, Need::Paths],
        kernel_min: (5, 12),
        sees: "every successful start of a program",
        misses: "code that an interpreter reads from its input",
    },
    Hook {
        family: Family::Script,
        tier: Tier::Lsm,
        programs: &[lsm("script_lsm", "bprm_check_security")],
        needs: &[Need::Exec, Need::Paths],
        kernel_min: (5, 15),
        sees: "the file of a script, as an object",
        misses: "nothing known",
    },
    Hook {
        family: Family::Script,
        tier: Tier::Fentry,
        programs: &[fentry("script_fentry", "security_bprm_check")],
        needs: &[Need::Exec, Need::Paths],
        kernel_min: (5, 15),
        sees: "the file of a script, as an object",
        misses: "nothing known",
    },
    Hook {
        family: Family::Memory,
        tier: Tier::Lsm,
        programs: &[
            lsm("memory_lsm", "ptrace_access_check"),
            lsm("traceme_lsm", "ptrace_traceme"),
        ],
        needs: &[Need::Open],
        kernel_min: (5, 15),
        sees: "attaching to another process's memory by whatever call; can refuse",
        misses: "nothing known",
    },
    Hook {
        family: Family::Memory,
        tier: Tier::Fentry,
        programs: &[
            fentry("memory_fentry", "security_ptrace_access_check"),
            fentry("traceme_fentry", "security_ptrace_traceme"),
        ],
        needs: &[Need::Open],
        kernel_min: (5, 15),
        sees: "attaching to another process's memory by whatever call, also where it is refused then",
        misses: "nothing known",
    },
    Hook {
        family: Family::Memory,
        tier: Tier::Tracepoint,
        programs: &[
            syscalls("ptrace_syscall", &[syscall!(SYS_ptrace, "ptrace", 26)]),
            syscalls(
                "process_vm_syscall",
                &[
                    syscall!(SYS_process_vm_readv, "process_vm_readv", 347),
                    syscall!(SYS_process_vm_writev, "process_vm_writev", 348),
                ],
            ),
        ],
        needs: &[Need::Open, Need::Arguments],
        kernel_min: (5, 15),
        sees: "ptrace, process_vm_readv, process_vm_writev; /proc/PID/mem by its open",
        misses: "the start of the target, of which only the number is told, and of a thread's number \
                 neither session nor whether it holds credentials; pidfd_getfd",
    },
    Hook {
        family: Family::Terminal,
        tier: Tier::Fentry,
        programs: &[fentry("terminal_fentry", "tty_ioctl")],
        needs: &[Need::Terminals, Need::Sockets, Need::Paths],
        kernel_min: (5, 15),
        sees: "input that a session pushes into a terminal (TIOCSTI), with who leads there",
        misses: "what is written to a terminal's master, by who got its descriptor; the console's \
                 selection",
    },
    Hook {
        family: Family::Terminal,
        tier: Tier::Tracepoint,
        programs: &[syscalls(
            "ioctl_syscall",
            &[syscall!(SYS_ioctl, "ioctl", 54)],
        )],
        needs: &[
            Need::Terminals,
            Need::Sockets,
            Need::Paths,
            Need::Open,
            Need::Arguments,
        ],
        kernel_min: (5, 15),
        sees: "input that a session pushed into a terminal (TIOCSTI), with who leads there",
        misses: "what is written to a terminal's master, by who got its descriptor; the console's \
                 selection; io_uring",
    },
    Hook {
        family: Family::Identity,
        tier: Tier::Lsm,
        programs: &[
            lsm("setuid_lsm", "task_fix_setuid"),
            lsm("setgid_lsm", "task_fix_setgid"),
        ],
        needs: &[],
        kernel_min: (5, 15),
        sees: "changes of user and group by calls; by programs with the set-user-id bit at exec",
        misses: "supplementary groups and capabilities alone",
    },
    Hook {
        family: Family::Identity,
        tier: Tier::Fentry,
        programs: &[
            fentry("setuid_fentry", "security_task_fix_setuid"),
            fentry("setgid_fentry", "security_task_fix_setgid"),
        ],
        needs: &[],
        kernel_min: (5, 15),
        sees: "changes of user and group by calls; by programs with the set-user-id bit at exec",
        misses: "supplementary groups and capabilities alone",
    },
    Hook {
        family: Family::Identity,
        tier: Tier::Tracepoint,
        programs: &[syscalls(
            "identity_syscall",
            &[
                syscall!(SYS_setuid, "setuid", 213),
                syscall!(SYS_setreuid, "setreuid", 203),
                syscall!(SYS_setresuid, "setresuid", 208),
                syscall!(SYS_setgid, "setgid", 214),
                syscall!(SYS_setregid, "setregid", 204),
                syscall!(SYS_setresgid, "setresgid", 210),
            ],
        )],
        needs: &[Need::Open],
        kernel_min: (5, 12),
        sees: "changes of user and group by calls; by programs with the set-user-id bit at exec",
        misses: "the first change of a session's first process, if it started no program since it \
                 was marked; supplementary groups and capabilities alone",
    },
    Hook {
        family: Family::Signal,
        tier: Tier::Tracepoint,
        programs: &[tracepoint("signal_sent", "signal_generate")],
        needs: &[Need::Signals],
        kernel_min: (5, 12),
        sees: "signals by which a process makes another dump its memory, and signals from one \
               session to another",
        misses: "signals that the kernel sends by itself",
    },
];
