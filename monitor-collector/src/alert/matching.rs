//! Which rule an event matches, and what is alike. Pure.

use monitor_model::{
    event::{Action, Event, Kind, facts},
    verdict::{OutReason, Verdict},
};

use super::Subject;
use crate::{config::Rule, ledger::Entry};

/// Whose matches an event counts among.
pub(super) fn subject(event: &Event) -> Subject {
    event
        .attribution
        .session
        .map_or_else(|| Subject::Host(event.id.agent.clone()), Subject::Session)
}

/// Whether a rule looks at an event: every part of it must fit.
pub(super) fn matches(rule: &Rule, entry: &Entry) -> bool {
    let verdict = &entry.judged.judgement.verdict;
    let kind: Kind = entry.judged.event.action.kind();
    let reason: Option<OutReason> = match verdict {
        Verdict::OutOfScope { reason, .. } => Some(*reason),
        Verdict::InScope { .. } | Verdict::Unattributed { .. } | Verdict::Exempt { .. } => None,
    };
    (rule.verdicts.is_empty() || rule.verdicts.contains(&verdict.kind()))
        && (rule.facts.is_empty() || facts_match(rule, entry))
        && (rule.kinds.is_empty() || rule.kinds.contains(&kind))
        && (rule.reasons.is_empty() || reason.is_some_and(|reason| rule.reasons.contains(&reason)))
}

/// Of the event itself, and what the judge found by policy and grants.
fn facts_match(rule: &Rule, entry: &Entry) -> bool {
    let own = facts(&entry.judged.event);
    let mut found = own.iter().chain(&entry.judged.judgement.facts);
    found.any(|fact| rule.facts.contains(fact))
}

/// Alike are: the rule, whose it is, the ledger, and the object.
pub(super) fn fold_key(rule: &Rule, entry: &Entry) -> String {
    let event = &entry.judged.event;
    let whose = match subject(event) {
        Subject::Session(session) => session.to_string(),
        Subject::Host(host) => format!("host {host}"),
    };
    let object = match &event.action {
        Action::Exec { exe, .. } => exe.path.to_string(),
        Action::Credential { object, .. } => object.path.to_string(),
        Action::Connect { destination, .. } => destination.address.to_string(),
        Action::LocalConnect { socket, .. } => socket.to_string(),
        Action::Memory { target, .. } | Action::Signal { target, .. } => target.pid.to_string(),
        Action::Host { change, .. } => change.as_str().to_owned(),
        Action::Socket { local, family, .. } => match local {
            Some(local) => local.to_string(),
            None => format!("family {family}"),
        },
        Action::Identity { .. }
        | Action::Fork { .. }
        | Action::Exit { .. }
        | Action::SessionOpened { .. }
        | Action::SessionEnded { .. }
        | Action::JobStarted { .. }
        | Action::JobEnded { .. }
        | Action::LoginRefused { .. }
        | Action::Contained { .. }
        | Action::Gap { .. }
        | Action::Impaired { .. }
        | Action::AgentStarted { .. } => String::new(),
    };
    format!(
        "{}\n{whose}\n{}\n{}\n{object}",
        rule.id,
        entry.ledger,
        event.action.kind()
    )
}
