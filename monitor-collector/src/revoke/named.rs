//! The credentials that an order names: of its target and of the sessions it reaches.

use std::collections::BTreeSet;

use monitor_model::{
    id::GrantId,
    revocation::{Order, Target},
};

/// What a broker is to revoke in any case, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Certificates, by serial number.
    pub serials: BTreeSet<u64>,
    /// Grants.
    pub grants: BTreeSet<GrantId>,
}

impl Named {
    /// Of one order.
    #[must_use]
    pub fn of(order: &Order) -> Self {
        let sessions = order.sessions.iter();
        let mut serials: BTreeSet<u64> = sessions.clone().filter_map(|one| one.serial).collect();
        let mut grants: BTreeSet<GrantId> = sessions.flat_map(|one| &one.grants).cloned().collect();
        match &order.target {
            Target::Serial(serial) => _ = serials.insert(*serial),
            Target::Grant(grant) => _ = grants.insert(grant.clone()),
            Target::Engineer(_) | Target::Session(_) | Target::Tenant(_) | Target::Host(_) => {}
        }
        Self { serials, grants }
    }
}
