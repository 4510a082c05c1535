//! Kernel records to events: who, in which session, with which program.
//!
//! In: one decoded record and its place among the events. Out: the event.
//! The only place where `Record` and `Event`
//! meet. Bound: the tables' own. Loss: none; whom an event belongs to may stay
//! unknown, and then says why.

use std::net::{IpAddr, Ipv6Addr};

use monitor_common::{
    Connect, Credential, Exec, Header, Record, file::PathTail, header::AUDIT_UNSET,
};
use monitor_model::{
    bytes::{ByteText, PathLabel},
    clock::UnixNs,
    event::{
        Action, Attribution, Destination, Event, FileObject, NoSession, OpenMode, Process, Protocol,
    },
    id::{AgentName, BootId, EventId, Source},
};

use crate::{kernel::TimeOffset, marks, note, watch::SharedLabels};

pub mod executables;
pub mod host;
pub mod sessions;

pub use executables::Executables;
pub use host::{Host, ThisHost};
pub use sessions::{Sessions, SharedSessions};

/// Under which name events go out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The agent, as its certificate names it.
    pub agent: AgentName,
    /// This boot of the host.
    pub boot: BootId,
}

/// Where a record stands among the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The stream.
    pub source: Source,
    /// The number of its event.
    pub sequence: u64,
}

/// Turns records into events.
#[derive(Debug)]
pub struct Attributor<H> {
    origin: Origin,
    sessions: SharedSessions,
    labels: SharedLabels,
    executables: Executables,
    host: H,
    unknown_watches: u64,
}

impl<H: Host> Attributor<H> {
    /// Over the tables that logins and watches fill.
    #[must_use]
    pub fn new(origin: Origin, sessions: SharedSessions, labels: SharedLabels, host: H) -> Self {
        Self {
            origin,
            sessions,
            labels,
            executables: Executables::default(),
            host,
            unknown_watches: 0,
        }
    }

    /// The event that a record tells of.
    pub fn event(&mut self, record: &Record<'_>, place: Place, offset: TimeOffset) -> Event {
        let header = record.header();
        let key = (header.pid, header.start_boot_ns);
        if let Record::Exec { path, .. } = record {
            self.executables.set(key, label(*path));
        }
        let action = self.action(record);
        let process = self.process(header);
        if matches!(record, Record::Exit(_)) {
            self.executables.remove(key);
        }
        Event {
            id: EventId {
                agent: self.origin.agent.clone(),
                boot: self.origin.boot,
                source: place.source,
                sequence: place.sequence,
            },
            at: UnixNs(u64::try_from(offset.unix_ns(header.boot_ns)).unwrap_or(0)),
            boot_ns: header.boot_ns,
            process: Some(process),
            attribution: self.attribution(header),
            action,
        }
    }

    /// How often a watch was not known, and programs were forgotten to make
    /// room, since this was last asked.
    pub fn take_losses(&mut self) -> (u64, u64) {
        (
            std::mem::take(&mut self.unknown_watches),
            self.executables.take_evicted(),
        )
    }

    fn attribution(&self, header: &Header) -> Attribution {
        let Some(id) = marks::session_of(header.session) else {
            return Attribution::none(NoSession::NoMark);
        };
        match self.sessions.lock().get(id) {
            Some(session) => note::attribution(session),
            None => note::unknown(id),
        }
    }

    fn process(&mut self, header: &Header) -> Process {
        let key = (header.pid, header.start_boot_ns);
        if self.executables.get(key).is_none()
            && let Some(path) = self.host.executable(key)
        {
            self.executables.set(key, path);
        }
        let audit = |value: u32| (value != AUDIT_UNSET).then_some(value);
        let name = header
            .comm
            .split(|byte| *byte == 0)
            .next()
            .unwrap_or_default();
        Process {
            pid: header.pid,
            tid: header.tid,
            parent_pid: header.ppid,
            start_boot_ns: header.start_boot_ns,
            uid: header.uid,
            euid: header.euid,
            gid: header.gid,
            login_uid: audit(header.loginuid),
            audit_session: audit(header.audit_session),
            cgroup_id: header.cgroup_id,
            net_ns: header.netns,
            mount_ns: header.mntns,
            pid_ns: header.pidns,
            comm: ByteText(name.to_vec()),
            exe: self.executables.get(key).cloned(),
        }
    }

