//! Finds the offsets of kernel fields by name, in the running kernel's BTF.
//!
//! In: BTF (`/sys/kernel/btf/vmlinux`). Out: one number for each global of the
//! kernel programs. A field that is missing disarms the families that need it,
//! never the others. Reading takes about 10 ms.

use std::path::Path;

use super::btf::{Btf, BtfError};

/// Value of a global whose field this kernel does not have.
pub(super) const ABSENT: u32 = u32::MAX;

/// Which hook families need a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// All: it is in the header of every record.
    All,
    /// Those that walk paths.
    Paths,
    /// The exec family.
    Exec,
    /// The process life family (fork, exit).
    Life,
    /// The credential family.
    Open,
    /// Changes of attributes.
    Attributes,
    /// `io_uring`.
    IoUring,
    /// Arguments of system calls.
    Arguments,
    /// Those that look at sockets.
    Sockets,
    /// Those that look at signals.
    Signals,
    /// Those that look at probes of others.
    Perf,
    /// Those that look at kernel modules.
    Modules,
    /// Those that look at terminals.
    Terminals,
    /// None: programs do without it.
    Nobody,
}

/// One field: the global that holds its offset, and where it is found.
struct Field {
    global: &'static str,
    structure: &'static str,
    /// Paths through nested structures; the first that exists counts.
    paths: &'static [&'static str],
    need: Need,
}

const fn field(
    global: &'static str,
    structure: &'static str,
    paths: &'static [&'static str],
    need: Need,
) -> Field {
    Field {
        global,
        structure,
        paths,
        need,
    }
}

