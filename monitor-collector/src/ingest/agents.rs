//! Which agents are connected, and what each was shown.
//!
//! Bound: one stream an agent, as named by its certificate; a newer stream ends
//! the older.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use monitor_model::id::AgentName;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// How long an answer waits for agents to be shown a table.
pub const SHOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// Agents that are connected.
#[derive(Debug, Default)]
pub struct Agents {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    streams: HashMap<AgentName, Stream>,
    next: u64,
}

#[derive(Debug)]
struct Stream {
    number: u64,
    shown: watch::Receiver<u64>,
    stop: CancellationToken,
}

/// An agent's place among the connected; left when dropped.
#[derive(Debug)]
pub struct Place {
    agents: Arc<Agents>,
    agent: AgentName,
    number: u64,
    shown: watch::Sender<u64>,
}

impl Agents {
    /// Takes an agent's new stream; an older one of the same agent is ended.
    #[must_use]
    pub fn enter(self: &Arc<Self>, agent: &AgentName, stop: &CancellationToken) -> Place {
        let (shown, seen) = watch::channel(0);
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.next += 1;
        let number = table.next;
        let stream = Stream {
            number,
            shown: seen,
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
        }
    }

    /// Who is connected now.
    #[must_use]
    pub fn connected(&self) -> HashSet<AgentName> {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.streams.keys().cloned().collect()
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
        let deadline = tokio::time::Instant::now() + SHOWN_TIMEOUT;
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

impl Place {
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
