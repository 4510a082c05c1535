//! The answers of the judgement.

use std::fmt;

use serde::Serialize;

use crate::{
    event::{Fact, NoSession},
    id::{GrantId, PrincipalId, TenantId},
    tenant::Owner,
};

/// Why an access lies outside every grant. Later ones come nearer to being in scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OutReason {
    /// Nobody's zone holds the destination.
    UnknownDestination,
    /// Several tenants' zones hold the destination and nothing tells them apart.
    AmbiguousDestination,
    /// The inventory gives the credential to one tenant, the watch list to another.
    AmbiguousCredential,
    /// It is the provider's own, and no grant of the session is of the provider.
    ProviderOwned,
    /// No grant of the session is of the tenant that owns the target.
    WrongTenant,
    /// The session stands on no grant that is known.
    NoGrant,
    /// Every grant of that tenant was ended by somebody.
    Revoked,
    /// Every grant of that tenant is over.
    Expired,
    /// No grant of that tenant has begun.
    NotStarted,
    /// A live grant of that tenant is of another tier.
    WrongTier,
    /// A live grant of that tenant and tier does not list the target.
    NotGranted,
}

impl OutReason {
    /// The name in policies, filters and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownDestination => "unknown_destination",
            Self::AmbiguousDestination => "ambiguous_destination",
            Self::AmbiguousCredential => "ambiguous_credential",
            Self::ProviderOwned => "provider_owned",
            Self::WrongTenant => "wrong_tenant",
            Self::NoGrant => "no_grant",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::NotStarted => "not_started",
            Self::WrongTier => "wrong_tier",
            Self::NotGranted => "not_granted",
        }
    }

    /// Every reason.
    pub const ALL: [Self; 11] = [
        Self::UnknownDestination,
        Self::AmbiguousDestination,
        Self::AmbiguousCredential,
        Self::ProviderOwned,
        Self::WrongTenant,
        Self::NoGrant,
        Self::Revoked,
        Self::Expired,
        Self::NotStarted,
        Self::WrongTier,
        Self::NotGranted,
    ];
}

impl fmt::Display for OutReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why an event is not judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ExemptReason {
    /// It tells of processes, sessions or the agent, and touches nothing.
    Lifecycle,
    /// It stays on the host: loopback.
    HostLocal,
    /// The watch list expects it of this program.
    ExpectedProgram,
    /// The policy lets everybody use it.
    OpenToAll,
}

/// The answer for one event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub enum Verdict {
    /// A live grant covers it.
    InScope {
        /// Which.
        grant: GrantId,
    },
    /// No live grant covers it.
    OutOfScope {
        /// Why.
        reason: OutReason,
        /// The grant that came nearest.
        grant: Option<GrantId>,
    },
    /// Nobody is known to whom it belongs.
    Unattributed {
        /// Why.
        reason: NoSession,
    },
    /// Not judged.
    Exempt {
        /// Why.
        reason: ExemptReason,
    },
}

/// The kinds of verdicts, as filters name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum VerdictKind {
    /// A live grant covers it.
    InScope,
    /// No live grant covers it.
    OutOfScope,
    /// Nobody is known to whom it belongs.
    Unattributed,
    /// Not judged.
    Exempt,
}

impl VerdictKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [
        Self::InScope,
        Self::OutOfScope,
        Self::Unattributed,
        Self::Exempt,
    ];

    /// The name in filters, metrics and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InScope => "in_scope",
            Self::OutOfScope => "out_of_scope",
            Self::Unattributed => "unattributed",
            Self::Exempt => "exempt",
        }
    }
}

