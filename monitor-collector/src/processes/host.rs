//! What lives on one host, in its last boot.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use monitor_model::{
    bytes::{ByteText, PathLabel},
    clock::UnixNs,
    event::{Action, Attribution, Carrier, Event, Lineage, NoSession, Process, Step},
    id::{AgentName, SessionId},
    live::{Arguments, LiveJob, LiveProcess, ProcessKey},
};

use super::{ARGUMENT_BYTES_MAX, Change, ENDED_MAX, JOBS_MAX, Marks, kept::Recent};

/// What runs in a process. Shared with those that it made and that started
/// nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// Its executable.
    pub exe: Option<PathLabel>,
    /// The script that it runs.
    pub script: Option<PathLabel>,
    /// Its arguments; none when its start was not told.
    pub arguments: Option<Arguments>,
    /// When it was started, nanoseconds since boot; 0 when that was not told.
    pub since_boot_ns: u64,
    /// Whether its start was the session's own work, by nobody else's hand.
    pub own: bool,
}

/// One process.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Its session.
    pub session: SessionId,
    /// What runs in it.
    pub program: Arc<Program>,
    /// By the host's clock.
    pub started_at: UnixNs,
    /// Who made it.
    pub parent: Option<ProcessKey>,
    /// Its parent's number.
    pub parent_pid: u32,
    /// Whether the program is its parent's.
    pub forked: bool,
    /// How it is the session's.
    pub lineage: Lineage,
    /// Why it is nobody's.
    pub reason: Option<NoSession>,
    /// Its way.
    pub way: Vec<Step>,
    /// Of the event that these are of, nanoseconds since boot.
    pub told_boot_ns: u64,
    /// Whether it came by a handover, and may outlive the session.
    pub linked: bool,
    /// Its job.
    pub job: Option<SessionId>,
    /// Whether it is written down.
    pub(crate) kept: bool,
}

impl Node {
    /// As its first event tells of it.
    pub(super) fn first(event: &Event, process: &Process, session: SessionId) -> Self {
        let program = Program {
            exe: process.exe.clone(),
            own: event.attribution.session == Some(session),
            ..Program::default()
        };
        Self {
            session,
            program: Arc::new(program),
            started_at: started_at(event, process.start_boot_ns),
            parent: None,
            parent_pid: process.parent_pid,
            forked: false,
            lineage: event.attribution.lineage,
            reason: event.attribution.reason,
            way: event.attribution.way.clone(),
            told_boot_ns: event.boot_ns,
            linked: is_linked(event),
            job: None,
            kept: false,
        }
    }

    /// For readers; `only_own` leaves out what others did in it.
    pub(super) fn shown(&self, key: ProcessKey, only_own: bool) -> LiveProcess {
        let program = Some(&self.program).filter(|program| program.own || !only_own);
        LiveProcess {
            key,
            started_at: self.started_at,
            parent: self.parent,
            parent_pid: self.parent_pid,
            exe: program.and_then(|program| program.exe.clone()),
            script: program.and_then(|program| program.script.clone()),
            arguments: program.and_then(|program| program.arguments.clone()),
            forked: self.forked,
            lineage: self.lineage,
            reason: self.reason,
            way: self.way.clone(),
            job: self.job,
        }
    }

    /// As it was written down.
    #[must_use]
    pub fn restored(
        session: SessionId,
        live: LiveProcess,
        (since_boot_ns, told_boot_ns): (u64, u64),
        (own, linked): (bool, bool),
    ) -> Self {
        Self {
            session,
            program: Arc::new(Program {
                exe: live.exe,
                script: live.script,
                arguments: live.arguments,
                since_boot_ns,
                own,
            }),
            started_at: live.started_at,
            parent: live.parent,
            parent_pid: live.parent_pid,
            forked: live.forked,
            lineage: live.lineage,
            reason: live.reason,
            way: live.way,
            told_boot_ns,
            linked,
            job: live.job,
            kept: true,
        }
    }

    /// For the disk.
    #[must_use]
    pub fn whole(&self, key: ProcessKey) -> LiveProcess {
        self.shown(key, false)
    }

    /// Takes how it stands from an event that is not older than the last;
    /// whether that changed anything.
    fn stand(&mut self, event: &Event) -> bool {
        if event.boot_ns < self.told_boot_ns {
            return false;
        }
        self.told_boot_ns = event.boot_ns;
        let Attribution {
            lineage,
            reason,
            way,
            ..
        } = &event.attribution;
        let same = self.lineage == *lineage && self.reason == *reason && self.way == *way;
        if !same {
            self.lineage = *lineage;
            self.reason = *reason;
            self.way.clone_from(way);
            self.linked |= is_linked(event);
        }
        !same
    }
}

/// One host's.
#[derive(Debug)]
pub(super) struct Host {
    pub marks: Marks,
    pub nodes: HashMap<ProcessKey, Node>,
    /// Its jobs, with their sessions.
    pub jobs: HashMap<SessionId, (SessionId, LiveJob)>,
    pub ended: Recent<ProcessKey>,
    pub dirty: HashSet<ProcessKey>,
    pub dirty_jobs: HashSet<SessionId>,
    pub is_marked: bool,
}

impl Host {
    pub(super) fn new(marks: Marks) -> Self {
        Self {
            marks,
            nodes: HashMap::new(),
            jobs: HashMap::new(),
            ended: Recent::new(ENDED_MAX),
            dirty: HashSet::new(),
            dirty_jobs: HashSet::new(),
            is_marked: false,
        }
    }

