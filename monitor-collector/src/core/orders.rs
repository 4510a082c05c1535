//! Orders as they are given: by people, and by rules as policy allows.
//!
//! An order is in force from the moment it is on disk, unless a person must
//! approve it first or rules are only observed: then nothing is done. What it
//! reaches is ended or frozen here at once: grants, so that later events are
//! judged as revoked; certificates and persons, through the deny table. Broker
//! and hosts are asked by others, from the tables. Bound: [`ORDERS_MAX`] orders;
//! beyond, people are refused and told, and an alert stands without an order,
//! which is told as an error.

use std::sync::Arc;

use monitor_model::{
    alert::{Alert, Response},
    clock::UnixNs,
    grant::GrantState,
    id::OrderId,
    revocation::{
        Cause, Mode, Order, Revoked, Target,
        life::{Asks, OrderStep, Standing},
    },
};
use tracing::{error, info};

use super::{
    Core, CoreError, Refusal,
    reach::{order, short, unknown},
};
use crate::{config::response::ResponseMode, state::Raised};

/// Most orders that are kept.
pub const ORDERS_MAX: usize = 100_000;

/// An order as somebody gives it.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Its name.
    pub id: OrderId,
    /// What is to be revoked.
    pub target: Target,
    /// What is done to it.
    pub mode: Mode,
    /// When it is over by itself.
    pub not_after: Option<UnixNs>,
    /// Why, and by whom.
    pub cause: Cause,
    /// Who gave it, as steps name them: `soc/eve`.
    pub author: String,
    /// When the kernel saw the event behind it.
    pub kernel_event: Option<UnixNs>,
    /// When the alert behind it was raised.
    pub alert: Option<UnixNs>,
}

/// How an attempt to ask the broker went.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The order.
    pub order: OrderId,
    /// When the broker was asked.
    pub asked_at: UnixNs,
    /// What it said, or why it could not be reached.
    pub answer: Result<BrokerAnswer, String>,
}

/// What the broker did.
#[derive(Clone, Debug)]
pub struct BrokerAnswer {
    /// One a credential or grant.
    pub revoked: Vec<Revoked>,
    /// When the revocation list was in place.
    pub published_at: Option<UnixNs>,
    /// The number of that list.
    pub list: Option<u64>,
    /// When the answer came.
    pub at: UnixNs,
}

impl Core {
    /// What an order would reach; nothing is changed. One that would wait for a
    /// person says so.
    ///
    /// # Errors
    /// [`CoreError`]. A [`Refusal`] when nobody knows the target.
    pub fn plan(&self, wanted: Wanted) -> Result<Result<Order, Refusal>, CoreError> {
        let sessions = match &wanted.target {
            Target::Session(id) => match self.behind_session(*id)? {
                Some(sessions) => sessions,
                None => return Ok(Err(unknown("session", id))),
            },
            Target::Grant(id) if !self.world.grants.contains_key(id) => {
                return Ok(Err(unknown("grant", id)));
            }
            Target::Tenant(id) if !self.ledgers.contains_key(id) => {
                return Ok(Err(unknown("tenant", id)));
            }
            Target::Host(id) if !self.knows_host(id)? => return Ok(Err(unknown("host", id))),
            Target::Engineer(_)
            | Target::Grant(_)
            | Target::Tenant(_)
            | Target::Serial(_)
            | Target::Host(_) => self.reached(&wanted.target),
        };
        let mut order = order(wanted, sessions);
        let live = order.sessions.iter().filter(|one| one.gone_at.is_none());
        let most = usize::try_from(self.response.bulk_sessions).unwrap_or(usize::MAX);
        if live.count() > most {
            order.asks = Some(Asks::Bulk);
        }
        Ok(Ok(order))
    }

