//! Verdicts that somebody must act on, by rules that are data. Pure.
//!
//! In: judged events in stored order. Out: at most one alert an event, or a
//! count on an earlier one. Bound: [`SUBJECTS_MAX`] counted sessions, as many
//! revoked ones, and [`FOLDS_MAX`] remembered alerts; the longest idle is
//! forgotten, which can raise an alert once more but never loses one. Loss:
//! none; what the dedupe window swallows is counted in the alert it is folded
//! into, and a revocation is never swallowed.

use std::{
    cmp::Reverse,
    collections::{HashMap, VecDeque},
    time::Duration,
};

use monitor_model::{
    alert::{Alert, Response},
    clock::UnixNs,
    event::{Action, Event, Fact, Kind},
    id::{AgentName, AlertId, EventId, OrderId, SessionId},
    revocation::Target,
    verdict::VerdictKind,
};
use sha2::{Digest as _, Sha256};

use crate::{config::Rule, ledger::Entry, state::Raised};

mod matching;
pub mod telling;

use matching::{fold_key, matches, subject};

/// Most sessions (or hosts, for what belongs to none) whose matches are counted.
pub const SUBJECTS_MAX: usize = 100_000;
/// Most alerts that later ones can be folded into.
pub const FOLDS_MAX: usize = 100_000;

/// Whose matches are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Subject {
    Session(SessionId),
    Host(AgentName),
}

/// An alert that later ones may be folded into.
#[derive(Debug)]
struct Fold {
    alert: Alert,
    outside: String,
    stamp: UnixNs,
}

/// What an event comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing.
    Nothing,
    /// A new alert.
    Raise(Raised),
    /// An earlier alert, counted once more.
    Fold(Raised),
}

/// Raises alerts.
#[derive(Debug)]
pub struct Alerter {
    rules: Vec<Rule>,
    dedupe: Duration,
    /// When each subject matched a rule, by the rule's place; newest last.
    matches: HashMap<(usize, Subject), VecDeque<UnixNs>>,
    folds: HashMap<String, Fold>,
    /// When a session was last revoked by a rule.
    revoked: HashMap<SessionId, UnixNs>,
}

/// When and as what an alert is raised.
#[derive(Clone, Debug)]
pub struct Moment<'a> {
    /// Now.
    pub at: UnixNs,
    /// The place among events and alerts that a new alert gets.
    pub stamp: UnixNs,
    /// What people call the session: tenant, ticket, tier, grant.
    pub standing: Option<&'a telling::Standing>,
}

impl Alerter {
    /// Raises alerts by these rules, folding like ones within this time.
    #[must_use]
    pub fn new(rules: Vec<Rule>, dedupe: Duration) -> Self {
        Self {
            rules,
            dedupe,
            matches: HashMap::new(),
            folds: HashMap::new(),
            revoked: HashMap::new(),
        }
    }

    /// How far back events matter to the next answer.
    #[must_use]
    pub fn memory(&self) -> Duration {
        self.rules
            .iter()
            .map(|rule| rule.window)
            .max()
            .unwrap_or_default()
            .max(self.dedupe)
    }

    /// The verdicts that some rule looks at.
    #[must_use]
    pub fn verdicts(&self) -> Vec<VerdictKind> {
        let named = |kind: &VerdictKind| self.rules.iter().any(|rule| rule.verdicts.contains(kind));
        VerdictKind::ALL.into_iter().filter(named).collect()
    }

    /// The kinds of which events without such a verdict count: some rule counts
    /// what stands out in them, whatever the verdict.
    #[must_use]
    pub fn counted_kinds(&self) -> Vec<Kind> {
        let counts = |rule: &&Rule| rule.after > 1 && rule.verdicts.is_empty();
        let counting = self.rules.iter().filter(counts);
        let facts: Vec<Fact> = counting.flat_map(|rule| rule.facts.clone()).collect();
        let of_fact = |kind: &Kind| facts.iter().any(|fact| fact.kind() == *kind);
        Kind::ALL.iter().copied().filter(of_fact).collect()
    }

    /// Counts an event that was answered before a restart.
    pub fn recount(&mut self, entry: &Entry) {
        self.firing(entry);
    }

    /// Remembers an alert that was raised before a restart.
    pub fn remember(&mut self, raised: Raised) {
        let Raised {
            stamp,
            alert,
            outside,
            fold,
        } = raised;
        if let (Response::Revoke, Some(session)) = (alert.response, alert.session) {
            self.revoke_once(session, alert.event_at);
        }
        self.make_room();
        self.folds.insert(
            fold,
            Fold {
                alert,
                outside,
                stamp,
            },
        );
    }

    /// Remembers an order that an alert gave before a restart.
    pub fn remember_revoked(&mut self, target: &Target, at: UnixNs) {
        if let Target::Session(session) = target {
            self.revoke_once(*session, at);
        }
    }

    /// Remembers that a session was revoked; the one of longest ago is forgotten.
    fn revoke_once(&mut self, session: SessionId, at: UnixNs) {
        self.revoked.insert(session, at);
        if self.revoked.len() > SUBJECTS_MAX {
            let oldest = self.revoked.iter().min_by_key(|(_, at)| **at);
            if let Some(oldest) = oldest.map(|(id, _)| *id) {
                self.revoked.remove(&oldest);
            }
        }
    }

