//! Kernel records to events: who, in which session, with which program.
//!
//! In: one decoded record and its place among the events. Out: the event.
//! The only place where `Record` and `Event`
//! meet. Bound: the tables' own. Loss: none; whom an event belongs to may stay
//! unknown, and then says why.

use std::net::{IpAddr, Ipv6Addr};

use monitor_common::{
    Connect, Credential, Exec, Header, LocalConnect, Memory, Record, file::PathTail,
    header::AUDIT_UNSET, mark::TaskMark, watch::WATCH_ID_BLOCK_DEVICE,
};
use monitor_model::{
    bytes::{ByteText, PathLabel},
    clock::UnixNs,
    event::{
        Action, Attribution, Destination, Event, FileObject, NoSession, Operation, Process,
        ProcessRef, Protocol, fact::BLOCK_DEVICE_CLASS,
    },
    id::{AgentName, BootId, EventId, SessionId, Source},
};

use crate::{
    kernel::TimeOffset,
    marks, note,
    watch::{SharedLabels, SharedPrograms},
};

mod contradictions;
mod departed;
pub mod executables;
mod expected;
pub mod host;
pub mod jobs;
mod keys;
mod local;
mod mounts;
pub mod sessions;
pub mod steering;

use contradictions::{Contradictions, Signs};
use departed::Departed;
use expected::Done;

