//! Watched files.

use super::{Family, Hook, Program, Tier, fentry, lsm, syscall, syscalls, tracepoint, until, with};
use crate::kernel::offsets::Need;

/// Rows of a family for the better two tiers: the programs `NAME_lsm` on the
/// hooks, and `NAME_fentry` on the functions that call them.
macro_rules! better_tiers {
    ($family:ident, [$($lsm:literal on $hook:literal, $fentry:literal on $function:literal;)+],
     $needs:expr, $sees:literal, $misses:literal) => {
        &[
            Hook {
                family: Family::$family,
                tier: Tier::Lsm,
                programs: &[$(lsm($lsm, $hook),)+],
                needs: $needs,
                kernel_min: (5, 15),
                sees: concat!($sees, "; can refuse"),
                misses: $misses,
            },
            Hook {
                family: Family::$family,
                tier: Tier::Fentry,
                programs: &[$(fentry($fentry, $function),)+],
                needs: $needs,
                kernel_min: (5, 15),
                sees: concat!($sees, ", even where another security module refuses then"),
                misses: $misses,
            },
        ]
    };
}

/// All rows, the better tier of a family first.
pub(super) const HOOKS: &[&[Hook]] = &[
    CREDENTIAL,
    OPEN_SYSCALLS,
    FIFO,
    IO_URING,
    RECEIVED,
    RECEIVE_SYSCALLS,
    USED_ELSEWHERE,
    CHANGE,
    CHANGE_SYSCALLS,
    ACCESS_LIST,
];

const OPENS: &[Program] = &[syscalls(
    "open_syscall",
    &[
        syscall!(x86 SYS_open, "open", 5),
        syscall!(SYS_openat, "openat", 295),
        syscall!(SYS_openat2, "openat2", 437),
        syscall!(x86 SYS_creat, "creat", 8),
        syscall!(SYS_open_by_handle_at, "open_by_handle_at", 342),
    ],
)];

const CREDENTIAL: &[Hook] = better_tiers!(
    Credential,
    ["file_open_lsm" on "file_open", "file_open_fentry" on "security_file_open";],
    &[Need::Open, Need::Paths],
    "opens of watched files by whatever call, execve and io_uring included",
    "opens as a path only (O_PATH), which give no content"
);

const OPEN_SYSCALLS: &[Hook] = &[Hook {
    family: Family::Credential,
    tier: Tier::Tracepoint,
    programs: OPENS,
    needs: &[Need::Open, Need::Paths],
    kernel_min: (5, 15),
    sees: "opens of watched files by open, openat, openat2, creat, open_by_handle_at",
    misses: "a descriptor that another thread replaces at once; opens by execve (the start of \
             the program is told); whether an open truncated; layers of an overlay, opened \
             through its merged folder; descriptors that fanotify hands to its listeners",
}];

const FIFO: &[Hook] = &[
    Hook {
        family: Family::Fifo,
        tier: Tier::Lsm,
        programs: &[with("fifo_lsm", "file_open_lsm")],
        needs: &[],
        kernel_min: (5, 15),
        sees: "FIFOs that a session opens or receives, and pipes that it opens by their names in \
               /proc, with what for",
        misses: "pipes that are inherited, whose ends the agent looks for in /proc",
    },
    Hook {
        family: Family::Fifo,
        tier: Tier::Fentry,
        programs: &[with("fifo_fentry", "file_open_fentry")],
        needs: &[],
        kernel_min: (5, 15),
        sees: "FIFOs that a session opens or receives, and pipes that it opens by their names in \
               /proc, with what for",
        misses: "pipes that are inherited, whose ends the agent looks for in /proc",
    },
    Hook {
        family: Family::Fifo,
        tier: Tier::Tracepoint,
        programs: &[with("fifo_syscall", "open_syscall")],
        needs: &[],
        kernel_min: (5, 15),
        sees: "FIFOs that a session opened, once both ends are there",
        misses: "pipes that are inherited, whose ends the agent looks for in /proc",
    },
];

const IO_URING: &[Hook] = &[
    Hook {
        family: Family::IoUring,
        tier: Tier::Lsm,
        programs: &[with("io_uring_lsm", "file_open_lsm")],
        needs: &[],
        kernel_min: (5, 15),
        sees: "opens by io_uring, as all others; can refuse",
        misses: "nothing known",
    },
    Hook {
        family: Family::IoUring,
        tier: Tier::Fentry,
        programs: &[with("io_uring_fentry", "file_open_fentry")],
        needs: &[],
        kernel_min: (5, 15),
        sees: "opens by io_uring, as all others",
        misses: "nothing known",
    },
    Hook {
        family: Family::IoUring,
        tier: Tier::Tracepoint,
        programs: &[tracepoint("io_uring_open", "io_uring_complete")],
        needs: &[Need::Open, Need::Paths, Need::IoUring],
        kernel_min: (5, 15),
        sees: "opens of watched files by io_uring, when they complete",
        misses: "direct descriptors, which enter no table of the process",
    },
];

const RECEIVED: &[Hook] = better_tiers!(
    Received,
    ["file_receive_lsm" on "file_receive", "file_receive_fentry" on "security_file_receive";],
    &[Need::Open, Need::Paths],
    "descriptors of watched files that arrive from another process",
    "nothing known"
);

