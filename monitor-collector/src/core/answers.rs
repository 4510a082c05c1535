//! What broker and hosts say of orders, and logins that meet one.
//!
//! Every answer is noted once and repeating it changes nothing, whether the
//! order is still in force or not.

use std::collections::BTreeSet;

use monitor_model::{
    clock::UnixNs,
    contain::{ContainMode, Receipt},
    id::{AgentName, OrderId, PrincipalId, SessionId},
    revocation::{Affected, Mode, Order, REFUSED_MAX, Refused},
};
use tracing::{error, info, warn};

use super::{Core, CoreError, orders::Attempt, reach::affected};

impl Core {
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
                order.list = order.list.or(answer.list);
                self.published_before(&mut order);
                info!(order = %order.id, attempt = order.attempts, revoked = order.revoked.len(), "Broker answered.");
            }
        }
        self.put_order(order.clone())?;
        // One that was taken back meanwhile denies nothing.
        if order.is_in_force() {
            self.deny(&order)?;
        }
        Ok(())
    }

    /// Notes what an agent did to a session; repeating a receipt changes nothing.
    ///
    /// # Errors
    /// [`CoreError`].
    pub fn receipt(&mut self, agent: &AgentName, receipt: &Receipt) -> Result<(), CoreError> {
        if let Some(gone_at) = receipt.gone_at {
            return self.session_gone(receipt.session, gone_at, Some((agent, receipt)));
        }
        if receipt.is_done() {
            info!(order = %receipt.order, session = %receipt.session, host = %agent, mode = %receipt.mode,
                frozen = receipt.frozen, released = receipt.released, "Order carried out on the host.");
        } else {
            error!(order = %receipt.order, session = %receipt.session, host = %agent, mode = %receipt.mode,
                left = receipt.left, "Processes of a session do not do what its order wants.");
        }
        let is_it =
            |affected: &Affected| affected.session == receipt.session && affected.host == *agent;
        let of = self.orders.get(&receipt.order);
        let reached = self
            .orders
            .values()
            .filter(|order| order.sessions.iter().any(is_it))
            .filter(|order| counts_for(order, receipt, of));
        for known in reached.cloned().collect::<Vec<_>>() {
            let mut order = known.clone();
            let (mode, is_past) = (order.mode, order.standing().is_past());
            for affected in order.sessions.iter_mut().filter(|one| is_it(one)) {
                note(affected, receipt, mode, is_past);
            }
            if order != known {
                self.put_order(order)?;
            }
        }
        self.thaw(receipt.session)
    }

    /// A session stands still by its host's events, which may come late: not by
    /// an order of which the host said that it went on.
    pub(super) fn thaw(&mut self, session: SessionId) -> Result<(), CoreError> {
        let Some(login) = self.sessions.get(session) else {
            return Ok(());
        };
        let by = login.session.frozen.map(|frozen| frozen.order);
        let is_over = by.and_then(|by| self.orders.get(&by)).is_some_and(|order| {
            let mut reached = order.sessions.iter();
            order.standing().is_past()
                && reached.any(|one| one.session == session && one.released_at.is_some())
        });
        if is_over && let Some(login) = self.sessions.thaw(session) {
            self.state.put_session(&login)?;
        }
        Ok(())
    }

    /// Confirms, in every order that reaches it, that a session is gone.
    pub(super) fn session_gone(
        &mut self,
        session: SessionId,
        at: UnixNs,
        receipt: Option<(&AgentName, &Receipt)>,
    ) -> Result<(), CoreError> {
        let open = |affected: &Affected| {
            affected.session == session
                && receipt.is_none_or(|(agent, _)| affected.host == *agent)
                && (affected.gone_at.is_none()
                    || receipt.is_some_and(|(_, receipt)| receipt.killed > affected.killed))
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
                affected.left = 0;
                if let Some((_, receipt)) = receipt {
                    affected.killed = receipt.killed;
                    affected.closed = affected.closed.max(receipt.sockets_closed);
                }
                info!(order = %id, %session, host = %affected.host, killed = affected.killed, "Session gone.");
            }
            let holds = order.times.ordered.is_some();
            let mut sessions = order.sessions.iter();
            if holds && sessions.all(|affected| affected.gone_at.is_some()) {
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

    /// Notes the first login that an order made fail, everywhere and on this host.
    pub(super) fn refused_login(
        &mut self,
        (host, at): (&AgentName, UnixNs),
        principal: Option<&PrincipalId>,
        serial: Option<u64>,
    ) -> Result<(), CoreError> {
        let by_serial = serial.and_then(|serial| self.denied.serials.get(&serial));
        let by_name = principal.and_then(|id| self.denied.principals.get(id));
        let ids: BTreeSet<OrderId> = by_serial.into_iter().chain(by_name).copied().collect();
        for id in ids {
            let Some(order) = self.orders.get(&id) else {
                continue;
            };
            let after = order.times.ordered.is_some_and(|ordered| at >= ordered);
            let is_new = order.refused.iter().all(|refused| refused.host != *host);
            if after && is_new && order.refused.len() < REFUSED_MAX {
                let mut order = order.clone();
                order.times.first_refused_login.get_or_insert(at);
                let host = host.clone();
                order.refused.push(Refused { host, at });
                self.put_order(order)?;
            }
        }
        Ok(())
    }

    /// A login that an order in force denies is ended or frozen by that order:
    /// the host may have been away when it was given.
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
        warn!(order = %id, %session, host = %login.session.host, mode = order.mode.as_str(),
            "Login against an order in force.");
        order.sessions.push(affected(&login));
        order.times.last_process_gone = None;
        if let Some(login) = self.sessions.contain(session) {
            self.state.put_session(&login)?;
        }
        self.put_order(order.clone())?;
        self.deny(&order)
    }
}

