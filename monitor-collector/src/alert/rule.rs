//! A rule: what it looks at, how it counts, what it says and what answers it.

use std::time::Duration;

use monitor_model::{
    alert::{Response, Severity},
    event::{Fact, Kind, NoSession},
    verdict::{OutReason, VerdictKind},
};
use serde::Serialize;

use super::{
    sigma::{Detection, SigmaRule},
    sign::Sign,
};

/// The rules that come with the collector.
pub const STANDARD: &str = include_str!("standard.toml");

/// Whose matches are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// The session's; the host's, for what belongs to none.
    Session,
    /// The person's or workload's, over all sessions and hosts; else the session's.
    Principal,
    /// The host's.
    Host,
}

impl By {
    /// Every way.
    pub const ALL: [Self; 3] = [Self::Session, Self::Principal, Self::Host];

    /// The name in rules.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Principal => "principal",
            Self::Host => "host",
        }
    }
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Counted {
    /// Events.
    Events,
    /// Tenants whose things were touched; the provider is none. Only an event
    /// that touches one more within the window fires.
    Tenants,
}

impl Counted {
    /// Every way.
    pub const ALL: [Self; 2] = [Self::Events, Self::Tenants];

    /// The name in rules.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Tenants => "tenants",
        }
    }
}

/// What a rule looks at. Every part that is stated must fit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Conditions {
    /// Verdicts; none means all.
    pub verdicts: Vec<VerdictKind>,
    /// Kinds of events; none means all.
    pub kinds: Vec<Kind>,
    /// Reasons of what is out of scope; none means all.
    pub reasons: Vec<OutReason>,
    /// Reasons of what is nobody's; none means all.
    pub no_session: Vec<NoSession>,
    /// Facts of which an event must have one; none means that it needs none.
    pub facts: Vec<Fact>,
    /// Signs of which an event must have one; none means that it needs none.
    pub signs: Vec<Sign>,
    /// Classes of watched files; none means all.
    pub classes: Vec<String>,
    /// Whether only changes of watched files fit.
    pub changes: bool,
    /// What a Sigma rule looks for; none where it is no Sigma rule.
    pub sigma: Option<Detection>,
}

/// When an alert is raised, what it says, and what answers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// Its name.
    pub id: String,
    /// Its version: ascends whenever what it looks at changes.
    pub version: u32,
    /// What it looks for, in words.
    pub title: String,
    /// What it looks at.
    pub conditions: Conditions,
    /// How urgent its alerts are.
    pub severity: Severity,
    /// ATT&CK technique; may be empty.
    pub technique: String,
    /// The version of ATT&CK; empty without a technique.
    pub attack_version: String,
    /// Controls of standards that it serves.
    pub controls: Vec<String>,
    /// What answers.
    pub response: Response,
    /// Fires from this match on, counted within the window.
    pub after: u32,
    /// What is counted.
    pub counted: Counted,
    /// Whose matches are counted together.
    pub by: By,
    /// The window.
    pub window: Duration,
    /// How long like alerts are folded into the first.
    pub dedupe: Duration,
}

impl Rule {
    /// A Sigma rule as one of ours: it tells people.
    #[must_use]
    pub fn of_sigma(sigma: SigmaRule, dedupe: Duration) -> Self {
        let SigmaRule {
            id,
            title,
            severity,
            technique,
            kind,
            detection,
        } = sigma;
        Self {
            id,
            version: 1,
            title,
            conditions: Conditions {
                kinds: vec![kind],
                sigma: Some(detection),
                ..Conditions::default()
            },
            severity,
            technique,
            attack_version: String::new(),
            controls: Vec::new(),
            response: Response::Notify,
            after: 1,
            counted: Counted::Events,
            by: By::Session,
            window: Duration::from_secs(3_600),
            dedupe,
        }
    }
}