    /// What an event says of a process that is known.
    pub(super) fn update(&mut self, event: &Event, process: &Process, key: ProcessKey) {
        let Some(node) = self.nodes.get_mut(&key) else {
            return;
        };
        let mut changed = node.stand(event);
        if node.program.exe.is_none() && process.exe.is_some() {
            Arc::make_mut(&mut node.program)
                .exe
                .clone_from(&process.exe);
            changed = true;
        }
        if let Some(program) = started(event, node.session)
            && program.since_boot_ns >= node.program.since_boot_ns
        {
            node.program = Arc::new(program);
            node.forked = false;
            changed = true;
        }
        if node.linked && node.job.is_none() {
            node.job = job_of(&self.jobs, node, key);
            changed |= node.job.is_some();
        }
        if changed {
            self.dirty.insert(key);
        }
    }

    /// A process was made: known already, or new.
    pub(super) fn child(
        &mut self,
        event: &Event,
        process: &Process,
        (session, key): (SessionId, ProcessKey),
    ) -> Option<Node> {
        let parent_key = super::key_of(process);
        let parent = self.nodes.get(&parent_key);
        // What the parent started after this is not the child's.
        let program = parent
            .filter(|parent| parent.program.since_boot_ns <= event.boot_ns)
            .map(|parent| Arc::clone(&parent.program));
        let job = parent.and_then(|parent| parent.job);
        let mut node = Node::first(event, process, session);
        if let Some(program) = program {
            node.program = program;
        }
        node.started_at = started_at(event, key.start_boot_ns);
        node.parent = Some(parent_key);
        node.parent_pid = parent_key.pid;
        node.forked = true;
        node.job = job;
        let Some(known) = self.nodes.get_mut(&key) else {
            return Some(node);
        };
        known.parent = node.parent;
        known.parent_pid = node.parent_pid;
        known.job = known.job.or(job);
        if known.program.since_boot_ns == 0 && !known.forked {
            known.program = node.program;
            known.forked = true;
        }
        self.dirty.insert(key);
        None
    }

    /// A job began; its processes may have been told of before.
    pub(super) fn begin(&mut self, session: SessionId, job: LiveJob, keys: &[ProcessKey]) {
        if self.jobs.len() >= JOBS_MAX {
            return;
        }
        for key in keys {
            if let Some(node) = self.nodes.get_mut(key)
                && node.linked
                && node.job.is_none()
                && (key.pid == job.leader_pid || node.way == job.way)
            {
                node.job = Some(job.id);
                self.dirty.insert(*key);
            }
        }
        self.dirty_jobs.insert(job.id);
        self.jobs.insert(job.id, (session, job));
    }

    pub(super) fn take_changes(&mut self, agent: &AgentName, changes: &mut Vec<Change>) {
        if std::mem::take(&mut self.is_marked) {
            changes.push(Change::Host(agent.clone(), self.marks.clone()));
        }
        for job in self.dirty_jobs.drain() {
            let live = self.jobs.get(&job).cloned();
            changes.push(Change::Job(agent.clone(), job, live));
        }
        for key in self.dirty.drain() {
            let node = self.nodes.get_mut(&key).map(|node| {
                node.kept = true;
                Box::new(node.clone())
            });
            changes.push(Change::Process(agent.clone(), key, node));
        }
    }
}

/// The job that a process is part of: the one it began, or the only one of its
/// session that came the same way.
fn job_of(
    jobs: &HashMap<SessionId, (SessionId, LiveJob)>,
    node: &Node,
    key: ProcessKey,
) -> Option<SessionId> {
    let mut fitting = jobs.values().filter(|(session, job)| {
        *session == node.session && (job.leader_pid == key.pid || job.way == node.way)
    });
    let first = fitting.next()?;
    fitting.next().is_none().then_some(first.1.id)
}

/// The program that an event starts.
fn started(event: &Event, session: SessionId) -> Option<Program> {
    let Action::Exec {
        exe,
        argv,
        argv_truncated,
        redacted,
        script,
        ..
    } = &event.action
    else {
        return None;
    };
    let (argv, cut) = short(argv);
    Some(Program {
        exe: Some(exe.path.clone()),
        script: script.as_ref().map(|script| script.path.clone()),
        arguments: Some(Arguments {
            argv,
            truncated: *argv_truncated || cut,
            redacted: *redacted,
        }),
        since_boot_ns: event.boot_ns,
        own: event.attribution.session == Some(session),
    })
}

/// As many arguments as have room, and whether some have none.
fn short(argv: &[ByteText]) -> (Vec<ByteText>, bool) {
    let mut room = ARGUMENT_BYTES_MAX;
    let mut kept = Vec::new();
    for argument in argv {
        // Each takes a byte besides, so that empty ones are bounded as well.
        let Some(rest) = room.checked_sub(argument.0.len() + 1) else {
            let part = argument.0.get(..room).unwrap_or_default();
            if !part.is_empty() {
                kept.push(ByteText(part.to_vec()));
            }
            return (kept, true);
        };
        kept.push(argument.clone());
        room = rest;
    }
    (kept, false)
}

/// Whether it is work that a daemon does for the session: it may outlive it. A
/// login from another session is linked too, and ends as sessions do.
pub(super) fn is_linked(event: &Event) -> bool {
    let who = &event.attribution;
    let by_job = |step: &Step| matches!(step.carrier, Carrier::JobFile | Carrier::Unit);
    who.lineage == Lineage::Linked && who.way.iter().any(by_job)
}

/// When a process started, by the host's clock as the event has it.
fn started_at(event: &Event, start_boot_ns: u64) -> UnixNs {
    let age = event.boot_ns.saturating_sub(start_boot_ns);
    UnixNs(event.at.0.saturating_sub(age))
}
