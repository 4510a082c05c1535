//! A look at a live session on its host: what lives in it at that moment, and
//! what each process holds open. Read in the kernel's and `/proc`'s own tables,
//! not put together from events.
//!
//! Bound: [`PROCESSES_MAX`], [`DESCRIPTORS_MAX`], [`TEXT_BYTES_MAX`]; what did not
//! fit is counted.

use std::{collections::HashMap, fmt};

use serde::{Serialize, Serializer};

use crate::{
    bytes::{ByteText, PathLabel},
    clock::UnixNs,
    event::{FileObject, Ids, SocketAddress},
    grant::Tier,
    id::{SessionId, TenantId},
    live::{Arguments, Place, ProcessKey, nested},
};

/// Most processes that one look shows.
pub const PROCESSES_MAX: usize = 1_000;
/// Most open descriptors that one look shows, of all processes together.
pub const DESCRIPTORS_MAX: usize = 8_000;
/// Most of one process.
pub const DESCRIPTORS_OF_ONE_MAX: usize = 500;
/// Most bytes of paths and arguments together; further ones are cut, or counted.
pub const TEXT_BYTES_MAX: usize = 2 << 20;

macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$what:meta])* $variant:ident => $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$what])* $variant,)* }

        impl $name {
            /// Every one.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name in JSON and for people.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}

named! {
    /// What the kernel does with a session at that moment.
    Stance {
        /// Nothing is refused by an order.
        Open => "open",
        /// New connections are refused.
        Contained => "contained",
        /// The same, and its processes stand still.
        Frozen => "frozen",
        /// Its processes are killed.
        Killed => "killed",
    }
}

named! {
    /// What a process does: of several threads the liveliest counts.
    ProcessState {
        /// It runs, or could.
        Running => "running",
        /// It waits for something.
        Sleeping => "sleeping",
        /// It waits in the kernel where no signal reaches it.
        Asleep => "asleep",
        /// Somebody stopped it, or debugs it.
        Stopped => "stopped",
        /// It stands still with its session.
        Frozen => "frozen",
        /// It ended, and its parent was not told yet.
        Ended => "ended",
    }
}

named! {
    /// What stands behind a descriptor.
    DescriptorKind {
        /// A regular file.
        File => "file",
        /// A directory.
        Directory => "directory",
        /// A symbolic link, opened as such.
        Link => "link",
        /// A socket.
        Socket => "socket",
        /// A pipe without a name.
        Pipe => "pipe",
        /// A pipe with a name.
        Fifo => "fifo",
        /// A character or block device: terminals are among them.
        Device => "device",
        /// What has no file: timers, events, rings.
        Anonymous => "anonymous",
    }
}

named! {
    /// What a socket speaks.
    SocketProtocol {
        /// TCP.
        Tcp => "tcp",
        /// UDP.
        Udp => "udp",
        /// Within the host.
        Unix => "unix",
        /// Something else, or not told by the kernel.
        Other => "other",
    }
}

named! {
    /// Where a connection stands, by the names of TCP.
    ConnectionState {
        /// Open both ways; of others than TCP: it has a peer.
        Established => "established",
        /// Asked for, not answered yet.
        SynSent => "syn_sent",
        /// Answered, not confirmed yet.
        SynReceived => "syn_received",
        /// Closed here, the peer has not said so.
        FinWait1 => "fin_wait_1",
        /// Closed here, the peer sends on.
        FinWait2 => "fin_wait_2",
        /// Over; late packets are waited for.
        TimeWait => "time_wait",
        /// Without a peer, or cut.
        Closed => "closed",
        /// Closed by the peer.
        CloseWait => "close_wait",
        /// Closed by both, not confirmed yet.
        LastAck => "last_ack",
        /// Waits for connections.
        Listening => "listening",
        /// Closed by both at once.
        Closing => "closing",
    }
}

named! {
    /// Kinds of namespaces.
    NamespaceKind {
        /// Of control groups.
        Cgroup => "cgroup",
        /// Of System V objects and message queues.
        Ipc => "ipc",
        /// Of mounts.
        Mount => "mnt",
        /// Of the network.
        Network => "net",
        /// Of process ids.
        Process => "pid",
        /// Of clocks.
        Time => "time",
        /// Of users.
        User => "user",
        /// Of host names.
        Hostname => "uts",
    }
}

/// A session as it was at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// Which.
    pub session: SessionId,
    /// When the look was over, by the host's clock.
    pub taken_at: UnixNs,
    /// What the kernel does with it.
    pub stance: Stance,
    /// Its processes, those of its jobs among them, the oldest first.
    pub processes: Vec<SeenProcess>,
    /// Processes that are not shown; the oldest are.
    pub more_processes: u32,
}

impl Snapshot {
    /// Tenants whose watched credentials are held open in it.
    pub fn tenants(&self) -> impl Iterator<Item = &TenantId> {
        let held = self.processes.iter().flat_map(|one| &one.descriptors);
        held.filter_map(|one| one.credential.as_ref()?.tenant.as_ref())
    }
}