    fn action(&mut self, record: &Record<'_>) -> Action {
        match record {
            Record::Exec {
                exec, path, argv, ..
            } => exec_action(exec, label(*path), argv),
            Record::Fork(fork) => {
                let child = (fork.child_pid, fork.child_start_boot_ns);
                let parent = (fork.header.pid, fork.header.start_boot_ns);
                self.executables.copy(parent, child);
                Action::Fork {
                    child_pid: child.0,
                    child_start_boot_ns: child.1,
                }
            }
            Record::Exit(exit) => Action::Exit {
                status: exit.exit_code,
            },
            Record::Connect(connect) => Action::Connect {
                destination: self.destination(connect),
                denied: connect.flags & Connect::DENIED != 0,
            },
            Record::Credential {
                credential, path, ..
            } => self.credential_action(credential, label(*path)),
            Record::SessionEnded(ended) => match marks::session_of(ended.header.session) {
                Some(session) => Action::SessionEnded { session },
                // The kernel tells this of sessions only; the bytes still are
                // what happened: a task ended.
                None => Action::Exit { status: 0 },
            },
            // No program makes these yet.
            Record::LocalConnect(_)
            | Record::Socket(_)
            | Record::Memory(_)
            | Record::Identity(_)
            | Record::Signal(_)
            | Record::HostChange { .. } => Action::Exit { status: 0 },
        }
    }

    fn destination(&mut self, connect: &Connect) -> Destination {
        let index = connect.bound_ifindex;
        let nameable = index != 0 && self.host.is_own_net_ns(connect.netns);
        Destination {
            address: address(connect.addr),
            port: connect.port,
            protocol: Protocol::from_number(u8::try_from(connect.protocol).unwrap_or(u8::MAX)),
            interface: if nameable {
                self.host.interface(index)
            } else {
                None
            },
            interface_index: index,
            net_ns: connect.netns,
            net_ns_name: self.host.net_ns(connect.netns, connect.header.boot_ns),
            mark: connect.so_mark,
        }
    }

    fn credential_action(&mut self, credential: &Credential, path: PathLabel) -> Action {
        let watched = self.labels.get(credential.watch_id).unwrap_or_else(|| {
            self.unknown_watches += 1;
            crate::watch::Label::unknown()
        });
        Action::Credential {
            object: object(&credential.file, path),
            class: watched.class,
            tenant: watched.tenant,
            tier: watched.tier,
            mode: OpenMode::from_flags(credential.open_flags),
            flags: credential.open_flags,
        }
    }
}

fn exec_action(exec: &Exec, path: PathLabel, argv: &[u8]) -> Action {
    let text = argv.strip_suffix(&[0]).unwrap_or(argv);
    let argv: Vec<ByteText> = if argv.is_empty() {
        Vec::new()
    } else {
        text.split(|byte| *byte == 0)
            .map(|part| ByteText(part.to_vec()))
            .collect()
    };
    Action::Exec {
        exe: object(&exec.exe, path),
        argv,
        argv_bytes: exec.argv_bytes_true,
        argv_truncated: u64::from(exec.argv_bytes) < exec.argv_bytes_true
            || exec.flags & Exec::ARGV_UNREADABLE != 0,
        redacted: 0,
    }
}

fn object(file: &monitor_common::FileObject, path: PathLabel) -> FileObject {
    FileObject {
        device: device_as_stat(file.device),
        inode: file.inode,
        generation: file.generation,
        path,
    }
}

/// The kernel's own device number as `st_dev` shows it.
const fn device_as_stat(device: u64) -> u64 {
    let (major, minor) = (device >> 20, device & 0xf_ffff);
    (minor & 0xff) | ((major & 0xfff) << 8) | ((minor & !0xff) << 12) | ((major & !0xfff) << 32)
}

/// The path in one piece. Missing directories are told by the flag, not by a
/// sign in the text.
fn label(path: monitor_common::PathLabel<'_>) -> PathLabel {
    let parts: Vec<&[u8]> = path.components().collect();
    let mut text = parts.join(&b'/');
    if path.missing() & PathTail::DETACHED == 0 {
        text.insert(0, b'/');
    }
    PathLabel {
        text: ByteText(text),
        truncated: !path.is_whole(),
    }
}

/// An IPv4-mapped address is shown as IPv4.
fn address(bytes: [u8; 16]) -> IpAddr {
    let address = Ipv6Addr::from(bytes);
    address
        .to_ipv4_mapped()
        .map_or(IpAddr::V6(address), IpAddr::V4)
}

#[cfg(test)]
pub(crate) mod tests;
