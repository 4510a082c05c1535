//! Who else steers a session's processes: a process of another session that
//! connected to one of its, feeds it, or reached into it.
//!
//! A terminal multiplexer, a shell that listens, a master connection of ssh does
//! what its clients say, and carries the mark of who started it. What was said
//! is not seen. So from then on, until the steered process ends, what it and its
//! descendants do is nobody's, and both are named: a wrong name is worse. What it
//! feeds through pipes is steered as well.
//!
//! In: events in the order of their records. Bound: [`PROCESSES_MAX`] of each
//! table; when full, no more are taken, and they are counted.

use std::collections::{HashMap, VecDeque};

use monitor_model::{
    bytes::ByteText,
    event::{
        Action, Attribution, Carrier, Event, MemoryAccess, NoSession, Process, ProcessRef, Step,
        handover::STEPS_MAX,
    },
    id::SessionId,
};

mod around;
mod reached;

pub(super) use around::{Around, Surroundings, owner};
pub use around::{PipeEnd, pipe_ends};
use reached::{Place, Reached};

/// Most processes that are remembered.
pub const PROCESSES_MAX: usize = 65_536;
/// Most generations that are gone up.
const LEVELS_MAX: usize = 64;
/// Most processes of one pipeline that are followed.
const FED_MAX: usize = 64;

/// A process: its id and its start, nanoseconds since boot.
pub(super) type Key = (u32, u64);

/// What is known of a process of a session.
#[derive(Debug)]
struct Known {
    start_boot_ns: u64,
    /// Its parent when it was born, or first seen: orphans get another one.
    parent_pid: u32,
    /// Its session.
    session: Option<SessionId>,
    /// Who else steers it; empty for most.
    steps: Vec<Step>,
}

/// The table.
#[derive(Debug, Default)]
pub struct Steering {
    processes: HashMap<u32, Known>,
    reached: Reached,
    untaken: u64,
}

impl Steering {
    /// Whose work a process of a session does: the session's, unless somebody
    /// else steers it.
    pub fn judge(&mut self, own: Attribution, process: &Process) -> Attribution {
        let key = (process.pid, process.start_boot_ns);
        self.see(key, process.parent_pid, own.session);
        match self.steps(key) {
            None => own,
            Some(steps) => {
                let mut way = steps;
                way.truncate(STEPS_MAX - 1);
                way.push(Step {
                    carrier: Carrier::Daemon,
                    name: process.comm.clone(),
                    at: None,
                    session: own.session,
                });
                Attribution {
                    way,
                    ..Attribution::none(NoSession::Ambiguous)
                }
            }
        }
    }

    /// A process of a session was born. Told before what it does is judged: its
    /// parent may have ended by then, and it descends from it all the same.
    pub(super) fn born(&mut self, parent_pid: u32, child: Key, session: Option<SessionId>) {
        self.see(child, parent_pid, session);
        if let Some(known) = self.known_mut(child) {
            known.parent_pid = parent_pid;
        }
    }

    fn known(&self, (pid, start): Key) -> Option<&Known> {
        let known = self.processes.get(&pid);
        known.filter(|known| known.start_boot_ns == start)
    }

    fn known_mut(&mut self, (pid, start): Key) -> Option<&mut Known> {
        let known = self.processes.get_mut(&pid);
        known.filter(|known| known.start_boot_ns == start)
    }

    fn see(&mut self, key: Key, parent_pid: u32, session: Option<SessionId>) {
        if let Some(known) = self.known_mut(key) {
            known.session = session.or(known.session);
            return;
        }
        let (pid, start_boot_ns) = key;
        // A number that was given again.
        if let Some(known) = self.processes.get(&pid) {
            self.forget((pid, known.start_boot_ns));
        }
        if self.processes.len() >= PROCESSES_MAX {
            self.untaken += 1;
            return;
        }
        let known = Known {
            start_boot_ns,
            parent_pid,
            session,
            steps: Vec::new(),
        };
        self.processes.insert(pid, known);
    }

    /// Who steers a process, or one that it descends from.
    fn steps(&self, (mut pid, mut younger): Key) -> Option<Vec<Step>> {
        for _ in 0..LEVELS_MAX {
            let known = self.processes.get(&pid)?;
            // A number that was given again is no ancestor.
            if known.start_boot_ns > younger {
                return None;
            }
            if !known.steps.is_empty() {
                return Some(known.steps.clone());
            }
            younger = known.start_boot_ns;
            pid = known.parent_pid;
        }
        None
    }

    /// Learns from what one session does to another's process.
    pub(super) fn learn(&mut self, event: &Event, around: &mut impl Around) {
        let action = &event.action;
        if let Action::LocalConnect {
            socket,
            peer: Some(peer),
            denied: false,
            ..
        } = action
        {
            let steps = steps(event, Carrier::Connection, &socket.to_string());
            self.reaches(peer, &steps, around);
        } else if let Action::Memory {
            target,
            access: MemoryAccess::Attached | MemoryAccess::MemoryFile,
            denied: false,
            ..
        } = action
        {
            let steps = steps(
                event,
                Carrier::Injection,
                &format!("process {}", target.pid),
            );
            self.reaches(target, &steps, around);
        } else if let Action::Connect {
            destination,
            denied: false,
        } = action
        {
            let place = Place::of(event, destination);
            let steps = steps(event, Carrier::Connection, &place.to_string());
            for receiver in self.reached.connect(place, &steps, around) {
                self.steer(receiver, &steps, around);
            }
        } else if let Action::Socket { denied: false, .. } = action
            && let Some(process) = &event.process
        {
            let key = (process.pid, process.start_boot_ns);
            let steps = self.reached.socket(event, key, around);
            self.steer(key, &steps, around);
        }
    }

