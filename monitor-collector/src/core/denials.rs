//! What orders in force deny: certificates and persons.
//!
//! Each denial stands under one of the orders that hold it up, one that ends
//! sessions before one that freezes them. Bound: [`DENIED_MAX`] denials; beyond,
//! hosts rely on the broker's revocation list, and that is told.

use std::collections::{BTreeMap, BTreeSet};

use monitor_model::{
    id::OrderId,
    revocation::{Mode, Order, Target},
};
use tracing::error;

use super::{Core, CoreError};
use crate::state::Denial;

/// Most denials that are kept.
pub const DENIED_MAX: usize = 200_000;

impl Core {
    /// Denies what an order in force reaches.
    pub(super) fn deny(&mut self, order: &Order) -> Result<(), CoreError> {
        for denial in denials(order) {
            match self.denied.get(&denial) {
                Some(holder) if holder == order.id || !self.freezes(holder) => continue,
                Some(_) if order.mode == Mode::Freeze => continue,
                None if self.denied.len() >= DENIED_MAX => {
                    error!(order = %order.id, ?denial, max = DENIED_MAX,
                        "Deny table full, hosts rely on the broker's revocation list for this one.");
                    continue;
                }
                Some(_) | None => {}
            }
            self.state.put_denial(&denial, order.id)?;
            self.denied.insert(denial, order.id);
        }
        Ok(())
    }

    /// Takes back what an order that is over denied, and no other holds up.
    pub(super) fn admit(&mut self, over: &Order) -> Result<(), CoreError> {
        let mut orphans: BTreeMap<Denial, Option<OrderId>> = denials(over)
            .into_iter()
            .filter(|denial| self.denied.get(denial) == Some(over.id))
            .map(|denial| (denial, None))
            .collect();
        if orphans.is_empty() {
            return Ok(());
        }
        let in_force = |mode: Mode| {
            let orders = self.orders.values();
            orders.filter(move |order| order.mode == mode && order.is_in_force())
        };
        for order in in_force(Mode::Kill).chain(in_force(Mode::Freeze)) {
            for denial in denials(order) {
                if let Some(holder) = orphans.get_mut(&denial) {
                    holder.get_or_insert(order.id);
                }
            }
        }
        for (denial, holder) in orphans {
            if let Some(id) = holder {
                self.state.put_denial(&denial, id)?;
                self.denied.insert(denial, id);
            } else {
                self.state.remove_denial(&denial)?;
                self.denied.remove(&denial);
            }
        }
        Ok(())
    }

    fn freezes(&self, id: OrderId) -> bool {
        let order = self.orders.get(&id);
        order.is_some_and(|order| order.mode == Mode::Freeze)
    }
}

/// What an order denies while it is in force.
pub(super) fn denials(order: &Order) -> BTreeSet<Denial> {
    let of_sessions = order.sessions.iter().filter_map(|affected| affected.serial);
    let of_broker = order.revoked.iter().filter_map(|revoked| revoked.serial);
    let mut denials: BTreeSet<Denial> = of_sessions.chain(of_broker).map(Denial::Serial).collect();
    match &order.target {
        Target::Serial(serial) => _ = denials.insert(Denial::Serial(*serial)),
        Target::Engineer(id) => _ = denials.insert(Denial::Principal(id.clone())),
        Target::Session(_) | Target::Grant(_) | Target::Tenant(_) | Target::Host(_) => {}
    }
    denials
}
