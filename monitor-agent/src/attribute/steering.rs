//! Who else steers a session's processes: a process of another session that
//! connected to one of its, or reached into it.
//!
//! A terminal multiplexer, a shell that listens, a master connection of ssh does
//! what its clients say, and carries the mark of who started it. What was said
//! is not seen. So from then on, until the steered process ends, what it and its
//! descendants do is nobody's, and both are named: a wrong name is worse.
//!
//! In: events in the order of their records. Bound: [`PROCESSES_MAX`] of each
//! table; when full, no more are taken, and they are counted.

use std::collections::HashMap;

use monitor_model::{
    bytes::ByteText,
    event::{
        Action, Attribution, Carrier, Event, MemoryAccess, NoSession, Process, ProcessRef, Step,
        handover::STEPS_MAX,
    },
};

/// Most processes that are remembered.
pub const PROCESSES_MAX: usize = 65_536;
/// Most generations that are gone up.
const LEVELS_MAX: usize = 64;

/// What is known of a process of a session.
#[derive(Debug)]
struct Known {
    start_boot_ns: u64,
    /// Its parent when it was first seen: orphans get another one.
    parent_pid: u32,
    /// Who else steers it; empty for most.
    steps: Vec<Step>,
}

/// The table.
#[derive(Debug, Default)]
pub struct Steering {
    processes: HashMap<u32, Known>,
    untaken: u64,
}