    /// A process ended.
    pub(super) fn ended(&mut self, key: Key) {
        self.reached.ended(key);
    }

    /// A process ended so long ago that nothing of it comes any more. Who it
    /// was steered by, its children still are.
    pub(super) fn forget(&mut self, key: Key) {
        let Some(steps) = self.known(key).map(|_| self.steps(key)) else {
            return;
        };
        let (pid, start) = key;
        self.processes.remove(&pid);
        if let Some(steps) = steps {
            let children = self.processes.values_mut().filter(|known| {
                known.parent_pid == pid && known.start_boot_ns >= start && known.steps.is_empty()
            });
            for child in children {
                child.steps.clone_from(&steps);
            }
        }
    }

    /// One process does something to another, which is named.
    fn reaches(&mut self, target: &ProcessRef, steps: &[Step], around: &mut impl Around) {
        if let (Some(of), Some(start)) = (target.session, target.start_boot_ns) {
            let key = (target.pid, start);
            self.see(key, 0, Some(around.owner(of)));
            self.steer(key, steps, around);
        }
    }

    /// Others than its session steer a process, and what it feeds.
    fn steer(&mut self, key: Key, steps: &[Step], around: &mut impl Around) {
        let mut waiting = VecDeque::from([key]);
        for _ in 0..FED_MAX {
            let Some(key) = waiting.pop_front() else {
                return;
            };
            if self.add(key, steps) {
                waiting.extend(self.fed(key, around));
            }
        }
    }

    /// Whether something was added.
    fn add(&mut self, key: Key, steps: &[Step]) -> bool {
        let Some(known) = self.known_mut(key) else {
            return false;
        };
        let before = known.steps.len();
        for step in steps {
            let is_told =
                |told: &Step| (told.session, told.carrier) == (step.session, step.carrier);
            if step.session != known.session
                && known.steps.len() < STEPS_MAX
                && !known.steps.iter().any(is_told)
            {
                known.steps.push(step.clone());
            }
        }
        known.steps.len() > before
    }

    /// Who reads what a process writes into pipes: the rest of its pipeline.
    /// Where that cannot be seen any more, its parent, who made the pipeline.
    fn fed(&self, key: Key, around: &mut impl Around) -> Vec<Key> {
        let Some(own) = around.pipes(key) else {
            return self.kin(key, around);
        };
        let mut fed = Vec::new();
        for end in own.iter().filter(|end| end.writes) {
            let readers = self.readers(end.pipe, key, around);
            if readers.is_empty() && !end.reads {
                fed.extend(self.kin(key, around));
            }
            let acting = readers
                .into_iter()
                .filter(|key| !self.is_sshd(*key, around));
            fed.extend(acting);
        }
        fed
    }

    /// Processes of the same session that read a pipe.
    fn readers(&self, pipe: (u64, u64), writer: Key, around: &mut impl Around) -> Vec<Key> {
        let session = self.known(writer).and_then(|known| known.session);
        let mut readers = Vec::new();
        for (pid, known) in &self.processes {
            let key = (*pid, known.start_boot_ns);
            if key == writer || known.session != session {
                continue;
            }
            let ends = around.pipes(key).unwrap_or_default();
            if ends.iter().any(|end| end.reads && end.pipe == pipe) {
                readers.push(key);
            }
        }
        readers
    }

    /// The parent of a process; where that is sshd, which passes on what its
    /// children say and does not act on it, its siblings.
    fn kin(&self, key: Key, around: &mut impl Around) -> Vec<Key> {
        let Some(parent_pid) = self.known(key).map(|known| known.parent_pid) else {
            return Vec::new();
        };
        let Some(parent) = self.processes.get(&parent_pid) else {
            return Vec::new();
        };
        let parent = (parent_pid, parent.start_boot_ns);
        if parent.1 > key.1 {
            return Vec::new();
        }
        if !self.is_sshd(parent, around) {
            return vec![parent];
        }
        let siblings = self.processes.iter().filter(|(pid, known)| {
            known.parent_pid == parent_pid && known.start_boot_ns >= parent.1 && **pid != key.0
        });
        siblings
            .map(|(pid, known)| (*pid, known.start_boot_ns))
            .collect()
    }

    /// Whether a process is the first of its session, or that one's child and
    /// runs the same program.
    fn is_sshd(&self, key: Key, around: &mut impl Around) -> bool {
        let Some(known) = self.known(key) else {
            return false;
        };
        let Some(leader) = known.session.and_then(|session| around.leader(session)) else {
            return false;
        };
        if key.0 == leader {
            return true;
        }
        if known.parent_pid != leader {
            return false;
        }
        let start = self.processes.get(&leader).map(|known| known.start_boot_ns);
        let of_leader = start.and_then(|start| around.program((leader, start)));
        of_leader.is_some() && around.program(key) == of_leader
    }

    /// How many processes and places found no room, since this was last asked.
    pub fn take_untaken(&mut self) -> u64 {
        std::mem::take(&mut self.untaken) + self.reached.take_untaken()
    }
}

/// One step for each session whose work an event is, or may be.
fn steps(event: &Event, carrier: Carrier, name: &str) -> Vec<Step> {
    let who = &event.attribution;
    let of_way = who.way.iter().filter_map(|step| step.session);
    let mut sessions: Vec<_> = who.session.into_iter().collect();
    if sessions.is_empty() {
        sessions.extend(of_way);
    }
    let mut steps: Vec<Step> = Vec::new();
    for session in sessions {
        if !steps.iter().any(|step| step.session == Some(session)) {
            steps.push(Step {
                carrier,
                name: ByteText(name.as_bytes().to_vec()),
                at: Some(event.at),
                session: Some(session),
            });
        }
    }
    steps
}

#[cfg(test)]
pub(super) mod tests;