const RECEIVE_SYSCALLS: &[Hook] = &[Hook {
    family: Family::Received,
    tier: Tier::Tracepoint,
    programs: &[
        syscalls("recvmsg_syscall", &[syscall!(SYS_recvmsg, "recvmsg", 372)]),
        syscalls(
            "recvmmsg_syscall",
            &[syscall!(SYS_recvmmsg, "recvmmsg", 337)],
        ),
        syscalls(
            "getfd_syscall",
            &[syscall!(SYS_pidfd_getfd, "pidfd_getfd", 438)],
        ),
    ],
    needs: &[Need::Open, Need::Paths, Need::Arguments],
    kernel_min: (5, 15),
    sees: "descriptors of watched files that arrive by recvmsg, recvmmsg and pidfd_getfd",
    misses: "a receiver that changes its message at once; more than one control message; \
             descriptors behind the 32nd (recvmmsg: the eighth of a message, the fourth \
             message); 32-bit programs; io_uring",
}];

const USED_ELSEWHERE: &[Hook] = better_tiers!(
    UsedElsewhere,
    [
        "file_permission_lsm" on "file_permission",
            "file_permission_fentry" on "security_file_permission";
        "mmap_file_lsm" on "mmap_file", "mmap_file_fentry" on "security_mmap_file";
    ],
    &[Need::Open, Need::Paths],
    "the first read, write or mapping of a watched file through a descriptor that the session \
     did not open",
    "files below watched directories that nobody opened since the probes run"
);

const CHANGE: &[Hook] = better_tiers!(
    Change,
    [
        "inode_create_lsm" on "inode_create", "inode_create_fentry" on "security_inode_create";
        "inode_mkdir_lsm" on "inode_mkdir", "inode_mkdir_fentry" on "security_inode_mkdir";
        "inode_mknod_lsm" on "inode_mknod", "inode_mknod_fentry" on "security_inode_mknod";
        "inode_symlink_lsm" on "inode_symlink",
            "inode_symlink_fentry" on "security_inode_symlink";
        "inode_unlink_lsm" on "inode_unlink", "inode_unlink_fentry" on "security_inode_unlink";
        "inode_rmdir_lsm" on "inode_rmdir", "inode_rmdir_fentry" on "security_inode_rmdir";
        "inode_link_lsm" on "inode_link", "inode_link_fentry" on "security_inode_link";
        "inode_rename_lsm" on "inode_rename", "inode_rename_fentry" on "security_inode_rename";
        "inode_setattr_lsm" on "inode_setattr",
            "inode_setattr_fentry" on "security_inode_setattr";
        "inode_setxattr_lsm" on "inode_setxattr",
            "inode_setxattr_fentry" on "security_inode_setxattr";
        "inode_removexattr_lsm" on "inode_removexattr",
            "inode_removexattr_fentry" on "security_inode_removexattr";
    ],
    &[Need::Open, Need::Paths, Need::Attributes],
    "what is made, linked, renamed, removed, and changed in size, permissions, owner and \
     attributes, in watched directories and of watched files",
    "set times"
);

/// Before Linux 6.2 an access list is set as any other attribute.
const ACCESS_LIST_HOOKS: (u32, u32) = (6, 2);

const ACCESS_LIST: &[Hook] = &[
    access_list(
        Tier::Lsm,
        &[
            lsm("inode_set_acl_lsm", "inode_set_acl"),
            lsm("inode_remove_acl_lsm", "inode_remove_acl"),
        ],
        ACCESS_LIST_HOOKS,
        "access lists that are set on watched files and directories, or removed; can refuse",
    ),
    access_list(
        Tier::Lsm,
        &[until(
            "inode_set_acl_old_lsm",
            "inode_setxattr_lsm",
            ACCESS_LIST_HOOKS,
        )],
        (5, 15),
        "access lists, as attributes; can refuse",
    ),
    access_list(
        Tier::Fentry,
        &[
            fentry("inode_set_acl_fentry", "security_inode_set_acl"),
            fentry("inode_remove_acl_fentry", "security_inode_remove_acl"),
        ],
        ACCESS_LIST_HOOKS,
        "access lists that are set on watched files and directories, or removed",
    ),
    access_list(
        Tier::Fentry,
        &[until(
            "inode_set_acl_old_fentry",
            "inode_setxattr_fentry",
            ACCESS_LIST_HOOKS,
        )],
        (5, 15),
        "access lists, as attributes",
    ),
];

const fn access_list(
    tier: Tier,
    programs: &'static [Program],
    kernel_min: (u32, u32),
    sees: &'static str,
) -> Hook {
    Hook {
        family: Family::AccessList,
        tier,
        programs,
        needs: &[Need::Open, Need::Paths],
        kernel_min,
        sees,
        misses: "nothing known",
    }
}

const CHANGE_SYSCALLS: &[Hook] = &[Hook {
    family: Family::Change,
    tier: Tier::Tracepoint,
    programs: &[
        syscalls("mode_syscall", &[syscall!(SYS_fchmod, "fchmod", 94)]),
        syscalls("owner_syscall", &[syscall!(SYS_fchown, "fchown", 207)]),
        syscalls("size_syscall", &[syscall!(SYS_ftruncate, "ftruncate", 194)]),
        syscalls(
            "attribute_syscall",
            &[
                syscall!(SYS_fsetxattr, "fsetxattr", 228),
                syscall!(SYS_fremovexattr, "fremovexattr", 237),
            ],
        ),
    ],
    needs: &[Need::Open, Need::Paths, Need::Arguments],
    kernel_min: (5, 15),
    sees: "fchmod, fchown, ftruncate, fsetxattr and fremovexattr of watched files",
    misses: "all changes by name: chmod, chown, truncate, rename, link, symlink, unlink, mkdir, \
             mknod; files that are linked or moved out of a watched directory are not watched \
             by their new names until the watch list is made again",
}];
