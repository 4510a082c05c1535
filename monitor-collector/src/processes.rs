//! Processes of sessions that live, as the events tell of them. Pure.
//!
//! In: events in stored order, which is not the kernel's: there are streams of
//! several processors and two rings, so an end may come before a start. Out:
//! what lives now, and what changed for the disk. Bound: [`PROCESSES_MAX`] in
//! all, [`OF_SESSION_MAX`] of one session, [`ARGUMENT_BYTES_MAX`] of arguments
//! each; [`ENDED_MAX`] ends a host and [`GONE_MAX`] sessions are remembered, so
//! that what comes late raises nothing again. Loss: a process without room is
//! not shown, and that is told with its host.
//!
//! A process is known from the first event that is its session's. What steers
//! it later takes its work from the session (the event names none), not its
//! place in the tree.
//!
//! # Layout
//! - `follow`: what follows from each event. `host`: one host's; `marks`: what is
//!   known of it as such. `kept`: what is written down.

use std::collections::{BTreeSet, HashMap};

use monitor_model::{
    clock::UnixNs,
    event::{Action, Event, Process},
    id::{AgentName, SessionId},
    live::{LiveJob, LiveProcess, Missing, ProcessKey},
    session::Session,
};

mod follow;
mod host;
mod kept;
mod marks;

use host::Host;
pub use host::Node;
use kept::Recent;
pub use kept::{Change, Kept};
pub use marks::Marks;

/// Most processes.
pub const PROCESSES_MAX: usize = 131_072;
/// Most processes of one session.
pub const OF_SESSION_MAX: usize = 16_384;
/// Most bytes of arguments of one process; what is beyond is cut.
pub const ARGUMENT_BYTES_MAX: usize = 1_024;
/// Most ends that are remembered of a host.
pub const ENDED_MAX: usize = 16_384;
/// Most sessions that ended and are remembered.
pub const GONE_MAX: usize = 4_096;
/// Most jobs of one host.
pub const JOBS_MAX: usize = 4_096;

/// Everything that lives.
#[derive(Debug)]
pub struct Processes {
    hosts: HashMap<AgentName, Host>,
    /// The host of a session, and its processes.
    sessions: HashMap<SessionId, (AgentName, BTreeSet<ProcessKey>)>,
    gone: Recent<SessionId>,
    count: usize,
    started: Vec<AgentName>,
}

impl Default for Processes {
    fn default() -> Self {
        Self {
            hosts: HashMap::new(),
            sessions: HashMap::new(),
            gone: Recent::new(GONE_MAX),
            count: 0,
            started: Vec::new(),
        }
    }
}

impl Processes {
    /// As it was written down.
    #[must_use]
    pub fn restored(kept: Kept) -> Self {
        let mut all = Self::default();
        for (agent, marks) in kept.hosts {
            all.hosts.insert(agent, Host::new(marks));
        }
        for (agent, session, job) in kept.jobs {
            if let Some(host) = all.hosts.get_mut(&agent) {
                host.jobs.insert(job.id, (session, job));
            }
        }
        for (agent, key, mut node) in kept.processes {
            node.kept = true;
            let session = node.session;
            if let Some(host) = all.hosts.get_mut(&agent)
                && host.nodes.insert(key, node).is_none()
            {
                all.count += 1;
                all.index(&agent, session).insert(key);
            }
        }
        all
    }

    /// Remembers an end that was followed before a restart.
    pub fn remember_end(&mut self, event: &Event) {
        if let (Action::Exit { .. }, Some(process)) = (&event.action, &event.process)
            && let Some(host) = self.hosts.get_mut(&event.id.agent)
            && host.marks.boot == event.id.boot
        {
            host.ended.push(key_of(process));
        }
    }

    /// Takes one event.
    pub fn apply(&mut self, event: &Event) {
        if !self.is_of_boot(event) {
            return;
        }
        let agent = &event.id.agent;
        match &event.action {
            Action::AgentStarted { resumed: false, .. } => {
                self.mark(agent, |marks| marks.unwatched_until = event.at);
            }
            Action::Gap { first, last, .. } => self.mark(agent, |marks| {
                let lost = last.saturating_sub(*first).saturating_add(1);
                marks.lost = marks.lost.saturating_add(lost);
                marks.lost_at = marks.lost_at.max(event.at);
            }),
            Action::SessionOpened { session } if session.opened_at < self.since(agent) => {
                self.mark(agent, |marks| marks.since = session.opened_at);
            }
            Action::SessionEnded { session } => self.end(agent, *session),
            Action::Contained { receipt } if receipt.gone_at.is_some() => {
                self.end(agent, receipt.session);
            }
            Action::JobStarted { job, leader } => {
                if let Some(session) = event.attribution.session {
                    let live = LiveJob {
                        id: *job,
                        leader_pid: leader.pid,
                        way: event.attribution.way.clone(),
                        started_at: event.at,
                    };
                    self.begin(agent, session, live);
                }
            }
            Action::JobEnded { job } => self.end_job(agent, *job),
            Action::AgentStarted { .. }
            | Action::Contradiction { .. }
            | Action::Survivors { .. }
            | Action::SessionOpened { .. }
            | Action::Contained { .. }
            | Action::LoginRefused { .. }
            | Action::Impaired { .. }
            | Action::Read { .. }
            | Action::Removed { .. }
            | Action::Order { .. } => {}
            Action::Exec { .. }
            | Action::Fork { .. }
            | Action::Exit { .. }
            | Action::Connect { .. }
            | Action::Credential { .. }
            | Action::LocalConnect { .. }
            | Action::Socket { .. }
            | Action::Memory { .. }
            | Action::Identity { .. }
            | Action::Signal { .. }
            | Action::Host { .. } => {
                if let Some(process) = &event.process {
                    self.see(event, process);
                }
            }
        }
    }

