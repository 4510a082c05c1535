//! Orders to a broker and to hosts, and their answers.
//!
//! An order is level-triggered: it is in force until lifted or expired,
//! repeating it is a success, and its id is the idempotency key. How it comes
//! into force and ends is in [`life`]; what ledgers say of it in [`entry`].

use std::fmt;

use serde::Serialize;

use crate::{
    clock::UnixNs,
    id::{AgentName, AlertId, EventId, GrantId, OrderId, PrincipalId, SessionId, TenantId},
};

pub mod entry;
pub mod life;

use life::{Asks, OrderStep, Standing, State};

/// Most hosts of which an order keeps the first refused login.
pub const REFUSED_MAX: usize = 10_000;
/// Most hosts of which an order says when they had the list.
pub const PUBLISHED_MAX: usize = 10_000;

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
    /// Every live session on one host, with their credentials and grants.
    Host(AgentName),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Engineer(id) => write!(f, "engineer {id}"),
            Self::Session(id) => write!(f, "session {id}"),
            Self::Grant(id) => write!(f, "grant {id}"),
            Self::Tenant(id) => write!(f, "tenant {id}"),
            Self::Serial(serial) => write!(f, "serial {serial}"),
            Self::Host(id) => write!(f, "host {id}"),
        }
    }
}

/// What an order does to what it reaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Sessions are ended, grants end, and the broker revokes.
    #[default]
    Kill,
    /// Sessions stand still, and their credentials open none until the order is
    /// lifted; the broker is not asked and no grant ends.
    Freeze,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Self; 2] = [Self::Kill, Self::Freeze];

    /// The name in JSON and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Freeze => "freeze",
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
    /// The tenant it was opened for.
    pub tenant: Option<TenantId>,
    /// Its certificate's serial.
    pub serial: Option<u64>,
    /// The grants it stands on.
    pub grants: Vec<GrantId>,
    /// When its last process was gone, as the agent confirmed.
    pub gone_at: Option<UnixNs>,
    /// Processes killed, as the agent confirmed.
    pub killed: u32,
    /// When all of it stood still, as the agent confirmed; none where it was
    /// not to.
    pub frozen_at: Option<UnixNs>,
    /// Processes that stood still then.
    pub frozen: u32,
    /// Connections of it that were closed.
    pub closed: u32,
    /// Processes that would neither die nor stand still, as the agent last said.
    pub left: u32,
    /// When it went on after the order was over, as the agent confirmed.
    pub released_at: Option<UnixNs>,
}

impl Affected {
    /// A live session of which nothing else is known.
    #[must_use]
    pub const fn new(session: SessionId, host: AgentName) -> Self {
        Self {
            session,
            host,
            principal: None,
            tenant: None,
            serial: None,
            grants: Vec::new(),
            gone_at: None,
            killed: 0,
            frozen_at: None,
            frozen: 0,
            closed: 0,
            left: 0,
            released_at: None,
        }
    }

    /// Whether its host has confirmed what an order of this mode wants.
    #[must_use]
    pub const fn is_confirmed(&self, mode: Mode) -> bool {
        match mode {
            Mode::Kill => self.gone_at.is_some(),
            Mode::Freeze => self.gone_at.is_some() || self.frozen_at.is_some(),
        }
    }
}

/// The first login that an order made fail on one host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// The host.
    pub host: AgentName,
    /// When.
    pub at: UnixNs,
}

/// When a host had the broker's list that an order is on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Published {
    /// The host.
    pub host: AgentName,
    /// When, as its agent tells.
    pub at: UnixNs,
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
    /// Every outcome.
    pub const ALL: [Self; 6] = [
        Self::Revoked,
        Self::AlreadyRevoked,
        Self::NotFound,
        Self::RefusedByPolicy,
        Self::Retryable,
        Self::Unsupported,
    ];

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