const FIELDS: &[Field] = &[
    field("TASK_PID", "task_struct", &["pid"], Need::All),
    field("TASK_TGID", "task_struct", &["tgid"], Need::All),
    field(
        "TASK_GROUP_LEADER",
        "task_struct",
        &["group_leader"],
        Need::All,
    ),
    field(
        "TASK_START_BOOTTIME",
        "task_struct",
        &["start_boottime", "real_start_time"],
        Need::All,
    ),
    field(
        "TASK_REAL_PARENT",
        "task_struct",
        &["real_parent"],
        Need::All,
    ),
    field("TASK_CRED", "task_struct", &["cred"], Need::All),
    field("TASK_COMM", "task_struct", &["comm"], Need::All),
    field(
        "TASK_LOGINUID",
        "task_struct",
        &["loginuid.val"],
        Need::Nobody,
    ),
    field(
        "TASK_SESSIONID",
        "task_struct",
        &["sessionid"],
        Need::Nobody,
    ),
    field("TASK_NSPROXY", "task_struct", &["nsproxy"], Need::All),
    field("TASK_THREAD_PID", "task_struct", &["thread_pid"], Need::All),
    field("TASK_SIGNAL", "task_struct", &["signal"], Need::Life),
    field("TASK_EXIT_CODE", "task_struct", &["exit_code"], Need::Life),
    field("TASK_MM", "task_struct", &["mm"], Need::Exec),
    field(
        "TASK_SELF_EXEC_ID",
        "task_struct",
        &["self_exec_id"],
        Need::Exec,
    ),
    field("TASK_FILES", "task_struct", &["files"], Need::Open),
    field(
        "TASK_THREAD_STATUS",
        "task_struct",
        &["thread_info.status"],
        Need::Nobody,
    ),
    field("CRED_UID", "cred", &["uid.val"], Need::All),
    field("CRED_GID", "cred", &["gid.val"], Need::All),
    field("CRED_EUID", "cred", &["euid.val"], Need::All),
    field(
        "CRED_CAPABILITIES",
        "cred",
        &["cap_effective"],
        Need::Terminals,
    ),
    field("NSPROXY_NET_NS", "nsproxy", &["net_ns"], Need::All),
    field("NSPROXY_MNT_NS", "nsproxy", &["mnt_ns"], Need::All),
    field("NET_INUM", "net", &["ns.inum"], Need::All),
    field(
        "MNT_NAMESPACE_INUM",
        "mnt_namespace",
        &["ns.inum"],
        Need::All,
    ),
    field(
        "PID_NAMESPACE_INUM",
        "pid_namespace",
        &["ns.inum"],
        Need::All,
    ),
    field("PID_LEVEL", "pid", &["level"], Need::All),
    field("PID_NUMBERS", "pid", &["numbers"], Need::All),
    field("UPID_NS", "upid", &["ns"], Need::All),
    field(
        "SIGNAL_LIVE",
        "signal_struct",
        &["live.counter"],
        Need::Life,
    ),
    field("MM_ARG_START", "mm_struct", &["arg_start"], Need::Exec),
    field("MM_ARG_END", "mm_struct", &["arg_end"], Need::Exec),
    field("BINPRM_FILE", "linux_binprm", &["file"], Need::Exec),
    field("FILES_FDT", "files_struct", &["fdt"], Need::Open),
    field("FDTABLE_FD", "fdtable", &["fd"], Need::Open),
    field("FDTABLE_MAX_FDS", "fdtable", &["max_fds"], Need::Open),
    field("FILE_INODE", "file", &["f_inode"], Need::Paths),
    field("FILE_FLAGS", "file", &["f_flags"], Need::Open),
    field("FILE_MODE", "file", &["f_mode"], Need::Open),
    field(
        "FILE_PATH_MNT",
        "file",
        &["f_path.mnt", "__f_path.mnt"],
        Need::Paths,
    ),
    field(
        "FILE_PATH_DENTRY",
        "file",
        &["f_path.dentry", "__f_path.dentry"],
        Need::Paths,
    ),
    field("INODE_INO", "inode", &["i_ino"], Need::Paths),
    field("INODE_SB", "inode", &["i_sb"], Need::Paths),
    field("INODE_GENERATION", "inode", &["i_generation"], Need::Paths),
    field("INODE_MODE", "inode", &["i_mode"], Need::Paths),
    field("INODE_UID", "inode", &["i_uid.val"], Need::Paths),
    field(
        "INODE_NLINK",
        "inode",
        &["i_nlink", "__i_nlink"],
        Need::Paths,
    ),
    field("INODE_RDEV", "inode", &["i_rdev"], Need::Open),
    field("INODE_ALIASES", "inode", &["i_dentry.first"], Need::Open),
    field("SUPER_BLOCK_DEV", "super_block", &["s_dev"], Need::Paths),
    field("SUPER_BLOCK_MAGIC", "super_block", &["s_magic"], Need::Open),
    field("DENTRY_PARENT", "dentry", &["d_parent"], Need::Paths),
    field(
        "DENTRY_NAME",
        "dentry",
        &["d_name.name", "__d_name.name"],
        Need::Paths,
    ),
    field(
        "DENTRY_NAME_LENGTH",
        "dentry",
        &["d_name.len", "__d_name.len"],
        Need::Open,
    ),
    field("DENTRY_INODE", "dentry", &["d_inode"], Need::Open),
    field(
        "DENTRY_ALIAS",
        "dentry",
        &["d_u.d_alias", "d_alias"],
        Need::Open,
    ),
    field(
        "PROC_INODE_INODE",
        "proc_inode",
        &["vfs_inode"],
        Need::Nobody,
    ),
    field("PROC_INODE_PID", "proc_inode", &["pid"], Need::Nobody),
    field("PID_TASKS", "pid", &["tasks"], Need::Nobody),
    field(
        "TASK_PID_LINKS",
        "task_struct",
        &["pid_links"],
        Need::Nobody,
    ),
    field("TASK_FLAGS", "task_struct", &["flags"], Need::Open),
    field("IATTR_VALID", "iattr", &["ia_valid"], Need::Attributes),
    field("IATTR_MODE", "iattr", &["ia_mode"], Need::Attributes),
    field(
        "IATTR_UID",
        "iattr",
        &["ia_uid.val", "ia_vfsuid.val"],
        Need::Attributes,
    ),
    field(
        "IATTR_GID",
        "iattr",
        &["ia_gid.val", "ia_vfsgid.val"],
        Need::Attributes,
    ),
    field("IO_REQUEST_OPCODE", "io_kiocb", &["opcode"], Need::IoUring),
    field("IO_OPEN_SLOT", "io_open", &["file_slot"], Need::IoUring),
    field(
        "IO_COMPLETION_RESULT",
        "io_uring_cqe",
        &["res"],
        Need::IoUring,
    ),
    field(
        "PT_REGS_ARGUMENT_1",
        "pt_regs",
        &["di", "regs"],
        Need::Arguments,
    ),
    field("PT_REGS_IA32_ARGUMENT_1", "pt_regs", &["bx"], Need::Nobody),
    field("PT_REGS_IA32_ARGUMENT_2", "pt_regs", &["cx"], Need::Nobody),
    field("VFSMOUNT_ROOT", "vfsmount", &["mnt_root"], Need::Paths),
    field("MOUNT_MNT", "mount", &["mnt"], Need::Paths),
    field("MOUNT_PARENT", "mount", &["mnt_parent"], Need::Paths),
    field(
        "MOUNT_MOUNTPOINT",
        "mount",
        &["mnt_mountpoint"],
        Need::Paths,
    ),
    field("MOUNT_NS", "mount", &["mnt_ns"], Need::Nobody),
    field("SOCK_ADDR_SK", "bpf_sock_addr_kern", &["sk"], Need::Nobody),
    field(
        "SOCK_NET",
        "sock",
        &["__sk_common.skc_net.net"],
        Need::Nobody,
    ),
    field(
        "PT_REGS_SYSCALL",
        "pt_regs",
        &["orig_ax", "syscallno"],
        Need::Open,
    ),
    field("BINPRM_FILENAME", "linux_binprm", &["filename"], Need::Exec),
    field("BINPRM_INTERP", "linux_binprm", &["interp"], Need::Exec),
    field("BINPRM_BUFFER", "linux_binprm", &["buf"], Need::Exec),
    field("FILE_PRIVATE", "file", &["private_data"], Need::Sockets),
    field("SOCKET_SK", "socket", &["sk"], Need::Sockets),
    field(
        "SOCK_FAMILY",
        "sock",
        &["__sk_common.skc_family"],
        Need::Sockets,
    ),
    field("SOCK_TYPE", "sock", &["sk_type"], Need::Sockets),
    field("SOCK_PROTOCOL", "sock", &["sk_protocol"], Need::Sockets),
    field(
        "SOCK_PORT_LOCAL",
        "sock",
        &["__sk_common.skc_num"],
        Need::Sockets,
    ),
    field(
        "SOCK_PORT_PEER",
        "sock",
        &["__sk_common.skc_dport"],
        Need::Sockets,
    ),
    field(
        "SOCK_V4_LOCAL",
        "sock",
        &["__sk_common.skc_rcv_saddr"],
        Need::Sockets,
    ),
    field(
        "SOCK_V4_PEER",
        "sock",
        &["__sk_common.skc_daddr"],
        Need::Sockets,
    ),
    field(
        "SOCK_V6_LOCAL",
        "sock",
        &["__sk_common.skc_v6_rcv_saddr"],
        Need::Nobody,
    ),
    field(
        "SOCK_V6_PEER",
        "sock",
        &["__sk_common.skc_v6_daddr"],
        Need::Nobody,
    ),
    field(
        "SOCK_BOUND_IF",
        "sock",
        &["__sk_common.skc_bound_dev_if"],
        Need::Sockets,
    ),
    field("SOCK_MARK", "sock", &["sk_mark"], Need::Sockets),
    field("SOCK_PEER_PID", "sock", &["sk_peer_pid"], Need::Sockets),
    field("UNIX_PEER", "unix_sock", &["peer"], Need::Sockets),
    field("UNIX_ADDRESS", "unix_sock", &["addr"], Need::Sockets),
    field("UNIX_DENTRY", "unix_sock", &["path.dentry"], Need::Sockets),
    field(
        "UNIX_ADDRESS_LENGTH",
        "unix_address",
        &["len"],
        Need::Sockets,
    ),
    field(
        "UNIX_ADDRESS_NAME",
        "unix_address",
        &["name"],
        Need::Sockets,
    ),
    field(
        "SIGINFO_CODE",
        "kernel_siginfo",
        &["si_code"],
        Need::Signals,
    ),
    field("PERF_TYPE", "perf_event", &["attr.type"], Need::Perf),
    field("MODULE_NAME", "module", &["name"], Need::Modules),
    field(
        "TERMINAL_FILE_TERMINAL",
        "tty_file_private",
        &["tty"],
        Need::Terminals,
    ),
    field(
        "TERMINAL_SESSION",
        "tty_struct",
        &["ctrl.session", "session"],
        Need::Terminals,
    ),
    field("TERMINAL_NAME", "tty_struct", &["name"], Need::Terminals),
    field("TERMINAL_DRIVER", "tty_struct", &["driver"], Need::Nobody),
    field("TERMINAL_INDEX", "tty_struct", &["index"], Need::Nobody),
    field(
        "TERMINAL_DRIVER_MAJOR",
        "tty_driver",
        &["major"],
        Need::Nobody,
    ),
    field(
        "TERMINAL_DRIVER_MINOR_START",
        "tty_driver",
        &["minor_start"],
        Need::Nobody,
    ),
    field("SIGNAL_TERMINAL", "signal_struct", &["tty"], Need::Nobody),
];