    /// Gives the order of a person; repeating one is a success. It is in force,
    /// or proposed where it needs a second person. On disk after
    /// [`Core::publish`].
    ///
    /// # Errors
    /// [`CoreError`]. A [`Refusal`] when nobody knows the target, when an order
    /// of that name does something else, or when there are too many.
    pub fn order(&mut self, wanted: Wanted) -> Result<Result<Order, Refusal>, CoreError> {
        if let Some(known) = self.orders.get(&wanted.id) {
            if known.target == wanted.target && known.mode == wanted.mode {
                return Ok(Ok(known.clone()));
            }
            return Ok(Err(Refusal::OrderDiffers {
                id: known.id,
                target: known.target.to_string(),
            }));
        }
        if self.orders.len() >= ORDERS_MAX {
            return Ok(Err(Refusal::OrdersFull { max: ORDERS_MAX }));
        }
        let author = wanted.author.clone();
        let order = match self.plan(wanted)? {
            Ok(order) => order,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if order.asks.is_none() {
            return self.enforce(order).map(Ok);
        }
        let note = format!(
            "it reaches more than {} live sessions: a second person must approve it",
            self.response.bulk_sessions
        );
        self.keep(order, Standing::Proposed, author, note).map(Ok)
    }

    /// Gives the order of an alert, if it asks for one; comes back with the
    /// notice that rules would cut off too much, where this order begins it.
    pub(super) fn order_for(&mut self, alert: &Alert) -> Result<Option<Raised>, CoreError> {
        let mode = match alert.response {
            Response::Notify => return Ok(None),
            Response::Ask => self.alerter.wish(&alert.rule),
            Response::Freeze => Mode::Freeze,
            Response::Revoke => Mode::Kill,
        };
        let (Some(id), Some(session)) = (alert.order, alert.session) else {
            return Ok(None);
        };
        let author = format!("rule {}", alert.rule);
        let wanted = Wanted {
            id,
            target: Target::Session(session),
            mode,
            not_after: None,
            cause: Cause {
                text: short(&alert.sentence),
                alert: Some(alert.id),
                event: Some(alert.event.clone()),
                initiator: author.clone(),
            },
            author: author.clone(),
            kernel_event: Some(alert.event_at),
            alert: Some(alert.at),
        };
        if self.orders.contains_key(&id) {
            return Ok(None);
        }
        if self.orders.len() >= ORDERS_MAX {
            error!(alert = %alert.id, max = ORDERS_MAX, "Too many orders, the alert gives none.");
            return Ok(None);
        }
        // An agent speaks for its own host only.
        let sessions = self.behind_session(session)?.filter(|sessions| {
            let first = sessions.first();
            first.is_some_and(|affected| affected.host == alert.host)
        });
        let sessions = sessions.unwrap_or_else(|| vec![self.unlisted(session, alert)]);
        let mut order = order(wanted, sessions);
        let mut notice = None;
        order.asks = if alert.response == Response::Ask {
            Some(Asks::Policy)
        } else if self.is_storm(&order) {
            notice = self.storm_notice(alert);
            Some(Asks::Storm)
        } else {
            None
        };
        match (self.response.mode, order.asks) {
            (ResponseMode::Observe, asks) => {
                let note = would_have_been(asks);
                self.keep(order, Standing::Observed, author, note.to_owned())?;
                notice = None;
            }
            (ResponseMode::Enforce, Some(asks)) => {
                self.keep(order, Standing::Proposed, author, why(asks).to_owned())?;
            }
            (ResponseMode::Enforce, None) => _ = self.enforce(order)?,
        }
        Ok(notice)
    }

    /// Keeps an order of which nothing is done.
    pub(super) fn keep(
        &mut self,
        mut order: Order,
        to: Standing,
        by: String,
        note: String,
    ) -> Result<Order, CoreError> {
        info!(order = %order.id, target = %order.target, sessions = order.sessions.len(),
            initiator = %order.cause.initiator, standing = to.as_str(), %note, "Order kept, nothing is done.");
        let at = self.clock.now();
        order.steps.push(OrderStep { to, by, note, at });
        self.put_order(order.clone())?;
        Ok(order)
    }

    /// Puts an order in force.
    pub(super) fn enforce(&mut self, mut order: Order) -> Result<Order, CoreError> {
        let now = self.clock.now();
        order.times.ordered = Some(now);
        if order.mode == Mode::Kill {
            self.supersede(&mut order, now)?;
            self.end_grants(&order, now)?;
        }
        for affected in &order.sessions {
            let known = self.sessions.get(affected.session);
            let same = known.is_some_and(|login| login.session.host == affected.host);
            if same && let Some(login) = self.sessions.contain(affected.session) {
                self.state.put_session(&login)?;
            }
        }
        info!(order = %order.id, target = %order.target, mode = order.mode.as_str(),
            sessions = order.sessions.len(), initiator = %order.cause.initiator,
            reason = %order.cause.text, "Order in force.");
        self.put_order(order.clone())?;
        self.deny(&order)?;
        Ok(order)
    }

    fn end_grants(&mut self, order: &Order, now: UnixNs) -> Result<(), CoreError> {
        for id in self.ended_by(order) {
            if let Some(mut grant) = self.world.grants.get(&id).cloned() {
                let reason = format!("order {}: {}", order.id, order.cause.text);
                grant.state = GrantState::Ended { at: now, reason };
                self.change_grant(grant)?;
            }
        }
        Ok(())
    }

    pub(super) fn put_order(&mut self, order: Order) -> Result<(), CoreError> {
        self.enter_order(&order)?;
        self.state.put_order(&order)?;
        if let Some(book) = &mut self.book {
            book.note(&order);
        }
        self.orders.insert(order.id, order);
        self.tables_orders_moved = true;
        Ok(())
    }

    /// Makes the tables say which orders wait for whom.
    pub(super) fn refresh_orders(&mut self) {
        if !std::mem::take(&mut self.tables_orders_moved) {
            return;
        }
        let unanswered = self
            .orders
            .values()
            .filter(|order| order.is_in_force() && !order.is_answered());
        self.tables.unanswered = Arc::new(unanswered.cloned().collect());
        self.tables.commands = Arc::new(super::commands::open(&self.orders));
        self.tables.book = self.book.clone().map(Arc::new);
    }

    /// Whether sessions or an agent of that name were ever seen.
    fn knows_host(&self, id: &monitor_model::id::AgentName) -> Result<bool, CoreError> {
        let lives = self.sessions.iter().any(|login| login.session.host == *id);
        Ok(lives || self.state.has_host(id)?)
    }
}

pub(super) const fn why(asks: Asks) -> &'static str {
    match asks {
        Asks::Policy => "policy asks a person first",
        Asks::Storm => "rules cut off as much as they may within the time already",
        Asks::Bulk => "a second person must approve it",
    }
}

pub(super) const fn would_have_been(asks: Option<Asks>) -> &'static str {
    match asks {
        None => "observe mode: it would have been in force at once",
        Some(Asks::Policy) => {
            "observe mode: it would have been proposed, since policy asks a person first"
        }
        Some(Asks::Storm | Asks::Bulk) => {
            "observe mode: it would have been proposed, since rules would have cut off too much"
        }
    }
}
