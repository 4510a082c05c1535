//! Whom an order reaches, and what becomes of it.
//!
//! An order is in force from the moment it is on disk. What it reaches is
//! ended here at once: grants, so that later events are judged as revoked;
//! certificates and persons, through the deny table. Broker and hosts are
//! asked by others, from the tables. Bound: [`ORDERS_MAX`] orders and
//! [`DENIED_MAX`] denials; beyond, people are refused and told, and an alert
//! stands without an order, which is told as an error.

use std::{collections::BTreeSet, sync::Arc};

use monitor_model::{
    alert::{Alert, Response},
    clock::UnixNs,
    contain::ContainMode,
    event::Receipt,
    grant::GrantState,
    id::{AgentName, OrderId, PrincipalId, SessionId},
    revocation::{Affected, Cause, Order, Revoked, Target},
};
use tracing::{error, info, warn};

use super::{
    Core, CoreError, Refusal,
    reach::{affected, order, short, unknown},
};
use crate::{state::Denial, tables::Command};

/// Most orders that are kept.
pub const ORDERS_MAX: usize = 100_000;
/// Most denials that are kept.
pub const DENIED_MAX: usize = 200_000;

/// An order as somebody gives it.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Its name.
    pub id: OrderId,
    /// What is to be revoked.
    pub target: Target,
    /// Why, and by whom.
    pub cause: Cause,
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
    /// When the answer came.
    pub at: UnixNs,
}

