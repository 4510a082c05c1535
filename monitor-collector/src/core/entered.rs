//! Orders as the ledgers tell them.
//!
//! In: orders as they change. Out: an entry about each change in the provider's
//! ledger, and in that of each tenant that it concerns, of its own sessions and
//! credentials alone. Kept with the order until it is on disk in the ledgers, so
//! that a crash at any point leaves each entry there once. Loss: none.

use monitor_model::{
    event::Action,
    grant::GrantState,
    id::{GrantId, TenantId},
    revocation::{
        Order, Target,
        entry::{Concerned, is_news},
    },
};

use super::{Core, CoreError, voice::Said};

impl Core {
    /// Keeps what the ledgers are to say of an order that changes.
    pub(super) fn enter_order(&mut self, order: &Order) -> Result<(), CoreError> {
        if !is_news(self.orders.get(&order.id), order) {
            return Ok(());
        }
        let ended = self.grants_of_target(order);
        let tenant_of = |id: &GrantId| {
            let grant = self.world.grants.get(id);
            grant.map(|grant| grant.tenant.clone())
        };
        let concerned = Concerned::new(order, &ended, tenant_of);
        let provider = TenantId::provider();
        let mut entries = vec![(provider.clone(), concerned.whole())];
        let tenants = self.world.policy.tenants().iter();
        for id in tenants.map(|tenant| &tenant.id) {
            if *id != provider && concerned.tenants().contains(id) {
                entries.push((id.clone(), concerned.of(id)));
            }
        }
        let now = self.clock.now();
        for (ledger, entry) in entries {
            let entry = Box::new(entry);
            self.keep_said(Said::of(ledger, Action::Order { entry }, now))?;
        }
        Ok(())
    }

    /// Grants of an engineer that an order ends, or ended.
    fn grants_of_target(&self, order: &Order) -> Vec<GrantId> {
        let Target::Engineer(principal) = &order.target else {
            return Vec::new();
        };
        let since = order.given_at();
        let its = self.world.grants.values().filter(|grant| {
            grant.principal == *principal
                && grant.expires > since
                && match &grant.state {
                    GrantState::Ended { at, .. } => *at >= since,
                    GrantState::Standing => true,
                }
        });
        its.map(|grant| grant.id.clone()).collect()
    }
}
