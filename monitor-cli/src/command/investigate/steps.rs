//! The steps of a timeline, each as a sentence.
//!
//! Pure: an event, an alert or an order in, steps out.

use monitor_model::{
    alert::Alert,
    clock::UnixNs,
    event::Event,
    id::{AgentName, EventId, PrincipalId, SessionId},
    revocation::Order,
    sentence,
    verdict::{ExemptReason, Judgement, Verdict},
};
use serde::Serialize;

use super::story::is_out;

/// What kind of thing a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// Something happened on a host.
    Event,
    /// An alert was raised.
    Alert,
    /// Something became of an order.
    Revocation,
}

impl StepKind {
    /// The name in columns.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Alert => "alert",
            Self::Revocation => "revocation",
        }
    }
}

/// One step of the timeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// When: events by their host's clock, the rest by the collector's.
    pub at: UnixNs,
    /// What kind of thing it is.
    pub step: StepKind,
    /// Where; none for what is of no host.
    pub host: Option<AgentName>,
    /// In which session.
    pub session: Option<SessionId>,
    /// Who; another than the engineer where a session was opened in another name.
    pub principal: Option<PrincipalId>,
    /// As a sentence.
    pub what: String,
    /// The verdict as a sentence; empty where nothing was judged.
    pub verdict: String,
    /// The event.
    pub event: Option<EventId>,
    /// Whether somebody must act on it.
    pub alarming: bool,
}

/// The step of an event.
#[must_use]
pub fn happened(event: &Event, judgement: &Judgement) -> Step {
    let lifecycle = matches!(
        judgement.verdict,
        Verdict::Exempt {
            reason: ExemptReason::Lifecycle
        }
    );
    let verdict = if lifecycle {
        String::new()
    } else {
        judgement.to_string()
    };
    Step {
        at: event.at,
        step: StepKind::Event,
        host: Some(event.id.agent.clone()),
        session: event.attribution.session,
        principal: event.attribution.principal.clone(),
        what: sentence::what(event),
        verdict,
        event: Some(event.id.clone()),
        alarming: is_out(judgement),
    }
}

/// The step of an alert.
#[must_use]
pub fn raised(alert: &Alert) -> Step {
    Step {
        at: alert.at,
        step: StepKind::Alert,
        host: Some(alert.host.clone()),
        session: alert.session,
        principal: alert.principal.clone(),
        what: format!(
            "{} alert [{}]: {}",
            alert.severity, alert.rule, alert.sentence
        ),
        verdict: String::new(),
        event: Some(alert.event.clone()),
        alarming: true,
    }
}

/// What became of an order, each with its time.
#[must_use]
pub fn revoked(order: &Order) -> Vec<Step> {
    let blank = |at: UnixNs, what: String| Step {
        at,
        step: StepKind::Revocation,
        host: None,
        session: None,
        principal: None,
        what,
        verdict: String::new(),
        event: None,
        alarming: false,
    };
    let id = order.id;
    let mut steps: Vec<Step> = milestones(order)
        .into_iter()
        .filter_map(|(at, what)| Some(blank(at?, format!("order {id}: {what}"))))
        .collect();
    for affected in &order.sessions {
        let Some(at) = affected.gone_at else { continue };
        let killed = affected.killed;
        let what = format!("order {id}: session gone, {killed} processes killed");
        steps.push(Step {
            host: Some(affected.host.clone()),
            session: Some(affected.session),
            principal: affected.principal.clone(),
            ..blank(at, what)
        });
    }
    steps.extend(order.revoked.iter().map(|revoked| {
        let serial = revoked.serial.map(|serial| format!("certificate {serial}"));
        let grant = revoked.grant.as_ref().map(|grant| format!("grant {grant}"));
        let what: Vec<String> = serial.into_iter().chain(grant).collect();
        let outcome = revoked.outcome.as_str();
        let what = format!("order {id}: {}: {outcome}", what.join(" of "));
        blank(revoked.at, what)
    }));
    steps
}

fn milestones(order: &Order) -> [(Option<UnixNs>, String); 4] {
    let times = &order.times;
    let cause = &order.cause;
    [
        (
            times.ordered,
            format!(
                "given against {} by {}: {}",
                order.target, cause.initiator, cause.text
            ),
        ),
        (times.broker_answered, "the broker answered".to_owned()),
        (
            times.krl_published,
            "the revocation list was in place".to_owned(),
        ),
        (
            times.first_refused_login,
            "a login was refused for the first time".to_owned(),
        ),
    ]
}