    /// Sessions of which something is known; those that ended are among them
    /// while jobs of theirs live.
    pub fn sessions(&self) -> impl Iterator<Item = SessionId> {
        self.sessions.keys().copied()
    }

    /// Whether work lives that a session handed over.
    #[must_use]
    pub fn has_handed_over(&self, session: SessionId) -> bool {
        let Some((agent, keys)) = self.sessions.get(&session) else {
            return false;
        };
        let host = self.hosts.get(agent);
        let node = |key| host.and_then(|host| host.nodes.get(key));
        keys.iter()
            .any(|key| node(key).is_some_and(|node| node.linked))
    }

    /// Processes of a session, the oldest first, after one of them. Where the
    /// reader sees the session only, without what was told of others' work.
    pub fn of_session(
        &self,
        session: &Session,
        after: Option<ProcessKey>,
        only_own: bool,
    ) -> impl Iterator<Item = LiveProcess> {
        let found = self.sessions.get(&session.id);
        let found = found.filter(|(agent, _)| *agent == session.host);
        let host = self.hosts.get(&session.host);
        let keys = found.into_iter().flat_map(|(_, keys)| keys.iter());
        keys.filter(move |key| after.is_none_or(|after| **key > after))
            .filter_map(move |key| Some(host?.nodes.get(key)?.shown(*key, only_own)))
    }

    /// Jobs of a session, the earliest first.
    #[must_use]
    pub fn jobs_of(&self, session: &Session) -> Vec<LiveJob> {
        let host = self.hosts.get(&session.host);
        let jobs = host.into_iter().flat_map(|host| host.jobs.values());
        let mut jobs: Vec<_> = jobs
            .filter(|(of, _)| *of == session.id)
            .map(|(_, job)| job.clone())
            .collect();
        jobs.sort_by_key(|job| (job.started_at, job.id));
        jobs
    }

    /// What may be missing of a session.
    #[must_use]
    pub fn missing_of(&self, session: &Session) -> Missing {
        let Some(host) = self.hosts.get(&session.host) else {
            return Missing::default();
        };
        host.marks.missing_since(session.opened_at)
    }

    /// What changed since this was last asked.
    pub fn take_changes(&mut self) -> Vec<Change> {
        let mut changes: Vec<_> = std::mem::take(&mut self.started)
            .into_iter()
            .map(Change::Started)
            .collect();
        for (agent, host) in &mut self.hosts {
            host.take_changes(agent, &mut changes);
        }
        changes
    }

    /// Whether an event is of the host's last boot that is known. Boots have no
    /// order of their own: an agent that starts, or a login, is of the newest,
    /// and ends everything of the one before.
    fn is_of_boot(&mut self, event: &Event) -> bool {
        let (agent, boot) = (&event.id.agent, event.id.boot);
        let Some(host) = self.hosts.get_mut(agent) else {
            let mut host = Host::new(Marks::new(boot, event.at));
            host.is_marked = true;
            self.hosts.insert(agent.clone(), host);
            return true;
        };
        if host.marks.boot == boot {
            return true;
        }
        let begins = matches!(
            event.action,
            Action::AgentStarted { .. } | Action::SessionOpened { .. }
        );
        if !begins {
            return false;
        }
        self.count -= host.nodes.len();
        let since = host.marks.since;
        *host = Host::new(Marks::new(boot, since));
        host.is_marked = true;
        self.sessions.retain(|_, (of, _)| of != agent);
        self.started.push(agent.clone());
        true
    }

    fn since(&self, agent: &AgentName) -> UnixNs {
        let host = self.hosts.get(agent);
        host.map_or(UnixNs::MAX, |host| host.marks.since)
    }

    fn mark(&mut self, agent: &AgentName, change: impl FnOnce(&mut Marks)) {
        if let Some(host) = self.hosts.get_mut(agent) {
            change(&mut host.marks);
            host.is_marked = true;
        }
    }

    fn index(&mut self, agent: &AgentName, session: SessionId) -> &mut BTreeSet<ProcessKey> {
        let empty = || (agent.clone(), BTreeSet::new());
        &mut self.sessions.entry(session).or_insert_with(empty).1
    }
}

/// Which process acted.
fn key_of(process: &Process) -> ProcessKey {
    ProcessKey {
        start_boot_ns: process.start_boot_ns,
        pid: process.pid,
    }
}

#[cfg(test)]
mod tests;
