//! Ends, freezes or releases one session, with a receipt.
//!
//! In: orders of the collector, ends of grants, and what the agent decides
//! alone. Out: receipts, at once and as an event. To end one, in this order:
//! its certificate opens no session more, the kernel refuses its connections,
//! the person is told, every process is killed, none is left. Idempotent by
//! (order, session, mode): a repeated order gets the same receipt, unless
//! processes were left, which are then tried again. A session that is not in
//! this host's table is not touched. Bound: as many receipts as the spool
//! keeps. Loss: none; the receipt is on disk with its event.
//!
//! - `freeze`: what stands still, and goes on. [`keeper`]: what stays so.
//! - [`foreign`], [`unstored`]: what the agent decides alone. [`tell`]: what the person is told.
//! - `receipts`: what was done already. [`turns`]: in which order.

use std::{collections::BTreeSet, sync::Arc};

use monitor_model::{
    clock::{Clock, UnixNs},
    contain::{ContainMode, Receipt},
    event::Action,
    id::{GrantId, OrderId, SessionId, TenantId},
    session::Session,
};
use monitor_transport::blocking::in_place;
use sha2::{Digest as _, Sha256};
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use crate::{
    attribute::{SharedJobs, SharedSessions},
    counters::Counters,
    marks::Marks,
    note::{self, Keep, Note, Notes},
    standing::Standing,
};

pub mod foreign;
mod freeze;
pub mod keeper;
mod receipts;
pub mod tell;
pub mod turns;
pub mod unstored;

pub use receipts::Receipts;
use turns::{LineFull, Ticket, Turns};

/// An order about one session.
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

/// Whose will it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The collector's.
    Collector,
    /// This agent's: the session's last grant is over.
    Expiry(GrantId),
    /// This agent's: the session used a credential of this tenant, and all its
    /// grants are of another.
    Foreign(TenantId),
    /// This agent's: events cannot be stored, or can be again.
    Unstored,
    /// That of an order which the agent was carrying out when it stopped.
    Unfinished,
}

impl Command {
    /// That nothing was done yet.
    fn receipt(&self, received_at: UnixNs) -> Receipt {
        let mut receipt = Receipt::new(self.order, self.session, self.mode, received_at);
        match &self.origin {
            Origin::Collector | Origin::Unfinished => {}
            Origin::Expiry(grant) => receipt.expired = Some(grant.clone()),
            Origin::Foreign(tenant) => receipt.foreign = Some(tenant.clone()),
            Origin::Unstored => receipt.unstored = true,
        }
        receipt
    }
}

/// Carries orders out: one session's in the order in which they came, sessions
/// side by side.
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
    /// In which order.
    pub turns: Arc<Turns>,
    /// Whom people are told to call; empty: nobody.
    pub contact: String,
}

impl Containment {
    /// Carries out an order after all that came before it for its session, or
    /// says what was done for it before.
    ///
    /// # Errors
    /// [`LineFull`]: nothing was done.
    pub async fn carry_out(
        &self,
        command: &Command,
        received_at: UnixNs,
    ) -> Result<Receipt, LineFull> {
        let ticket = self.turns.line_up(command.session)?;
        Ok(self.in_turn(ticket, command, received_at).await)
    }

    /// Carries out orders side by side, until all are done.
    pub async fn carry_out_all(self: &Arc<Self>, commands: Vec<Command>) {
        let mut running = JoinSet::new();
        for command in commands {
            let Some(ticket) = self.line_up(&command) else {
                continue;
            };
            let (this, now) = (Arc::clone(self), self.clock.now());
            running.spawn(async move { this.in_turn(ticket, &command, now).await });
        }
        running.join_all().await;
    }

    /// A place for an order in the line of its session. None, and told, when
    /// the line is full: whoever wants it wants it again.
    pub fn line_up(&self, command: &Command) -> Option<Ticket> {
        let lined_up = self.turns.line_up(command.session);
        lined_up
            .inspect_err(|error| {
                error!(%error, order = %command.order, session = %command.session, mode = %command.mode,
                    "An order about a session is not taken now; it is tried again when it is repeated.");
            })
            .ok()
    }

    /// Carries out an order when its turn has come, or says what was done for
    /// it before.
    pub async fn in_turn(&self, ticket: Ticket, command: &Command, received_at: UnixNs) -> Receipt {
        let _turn = ticket.turn().await;
        if let Some(receipt) = self.receipts.get(command).filter(Receipt::is_done) {
            return receipt;
        }
        let session = self.sessions.lock().get(command.session).cloned();
        let receipt = match (&session, command.mode) {
            (Some(session), ContainMode::Kill) => self.end(session, command, received_at),
            (Some(session), ContainMode::Freeze) => self.freeze(session, command, received_at),
            (Some(session), ContainMode::Release) => self.release(session, command, received_at),
            (None, _) => self.refuse(command, received_at),
        };
        self.keep_denials();
        self.receipts.put(&receipt);
        self.tell(session, &receipt).await;
        receipt
    }

    /// Knows again, after a restart, which sessions stand still.
    pub fn recall(&self) {
        let mut sessions = self.sessions.lock();
        for receipt in self.receipts.newest() {
            sessions.frozen(receipt.session, receipt.frozen());
        }
    }

