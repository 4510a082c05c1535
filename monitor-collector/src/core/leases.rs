//! What becomes of credentials that are in use on a host that is lost.
//!
//! Where nobody sees what a session does, its credentials are good for a short
//! time only: an order for the host's sessions is kept as proposed, and comes into
//! force by itself when that time is over, or when a person approves it before. It
//! is taken back when the host is well again, or when a person rejects it. Mode,
//! limits and cap of rules hold for it as it is given, and again as it comes into
//! force. Bound: one such order a host that is proposed or in force.

use monitor_model::{
    alert::Response,
    id::AgentName,
    revocation::{
        Affected, Cause, Mode, Order, Target,
        life::{Asks, OrderStep, Standing},
    },
};
use tracing::error;

use super::{
    Core, CoreError,
    orders::{ORDERS_MAX, Wanted, why, would_have_been},
    reach::{order, short},
};
use crate::{
    alert::{raising::host_order_id, sign::Sign},
    config::{lost::Leases, response::ResponseMode},
    state::Raised,
};

impl Core {
    /// Gives the order that policy wants when a host is lost, and notes it on the
    /// alert; comes back with the notice that rules would cut off too much, where
    /// this order begins it.
    pub(super) fn shorten_leases(
        &mut self,
        sign: Sign,
        raised: &mut Raised,
    ) -> Result<Option<Raised>, CoreError> {
        let wanted = match self.lost.leases {
            Leases::Keep => return Ok(None),
            Leases::Ask => Response::Ask,
            Leases::Shorten => Response::Revoke,
        };
        let target = Target::Host(raised.alert.host.clone());
        let sessions = self.reached(&target);
        let response = self.at_most(wanted, &sessions);
        let is_wanted = sign.loses_host() && response != Response::Notify;
        if !is_wanted || sessions.is_empty() || self.has_order_of_rule(&target) {
            return Ok(None);
        }
        if self.orders.len() >= ORDERS_MAX {
            error!(alert = %raised.alert.id, max = ORDERS_MAX, "Too many orders, leases on a lost host run on.");
            return Ok(None);
        }
        let author = format!("rule {}", raised.alert.rule);
        let wanted = wanted_of(raised, target, response, &author);
        let mut order = order(wanted, sessions);
        let mut notice = None;
        order.asks = if response == Response::Ask {
            Some(Asks::Policy)
        } else if self.is_storm(&order) {
            notice = self.storm_notice(&raised.alert);
            Some(Asks::Storm)
        } else {
            None
        };
        let observes = self.response.mode == ResponseMode::Observe;
        raised.alert.order = Some(order.id);
        raised.alert.response = order.asks.map_or(response, |_| Response::Ask);
        raised.alert.observed = observes;
        if let Some(asks) = order.asks {
            let (to, note) = if observes {
                (Standing::Observed, would_have_been(Some(asks)))
            } else {
                (Standing::Proposed, why(asks))
            };
            self.keep(order, to, author, note.to_owned())?;
        } else {
            let seconds = self.lost.lease.as_secs();
            let (to, note) = if observes {
                let note = format!("observe mode: it would have come into force after {seconds} s");
                (Standing::Observed, note)
            } else {
                order.due = Some(self.clock.now().plus(self.lost.lease));
                let note = format!("in force after {seconds} s, unless the host is well before");
                (Standing::Proposed, note)
            };
            self.keep(order, to, author, note)?;
        }
        Ok(notice.filter(|_| !observes))
    }

    /// Takes back what waits for hosts that are well again of what passes by
    /// itself.
    pub(super) fn leases_run_on(&mut self, well: &[AgentName]) -> Result<(), CoreError> {
        let waits = |order: &&Order| {
            let rule = order.cause.initiator.strip_prefix("rule ");
            order.standing() == Standing::Proposed
                && order.is_by_rule()
                && matches!(&order.target, Target::Host(host) if well.contains(host))
                && rule.is_some_and(|rule| self.alerter.passes(rule))
        };
        let over: Vec<Order> = self.orders.values().filter(waits).cloned().collect();
        for order in over {
            let step = self.step(Standing::Expired, "the host is well again");
            self.end_order(order, step)?;
        }
        Ok(())
    }

    /// Puts in force what is due, as policy allows it now.
    pub(super) fn end_leases(&mut self) -> Result<(), CoreError> {
        let now = self.clock.now();
        let is_due = |order: &&Order| {
            order.standing() == Standing::Proposed && order.due.is_some_and(|due| due <= now)
        };
        let due: Vec<Order> = self.orders.values().filter(is_due).cloned().collect();
        for order in due {
            self.end_lease(order)?;
        }
        Ok(())
    }

    fn end_lease(&mut self, mut order: Order) -> Result<(), CoreError> {
        // Whoever left meanwhile keeps their credentials.
        order.sessions = self.reached(&order.target);
        let strongest = match order.mode {
            Mode::Kill => Response::Revoke,
            Mode::Freeze => Response::Freeze,
        };
        let response = self.at_most(strongest, &order.sessions);
        let over = if order.sessions.is_empty() {
            Some("no session lives there any more")
        } else if self.response.mode == ResponseMode::Observe {
            Some("observe mode: it would have come into force now")
        } else if response == Response::Notify {
            Some("policy allows no order any more")
        } else {
            None
        };
        if let Some(note) = over {
            let step = self.step(Standing::Expired, note);
            return self.end_order(order, step).map(drop);
        }
        let asks = if response < strongest {
            Some(Asks::Policy)
        } else if self.is_storm(&order) {
            Some(Asks::Storm)
        } else {
            None
        };
        if let Some(asks) = asks {
            (order.asks, order.due) = (Some(asks), None);
            let step = self.step(Standing::Proposed, why(asks));
            return self.keep(order, step.to, step.by, step.note).map(drop);
        }
        let step = self.step(Standing::InForce, "the host was lost for as long");
        self.approve(order, step).map(drop)
    }

    /// The weakest that limits leave of a response, over all sessions: one order
    /// reaches them all.
    fn at_most(&self, wanted: Response, sessions: &[Affected]) -> Response {
        let allowed = sessions.iter().map(|affected| {
            let grants = &self.world.grants;
            let grant = affected.grants.first().and_then(|id| grants.get(id));
            let tier = grant.map(|grant| grant.tier);
            self.response
                .at_most(wanted, affected.tenant.as_ref(), tier)
        });
        allowed.fold(wanted, Response::min)
    }

    /// Whether an order of a rule for this target waits or is in force.
    fn has_order_of_rule(&self, target: &Target) -> bool {
        self.orders.values().any(|order| {
            order.target == *target
                && order.is_by_rule()
                && matches!(order.standing(), Standing::Proposed | Standing::InForce)
        })
    }

    fn step(&self, to: Standing, note: &str) -> OrderStep {
        OrderStep {
            to,
            by: "collector".to_owned(),
            note: note.to_owned(),
            at: self.clock.now(),
        }
    }
}

fn wanted_of(raised: &Raised, target: Target, response: Response, author: &str) -> Wanted {
    let alert = &raised.alert;
    Wanted {
        id: host_order_id(alert),
        target,
        mode: match response {
            Response::Freeze => Mode::Freeze,
            Response::Revoke | Response::Ask | Response::Notify => Mode::Kill,
        },
        not_after: None,
        cause: Cause {
            text: short(&alert.sentence),
            alert: Some(alert.id),
            event: Some(alert.event.clone()),
            initiator: author.to_owned(),
        },
        author: author.to_owned(),
        kernel_event: Some(alert.event_at),
        alert: Some(alert.at),
    }
}