/// One revocation order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Order {
    /// Its name, and the idempotency key.
    pub id: OrderId,
    /// What is to be revoked.
    pub target: Target,
    /// What is done to it.
    pub mode: Mode,
    /// Why, and by whom.
    pub cause: Cause,
    /// Why a person must approve it; none where nobody must.
    pub asks: Option<Asks>,
    /// What people and time did with it, the earliest first; none for an order
    /// that came into force at once and still is.
    pub steps: Vec<OrderStep>,
    /// When it is over by itself.
    pub not_after: Option<UnixNs>,
    /// When it comes into force by itself, where it is proposed and nobody must
    /// approve it.
    pub due: Option<UnixNs>,
    /// Earlier orders for the same target that it took the place of.
    pub supersedes: Vec<OrderId>,
    /// Live sessions it reaches; they are ended or frozen on their hosts.
    pub sessions: Vec<Affected>,
    /// What the broker did.
    pub revoked: Vec<Revoked>,
    /// How often the broker was asked.
    pub attempts: u32,
    /// The last failure to reach the broker; empty when there was none.
    pub last_error: String,
    /// When each step happened.
    pub times: Times,
    /// The first login that failed, by host; at most [`REFUSED_MAX`].
    pub refused: Vec<Refused>,
    /// Number of the broker's revocation list that it is on, where the broker
    /// said one.
    pub list: Option<u64>,
    /// When each host that the agents carry lists to had that list or a later
    /// one; at most [`PUBLISHED_MAX`].
    pub published: Vec<Published>,
}

impl Order {
    /// An order to end what it reaches, as it begins: nothing happened yet.
    #[must_use]
    pub fn new(id: OrderId, target: Target, cause: Cause) -> Self {
        Self {
            id,
            target,
            mode: Mode::Kill,
            cause,
            asks: None,
            steps: Vec::new(),
            not_after: None,
            due: None,
            supersedes: Vec::new(),
            sessions: Vec::new(),
            revoked: Vec::new(),
            attempts: 0,
            last_error: String::new(),
            times: Times::default(),
            refused: Vec::new(),
            list: None,
            published: Vec::new(),
        }
    }

    /// What people and time made of it.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.steps.last().map_or(Standing::InForce, |step| step.to)
    }

    /// Whether it is in force now.
    #[must_use]
    pub fn is_in_force(&self) -> bool {
        self.standing() == Standing::InForce
    }

    /// When it was given: put on disk for the first time, in force or not.
    #[must_use]
    pub fn given_at(&self) -> UnixNs {
        let first = self.steps.first().map(|step| step.at);
        match (first, self.times.ordered) {
            (Some(first), Some(ordered)) => first.min(ordered),
            (first, ordered) => first.or(ordered).unwrap_or_default(),
        }
    }

    /// When it was lifted or expired; none while it holds, and where it never
    /// did.
    #[must_use]
    pub fn over_at(&self) -> Option<UnixNs> {
        let last = self.steps.last()?;
        last.to.is_past().then_some(last.at)
    }

    /// Whether the broker has said all that is asked of it.
    #[must_use]
    pub const fn is_answered(&self) -> bool {
        match self.mode {
            Mode::Kill => self.times.broker_answered.is_some(),
            Mode::Freeze => true,
        }
    }

    /// Whether every host has confirmed what is asked of it.
    #[must_use]
    pub fn is_confirmed(&self) -> bool {
        self.sessions
            .iter()
            .all(|affected| affected.is_confirmed(self.mode))
    }

    /// Whether a rule gave it, and no person.
    #[must_use]
    pub const fn is_by_rule(&self) -> bool {
        self.cause.alert.is_some()
    }

    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> State {
        match self.standing() {
            Standing::Proposed => State::Proposed,
            Standing::Observed => State::Observed,
            Standing::Rejected => State::Rejected,
            Standing::Lifted => State::Lifted,
            Standing::Expired => State::Expired,
            Standing::Superseded => State::Superseded,
            Standing::InForce if self.needs_person() => State::Failed,
            Standing::InForce => self.progress(),
        }
    }

    fn progress(&self) -> State {
        match (self.mode, self.is_answered(), self.is_confirmed()) {
            (_, true, true) => State::Enforced,
            (Mode::Kill, true, false) => State::BrokerAnswered,
            (_, false, true) => State::HostsEnforced,
            (Mode::Freeze, true, false) | (_, false, false) => State::InForce,
        }
    }

    /// Whether repeating it cannot carry it out: the broker will not, or
    /// processes do not die.
    fn needs_person(&self) -> bool {
        let kept = |revoked: &Revoked| match revoked.outcome {
            Outcome::RefusedByPolicy | Outcome::Unsupported => true,
            Outcome::Revoked | Outcome::AlreadyRevoked | Outcome::NotFound | Outcome::Retryable => {
                false
            }
        };
        let stays = |affected: &Affected| affected.left > 0 && !affected.is_confirmed(self.mode);
        self.revoked.iter().any(kept) || self.sessions.iter().any(stays)
    }
}
