//! An engineer left, a ticket was closed: as the broker says.
//!
//! In: who or what is over. Out: its grants ended, in every mode, since they are
//! the broker's; and orders for the live sessions that stand on nothing else, in
//! force, proposed or observed as policy has it for what is not a person. Level-
//! triggered: said again, what was missed is made good, under the same names.

use std::collections::BTreeSet;

use monitor_model::{
    clock::UnixNs,
    grant::{Grant, GrantState, Life},
    id::{GrantId, OrderId, PrincipalId, SessionId},
    revocation::{
        Affected, Cause, Mode, Order, Target,
        life::{Asks, Standing},
    },
};
use sha2::{Digest as _, Sha256};
use tracing::info;

use super::{
    Core, CoreError, Refusal,
    orders::{ORDERS_MAX, Wanted, why, would_have_been},
    reach::order,
};
use crate::{config::response::ResponseMode, state::Login};

/// Whose grants and sessions are over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A principal who left.
    Engineer(PrincipalId),
    /// A ticket that was closed.
    Ticket(String),
}

impl Subject {
    fn has(&self, grant: &Grant) -> bool {
        match self {
            Self::Engineer(id) => grant.principal == *id,
            Self::Ticket(ticket) => grant.ticket == *ticket,
        }
    }

    /// The order's reason for a session.
    fn words(&self, reason: &str) -> String {
        match self {
            Self::Engineer(id) => format!("engineer {id} left: {reason}"),
            Self::Ticket(ticket) => format!("ticket {ticket} was closed: {reason}"),
        }
    }
}

/// The end as the broker tells it.
#[derive(Clone, Debug)]
pub struct Ending {
    /// The idempotency key.
    pub id: OrderId,
    /// Whose.
    pub subject: Subject,
    /// Why.
    pub reason: String,
    /// The broker, by name.
    pub initiator: String,
    /// The broker, as steps name it: `broker/b`.
    pub author: String,
}

/// What followed.
#[derive(Clone, Debug, Default)]
pub struct Ended {
    /// Its grants, all of them ended.
    pub grants: Vec<GrantId>,
    /// Live sessions that stood on nothing else.
    pub sessions: usize,
    /// The orders for them.
    pub orders: Vec<Order>,
}

impl Core {
    /// Ends what a subject holds; saying it again changes nothing that was done.
    /// On disk after [`Core::publish`].
    ///
    /// # Errors
    /// [`CoreError`]. A [`Refusal`] when an order of that name does something
    /// else, or there are too many.
    pub fn end_subject(&mut self, ending: &Ending) -> Result<Result<Ended, Refusal>, CoreError> {
        let target = match &ending.subject {
            Subject::Engineer(id) => Some(Target::Engineer(id.clone())),
            Subject::Ticket(_) => None,
        };
        let known = self.orders.get(&ending.id);
        if let Some(other) = known.filter(|known| Some(&known.target) != target.as_ref()) {
            return Ok(Err(Refusal::OrderDiffers {
                id: other.id,
                target: other.target.to_string(),
            }));
        }
        if self.orders.len() >= ORDERS_MAX {
            return Ok(Err(Refusal::OrdersFull { max: ORDERS_MAX }));
        }
        let is_held = self.holds(&ending.subject);
        let mut ended = Ended {
            grants: self.end_all(ending)?,
            ..Ended::default()
        };
        match target {
            Some(target) if is_held || self.orders.contains_key(&ending.id) => {
                let sessions = self.reached(&target);
                ended.sessions = sessions.len();
                let asks = self.asks_for(sessions.len());
                let given = self.give(ending, (ending.id, target), sessions, asks)?;
                ended.orders.push(given);
            }
            Some(_) => {}
            None => self.end_sessions(ending, &mut ended)?,
        }
        info!(ending = %ending.id, subject = ?ending.subject, by = %ending.author,
            grants = ended.grants.len(), sessions = ended.sessions, "Subject ended.");
        Ok(Ok(ended))
    }

    /// Whether anything of a subject may open or hold a session.
    fn holds(&self, subject: &Subject) -> bool {
        let now = self.clock.now();
        let mut grants = self.world.grants.values();
        let lives = |login: &Login| match subject {
            Subject::Engineer(id) => login.session.principal.as_ref() == Some(id),
            Subject::Ticket(_) => false,
        };
        grants.any(|grant| subject.has(grant) && grant.expires > now)
            || self.sessions.iter().any(lives)
    }