impl Steering {
    /// Whose work a process of a session does: the session's, unless somebody
    /// else steers it.
    pub fn judge(&mut self, own: Attribution, process: &Process) -> Attribution {
        self.see((process.pid, process.start_boot_ns), process.parent_pid);
        match self.steps(process) {
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

    fn see(&mut self, (pid, start_boot_ns): (u32, u64), parent_pid: u32) {
        let is_known = self
            .processes
            .get(&pid)
            .is_some_and(|known| known.start_boot_ns == start_boot_ns);
        if is_known {
            return;
        }
        if self.processes.len() >= PROCESSES_MAX {
            self.untaken += 1;
            return;
        }
        let known = Known {
            start_boot_ns,
            parent_pid,
            steps: Vec::new(),
        };
        self.processes.insert(pid, known);
    }

    /// Who steers a process, or one that it descends from.
    fn steps(&self, process: &Process) -> Option<Vec<Step>> {
        let mut pid = process.pid;
        let mut younger = process.start_boot_ns;
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
    pub fn learn(&mut self, event: &Event) {
        if let Action::LocalConnect {
            socket,
            peer: Some(peer),
            denied: false,
            ..
        } = &event.action
        {
            self.steered(event, peer, (Carrier::Connection, socket.to_string()));
        } else if let Action::Memory {
            target,
            access: MemoryAccess::Attached | MemoryAccess::MemoryFile,
            denied: false,
            ..
        } = &event.action
        {
            let name = format!("process {}", target.pid);
            self.steered(event, target, (Carrier::Injection, name));
        }
    }

    /// A process ended so long ago that nothing of it comes any more.
    pub(super) fn forget(&mut self, (pid, start): (u32, u64)) {
        let is_it = |known: &Known| known.start_boot_ns == start;
        if self.processes.get(&pid).is_some_and(is_it) {
            self.processes.remove(&pid);
        }
    }

    fn steered(&mut self, event: &Event, target: &ProcessRef, (carrier, name): (Carrier, String)) {
        let (Some(by), Some(of), Some(start)) = (
            event.attribution.session,
            target.session,
            target.start_boot_ns,
        ) else {
            return;
        };
        if by == of {
            return;
        }
        self.see((target.pid, start), 0);
        let Some(known) = self
            .processes
            .get_mut(&target.pid)
            .filter(|known| known.start_boot_ns == start)
        else {
            return;
        };
        let is_told = known
            .steps
            .iter()
            .any(|step| step.session == Some(by) && step.carrier == carrier);
        if !is_told && known.steps.len() < STEPS_MAX {
            known.steps.push(Step {
                carrier,
                name: ByteText(name.into_bytes()),
                at: Some(event.at),
                session: Some(by),
            });
        }
    }

    /// How many processes found no room, since this was last asked.
    pub fn take_untaken(&mut self) -> u64 {
        std::mem::take(&mut self.untaken)
    }
}

#[cfg(test)]
mod tests {
    use monitor_model::{
        clock::UnixNs,
        event::LocalAddress,
        id::{AgentName, BootId, EventId, SessionId, Source},
    };

    use super::*;
    use crate::attribute::sessions::tests::session;

    fn process(pid: u32, parent_pid: u32) -> Process {
        Process {
            pid,
            parent_pid,
            start_boot_ns: u64::from(pid),
            ..Process::default()
        }
    }

    fn own(number: u128) -> Attribution {
        crate::note::attribution(&session(number))
    }

    fn id(number: u128) -> SessionId {
        session(number).id
    }

    fn event(by: u128, process: Process, action: Action) -> Event {
        Event {
            id: EventId {
                agent: AgentName::new("jump-1").unwrap(),
                boot: BootId::from_slice(&[7; 16]).unwrap(),
                source: Source::Agent,
                sequence: 1,
            },
            at: UnixNs(1),
            boot_ns: 1,
            process: Some(process),
            attribution: own(by),
            action,
        }
    }

    fn target(pid: u32, of: u128) -> ProcessRef {
        ProcessRef {
            pid,
            start_boot_ns: Some(u64::from(pid)),
            session: Some(id(of)),
            holds_credentials: false,
            exe: None,
        }
    }

    fn connects(by: u128, to: ProcessRef) -> Event {
        let action = Action::LocalConnect {
            socket: LocalAddress::Unix {
                path: ByteText(b"/tmp/tmux-1000/default".to_vec()),
            },
            object: None,
            peer: Some(to),
            denied: false,
        };
        event(by, process(900, 1), action)
    }

    #[test]
    fn what_a_server_of_one_session_does_for_a_client_of_another_is_nobodys() {
        let mut steering = Steering::default();
        assert_eq!(steering.judge(own(1), &process(10, 1)), own(1));
        assert_eq!(steering.judge(own(1), &process(11, 10)), own(1));
        steering.learn(&connects(2, target(10, 1)));
        for descendant in [process(10, 1), process(11, 10), process(12, 11)] {
            let who = steering.judge(own(1), &descendant);
            assert_eq!(
                (who.session, who.reason),
                (None, Some(NoSession::Ambiguous))
            );
            let named: Vec<_> = who.way.iter().filter_map(|step| step.session).collect();
            assert_eq!(named, [id(2), id(1)]);
        }
        // Not a descendant of the server.
        assert_eq!(steering.judge(own(1), &process(20, 2)), own(1));
        // An orphan stays who it was.
        let mut orphan = process(12, 1);
        orphan.parent_pid = 1;
        assert_eq!(steering.judge(own(1), &orphan).session, None);
    }

    #[test]
    fn clients_of_the_same_session_change_nothing() {
        let mut steering = Steering::default();
        steering.learn(&connects(1, target(10, 1)));
        assert_eq!(steering.judge(own(1), &process(10, 1)), own(1));
    }

    #[test]
    fn code_put_into_a_process_makes_it_nobodys_until_it_ends() {
        let mut steering = Steering::default();
        let attached = Action::Memory {
            target: target(10, 1),
            access: MemoryAccess::Attached,
            syscall: None,
            denied: false,
        };
        steering.learn(&event(2, process(900, 1), attached));
        assert_eq!(steering.judge(own(1), &process(10, 1)).session, None);
        steering.forget((10, 10));
        let mut again = process(10, 1);
        again.start_boot_ns = 5_000;
        assert_eq!(
            steering.judge(own(1), &again),
            own(1),
            "its number, given again"
        );
    }

    #[test]
    fn looking_at_an_environment_steers_nothing() {
        let mut steering = Steering::default();
        let looked = Action::Memory {
            target: target(10, 1),
            access: MemoryAccess::Environment,
            syscall: None,
            denied: false,
        };
        steering.learn(&event(2, process(900, 1), looked));
        assert_eq!(steering.judge(own(1), &process(10, 1)), own(1));
    }
}
