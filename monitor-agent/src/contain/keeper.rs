//! Keeps sessions as orders want them: what runs again is stopped again, what a
//! daemon starts late for a session that was ended is ended, and what a crash
//! left half done is finished. A session for which an order waits is left to
//! that order.
//!
//! In: the newest receipt of each session, and the kernel's states. Out: the
//! same by the way of orders. Bound: the table of sessions, and as many
//! receipts as are kept. Loss: none.

use std::{sync::Arc, time::Duration};

use monitor_model::{
    contain::{ContainMode, Receipt},
    id::{OrderId, SessionId},
    session::Session,
};
use tokio::{task::JoinSet, time::MissedTickBehavior};
use tracing::{info, warn};

use super::{Command, Containment, Origin, order_named};
use crate::kernel::SessionState;

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(1);

/// Looks after sessions.
#[derive(Debug)]
pub struct Keeper(Arc<Containment>);

impl Keeper {
    /// By the way of orders.
    #[must_use]
    pub const fn new(containment: Arc<Containment>) -> Self {
        Self(containment)
    }

    /// Goes on until the task is ended.
    pub async fn run(self) {
        let mut every = tokio::time::interval(EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            self.look().await;
        }
    }

    pub(super) async fn look(&self) {
        let newest = self.0.receipts.newest();
        self.finish(&newest).await;
        for receipt in &newest {
            match receipt.mode {
                ContainMode::Freeze if receipt.is_done() => self.still(receipt).await,
                ContainMode::Kill if receipt.is_done() => self.late(receipt.session).await,
                ContainMode::Freeze | ContainMode::Kill | ContainMode::Release => {}
            }
        }
    }

    /// Finishes what was begun before, side by side.
    async fn finish(&self, newest: &[Receipt]) {
        let mut running = JoinSet::new();
        for session in self.living() {
            if unfinished(&self.0, newest, &session).is_none() {
                continue;
            }
            let Some(ticket) = self.0.turns.alone(session.id) else {
                continue;
            };
            // Nobody else is at work now, but the order may have been that was:
            // it changes the kernel's state first, and then puts its receipt.
            let newest = self.0.receipts.newest();
            let Some(command) = unfinished(&self.0, &newest, &session) else {
                continue;
            };
            info!(session = %command.session, mode = %command.mode, "What was begun before is finished.");
            let (containment, now) = (Arc::clone(&self.0), self.0.clock.now());
            running.spawn(async move { containment.in_turn(ticket, &command, now).await });
        }
        running.join_all().await;
    }

    fn living(&self) -> Vec<Session> {
        let sessions = self.0.sessions.lock();
        let living = sessions.living().into_iter();
        living.filter_map(|id| sessions.get(id).cloned()).collect()
    }

    /// Stops again what somebody let go on.
    async fn still(&self, receipt: &Receipt) {
        let Some(ticket) = self.0.turns.alone(receipt.session) else {
            return;
        };
        let _turn = ticket.turn().await;
        // An order may have come meanwhile.
        let is_newest = self.0.receipts.newest().contains(receipt);
        let is_frozen = matches!(
            self.0.marks.state(receipt.session),
            Ok(Some(SessionState::Frozen))
        );
        if is_newest && is_frozen {
            self.0.keep_still(receipt.session);
        }
    }

    /// Ends jobs that began after their session was ended.
    async fn late(&self, session: SessionId) {
        if self.0.jobs.of_session(session).is_empty() {
            return;
        }
        let Some(ticket) = self.0.turns.alone(session) else {
            return;
        };
        let _turn = ticket.turn().await;
        let (killed, left) = self.0.end_jobs(session);
        info!(%session, killed, left, "A job of a session that was ended began, and was ended.");
    }
}

/// What the kernel does to a session and the newest receipt does not tell.
fn unfinished(containment: &Containment, newest: &[Receipt], session: &Session) -> Option<Command> {
    let told = newest.iter().find(|receipt| receipt.session == session.id);
    let told = told.map(|receipt| receipt.mode);
    let mode = match containment.marks.state(session.id) {
        Ok(Some(SessionState::Frozen)) => ContainMode::Freeze,
        Ok(Some(SessionState::Killed)) => ContainMode::Kill,
        Ok(Some(SessionState::Open | SessionState::Contained) | None) => return None,
        Err(error) => {
            warn!(%error, session = %session.id, "What the kernel does with a session cannot be read.");
            return None;
        }
    };
    (told != Some(mode)).then(|| Command {
        order: order_of(session, mode),
        session: session.id,
        mode,
        reason: "it was begun before".to_owned(),
        origin: Origin::Unfinished,
    })
}

/// The name of what finishes: the same however often it is tried.
fn order_of(session: &Session, mode: ContainMode) -> OrderId {
    order_named(
        session.opened_at,
        &format!("monitor.v1 unfinished\0{}\0{mode}", session.id),
    )
}
