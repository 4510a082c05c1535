//! Revocation orders and brokers' answers.

use monitor_model::{
    clock::UnixNs,
    id::{AlertId, OrderId, SessionId},
    revocation::{Affected, Cause, Order, Outcome, Revoked, State, Target, Times},
};

use super::{
    InvalidMessage,
    wire::{
        closed_enum, id, id_opt, meaning, name, name_opt, names, need, number, text_opt, texts,
    },
};
use crate::v1;

closed_enum!(Outcome, v1::RevocationOutcome, "outcome", {
    Revoked => Revoked, AlreadyRevoked => AlreadyRevoked, NotFound => NotFound,
    RefusedByPolicy => RefusedByPolicy, Retryable => Retryable, Unsupported => Unsupported,
});
closed_enum!(State, v1::OrderState, "state", {
    InForce => InForce, BrokerAnswered => BrokerAnswered, HostsEnforced => HostsEnforced, Enforced => Enforced,
});

impl From<&Target> for v1::RevocationTarget {
    fn from(value: &Target) -> Self {
        use v1::revocation_target::Target as Message;
        Self {
            target: Some(match value {
                Target::Engineer(id) => Message::Engineer(id.to_string()),
                Target::Session(id) => Message::Session(id.to_bytes().to_vec()),
                Target::Grant(id) => Message::Grant(id.to_string()),
                Target::Tenant(id) => Message::Tenant(id.to_string()),
                Target::Serial(serial) => Message::Serial(*serial),
            }),
        }
    }
}

impl TryFrom<v1::RevocationTarget> for Target {
    type Error = InvalidMessage;
    fn try_from(value: v1::RevocationTarget) -> Result<Self, InvalidMessage> {
        use v1::revocation_target::Target as Message;
        Ok(match need("target", value.target)? {
            Message::Engineer(text) => Self::Engineer(name("target.engineer", &text)?),
            Message::Session(bytes) => {
                Self::Session(id("target.session", &bytes, SessionId::from_slice)?)
            }
            Message::Grant(text) => Self::Grant(name("target.grant", &text)?),
            Message::Tenant(text) => Self::Tenant(name("target.tenant", &text)?),
            Message::Serial(serial) => Self::Serial(serial),
        })
    }
}

impl From<&Order> for v1::Order {
    fn from(value: &Order) -> Self {
        let Order {
            id,
            target,
            cause,
            sessions,
            revoked,
            attempts,
            last_error,
            times,
        } = value;
        let Cause {
            text,
            alert,
            event,
            initiator,
        } = cause;
        Self {
            id: id.to_bytes().to_vec(),
            target: Some(target.into()),
            reason: text.clone(),
            alert: alert.map(|id| id.to_bytes().to_vec()).unwrap_or_default(),
            event: event.as_ref().map(Into::into),
            initiator: initiator.clone(),
            sessions: sessions.iter().map(Into::into).collect(),
            revoked: revoked.iter().map(Into::into).collect(),
            attempts: *attempts,
            last_error: last_error.clone(),
            times: Some(times.into()),
            state: number::<v1::OrderState, _>(value.state()),
        }
    }
}

impl TryFrom<v1::Order> for Order {
    type Error = InvalidMessage;
    fn try_from(value: v1::Order) -> Result<Self, InvalidMessage> {
        Ok(Self {
            id: id("order.id", &value.id, OrderId::from_slice)?,
            target: need("order.target", value.target)?.try_into()?,
            cause: Cause {
                text: value.reason,
                alert: id_opt("order.alert", &value.alert, AlertId::from_slice)?,
                event: value.event.map(TryInto::try_into).transpose()?,
                initiator: value.initiator,
            },
            sessions: value
                .sessions
                .into_iter()
                .map(TryInto::try_into)
                .collect::<Result<_, _>>()?,
            revoked: value
                .revoked
                .into_iter()
                .map(TryInto::try_into)
                .collect::<Result<_, _>>()?,
            attempts: value.attempts,
            last_error: value.last_error,
            times: need("order.times", value.times)?.into(),
        })
    }
}

impl From<&Affected> for v1::AffectedSession {
    fn from(value: &Affected) -> Self {
        let Affected {
            session,
            host,
            principal,
            serial,
            grants,
            gone_at,
            killed,
        } = value;
        Self {
            session: session.to_bytes().to_vec(),
            host: host.to_string(),
            principal: text_opt(principal.as_ref()),
            serial: *serial,
            grants: texts(grants),
            gone_at_unix_ns: gone_at.map(|at| at.0),
            killed: *killed,
        }
    }
}

impl TryFrom<v1::AffectedSession> for Affected {
    type Error = InvalidMessage;
    fn try_from(value: v1::AffectedSession) -> Result<Self, InvalidMessage> {
        Ok(Self {
            session: id("affected.session", &value.session, SessionId::from_slice)?,
            host: name("affected.host", &value.host)?,
            principal: name_opt("affected.principal", &value.principal)?,
            serial: value.serial,
            grants: names("affected.grants", &value.grants)?,
            gone_at: value.gone_at_unix_ns.map(UnixNs),
            killed: value.killed,
        })
    }
}

impl From<&Revoked> for v1::Revoked {
    fn from(value: &Revoked) -> Self {
        let Revoked {
            serial,
            grant,
            outcome,
            at,
        } = value;
        Self {
            serial: *serial,
            grant: text_opt(grant.as_ref()),
            outcome: number::<v1::RevocationOutcome, _>(*outcome),
            at_unix_ns: at.0,
        }
    }
}

impl TryFrom<v1::Revoked> for Revoked {
    type Error = InvalidMessage;
    fn try_from(value: v1::Revoked) -> Result<Self, InvalidMessage> {
        Ok(Self {
            serial: value.serial,
            grant: name_opt("revoked.grant", &value.grant)?,
            outcome: meaning::<v1::RevocationOutcome, _>("revoked.outcome", value.outcome)?,
            at: UnixNs(value.at_unix_ns),
        })
    }
}

impl From<&Times> for v1::OrderTimes {
    fn from(value: &Times) -> Self {
        let Times {
            kernel_event,
            alert,
            ordered,
            delivered,
            broker_answered,
            krl_published,
            last_process_gone,
            first_refused_login,
        } = value;
        Self {
            kernel_event_unix_ns: kernel_event.map(|at| at.0),
            alert_unix_ns: alert.map(|at| at.0),
            ordered_unix_ns: ordered.map(|at| at.0),
            delivered_unix_ns: delivered.map(|at| at.0),
            broker_answered_unix_ns: broker_answered.map(|at| at.0),
            krl_published_unix_ns: krl_published.map(|at| at.0),
            last_process_gone_unix_ns: last_process_gone.map(|at| at.0),
            first_refused_login_unix_ns: first_refused_login.map(|at| at.0),
        }
    }
}

impl From<v1::OrderTimes> for Times {
    fn from(value: v1::OrderTimes) -> Self {
        Self {
            kernel_event: value.kernel_event_unix_ns.map(UnixNs),
            alert: value.alert_unix_ns.map(UnixNs),
            ordered: value.ordered_unix_ns.map(UnixNs),
            delivered: value.delivered_unix_ns.map(UnixNs),
            broker_answered: value.broker_answered_unix_ns.map(UnixNs),
            krl_published: value.krl_published_unix_ns.map(UnixNs),
            last_process_gone: value.last_process_gone_unix_ns.map(UnixNs),
            first_refused_login: value.first_refused_login_unix_ns.map(UnixNs),
        }
    }
}
