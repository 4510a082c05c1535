//! Revocation orders and brokers' answers.

use monitor_model::{
    clock::UnixNs,
    id::{AlertId, OrderId, SessionId},
    revocation::{
        Affected, Cause, Mode, Order, Outcome, Published, Refused, Revoked, Target, Times,
        entry::OrderEntry,
        life::{Asks, OrderStep, Standing, State},
    },
};

use super::{
    InvalidMessage,
    wire::{
        closed_enum, id, id_opt, meaning, meaning_opt, name, name_opt, names, need, number,
        text_opt, texts,
    },
};
use crate::v1;

closed_enum!(Outcome, v1::RevocationOutcome, "outcome", {
    Revoked => Revoked, AlreadyRevoked => AlreadyRevoked, NotFound => NotFound,
    RefusedByPolicy => RefusedByPolicy, Retryable => Retryable, Unsupported => Unsupported,
});
closed_enum!(State, v1::OrderState, "state", {
    InForce => InForce, BrokerAnswered => BrokerAnswered, HostsEnforced => HostsEnforced, Enforced => Enforced,
    Proposed => Proposed, Observed => Observed, Rejected => Rejected, Failed => Failed, Lifted => Lifted,
    Expired => Expired, Superseded => Superseded,
});
closed_enum!(Mode, v1::OrderMode, "mode", { Kill => Kill, Freeze => Freeze });
closed_enum!(Asks, v1::OrderAsks, "asks", { Policy => Policy, Storm => Storm, Bulk => Bulk });
closed_enum!(Standing, v1::OrderStanding, "to", {
    Proposed => Proposed, InForce => InForce, Observed => Observed, Rejected => Rejected, Lifted => Lifted,
    Expired => Expired, Superseded => Superseded,
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
                Target::Host(id) => Message::Host(id.to_string()),
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
            Message::Host(text) => Self::Host(name("target.host", &text)?),
        })
    }
}

impl From<&Order> for v1::Order {
    fn from(value: &Order) -> Self {
        let Order {
            id,
            target,
            mode,
            cause,
            asks,
            steps,
            not_after,
            due,
            supersedes,
            sessions,
            revoked,
            attempts,
            last_error,
            times,
            refused,
            list,
            published,
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
            mode: number::<v1::OrderMode, _>(*mode),
            not_after_unix_ns: not_after.map(|at| at.0),
            supersedes: supersedes.iter().map(|id| id.to_bytes().to_vec()).collect(),
            asks: asks.map_or(0, number::<v1::OrderAsks, _>),
            steps: steps.iter().map(Into::into).collect(),
            refused: refused.iter().map(Into::into).collect(),
            list_number: *list,
            published: published.iter().map(Into::into).collect(),
            due_unix_ns: due.map(|at| at.0),
        }
    }
}

impl TryFrom<v1::Order> for Order {
    type Error = InvalidMessage;
    fn try_from(value: v1::Order) -> Result<Self, InvalidMessage> {
        Ok(Self {
            id: id("order.id", &value.id, OrderId::from_slice)?,
            target: need("order.target", value.target)?.try_into()?,
            // An order of before there were modes ends what it reaches.
            mode: meaning_opt::<v1::OrderMode, _>("order.mode", value.mode)?.unwrap_or_default(),
            asks: meaning_opt::<v1::OrderAsks, _>("order.asks", value.asks)?,
            steps: all(value.steps)?,
            not_after: value.not_after_unix_ns.map(UnixNs),
            due: value.due_unix_ns.map(UnixNs),
            supersedes: value
                .supersedes
                .iter()
                .map(|bytes| id("order.supersedes", bytes, OrderId::from_slice))
                .collect::<Result<_, _>>()?,
            cause: Cause {
                text: value.reason,
                alert: id_opt("order.alert", &value.alert, AlertId::from_slice)?,
                event: value.event.map(TryInto::try_into).transpose()?,
                initiator: value.initiator,
            },
            sessions: all(value.sessions)?,
            revoked: all(value.revoked)?,
            attempts: value.attempts,
            last_error: value.last_error,
            times: need("order.times", value.times)?.into(),
            refused: all(value.refused)?,
            list: value.list_number,
            published: all(value.published)?,
        })
    }
}

fn all<M, T>(messages: Vec<M>) -> Result<Vec<T>, InvalidMessage>
where
    T: TryFrom<M, Error = InvalidMessage>,
{
    messages.into_iter().map(T::try_from).collect()
}

impl From<&OrderStep> for v1::OrderStep {
    fn from(value: &OrderStep) -> Self {
        let OrderStep { to, by, note, at } = value;
        Self {
            to: number::<v1::OrderStanding, _>(*to),
            by: by.clone(),
            note: note.clone(),
            at_unix_ns: at.0,
        }
    }
}

