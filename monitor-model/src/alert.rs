//! Verdicts that somebody must act on.

use std::fmt;

use serde::Serialize;

use crate::{
    clock::UnixNs,
    id::{AgentName, AlertId, EventId, OrderId, PrincipalId, SessionId, TenantId},
};

/// Most events that an alert names.
pub const EVENTS_MAX: usize = 16;
/// Most steps that an alert keeps.
pub const STEPS_MAX: usize = 100;

/// How urgent an alert is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Low,
    /// Worth a look today.
    Medium,
    /// Worth a look now.
    High,
    /// Being answered by machine.
    Critical,
}

impl Severity {
    /// Every severity, lowest first.
    pub const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The name in policies, filters and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What policy answers an alert with, the weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Response {
    /// Tell people.
    Notify,
    /// Tell people, and propose an order that one of them approves or rejects.
    Ask,
    /// Tell people, and have the session stand still on the host.
    Freeze,
    /// Tell people, have the broker revoke, and end the session on the host.
    Revoke,
}

impl Response {
    /// Every response, the weakest first.
    pub const ALL: [Self; 4] = [Self::Notify, Self::Ask, Self::Freeze, Self::Revoke];

    /// The name in policies and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Notify => "notify",
            Self::Ask => "ask",
            Self::Freeze => "freeze",
            Self::Revoke => "revoke",
        }
    }
}

/// How far people are with an alert.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    /// Nobody has taken it.
    #[default]
    Open,
    /// Somebody looks into it.
    Acknowledged,
    /// Done. What is like it raises an alert of its own.
    Closed,
}

impl AlertState {
    /// Every state, in the order that alerts go through them.
    pub const ALL: [Self; 3] = [Self::Open, Self::Acknowledged, Self::Closed];

    /// The name in filters and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::Closed => "closed",
        }
    }
}

impl fmt::Display for AlertState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One thing that somebody did with an alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AlertStep {
    /// What it became.
    pub state: AlertState,
    /// Who did it, as the certificate says: `soc/eve`.
    pub author: String,
    /// Why, in words; empty for those who may not read it.
    pub note: String,
    /// When.
    pub at: UnixNs,
}

/// One alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Alert {
    /// Its name.
    pub id: AlertId,
    /// The rule that made it.
    pub rule: String,
    /// The version of that rule.
    pub rule_version: u32,
    /// What the rule looks for, in words.
    pub title: String,
    /// ATT&CK technique of the rule; may be empty.
    pub technique: String,
    /// The version of ATT&CK that the technique is of; may be empty.
    pub attack_version: String,
    /// Controls of standards that the rule serves: `NIST 800-53 AC-6`.
    pub controls: Vec<String>,
    /// How urgent it is.
    pub severity: Severity,
    /// When it was raised.
    pub at: UnixNs,
    /// When the kernel saw what raised it.
    pub event_at: UnixNs,
    /// The event that raised it; the last that came before a silence.
    pub event: EventId,
    /// The events behind it, in the order they came: those that were counted
    /// until it was raised, and those that were folded into it; at most
    /// [`EVENTS_MAX`]; of more the last that were counted, and of what was
    /// folded the first.
    pub events: Vec<EventId>,
    /// The host it happened on.
    pub host: AgentName,
    /// The session.
    pub session: Option<SessionId>,
    /// The person or workload.
    pub principal: Option<PrincipalId>,
    /// The tenant the session was opened for.
    pub tenant: Option<TenantId>,
    /// The tenant in whose ledger the event lies.
    pub ledger: TenantId,
    /// What happened, as a sentence.
    pub sentence: String,
    /// What policy answered.
    pub response: Response,
    /// Whether rules were only observed: nothing of the response was done.
    pub observed: bool,
    /// The order that was given, proposed or observed.
    pub order: Option<OrderId>,
    /// How many like it the dedupe window swallowed, itself included.
    pub count: u32,
    /// The tenants touched, where the rule counts tenants; else empty.
    pub tenants: Vec<TenantId>,
    /// How far people are with it.
    pub state: AlertState,
    /// What people did with it, the earliest first; at most [`STEPS_MAX`].
    pub steps: Vec<AlertStep>,
}
