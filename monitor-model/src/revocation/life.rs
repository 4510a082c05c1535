//! How an order comes into force, and how it ends.
//!
//! ```text
//! proposed ──> in force ──> lifted | expired | superseded
//!    └──> rejected | expired
//! observed
//! ```
//! An order that nobody must approve begins in force. What is over stays over:
//! a new order has a new name. Pure.

use serde::Serialize;

use crate::clock::UnixNs;

/// What people and time made of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It waits for a person; nothing was done.
    Proposed,
    /// It holds.
    InForce,
    /// A rule would have given it; nothing was done, and nothing will be.
    Observed,
    /// A person refused it; nothing was done.
    Rejected,
    /// A person took it back.
    Lifted,
    /// Its time is over.
    Expired,
    /// A later order took its place.
    Superseded,
}

impl Standing {
    /// Every standing.
    pub const ALL: [Self; 7] = [
        Self::Proposed,
        Self::InForce,
        Self::Observed,
        Self::Rejected,
        Self::Lifted,
        Self::Expired,
        Self::Superseded,
    ];

    /// Whether an order can go from here to there.
    #[must_use]
    pub const fn leads_to(self, to: Self) -> bool {
        match self {
            Self::Proposed => matches!(to, Self::InForce | Self::Rejected | Self::Expired),
            Self::InForce => matches!(to, Self::Lifted | Self::Expired | Self::Superseded),
            Self::Observed | Self::Rejected | Self::Lifted | Self::Expired | Self::Superseded => {
                false
            }
        }
    }

    /// Whether it held once and is over: what it froze goes on.
    #[must_use]
    pub const fn is_past(self) -> bool {
        match self {
            Self::Lifted | Self::Expired => true,
            Self::Proposed | Self::InForce | Self::Observed | Self::Rejected | Self::Superseded => {
                false
            }
        }
    }

    /// The name in JSON and on screens.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::InForce => "in_force",
            Self::Observed => "observed",
            Self::Rejected => "rejected",
            Self::Lifted => "lifted",
            Self::Expired => "expired",
            Self::Superseded => "superseded",
        }
    }
}

/// Why a person must approve an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Asks {
    /// Policy says so.
    Policy,
    /// Rules cut off more within a time than the configuration allows.
    Storm,
    /// It reaches more sessions than one person may cut off alone: another
    /// person must approve it.
    Bulk,
}

impl Asks {
    /// Every reason.
    pub const ALL: [Self; 3] = [Self::Policy, Self::Storm, Self::Bulk];

    /// The name in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Storm => "storm",
            Self::Bulk => "bulk",
        }
    }
}

/// One thing that a person or time did with an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OrderStep {
    /// What it became.
    pub to: Standing,
    /// Who did it, as the certificate says: `soc/eve`; `collector` where no
    /// person did.
    pub by: String,
    /// Why, in words; may be empty.
    pub note: String,
    /// When.
    pub at: UnixNs,
}

/// Where an order stands. Broker and hosts are independent of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Waits for a person; nothing was done.
    Proposed,
    /// A rule would have given it; nothing was done.
    Observed,
    /// A person refused it; nothing was done.
    Rejected,
    /// In force; neither the broker nor every host has answered.
    InForce,
    /// The broker has answered, hosts have not.
    BrokerAnswered,
    /// Every host has confirmed, the broker has not answered.
    HostsEnforced,
    /// Broker and hosts have confirmed.
    Enforced,
    /// In force, but it cannot be carried out as a whole without a person.
    Failed,
    /// A person took it back.
    Lifted,
    /// Its time is over.
    Expired,
    /// A later order for the same target took its place.
    Superseded,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 11] = [
        Self::Proposed,
        Self::Observed,
        Self::Rejected,
        Self::InForce,
        Self::BrokerAnswered,
        Self::HostsEnforced,
        Self::Enforced,
        Self::Failed,
        Self::Lifted,
        Self::Expired,
        Self::Superseded,
    ];

    /// The name in JSON and on screens.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::Observed => "observed",
            Self::Rejected => "rejected",
            Self::InForce => "in_force",
            Self::BrokerAnswered => "broker_answered",
            Self::HostsEnforced => "hosts_enforced",
            Self::Enforced => "enforced",
            Self::Failed => "failed",
            Self::Lifted => "lifted",
            Self::Expired => "expired",
            Self::Superseded => "superseded",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_stays_over() {
        let over = |standing: Standing| !Standing::ALL.into_iter().any(|to| standing.leads_to(to));
        let ends: Vec<_> = Standing::ALL.into_iter().filter(|one| over(*one)).collect();
        assert_eq!(
            ends,
            [
                Standing::Observed,
                Standing::Rejected,
                Standing::Lifted,
                Standing::Expired,
                Standing::Superseded
            ]
        );
    }
}
