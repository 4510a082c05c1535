//! What stands out of a host over time: its clock, its probes, its silence.
//!
//! In: events in stored order; who is present. Out: signs. Bound:
//! [`HOSTS_MAX`] hosts, one a certificate; the longest unheard is forgotten.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::Duration,
};

use monitor_model::{
    clock::UnixNs,
    event::{Action, Event},
    id::{AgentName, BootId, EventId, Source, TenantId},
};

use super::{
    kept::{Kept, KeptKind},
    sign::Sign,
};

/// Most hosts that are watched over time.
pub const HOSTS_MAX: usize = 10_000;
/// A step of the clock that is not told: what a time service corrects at once.
pub const CLOCK_STEP_MAX: Duration = Duration::from_secs(2);

/// A sign, and what it is in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The sign.
    pub(super) sign: Sign,
    /// What happened; names no tenant.
    pub(super) words: String,
    /// The tenants that it is about besides the event's; for who may know them.
    pub(super) others: Vec<TenantId>,
}

/// Whose agents are there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Present {
    /// Those that are connected.
    pub connected: HashSet<AgentName>,
    /// Those of which two spoke in turns since the last look.
    pub twice: BTreeSet<AgentName>,
}

/// What a host shows that no event tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfHost {
    /// The sign.
    pub sign: Sign,
    /// The event that it is about; the last that was stored, where it is about none.
    pub event: EventId,
    /// Since when.
    pub since: UnixNs,
    /// What happened; names no tenant.
    pub sentence: String,
}

#[derive(Clone, Debug)]
struct Host {
    boot: BootId,
    /// Whether an agent began to watch in this boot.
    started: bool,
    /// Real time less time since boot, in nanoseconds; none before the first
    /// event of the kernel in this boot.
    offset_ns: Option<i128>,
    last: EventId,
    /// Whether its silence is told.
    silent: bool,
    /// When its agent was connected, last; none until the first look after a start.
    heard: Option<UnixNs>,
}

/// Hosts over time.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    table: HashMap<AgentName, Host>,
    changed: HashSet<AgentName>,
}

impl Hosts {
    /// Notes an event, and says what stands out.
    pub(super) fn event(&mut self, event: &Event) -> Vec<Found> {
        let name = &event.id.agent;
        if !self.changed.contains(name) {
            self.make_room(name);
            self.changed.insert(name.clone());
        }
        let host = self.table.entry(name.clone()).or_insert_with(|| Host {
            boot: event.id.boot,
            started: false,
            offset_ns: None,
            last: event.id.clone(),
            silent: false,
            heard: None,
        });
        if host.boot != event.id.boot {
            host.boot = event.id.boot;
            host.started = false;
            host.offset_ns = None;
        }
        host.last = event.id.clone();
        let mut found = Vec::new();
        found.extend(host.clock(event));
        found.extend(host.probes(event));
        found
    }

    /// Looks who is present, and names those that fell silent, each once until
    /// it is heard again, and those that are there twice. Also says whether one
    /// was heard again.
    pub(super) fn look(
        &mut self,
        present: &Present,
        now: UnixNs,
        silent: Duration,
    ) -> (Vec<OfHost>, bool) {
        let (mut found, mut heard_again) = (Vec::new(), false);
        for (name, host) in &mut self.table {
            if present.twice.contains(name) {
                found.push(OfHost {
                    sign: Sign::AgentTwice,
                    event: host.last.clone(),
                    since: now,
                    sentence: format!(
                        "two agents speak in the name of {name}, in turns: its key is in two places"
                    ),
                });
            }
            if present.connected.contains(name) {
                host.heard = Some(now);
                if std::mem::take(&mut host.silent) {
                    heard_again = true;
                    self.changed.insert(name.clone());
                }
                continue;
            }
            let since = *host.heard.get_or_insert(now);
            if !host.silent && now.since(since) >= silent {
                host.silent = true;
                self.changed.insert(name.clone());
                let seconds = now.since(since).as_secs();
                found.push(OfHost {
                    sign: Sign::AgentSilent,
                    event: host.last.clone(),
                    since,
                    sentence: format!("nothing is heard of {name} for {seconds} s"),
                });
            }
        }
        found.sort_by(|one, two| one.event.agent.cmp(&two.event.agent));
        (found, heard_again)
    }

    fn make_room(&mut self, name: &AgentName) {
        if self.table.len() < HOSTS_MAX || self.table.contains_key(name) {
            return;
        }
        let longest = self.table.iter().min_by_key(|(_, host)| host.heard);
        if let Some(longest) = longest.map(|(name, _)| name.clone()) {
            self.table.remove(&longest);
            self.changed.insert(longest);
        }
    }

    /// What changed since the last time.
    pub(super) fn take_changes(&mut self) -> impl Iterator<Item = Kept> {
        let changed: Vec<AgentName> = self.changed.drain().collect();
        changed.into_iter().map(|name| Kept {
            kind: KeptKind::Host,
            text: self.table.get(&name).map(Host::text),
            name: name.to_string(),
        })
    }

    /// Takes back what was kept; what makes no sense is left.
    pub(super) fn restore(&mut self, name: &str, kept: &str) {
        if let (Ok(name), Some(host)) = (name.parse(), Host::parsed(kept)) {
            self.table.insert(name, host);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }
}

impl Host {
    /// What the kernel tells has both clocks, read together.
    fn clock(&mut self, event: &Event) -> Option<Found> {
        if event.id.source == Source::Agent {
            return None;
        }
        let offset_ns = i128::from(event.at.0) - i128::from(event.boot_ns);
        let step_ns = offset_ns - self.offset_ns.replace(offset_ns)?;
        let most = i128::try_from(CLOCK_STEP_MAX.as_nanos()).unwrap_or(i128::MAX);
        (step_ns.abs() > most).then(|| Found {
            sign: Sign::ClockMoved,
            words: format!(
                "the clock was set {} by {} ms",
                if step_ns > 0 { "forward" } else { "back" },
                step_ns.unsigned_abs() / 1_000_000
            ),
            others: Vec::new(),
        })
    }

    fn probes(&mut self, event: &Event) -> Option<Found> {
        let Action::AgentStarted { resumed, .. } = &event.action else {
            return None;
        };
        let before = std::mem::replace(&mut self.started, true);
        (before && !resumed).then(|| Found {
            sign: Sign::ProbesReloaded,
            words: "the probes were gone, and were loaded anew".to_owned(),
            others: Vec::new(),
        })
    }

    fn text(&self) -> String {
        let offset = self
            .offset_ns
            .map_or_else(|| "-".to_owned(), |offset| offset.to_string());
        format!(
            "{} {} {offset} {} {}",
            self.boot, self.started, self.silent, self.last
        )
    }

    fn parsed(text: &str) -> Option<Self> {
        let mut parts = text.split(' ');
        Some(Self {
            boot: parts.next()?.parse().ok()?,
            started: parts.next()?.parse().ok()?,
            offset_ns: match parts.next()? {
                "-" => None,
                offset => Some(offset.parse().ok()?),
            },
            silent: parts.next()?.parse().ok()?,
            last: parts.next()?.parse().ok()?,
            heard: None,
        })
    }
}