/// What moved between kernels and is no field.
struct Count {
    global: &'static str,
    /// In words, for who misses it.
    what: &'static str,
    find: fn(&Btf) -> Option<u32>,
    need: Need,
}

const COUNTS: &[Count] = &[
    Count {
        global: "SETATTR_DENTRY_LSM",
        what: "bpf_lsm_inode_setattr",
        find: |btf| btf.parameter("bpf_lsm_inode_setattr", "dentry"),
        // Without it the hook itself is missing, which is told anyway.
        need: Need::Nobody,
    },
    Count {
        global: "SETATTR_DENTRY_FENTRY",
        what: "security_inode_setattr",
        find: |btf| btf.parameter("security_inode_setattr", "dentry"),
        need: Need::Nobody,
    },
    Count {
        global: "IO_COMPLETE_ARGUMENTS",
        what: "the tracepoint io_uring_complete",
        find: |btf| btf.tracepoint_arguments("io_uring_complete"),
        need: Need::IoUring,
    },
    Count {
        global: "PT_REGS_ARGUMENT_2",
        what: "pt_regs.si|regs[1]",
        find: |btf| {
            btf.offset_of("pt_regs", "si")
                .or_else(|| btf.offset_of("pt_regs", "regs")?.checked_add(8))
        },
        need: Need::Arguments,
    },
];

