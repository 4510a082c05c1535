//! Ends one session, with a receipt.
//!
//! In: orders of the collector, and ends of grants. Out: receipts, at once and as an event. In
//! this order: its certificate opens no session more, the kernel refuses its
//! connections, the person is told, every process is killed, none is left.
//! Idempotent by (order, session): a repeated order gets the same receipt,
//! unless processes were left, which are then tried again. A session that is
//! not in this host's table is not touched. Bound: as many receipts as the
//! spool keeps. Loss: none; the receipt is on disk with its event.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use monitor_model::{
    clock::{Clock, UnixNs},
    contain::{ContainMode, Receipt},
    event::Action,
    id::{GrantId, OrderId, SessionId},
    session::Session,
};
use tokio::sync::Mutex as Turn;
use tracing::{error, info, warn};

use crate::{
    attribute::{SharedJobs, SharedSessions},
    counters::Counters,
    marks::Marks,
    note::{self, Keep, Note, Notes},
    spool::RECEIPTS_MAX,
    standing::Standing,
};

pub mod tell;

/// An order to end one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The order.
    pub order: OrderId,
    /// The session.
    pub session: SessionId,
    /// What is to be done.
    pub mode: ContainMode,
    /// Why, for the person.
    pub reason: String,
    /// Whose will it is.
    pub origin: Origin,
}

/// Whose will it is that a session ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The collector's.
    Collector,
    /// This agent's: the session's last grant is over.
    Expiry(GrantId),
}

impl Command {
    fn expired(&self) -> Option<GrantId> {
        match &self.origin {
            Origin::Collector => None,
            Origin::Expiry(grant) => Some(grant.clone()),
        }
    }
}

/// Carries orders out, one at a time.
#[derive(Debug)]
pub struct Containment {
    /// Grants and denials.
    pub standing: Standing,
    /// Sessions.
    pub sessions: SharedSessions,
    /// Work that sessions handed over.
    pub jobs: SharedJobs,
    /// The kernel's side of sessions.
    pub marks: Arc<dyn Marks>,
    /// The way to the spool.
    pub notes: Notes,
    /// What is counted.
    pub counters: Arc<Counters>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What was done already.
    pub receipts: Receipts,
}

/// Receipts by order and session.
#[derive(Debug, Default)]
pub struct Receipts {
    given: Mutex<HashMap<(OrderId, SessionId), Receipt>>,
    /// One order at a time, so that a repeated one waits for the first.
    turn: Turn<()>,
}

impl Receipts {
    /// Those of before a restart.
    #[must_use]
    pub fn resume(receipts: Vec<Receipt>) -> Self {
        let given = receipts
            .into_iter()
            .map(|receipt| ((receipt.order, receipt.session), receipt));
        Self {
            given: Mutex::new(given.collect()),
            turn: Turn::default(),
        }
    }

    fn get(&self, command: &Command) -> Option<Receipt> {
        let given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        given.get(&(command.order, command.session)).cloned()
    }

    fn put(&self, receipt: &Receipt) {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        given.insert((receipt.order, receipt.session), receipt.clone());
        if given.len() > RECEIPTS_MAX {
            // The order that is oldest; ids begin with their time.
            if let Some(oldest) = given.keys().min().copied() {
                given.remove(&oldest);
            }
        }
    }
}

impl Containment {
    /// Carries out an order, or says what was done for it before.
    pub async fn carry_out(&self, command: &Command, received_at: UnixNs) -> Receipt {
        let _turn = self.receipts.turn.lock().await;
        if let Some(receipt) = self
            .receipts
            .get(command)
            .filter(|receipt| receipt.left == 0)
        {
            return receipt;
        }
        let session = self.sessions.lock().get(command.session).cloned();
        let receipt = match (&session, command.mode) {
            (Some(session), ContainMode::Kill) => self.end(session, command, received_at),
            (Some(_), ContainMode::Freeze | ContainMode::Release) | (None, _) => {
                self.refuse(command, received_at)
            }
        };
        self.receipts.put(&receipt);
        self.tell(session, &receipt).await;
        receipt
    }

