//! An order as it is sent. Times are RFC 3339 in UTC; serial numbers are texts,
//! since those of other authorities have 64 random bits, and many readers of JSON
//! lose digits beyond 2^53.

use std::collections::BTreeSet;

use jiff::Timestamp;
use monitor_model::{
    clock::UnixNs,
    id::{GrantId, PrincipalId, TenantId},
    revocation::{Affected, Order, Target, life::Standing},
};
use serde::Serialize;

use super::SCHEMA_VERSION;
use crate::revoke::named::Named;

/// What the body is about.
pub const KIND: &str = "monitor.revocation.order";

#[derive(Serialize)]
struct Payload<'a> {
    schema_version: u32,
    r#type: &'static str,
    timestamp: Option<String>,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    order: String,
    attempt: u32,
    supersedes: Vec<String>,
    issued_at: Option<String>,
    not_after: Option<String>,
    mode: &'static str,
    target: Aim,
    subject: Subject<'a>,
    credentials: Vec<Credential>,
    sessions: Vec<Session<'a>>,
    reason: Reason<'a>,
    initiator: &'a str,
    approvers: Vec<&'a str>,
}

#[derive(Serialize)]
struct Aim {
    kind: &'static str,
    name: String,
}

#[derive(Serialize)]
struct Subject<'a> {
    engineers: BTreeSet<&'a str>,
    tenants: BTreeSet<&'a str>,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Credential {
    SshCertificate { serial: String },
    Grant { grant: String },
}

#[derive(Serialize)]
struct Session<'a> {
    #[serde(rename = "session")]
    id: String,
    host: &'a str,
    engineer: Option<&'a str>,
    tenant: Option<&'a str>,
    serial: Option<String>,
    grants: Vec<&'a str>,
    gone_at: Option<String>,
}

#[derive(Serialize)]
struct Reason<'a> {
    text: &'a str,
    rule: Option<&'a str>,
    alert: Option<String>,
    alert_at: Option<String>,
    event: Option<String>,
    event_at: Option<String>,
}

/// The body for one attempt.
///
/// # Errors
/// As writing JSON does: none is known.
pub fn body(order: &Order, attempt: u32) -> serde_json::Result<Vec<u8>> {
    let issued_at = order.times.ordered.and_then(rfc3339);
    let named = Named::of(order);
    let certificates = named.serials.iter().map(|serial| {
        let serial = serial.to_string();
        Credential::SshCertificate { serial }
    });
    let grants = named.grants.iter().map(|grant| Credential::Grant {
        grant: grant.to_string(),
    });
    let approved = order.steps.iter();
    let approved = approved.filter(|step| step.to == Standing::InForce);
    serde_json::to_vec(&Payload {
        schema_version: SCHEMA_VERSION,
        r#type: KIND,
        timestamp: issued_at.clone(),
        data: Data {
            order: order.id.to_string(),
            attempt,
            supersedes: order.supersedes.iter().map(ToString::to_string).collect(),
            issued_at,
            not_after: order.not_after.and_then(rfc3339),
            mode: order.mode.as_str(),
            target: aim(&order.target),
            subject: subject(order),
            credentials: certificates.chain(grants).collect(),
            sessions: order.sessions.iter().map(session).collect(),
            reason: reason(order),
            initiator: &order.cause.initiator,
            approvers: approved.map(|step| step.by.as_str()).collect(),
        },
    })
}

fn aim(target: &Target) -> Aim {
    let (kind, name) = match target {
        Target::Engineer(id) => ("engineer", id.to_string()),
        Target::Session(id) => ("session", id.to_string()),
        Target::Grant(id) => ("grant", id.to_string()),
        Target::Tenant(id) => ("tenant", id.to_string()),
        Target::Serial(serial) => ("serial", serial.to_string()),
        Target::Host(id) => ("host", id.to_string()),
    };
    Aim { kind, name }
}

/// Whom and which tenants it reaches, by its target and its sessions.
fn subject(order: &Order) -> Subject<'_> {
    let sessions = order.sessions.iter();
    let engineers = sessions.clone().filter_map(|one| one.principal.as_ref());
    let tenants = sessions.filter_map(|one| one.tenant.as_ref());
    let mut subject = Subject {
        engineers: engineers.map(PrincipalId::as_str).collect(),
        tenants: tenants.map(TenantId::as_str).collect(),
    };
    match &order.target {
        Target::Engineer(id) => _ = subject.engineers.insert(id.as_str()),
        Target::Tenant(id) => _ = subject.tenants.insert(id.as_str()),
        Target::Session(_) | Target::Grant(_) | Target::Serial(_) | Target::Host(_) => {}
    }
    subject
}

fn session(affected: &Affected) -> Session<'_> {
    Session {
        id: affected.session.to_string(),
        host: affected.host.as_str(),
        engineer: affected.principal.as_ref().map(PrincipalId::as_str),
        tenant: affected.tenant.as_ref().map(TenantId::as_str),
        serial: affected.serial.map(|serial| serial.to_string()),
        grants: affected.grants.iter().map(GrantId::as_str).collect(),
        gone_at: affected.gone_at.and_then(rfc3339),
    }
}

fn reason(order: &Order) -> Reason<'_> {
    let cause = &order.cause;
    let rule = cause.initiator.strip_prefix("rule ");
    Reason {
        text: &cause.text,
        rule: rule.filter(|_| order.is_by_rule()),
        alert: cause.alert.map(|id| id.to_string()),
        alert_at: order.times.alert.and_then(rfc3339),
        event: cause.event.as_ref().map(ToString::to_string),
        event_at: order.times.kernel_event.and_then(rfc3339),
    }
}

/// To the nanosecond; none beyond the year 9999.
fn rfc3339(at: UnixNs) -> Option<String> {
    let stamp = Timestamp::from_nanosecond(i128::from(at.0));
    stamp.ok().map(|stamp| format!("{stamp:.9}"))
}