impl fmt::Display for VerdictKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Verdict {
    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> VerdictKind {
        match self {
            Self::InScope { .. } => VerdictKind::InScope,
            Self::OutOfScope { .. } => VerdictKind::OutOfScope,
            Self::Unattributed { .. } => VerdictKind::Unattributed,
            Self::Exempt { .. } => VerdictKind::Exempt,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InScope { grant } => write!(f, "in scope of grant {grant}"),
            Self::OutOfScope { reason, grant } => {
                f.write_str(match reason {
                    OutReason::UnknownDestination => "out of scope: the destination is in nobody's zone",
                    OutReason::AmbiguousDestination => {
                        "out of scope: the destination is in several tenants' zones and nothing tells them apart"
                    }
                    OutReason::AmbiguousCredential => {
                        "out of scope: the inventory and the watch list give it to different tenants"
                    }
                    OutReason::ProviderOwned => "out of scope: the provider's own",
                    OutReason::WrongTenant => "out of scope: another tenant's",
                    OutReason::NoGrant => "out of scope: the session stands on no known grant",
                    OutReason::Revoked => "out of scope: the grant was ended",
                    OutReason::Expired => "out of scope: the grant is over",
                    OutReason::NotStarted => "out of scope: the grant has not begun",
                    OutReason::WrongTier => "out of scope: another tier's",
                    OutReason::NotGranted => "out of scope: the grant does not list it",
                })?;
                match grant {
                    Some(grant) => write!(f, " (grant {grant})"),
                    None => Ok(()),
                }
            }
            Self::Unattributed { reason } => write!(f, "unattributed: {reason}"),
            Self::Exempt {
                reason: ExemptReason::Lifecycle,
            } => f.write_str("not judged: touches nothing"),
            Self::Exempt {
                reason: ExemptReason::HostLocal,
            } => f.write_str("not judged: stays on the host"),
            Self::Exempt {
                reason: ExemptReason::ExpectedProgram,
            } => f.write_str("not judged: this program's business"),
            Self::Exempt {
                reason: ExemptReason::OpenToAll,
            } => f.write_str("not judged: the policy lets everybody use it"),
        }
    }
}

/// One grant that was looked at, and what spoke against it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Considered {
    /// The grant.
    pub grant: GrantId,
    /// What spoke against it; none when it covers the access.
    pub against: Option<OutReason>,
}

/// A verdict with everything that led to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Judgement {
    /// The answer.
    pub verdict: Verdict,
    /// Whose the target is.
    pub owner: Owner,
    /// The tenant in whose ledger the event belongs.
    pub ledger: TenantId,
    /// The grants looked at.
    pub considered: Vec<Considered>,
    /// Who answers for the credential, by the inventory.
    pub custodian: Option<PrincipalId>,
    /// What stands out in the event by what is known besides it: policy and grants.
    pub facts: Vec<Fact>,
    /// Version of the policy, inventory and zones that it was made under: the
    /// number that the collector gave it, and a digest of its content.
    pub policy_version: String,
}

impl fmt::Display for Judgement {
    /// The verdict, and whose the target is where that is what decided.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.verdict, &self.owner) {
            (
                Verdict::OutOfScope {
                    reason: OutReason::WrongTenant,
                    grant: Some(grant),
                },
                Owner::Tenant(tenant),
            ) => write!(
                f,
                "out of scope: {tenant}'s, and grant {grant} is another tenant's"
            ),
            (
                Verdict::OutOfScope {
                    reason: OutReason::AmbiguousDestination | OutReason::AmbiguousCredential,
                    ..
                },
                Owner::Ambiguous(tenants),
            ) => {
                f.write_str("out of scope: nothing tells whether it is")?;
                for (at, tenant) in tenants.iter().enumerate() {
                    write!(f, "{} {tenant}'s", if at == 0 { "" } else { " or" })?;
                }
                Ok(())
            }
            (verdict, _) => verdict.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_tenant_is_named() {
        let tenant = |name: &str| TenantId::new(name).unwrap();
        let mut judgement = Judgement {
            verdict: Verdict::OutOfScope {
                reason: OutReason::WrongTenant,
                grant: Some("g1".parse().unwrap()),
            },
            owner: Owner::Tenant(tenant("globex")),
            ledger: tenant("globex"),
            considered: vec![],
            custodian: None,
            facts: vec![],
            policy_version: String::new(),
        };
        assert_eq!(
            judgement.to_string(),
            "out of scope: globex's, and grant g1 is another tenant's"
        );
        judgement.verdict = Verdict::OutOfScope {
            reason: OutReason::AmbiguousDestination,
            grant: None,
        };
        judgement.owner = Owner::Ambiguous(vec![tenant("acme"), tenant("globex")]);
        assert_eq!(
            judgement.to_string(),
            "out of scope: nothing tells whether it is acme's or globex's"
        );
        judgement.owner = Owner::Unknown;
        assert_eq!(judgement.to_string(), judgement.verdict.to_string());
    }
}