    /// Ends every grant of a subject; gives all of them that are ended.
    fn end_all(&mut self, ending: &Ending) -> Result<Vec<GrantId>, CoreError> {
        let now = self.clock.now();
        let of: Vec<Grant> = self
            .world
            .grants
            .values()
            .filter(|grant| ending.subject.has(grant) && grant.expires > now)
            .cloned()
            .collect();
        let mut ids = Vec::with_capacity(of.len());
        for mut grant in of {
            ids.push(grant.id.clone());
            if grant.state == GrantState::Standing {
                let words = ending.subject.words(&ending.reason);
                let reason = format!("{words} (by {})", ending.initiator);
                grant.state = GrantState::Ended { at: now, reason };
                self.change_grant(grant)?;
            }
        }
        ids.sort();
        Ok(ids)
    }

    /// Gives an order for each certificate whose sessions stand on nothing else.
    fn end_sessions(&mut self, ending: &Ending, ended: &mut Ended) -> Result<(), CoreError> {
        let now = self.clock.now();
        let of: BTreeSet<&GrantId> = ended.grants.iter().collect();
        let alive = |id: &GrantId| {
            let grant = self.world.grants.get(id);
            grant.is_some_and(|grant| grant.life(now) == Life::Alive)
        };
        let over = |login: &&Login| {
            let grants = &login.session.grants;
            grants.iter().any(|id| of.contains(id)) && !grants.iter().any(alive)
        };
        let sessions: Vec<SessionId> = self
            .sessions
            .iter()
            .filter(over)
            .map(|login| login.session.id)
            .collect();
        let asks = self.asks_for(sessions.len());
        let mut reached: BTreeSet<SessionId> = BTreeSet::new();
        for id in &sessions {
            if reached.contains(id) {
                continue;
            }
            let behind = self.behind_session(*id)?.unwrap_or_default();
            reached.extend(behind.iter().map(|affected| affected.session));
            let name = name(ending, *id);
            let given = self.give(ending, (name, Target::Session(*id)), behind, asks)?;
            ended.orders.push(given);
        }
        ended.sessions = sessions.len();
        Ok(())
    }

    /// Why a person must approve orders for so many sessions.
    fn asks_for(&self, sessions: usize) -> Option<Asks> {
        let most = usize::try_from(self.response.bulk_sessions).unwrap_or(usize::MAX);
        (sessions > most).then_some(Asks::Bulk)
    }

    /// Gives an order as policy has it; one that is there stays as it is.
    fn give(
        &mut self,
        ending: &Ending,
        (id, target): (OrderId, Target),
        sessions: Vec<Affected>,
        asks: Option<Asks>,
    ) -> Result<Order, CoreError> {
        if let Some(known) = self.orders.get(&id) {
            return Ok(known.clone());
        }
        let author = ending.author.clone();
        let wanted = Wanted {
            id,
            target,
            mode: Mode::Kill,
            not_after: None,
            cause: Cause {
                text: super::reach::short(&ending.subject.words(&ending.reason)),
                alert: None,
                event: None,
                initiator: ending.initiator.clone(),
            },
            author: author.clone(),
            kernel_event: None,
            alert: None,
        };
        let mut order = order(wanted, sessions);
        order.asks = asks;
        match (self.response.mode, asks) {
            (ResponseMode::Observe, asks) => {
                let note = would_have_been(asks).to_owned();
                self.keep(order, Standing::Observed, author, note)
            }
            (ResponseMode::Enforce, Some(asks)) => {
                self.keep(order, Standing::Proposed, author, why(asks).to_owned())
            }
            (ResponseMode::Enforce, None) => self.enforce(order),
        }
    }
}

/// The name of the order for a session: the same whenever the end is told again.
fn name(ending: &Ending, session: SessionId) -> OrderId {
    let digest = Sha256::new()
        .chain_update(ending.id.to_bytes())
        .chain_update(session.to_bytes())
        .finalize();
    // The time of the end stays in front, so that orders sort by it.
    let time = ending.id.to_bytes().into_iter().take(6);
    let millis = time.fold(0, |millis: u64, byte| (millis << 8) | u64::from(byte));
    let random = digest.first_chunk::<16>().copied();
    OrderId::from_parts(
        UnixNs(millis.saturating_mul(1_000_000)),
        u128::from_be_bytes(random.unwrap_or_default()),
    )
}
