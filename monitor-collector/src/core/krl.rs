//! The broker's revocation list on its way to hosts, and which of them has it.
//!
//! In: lists as the broker published them, and what agents have put in place.
//! Out: the newest list, for every agent that keeps one; on orders, when each host had the
//! list that they are on. Numbers only ascend. Bound: one list, one row a host.

use std::{collections::BTreeMap, sync::Arc};

use monitor_model::{
    bytes::ByteText,
    clock::UnixNs,
    event::{Action, HostChange},
    id::{AgentName, OrderId, PrincipalId, TenantId},
    krl::{ListInPlace, RevocationList},
    revocation::{Order, PUBLISHED_MAX, Published},
};
use tracing::{error, info};

use super::{Core, CoreError, Refusal, voice::Said};
use crate::state::{State, StateError};

/// What is known of lists.
#[derive(Clone, Debug, Default)]
pub struct Lists {
    /// The newest; none before the broker put one.
    pub newest: Option<Arc<RevocationList>>,
    /// Which one each host has.
    pub in_place: Arc<BTreeMap<AgentName, ListInPlace>>,
}

/// What somebody else made of a broker's own list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListChange {
    /// The broker, by its certificate.
    pub broker: PrincipalId,
    /// Number of the list that should have been there.
    pub number: u64,
    /// What was found instead, in words.
    pub found: String,
    /// When, as the broker tells.
    pub at: UnixNs,
}

impl Lists {
    /// As it was.
    ///
    /// # Errors
    /// [`StateError`].
    pub(super) fn restored(state: &State) -> Result<Self, StateError> {
        Ok(Self {
            newest: state.list()?.map(Arc::new),
            in_place: Arc::new(state.lists_in_place()?),
        })
    }
}

impl Core {
    /// Takes a list that was checked; gives the number of the newest. On disk
    /// after [`Core::publish`].
    ///
    /// # Errors
    /// [`CoreError`]. A [`Refusal`] when a newer one is known, or another of the
    /// same number.
    pub fn put_list(&mut self, list: RevocationList) -> Result<Result<u64, Refusal>, CoreError> {
        let number = list.number;
        if let Some(known) = &self.lists.newest {
            if number < known.number {
                let known = known.number;
                return Ok(Err(Refusal::ListOlder { number, known }));
            }
            if number == known.number {
                let is_same = list.sha256 == known.sha256;
                let refusal = Refusal::ListDiffers { number };
                return Ok(if is_same { Ok(number) } else { Err(refusal) });
            }
        }
        info!(
            number,
            bytes = list.bytes.len(),
            "Revocation list, for every host."
        );
        self.state.put_list(&list)?;
        self.lists.newest = Some(Arc::new(list));
        Ok(Ok(number))
    }

    /// Says in the provider's ledger that somebody changed a broker's own list,
    /// unless it is what this broker told last; whether it is new. On disk after
    /// [`Core::publish`].
    ///
    /// # Errors
    /// [`CoreError`].
    pub fn list_changed(&mut self, change: &ListChange) -> Result<bool, CoreError> {
        let ListChange {
            broker,
            number,
            found,
            at,
        } = change;
        if self
            .state
            .list_changed_at(broker)?
            .is_some_and(|known| *at == known)
        {
            return Ok(false);
        }
        error!(%broker, number, %found, "Somebody changed the broker's revocation list.");
        self.state.set_list_changed_at(broker, *at)?;
        let action = Action::Host {
            change: HostChange::RevocationList,
            number: *number,
            detail: ByteText(format!("of broker {broker}: found {found}").into_bytes()),
            path: None,
            target: None,
            denied: false,
        };
        self.keep_said(Said::of(TenantId::provider(), action, *at))?;
        Ok(true)
    }

    /// Notes which list a host has, on the host and on the orders that it has on it.
    /// On disk after [`Core::publish`].
    ///
    /// # Errors
    /// [`CoreError`].
    pub fn list_in_place(
        &mut self,
        host: &AgentName,
        place: &ListInPlace,
    ) -> Result<(), CoreError> {
        let before = self.lists.in_place.get(host);
        if before == Some(place) {
            return Ok(());
        }
        if !place.problem.is_empty() {
            error!(%host, problem = %place.problem, "A host's revocation list is not the newest.");
        }
        let before = before.and_then(|place| place.number);
        self.state.put_list_in_place(host, place)?;
        Arc::make_mut(&mut self.lists.in_place).insert(host.clone(), place.clone());
        let Some(number) = place.number else {
            return Ok(());
        };
        let is_new = |order: &&Order| {
            let on = order.list.filter(|list| *list <= number);
            on.is_some_and(|list| before.map_or(order.is_in_force(), |before| list > before))
        };
        let on_it: Vec<OrderId> = self
            .orders
            .values()
            .filter(is_new)
            .map(|order| order.id)
            .collect();
        for id in on_it {
            if let Some(mut order) = self.orders.get(&id).cloned()
                && published(&mut order, host, place)
            {
                self.put_order(order)?;
            }
        }
        Ok(())
    }

    /// Notes that a host's agent keeps no list. On disk after [`Core::publish`].
    ///
    /// # Errors
    /// [`CoreError`].
    pub fn no_list_in_place(&mut self, host: &AgentName) -> Result<(), CoreError> {
        self.state.remove_list_in_place(host)?;
        Arc::make_mut(&mut self.lists.in_place).remove(host);
        Ok(())
    }

    /// Notes, on an order that the broker has just put on a list, the hosts that
    /// have it already.
    pub(super) fn published_before(&self, order: &mut Order) {
        let Some(list) = order.list else { return };
        for (host, place) in self.lists.in_place.iter() {
            if place.number.is_some_and(|number| number >= list) {
                published(order, host, place);
            }
        }
    }
}

/// Notes that a host has the list of an order; says whether that is new.
fn published(order: &mut Order, host: &AgentName, place: &ListInPlace) -> bool {
    let is_known = order.published.iter().any(|known| known.host == *host);
    if is_known || order.published.len() >= PUBLISHED_MAX {
        return false;
    }
    order.published.push(Published {
        host: host.clone(),
        at: place.at,
    });
    true
}
