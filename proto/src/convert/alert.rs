//! Alerts.

use monitor_model::{
    alert::{Alert, AlertState, AlertStep, EVENTS_MAX, Response, STEPS_MAX, Severity},
    clock::UnixNs,
    id::{AlertId, OrderId, SessionId},
};

use super::{
    InvalidMessage,
    wire::{
        closed_enum, id, id_opt, meaning, name, name_opt, names, need, number, text_opt, texts,
    },
};
use crate::v1;

closed_enum!(Severity, v1::Severity, "severity", {
    Low => Low, Medium => Medium, High => High, Critical => Critical,
});
closed_enum!(Response, v1::AlertResponse, "response", {
    Notify => Notify, Ask => Ask, Freeze => Freeze, Revoke => Revoke,
});
closed_enum!(AlertState, v1::AlertState, "state", {
    Open => Open, Acknowledged => Acknowledged, Closed => Closed,
});

impl From<&AlertStep> for v1::AlertStep {
    fn from(value: &AlertStep) -> Self {
        let AlertStep {
            state,
            author,
            note,
            at,
        } = value;
        Self {
            state: number::<v1::AlertState, _>(*state),
            author: author.clone(),
            note: note.clone(),
            at_unix_ns: at.0,
        }
    }
}

impl TryFrom<v1::AlertStep> for AlertStep {
    type Error = InvalidMessage;
    fn try_from(value: v1::AlertStep) -> Result<Self, InvalidMessage> {
        let v1::AlertStep {
            state,
            author,
            note,
            at_unix_ns,
        } = value;
        Ok(Self {
            state: meaning::<v1::AlertState, _>("alert.steps.state", state)?,
            author,
            note,
            at: UnixNs(at_unix_ns),
        })
    }
}

impl From<&Alert> for v1::Alert {
    fn from(value: &Alert) -> Self {
        let Alert {
            id,
            rule,
            rule_version,
            title,
            technique,
            attack_version,
            controls,
            severity,
            at,
            event_at,
            event,
            events,
            host,
            session,
            principal,
            tenant,
            ledger,
            sentence,
            response,
            observed,
            order,
            count,
            tenants,
            state,
            steps,
        } = value;
        Self {
            id: id.to_bytes().to_vec(),
            rule: rule.clone(),
            technique: technique.clone(),
            severity: number::<v1::Severity, _>(*severity),
            at_unix_ns: at.0,
            event_at_unix_ns: event_at.0,
            event: Some(event.into()),
            host: host.to_string(),
            session: session.map(|id| id.to_bytes().to_vec()).unwrap_or_default(),
            principal: text_opt(principal.as_ref()),
            tenant: text_opt(tenant.as_ref()),
            ledger: ledger.to_string(),
            sentence: sentence.clone(),
            response: number::<v1::AlertResponse, _>(*response),
            order: order.map(|id| id.to_bytes().to_vec()).unwrap_or_default(),
            count: *count,
            rule_version: *rule_version,
            title: title.clone(),
            attack_version: attack_version.clone(),
            controls: controls.clone(),
            events: events.iter().map(Into::into).collect(),
            tenants: texts(tenants),
            state: number::<v1::AlertState, _>(*state),
            steps: steps.iter().map(Into::into).collect(),
            observed: *observed,
        }
    }
}

impl TryFrom<v1::Alert> for Alert {
    type Error = InvalidMessage;
    fn try_from(value: v1::Alert) -> Result<Self, InvalidMessage> {
        Ok(Self {
            id: id("alert.id", &value.id, AlertId::from_slice)?,
            rule: value.rule,
            technique: value.technique,
            severity: meaning::<v1::Severity, _>("alert.severity", value.severity)?,
            at: UnixNs(value.at_unix_ns),
            event_at: UnixNs(value.event_at_unix_ns),
            event: need("alert.event", value.event)?.try_into()?,
            host: name("alert.host", &value.host)?,
            session: id_opt("alert.session", &value.session, SessionId::from_slice)?,
            principal: name_opt("alert.principal", &value.principal)?,
            tenant: name_opt("alert.tenant", &value.tenant)?,
            ledger: name("alert.ledger", &value.ledger)?,
            sentence: value.sentence,
            response: meaning::<v1::AlertResponse, _>("alert.response", value.response)?,
            observed: value.observed,
            order: id_opt("alert.order", &value.order, OrderId::from_slice)?,
            count: value.count,
            rule_version: value.rule_version,
            title: value.title,
            attack_version: value.attack_version,
            controls: value.controls,
            events: each("alert.events", value.events, EVENTS_MAX)?,
            tenants: names("alert.tenants", &value.tenants)?,
            // Alerts of before there were states.
            state: match value.state {
                0 => AlertState::Open,
                state => meaning::<v1::AlertState, _>("alert.state", state)?,
            },
            steps: each("alert.steps", value.steps, STEPS_MAX)?,
        })
    }
}

/// The parts of a list, of which there are at most so many.
fn each<M, T>(field: &'static str, messages: Vec<M>, most: usize) -> Result<Vec<T>, InvalidMessage>
where
    T: TryFrom<M, Error = InvalidMessage>,
{
    if messages.len() > most {
        let number = |length| u64::try_from(length).unwrap_or(u64::MAX);
        return Err(InvalidMessage::Range {
            field,
            value: number(messages.len()),
            max: number(most),
        });
    }
    messages.into_iter().map(T::try_from).collect()
}
