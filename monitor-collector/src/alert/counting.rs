//! How often a subject matched a rule, within the rule's window.
//!
//! In: matches. Out: whether the rule fires, and what was counted. Bound:
//! [`SUBJECTS_MAX`] subjects over all rules, of each the newest matches that
//! its rule waits for, or [`TENANTS_COUNTED_MAX`] tenants; the longest idle
//! subject is forgotten. Loss: none that lies within a window and the bound.
//! Kept over a restart: every change is told by `Counters::take_changes`.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    fmt::Write as _,
};

use monitor_model::{
    clock::UnixNs,
    id::{EventId, TenantId},
};

use super::{
    kept::{Kept, KeptKind},
    rule::{Counted, Rule},
};

/// Most subjects (sessions, persons, hosts) whose matches are counted.
pub const SUBJECTS_MAX: usize = 100_000;
/// Most tenants that are told apart for one subject.
pub const TENANTS_COUNTED_MAX: usize = 64;

/// One match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// When the kernel saw it.
    pub(super) at: UnixNs,
    /// The event.
    pub(super) event: EventId,
    /// The tenant whose things it touched.
    pub(super) tenant: Option<TenantId>,
    /// How many acts the event stands for.
    pub(super) acts: u32,
}

/// What a match comes to.
#[derive(Debug)]
pub(super) struct Count {
    /// Whether the rule fires.
    pub(super) fires: bool,
    /// The matches within the window, this one last.
    pub(super) marks: Vec<Mark>,
}

/// Matches of subjects, by rule.
#[derive(Debug, Default)]
pub(super) struct Counters {
    table: HashMap<Key, VecDeque<Mark>>,
    changed: HashSet<Key>,
}

/// The rule and the subject.
type Key = (String, String);

impl Counters {
    /// Counts a match of a subject.
    pub(super) fn count(&mut self, rule: &Rule, subject: &str, mark: Mark) -> Count {
        if rule.after == 1 {
            return Count {
                fires: true,
                marks: vec![mark],
            };
        }
        if rule.counted == Counted::Tenants && mark.tenant.is_none() {
            return Count {
                fires: false,
                marks: vec![mark],
            };
        }
        let key = (rule.id.clone(), subject.to_owned());
        self.make_room(&key);
        self.changed.insert(key.clone());
        let marks = self.table.entry(key).or_default();
        let near = |other: &Mark| {
            mark.at.since(other.at) < rule.window && other.at.since(mark.at) < rule.window
        };
        let is_new = match rule.counted {
            Counted::Events => {
                insert(marks, mark.clone(), usize_of(rule.after));
                true
            }
            Counted::Tenants => touch(marks, &mark, near),
        };
        let mut within: Vec<Mark> = marks
            .iter()
            .filter(|other| near(other) && other.event != mark.event)
            .cloned()
            .collect();
        within.push(mark);
        let matches = match rule.counted {
            Counted::Events => within.iter().map(|mark| u64::from(mark.acts)).sum(),
            Counted::Tenants => u64::try_from(within.len()).unwrap_or(u64::MAX),
        };
        Count {
            fires: is_new && matches >= u64::from(rule.after),
            marks: within,
        }
    }

    /// The longest idle is forgotten for one that is not known yet.
    fn make_room(&mut self, key: &Key) {
        if self.table.len() < SUBJECTS_MAX || self.table.contains_key(key) {
            return;
        }
        let newest = |marks: &VecDeque<Mark>| marks.iter().map(|mark| mark.at).max();
        let idle = self.table.iter().min_by_key(|(_, marks)| newest(marks));
        if let Some(idle) = idle.map(|(idle, _)| idle.clone()) {
            self.table.remove(&idle);
            self.changed.insert(idle);
        }
    }

    /// What changed since the last time.
    pub(super) fn take_changes(&mut self) -> impl Iterator<Item = Kept> {
        let changed: Vec<Key> = self.changed.drain().collect();
        changed.into_iter().map(|key| Kept {
            kind: KeptKind::Count,
            text: self.table.get(&key).map(text),
            name: format!("{}\n{}", key.0, key.1),
        })
    }

    /// Takes back what was kept; what makes no sense, or is of no rule, is left.
    pub(super) fn restore(&mut self, name: &str, kept: &str, rules: &[Rule]) {
        let Some((rule, subject)) = name.split_once('\n') else {
            return;
        };
        let is_counted = |known: &&Rule| known.id == rule && known.after > 1;
        if let (Some(_), Some(marks)) = (rules.iter().find(is_counted), parsed(kept)) {
            self.table
                .insert((rule.to_owned(), subject.to_owned()), marks);
        }
    }

    /// How many subjects are counted.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }
}

/// Puts a match in its place by time, and forgets the oldest beyond the most.
fn insert(marks: &mut VecDeque<Mark>, mark: Mark, most: usize) {
    let place = marks.partition_point(|other| other.at <= mark.at);
    marks.insert(place, mark);
    if marks.len() > most {
        marks.pop_front();
    }
}

/// Notes that a tenant was touched; says whether it is one more in the window.
fn touch(marks: &mut VecDeque<Mark>, mark: &Mark, near: impl Fn(&Mark) -> bool) -> bool {
    let known = marks.iter_mut().find(|other| other.tenant == mark.tenant);
    if let Some(known) = known {
        let is_new = !near(known);
        if known.at <= mark.at {
            *known = mark.clone();
        }
        return is_new;
    }
    marks.push_back(mark.clone());
    if marks.len() > TENANTS_COUNTED_MAX
        && let Some(oldest) = (0..marks.len()).min_by_key(|&at| marks.get(at).map(|mark| mark.at))
    {
        marks.remove(oldest);
    }
    true
}

fn usize_of(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// A line a match: time, event, tenant, and how many acts where that is not one.
fn text(marks: &VecDeque<Mark>) -> String {
    let mut text = String::new();
    for mark in marks {
        let Mark {
            at,
            event,
            tenant,
            acts,
        } = mark;
        let tenant = tenant.as_ref().map_or("-", TenantId::as_str);
        _ = match acts {
            1 => writeln!(text, "{} {event} {tenant}", at.0),
            acts => writeln!(text, "{} {event} {tenant} {acts}", at.0),
        };
    }
    text
}

fn parsed(text: &str) -> Option<VecDeque<Mark>> {
    text.lines()
        .map(|line| {
            let mut parts = line.split(' ');
            let mark = Mark {
                at: UnixNs(parts.next()?.parse().ok()?),
                event: parts.next()?.parse().ok()?,
                tenant: match parts.next()? {
                    "-" => None,
                    tenant => Some(tenant.parse().ok()?),
                },
                acts: match parts.next() {
                    None => 1,
                    Some(acts) => acts.parse().ok()?,
                },
            };
            parts.next().is_none().then_some(mark)
        })
        .collect()
}
