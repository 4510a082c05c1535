//! What people and time do with orders: approve, reject, lift, supersede, expire.
//!
//! Who did what, why and when is a step of the order, on disk with it. What is
//! over stays over. Lifting takes denials back and lets frozen sessions go on;
//! it brings no ended session, grant or certificate back.

use monitor_model::{
    clock::UnixNs,
    id::{OrderId, PrincipalId},
    revocation::{
        Mode, Order, Target,
        life::{Asks, OrderStep, Standing},
    },
};
use tracing::info;

use super::{Core, CoreError, Refusal, reach::unknown};

/// What somebody does with an order.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The order.
    pub order: OrderId,
    /// What it becomes: in force, rejected or lifted.
    pub to: Standing,
    /// Who, by name.
    pub by: PrincipalId,
    /// Who, as steps name them: `soc/eve`.
    pub author: String,
    /// Why.
    pub note: String,
}

impl Core {
    /// Carries out what somebody does with an order; doing it again is a
    /// success. On disk after [`Core::publish`].
    ///
    /// # Errors
    /// [`CoreError`]. A [`Refusal`] when nobody knows the order, it does not
    /// stand where this could be done, or another person must do it.
    pub fn decide(&mut self, decision: Decision) -> Result<Result<Order, Refusal>, CoreError> {
        self.expire()?;
        let Decision {
            order: id,
            to,
            by,
            author,
            note,
        } = decision;
        let Some(order) = self.orders.get(&id).cloned() else {
            return Ok(Err(unknown("order", &id)));
        };
        if order.standing() == to && order.steps.iter().any(|step| step.to == to) {
            return Ok(Ok(order));
        }
        if !order.standing().leads_to(to) {
            return Ok(Err(Refusal::OrderStands {
                id,
                state: order.standing().as_str(),
                to: to.as_str(),
            }));
        }
        if let Some(why) = barred(&order, to, &by) {
            return Ok(Err(Refusal::OtherPerson { id, why }));
        }
        let at = self.clock.now();
        let step = OrderStep {
            to,
            by: author,
            note,
            at,
        };
        if to == Standing::InForce {
            return self.approve(order, step).map(Ok);
        }
        self.end_order(order, step).map(Ok)
    }

    /// Puts a proposal in force; it reaches what lives now.
    pub(super) fn approve(
        &mut self,
        mut order: Order,
        step: OrderStep,
    ) -> Result<Order, CoreError> {
        let now = match order.target {
            Target::Session(id) => self.behind_session(id)?.unwrap_or_default(),
            Target::Engineer(_)
            | Target::Grant(_)
            | Target::Tenant(_)
            | Target::Serial(_)
            | Target::Host(_) => self.reached(&order.target),
        };
        for affected in now {
            let known = order.sessions.iter_mut();
            match known
                .into_iter()
                .find(|known| known.session == affected.session)
            {
                Some(known) => *known = affected,
                None => order.sessions.push(affected),
            }
        }
        order.steps.push(step);
        self.enforce(order)
    }

    /// Ends an order or a proposal.
    pub(super) fn end_order(
        &mut self,
        mut order: Order,
        step: OrderStep,
    ) -> Result<Order, CoreError> {
        let was_in_force = order.is_in_force();
        info!(order = %order.id, target = %order.target, standing = step.to.as_str(), by = %step.by,
            note = %step.note, "Order is over.");
        order.steps.push(step);
        self.put_order(order.clone())?;
        self.alerter.forget_order(&order.target);
        if was_in_force {
            self.admit(&order)?;
            self.release(&order)?;
        }
        Ok(order)
    }

    /// Sessions that no order in force holds are live again.
    fn release(&mut self, over: &Order) -> Result<(), CoreError> {
        for affected in over.sessions.iter().filter(|one| one.gone_at.is_none()) {
            let holds = |order: &Order| {
                let mut reached = order.sessions.iter();
                order.is_in_force() && reached.any(|other| other.session == affected.session)
            };
            if self.orders.values().any(holds) {
                continue;
            }
            if let Some(login) = self.sessions.release(affected.session) {
                self.state.put_session(&login)?;
            }
        }
        Ok(())
    }

    /// Ends every order whose time is over. On disk after [`Core::publish`].
    ///
    /// # Errors
    /// [`CoreError`]; the core must be opened anew.
    pub fn expire(&mut self) -> Result<(), CoreError> {
        let now = self.clock.now();
        let is_over = |order: &&Order| {
            order.not_after.is_some_and(|at| at <= now)
                && order.standing().leads_to(Standing::Expired)
        };
        let over: Vec<Order> = self.orders.values().filter(is_over).cloned().collect();
        for order in over {
            let step = OrderStep {
                to: Standing::Expired,
                by: "collector".to_owned(),
                note: "its time is over".to_owned(),
                at: now,
            };
            self.end_order(order, step)?;
        }
        Ok(())
    }

    /// Takes the place of freezes of the same target: what they reached, this
    /// order ends.
    pub(super) fn supersede(&mut self, order: &mut Order, now: UnixNs) -> Result<(), CoreError> {
        let is_same = |known: &&Order| {
            known.mode == Mode::Freeze && known.is_in_force() && known.target == order.target
        };
        let frozen: Vec<Order> = self.orders.values().filter(is_same).cloned().collect();
        for mut known in frozen {
            for affected in &known.sessions {
                let is_new = order
                    .sessions
                    .iter()
                    .all(|other| other.session != affected.session);
                if is_new {
                    order.sessions.push(affected.clone());
                }
            }
            order.supersedes.push(known.id);
            known.steps.push(OrderStep {
                to: Standing::Superseded,
                by: order.cause.initiator.clone(),
                note: format!("order {} took its place", order.id),
                at: now,
            });
            self.put_order(known)?;
        }
        Ok(())
    }
}

/// Why another person must do it.
fn barred(order: &Order, to: Standing, by: &PrincipalId) -> Option<&'static str> {
    let is_own = order.cause.initiator == by.as_str();
    if to == Standing::InForce && order.asks == Some(Asks::Bulk) && is_own {
        return Some("who proposed it cannot be the second person");
    }
    let is_target = order.target == Target::Engineer(by.clone());
    let mut reached = order.sessions.iter();
    if is_target || reached.any(|affected| affected.principal.as_ref() == Some(by)) {
        return Some("it is against yourself");
    }
    None
}
