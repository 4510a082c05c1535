//! What follows from an event: who came, who went, whose they are.

use monitor_model::{
    event::{Action, Event, Process},
    id::{AgentName, SessionId},
    live::{LiveJob, ProcessKey},
};

use super::{Node, OF_SESSION_MAX, PROCESSES_MAX, Processes, host, key_of};

impl Processes {
    /// Something was done by a process.
    pub(super) fn see(&mut self, event: &Event, process: &Process) {
        let (agent, key) = (&event.id.agent, key_of(process));
        let Some(host) = self.hosts.get(agent) else {
            return;
        };
        if matches!(event.action, Action::Exit { .. }) {
            self.remove(agent, key);
            return;
        }
        let known = host.nodes.get(&key).map(|node| node.session);
        let Some(session) = event.attribution.session.or(known) else {
            return;
        };
        // What is told late of a session that is gone; its jobs go on.
        let is_late = self.gone.contains(&session) && known.is_none() && !host::is_linked(event);
        let is_ended = host.ended.contains(&key);
        if !is_late && !is_ended {
            match known {
                Some(from) => self.move_over(agent, key, (from, session)),
                None if self.put(agent, key, Node::first(event, process, session)) => {}
                // Each of its events would count it again.
                None => self.mark(agent, |marks| marks.untaken = marks.untaken.max(1)),
            }
            if let Some(host) = self.hosts.get_mut(agent) {
                host.update(event, process, key);
            }
        }
        if let Action::Fork {
            child_pid,
            child_start_boot_ns,
        } = event.action
            && !is_late
        {
            let child = ProcessKey {
                start_boot_ns: child_start_boot_ns,
                pid: child_pid,
            };
            self.born(event, process, (session, child));
        }
    }

    fn born(&mut self, event: &Event, parent: &Process, (session, child): (SessionId, ProcessKey)) {
        let agent = &event.id.agent;
        let Some(host) = self.hosts.get_mut(agent) else {
            return;
        };
        if host.ended.contains(&child) {
            return;
        }
        let node = host.child(event, parent, (session, child));
        if let Some(node) = node
            && !self.put(agent, child, node)
        {
            self.mark(agent, |marks| {
                marks.untaken = marks.untaken.saturating_add(1);
            });
        }
    }

    /// Whether there was room.
    fn put(&mut self, agent: &AgentName, key: ProcessKey, node: Node) -> bool {
        let session = node.session;
        let of_other_host = self
            .sessions
            .get(&session)
            .is_some_and(|(of, _)| of != agent);
        if of_other_host {
            // An agent speaks for its own host only.
            return true;
        }
        let of_session = self
            .sessions
            .get(&session)
            .map_or(0, |(_, keys)| keys.len());
        if self.count >= PROCESSES_MAX || of_session >= OF_SESSION_MAX {
            self.mark(agent, |marks| marks.untaken_at = node.started_at);
            return false;
        }
        let Some(host) = self.hosts.get_mut(agent) else {
            return false;
        };
        host.dirty.insert(key);
        host.nodes.insert(key, node);
        self.count += 1;
        self.index(agent, session).insert(key);
        true
    }

    /// A login within a session takes processes with it.
    fn move_over(
        &mut self,
        agent: &AgentName,
        key: ProcessKey,
        (from, to): (SessionId, SessionId),
    ) {
        if from == to {
            return;
        }
        self.unindex(from, key);
        self.index(agent, to).insert(key);
        if let Some(host) = self.hosts.get_mut(agent) {
            host.dirty.insert(key);
            if let Some(node) = host.nodes.get_mut(&key) {
                node.session = to;
            }
        }
    }

    fn unindex(&mut self, session: SessionId, key: ProcessKey) {
        if let Some((_, keys)) = self.sessions.get_mut(&session) {
            keys.remove(&key);
            if keys.is_empty() {
                self.sessions.remove(&session);
            }
        }
    }

    fn remove(&mut self, agent: &AgentName, key: ProcessKey) {
        let Some(host) = self.hosts.get_mut(agent) else {
            return;
        };
        host.ended.push(key);
        if let Some(node) = host.nodes.remove(&key) {
            if node.kept {
                host.dirty.insert(key);
            } else {
                host.dirty.remove(&key);
            }
            self.count -= 1;
            self.unindex(node.session, key);
        }
    }

    /// A session is gone; what it handed over may go on.
    pub(super) fn end(&mut self, agent: &AgentName, session: SessionId) {
        let found = self.sessions.get(&session);
        let Some((of, keys)) = found else {
            self.gone.push(session);
            return;
        };
        let Some(host) = self.hosts.get(agent).filter(|_| of == agent) else {
            return;
        };
        let is_own = |key: &&ProcessKey| host.nodes.get(key).is_some_and(|node| !node.linked);
        let own: Vec<ProcessKey> = keys.iter().filter(is_own).copied().collect();
        self.gone.push(session);
        for key in own {
            self.remove(agent, key);
        }
    }

    pub(super) fn begin(&mut self, agent: &AgentName, session: SessionId, job: LiveJob) {
        let keys = self.sessions.get(&session);
        let keys: Vec<_> = keys
            .into_iter()
            .flat_map(|(_, keys)| keys.iter().copied())
            .collect();
        if let Some(host) = self.hosts.get_mut(agent) {
            host.begin(session, job, &keys);
        }
    }

    pub(super) fn end_job(&mut self, agent: &AgentName, job: SessionId) {
        let Some(host) = self.hosts.get_mut(agent) else {
            return;
        };
        let of_job = |(_, node): &(&ProcessKey, &Node)| node.job == Some(job);
        let keys: Vec<_> = host
            .nodes
            .iter()
            .filter(of_job)
            .map(|(key, _)| *key)
            .collect();
        if host.jobs.remove(&job).is_some() {
            host.dirty_jobs.insert(job);
        }
        for key in keys {
            self.remove(agent, key);
        }
    }
}
