//! Sessions that another session of this host opened, by ssh to itself: who
//! steers that ssh, or what it left in the background, steers them.
//!
//! Bound: [`LED_MAX`]; when full, no more are remembered, and they are counted.

use monitor_model::{event::Step, id::SessionId};

use super::{Key, LEVELS_MAX, Steering};
use crate::attribute::SharedSessions;

/// Most logins from this host to itself, one in another, that are gone back.
const HOPS_MAX: usize = 8;
/// Most sessions that are remembered to be steered from outside.
const LED_MAX: usize = 16_384;
/// Clock ticks of /proc, in nanoseconds.
pub(super) const TICK_NS: u64 = 10_000_000;

impl Steering {
    /// Who steers a session from outside: who steers the ssh that opened it on
    /// this host, or a process that ssh left behind, or the session of that.
    /// Once it is so it stays so.
    pub(super) fn led(
        &mut self,
        session: SessionId,
        sessions: &SharedSessions,
    ) -> Option<Vec<Step>> {
        if let Some(steps) = self.led.get(&session) {
            return Some(steps.clone());
        }
        let steps = self.find_leading(session, sessions)?;
        if self.led.len() < LED_MAX {
            self.led.insert(session, steps.clone());
        } else {
            self.untaken += 1;
        }
        Some(steps)
    }

    fn find_leading(&self, mut session: SessionId, sessions: &SharedSessions) -> Option<Vec<Step>> {
        for _ in 0..HOPS_MAX {
            let client = sessions.lock().client(session)?;
            let known = self.processes.get(&client.pid);
            let start = known
                .map(|known| known.start_boot_ns)
                .filter(|start| start / TICK_NS == client.start_ticks);
            // It may have ended long ago; its children are known all the same.
            let since = start.unwrap_or(client.start_ticks * TICK_NS);
            let own = start.and_then(|start| self.steps((client.pid, start)));
            let of_children = || {
                let mut children = self.steered.iter();
                let child = children.find(|pid| self.descends(**pid, (client.pid, since)))?;
                Some(self.processes.get(child)?.steps.clone())
            };
            if let Some(steps) = own.or_else(of_children) {
                return Some(steps);
            }
            session = client.session;
        }
        None
    }

    fn descends(&self, mut pid: u32, (from, since): Key) -> bool {
        for _ in 0..LEVELS_MAX {
            match self.processes.get(&pid) {
                Some(known) if known.start_boot_ns >= since => pid = known.parent_pid,
                Some(_) | None => return false,
            }
            if pid == from {
                return true;
            }
        }
        false
    }
}