    fn end(&self, session: &Session, command: &Command, received_at: UnixNs) -> Receipt {
        if let Some(serial) = session.credential.serial()
            && let Err(error) = self.standing.deny_serial(serial)
        {
            error!(%error, serial, "A denied certificate is not on disk; it is denied until the agent stops.");
        }
        let contained = self.sessions.lock().contained(session.id);
        if contained.is_some()
            && let Err(error) = self.marks.contain(session.id)
        {
            warn!(%error, session = %session.id, "The kernel does not refuse the session's connections; killing it now.");
        }
        let denied_at = self.clock.now();
        let processes = tokio::task::block_in_place(|| self.marks.processes(session.id));
        match processes {
            Ok(processes) => tell::people(&processes, &command.reason),
            Err(error) => warn!(%error, "The session's terminals cannot be found."),
        }
        let (of_jobs, left_of_jobs) = self.end_jobs(session.id);
        let killed = tokio::task::block_in_place(|| self.marks.kill(session.id));
        let (killed, left) = match killed {
            Ok(killed) => (killed.signalled, killed.left),
            Err(error) => {
                error!(%error, session = %session.id, "The session could not be ended by its mark.");
                let living = tokio::task::block_in_place(|| self.marks.processes(session.id));
                (0, living.map_or(1, |living| living.len()))
            }
        };
        let (killed, left) = (killed + of_jobs, left + left_of_jobs);
        let left = count(left);
        let gone_at = (left == 0).then(|| session.ended_at.unwrap_or_else(|| self.clock.now()));
        Receipt {
            killed: count(killed),
            left,
            denied_at,
            gone_at,
            expired: command.expired(),
            ..Receipt::new(command.order, session.id, command.mode, received_at)
        }
    }

    /// Ends what the session left to others: killed, and left.
    fn end_jobs(&self, session: SessionId) -> (usize, usize) {
        let mut sum = (0, 0);
        for job in self.jobs.of_session(session) {
            if let Err(error) = self.marks.contain(job) {
                warn!(%error, %job, "The kernel does not refuse the connections of a session's job; killing it now.");
            }
            match tokio::task::block_in_place(|| self.marks.kill(job)) {
                Ok(killed) => {
                    sum.0 += killed.signalled;
                    sum.1 += killed.left;
                }
                Err(error) => {
                    error!(%error, %job, "A job of the session could not be ended.");
                    sum.1 += 1;
                }
            }
        }
        sum
    }

    /// Not this host's: nothing is touched. Processes that carry the mark all
    /// the same are told as left.
    fn refuse(&self, command: &Command, received_at: UnixNs) -> Receipt {
        let now = self.clock.now();
        let living = tokio::task::block_in_place(|| self.marks.processes(command.session));
        // What cannot be looked for is not told as gone.
        let left = count(living.map_or(1, |living| living.len()));
        warn!(
            order = %command.order, session = %command.session, left,
            "An order names a session that is not in this host's table, or wants what this agent cannot do; nothing was touched."
        );
        Receipt {
            left,
            denied_at: now,
            gone_at: (left == 0).then_some(now),
            expired: command.expired(),
            ..Receipt::new(command.order, command.session, command.mode, received_at)
        }
    }

    async fn tell(&self, session: Option<Session>, receipt: &Receipt) {
        if receipt.left == 0 {
            self.counters.contained.add(1);
            info!(
                order = %receipt.order, session = %receipt.session, killed = receipt.killed,
                expired = ?receipt.expired, "A session was ended."
            );
        } else {
            error!(
                order = %receipt.order, session = %receipt.session, left = receipt.left,
                "Processes of a session that was to be ended are left; it is tried again when the order is repeated."
            );
        }
        let attribution = session
            .as_ref()
            .map_or_else(|| note::unknown(receipt.session), note::attribution);
        let note = Note {
            attribution,
            action: Action::Contained {
                receipt: receipt.clone(),
            },
            keep: Some(Keep::Receipt(receipt.clone())),
            kept: None,
        };
        // The agent is stopping: the order is repeated at its next start.
        let _ = self.notes.tell(note).await;
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
pub(crate) mod tests;
