//! Sockets, other processes, identities, the host.

use std::{fmt, net::IpAddr};

use serde::Serialize;

use crate::{
    bytes::{ByteText, PathLabel},
    id::SessionId,
};

/// Another process that an event speaks of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProcessRef {
    /// Process id; in the caller's namespace where `start_boot_ns` is not known.
    pub pid: u32,
    /// Start in nanoseconds since boot; none where only the id is known.
    pub start_boot_ns: Option<u64>,
    /// Its session.
    pub session: Option<SessionId>,
    /// Whether it opened a watched file since its program was started.
    pub holds_credentials: bool,
    /// Path of its executable, where known.
    pub exe: Option<PathLabel>,
}

/// What was connected to: a socket that does not speak IP, a FIFO, a terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "family")]
pub enum LocalAddress {
    /// A unix socket with a path; empty where it has no name.
    Unix {
        /// The path that it is bound to.
        path: ByteText,
    },
    /// A unix socket with a name in the abstract namespace.
    Abstract {
        /// The name, without the leading zero byte.
        name: ByteText,
    },
    /// A virtual machine or its host.
    Vsock {
        /// Context id.
        cid: u32,
        /// Port.
        port: u32,
    },
    /// A FIFO that was opened, or a pipe by its name in /proc.
    Fifo {
        /// Its name in its directory; empty for a pipe.
        name: ByteText,
        /// Opened for reading.
        reads: bool,
        /// Opened for writing.
        writes: bool,
    },
    /// A terminal that input was pushed into.
    Terminal {
        /// The kernel's name of it: `pts3`.
        name: ByteText,
    },
    /// Another family.
    Other {
        /// Its Linux number.
        number: u16,
    },
}

impl fmt::Display for LocalAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix { path } if path.0.is_empty() => f.write_str("a unix socket without name"),
            Self::Unix { path } => write!(f, "unix socket {path}"),
            Self::Abstract { name } => write!(f, "unix socket @{name}"),
            Self::Vsock { cid, port } => write!(f, "vsock {cid}:{port}"),
            Self::Fifo { name, .. } if name.0.is_empty() => f.write_str("a pipe"),
            Self::Fifo { name, .. } => write!(f, "FIFO {name}"),
            Self::Terminal { name } => write!(f, "the input of terminal {name}"),
            Self::Other { number } => write!(f, "a socket of family {number}"),
        }
    }
}

/// An IP address with its port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct SocketAddress {
    /// Address; an IPv4-mapped IPv6 address is shown as IPv4.
    pub address: IpAddr,
    /// Port, host byte order.
    pub port: u16,
}

impl fmt::Display for SocketAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        std::net::SocketAddr::new(self.address, self.port).fmt(f)
    }
}

/// What happened to a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SocketOperation {
    /// Made.
    Created,
    /// Bound to an address with a port.
    Bound,
    /// Made to listen.
    Listening,
    /// A connection was accepted.
    Accepted,
}

impl SocketOperation {
    /// Every operation.
    pub const ALL: [Self; 4] = [Self::Created, Self::Bound, Self::Listening, Self::Accepted];
}

/// By what means a process reached into another one's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MemoryAccess {
    /// Attached, with the right to read and write.
    Attached,
    /// Asked to be traced by its parent, the target.
    TracedByParent,
    /// Opened `/proc/PID/environ`.
    Environment,
    /// Opened `/proc/PID/mem`.
    MemoryFile,
}

impl MemoryAccess {
    /// Every means.
    pub const ALL: [Self; 4] = [
        Self::Attached,
        Self::TracedByParent,
        Self::Environment,
        Self::MemoryFile,
    ];
}

/// User and group of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Ids {
    /// Real user id.
    pub uid: u32,
    /// Effective user id.
    pub euid: u32,
    /// Real group id.
    pub gid: u32,
}

impl fmt::Display for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { uid, euid, gid } = self;
        write!(f, "user {uid} (effective {euid}), group {gid}")
    }
}

macro_rules! host_changes {
    ($($variant:ident => $name:literal, $verb:literal, $doc:literal;)*) => {
        /// What was changed of the ground that the monitor stands on.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
        #[serde(rename_all = "snake_case")]
        pub enum HostChange { $(#[doc = $doc] $variant,)* }

        impl HostChange {
            /// Every change.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name in filters and JSON.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The words a person would use.
            #[must_use]
            pub const fn verb(self) -> &'static str {
                match self { $(Self::$variant => $verb,)* }
            }
        }
    };
}

host_changes! {
    Bpf => "bpf", "used bpf", "`bpf()`: the number is the command.";
    Perf => "perf", "set a probe", "`perf_event_open()` of a probe: the number is its type.";
    Module => "module", "loaded the kernel module", "A kernel module was loaded.";
    Mounted => "mounted", "mounted", "Something was mounted: the detail is the type of file system.";
    MountMoved => "mount_moved", "moved a mount to", "A mount was moved or attached.";
    Unmounted => "unmounted", "unmounted", "Something was unmounted.";
    Pivoted => "pivoted", "changed the root to", "The root was changed by `pivot_root`.";
    LoginUid => "login_uid", "opened a login id for writing", "`/proc/PID/loginuid` was opened for writing.";
    Kexec => "kexec", "loaded another kernel", "Another kernel was loaded.";
    RevocationList => "revocation_list", "found the revocation list changed by somebody else:", "The revocation list that the agent keeps was changed by somebody else; the agent put it right, or the detail says why not. The number is that of the right list, the detail what was found.";
}
