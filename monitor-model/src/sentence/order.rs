//! An order in words.

use super::shown;
use crate::revocation::{Affected, entry::OrderEntry, life::State};

/// `order 01J... (kill engineer ada) of eve is in force: contract ended; 2 sessions,
/// 1 gone; 1 credential revoked`.
pub(super) fn sentence(entry: &OrderEntry) -> String {
    let target = entry.target.as_ref();
    let target = target.map_or_else(
        || "what is another tenant's".to_owned(),
        ToString::to_string,
    );
    let state = match entry.state {
        State::Proposed => "waits for a person",
        State::Observed => "would have been given",
        State::Rejected => "was rejected",
        State::InForce => "is in force",
        State::BrokerAnswered => "is answered by the broker",
        State::HostsEnforced => "is carried out on every host",
        State::Enforced => "is carried out",
        State::Failed => "cannot be carried out without a person",
        State::Lifted => "was lifted",
        State::Expired => "is over",
        State::Superseded => "was superseded",
    };
    let by = match &entry.step {
        Some(step) if step.by != entry.initiator => format!(" by {}", shown(&step.by)),
        Some(_) | None => String::new(),
    };
    let why = |text: &str| match text {
        "" => String::new(),
        text => format!(": {}", shown(text)),
    };
    let note = entry.step.as_ref().map_or("", |step| step.note.as_str());
    let reached = many(entry.sessions.len(), entry.more_sessions);
    let gone = entry.sessions.iter().filter(|one| one.gone_at.is_some());
    let stands = |one: &&Affected| one.gone_at.is_none() && one.frozen_at.is_some();
    let frozen = entry.sessions.iter().filter(stands);
    let broker = match many(entry.revoked.len(), entry.more_revoked) {
        0 => String::new(),
        told => format!("; the broker answered for {told} credentials"),
    };
    format!(
        "order {} ({} {target}) of {}{} {state}{by}{}; {reached} sessions, {} gone, {} frozen{broker}",
        entry.order,
        entry.mode.as_str(),
        shown(&entry.initiator),
        why(&entry.reason),
        why(note),
        gone.count(),
        frozen.count()
    )
}

fn many(named: usize, more: u64) -> u64 {
    u64::try_from(named)
        .unwrap_or(u64::MAX)
        .saturating_add(more)
}
