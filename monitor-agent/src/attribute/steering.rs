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

use std::collections::{HashMap, HashSet, VecDeque};

use monitor_model::{
    bytes::ByteText,
    event::{
        Action, Attribution, Carrier, Event, FileObject, LocalAddress, MemoryAccess, NoSession,
        Process, ProcessRef, Step, handover::STEPS_MAX,
    },
    id::SessionId,
};

use super::SharedSessions;

mod around;
mod fed;
mod fifos;
mod led;
mod reached;

pub(super) use around::{Around, DESCRIPTORS_MAX, Surroundings, owner};
pub use around::{PipeEnd, Pipes, pipes};
use fifos::{Fifos, Open};
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
    /// Those that have steps of their own.
    steered: HashSet<u32>,
    /// Sessions that are steered from outside.
    led: HashMap<SessionId, Vec<Step>>,
    reached: Reached,
    fifos: Fifos,
    untaken: u64,
}

impl Steering {
    /// Whose work a process of a session does: the session's, unless somebody
    /// else steers it.
    pub fn judge(
        &mut self,
        own: Attribution,
        process: &Process,
        sessions: &SharedSessions,
    ) -> Attribution {
        let key = (process.pid, process.start_boot_ns);
        self.see(key, process.parent_pid, own.session);
        let steered = self.steps(key);
        match steered.or_else(|| self.led(own.session?, sessions)) {
            None => own,
            Some(steps) => {
                let mut way = own.way;
                way.extend(steps);
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
            socket: socket @ LocalAddress::Fifo { reads, writes, .. },
            object: Some(fifo),
            ..
        } = action
            && let Some(process) = &event.process
        {
            let open = Open {
                process: (process.pid, process.start_boot_ns),
                reads: *reads,
                writes: *writes,
                steps: steps(event, Carrier::Connection, &socket.to_string()),
            };
            self.opens(fifo, open, around);
        } else if let Action::LocalConnect {
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
            ..
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

    /// A process accepted a unix connection of another session's.
    pub(super) fn accepted(
        &mut self,
        event: &Event,
        (client, mark): (Key, SessionId),
        around: &mut impl Around,
    ) {
        let Some(process) = &event.process else {
            return;
        };
        let name = format!("process {}", process.pid);
        let made = |session| Step {
            carrier: Carrier::Connection,
            name: ByteText(name.as_bytes().to_vec()),
            at: Some(event.at),
            session: Some(session),
        };
        let mut steps = vec![made(around.owner(mark))];
        let others = self.steps(client).unwrap_or_default();
        steps.extend(others.into_iter().filter_map(|step| step.session).map(made));
        let key = (process.pid, process.start_boot_ns);
        self.steer(key, &steps, around);
    }

    /// A process opened a FIFO. Who holds its other end without having opened it
    /// (a pipe, or older than this agent) is looked for among other sessions.
    fn opens(&mut self, fifo: &FileObject, open: Open, around: &mut impl Around) {
        let (key, own) = (open.process, open.steps.clone());
        let (reads, writes) = (open.reads, open.writes);
        let mut fed = self.fifos.open(fifo, open);
        if fed.is_empty() {
            let pipe = (fifo.device, fifo.inode);
            for (other, end) in self.others_at(pipe, key, around) {
                if end.reads && writes {
                    fed.push((other, own.clone()));
                }
                if reads && end.writes {
                    let of = self.known(other).and_then(|known| known.session);
                    let steps = own.iter().map(|step| Step {
                        session: of,
                        ..step.clone()
                    });
                    fed.push((key, steps.take(1).collect()));
                }
            }
        }
        for (reader, steps) in fed {
            self.steer(reader, &steps, around);
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
        self.steered.remove(&pid);
        if let Some(steps) = steps {
            let children = self.processes.iter_mut().filter(|(_, known)| {
                known.parent_pid == pid && known.start_boot_ns >= start && known.steps.is_empty()
            });
            for (child, known) in children {
                known.steps.clone_from(&steps);
                self.steered.insert(*child);
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
            // What is said to sshd goes to where its engineer is.
            let is_injected = steps.iter().any(|step| step.carrier == Carrier::Injection);
            if (is_injected || !self.is_sshd(key, around)) && self.add(key, steps) {
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
        let is_more = known.steps.len() > before;
        if is_more {
            self.steered.insert(key.0);
        }
        is_more
    }

    /// How many processes and places found no room, since this was last asked.
    pub fn take_untaken(&mut self) -> u64 {
        let untaken = std::mem::take(&mut self.untaken);
        untaken + self.reached.take_untaken() + self.fifos.take_untaken()
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