/// Whether what a host did for one order says anything of another that reaches
/// the same session. Receipts come by two ways, the slower one with the events:
/// what the host was asked after it did this may have undone it. `of` is the
/// order that the receipt names, where it is known.
fn counts_for(order: &Order, receipt: &Receipt, of: Option<&Order>) -> bool {
    if order.id == receipt.order {
        return true;
    }
    match receipt.mode {
        // Nothing undoes it.
        ContainMode::Kill => true,
        // While that order holds, nobody is asked to let the session go on.
        ContainMode::Freeze => of.is_some_and(Order::is_in_force),
        // That order was over when this was asked; one that was put in force
        // later may have frozen the session anew.
        ContainMode::Release => match (of.and_then(Order::over_at), order.times.ordered) {
            (Some(over_at), Some(ordered)) => ordered < over_at,
            (None, _) | (_, None) => false,
        },
    }
}

/// Notes a receipt of a session that lives.
fn note(affected: &mut Affected, receipt: &Receipt, mode: Mode, is_past: bool) {
    match (receipt.mode, mode) {
        (ContainMode::Kill, Mode::Kill) => affected.left = receipt.left,
        (ContainMode::Freeze, Mode::Freeze) => {
            affected.left = receipt.left;
            if receipt.is_done() {
                let at = receipt.frozen_at.unwrap_or(receipt.denied_at);
                affected.frozen_at.get_or_insert(at);
                affected.frozen = affected.frozen.max(receipt.frozen);
                affected.closed = affected.closed.max(receipt.sockets_closed);
            }
        }
        (ContainMode::Release, Mode::Kill | Mode::Freeze) if is_past => {
            affected.left = receipt.left;
            if receipt.is_done() {
                let at = receipt.released_at.unwrap_or(receipt.denied_at);
                affected.released_at.get_or_insert(at);
            }
        }
        (ContainMode::Kill | ContainMode::Freeze | ContainMode::Release, _) => {}
    }
}