/// Where the kernel keeps its BTF.
pub const BTF_PATH: &str = "/sys/kernel/btf/vmlinux";

/// The numbers for the globals of the kernel programs.
#[derive(Debug)]
pub(super) struct Offsets {
    globals: Vec<(&'static str, u32)>,
    missing: Vec<(Need, String)>,
}

impl Offsets {
    /// Reads the running kernel's.
    pub(super) fn of_this_kernel() -> Result<Self, BtfError> {
        Ok(Self::of(&Btf::from_file(Path::new(BTF_PATH))?))
    }

    fn of(btf: &Btf) -> Self {
        let mut globals = Vec::with_capacity(FIELDS.len() + 1);
        let mut missing = Vec::new();
        for field in FIELDS {
            let offset = field
                .paths
                .iter()
                .find_map(|path| btf.offset_of(field.structure, path));
            if offset.is_none() {
                missing.push((
                    field.need,
                    format!("{}.{}", field.structure, field.paths.join("|")),
                ));
            }
            globals.push((field.global, offset.unwrap_or(ABSENT)));
        }
        let upid = btf.size_of("upid");
        if upid.is_none() {
            missing.push((Need::All, String::from("upid")));
        }
        globals.push(("UPID_SIZE", upid.unwrap_or(ABSENT)));
        for count in COUNTS {
            let number = (count.find)(btf);
            if number.is_none() {
                missing.push((count.need, count.what.to_owned()));
            }
            globals.push((count.global, number.unwrap_or(ABSENT)));
        }
        Self { globals, missing }
    }

    /// Names of globals and their values.
    pub(super) fn globals(&self) -> &[(&'static str, u32)] {
        &self.globals
    }

    /// The fields among `needs` that this kernel lacks.
    pub(super) fn missing(&self, needs: &[Need]) -> Vec<&str> {
        self.missing
            .iter()
            .filter(|(need, _)| *need == Need::All || needs.contains(need))
            .map(|(_, name)| name.as_str())
            .collect()
    }
}
