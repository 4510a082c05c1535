//! Verdicts that somebody must act on, by rules that are data. Pure.
//!
//! In: judged events in stored order, and who is present. Out: at most one
//! alert an event, or a count on an earlier one. Bound:
//! [`SUBJECTS_MAX`] counted subjects, as many revoked
//! sessions, [`FOLDS_MAX`] remembered alerts, and what [`hosts`], [`grants`] and
//! [`keys`] name; the longest idle is forgotten, which can raise an alert once more but
//! never loses one. Loss: none; what the dedupe window swallows is counted in
//! the alert it is folded into, and what gives an order is never swallowed.
//!
//! # Layout
//! - [`rule`]: what a rule is; `standard.toml`: those that come with the collector.
//! - `matching`: which rule an event matches, and what is alike.
//! - [`counting`]: how often, within a window. [`hosts`], [`grants`], [`keys`]: what
//!   stands out over time, as a [`sign`]. [`sigma`]: rules of the community. [`kept`]: all of it over a restart.
//! - `raising`: what an alert says; [`telling`]: the same as a sentence.

use std::{cmp::Reverse, collections::HashMap, time::Duration};

use monitor_model::{
    alert::{Alert, AlertState, EVENTS_MAX, Response},
    clock::UnixNs,
    event::{Action, Event},
    id::{AgentName, EventId, SessionId},
    revocation::{Mode, Order, Target, life::Asks},
    verdict::Verdict,
};

use crate::{
    config::{
        Config,
        response::{ResponseMode, ResponsePolicy},
    },
    ledger::Entry,
    outside::without_other_sessions,
    state::Raised,
};

pub mod counting;
pub mod grants;
pub mod hosts;
pub mod kept;
pub mod keys;
mod matching;
pub mod raising;
pub mod rule;
pub mod sigma;
pub mod sign;
pub mod telling;

use counting::{Counters, Mark, SUBJECTS_MAX};
use grants::Uses;
use hosts::{Found, Hosts, OfHost, Present, Seeing};
use kept::{Kept, KeptKind};
use keys::Keys;
use matching::{Sight, fold_key, subject, touched};
use raising::{alert, host_alert, host_fold, response, stands_out, tenants};
use rule::Rule;
use sign::Sign;

/// Most alerts that later ones can be folded into.
pub const FOLDS_MAX: usize = 100_000;

/// An alert that later ones may be folded into.
#[derive(Debug)]
struct Fold {
    raised: Raised,
    dedupe: Duration,
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

/// What a look at who is present comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Looked {
    /// Alerts of hosts that fell silent or blind, or are there twice.
    pub raised: Vec<(Sign, Raised)>,
    /// Hosts that were silent or blind, and are well again.
    pub well: Vec<AgentName>,
    /// Whether a host fell silent or blind, or is well again: to be kept.
    pub moved: bool,
}

/// Raises alerts.
#[derive(Debug)]
pub struct Alerter {
    rules: Vec<Rule>,
    patience: Duration,
    dormant: Duration,
    counters: Counters,
    hosts: Hosts,
    uses: Uses,
    keys: Keys,
    folds: HashMap<String, Fold>,
    /// What policy does at most.
    policy: ResponsePolicy,
    /// The strongest that a session was answered with, and when.
    answered: HashMap<SessionId, (Response, UnixNs)>,
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
    /// From when on the grant holds that covers the event; none when none does.
    pub granted_from: Option<UnixNs>,
}

/// A rule that fires at an event.
struct Firing {
    place: usize,
    response: Response,
    /// Nothing of the response is done.
    observed: bool,
    marks: Vec<Mark>,
}

