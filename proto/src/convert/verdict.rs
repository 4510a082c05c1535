//! Judgements.

use monitor_model::{
    event::Fact,
    tenant::Owner,
    verdict::{Considered, ExemptReason, Judgement, OutReason, Verdict, VerdictKind},
};

use super::{
    InvalidMessage,
    wire::{
        closed_enum, meaning, meaning_opt, name, name_opt, names, need, number, text_opt, texts,
    },
};
use crate::v1;

closed_enum!(OutReason, v1::OutReason, "reason", {
    UnknownDestination => UnknownDestination, AmbiguousDestination => AmbiguousDestination,
    AmbiguousCredential => AmbiguousCredential, ProviderOwned => ProviderOwned,
    WrongTenant => WrongTenant, NoGrant => NoGrant, Revoked => Revoked, Expired => Expired,
    NotStarted => NotStarted, WrongTier => WrongTier, NotGranted => NotGranted,
});
closed_enum!(ExemptReason, v1::ExemptReason, "reason", {
    Lifecycle => Lifecycle, HostLocal => HostLocal, ExpectedProgram => ExpectedProgram,
    OpenToAll => OpenToAll,
});
closed_enum!(VerdictKind, v1::VerdictKind, "verdict", {
    InScope => InScope, OutOfScope => OutOfScope, Unattributed => Unattributed, Exempt => Exempt,
});

impl From<&Judgement> for v1::Judgement {
    fn from(value: &Judgement) -> Self {
        let Judgement {
            verdict,
            owner,
            ledger,
            considered,
            custodian,
            facts,
            policy_version,
        } = value;
        Self {
            verdict: Some(verdict.into()),
            owner: Some(owner.into()),
            ledger: ledger.to_string(),
            considered: considered.iter().map(Into::into).collect(),
            custodian: text_opt(custodian.as_ref()),
            facts: facts.iter().map(|fact| fact.as_str().to_owned()).collect(),
            policy_version: policy_version.clone(),
        }
    }
}

impl TryFrom<v1::Judgement> for Judgement {
    type Error = InvalidMessage;
    fn try_from(value: v1::Judgement) -> Result<Self, InvalidMessage> {
        Ok(Self {
            verdict: need("judgement.verdict", value.verdict)?.try_into()?,
            owner: need("judgement.owner", value.owner)?.try_into()?,
            ledger: name("judgement.ledger", &value.ledger)?,
            considered: value
                .considered
                .into_iter()
                .map(TryInto::try_into)
                .collect::<Result<_, _>>()?,
            custodian: name_opt("judgement.custodian", &value.custodian)?,
            facts: value
                .facts
                .iter()
                .map(|text| fact(text))
                .collect::<Result<_, _>>()?,
            policy_version: value.policy_version,
        })
    }
}

fn fact(text: &str) -> Result<Fact, InvalidMessage> {
    let mut all = Fact::ALL.iter().copied();
    let named = all.find(|fact| fact.as_str() == text);
    named.ok_or_else(|| InvalidMessage::Name {
        field: "judgement.facts",
        text: text.to_owned(),
    })
}

impl From<&Verdict> for v1::judgement::Verdict {
    fn from(value: &Verdict) -> Self {
        match value {
            Verdict::InScope { grant } => Self::InScope(v1::InScope {
                grant: grant.to_string(),
            }),
            Verdict::OutOfScope { reason, grant } => Self::OutOfScope(v1::OutOfScope {
                reason: number::<v1::OutReason, _>(*reason),
                grant: text_opt(grant.as_ref()),
            }),
            Verdict::Unattributed { reason } => Self::Unattributed(v1::Unattributed {
                reason: number::<v1::NoSession, _>(*reason),
            }),
            Verdict::Exempt { reason } => Self::Exempt(v1::Exempt {
                reason: number::<v1::ExemptReason, _>(*reason),
            }),
        }
    }
}

impl TryFrom<v1::judgement::Verdict> for Verdict {
    type Error = InvalidMessage;
    fn try_from(value: v1::judgement::Verdict) -> Result<Self, InvalidMessage> {
        use v1::judgement::Verdict as Message;
        Ok(match value {
            Message::InScope(scope) => Self::InScope {
                grant: name("in_scope.grant", &scope.grant)?,
            },
            Message::OutOfScope(out) => Self::OutOfScope {
                reason: meaning::<v1::OutReason, _>("out_of_scope.reason", out.reason)?,
                grant: name_opt("out_of_scope.grant", &out.grant)?,
            },
            Message::Unattributed(none) => Self::Unattributed {
                reason: meaning::<v1::NoSession, _>("unattributed.reason", none.reason)?,
            },
            Message::Exempt(exempt) => Self::Exempt {
                reason: meaning::<v1::ExemptReason, _>("exempt.reason", exempt.reason)?,
            },
        })
    }
}

impl From<&Owner> for v1::Owner {
    fn from(value: &Owner) -> Self {
        let (kind, tenants) = match value {
            Owner::Host => (v1::OwnerKind::Host, Vec::new()),
            Owner::Tenant(id) => (v1::OwnerKind::Tenant, vec![id.to_string()]),
            Owner::Ambiguous(ids) => (v1::OwnerKind::Ambiguous, texts(ids)),
            Owner::Unknown => (v1::OwnerKind::Unknown, Vec::new()),
        };
        Self {
            kind: kind.into(),
            tenants,
        }
    }
}

impl TryFrom<v1::Owner> for Owner {
    type Error = InvalidMessage;
    fn try_from(value: v1::Owner) -> Result<Self, InvalidMessage> {
        match v1::OwnerKind::try_from(value.kind) {
            Ok(v1::OwnerKind::Host) => Ok(Self::Host),
            Ok(v1::OwnerKind::Tenant) => {
                let first = need("owner.tenants", value.tenants.first())?;
                Ok(Self::Tenant(name("owner.tenants", first)?))
            }
            Ok(v1::OwnerKind::Ambiguous) => {
                Ok(Self::Ambiguous(names("owner.tenants", &value.tenants)?))
            }
            Ok(v1::OwnerKind::Unknown) => Ok(Self::Unknown),
            Ok(v1::OwnerKind::Unspecified) | Err(_) => Err(InvalidMessage::Enum {
                field: "owner.kind",
                value: value.kind,
            }),
        }
    }
}

impl From<&Considered> for v1::Considered {
    fn from(value: &Considered) -> Self {
        let Considered { grant, against } = value;
        Self {
            grant: grant.to_string(),
            against: against.map_or(0, number::<v1::OutReason, _>),
        }
    }
}

impl TryFrom<v1::Considered> for Considered {
    type Error = InvalidMessage;
    fn try_from(value: v1::Considered) -> Result<Self, InvalidMessage> {
        Ok(Self {
            grant: name("considered.grant", &value.grant)?,
            against: meaning_opt::<v1::OutReason, _>("considered.against", value.against)?,
        })
    }
}
