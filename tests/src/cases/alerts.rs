//! The alerts that a case raises, by rule: counted, and held against what it
//! says of them. Pure.
//!
//! In: the facts of a case. Out: how many events and alerts are its own. Those
//! of the player and its stage are not: the last reads, by which the end is
//! known, and what the stage's sshd reads at each login (it is a copy, which the
//! catalogue does not expect to, as it does of the machine's own).

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use super::expect::AlertsMost;
use crate::facts::Fact;
use crate::stage::folder::SSHD;

/// Alerts of one rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleAlerts {
    /// The rule.
    pub rule: String,
    /// How urgent they are.
    pub severity: String,
    /// How many.
    pub count: usize,
    /// What the first of them says.
    pub sentence: String,
}

/// What a case makes of events and alerts.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// How many events.
    pub events: usize,
    /// The alerts, the most urgent first.
    pub alerts: Vec<RuleAlerts>,
}

impl Tally {
    /// Counts what happened since an instant.
    #[must_use]
    pub fn of(facts: &[Fact], since_unix_ns: u64, is_last_read: impl Fn(&Fact) -> bool) -> Self {
        let is_since =
            |fact: &Fact, place: &str| fact.number(place).is_some_and(|when| when >= since_unix_ns);
        let mut of_player = HashSet::new();
        let mut events = 0_usize;
        for fact in facts.iter().filter(|fact| fact.text("/type") == "event") {
            if is_last_read(fact) || is_read_of_stage(fact) {
                of_player.insert(fact.text("/event/id"));
            } else if is_since(fact, "/event/at") {
                events = events.saturating_add(1);
            }
        }
        let mut alerts: BTreeMap<(usize, &str), RuleAlerts> = BTreeMap::new();
        for fact in facts.iter().filter(|fact| fact.is_alert()) {
            if of_player.contains(fact.text("/alert/event")) || !is_since(fact, "/alert/event_at") {
                continue;
            }
            let (rule, severity) = (fact.text("/alert/rule"), fact.text("/alert/severity"));
            let place = SEVERITIES.iter().position(|known| *known == severity);
            let alerts = alerts
                .entry((place.unwrap_or(0), rule))
                .or_insert_with(|| RuleAlerts {
                    rule: rule.to_owned(),
                    severity: severity.to_owned(),
                    count: 0,
                    sentence: fact.text("/alert/sentence").to_owned(),
                });
            alerts.count = alerts.count.saturating_add(1);
        }
        Self {
            events,
            alerts: alerts.into_values().collect(),
        }
    }
}

/// Whether the stage's sshd, in nobody's session, used what is watched.
fn is_read_of_stage(fact: &Fact) -> bool {
    let program = fact.text("/event/process/exe/text").rsplit('/').next();
    fact.is_event("credential") && fact.session().is_empty() && program == Some(SSHD)
}

/// Every severity, the most urgent first.
pub const SEVERITIES: [&str; 4] = ["critical", "high", "medium", "low"];

/// How many of a severity there are.
#[must_use]
pub fn of_severity(alerts: &[RuleAlerts], severity: &str) -> usize {
    let of_it = alerts.iter().filter(|alerts| alerts.severity == severity);
    of_it.map(|alerts| alerts.count).sum()
}

/// Where there are more than may be, in words; of a severity that is not known
/// none may be.
#[must_use]
pub fn beyond(most: &AlertsMost, alerts: &[RuleAlerts]) -> Vec<String> {
    let mut severities: Vec<&str> = alerts
        .iter()
        .map(|alerts| alerts.severity.as_str())
        .collect();
    severities.dedup();
    let mut differs = Vec::new();
    for severity in severities {
        let (found, most) = (of_severity(alerts, severity), most.of(severity));
        if found <= most {
            continue;
        }
        let rules: Vec<String> = alerts
            .iter()
            .filter(|alerts| alerts.severity == severity)
            .map(|alerts| format!("{} of {} ({})", alerts.count, alerts.rule, alerts.sentence))
            .collect();
        differs.push(format!(
            "{found} alerts of severity {severity} instead of at most {most}: {}",
            rules.join("; ")
        ));
    }
    differs
}

/// The rules in a few words: `listener 1, survivors 2`.
#[must_use]
pub fn in_words(alerts: &[RuleAlerts]) -> String {
    let rules: Vec<String> = alerts
        .iter()
        .map(|alerts| format!("{} {}", alerts.rule, alerts.count))
        .collect();
    rules.join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fact(value: serde_json::Value) -> Fact {
        Fact {
            seen_unix_ns: 0,
            value,
        }
    }

    fn event(id: &str, at: u64) -> Fact {
        fact(json!({"type": "event", "event": {"id": id, "at": at}}))
    }

    fn alert(rule: &str, severity: &str, event: &str, at: u64) -> Fact {
        fact(json!({"type": "alert", "alert": {
            "rule": rule, "severity": severity, "event": event, "event_at": at,
            "sentence": format!("{rule} of {event}"),
        }}))
    }

    fn counted(facts: &[Fact]) -> Tally {
        Tally::of(facts, 10, |fact| fact.text("/event/id") == "last")
    }

    #[test]
    fn alerts_are_counted_by_rule_the_most_urgent_first() {
        let tally = counted(&[
            event("a", 10),
            alert("listener", "low", "a", 10),
            event("b", 11),
            alert("not-granted", "high", "b", 11),
            alert("listener", "low", "c", 12),
        ]);
        assert_eq!(tally.events, 2);
        assert_eq!(in_words(&tally.alerts), "not-granted 1, listener 2");
        assert_eq!(tally.alerts[1].sentence, "listener of a");
    }

    #[test]
    fn what_was_before_and_what_the_player_and_its_stage_do_is_not_counted() {
        let tally = counted(&[
            event("before", 9),
            alert("listener", "low", "before", 9),
            event("last", 20),
            alert("unattributed-credential-use", "medium", "last", 20),
            fact(json!({"type": "event", "event": {
                "id": "login", "at": 21, "action": {"kind": "credential"},
                "process": {"exe": {"text": "/stage/bin/monitor-demo-sshd"}},
            }})),
            alert("unattributed-credential-use", "medium", "login", 21),
        ]);
        assert_eq!((tally.events, tally.alerts), (0, Vec::new()));
    }

    #[test]
    fn each_severity_has_its_own_most() {
        let alerts = counted(&[
            alert("a", "low", "1", 10),
            alert("b", "low", "2", 10),
            alert("c", "high", "3", 10),
        ])
        .alerts;
        let most = |low, high| AlertsMost {
            high,
            low,
            ..AlertsMost::default()
        };
        assert!(beyond(&most(2, 1), &alerts).is_empty());
        let said = beyond(&most(1, 0), &alerts);
        assert_eq!(said.len(), 2);
        assert!(said[0].starts_with("1 alerts of severity high instead of at most 0: 1 of c"));
        assert!(said[1].contains("2 alerts of severity low instead of at most 1"));
    }

    #[test]
    fn severity_that_nobody_knows_is_not_let_through() {
        let alerts = counted(&[alert("a", "dire", "1", 10)]).alerts;
        assert_eq!(beyond(&AlertsMost::default(), &alerts).len(), 1);
    }
}
