//! Orders to a broker, and their answers.
//!
//! An order is level-triggered: it is in force until lifted, repeating it is a
//! success, and its id is the idempotency key.

use std::fmt;

use serde::Serialize;

use crate::{
    clock::UnixNs,
    id::{AgentName, AlertId, EventId, GrantId, OrderId, PrincipalId, SessionId, TenantId},
};

/// What is to be revoked.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case", tag = "target", content = "name")]
pub enum Target {
    /// Everything a principal holds.
    Engineer(PrincipalId),
    /// The credential and grants behind one session.
    Session(SessionId),
    /// One grant and the certificates issued for it.
    Grant(GrantId),
    /// Every grant in a tenant.
    Tenant(TenantId),
    /// One certificate of the broker's CA.
    Serial(u64),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Engineer(id) => write!(f, "engineer {id}"),
            Self::Session(id) => write!(f, "session {id}"),
            Self::Grant(id) => write!(f, "grant {id}"),
            Self::Tenant(id) => write!(f, "tenant {id}"),
            Self::Serial(serial) => write!(f, "serial {serial}"),
        }
    }
}

/// A session the order reaches, and what is known of its credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Affected {
    /// The session.
    pub session: SessionId,
    /// The host it lives on.
    pub host: AgentName,
    /// Who it is.
    pub principal: Option<PrincipalId>,
    /// Its certificate's serial.
    pub serial: Option<u64>,
    /// The grants it stands on.
    pub grants: Vec<GrantId>,
    /// When its last process was gone, as the agent confirmed.
    pub gone_at: Option<UnixNs>,
    /// Processes killed, as the agent confirmed.
    pub killed: u32,
}

/// What a broker did with one credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is revoked now.
    Revoked,
    /// It was revoked before.
    AlreadyRevoked,
    /// The broker never issued it.
    NotFound,
    /// The broker's own rules forbid it.
    RefusedByPolicy,
    /// It failed, and may work when tried again.
    Retryable,
    /// The broker cannot revoke this kind.
    Unsupported,
}

impl Outcome {
    /// The name in JSON and on screens.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::AlreadyRevoked => "already_revoked",
            Self::NotFound => "not_found",
            Self::RefusedByPolicy => "refused_by_policy",
            Self::Retryable => "retryable",
            Self::Unsupported => "unsupported",
        }
    }
}

/// The broker's answer for one credential or grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Revoked {
    /// The certificate's serial; none for a grant that has no certificate.
    pub serial: Option<u64>,
    /// The grant.
    pub grant: Option<GrantId>,
    /// What happened.
    pub outcome: Outcome,
    /// When it took effect.
    pub at: UnixNs,
}

/// Why an order was given, and by whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// In words.
    pub text: String,
    /// The alert, where one gave it.
    pub alert: Option<AlertId>,
    /// The event behind the alert.
    pub event: Option<EventId>,
    /// The person or service that gave it.
    pub initiator: String,
}

/// The times an order keeps. Each is none until it happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Times {
    /// The kernel saw the event.
    pub kernel_event: Option<UnixNs>,
    /// The alert was raised.
    pub alert: Option<UnixNs>,
    /// The order was on disk.
    pub ordered: Option<UnixNs>,
    /// The broker was first asked.
    pub delivered: Option<UnixNs>,
    /// The broker answered.
    pub broker_answered: Option<UnixNs>,
    /// The broker's key revocation list was in place.
    pub krl_published: Option<UnixNs>,
    /// The last process of the last session was gone.
    pub last_process_gone: Option<UnixNs>,
    /// A login with a revoked credential was first refused by an agent.
    pub first_refused_login: Option<UnixNs>,
}

/// Where an order stands. Broker and hosts are independent of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Given; neither the broker nor every host has answered.
    InForce,
    /// The broker has answered, hosts have not.
    BrokerAnswered,
    /// Every host has confirmed, the broker has not answered.
    HostsEnforced,
    /// Broker and hosts have confirmed.
    Enforced,
}

impl State {
    /// The name in JSON and on screens.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InForce => "in_force",
            Self::BrokerAnswered => "broker_answered",
            Self::HostsEnforced => "hosts_enforced",
            Self::Enforced => "enforced",
        }
    }
}

/// One revocation order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Order {
    /// Its name, and the idempotency key.
    pub id: OrderId,
    /// What is to be revoked.
    pub target: Target,
    /// Why, and by whom.
    pub cause: Cause,
    /// Live sessions it reaches; they are ended on their hosts.
    pub sessions: Vec<Affected>,
    /// What the broker did.
    pub revoked: Vec<Revoked>,
    /// How often the broker was asked.
    pub attempts: u32,
    /// The last failure to reach the broker; empty when there was none.
    pub last_error: String,
    /// When each step happened.
    pub times: Times,
}

impl Order {
    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> State {
        let answered = self.times.broker_answered.is_some();
        let gone = self
            .sessions
            .iter()
            .all(|affected| affected.gone_at.is_some());
        match (answered, gone) {
            (true, true) => State::Enforced,
            (true, false) => State::BrokerAnswered,
            (false, true) => State::HostsEnforced,
            (false, false) => State::InForce,
        }
    }
}
