//! What an alert says of the rule, the event and those before it. Pure.

use std::collections::HashMap;

use monitor_model::{
    alert::{Alert, AlertState, EVENTS_MAX, Response, Severity},
    clock::UnixNs,
    event::{Action, Event},
    id::{AlertId, EventId, OrderId, SessionId, TenantId},
};
use sha2::{Digest as _, Sha256};

use super::{
    Firing, Moment,
    counting::Mark,
    hosts::{Found, OfHost},
    rule::{Counted, Rule},
};
use crate::{ledger::Entry, state::Raised};

/// The name that the notice of a storm has in place of a rule's.
const STORM_RULE: &str = "orders-wait";

/// A session is answered once, and again by what is stronger; and what has no
/// session cannot be.
pub(super) fn response(
    allowed: Response,
    event: &Event,
    answered: &HashMap<SessionId, (Response, UnixNs)>,
) -> Response {
    let Some(session) = event.attribution.session else {
        return Response::Notify;
    };
    match answered.get(&session) {
        Some((known, _)) if *known >= allowed => Response::Notify,
        Some(_) | None => allowed,
    }
}

/// What stands out over time, where that is what the rule looks for.
pub(super) fn stands_out<'a>(rule: &Rule, found: &'a [Found]) -> Option<&'a Found> {
    let signs = &rule.conditions.signs;
    found.iter().find(|found| signs.contains(&found.sign))
}

/// The tenants that were touched, where the rule counts them; the first first.
pub(super) fn tenants(rule: &Rule, marks: &[Mark]) -> Vec<TenantId> {
    match rule.counted {
        Counted::Events => Vec::new(),
        Counted::Tenants => marks
            .iter()
            .filter_map(|mark| mark.tenant.clone())
            .collect(),
    }
}

pub(super) fn alert(rule: &Rule, firing: &Firing, entry: &Entry, moment: &Moment<'_>) -> Alert {
    let event = &entry.judged.event;
    let who = &event.attribution;
    let beyond = firing.marks.len().saturating_sub(EVENTS_MAX);
    let behind = firing.marks.iter().skip(beyond);
    Alert {
        id: alert_id(&event.id, entry.stored_at),
        rule: rule.id.clone(),
        rule_version: rule.version,
        title: rule.title.clone(),
        technique: technique(rule, event),
        attack_version: rule.attack_version.clone(),
        controls: rule.controls.clone(),
        severity: rule.severity,
        at: moment.at,
        event_at: event.at,
        event: event.id.clone(),
        events: behind.map(|mark| mark.event.clone()).collect(),
        host: event.id.agent.clone(),
        session: who.session,
        principal: who.principal.clone(),
        tenant: who.tenant.clone(),
        ledger: entry.ledger.clone(),
        sentence: String::new(),
        response: firing.response,
        observed: firing.observed,
        order: (firing.response != Response::Notify).then(|| order_id(&event.id, entry.stored_at)),
        count: event.acts(),
        tenants: tenants(rule, &firing.marks),
        state: AlertState::Open,
        steps: Vec::new(),
    }
}

/// What alerts about the same of a host share.
pub(super) fn host_fold(rule: &Rule, of: &OfHost) -> String {
    format!("{}\nhost {}\n{}", rule.id, of.event.agent, of.sign.as_str())
}

/// Of what a host shows no event tells: the one that it is about is named.
pub(super) fn host_alert(rule: &Rule, of: OfHost, moment: &Moment<'_>, stamp: UnixNs) -> Raised {
    let fold = host_fold(rule, &of);
    let OfHost {
        sign,
        event,
        since,
        sentence,
    } = of;
    let host = event.agent.clone();
    let digest = name_bits(sign.as_str(), &event);
    Raised {
        stamp,
        outside: sentence.clone(),
        fold,
        of_event: false,
        alert: Alert {
            id: AlertId::from_parts(stamp, digest),
            rule: rule.id.clone(),
            rule_version: rule.version,
            title: rule.title.clone(),
            technique: rule.technique.clone(),
            attack_version: rule.attack_version.clone(),
            controls: rule.controls.clone(),
            severity: rule.severity,
            at: moment.at,
            event_at: since,
            events: vec![event.clone()],
            event,
            host,
            session: None,
            principal: None,
            tenant: None,
            ledger: TenantId::provider(),
            sentence,
            response: Response::Notify,
            observed: false,
            order: None,
            count: 1,
            tenants: Vec::new(),
            state: AlertState::Open,
            steps: Vec::new(),
        },
    }
}

/// The name of the order that an alert about a host gives.
pub(crate) fn host_order_id(alert: &Alert) -> OrderId {
    let named = format!("{} {}", alert.rule, alert.id);
    let digest = Sha256::digest(format!("monitor.v1 lost host\0{named}"));
    let bits = digest
        .iter()
        .take(16)
        .fold(0, |bits, &byte| (bits << 8) | u128::from(byte));
    OrderId::from_parts(alert.at, bits)
}

/// Rules would cut off more than the configuration allows: their orders wait.
pub(crate) fn storm_notice(of: &Alert, sentence: String, stamp: UnixNs) -> Raised {
    Raised {
        stamp,
        outside: sentence.clone(),
        fold: format!("{STORM_RULE}\n{}", of.id),
        of_event: false,
        alert: Alert {
            id: AlertId::from_parts(stamp, name_bits("storm", &of.event)),
            rule: STORM_RULE.to_owned(),
            rule_version: 1,
            title: "Rules would cut off more than the configuration allows".to_owned(),
            technique: String::new(),
            attack_version: String::new(),
            controls: Vec::new(),
            severity: Severity::Critical,
            session: None,
            principal: None,
            tenant: None,
            ledger: TenantId::provider(),
            sentence,
            response: Response::Notify,
            observed: false,
            order: None,
            count: 1,
            tenants: Vec::new(),
            ..of.clone()
        },
    }
}

/// The rule's technique, or that of the object by the watch list.
fn technique(rule: &Rule, event: &Event) -> String {
    if let Action::Credential {
        technique: Some(technique),
        ..
    } = &event.action
        && rule.technique.is_empty()
    {
        return technique.clone();
    }
    rule.technique.clone()
}

/// An alert's name follows from its event: raising it again is the same alert.
fn alert_id(event: &EventId, stored_at: UnixNs) -> AlertId {
    AlertId::from_parts(stored_at, name_bits("alert", event))
}

/// So does the name of the order that it gives.
fn order_id(event: &EventId, stored_at: UnixNs) -> OrderId {
    OrderId::from_parts(stored_at, name_bits("order", event))
}

fn name_bits(what: &str, event: &EventId) -> u128 {
    let digest = Sha256::digest(format!("monitor.v1 {what}\0{event}"));
    digest
        .iter()
        .take(16)
        .fold(0, |bits, &byte| (bits << 8) | u128::from(byte))
}