pub use contradictions::Contradiction;
pub(crate) use contradictions::terminal_name;
pub use executables::Executables;
pub use host::{Host, ThisHost};
pub use jobs::{Jobs, SharedJobs};
pub use keys::fingerprint_of;
pub use sessions::{Sessions, SharedSessions};
use steering::{Steering, Surroundings, owner};

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
    programs: SharedPrograms,
    executables: Executables,
    jobs: Jobs,
    steering: Steering,
    contradictions: Contradictions,
    departed: Departed,
    host: H,
    /// Time of the first record, nanoseconds since boot: who is born later starts
    /// no program untold.
    first_boot_ns: Option<u64>,
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
            programs: SharedPrograms::default(),
            executables: Executables::default(),
            jobs: Jobs::default(),
            steering: Steering::default(),
            contradictions: Contradictions::default(),
            departed: Departed::default(),
            host,
            first_boot_ns: None,
            unknown_watches: 0,
        }
    }

    /// Knows the programs that are expected to use what is watched.
    #[must_use]
    pub fn expecting(self, programs: SharedPrograms) -> Self {
        Self { programs, ..self }
    }

    /// Knows work outside of sessions, and who may have handed it over.
    #[must_use]
    pub fn with_jobs(self, jobs: Jobs) -> Self {
        Self { jobs, ..self }
    }

    /// The jobs.
    pub const fn jobs(&mut self) -> &mut Jobs {
        &mut self.jobs
    }

    /// The event that a record tells of.
    pub fn event(&mut self, record: &Record<'_>, place: Place, offset: TimeOffset) -> Event {
        let header = record.header();
        let key = (header.pid, header.start_boot_ns);
        let first = *self.first_boot_ns.get_or_insert(header.boot_ns);
        if header.start_boot_ns > first && self.executables.get(key).is_none() {
            self.executables.inherit(header.ppid, key);
        }
        if let Record::Exec { exec, path, .. } = record {
            self.executables.set(key, label(*path));
            self.executables.set_file(key, expected::file(&exec.exe));
        }
        let action = self.action(record, offset);
        let process = self.process(header);
        let at = UnixNs(u64::try_from(offset.unix_ns(header.boot_ns)).unwrap_or(0));
        let attribution = self.attribution(header, (&process, &action), at);
        let event = Event {
            id: EventId {
                agent: self.origin.agent.clone(),
                boot: self.origin.boot,
                source: place.source,
                sequence: place.sequence,
            },
            at,
            boot_ns: header.boot_ns,
            process: Some(process),
            attribution,
            action,
        };
        self.jobs.learn(&event);
        self.look_for_contradictions(record, event.at);
        let mut around = Surroundings {
            sessions: &self.sessions,
            jobs: &self.jobs,
            executables: &self.executables,
            host: &mut self.host,
        };
        self.steering.learn(&event, &mut around);
        if let Record::Socket(socket) = record
            && let Some(client) = marks::session_of(socket.client.session)
        {
            let client = ((socket.client.pid, socket.client.start_boot_ns), client);
            self.steering.accepted(&event, client, &mut around);
        }
        if matches!(record, Record::Exit(_)) {
            self.depart(key);
        } else if matches!(record, Record::SessionEnded(_))
            && let Some(mark) = marks::session_of(header.session)
        {
            self.contradictions.forget(mark);
        }
        event
    }

    /// Learns of births before any deed of the same reading: they are told by
    /// another ring than most deeds.
    pub fn foresee(&mut self, record: &Record<'_>) {
        if let Record::Fork(fork) = record
            && let Some(mark) = marks::session_of(fork.header.session)
        {
            let owner = owner(&self.jobs, mark);
            let child = (fork.child_pid, fork.child_start_boot_ns);
            self.steering.born(fork.header.pid, child, Some(owner));
        }
    }

    /// What contradicts marks, since this was last asked: with whom the mark says.
    pub fn take_contradictions(&mut self) -> Vec<(Attribution, Contradiction)> {
        let found = self.contradictions.take();
        let mut attributed = Vec::with_capacity(found.len());
        for contradiction in found {
            let attribution = match contradiction.mark {
                Some(mark) => self.of_mark(mark),
                None => Attribution::none(NoSession::NoMark),
            };
            attributed.push((attribution, contradiction));
        }
        attributed
    }

    fn look_for_contradictions(&mut self, record: &Record<'_>, at: UnixNs) {
        // Births and ends show nothing that their processes do not.
        if matches!(
            record,
            Record::Fork(_) | Record::Exit(_) | Record::SessionEnded(_)
        ) {
            return;
        }
        let terminal = if let Record::Exec { exec, .. } = record {
            Some(exec.terminal).filter(|number| *number != 0)
        } else {
            None
        };
        let header = record.header();
        let mark = marks::session_of(header.session);
        let group = self
            .jobs
            .group(header.cgroup_id, header.pid, &mut self.host);
        let signs = Signs {
            process: (header.pid, header.start_boot_ns),
            mark,
            owner: mark.map(|mark| owner(&self.jobs, mark)),
            audit_session: (header.audit_session != AUDIT_UNSET).then_some(header.audit_session),
            group: (header.cgroup_id, group.as_ref()),
            terminal,
            at,
        };
        self.contradictions
            .look(&signs, &self.sessions, &mut self.host);
    }

    /// How many processes of sessions found no room in the table of who steers
    /// them, since this was last asked.
    pub fn take_untaken(&mut self) -> u64 {
        self.steering.take_untaken()
    }

    /// A process ended; what many ends ago did is forgotten.
    fn depart(&mut self, process: (u32, u64)) {
        self.steering.ended(process);
        if let Some(process) = self.departed.push(process) {
            self.executables.remove(process);
            self.jobs.forget(process);
            self.steering.forget(process);
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

    fn attribution(
        &mut self,
        header: &Header,
        (process, action): (&Process, &Action),
        at: UnixNs,
    ) -> Attribution {
        let Some(id) = marks::session_of(header.session) else {
            return self.jobs.of_unmarked(process, action, at, &mut self.host);
        };
        let own = self.of_mark(id);
        if own.reason == Some(NoSession::UnknownMark) {
            return own;
        }
        self.steering.judge(own, process, &self.sessions)
    }

    /// Whose a mark is.
    fn of_mark(&self, mark: SessionId) -> Attribution {
        let known = self.sessions.lock().get(mark).map(note::attribution);
        known
            .or_else(|| self.jobs.of_mark(mark))
            .unwrap_or_else(|| note::unknown(mark))
    }

    fn process(&mut self, header: &Header) -> Process {
        let exe = self.executable((header.pid, header.start_boot_ns));
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
            exe,
        }
    }

    fn action(&mut self, record: &Record<'_>, offset: TimeOffset) -> Action {
        match record {
            Record::Exec {
                exec,
                path,
                argv,
                given,
                interpreter,
            } => exec_action(exec, label(*path), argv, (given, interpreter)),
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
                scope: (connect.scope_version != 0).then_some(connect.scope_version),
            },
            Record::LocalConnect(connect) => self.local_connect(connect),
            Record::Socket(socket) => local::socket(socket),
            Record::Credential {
                credential,
                path,
                other,
            } => self.credential_action(credential, (*path, *other), offset),
            Record::Memory(memory) => Action::Memory {
                target: self.process_ref(&memory.target),
                access: local::means(memory.access),
                syscall: (memory.syscall != u32::MAX).then_some(memory.syscall),
                denied: memory.flags & Memory::DENIED != 0,
            },
            Record::Identity(identity) => local::identity(identity),
            Record::Signal(signal) => Action::Signal {
                target: self.process_ref(&signal.target),
                number: signal.signal,
            },
            Record::HostChange { change, path } => self.host_change(change, *path),
            Record::SessionEnded(ended) => match marks::session_of(ended.header.session) {
                Some(job) if self.jobs.of_mark(job).is_some() => Action::JobEnded { job },
                Some(session) => Action::SessionEnded { session },
                // The kernel tells this of sessions only; the bytes still are
                // what happened: a task ended.
                None => Action::Exit { status: 0 },
            },
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

    fn credential_action(
        &mut self,
        credential: &Credential,
        (path, other): (monitor_common::PathLabel<'_>, monitor_common::PathLabel<'_>),
        offset: TimeOffset,
    ) -> Action {
        let watched = self.watched(credential.watch_id);
        let expected = self.expected(&Done::of(credential), &watched);
        let device = credential.file.device;
        let path = self.placed(device, path);
        let key = if path.truncated || credential.watch_id == WATCH_ID_BLOCK_DEVICE {
            None
        } else {
            let file = expected::file(&credential.file);
            self.host
                .key((file, &path.text.0), credential.header.boot_ns)
        };
        Action::Credential {
            object: object(&credential.file, path),
            key,
            injected: watched.injection.is_some(),
            class: watched.class,
            tenant: watched.tenant,
            tier: watched.tier,
            technique: watched.technique,
            operation: local::operation(credential),
            flags: credential.open_flags,
            other: (credential.other.bytes > 0).then(|| self.placed(device, other)),
            denied: credential.flags & Credential::DENIED != 0,
            expected,
            counted: local::counted(credential, offset),
        }
    }

    /// What the watch list says of a watch.
    fn watched(&mut self, watch_id: u32) -> crate::watch::Label {
        if watch_id == WATCH_ID_BLOCK_DEVICE {
            return crate::watch::Label::of_class(BLOCK_DEVICE_CLASS);
        }
        self.labels.get(watch_id).unwrap_or_else(|| {
            self.unknown_watches += 1;
            crate::watch::Label::unknown()
        })
    }

    /// A path in one piece; one that begins at the root of its file system gets
    /// the place where that is mounted.
    fn placed(&mut self, device: u64, path: monitor_common::PathLabel<'_>) -> PathLabel {
        let mut label = label(path);
        // Where directories next to the root are missing too, nothing can be put
        // before them.
        if path.missing() == PathTail::BELOW_MOUNT
            && let Some(whole) = self.host.mounted(device, &label.text.0)
        {
            label.text.0 = whole;
            label.truncated = false;
        }
        label
    }

    /// A connection to a watched socket is the use of a credential.
    fn local_connect(&mut self, connect: &LocalConnect) -> Action {
        let name = local::name(connect);
        let file = (connect.socket.inode != 0).then(|| {
            let path = PathLabel {
                text: name.clone(),
                truncated: false,
            };
            object(&connect.socket, path)
        });
        let denied = connect.flags & LocalConnect::DENIED != 0;
        match file {
            Some(object) if connect.flags & LocalConnect::WATCHED != 0 => {
                let watched = self.watched(connect.watch_id);
                let expected = self.expected(&Done::connected(connect), &watched);
                Action::Credential {
                    object,
                    key: None,
                    injected: watched.injection.is_some(),
                    class: watched.class,
                    tenant: watched.tenant,
                    tier: watched.tier,
                    technique: watched.technique,
                    operation: Operation::Connected,
                    flags: 0,
                    other: None,
                    denied,
                    expected,
                    counted: None,
                }
            }
            object => Action::LocalConnect {
                socket: local::address(connect, name),
                object,
                peer: (connect.peer.pid != 0).then(|| self.process_ref(&connect.peer)),
                denied,
            },
        }
    }

    fn host_change(
        &mut self,
        record: &monitor_common::HostChange,
        path: monitor_common::PathLabel<'_>,
    ) -> Action {
        Action::Host {
            change: local::change(record.change),
            number: record.number,
            detail: local::text(&record.detail, record.detail_bytes),
            path: (record.path.bytes > 0).then(|| label(path)),
            target: (record.target.pid != 0).then(|| self.process_ref(&record.target)),
            denied: record.flags & monitor_common::HostChange::DENIED != 0,
        }
    }

    fn process_ref(&mut self, process: &monitor_common::ProcessRef) -> ProcessRef {
        let key = (process.pid, process.start_boot_ns);
        let is_known = process.start_boot_ns != 0;
        let exe = is_known.then(|| self.executable(key)).flatten();
        ProcessRef {
            pid: process.pid,
            start_boot_ns: is_known.then_some(process.start_boot_ns),
            session: marks::session_of(process.session),
            holds_credentials: process.flags & TaskMark::HOLDS != 0,
            exe,
        }
    }

    /// A process with its program, as far as it is known.
    pub fn named(&mut self, process: (u32, u64), session: Option<SessionId>) -> ProcessRef {
        ProcessRef {
            pid: process.0,
            start_boot_ns: Some(process.1),
            session,
            holds_credentials: false,
            exe: self.executable(process),
        }
    }

    /// A process that was found by its number: its start is as exact as /proc's.
    pub fn found(&mut self, pid: u32, session: SessionId) -> ProcessRef {
        let start_boot_ns = self.host.start(pid);
        ProcessRef {
            pid,
            start_boot_ns,
            session: Some(session),
            holds_credentials: false,
            exe: start_boot_ns.and_then(|start| self.host.executable((pid, start))),
        }
    }

    /// The program of a process, as far as it is known.
    fn executable(&mut self, key: (u32, u64)) -> Option<PathLabel> {
        if self.executables.get(key).is_none()
            && let Some(path) = self.host.executable(key)
        {
            self.executables.set(key, path);
        }
        self.executables.get(key).cloned()
    }
}

fn exec_action(
    exec: &Exec,
    path: PathLabel,
    argv: &[u8],
    (given, interpreter): (&[u8], &[u8]),
) -> Action {
    let text = argv.strip_suffix(&[0]).unwrap_or(argv);
    let argv: Vec<ByteText> = if argv.is_empty() {
        Vec::new()
    } else {
        text.split(|byte| *byte == 0)
            .map(|part| ByteText(part.to_vec()))
            .collect()
    };
    let script = || {
        let path = PathLabel {
            text: ByteText(given.to_vec()),
            truncated: exec.flags & Exec::GIVEN_CUT != 0,
        };
        object(&exec.script, path)
    };
    Action::Exec {
        exe: object(&exec.exe, path),
        argv,
        argv_bytes: exec.argv_bytes_true,
        argv_truncated: u64::from(exec.argv_bytes) < exec.argv_bytes_true
            || exec.flags & Exec::ARGV_UNREADABLE != 0,
        redacted: 0,
        argv_digest: (exec.flags & Exec::DIGEST_KNOWN != 0).then_some(exec.argv_digest),
        script: (exec.flags & Exec::SCRIPT_KNOWN != 0).then(script),
        given: ByteText(given.to_vec()),
        interpreter: if interpreter == given {
            ByteText::default()
        } else {
            ByteText(interpreter.to_vec())
        },
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
pub(crate) const fn device_as_stat(device: u64) -> u64 {
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
