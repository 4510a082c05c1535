//! Which agents are connected, and what each was shown.
//!
//! Bound: one stream an agent, as named by its certificate; a newer stream ends
//! the older. Of each name the last [`EARLIER_MAX`] agents are remembered that
//! another took the place of, and when it was heard last ([`LIVES_MAX`] names).

use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use monitor_model::id::AgentName;
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{
    attention::Attention,
    inspections::Inspections,
    life::{LIVES_MAX, Life},
};
use crate::alert::hosts::{Present, Seen};

/// How long an answer waits for agents to be shown a table.
pub const SHOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// Most earlier agents of one name that are remembered.
pub const EARLIER_MAX: usize = 8;

/// What an agent drew when it started; empty where it draws nothing.
pub type Instance = Vec<u8>;

/// Agents that are connected.
#[derive(Debug)]
pub struct Agents {
    table: Mutex<Table>,
    attention: Attention,
    /// Nanoseconds without a word after which an agent is told as silent.
    silent_ns: AtomicU64,
}

/// Who begins to speak.
#[derive(Debug, Default)]
pub struct Arrival {
    /// Which agent.
    pub instance: Instance,
    /// Whether it will say that it lives.
    pub beats: bool,
    /// The way to ask it what lives in a session; none where it does not answer.
    pub inspections: Option<Inspections>,
}

#[derive(Debug, Default)]
struct Table {
    streams: HashMap<AgentName, Stream>,
    next: u64,
    lives: HashMap<AgentName, Arc<Life>>,
    spoke: HashMap<AgentName, Spoke>,
    /// Of whom an earlier one came back, since the last look.
    twice: BTreeSet<AgentName>,
}

/// Which agents spoke in one name.
#[derive(Debug, Default)]
struct Spoke {
    last: Instance,
    earlier: VecDeque<Instance>,
}

impl Spoke {
    /// Notes who speaks now; whether another one took its place before. An agent
    /// that was started anew never comes back as who it was.
    fn again(&mut self, instance: Instance) -> bool {
        if instance.is_empty() || instance == self.last {
            return false;
        }
        let came_back = self.earlier.contains(&instance);
        let before = std::mem::replace(&mut self.last, instance);
        if !before.is_empty() && !self.earlier.contains(&before) {
            if self.earlier.len() >= EARLIER_MAX {
                self.earlier.pop_front();
            }
            self.earlier.push_back(before);
        }
        came_back
    }
}

#[derive(Debug)]
struct Stream {
    number: u64,
    shown: watch::Receiver<u64>,
    /// None where it does not answer what lives in a session.
    inspections: Option<Inspections>,
    stop: CancellationToken,
}

/// Whether an agent can be asked what lives in a session.
#[derive(Debug)]
pub enum Asked {
    /// It is not connected.
    Away,
    /// It is connected, and too old to answer.
    TooOld,
    /// By this way.
    Here(Inspections),
}

/// An agent's place among the connected; left when dropped.
#[derive(Debug)]
pub struct Place {
    agents: Arc<Agents>,
    agent: AgentName,
    number: u64,
    shown: watch::Sender<u64>,
    inspections: Option<Inspections>,
    life: Arc<Life>,
}

impl Agents {
    /// Nobody yet, from now on; silent is who is not heard for as long.
    #[must_use]
    pub fn listening(silent: Duration) -> Self {
        Self {
            table: Mutex::default(),
            attention: Attention::new(Instant::now()),
            silent_ns: AtomicU64::new(nanoseconds(silent)),
        }
    }

    /// From now on silent is who is not heard for as long.
    pub fn expect_within(&self, silent: Duration) {
        self.silent_ns.store(nanoseconds(silent), Ordering::Relaxed);
    }

    /// For how long nobody needs to say anything.
    #[must_use]
    pub fn silent(&self) -> Duration {
        Duration::from_nanos(self.silent_ns.load(Ordering::Relaxed))
    }

    /// Takes an agent's new stream; an older one of the same name is ended.
    #[must_use]
    pub fn enter(
        self: &Arc<Self>,
        agent: &AgentName,
        arrival: Arrival,
        stop: &CancellationToken,
    ) -> Place {
        let Arrival {
            instance,
            beats,
            inspections,
        } = arrival;
        let (shown, seen) = watch::channel(0);
        let life = Arc::new(Life::new(beats, self.now()));
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.remember(agent, &life);
        table.next += 1;
        if table
            .spoke
            .entry(agent.clone())
            .or_default()
            .again(instance)
        {
            table.twice.insert(agent.clone());
        }
        let number = table.next;
        let stream = Stream {
            number,
            shown: seen,
            inspections: inspections.clone(),
            stop: stop.clone(),
        };
        if let Some(older) = table.streams.insert(agent.clone(), stream) {
            older.stop.cancel();
        }
        Place {
            agents: Arc::clone(self),
            agent: agent.clone(),
            number,
            shown,
            inspections,
            life,
        }
    }

    /// The way to ask an agent what lives in a session.
    #[must_use]
    pub fn asked(&self, agent: &AgentName) -> Asked {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        match table.streams.get(agent) {
            None => Asked::Away,
            Some(stream) => stream
                .inspections
                .clone()
                .map_or(Asked::TooOld, Asked::Here),
        }
    }