impl Core {
    /// What an order would reach; nothing is changed.
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
            Target::Engineer(_) | Target::Grant(_) | Target::Tenant(_) | Target::Serial(_) => {
                self.reached(&wanted.target)
            }
        };
        Ok(Ok(order(wanted, sessions)))
    }

    /// Gives an order; repeating one is a success. On disk after
    /// [`Core::publish`].
    ///
    /// # Errors
    /// [`CoreError`]. A [`Refusal`] when nobody knows the target, when an order
    /// of that name revokes something else, or when there are too many.
    pub fn order(&mut self, wanted: Wanted) -> Result<Result<Order, Refusal>, CoreError> {
        if let Some(known) = self.orders.get(&wanted.id) {
            if known.target == wanted.target {
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
        match self.plan(wanted)? {
            Ok(order) => self.enforce(order).map(Ok),
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    /// Gives the order of an alert, if it asks for one.
    pub(super) fn order_for(&mut self, alert: &Alert) -> Result<(), CoreError> {
        let (Response::Revoke, Some(id), Some(session)) =
            (alert.response, alert.order, alert.session)
        else {
            return Ok(());
        };
        let wanted = Wanted {
            id,
            target: Target::Session(session),
            cause: Cause {
                text: short(&alert.sentence),
                alert: Some(alert.id),
                event: Some(alert.event.clone()),
                initiator: format!("rule {}", alert.rule),
            },
            kernel_event: Some(alert.event_at),
            alert: Some(alert.at),
        };
        if self.orders.contains_key(&id) {
            return Ok(());
        }
        if self.orders.len() >= ORDERS_MAX {
            error!(alert = %alert.id, max = ORDERS_MAX, "Too many orders, the alert gives none.");
            return Ok(());
        }
        // An agent speaks for its own host only.
        let sessions = self.behind_session(session)?.filter(|sessions| {
            let first = sessions.first();
            first.is_some_and(|affected| affected.host == alert.host)
        });
        let sessions = sessions.unwrap_or_else(|| vec![self.unlisted(session, alert)]);
        self.enforce(order(wanted, sessions)).map(|_| ())
    }

    fn enforce(&mut self, mut order: Order) -> Result<Order, CoreError> {
        let now = self.clock.now();
        order.times.ordered = Some(now);
        for id in self.ended_by(&order) {
            if let Some(mut grant) = self.world.grants.get(&id).cloned() {
                let reason = format!("order {}: {}", order.id, order.cause.text);
                grant.state = GrantState::Ended { at: now, reason };
                self.change_grant(grant)?;
            }
        }
        for affected in &order.sessions {
            let known = self.sessions.get(affected.session);
            let same = known.is_some_and(|login| login.session.host == affected.host);
            if same && let Some(login) = self.sessions.contain(affected.session) {
                self.state.put_session(&login)?;
            }
        }
        self.deny(&order)?;
        info!(order = %order.id, target = %order.target, sessions = order.sessions.len(),
            initiator = %order.cause.initiator, reason = %order.cause.text, "Order in force.");
        self.put_order(order.clone())?;
        Ok(order)
    }

    fn deny(&mut self, order: &Order) -> Result<(), CoreError> {
        let mut denials: BTreeSet<Denial> = order
            .sessions
            .iter()
            .filter_map(|affected| affected.serial)
            .map(Denial::Serial)
            .collect();
        denials.extend(
            order
                .revoked
                .iter()
                .filter_map(|revoked| revoked.serial)
                .map(Denial::Serial),
        );
        match &order.target {
            Target::Serial(serial) => _ = denials.insert(Denial::Serial(*serial)),
            Target::Engineer(id) => _ = denials.insert(Denial::Principal(id.clone())),
            Target::Session(_) | Target::Grant(_) | Target::Tenant(_) => {}
        }
        for denial in denials {
            if self.denied.len() >= DENIED_MAX {
                error!(order = %order.id, ?denial, max = DENIED_MAX,
                    "Deny table full, hosts rely on the broker's revocation list for this one.");
                continue;
            }
            self.state.put_denial(&denial, order.id)?;
            match denial {
                Denial::Serial(serial) => _ = self.denied.serials.entry(serial).or_insert(order.id),
                Denial::Principal(id) => _ = self.denied.principals.entry(id).or_insert(order.id),
            }
        }
        Ok(())
    }

    /// Notes how an attempt to ask the broker went.
    ///
    /// # Errors
    /// [`CoreError`].
    pub fn attempted(&mut self, attempt: Attempt) -> Result<(), CoreError> {
        let Some(mut order) = self.orders.get(&attempt.order).cloned() else {
            return Ok(());
        };
        order.attempts = order.attempts.saturating_add(1);
        order.times.delivered.get_or_insert(attempt.asked_at);
        match attempt.answer {
            Err(cause) => {
                warn!(order = %order.id, attempt = order.attempts, %cause, "Broker has not revoked, asking again.");
                order.last_error = cause;
            }
            Ok(answer) => {
                order.times.broker_answered.get_or_insert(answer.at);
                order.times.krl_published = order.times.krl_published.or(answer.published_at);
                order.revoked = answer.revoked;
                info!(order = %order.id, attempt = order.attempts, revoked = order.revoked.len(), "Broker answered.");
                self.deny(&order)?;
            }
        }
        self.put_order(order)
    }

    /// Notes what an agent did to a session; repeating a receipt changes nothing.
    ///
    /// # Errors
    /// [`CoreError`].
    pub fn receipt(&mut self, agent: &AgentName, receipt: &Receipt) -> Result<(), CoreError> {
        if let Some(gone_at) = receipt.gone_at {
            return self.session_gone(receipt.session, gone_at, Some((agent, receipt.killed)));
        }
        if receipt.is_done() {
            info!(order = %receipt.order, session = %receipt.session, host = %agent, mode = %receipt.mode,
                frozen = receipt.frozen, released = receipt.released, "Order carried out on the host.");
        } else {
            error!(order = %receipt.order, session = %receipt.session, host = %agent, mode = %receipt.mode,
                left = receipt.left, "Processes of a session do not do what its order wants.");
        }
        Ok(())
    }

    /// Confirms, in every order that reaches it, that a session is gone.
    pub(super) fn session_gone(
        &mut self,
        session: SessionId,
        at: UnixNs,
        receipt: Option<(&AgentName, u32)>,
    ) -> Result<(), CoreError> {
        let open = |affected: &Affected| {
            affected.session == session
                && receipt.is_none_or(|(agent, _)| affected.host == *agent)
                && (affected.gone_at.is_none()
                    || receipt.is_some_and(|(_, killed)| killed > affected.killed))
        };
        let touched: Vec<OrderId> = self
            .orders
            .values()
            .filter(|order| order.sessions.iter().any(open))
            .map(|order| order.id)
            .collect();
        for id in touched {
            let Some(mut order) = self.orders.get(&id).cloned() else {
                continue;
            };
            for affected in order.sessions.iter_mut().filter(|affected| open(affected)) {
                affected.gone_at.get_or_insert(at);
                affected.killed = receipt.map_or(affected.killed, |(_, killed)| killed);
                info!(order = %id, %session, host = %affected.host, killed = affected.killed, "Session gone.");
            }
            if order
                .sessions
                .iter()
                .all(|affected| affected.gone_at.is_some())
            {
                order.times.last_process_gone = order
                    .sessions
                    .iter()
                    .filter_map(|affected| affected.gone_at)
                    .max();
            }
            self.put_order(order)?;
        }
        Ok(())
    }

    /// Notes the first login that an order made fail.
    pub(super) fn refused_login(
        &mut self,
        principal: Option<&PrincipalId>,
        serial: Option<u64>,
        at: UnixNs,
    ) -> Result<(), CoreError> {
        let by_serial = serial.and_then(|serial| self.denied.serials.get(&serial));
        let by_name = principal.and_then(|id| self.denied.principals.get(id));
        let ids: BTreeSet<OrderId> = by_serial.into_iter().chain(by_name).copied().collect();
        for id in ids {
            let Some(order) = self.orders.get(&id) else {
                continue;
            };
            let after = order.times.ordered.is_some_and(|ordered| at >= ordered);
            if after && order.times.first_refused_login.is_none() {
                let mut order = order.clone();
                order.times.first_refused_login = Some(at);
                self.put_order(order)?;
            }
        }
        Ok(())
    }

    /// A login that an order in force denies is ended by that order: the host
    /// may have been away when it was given.
    pub(super) fn converge(&mut self, session: SessionId) -> Result<(), CoreError> {
        let Some(login) = self.sessions.get(session).cloned() else {
            return Ok(());
        };
        let Some(id) = self.against(&login.session) else {
            return Ok(());
        };
        let Some(mut order) = self.orders.get(&id).cloned() else {
            return Ok(());
        };
        if order
            .sessions
            .iter()
            .any(|affected| affected.session == session)
        {
            return Ok(());
        }
        warn!(order = %id, %session, host = %login.session.host, "Login against an order in force, ending it.");
        order.sessions.push(affected(&login));
        order.times.last_process_gone = None;
        if let Some(login) = self.sessions.contain(session) {
            self.state.put_session(&login)?;
        }
        self.put_order(order)
    }

    fn put_order(&mut self, order: Order) -> Result<(), CoreError> {
        self.state.put_order(&order)?;
        self.orders.insert(order.id, order);
        self.tables_orders_moved = true;
        Ok(())
    }

    /// Makes the tables say which orders wait for whom.
    pub(super) fn refresh_orders(&mut self) {
        if !std::mem::take(&mut self.tables_orders_moved) {
            return;
        }
        let mut commands = Vec::new();
        let mut asked = BTreeSet::new();
        for order in self.orders.values() {
            for open in order
                .sessions
                .iter()
                .filter(|affected| affected.gone_at.is_none())
            {
                if asked.insert((open.session, &open.host)) {
                    commands.push(Command {
                        order: order.id,
                        session: open.session,
                        host: open.host.clone(),
                        mode: ContainMode::Kill,
                        reason: order.cause.text.clone(),
                    });
                }
            }
        }
        let unanswered = self
            .orders
            .values()
            .filter(|order| order.times.broker_answered.is_none());
        self.tables.unanswered = Arc::new(unanswered.cloned().collect());
        self.tables.commands = Arc::new(commands);
    }
}
