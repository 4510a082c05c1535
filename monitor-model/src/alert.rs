//! Verdicts that somebody must act on.

use std::fmt;

use serde::Serialize;

use crate::{
    clock::UnixNs,
    id::{AgentName, AlertId, EventId, OrderId, PrincipalId, SessionId, TenantId},
};

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

/// What policy answers an alert with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Response {
    /// Tell people.
    Notify,
    /// Tell people, have the broker revoke, and end the session on the host.
    Revoke,
}

impl Response {
    /// The name in policies and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Notify => "notify",
            Self::Revoke => "revoke",
        }
    }
}

/// One alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Alert {
    /// Its name.
    pub id: AlertId,
    /// The rule that made it.
    pub rule: String,
    /// ATT&CK technique of the rule; may be empty.
    pub technique: String,
    /// How urgent it is.
    pub severity: Severity,
    /// When it was raised.
    pub at: UnixNs,
    /// When the kernel saw what raised it.
    pub event_at: UnixNs,
    /// The event that raised it.
    pub event: EventId,
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
    /// The order that was given.
    pub order: Option<OrderId>,
    /// How many like it the dedupe window swallowed, itself included.
    pub count: u32,
}