    /// In force at once; on disk before the receipt, since nobody who is to be
    /// stopped waits for a disk.
    fn deny(&self, session: &Session) {
        if let Some(serial) = session.credential.serial() {
            self.standing.deny_serial(serial);
        }
    }

    fn keep_denials(&self) {
        if let Err(error) = in_place(|| self.standing.keep_denials()) {
            error!(%error, "Which certificates are denied here is not on disk; after the agent's next start it is as it was before.");
        }
    }

    fn say(&self, processes: &[u32], command: &Command) -> usize {
        let words = tell::Words {
            mode: command.mode,
            reason: &command.reason,
            contact: &self.contact,
        };
        tell::people(processes, words)
    }

    fn end(&self, session: &Session, command: &Command, received_at: UnixNs) -> Receipt {
        self.deny(session);
        let contained = self.sessions.lock().contained(session.id);
        if contained.is_some()
            && let Err(error) = self.marks.contain(session.id)
        {
            warn!(%error, session = %session.id, "The kernel does not refuse the session's connections; killing it now.");
        }
        let denied_at = self.clock.now();
        let told = match in_place(|| self.marks.processes(session.id)) {
            Ok(processes) => self.say(&processes, command),
            Err(error) => {
                warn!(%error, "The session's terminals cannot be found.");
                0
            }
        };
        let (of_jobs, left_of_jobs) = self.end_jobs(session.id);
        let (killed, left) = self.kill(session.id);
        let left = count(left + left_of_jobs);
        // What would not die holds its connections.
        let cut = if left == 0 {
            0
        } else {
            in_place(|| self.cut(&self.with_jobs(session.id), session))
        };
        let gone_at = (left == 0).then(|| session.ended_at.unwrap_or_else(|| self.clock.now()));
        self.sessions.lock().frozen(session.id, None);
        Receipt {
            killed: count(killed + of_jobs),
            left,
            sockets_closed: cut,
            told: count(told),
            denied_at,
            gone_at,
            ..command.receipt(received_at)
        }
    }

    /// Kills a session: killed, and left.
    fn kill(&self, session: SessionId) -> (usize, usize) {
        match in_place(|| self.marks.kill(session)) {
            Ok(killed) => (killed.signalled, killed.left),
            Err(error) => {
                error!(%error, %session, "The session could not be ended by its mark.");
                let living = in_place(|| self.marks.processes(session));
                (0, living.map_or(1, |living| living.len()))
            }
        }
    }

    /// Ends what the session left to others: killed, and left.
    fn end_jobs(&self, session: SessionId) -> (usize, usize) {
        let mut sum = (0, 0);
        for job in self.jobs.of_session(session) {
            if let Err(error) = self.marks.contain(job) {
                warn!(%error, %job, "The kernel does not refuse the connections of a session's job; killing it now.");
            }
            let (killed, left) = self.kill(job);
            sum.0 += killed;
            sum.1 += left;
        }
        sum
    }

    /// Stops what runs again in a frozen session.
    fn keep_still(&self, session: SessionId) {
        for one in self.with_jobs(session) {
            let halted = in_place(|| self.marks.freeze(one, &BTreeSet::new()));
            if let Ok(halted) = halted
                && halted.left > 0
            {
                warn!(session = %one, left = halted.left, "Processes of a frozen session run.");
            }
        }
    }

    /// Not this host's: nothing is touched. Processes that carry the mark all
    /// the same are told as left.
    fn refuse(&self, command: &Command, received_at: UnixNs) -> Receipt {
        let now = self.clock.now();
        let living = in_place(|| self.marks.processes(command.session));
        // What cannot be looked for is not told as gone.
        let left = count(living.map_or(1, |living| living.len()));
        warn!(
            order = %command.order, session = %command.session, left,
            "An order names a session that is not in this host's table; nothing was touched."
        );
        Receipt {
            left,
            denied_at: now,
            gone_at: (left == 0).then_some(now),
            ..command.receipt(received_at)
        }
    }

    async fn tell(&self, session: Option<Session>, receipt: &Receipt) {
        if receipt.is_done() {
            let counter = match receipt.mode {
                ContainMode::Kill => &self.counters.contained,
                ContainMode::Freeze => &self.counters.frozen,
                ContainMode::Release => &self.counters.released,
            };
            counter.add(1);
            info!(
                order = %receipt.order, session = %receipt.session, mode = %receipt.mode,
                killed = receipt.killed, frozen = receipt.frozen, released = receipt.released,
                cut = receipt.sockets_closed, expired = ?receipt.expired, foreign = ?receipt.foreign, unstored = receipt.unstored,
                "An order about a session was carried out."
            );
        } else {
            error!(
                order = %receipt.order, session = %receipt.session, mode = %receipt.mode, left = receipt.left,
                "Processes of a session do not do what an order wants; it is tried again when the order is repeated."
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

/// An order that the agent gives itself: what follows from the same words at the
/// same time has the same name, however often it is worked out.
pub(crate) fn order_named(at: UnixNs, words: &str) -> OrderId {
    let digest = Sha256::digest(words);
    let bits = digest.iter().take(16);
    let bits = bits.fold(0, |bits, &byte| (bits << 8) | u128::from(byte));
    OrderId::from_parts(at, bits)
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
pub(crate) mod tests;