impl TryFrom<v1::OrderStep> for OrderStep {
    type Error = InvalidMessage;
    fn try_from(value: v1::OrderStep) -> Result<Self, InvalidMessage> {
        let v1::OrderStep {
            to,
            by,
            note,
            at_unix_ns,
        } = value;
        Ok(Self {
            to: meaning::<v1::OrderStanding, _>("order.steps.to", to)?,
            by,
            note,
            at: UnixNs(at_unix_ns),
        })
    }
}

impl From<&OrderEntry> for v1::OrderEntry {
    fn from(value: &OrderEntry) -> Self {
        let OrderEntry {
            order,
            target,
            mode,
            state,
            initiator,
            reason,
            alert,
            step,
            sessions,
            more_sessions,
            revoked,
            more_revoked,
        } = value;
        Self {
            order: order.to_bytes().to_vec(),
            target: target.as_ref().map(Into::into),
            mode: number::<v1::OrderMode, _>(*mode),
            state: number::<v1::OrderState, _>(*state),
            initiator: initiator.clone(),
            reason: reason.clone(),
            alert: alert.map(|id| id.to_bytes().to_vec()).unwrap_or_default(),
            step: step.as_ref().map(Into::into),
            sessions: sessions.iter().map(Into::into).collect(),
            more_sessions: *more_sessions,
            revoked: revoked.iter().map(Into::into).collect(),
            more_revoked: *more_revoked,
        }
    }
}

impl TryFrom<v1::OrderEntry> for OrderEntry {
    type Error = InvalidMessage;
    fn try_from(value: v1::OrderEntry) -> Result<Self, InvalidMessage> {
        let v1::OrderEntry {
            order,
            target,
            mode,
            state,
            initiator,
            reason,
            alert,
            step,
            sessions,
            more_sessions,
            revoked,
            more_revoked,
        } = value;
        Ok(Self {
            order: id("order.order", &order, OrderId::from_slice)?,
            target: target.map(TryInto::try_into).transpose()?,
            mode: meaning::<v1::OrderMode, _>("order.mode", mode)?,
            state: meaning::<v1::OrderState, _>("order.state", state)?,
            initiator,
            reason,
            alert: id_opt("order.alert", &alert, AlertId::from_slice)?,
            step: step.map(TryInto::try_into).transpose()?,
            sessions: all(sessions)?,
            more_sessions,
            revoked: all(revoked)?,
            more_revoked,
        })
    }
}

impl From<&Refused> for v1::RefusedLogin {
    fn from(value: &Refused) -> Self {
        let Refused { host, at } = value;
        Self {
            host: host.to_string(),
            at_unix_ns: at.0,
        }
    }
}

impl TryFrom<v1::RefusedLogin> for Refused {
    type Error = InvalidMessage;
    fn try_from(value: v1::RefusedLogin) -> Result<Self, InvalidMessage> {
        let v1::RefusedLogin { host, at_unix_ns } = value;
        Ok(Self {
            host: name("order.refused.host", &host)?,
            at: UnixNs(at_unix_ns),
        })
    }
}

impl From<&Published> for v1::PublishedList {
    fn from(value: &Published) -> Self {
        let Published { host, at } = value;
        Self {
            host: host.to_string(),
            at_unix_ns: at.0,
        }
    }
}

impl TryFrom<v1::PublishedList> for Published {
    type Error = InvalidMessage;
    fn try_from(value: v1::PublishedList) -> Result<Self, InvalidMessage> {
        let v1::PublishedList { host, at_unix_ns } = value;
        Ok(Self {
            host: name("order.published.host", &host)?,
            at: UnixNs(at_unix_ns),
        })
    }
}

impl From<&Affected> for v1::AffectedSession {
    fn from(value: &Affected) -> Self {
        let Affected {
            session,
            host,
            principal,
            tenant,
            serial,
            grants,
            gone_at,
            killed,
            frozen_at,
            frozen,
            closed,
            left,
            released_at,
        } = value;
        Self {
            session: session.to_bytes().to_vec(),
            host: host.to_string(),
            principal: text_opt(principal.as_ref()),
            tenant: text_opt(tenant.as_ref()),
            serial: *serial,
            grants: texts(grants),
            gone_at_unix_ns: gone_at.map(|at| at.0),
            killed: *killed,
            frozen_at_unix_ns: frozen_at.map(|at| at.0),
            frozen: *frozen,
            closed: *closed,
            left: *left,
            released_at_unix_ns: released_at.map(|at| at.0),
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
            tenant: name_opt("affected.tenant", &value.tenant)?,
            serial: value.serial,
            grants: names("affected.grants", &value.grants)?,
            gone_at: value.gone_at_unix_ns.map(UnixNs),
            killed: value.killed,
            frozen_at: value.frozen_at_unix_ns.map(UnixNs),
            frozen: value.frozen,
            closed: value.closed,
            left: value.left,
            released_at: value.released_at_unix_ns.map(UnixNs),
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