    /// The time by which silence is counted.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.attention.at(Instant::now())
    }

    /// Who is connected now.
    #[must_use]
    pub fn connected(&self) -> HashSet<AgentName> {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.streams.keys().cloned().collect()
    }

    /// Who was heard when, as of now, and of whom two spoke in turns since the
    /// last time. The time by which silence is counted goes on.
    #[must_use]
    pub fn look(&self) -> Present {
        self.attention.look(Instant::now());
        let now = self.now();
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let twice = std::mem::take(&mut table.twice);
        let seen = |(name, life): (&AgentName, &Arc<Life>)| {
            let seen = Seen {
                unheard: life.unheard(now, table.streams.contains_key(name)),
                is_leaving: life.is_leaving(),
                sight: life.sight(),
            };
            (name.clone(), seen)
        };
        Present {
            lives: table.lives.iter().map(seen).collect(),
            twice,
            listening: now,
        }
    }

    /// What [`Self::look`] took was not told to anybody.
    pub fn not_told(&self, present: Present) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.twice.extend(present.twice);
    }

    /// Waits until every connected agent was shown this version of the grants,
    /// and names those that were. Who does not take it in time is left out.
    pub async fn shown(&self, version: u64) -> Vec<AgentName> {
        let streams: Vec<(AgentName, watch::Receiver<u64>)> = {
            let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
            table
                .streams
                .iter()
                .map(|(agent, stream)| (agent.clone(), stream.shown.clone()))
                .collect()
        };
        let deadline = Instant::now() + SHOWN_TIMEOUT;
        let mut names = Vec::with_capacity(streams.len());
        for (agent, mut shown) in streams {
            let seen =
                tokio::time::timeout_at(deadline, shown.wait_for(|&seen| seen >= version)).await;
            if matches!(seen, Ok(Ok(_))) {
                names.push(agent);
            }
        }
        names.sort();
        names
    }
}

impl Table {
    /// Takes an agent's new life. Where there are too many, the longest unheard
    /// of those that are gone is forgotten.
    fn remember(&mut self, agent: &AgentName, life: &Arc<Life>) {
        if self.lives.len() >= LIVES_MAX && !self.lives.contains_key(agent) {
            let gone = |name: &AgentName| !self.streams.contains_key(name);
            let longest = self.lives.iter().filter(|(name, _)| gone(name));
            let longest = longest.max_by_key(|(_, life)| life.unheard(Duration::MAX, false));
            if let Some(longest) = longest.map(|(name, _)| name.clone()) {
                self.lives.remove(&longest);
            }
        }
        self.lives.insert(agent.clone(), Arc::clone(life));
    }
}

impl Place {
    /// When the agent was heard, and what it says of its probes.
    #[must_use]
    pub fn life(&self) -> Arc<Life> {
        Arc::clone(&self.life)
    }

    /// Notes that the agent was shown this version of the grants.
    pub fn shown(&self, version: u64) {
        self.shown.send_replace(version);
    }

    /// Why the collector ended the stream.
    #[must_use]
    pub fn why_ended(&self) -> Status {
        let table = self
            .agents
            .table
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match table.streams.get(&self.agent) {
            Some(stream) if stream.number != self.number => {
                Status::aborted(format!("a newer stream of {} has taken over", self.agent))
            }
            _ => Status::unavailable("the collector is stopping; connect again"),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(inspections) = &self.inspections {
            inspections.close();
        }
        self.life.parted(self.agents.now());
        let mut table = self
            .agents
            .table
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if table
            .streams
            .get(&self.agent)
            .is_some_and(|stream| stream.number == self.number)
        {
            table.streams.remove(&self.agent);
        }
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_comes_back_after_another_took_its_place_is_there_twice() {
        let agents = Arc::new(Agents::listening(Duration::from_secs(3)));
        let name: AgentName = "jump-1".parse().unwrap();
        let enter = |instance: &[u8]| {
            let arrival = Arrival {
                instance: instance.to_vec(),
                beats: true,
                inspections: None,
            };
            drop(agents.enter(&name, arrival, &CancellationToken::new()));
            agents.look().twice
        };
        // One that connects again, restarts, and agents that draw nothing.
        for instance in [&b"a"[..], b"a", b"", b"b", b"", b"b", b"c"] {
            assert_eq!(enter(instance), BTreeSet::new());
        }
        assert_eq!(enter(b"b"), BTreeSet::from([name.clone()]));
        assert_eq!(enter(b"b"), BTreeSet::new(), "told once a turn");
        assert_eq!(enter(b"c"), BTreeSet::from([name.clone()]));
        // Restarts for years are remembered in bounds.
        for number in 0_u32..100 {
            assert_eq!(enter(&number.to_be_bytes()), BTreeSet::new());
        }
        assert_eq!(enter(b"c"), BTreeSet::new(), "long forgotten");
        assert_eq!(enter(&98_u32.to_be_bytes()), BTreeSet::from([name.clone()]));
    }

    #[test]
    fn names_are_remembered_in_bounds_and_those_that_are_here_are_not_forgotten() {
        let agents = Arc::new(Agents::listening(Duration::from_secs(3)));
        let enter = |number: usize| {
            let name: AgentName = format!("jump-{number}").parse().unwrap();
            agents.enter(&name, Arrival::default(), &CancellationToken::new())
        };
        let here = enter(0);
        for number in 1..=LIVES_MAX {
            drop(enter(number));
        }
        let present = agents.look();
        assert_eq!(present.lives.len(), LIVES_MAX);
        assert!(present.lives.contains_key(&here.agent));
    }
}