/// A process as it was at that moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SeenProcess {
    /// Which. The start is rounded down to hundredths of a second.
    #[serde(flatten)]
    pub key: ProcessKey,
    /// When it started, by the host's clock.
    pub started_at: UnixNs,
    /// Its parent's process id.
    pub parent_pid: u32,
    /// The job that it is part of.
    pub job: Option<SessionId>,
    /// Threads that it has.
    pub threads: u32,
    /// What it does.
    pub state: ProcessState,
    /// The file of its program; none where the kernel shows none.
    pub exe: Option<FileObject>,
    /// What stands in its memory as arguments, secrets removed: evidence. None
    /// where nothing can be read there.
    pub arguments: Option<Arguments>,
    /// Its user and group.
    pub ids: Ids,
    /// Its controlling terminal: `/dev/pts/3`, or its numbers; none where it has none.
    pub terminal: Option<String>,
    /// Its working directory.
    pub cwd: Option<PathLabel>,
    /// Its root directory, where that is another than the host's.
    pub root: Option<PathLabel>,
    /// Its namespaces that are others than the host's.
    pub namespaces: Vec<Namespace>,
    /// What it has open, by number.
    pub descriptors: Vec<Descriptor>,
    /// What it has open and is not shown.
    pub more_descriptors: u32,
}

/// A namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Namespace {
    /// What it is of.
    pub kind: NamespaceKind,
    /// Its number.
    pub inode: u64,
}

/// An open descriptor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Descriptor {
    /// Its number.
    pub number: u32,
    /// What stands behind it.
    pub kind: DescriptorKind,
    /// The object; of what has no path, the kernel's name for it.
    pub object: FileObject,
    /// Whether it may be read through it.
    pub reads: bool,
    /// Whether it may be written through it.
    pub writes: bool,
    /// What the watch list says of the file; none where it is not watched as a
    /// credential.
    pub credential: Option<OpenCredential>,
    /// What the kernel says of the socket.
    pub socket: Option<OpenSocket>,
}

/// A watched credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OpenCredential {
    /// Its class, from the watch list.
    pub class: String,
    /// Whose it is; none is the provider's.
    pub tenant: Option<TenantId>,
    /// The tier it needs; none means any.
    pub tier: Option<Tier>,
}

/// A socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OpenSocket {
    /// What it speaks.
    pub protocol: SocketProtocol,
    /// Where it stands; none where the kernel does not tell.
    pub state: Option<ConnectionState>,
    /// Its own address.
    pub local: Option<SocketAddress>,
    /// Where it goes.
    pub peer: Option<SocketAddress>,
    /// Path of a socket within the host, or its abstract name behind `@`; empty
    /// where it has none.
    pub name: ByteText,
}

/// Processes as a tree, parents before their children, the oldest first. Those
/// whose parent is not among them stand at the top; each stands once.
#[must_use]
pub fn tree(processes: &[SeenProcess]) -> Vec<Place> {
    let by_pid: HashMap<u32, usize> = (0..)
        .zip(processes)
        .map(|(index, process)| (process.key.pid, index))
        .collect();
    let parents = processes.iter().map(|process| {
        let parent = by_pid.get(&process.parent_pid).copied()?;
        // An older one only, so that nothing turns in a circle.
        let is_older = processes.get(parent)?.key < process.key;
        is_older.then_some(parent)
    });
    nested(&parents.collect::<Vec<_>>(), |index| {
        processes.get(index).map(|process| process.key)
    })
}

/// Why an agent shows nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotShown {
    /// Its table has no such session, and no process has its mark.
    #[error("the host's agent knows no such session, or its last process is gone")]
    Unknown,
    /// Too many looks at a time.
    #[error("the host's agent is busy with other looks; ask again in some seconds")]
    Busy,
    /// The kernel's tables or /proc cannot be read.
    #[error("the host's agent cannot read its kernel's tables; its log says why")]
    Failed,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u32, start_boot_ns: u64, parent_pid: u32) -> SeenProcess {
        SeenProcess {
            key: ProcessKey { start_boot_ns, pid },
            started_at: UnixNs(0),
            parent_pid,
            job: None,
            threads: 1,
            state: ProcessState::Sleeping,
            exe: None,
            arguments: None,
            ids: Ids::default(),
            terminal: None,
            cwd: None,
            root: None,
            namespaces: Vec::new(),
            descriptors: Vec::new(),
            more_descriptors: 0,
        }
    }

    #[test]
    fn children_stand_below_their_parents_and_whatever_is_told_each_stands_once() {
        let all = [
            process(10, 10, 1),
            process(20, 20, 10),
            process(30, 20, 20),
            // Each other's parent, which nobody is.
            process(40, 40, 50),
            process(50, 40, 40),
        ];
        let shown = tree(&all).into_iter();
        let shown: Vec<_> = shown
            .map(|place| (all[place.index].key.pid, place.depth))
            .collect();
        assert_eq!(shown, [(10, 0), (20, 1), (30, 2), (40, 0), (50, 1)]);
    }

    #[test]
    fn names_are_the_same_for_people_and_programs() {
        let json = serde_json::to_string(&ConnectionState::FinWait1).unwrap();
        assert_eq!(json, format!("\"{}\"", ConnectionState::FinWait1));
        assert_eq!(
            NamespaceKind::Mount.as_str(),
            "mnt",
            "as /proc/PID/ns has it"
        );
    }
}
