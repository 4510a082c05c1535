//! The story of an engineer's sessions, put together from what was told.
//!
//! Pure: sessions, events, alerts and orders in, one story out.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    net::SocketAddr,
};

use monitor_model::{
    alert::Alert,
    clock::UnixNs,
    event::{Action, Event, Kind},
    id::{AgentName, PrincipalId, SessionId},
    live::opened_from,
    revocation::{Order, Target},
    sentence,
    session::Session,
    tenant::Owner,
    verdict::{Judgement, Verdict},
};
use serde::Serialize;

use super::{
    fetch::{Asked, Material},
    steps::{Step, happened, raised, revoked},
    uses::{Touched, logins, touched},
};

/// A session of the story.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Told {
    /// The session.
    #[serde(flatten)]
    pub session: Session,
    /// The session that it was opened from over ssh.
    pub opened_from: Option<SessionId>,
}

/// A destination that was connected to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Destination {
    /// Address and port.
    pub address: String,
    /// Whose it is, in a word: a tenant, several, `host`, `unknown`.
    pub owner: String,
    /// The hosts that connected to it.
    pub hosts: BTreeSet<AgentName>,
    /// How often.
    pub times: usize,
    /// How often the kernel refused it.
    pub denied: usize,
    /// How often it was out of scope.
    pub out_of_scope: usize,
    /// When first.
    pub first_at: UnixNs,
    /// When last.
    pub last_at: UnixNs,
}

/// A tenant whose things were touched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reached {
    /// Whose, in a word: a tenant, several, `unknown`.
    pub owner: String,
    /// Connections to it that were not refused.
    pub connections: usize,
    /// Uses of its credentials that were not refused.
    pub credential_uses: usize,
    /// How much of all that was out of scope, what was refused included.
    pub out_of_scope: usize,
    /// When first.
    pub first_at: UnixNs,
    /// When last.
    pub last_at: UnixNs,
}

/// What an engineer's sessions did, touched and reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Story {
    /// The engineer or workload.
    pub engineer: PrincipalId,
    /// From this instant on.
    pub since: UnixNs,
    /// Before this one.
    pub until: UnixNs,
    /// Their sessions and those opened from them, the earliest first.
    pub sessions: Vec<Told>,
    /// What happened, the earliest first.
    pub timeline: Vec<Step>,
    /// Jump hosts.
    pub hosts: BTreeSet<AgentName>,
    /// Credentials, in the order they were first touched in.
    pub credentials: Vec<Touched>,
    /// Destinations of connections, by address.
    pub destinations: Vec<Destination>,
    /// Whose things were touched.
    pub tenants: Vec<Reached>,
    /// Alerts, the earliest first.
    pub alerts: Vec<Alert>,
    /// Orders against them, the earliest first.
    pub orders: Vec<Order>,
    /// What may be missing, in words.
    pub missing: Vec<String>,
}

impl Story {
    /// Puts the story together.
    #[must_use]
    pub fn of(material: Material) -> Self {
        let Material {
            asked,
            sessions,
            mut events,
            mut alerts,
            mut orders,
            missing,
        } = material;
        events.sort_by(|(one, _), (other, _)| {
            (one.at, &one.id.agent, one.boot_ns).cmp(&(other.at, &other.id.agent, other.boot_ns))
        });
        let mut told: Vec<Session> = concerned(&sessions, &asked).into_iter().cloned().collect();
        told.sort_by_key(|session| (session.opened_at, session.id));
        let known: HashSet<SessionId> = told.iter().map(|session| session.id).collect();
        alerts.retain(|alert| (asked.since..asked.until).contains(&alert.event_at));
        alerts.sort_by_key(|alert| (alert.at, alert.id));
        orders.retain(|order| is_against(order, &asked, &known, &alerts));
        orders.sort_by_key(|order| (order.times.ordered, order.id));
        let mut timeline: Vec<Step> = events
            .iter()
            .filter(|(event, _)| event.action.kind() != Kind::Fork)
            .map(|(event, judgement)| happened(event, judgement))
            .chain(alerts.iter().map(raised))
            .chain(orders.iter().flat_map(revoked))
            .collect();
        timeline.sort_by_key(|step| (step.at, step.step));
        let mut credentials = touched(&events);
        logins(&mut credentials, &sessions);
        let of_sessions = told.iter().map(|session| session.host.clone());
        let of_events = events.iter().map(|(event, _)| event.id.agent.clone());
        Self {
            hosts: of_sessions.chain(of_events).collect(),
            sessions: told
                .into_iter()
                .map(|session| Told {
                    opened_from: opened_from(&session),
                    session,
                })
                .collect(),
            timeline,
            credentials,
            destinations: destinations(&events),
            tenants: tenants(&events),
            alerts,
            orders,
            missing,
            engineer: asked.engineer,
            since: asked.since,
            until: asked.until,
        }
    }
}

