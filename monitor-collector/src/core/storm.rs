//! How much rules cut off within a time: beyond it their orders wait.
//!
//! Counted from the orders on disk, so that a restart changes nothing. Only
//! orders that rules gave by themselves count; in observe mode those that they
//! would have given.

use std::collections::BTreeSet;

use monitor_model::{
    alert::Alert,
    clock::UnixNs,
    revocation::{
        Affected, Order,
        life::{Asks, Standing},
    },
};

use super::Core;
use crate::{alert::raising, config::response::ResponseMode, state::Raised};

impl Core {
    /// Whether rules would cut off more than they may, with this order.
    pub(super) fn is_storm(&self, order: &Order) -> bool {
        let since = self.storm_since();
        let observes = self.response.mode == ResponseMode::Observe;
        let counts = |known: &&Order| {
            known.is_by_rule()
                && known.asks.is_none()
                && !was_taken_back(known)
                && known.given_at() > since
                && (known.standing() == Standing::Observed) == observes
        };
        let counted: Vec<&Order> = self.orders.values().filter(counts).chain([order]).collect();
        let reached = || counted.iter().flat_map(|order| &order.sessions);
        let sessions: BTreeSet<_> = reached().map(|affected| affected.session).collect();
        let who = |affected: &Affected| affected.principal.clone();
        let engineers: BTreeSet<_> = reached().filter_map(who).collect();
        let beyond = |count: usize, max: u32| u32::try_from(count).unwrap_or(u32::MAX) > max;
        beyond(sessions.len(), self.response.sessions_max)
            || beyond(engineers.len(), self.response.engineers_max)
    }

    /// The notice that orders of rules wait, unless it was given within the time.
    pub(super) fn storm_notice(&self, alert: &Alert) -> Option<Raised> {
        let since = self.storm_since();
        let told = |order: &Order| order.asks == Some(Asks::Storm) && order.given_at() > since;
        if self.orders.values().any(told) {
            return None;
        }
        let policy = &self.response;
        let sentence = format!(
            "rules would cut off more than {} sessions or {} engineers within {} minutes: their orders wait for a person, see monitorctl orders --state proposed",
            policy.sessions_max,
            policy.engineers_max,
            policy.window.as_secs() / 60
        );
        let stamp = UnixNs(self.stamp.0.saturating_add(1)).max(self.clock.now());
        Some(raising::storm_notice(alert, sentence, stamp))
    }

    fn storm_since(&self) -> UnixNs {
        let window = u64::try_from(self.response.window.as_nanos()).unwrap_or(u64::MAX);
        UnixNs(self.clock.now().0.saturating_sub(window))
    }
}

/// Whether it was over before it came into force: it has cut nobody off.
fn was_taken_back(order: &Order) -> bool {
    let is_over = match order.standing() {
        Standing::Rejected | Standing::Expired | Standing::Lifted => true,
        Standing::Proposed | Standing::InForce | Standing::Observed | Standing::Superseded => false,
    };
    is_over && order.times.ordered.is_none()
}
