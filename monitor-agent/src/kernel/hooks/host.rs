//! The ground that the monitor stands on.

use super::{Family, Hook, Program, Tier, fentry, lsm, syscall, syscalls, tracepoint};
use crate::kernel::offsets::Need;

const fn row(
    family: Family,
    tier: Tier,
    programs: &'static [Program],
    needs: &'static [Need],
    (sees, misses): (&'static str, &'static str),
) -> Hook {
    Hook {
        family,
        tier,
        programs,
        needs,
        kernel_min: (5, 15),
        sees,
        misses,
    }
}

const NOTHING: &str = "nothing known";
const BPF: &str = "programs, pins and links of BPF, and reaching for those of others";
const PERF: &str = "probes and other events beyond the kernel's fixed types";
const MOUNT: &str = "mounts, moved mounts, unmounts, changes of the root";
const KEXEC: &str = "kernels loaded for a restart";

pub(super) const HOOKS: &[Hook] = &[
    row(
        Family::Bpf,
        Tier::Lsm,
        &[lsm("bpf_lsm", "bpf")],
        &[],
        (BPF, NOTHING),
    ),
    row(
        Family::Bpf,
        Tier::Fentry,
        &[fentry("bpf_fentry", "security_bpf")],
        &[],
        (BPF, NOTHING),
    ),
    row(
        Family::Bpf,
        Tier::Tracepoint,
        &[syscalls("bpf_syscall", &[syscall!(SYS_bpf, "bpf", 357)])],
        &[Need::Arguments],
        (BPF, NOTHING),
    ),
    row(
        Family::Perf,
        Tier::Lsm,
        &[lsm("perf_lsm", "perf_event_alloc")],
        &[Need::Perf],
        (PERF, NOTHING),
    ),
    row(
        Family::Perf,
        Tier::Fentry,
        &[fentry("perf_fentry", "security_perf_event_alloc")],
        &[Need::Perf],
        (PERF, NOTHING),
    ),
    row(
        Family::Perf,
        Tier::Tracepoint,
        &[syscalls(
            "perf_syscall",
            &[syscall!(SYS_perf_event_open, "perf_event_open", 336)],
        )],
        &[Need::Perf, Need::Open, Need::Sockets],
        (
            PERF,
            "probes set through tracefs, which are watched as files",
        ),
    ),
    row(
        Family::Module,
        Tier::Tracepoint,
        &[tracepoint("module_loaded", "module_load")],
        &[Need::Modules],
        ("kernel modules, by their own name", NOTHING),
    ),
    row(
        Family::Mount,
        Tier::Lsm,
        &[
            lsm("mount_lsm", "sb_mount"),
            lsm("move_mount_lsm", "move_mount"),
            lsm("unmount_lsm", "sb_umount"),
            lsm("pivot_lsm", "sb_pivotroot"),
        ],
        &[Need::Paths],
        (MOUNT, NOTHING),
    ),
    row(
        Family::Mount,
        Tier::Fentry,
        &[
            fentry("mount_fentry", "security_sb_mount"),
            fentry("move_mount_fentry", "security_move_mount"),
            fentry("unmount_fentry", "security_sb_umount"),
            fentry("pivot_fentry", "security_sb_pivotroot"),
        ],
        &[Need::Paths],
        (MOUNT, NOTHING),
    ),
    row(
        Family::Mount,
        Tier::Tracepoint,
        &[
            syscalls("mount_syscall", &[syscall!(SYS_mount, "mount", 21)]),
            syscalls(
                "move_mount_syscall",
                &[syscall!(SYS_move_mount, "move_mount", 429)],
            ),
            syscalls("unmount_syscall", &[syscall!(SYS_umount2, "umount2", 52)]),
            syscalls(
                "pivot_syscall",
                &[syscall!(SYS_pivot_root, "pivot_root", 217)],
            ),
        ],
        &[Need::Arguments],
        (MOUNT, "where it was mounted, and what"),
    ),
    row(
        Family::Kexec,
        Tier::Lsm,
        &[
            lsm("kexec_load_lsm", "kernel_load_data"),
            lsm("kexec_file_lsm", "kernel_read_file"),
        ],
        &[],
        (KEXEC, NOTHING),
    ),
    row(
        Family::Kexec,
        Tier::Fentry,
        &[
            fentry("kexec_load_fentry", "security_kernel_load_data"),
            fentry("kexec_file_fentry", "security_kernel_read_file"),
        ],
        &[],
        (KEXEC, NOTHING),
    ),
    row(
        Family::Kexec,
        Tier::Tracepoint,
        &[syscalls(
            "kexec_syscall",
            &[
                syscall!(SYS_kexec_load, "kexec_load", 283),
                syscall!(SYS_kexec_file_load, "kexec_file_load"),
            ],
        )],
        &[],
        (KEXEC, NOTHING),
    ),
];
