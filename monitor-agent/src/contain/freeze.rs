//! Sessions that stand still, and go on.
//!
//! Frozen: the kernel refuses its connections and stops what is born in it;
//! the person is told; every process stops, sshd's last, so that it carries the
//! words to the person; the connections are cut, but for the login itself.
//! Released: the same backwards, but what was cut stays cut.

use std::{collections::BTreeSet, fs, net::SocketAddr, os::unix::fs::MetadataExt as _};

use monitor_model::{clock::UnixNs, contain::Receipt, id::SessionId, session::Session};
use monitor_transport::blocking::in_place;
use tracing::{error, warn};

use super::{Command, Containment, count};
use crate::{attribute::host::ProcessStat, kernel::KernelError};

impl Containment {
    pub(super) fn freeze(
        &self,
        session: &Session,
        command: &Command,
        received_at: UnixNs,
    ) -> Receipt {
        self.deny(session);
        let all = self.with_jobs(session.id);
        for one in &all {
            self.hold(*one);
        }
        let denied_at = self.clock.now();
        let processes = in_place(|| self.marks.processes(session.id)).unwrap_or_default();
        let told = self.say(&processes, command);
        let carriers = carriers(session.leader_pid, &processes);
        let mut receipt = Receipt {
            denied_at,
            told: count(told),
            ..command.receipt(received_at)
        };
        in_place(|| {
            for one in &all {
                let _ = self.halt(*one, &carriers);
            }
            receipt.sockets_closed = self.cut(&all, session);
            self.halt_all(&all, &mut receipt);
        });
        if receipt.left == 0 {
            match receipt.frozen {
                0 => receipt.gone_at = Some(session.ended_at.unwrap_or_else(|| self.clock.now())),
                _ => receipt.frozen_at = Some(self.clock.now()),
            }
        }
        self.sessions.lock().frozen(session.id, receipt.frozen());
        receipt
    }

    /// The session, and what it left to others.
    pub(super) fn with_jobs(&self, session: SessionId) -> Vec<SessionId> {
        let jobs = self.jobs.of_session(session);
        std::iter::once(session).chain(jobs).collect()
    }

    fn hold(&self, one: SessionId) {
        match self.marks.hold(one) {
            // Nobody was ever marked so: there is nobody to hold.
            Ok(()) | Err(KernelError::NoSession) => {}
            Err(error) => {
                error!(%error, session = %one, "The kernel does not hold the session back; stopping its processes now.");
            }
        }
    }

    fn halt_all(&self, all: &[SessionId], receipt: &mut Receipt) {
        for one in all {
            let (standing, asleep, left) = self.halt(*one, &BTreeSet::new());
            receipt.frozen = receipt.frozen.saturating_add(count(standing));
            receipt.asleep = receipt.asleep.saturating_add(count(asleep));
            receipt.left = receipt.left.saturating_add(count(left));
        }
    }

    /// Stops all of one mark: standing, asleep of them, left.
    fn halt(&self, one: SessionId, spared: &BTreeSet<u32>) -> (usize, usize, usize) {
        match self.marks.freeze(one, spared) {
            Ok(halted) => (halted.standing, halted.asleep, halted.left),
            Err(KernelError::NoSession) => (0, 0, 0),
            Err(error) => {
                error!(%error, session = %one, "The session could not be stopped by its mark.");
                (0, 0, self.marks.processes(one).map_or(1, |pids| pids.len()))
            }
        }
    }

    /// Cuts connections; how many.
    pub(super) fn cut(&self, all: &[SessionId], session: &Session) -> u32 {
        let login = session
            .peer
            .map(|peer| SocketAddr::new(peer.to_canonical(), session.peer_port));
        match self.marks.cut(all, login) {
            Ok(cut) => {
                if cut.shared + cut.refused > 0 {
                    warn!(session = %session.id, shared = cut.shared, refused = cut.refused,
                        "Connections of a contained session were not cut: others hold them too, or the kernel would not.");
                }
                count(cut.closed)
            }
            Err(error) => {
                error!(%error, session = %session.id, "The connections of a contained session could not be looked for.");
                0
            }
        }
    }

    pub(super) fn release(
        &self,
        session: &Session,
        command: &Command,
        received_at: UnixNs,
    ) -> Receipt {
        let mut receipt = command.receipt(received_at);
        for one in self.with_jobs(session.id) {
            match in_place(|| self.marks.release(one)) {
                Ok(resumed) => {
                    receipt.released = receipt.released.saturating_add(count(resumed.resumed));
                    receipt.left = receipt.left.saturating_add(count(resumed.left));
                }
                Err(KernelError::NoSession) => {}
                Err(error) => {
                    error!(%error, session = %one, "A session could not be let go on.");
                    let living = in_place(|| self.marks.processes(one));
                    let living = count(living.map_or(1, |living| living.len()));
                    receipt.left = receipt.left.saturating_add(living);
                }
            }
        }
        receipt.denied_at = self.clock.now();
        if receipt.left > 0 {
            return receipt;
        }
        self.allow(session);
        self.sessions.lock().frozen(session.id, None);
        receipt.gone_at = session.ended_at;
        receipt.released_at = (receipt.released > 0).then_some(receipt.denied_at);
        let processes = in_place(|| self.marks.processes(session.id)).unwrap_or_default();
        receipt.told = count(self.say(&processes, command));
        receipt
    }

    fn allow(&self, session: &Session) {
        if let Some(serial) = session.credential.serial() {
            self.standing.allow_serial(serial);
        }
    }
}

/// The processes that carry the login: its first, and its children of the same
/// program. They are stopped last.
fn carriers(leader: u32, processes: &[u32]) -> BTreeSet<u32> {
    let program = |pid: u32| {
        let found = fs::metadata(format!("/proc/{pid}/exe")).ok()?;
        Some((found.dev(), found.ino()))
    };
    let first = program(leader);
    let carries = |pid: &u32| {
        let is_child = ProcessStat::read(*pid).is_ok_and(|stat| stat.parent_pid == leader);
        *pid == leader || (is_child && first.is_some() && program(*pid) == first)
    };
    processes.iter().copied().filter(carries).collect()
}
