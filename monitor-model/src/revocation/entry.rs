//! What a ledger says of an order. Pure.
//!
//! The provider's ledger says all of it. A tenant's says what concerns that
//! tenant, and no words: a rule's are the sentence of an alert, which may be in the
//! ledger of another, and a person's may name anybody.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{
    Affected, Mode, Order, Revoked, Target,
    life::{OrderStep, State},
};
use crate::id::{AlertId, GrantId, OrderId, TenantId};

/// Most sessions, and most credentials, that an entry names.
pub const ENTRY_ITEMS_MAX: usize = 256;

/// What became of an order, as far as it concerns one ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OrderEntry {
    /// The order.
    pub order: OrderId,
    /// What is revoked; none where that is another tenant's.
    pub target: Option<Target>,
    /// What is done to it.
    pub mode: Mode,
    /// Where the order stands now.
    pub state: State,
    /// The person or service that gave it, or `rule`; with its name in the
    /// provider's ledger alone.
    pub initiator: String,
    /// Why, in words; in the provider's ledger alone.
    pub reason: String,
    /// The alert that gave it; in the provider's ledger alone.
    pub alert: Option<AlertId>,
    /// What a person or time last did with it; their note is in the provider's
    /// ledger alone.
    pub step: Option<OrderStep>,
    /// Sessions of this tenant that it reaches, at most [`ENTRY_ITEMS_MAX`].
    pub sessions: Vec<Affected>,
    /// How many more.
    pub more_sessions: u64,
    /// What the broker did with credentials of this tenant, at most
    /// [`ENTRY_ITEMS_MAX`].
    pub revoked: Vec<Revoked>,
    /// How many more.
    pub more_revoked: u64,
}

/// Whether a ledger has something new to say of an order: it is new, somebody
/// did something with it, it stands elsewhere, or it reaches other sessions.
#[must_use]
pub fn is_news(before: Option<&Order>, now: &Order) -> bool {
    before.is_none_or(|before| {
        before.state() != now.state()
            || before.steps.len() != now.steps.len()
            || before.sessions.len() != now.sessions.len()
    })
}

/// Whose an order is, by the tenant of each grant.
#[derive(Debug)]
pub struct Concerned<'a, F> {
    order: &'a Order,
    tenant_of: F,
    /// Every tenant that it concerns.
    tenants: BTreeSet<TenantId>,
}

impl<'a, F: Fn(&GrantId) -> Option<TenantId>> Concerned<'a, F> {
    /// Looks up whom an order concerns. `ended` are the grants of its target that
    /// it ends.
    pub fn new(order: &'a Order, ended: &[GrantId], tenant_of: F) -> Self {
        let of_sessions = order.sessions.iter().flat_map(|affected| {
            let granted = affected.grants.iter().filter_map(&tenant_of);
            granted.chain(affected.tenant.clone())
        });
        let of_target = match &order.target {
            Target::Tenant(id) => Some(id.clone()),
            Target::Grant(id) => tenant_of(id),
            Target::Engineer(_) | Target::Session(_) | Target::Serial(_) | Target::Host(_) => None,
        };
        let revoked = order.revoked.iter().filter_map(|one| one.grant.as_ref());
        let of_grants = ended.iter().chain(revoked).filter_map(&tenant_of);
        let tenants = of_sessions.chain(of_target).chain(of_grants).collect();
        Self {
            order,
            tenant_of,
            tenants,
        }
    }

    /// Every tenant that it concerns.
    #[must_use]
    pub const fn tenants(&self) -> &BTreeSet<TenantId> {
        &self.tenants
    }

    /// What the provider's ledger says: all of it.
    #[must_use]
    pub fn whole(&self) -> OrderEntry {
        let alert = self.order.cause.alert;
        let said = self.entry(
            self.order.sessions.iter().cloned(),
            self.order.revoked.iter(),
        );
        OrderEntry {
            target: Some(self.order.target.clone()),
            reason: self.order.cause.text.clone(),
            alert,
            step: self.order.steps.last().cloned(),
            ..said
        }
    }

    /// What the ledger of a tenant says.
    #[must_use]
    pub fn of(&self, tenant: &TenantId) -> OrderEntry {
        let is_its = |id: &GrantId| (self.tenant_of)(id).as_ref() == Some(tenant);
        let mut sessions = Vec::new();
        for affected in &self.order.sessions {
            let opened_for = affected.tenant.as_ref() == Some(tenant);
            if opened_for || affected.grants.iter().any(is_its) {
                let mut affected = affected.clone();
                affected.grants.retain(is_its);
                affected.tenant = affected.tenant.filter(|id| id == tenant);
                sessions.push(affected);
            }
        }
        let is_serial = |serial: u64| {
            let mut held = sessions.iter();
            held.any(|affected| affected.serial == Some(serial))
        };
        let revoked = self.order.revoked.iter().filter(|one| match &one.grant {
            Some(grant) => is_its(grant),
            None => one.serial.is_some_and(is_serial),
        });
        let target = match &self.order.target {
            Target::Engineer(_) | Target::Serial(_) | Target::Host(_) => true,
            Target::Session(id) => sessions.iter().any(|affected| affected.session == *id),
            Target::Grant(id) => is_its(id),
            Target::Tenant(id) => id == tenant,
        };
        let said = self.entry(sessions.iter().cloned(), revoked);
        let mut step = self.order.steps.last().cloned();
        if let Some(step) = &mut step {
            step.by = giver(&step.by).to_owned();
            step.note.clear();
        }
        OrderEntry {
            target: target.then(|| self.order.target.clone()),
            step,
            initiator: giver(&self.order.cause.initiator).to_owned(),
            ..said
        }
    }

    fn entry<'b>(
        &self,
        sessions: impl Iterator<Item = Affected>,
        revoked: impl Iterator<Item = &'b Revoked>,
    ) -> OrderEntry {
        let (mut sessions, mut revoked) = (
            sessions.collect::<Vec<_>>(),
            revoked.cloned().collect::<Vec<_>>(),
        );
        let more_sessions = cut(&mut sessions);
        let more_revoked = cut(&mut revoked);
        OrderEntry {
            order: self.order.id,
            target: None,
            mode: self.order.mode,
            state: self.order.state(),
            initiator: self.order.cause.initiator.clone(),
            reason: String::new(),
            alert: None,
            step: None,
            sessions,
            more_sessions,
            revoked,
            more_revoked,
        }
    }
}

/// Who gave an order, as a tenant reads it: which rule it was may tell what was
/// done to another.
fn giver(initiator: &str) -> &str {
    if initiator.starts_with("rule ") {
        "rule"
    } else {
        initiator
    }
}

/// Leaves the first [`ENTRY_ITEMS_MAX`]; gives how many went.
fn cut<T>(items: &mut Vec<T>) -> u64 {
    let more = items.len().saturating_sub(ENTRY_ITEMS_MAX);
    items.truncate(ENTRY_ITEMS_MAX);
    u64::try_from(more).unwrap_or(u64::MAX)
}
