//! Offsets of kernel fields, set at load.
//!
//! The agent overrides each of these by its name (`kernel/offsets.rs` there).
//! They lie in frozen memory, so the verifier knows them as constants and
//! removes the code behind a feature that is off.

use aya_ebpf::Global;

/// Value of an offset whose field this kernel does not have.
pub const ABSENT: u32 = u32::MAX;

macro_rules! globals {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        $($(#[$doc])* #[unsafe(no_mangle)] pub static $name: Global<u32> = Global::new(ABSENT);)+
    };
}

globals! {
    TASK_PID,
    TASK_TGID,
    TASK_GROUP_LEADER,
    TASK_START_BOOTTIME,
    TASK_REAL_PARENT,
    TASK_CRED,
    /// Optional: kernels without audit lack it.
    TASK_LOGINUID,
    /// Optional: kernels without audit lack it.
    TASK_SESSIONID,
    TASK_NSPROXY,
    TASK_THREAD_PID,
    TASK_SIGNAL,
    TASK_EXIT_CODE,
    TASK_MM,
    TASK_COMM,
    /// Only the second look at starts of programs needs it.
    TASK_SELF_EXEC_ID,
    TASK_FILES,
    /// Optional: only x86 has it.
    TASK_THREAD_STATUS,
    CRED_UID,
    CRED_GID,
    CRED_EUID,
    /// The effective set; its first 32 bits.
    CRED_CAPABILITIES,
    NSPROXY_NET_NS,
    NSPROXY_MNT_NS,
    NET_INUM,
    MNT_NAMESPACE_INUM,
    PID_NAMESPACE_INUM,
    PID_LEVEL,
    PID_NUMBERS,
    UPID_NS,
    /// Size of `struct upid`, not an offset.
    UPID_SIZE,
    SIGNAL_LIVE,
    MM_ARG_START,
    MM_ARG_END,
    BINPRM_FILE,
    FILES_FDT,
    FDTABLE_FD,
    FDTABLE_MAX_FDS,
    FILE_INODE,
    FILE_PATH_MNT,
    FILE_PATH_DENTRY,
    FILE_FLAGS,
    FILE_MODE,
    INODE_INO,
    INODE_SB,
    INODE_GENERATION,
    INODE_MODE,
    INODE_UID,
    INODE_NLINK,
    INODE_RDEV,
    /// Where an inode's first dentry is, as [`DENTRY_ALIAS`] in that dentry.
    INODE_ALIASES,
    SUPER_BLOCK_DEV,
    SUPER_BLOCK_MAGIC,
    DENTRY_PARENT,
    DENTRY_NAME,
    DENTRY_NAME_LENGTH,
    DENTRY_INODE,
    DENTRY_ALIAS,
    /// Optional: kernels without procfs lack it, with the next.
    PROC_INODE_INODE,
    PROC_INODE_PID,
    PID_TASKS,
    TASK_PID_LINKS,
    TASK_FLAGS,
    IATTR_VALID,
    IATTR_MODE,
    IATTR_UID,
    IATTR_GID,
    /// Which argument of the hook is the dentry, not an offset.
    SETATTR_DENTRY_LSM,
    /// The same of the function that calls the hook.
    SETATTR_DENTRY_FENTRY,
    /// Arguments of the tracepoint `io_uring_complete`, not an offset.
    IO_COMPLETE_ARGUMENTS,
    /// Optional, with the next: kernels without `io_uring` lack it.
    IO_REQUEST_OPCODE,
    IO_OPEN_SLOT,
    IO_COMPLETION_RESULT,
    PT_REGS_ARGUMENT_1,
    PT_REGS_ARGUMENT_2,
    /// Optional, with the next: only x86 has it.
    PT_REGS_IA32_ARGUMENT_1,
    PT_REGS_IA32_ARGUMENT_2,
    VFSMOUNT_ROOT,
    MOUNT_MNT,
    MOUNT_PARENT,
    MOUNT_MOUNTPOINT,
    MOUNT_NS,
    /// Optional, with the next.
    SOCK_ADDR_SK,
    /// Optional: kernels without network namespaces lack it.
    SOCK_NET,
    PT_REGS_SYSCALL,
    BINPRM_FILENAME,
    BINPRM_INTERP,
    BINPRM_BUFFER,
    FILE_PRIVATE,
    SOCKET_SK,
    SOCK_FAMILY,
    SOCK_TYPE,
    SOCK_PROTOCOL,
    SOCK_PORT_LOCAL,
    SOCK_PORT_PEER,
    SOCK_V4_LOCAL,
    SOCK_V4_PEER,
    /// Optional, with the next: kernels without IPv6 lack it.
    SOCK_V6_LOCAL,
    SOCK_V6_PEER,
    SOCK_BOUND_IF,
    SOCK_MARK,
    SOCK_PEER_PID,
    UNIX_PEER,
    UNIX_ADDRESS,
    UNIX_DENTRY,
    UNIX_ADDRESS_LENGTH,
    UNIX_ADDRESS_NAME,
    SIGINFO_CODE,
    PERF_TYPE,
    MODULE_NAME,
    TERMINAL_FILE_TERMINAL,
    TERMINAL_SESSION,
    TERMINAL_NAME,
    TERMINAL_DRIVER,
    TERMINAL_INDEX,
    TERMINAL_DRIVER_MAJOR,
    TERMINAL_DRIVER_MINOR_START,
    SIGNAL_TERMINAL,
}
