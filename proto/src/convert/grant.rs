//! Grants.

use monitor_model::{
    clock::UnixNs,
    grant::{
        DestinationRule, Grant, GrantKind, GrantState, Holder, InvalidGrant, PathPatterns, Review,
        Scope,
    },
    usage::Part,
};

use super::{
    InvalidMessage,
    wire::{closed_enum, meaning, meaning_opt, name, number, texts},
};
use crate::v1;

closed_enum!(GrantKind, v1::GrantKind, "grant.kind", {
    JustInTime => JustInTime, Standing => Standing, BreakGlass => BreakGlass,
});

closed_enum!(Holder, v1::GrantHolder, "grant.holder", {
    Staff => Staff, Subcontractor => Subcontractor, OnCall => OnCall, Workload => Workload,
});
closed_enum!(Part, v1::ScopePart, "entry.part", {
    Destinations => Destinations, Credentials => Credentials, Programs => Programs,
});

impl From<&Grant> for v1::Grant {
    fn from(value: &Grant) -> Self {
        let Grant {
            id,
            principal,
            holder,
            tenant,
            ticket,
            task,
            purpose,
            approved_by,
            tier,
            kind,
            not_before,
            expires,
            scope:
                Scope {
                    destinations,
                    credentials,
                    programs,
                },
            state,
            review,
        } = value;
        Self {
            id: id.to_string(),
            principal: principal.to_string(),
            tenant: tenant.to_string(),
            holder: number::<v1::GrantHolder, _>(*holder),
            ticket: ticket.clone(),
            task: task.clone(),
            purpose: purpose.clone(),
            approved_by: approved_by.to_string(),
            tier: number::<v1::Tier, _>(*tier),
            kind: number::<v1::GrantKind, _>(*kind),
            not_before_unix_ns: not_before.0,
            expires_unix_ns: expires.0,
            scope: Some(v1::Scope {
                destinations: texts(destinations),
                credentials: credentials.texts().to_vec(),
                programs: programs.texts().to_vec(),
            }),
            ended: match state {
                GrantState::Standing => None,
                GrantState::Ended { at, reason } => Some(v1::GrantEnd {
                    at_unix_ns: at.0,
                    reason: reason.clone(),
                }),
            },
            review: review.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<v1::Grant> for Grant {
    type Error = InvalidMessage;
    fn try_from(value: v1::Grant) -> Result<Self, InvalidMessage> {
        let wrong = |field| move |source: InvalidGrant| InvalidMessage::Grant { field, source };
        let scope = value.scope.unwrap_or_default();
        let destinations: Result<Vec<DestinationRule>, _> =
            scope.destinations.iter().map(|text| text.parse()).collect();
        let grant = Self {
            id: name("grant.id", &value.id)?,
            principal: name("grant.principal", &value.principal)?,
            tenant: name("grant.tenant", &value.tenant)?,
            holder: meaning_opt::<v1::GrantHolder, _>("grant.holder", value.holder)?
                .unwrap_or_default(),
            ticket: value.ticket,
            task: value.task,
            purpose: value.purpose,
            approved_by: name("grant.approved_by", &value.approved_by)?,
            tier: meaning::<v1::Tier, _>("grant.tier", value.tier)?,
            kind: meaning::<v1::GrantKind, _>("grant.kind", value.kind)?,
            not_before: UnixNs(value.not_before_unix_ns),
            expires: UnixNs(value.expires_unix_ns),
            scope: Scope {
                destinations: destinations.map_err(wrong("grant.scope.destinations"))?,
                credentials: PathPatterns::new(scope.credentials)
                    .map_err(wrong("grant.scope.credentials"))?,
                programs: PathPatterns::new(scope.programs)
                    .map_err(wrong("grant.scope.programs"))?,
            },
            state: value
                .ended
                .map_or(GrantState::Standing, |end| GrantState::Ended {
                    at: UnixNs(end.at_unix_ns),
                    reason: end.reason,
                }),
            review: value.review.map(TryInto::try_into).transpose()?,
        };
        grant.check().map_err(wrong("grant"))?;
        Ok(grant)
    }
}

impl From<&Review> for v1::GrantReview {
    fn from(value: &Review) -> Self {
        let Review { by, at, note } = value;
        Self {
            by: by.to_string(),
            at_unix_ns: at.0,
            note: note.clone(),
        }
    }
}

impl TryFrom<v1::GrantReview> for Review {
    type Error = InvalidMessage;
    fn try_from(value: v1::GrantReview) -> Result<Self, InvalidMessage> {
        Ok(Self {
            by: name("review.by", &value.by)?,
            at: UnixNs(value.at_unix_ns),
            note: value.note,
        })
    }
}
