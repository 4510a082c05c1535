//! Grants.

use monitor_model::{
    clock::UnixNs,
    grant::{DestinationRule, Grant, GrantKind, GrantState, InvalidGrant, PathPatterns, Scope},
};

use super::{
    InvalidMessage,
    wire::{closed_enum, meaning, name, number, texts},
};
use crate::v1;

closed_enum!(GrantKind, v1::GrantKind, "grant.kind", {
    JustInTime => JustInTime, Standing => Standing, BreakGlass => BreakGlass,
});

impl From<&Grant> for v1::Grant {
    fn from(value: &Grant) -> Self {
        let Grant {
            id,
            principal,
            tenant,
            ticket,
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
        } = value;
        Self {
            id: id.to_string(),
            principal: principal.to_string(),
            tenant: tenant.to_string(),
            ticket: ticket.clone(),
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
            ticket: value.ticket,
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
        };
        grant.check().map_err(wrong("grant"))?;
        Ok(grant)
    }
}
