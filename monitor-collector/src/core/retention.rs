//! Content whose time is over goes, ledger by ledger, some blocks a turn.
//!
//! In: how long each tenant's ledger keeps content, and what is held. Out:
//! removals, and an entry about each in the same commit. Bound: as
//! [`Ledger::sweep`] a turn, so that agents do not wait.
//!
//! [`Ledger::sweep`]: crate::ledger::Ledger::sweep

use monitor_model::{
    clock::UnixNs,
    event::{Action, Event, RemovalReason},
    id::TenantId,
};
use tracing::info;

use super::{Core, CoreError, voice::Said};

/// How far a sweep came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// In the ledger of this tenant.
    pub tenant: TenantId,
    /// Up to before this position.
    pub first: u64,
}

impl Core {
    /// Removes what is over from a place on, and says so; gives the place to go
    /// on from, none at the end. On disk after the next [`Core::settle`].
    ///
    /// # Errors
    /// [`CoreError`]; the core must be opened anew.
    pub fn sweep(&mut self, from: Option<Place>) -> Result<Option<Place>, CoreError> {
        let begin = |tenant: &TenantId| Place {
            tenant: tenant.clone(),
            first: 1,
        };
        let mut tenants = self.retention.tenants.iter();
        // A tenant that lost its retention meanwhile is passed by.
        let here = match &from {
            None => tenants.next(),
            Some(from) => tenants.find(|(tenant, _)| **tenant >= from.tenant),
        };
        let Some((tenant, kept)) = here else {
            return Ok(None);
        };
        let after = tenants.next().map(|(tenant, _)| begin(tenant));
        let place = from
            .filter(|from| from.tenant == *tenant)
            .unwrap_or_else(|| begin(tenant));
        let Some(ledger) = self.ledgers.get_mut(tenant) else {
            return Ok(after);
        };
        let age = u64::try_from(kept.time.as_nanos()).unwrap_or(u64::MAX);
        let before = UnixNs(self.clock.now().0.saturating_sub(age));
        let holds = &self.retention.holds;
        let is_held = |event: &Event| holds.iter().any(|hold| hold.keeps(tenant, event));
        let swept = ledger.sweep(place.first, before, &is_held)?;
        let (tenant, contract) = (tenant.clone(), kept.contract.clone());
        if let Some((first, last)) = swept.removed {
            let held_back = swept.held_back;
            info!(%tenant, first, last, held_back, "Content removed: its time is over.");
            let action = Action::Removed {
                first,
                last,
                reason: RemovalReason::Retention,
                contract,
                held_back,
            };
            self.say([Said::of(tenant.clone(), action, self.clock.now())]);
        }
        let next = swept.next.map(|first| Place { tenant, first });
        Ok(next.or(after))
    }
}