/// The sessions that the story is of: the engineer's, and those that were opened
/// from one of them over ssh, in whatever name, as far as they lived in that time.
#[must_use]
pub fn concerned<'a>(sessions: &'a [Session], asked: &Asked) -> Vec<&'a Session> {
    let mut by_age: Vec<&Session> = sessions.iter().collect();
    // What was opened from a session is younger than it.
    by_age.sort_by_key(|session| (session.opened_at, session.id));
    let mut theirs: HashSet<SessionId> = HashSet::new();
    let mut found = Vec::new();
    for session in by_age {
        let from_theirs = opened_from(session).is_some_and(|id| theirs.contains(&id));
        if session.principal.as_ref() != Some(&asked.engineer) && !from_theirs {
            continue;
        }
        theirs.insert(session.id);
        let ended_before = session.ended_at.is_some_and(|at| at < asked.since);
        if session.opened_at < asked.until && !ended_before {
            found.push(session);
        }
    }
    found
}

/// Whether an order is against the engineer or a session of the story, or was
/// given by an alert of it; since the story begins, and also after it ends.
fn is_against(
    order: &Order,
    asked: &Asked,
    sessions: &HashSet<SessionId>,
    alerts: &[Alert],
) -> bool {
    let target = match &order.target {
        Target::Engineer(id) => *id == asked.engineer,
        Target::Session(id) => sessions.contains(id),
        Target::Grant(_) | Target::Tenant(_) | Target::Serial(_) | Target::Host(_) => false,
    };
    let reached = order.sessions.iter().any(|affected| {
        sessions.contains(&affected.session) || affected.principal.as_ref() == Some(&asked.engineer)
    });
    let by_alert = alerts.iter().any(|alert| alert.order == Some(order.id));
    let since = order.times.ordered.is_none_or(|at| at >= asked.since);
    since && (target || reached || by_alert)
}

/// Whether something was out of scope.
#[must_use]
pub fn is_out(judgement: &Judgement) -> bool {
    matches!(judgement.verdict, Verdict::OutOfScope { .. })
}

/// Where a connection goes: address and port.
#[must_use]
pub fn address(event: &Event) -> Option<String> {
    let Action::Connect { destination, .. } = &event.action else {
        return None;
    };
    Some(SocketAddr::new(destination.address, destination.port).to_string())
}

/// Whose a target is, in a word.
#[must_use]
pub fn owner(judgement: &Judgement) -> String {
    sentence::whose(&judgement.owner)
}

/// Whether the kernel refused a connection or the use of a credential; none for
/// what is neither.
fn refused(event: &Event) -> Option<bool> {
    match &event.action {
        Action::Connect { denied, .. } | Action::Credential { denied, .. } => Some(*denied),
        Action::Exec { .. }
        | Action::Fork { .. }
        | Action::Exit { .. }
        | Action::LocalConnect { .. }
        | Action::Socket { .. }
        | Action::Memory { .. }
        | Action::Identity { .. }
        | Action::Signal { .. }
        | Action::Host { .. }
        | Action::SessionOpened { .. }
        | Action::SessionEnded { .. }
        | Action::Contradiction { .. }
        | Action::Survivors { .. }
        | Action::JobStarted { .. }
        | Action::JobEnded { .. }
        | Action::LoginRefused { .. }
        | Action::Contained { .. }
        | Action::Gap { .. }
        | Action::Impaired { .. }
        | Action::AgentStarted { .. }
        | Action::Read { .. }
        | Action::Removed { .. }
        | Action::Order { .. } => None,
    }
}

fn destinations(events: &[(Event, Judgement)]) -> Vec<Destination> {
    let mut found: BTreeMap<(String, String), Destination> = BTreeMap::new();
    for (event, judgement) in events {
        let (Some(address), Some(denied)) = (address(event), refused(event)) else {
            continue;
        };
        let key = (address.clone(), owner(judgement));
        let known = found.entry(key).or_insert_with(|| Destination {
            address,
            owner: owner(judgement),
            hosts: BTreeSet::new(),
            times: 0,
            denied: 0,
            out_of_scope: 0,
            first_at: event.at,
            last_at: event.at,
        });
        known.hosts.insert(event.id.agent.clone());
        known.times += 1;
        known.denied += usize::from(denied);
        known.out_of_scope += usize::from(is_out(judgement));
        known.last_at = event.at.max(known.last_at);
    }
    found.into_values().collect()
}

fn tenants(events: &[(Event, Judgement)]) -> Vec<Reached> {
    let mut found: BTreeMap<String, Reached> = BTreeMap::new();
    for (event, judgement) in events {
        let Some(denied) = refused(event) else {
            continue;
        };
        if judgement.owner == Owner::Host {
            continue;
        }
        let known = found.entry(owner(judgement)).or_insert_with(|| Reached {
            owner: owner(judgement),
            connections: 0,
            credential_uses: 0,
            out_of_scope: 0,
            first_at: event.at,
            last_at: event.at,
        });
        let count = if event.action.kind() == Kind::Connect {
            &mut known.connections
        } else {
            &mut known.credential_uses
        };
        let acts = usize::try_from(event.acts()).unwrap_or(usize::MAX);
        *count += if denied { 0 } else { acts };
        known.out_of_scope += if is_out(judgement) { acts } else { 0 };
        known.last_at = event.at.max(known.last_at);
    }
    found.into_values().collect()
}
