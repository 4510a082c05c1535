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

/// Longest time that agents may take to come back to a collector that was away:
/// their longest pause by default, and the way.
pub const RECONNECT_MAX: Duration = Duration::from_secs(15);

/// Whose agents are there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Present {
    /// Those that were heard since the collector began to listen.
    pub lives: HashMap<AgentName, Seen>,
    /// Those of which two spoke in turns since the last look.
    pub twice: BTreeSet<AgentName>,
    /// How long the collector listens: nobody is unheard for longer.
    pub listening: Duration,
}

/// How an agent was heard last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// For how long it was not.
    pub unheard: Duration,
    /// Whether it had said that it was asked to stop.
    pub is_leaving: bool,
    /// What its probes see.
    pub sight: Sight,
}

/// What an agent says of its probes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Sight {
    /// What the agent does itself comes back through them.
    #[default]
    Clear,
    /// Nothing came back for so long.
    Nothing(Duration),
    /// Hooks of these families are not in their places any more.
    Unhooked(Vec<String>),
}

impl Present {
    /// For how long a host was not heard. One that did not come since the
    /// collector began to listen has time to.
    fn unheard(&self, name: &AgentName) -> Duration {
        self.lives.get(name).map_or_else(
            || self.listening.saturating_sub(RECONNECT_MAX),
            |seen| seen.unheard,
        )
    }

    /// Whether agents had the time to come, since the collector listens.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.listening >= RECONNECT_MAX
    }
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
    /// Whether it is told that its probes are blind.
    blind: bool,
    /// When it was heard of last, by event or look.
    heard: UnixNs,
}

/// What a look at who is present comes to.
#[derive(Debug, Default)]
pub(super) struct Seeing {
    /// What is to be told.
    pub(super) found: Vec<OfHost>,
    /// Hosts that were silent or blind, and are well again.
    pub(super) well: Vec<AgentName>,
    /// Whether what is told of a host changed.
    pub(super) moved: bool,
}

/// Hosts over time.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    table: HashMap<AgentName, Host>,
    changed: HashSet<AgentName>,
}

impl Hosts {
    /// The last event of a host that was stored; none of one that is not known.
    pub(super) fn last_of(&self, name: &AgentName) -> Option<EventId> {
        self.table.get(name).map(|host| host.last.clone())
    }

    /// Notes an event, and says what stands out.
    pub(super) fn event(&mut self, event: &Event) -> Vec<Found> {
        if event.id.source == Source::Collector {
            return Vec::new();
        }
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
            blind: false,
            heard: event.at,
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

    /// Looks who is present, and names those that fell silent or blind, each once
    /// until it is well again, and those that are there twice.
    pub(super) fn look(&mut self, present: &Present, now: UnixNs, patience: Duration) -> Seeing {
        let mut seeing = Seeing::default();
        for (name, host) in &mut self.table {
            let of = |sign, since, sentence| OfHost {
                sign,
                event: host.last.clone(),
                since,
                sentence,
            };
            if present.twice.contains(name) {
                let sentence = format!(
                    "two agents speak in the name of {name}, in turns: its key is in two places"
                );
                seeing.found.push(of(Sign::AgentTwice, now, sentence));
            }
            let unheard = present.unheard(name);
            let since = UnixNs(now.0.saturating_sub(nanoseconds(unheard)));
            let seen = present.lives.get(name);
            let was = (host.silent, host.blind);
            if unheard >= patience {
                if !was.0 {
                    let leaves = seen.is_some_and(|seen| seen.is_leaving);
                    let sentence = silence(name, unheard, leaves);
                    seeing.found.push(of(Sign::AgentSilent, since, sentence));
                    host.silent = true;
                }
            } else if let Some(seen) = seen {
                host.heard = now;
                host.silent = false;
                host.blind = seen.sight != Sight::Clear;
                if let Some((unseen, sentence)) = blindness(name, &seen.sight)
                    && !was.1
                {
                    let since = UnixNs(now.0.saturating_sub(nanoseconds(unseen)));
                    let found = OfHost {
                        sign: Sign::AgentBlind,
                        event: host.last.clone(),
                        since,
                        sentence,
                    };
                    seeing.found.push(found);
                }
            }
            if was != (host.silent, host.blind) {
                seeing.moved = true;
                self.changed.insert(name.clone());
                if !host.silent && !host.blind {
                    seeing.well.push(name.clone());
                }
            }
        }
        let by_agent = |one: &OfHost, two: &OfHost| one.event.agent.cmp(&two.event.agent);
        seeing.found.sort_by(by_agent);
        seeing.well.sort();
        seeing
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
            "{} {} {offset} {} {} {}",
            self.boot, self.started, self.silent, self.last, self.blind
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
            // Rows of before blindness was told end here.
            blind: parts.next().is_some_and(|blind| blind == "true"),
            heard: UnixNs::default(),
        })
    }
}

/// A silence in words.
fn silence(name: &AgentName, unheard: Duration, leaves: bool) -> String {
    let seconds = unheard.as_secs_f64();
    if leaves {
        format!(
            "the agent of {name} was asked to stop, and is not back after {seconds:.1} s: nothing is read there"
        )
    } else {
        format!("nothing is heard of {name} for {seconds:.1} s")
    }
}

/// For how long probes see nothing, and that in words; none where they see.
fn blindness(name: &AgentName, sight: &Sight) -> Option<(Duration, String)> {
    match sight {
        Sight::Clear => None,
        Sight::Nothing(unseen) => {
            let seconds = unseen.as_secs_f64();
            let sentence = format!(
                "the agent of {name} lives, and nothing comes through its probes for {seconds:.1} s, not even what it does itself"
            );
            Some((*unseen, sentence))
        }
        Sight::Unhooked(families) => {
            let families = families.join(", ");
            let sentence = format!(
                "the agent of {name} lives, and hooks of it are gone from the kernel: {families}"
            );
            Some((Duration::ZERO, sentence))
        }
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