    /// Answers a judged event.
    pub fn answer(&mut self, entry: &Entry, moment: &Moment<'_>) -> Answer {
        let Some((place, response)) = self.firing(entry) else {
            return Answer::Nothing;
        };
        let Some(rule) = self.rules.get(place) else {
            return Answer::Nothing;
        };
        let key = fold_key(rule, entry);
        let event = &entry.judged.event;
        let like = self
            .folds
            .get_mut(&key)
            .filter(|_| response == Response::Notify);
        if let Some(fold) = like {
            let apart = event
                .at
                .since(fold.alert.event_at)
                .max(fold.alert.event_at.since(event.at));
            if apart < self.dedupe {
                fold.alert.count = fold.alert.count.saturating_add(1);
                let (alert, outside) = (fold.alert.clone(), fold.outside.clone());
                return Answer::Fold(Raised {
                    stamp: fold.stamp,
                    alert,
                    outside,
                    fold: key,
                });
            }
        }
        let raised = Raised {
            stamp: moment.stamp,
            outside: telling::sentence(entry, moment.standing, telling::Reader::OfLedger),
            alert: alert(rule, response, entry, moment),
            fold: key,
        };
        self.remember(raised.clone());
        Answer::Raise(raised)
    }

    /// The rule that an event fires, and what it answers; the event is counted.
    fn firing(&mut self, entry: &Entry) -> Option<(usize, Response)> {
        let event = &entry.judged.event;
        let subject = subject(event);
        let matching: Vec<usize> = (0..self.rules.len())
            .filter(|&at| self.rules.get(at).is_some_and(|rule| matches(rule, entry)))
            .collect();
        let mut firing = Vec::new();
        for place in matching {
            let counted = self.count(place, subject.clone(), event.at);
            let Some(rule) = self.rules.get(place) else {
                continue;
            };
            if counted >= rule.after {
                firing.push((self.response(rule, event), rule.severity, Reverse(place)));
            }
        }
        let strength = |response: &Response| match response {
            Response::Notify => 0,
            Response::Revoke => 1,
        };
        let best = firing
            .into_iter()
            .max_by_key(|(response, severity, place)| (strength(response), *severity, *place));
        best.map(|(response, _, Reverse(place))| (place, response))
    }

    /// A session is revoked once; and what has no session cannot be.
    fn response(&self, rule: &Rule, event: &Event) -> Response {
        match (rule.response, event.attribution.session) {
            (Response::Revoke, Some(session)) if !self.revoked.contains_key(&session) => {
                Response::Revoke
            }
            (Response::Revoke | Response::Notify, _) => Response::Notify,
        }
    }

    /// Counts a match, and says how many lie in the window that ends with it.
    fn count(&mut self, place: usize, subject: Subject, at: UnixNs) -> u32 {
        let Some(rule) = self.rules.get(place) else {
            return 0;
        };
        let (after, window) = (
            usize::try_from(rule.after).unwrap_or(usize::MAX),
            rule.window,
        );
        let key = (place, subject);
        if self.matches.len() >= SUBJECTS_MAX && !self.matches.contains_key(&key) {
            let idle = self
                .matches
                .iter()
                .min_by_key(|(_, times)| times.back())
                .map(|(idle, _)| idle.clone());
            if let Some(idle) = idle {
                self.matches.remove(&idle);
            }
        }
        let times = self.matches.entry(key).or_default();
        let place = times.partition_point(|&time| time <= at);
        times.insert(place, at);
        if times.len() > after {
            times.pop_front();
        }
        let within = times
            .iter()
            .filter(|&&time| at.since(time) < window && time.since(at) < window)
            .count();
        u32::try_from(within).unwrap_or(u32::MAX)
    }

    fn make_room(&mut self) {
        if self.folds.len() < FOLDS_MAX {
            return;
        }
        let newest = self
            .folds
            .values()
            .map(|fold| fold.alert.event_at)
            .max()
            .unwrap_or_default();
        let dedupe = self.dedupe;
        self.folds
            .retain(|_, fold| newest.since(fold.alert.event_at) < dedupe);
        if self.folds.len() >= FOLDS_MAX {
            let oldest = self
                .folds
                .iter()
                .min_by_key(|(_, fold)| fold.stamp)
                .map(|(key, _)| key.clone());
            if let Some(oldest) = oldest {
                self.folds.remove(&oldest);
            }
        }
    }
}

fn alert(rule: &Rule, response: Response, entry: &Entry, moment: &Moment<'_>) -> Alert {
    let event = &entry.judged.event;
    let who = &event.attribution;
    Alert {
        id: alert_id(&event.id, entry.stored_at),
        rule: rule.id.clone(),
        technique: technique(rule, event),
        severity: rule.severity,
        at: moment.at,
        event_at: event.at,
        event: event.id.clone(),
        host: event.id.agent.clone(),
        session: who.session,
        principal: who.principal.clone(),
        tenant: who.tenant.clone(),
        ledger: entry.ledger.clone(),
        sentence: telling::sentence(entry, moment.standing, telling::Reader::OfEverything),
        response,
        order: (response == Response::Revoke).then(|| order_id(&event.id, entry.stored_at)),
        count: 1,
    }
}

/// The rule's technique, or that of the object by the watch list.
fn technique(rule: &Rule, event: &Event) -> String {
    if let Action::Credential {
        technique: Some(technique),
        ..
    } = &event.action
        && rule.technique.is_empty()
    {
        return technique.clone();
    }
    rule.technique.clone()
}

/// An alert's name follows from its event: raising it again is the same alert.
fn alert_id(event: &EventId, stored_at: UnixNs) -> AlertId {
    AlertId::from_parts(stored_at, name_bits("alert", event))
}

/// So does the name of the order that it gives.
fn order_id(event: &EventId, stored_at: UnixNs) -> OrderId {
    OrderId::from_parts(stored_at, name_bits("order", event))
}

fn name_bits(what: &str, event: &EventId) -> u128 {
    let digest = Sha256::digest(format!("monitor.v1 {what}\0{event}"));
    digest
        .iter()
        .take(16)
        .fold(0, |bits, &byte| (bits << 8) | u128::from(byte))
}

#[cfg(test)]
mod tests;
