//! What the writer tells everybody else: whole, at once, and by level, so that
//! who was away or slow misses nothing.

use std::{collections::HashMap, sync::Arc};

use monitor_model::{
    clock::UnixNs,
    contain::ContainMode,
    grant::{Grant, Life},
    id::{AgentName, GrantId, OrderId, SessionId, TenantId},
    policy::Policy,
    revocation::Order,
};

use crate::{
    config::enforce::EnforcePolicy,
    core::{book::Book, krl::Lists},
    ledger::Head,
    state::load::Denied,
};

/// An order to end one session that no receipt has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The order.
    pub order: OrderId,
    /// The session.
    pub session: SessionId,
    /// The host it lives on.
    pub host: AgentName,
    /// What is to be done to it.
    pub mode: ContainMode,
    /// Why, in words.
    pub reason: String,
}

/// A snapshot of everything that others follow.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    /// The policy in force.
    pub policy: Arc<Policy>,
    /// Rises with every change of the grants.
    pub grants_version: u64,
    /// What hosts refuse by themselves.
    pub enforce: Arc<EnforcePolicy>,
    /// The version that `grants` shows.
    pub(crate) grants_shown: u64,
    /// Every grant, ended ones included.
    pub grants: Arc<HashMap<GrantId, Grant>>,
    /// Rises with every change of the denials.
    pub denied_version: u64,
    /// What is denied.
    pub denied: Arc<Denied>,
    /// Containment that no receipt has answered.
    pub commands: Arc<Vec<Command>>,
    /// Orders that the broker has not answered.
    pub unanswered: Arc<Vec<Order>>,
    /// What a broker that dials in is told of orders; none where none does.
    pub book: Option<Arc<Book>>,
    /// The broker's revocation list, and which one each host has.
    pub lists: Lists,
    /// The newest entry of each ledger.
    pub heads: Arc<HashMap<TenantId, Head>>,
    /// Everything up to this place among events and alerts is on disk.
    pub watermark: UnixNs,
}

impl Tables {
    /// Grants that hold or will hold.
    #[must_use]
    pub fn grants_alive(&self, now: UnixNs) -> Vec<&Grant> {
        let mut alive: Vec<_> = self
            .grants
            .values()
            .filter(|grant| matches!(grant.life(now), Life::Alive | Life::NotStarted))
            .collect();
        alive.sort_by(|one, two| one.id.cmp(&two.id));
        alive
    }
}
