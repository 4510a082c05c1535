//! Alerts.

use monitor_model::{
    alert::{Alert, Response, Severity},
    clock::UnixNs,
    id::{AlertId, OrderId, SessionId},
};

use super::{
    InvalidMessage,
    wire::{closed_enum, id, id_opt, meaning, name, name_opt, need, number, text_opt},
};
use crate::v1;

closed_enum!(Severity, v1::Severity, "severity", {
    Low => Low, Medium => Medium, High => High, Critical => Critical,
});
closed_enum!(Response, v1::AlertResponse, "response", {
    Notify => Notify, Revoke => Revoke,
});

impl From<&Alert> for v1::Alert {
    fn from(value: &Alert) -> Self {
        let Alert {
            id,
            rule,
            technique,
            severity,
            at,
            event_at,
            event,
            host,
            session,
            principal,
            tenant,
            ledger,
            sentence,
            response,
            order,
            count,
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
            order: id_opt("alert.order", &value.order, OrderId::from_slice)?,
            count: value.count,
        })
    }
}