impl Alerter {
    /// Raises alerts by the rules of a configuration.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            rules: config.rules.clone(),
            patience: config.patience(),
            dormant: config.dormant,
            counters: Counters::default(),
            hosts: Hosts::default(),
            uses: Uses::default(),
            keys: Keys::default(),
            folds: HashMap::new(),
            policy: config.response.clone(),
            answered: HashMap::new(),
        }
    }

    /// How far back alerts matter to the next answer.
    #[must_use]
    pub fn memory(&self) -> Duration {
        let longest = self.rules.iter().map(|rule| rule.dedupe).max();
        longest.unwrap_or_default()
    }

    /// Takes back a row that was kept before a restart.
    pub fn restore(&mut self, kept: &Kept) {
        let Some(text) = &kept.text else { return };
        match kept.kind {
            KeptKind::Count => self.counters.restore(&kept.name, text, &self.rules),
            KeptKind::Host => self.hosts.restore(&kept.name, text),
            KeptKind::Grant => self.uses.restore(&kept.name, text),
            KeptKind::Key => self.keys.restore(&kept.name, text),
        }
    }

    /// The rows that changed since the last time.
    pub fn take_changes(&mut self) -> Vec<Kept> {
        let mut changes: Vec<Kept> = self.counters.take_changes().collect();
        changes.extend(self.hosts.take_changes());
        changes.extend(self.uses.take_changes());
        changes.extend(self.keys.take_changes());
        changes
    }

    /// Remembers an alert that was raised before a restart.
    pub fn remember(&mut self, raised: Raised) {
        let alert = &raised.alert;
        if alert.state == AlertState::Closed {
            self.folds.remove(&raised.fold);
            return;
        }
        let rule = self.rules.iter().find(|rule| rule.id == alert.rule);
        let dedupe = rule.map(|rule| rule.dedupe).unwrap_or_default();
        self.make_room();
        self.folds
            .insert(raised.fold.clone(), Fold { raised, dedupe });
    }

    /// Forgets an alert that was closed: what is like it raises one of its own.
    pub fn forget(&mut self, raised: &Raised) {
        let is_it = |fold: &Fold| fold.raised.alert.id == raised.alert.id;
        if self.folds.get(&raised.fold).is_some_and(is_it) {
            self.folds.remove(&raised.fold);
        }
    }

    /// Remembers an order that an alert gave before a restart, and that nobody
    /// has taken back.
    pub fn remember_order(&mut self, order: &Order) {
        let response = match (order.asks, order.mode) {
            (Some(Asks::Policy), _) => Response::Ask,
            (Some(Asks::Storm | Asks::Bulk) | None, Mode::Freeze) => Response::Freeze,
            (Some(Asks::Storm | Asks::Bulk) | None, Mode::Kill) => Response::Revoke,
        };
        if let Target::Session(session) = order.target {
            let at = order.times.kernel_event.unwrap_or_default();
            self.answer_once(session, response, at);
        }
    }

    /// Forgets what a session was answered with: its next breach is answered anew.
    pub fn forget_order(&mut self, target: &Target) {
        if let Target::Session(session) = target {
            self.answered.remove(session);
        }
    }

    /// What an order of a rule does where a person approves it.
    #[must_use]
    pub fn wish(&self, rule: &str) -> Mode {
        let rule = self.rules.iter().find(|known| known.id == rule);
        match rule.map(|rule| rule.response) {
            Some(Response::Freeze) => Mode::Freeze,
            Some(Response::Revoke | Response::Ask | Response::Notify) | None => Mode::Kill,
        }
    }

    /// Whether a rule looks for what passes by itself, and for nothing that does
    /// not.
    #[must_use]
    pub fn passes(&self, rule: &str) -> bool {
        let rule = self.rules.iter().find(|known| known.id == rule);
        rule.is_some_and(|rule| {
            let signs = &rule.conditions.signs;
            !signs.is_empty() && signs.iter().all(|sign| sign.passes())
        })
    }

    /// Remembers the strongest answer to a session; the one of longest ago is
    /// forgotten.
    fn answer_once(&mut self, session: SessionId, response: Response, at: UnixNs) {
        let known = self.answered.get(&session).map(|(response, _)| *response);
        let strongest = known.map_or(response, |known| known.max(response));
        self.answered.insert(session, (strongest, at));
        if self.answered.len() > SUBJECTS_MAX {
            let oldest = self.answered.iter().min_by_key(|(_, (_, at))| *at);
            if let Some(oldest) = oldest.map(|(id, _)| *id) {
                self.answered.remove(&oldest);
            }
        }
    }

    /// Answers a judged event.
    pub fn answer(&mut self, entry: &Entry, moment: &Moment<'_>) -> Answer {
        let found = self.found(entry, moment);
        let Some(firing) = self.firing(entry, &found, moment) else {
            return Answer::Nothing;
        };
        let Some(rule) = self.rules.get(firing.place) else {
            return Answer::Nothing;
        };
        let key = fold_key(rule, entry);
        let event = &entry.judged.event;
        if firing.response == Response::Notify
            && let Some(folded) = self.folds.get_mut(&key).and_then(|fold| fold.take(event))
        {
            return Answer::Fold(folded);
        }
        let stands_out = stands_out(rule, &found);
        let told = telling::Told {
            words: stands_out.map(|found| found.words.clone()),
            others: stands_out.map_or_else(Vec::new, |found| found.others.clone()),
            tenants: tenants(rule, &firing.marks),
            window: rule.window,
        };
        let sentence = |entry, reader| telling::sentence(entry, moment.standing, reader, &told);
        let mut outside = entry.clone();
        without_other_sessions(&mut outside.judged.event);
        let raised = Raised {
            stamp: moment.stamp,
            outside: sentence(&outside, telling::Reader::OfLedger),
            alert: Alert {
                sentence: sentence(entry, telling::Reader::OfEverything),
                ..alert(rule, &firing, entry, moment)
            },
            fold: key,
            of_event: true,
        };
        if let (Some(session), true) = (raised.alert.session, raised.alert.order.is_some()) {
            self.answer_once(session, firing.response, event.at);
        }
        self.remember(raised.clone());
        Answer::Raise(raised)
    }

    /// Looks who is present; an alert for each host that fell silent or blind, or
    /// is there twice.
    pub fn look(&mut self, present: &Present, moment: &Moment<'_>) -> Looked {
        let Seeing { found, well, moved } = self.hosts.look(present, moment.at, self.patience);
        let moved = moved || !found.is_empty();
        let mut moment = moment.clone();
        let mut raised = Vec::with_capacity(found.len());
        for of in found {
            let sign = of.sign;
            if let Some(alert) = self.of_host(of, &moment) {
                moment.stamp = UnixNs(moment.stamp.0.saturating_add(1));
                raised.push((sign, alert));
            }
        }
        Looked {
            raised,
            well,
            moved,
        }
    }

    /// The last event of a host that was stored; none of one that is not known.
    #[must_use]
    pub fn last_of(&self, host: &AgentName) -> Option<EventId> {
        self.hosts.last_of(host)
    }

    /// An alert about what a host shows, where a rule looks for it. Being silent
    /// or blind is told each time, all else once within what the rule folds.
    pub fn of_host(&mut self, of: OfHost, moment: &Moment<'_>) -> Option<Raised> {
        let best = self
            .rules
            .iter()
            .enumerate()
            .filter(|(_, rule)| rule.conditions.signs.contains(&of.sign))
            .max_by_key(|(place, rule)| (rule.severity, Reverse(*place)));
        let rule = best.map(|(_, rule)| rule)?;
        let known = self.folds.get(&host_fold(rule, &of));
        let is_told = known.is_some_and(|fold| moment.at.since(fold.raised.alert.at) < fold.dedupe);
        if is_told && !matches!(of.sign, Sign::AgentSilent | Sign::AgentBlind) {
            return None;
        }
        let raised = host_alert(rule, of, moment, moment.stamp);
        self.remember(raised.clone());
        Some(raised)
    }

    /// The rules that an event matches by itself: counts and what shows over
    /// time left aside. For people, who ask why.
    #[must_use]
    pub fn matching<'a>(rules: &'a [Rule], entry: &Entry) -> Vec<&'a Rule> {
        let sight = Sight::new(entry, Vec::new());
        let matching = rules.iter().filter(|rule| sight.fits(&rule.conditions));
        matching.collect()
    }

    /// What stands out over time. Every event is noted, whatever the rules.
    fn found(&mut self, entry: &Entry, moment: &Moment<'_>) -> Vec<Found> {
        let event = &entry.judged.event;
        let mut found = self.hosts.event(event);
        if let Verdict::InScope { grant } = &entry.judged.judgement.verdict {
            let grant = (grant, moment.granted_from);
            found.extend(self.uses.used(grant, event.at, self.dormant));
        }
        if let (Action::Credential { key: Some(key), .. }, Some(tenant)) =
            (&event.action, touched(entry))
        {
            found.extend(self.keys.seen(key, &tenant, event.at));
        }
        found
    }

    /// The rule that an event fires, and what it answers; the event is counted.
    fn firing(&mut self, entry: &Entry, found: &[Found], moment: &Moment<'_>) -> Option<Firing> {
        let event = &entry.judged.event;
        let sight = Sight::new(entry, found.iter().map(|found| found.sign).collect());
        let observes = self.policy.mode == ResponseMode::Observe;
        let (mut best, mut rank) = (None, None);
        for (place, rule) in self.rules.iter().enumerate() {
            if !sight.fits(&rule.conditions) {
                continue;
            }
            let mark = Mark {
                at: event.at,
                event: event.id.clone(),
                tenant: touched(entry),
                acts: event.acts(),
            };
            let count = self.counters.count(rule, &subject(rule.by, event), mark);
            let tier = moment.standing.map(|standing| standing.tier);
            let tenant = event.attribution.tenant.as_ref();
            let allowed = self.policy.at_most(rule.response, tenant, tier);
            let response = response(allowed, event, &self.answered);
            let this = Some((response, rule.severity, Reverse(place)));
            if count.fires && this > rank {
                rank = this;
                best = Some(Firing {
                    place,
                    response,
                    observed: observes && response != Response::Notify,
                    marks: count.marks,
                });
            }
        }
        best
    }

    fn make_room(&mut self) {
        if self.folds.len() < FOLDS_MAX {
            return;
        }
        let at = |fold: &Fold| fold.raised.alert.event_at;
        let newest = self.folds.values().map(at).max().unwrap_or_default();
        self.folds
            .retain(|_, fold| newest.since(at(fold)) < fold.dedupe);
        if self.folds.len() >= FOLDS_MAX {
            let oldest = self.folds.iter().min_by_key(|(_, fold)| fold.raised.stamp);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.folds.remove(&oldest);
            }
        }
    }
}

impl Fold {
    /// Counts an event into the alert, if it is near enough.
    fn take(&mut self, event: &Event) -> Option<Raised> {
        let alert = &mut self.raised.alert;
        let after = event.at.since(alert.event_at);
        let apart = after.max(alert.event_at.since(event.at));
        if apart >= self.dedupe {
            return None;
        }
        alert.count = alert.count.saturating_add(event.acts());
        if alert.events.len() < EVENTS_MAX {
            alert.events.push(event.id.clone());
        }
        Some(self.raised.clone())
    }
}

#[cfg(test)]
mod cases;
#[cfg(test)]
mod page;
#[cfg(test)]
mod tests;
