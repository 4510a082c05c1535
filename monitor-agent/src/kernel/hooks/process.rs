//! Tasks, programs, identities, memory and signals.

use super::{Family, Hook, Tier, syscall, syscalls, tracepoint};
use crate::kernel::offsets::Need;

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
        sees: "newborn tasks, before their first instruction; kills those of killed sessions",
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
];
