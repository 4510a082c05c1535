//! Ends of logins, sessions and jobs: what the kernel tells, what outlives a
//! login, and what nobody told.

use std::collections::BTreeSet;

use monitor_model::{
    clock::UnixNs,
    event::{Action, ProcessRef, SURVIVORS_MAX},
    id::SessionId,
    session::{Session, SessionState as Standing},
};
use tracing::{info, warn};

use super::Worker;
use crate::{
    attribute::Host,
    note::{Keep, Note},
};

impl<H: Host> Worker<H> {
    /// A process of a session ended: the first one is sshd's, and ends with the
    /// login.
    pub(super) fn take_exit(&mut self, id: SessionId, pid: u32, at: UnixNs) {
        let sessions = self.parts.sessions.lock();
        if sessions.get(id).is_some_and(|row| row.leader_pid == pid) {
            self.logouts.over(id, at);
        }
    }

    /// Tells of processes that outlive their login.
    pub fn tell_survivors(&mut self) {
        let now = self.parts.clock.now();
        while let Some(id) = self.logouts.take_due(now) {
            let row = self.parts.sessions.lock().get(id).cloned();
            // One that is being ended is told of by its receipt.
            let Some(session) = row.filter(|row| row.state == Standing::Live) else {
                continue;
            };
            match self.parts.marks.processes(id) {
                Ok(pids) if pids.is_empty() => {}
                Ok(pids) => {
                    let survivors = self.survivors(id, &pids);
                    self.take_note(Note::about(&session, survivors));
                }
                Err(error) => {
                    warn!(%error, session = %id, "What outlives a login cannot be told.");
                }
            }
        }
    }

    fn survivors(&mut self, session: SessionId, pids: &[u32]) -> Action {
        let attributor = &mut self.parts.attributor;
        let mut processes: Vec<ProcessRef> = pids
            .iter()
            .map(|pid| attributor.found(*pid, session))
            .collect();
        processes.sort_by_key(|process| process.start_boot_ns);
        processes.truncate(SURVIVORS_MAX);
        Action::Survivors {
            session,
            processes,
            total: u32::try_from(pids.len()).unwrap_or(u32::MAX),
        }
    }

    /// The same of jobs: nothing is told, since nobody waits for their end.
    fn close_dead_jobs(&mut self) {
        for id in self.parts.attributor.jobs().living() {
            if matches!(self.parts.marks.live(id), Ok(None | Some(0))) {
                self.parts.attributor.jobs().end(id);
                self.reading.keep.push(Keep::JobEnded(id));
                self.ended.push(id);
            }
        }
    }

    /// What jobs and logins of before the start became.
    pub fn begin(&mut self) {
        self.close_dead_jobs();
        let living = self.parts.sessions.lock().living();
        for id in living {
            if self.lives(id) == Some(true) {
                self.look_for_logout(id);
            }
        }
    }

    /// Looks which sessions have no process left though nobody told their end.
    /// As a rule the kernel's record is on its way: see [`Self::close_dead`].
    pub fn look_for_dead(&mut self) {
        let living = self.parts.sessions.lock().living().into_iter();
        let dead: BTreeSet<_> = living.filter(|id| self.lives(*id) == Some(false)).collect();
        self.closing = dead.intersection(&self.dead).copied().collect();
        self.dead = dead;
    }

    /// Ends sessions that were dead at the last two looks. The rings were empty
    /// after the second: the kernel told nobody, because it was not there, or had
    /// no room for the record.
    pub fn close_dead(&mut self) {
        for id in std::mem::take(&mut self.closing) {
            let row = self.parts.sessions.lock().ended(id, self.parts.clock.now());
            let Some(session) = &row else {
                continue;
            };
            info!(session = %id, "A session ended and the kernel's word of it did not come.");
            self.take_note(Note::about(session, Action::SessionEnded { session: id }));
            self.end(id, row);
        }
    }

    fn lives(&self, id: SessionId) -> Option<bool> {
        let live = self.parts.marks.live(id);
        let lives = live.map(|live| live.is_some_and(|tasks| tasks > 0));
        lives
            .inspect_err(|error| {
                warn!(%error, session = %id, "Whether a session lives cannot be told.");
            })
            .ok()
    }

    /// A login that may have ended while the agent was away: its first process
    /// is gone.
    fn look_for_logout(&mut self, id: SessionId) {
        let leader = self.parts.sessions.lock().get(id).map(|row| row.leader_pid);
        let mark = leader.and_then(|pid| self.parts.marks.session_of(pid).ok().flatten());
        if mark != Some(id) {
            self.logouts.over(id, self.parts.clock.now());
        }
    }

    pub(super) fn end(&mut self, id: SessionId, row: Option<Session>) {
        self.reading
            .keep
            .extend(row.map(|row| Keep::Session(Box::new(row))));
        self.ended.push(id);
        let evicted = self.parts.sessions.lock().take_evicted();
        self.parts.counters.sessions_evicted.add(evicted);
    }
}
