//! What is written down, and what is remembered for a while.

use std::collections::{HashSet, VecDeque};

use monitor_model::{
    id::{AgentName, SessionId},
    live::{LiveJob, ProcessKey},
};

use super::{Marks, Node};

/// The last of something, as many as have room.
#[derive(Debug)]
pub(crate) struct Recent<T> {
    set: HashSet<T>,
    queue: VecDeque<T>,
    max: usize,
}

impl<T: Copy + Eq + std::hash::Hash> Recent<T> {
    pub(super) fn new(max: usize) -> Self {
        Self {
            set: HashSet::new(),
            queue: VecDeque::new(),
            max,
        }
    }

    pub(super) fn contains(&self, item: &T) -> bool {
        self.set.contains(item)
    }

    pub(super) fn push(&mut self, item: T) {
        if !self.set.insert(item) {
            return;
        }
        self.queue.push_back(item);
        if self.queue.len() > self.max
            && let Some(oldest) = self.queue.pop_front()
        {
            self.set.remove(&oldest);
        }
    }
}

/// What is to be written down.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A process as it stands; none when it is gone.
    Process(AgentName, ProcessKey, Option<Box<Node>>),
    /// A job as it stands, with its session; none when it is gone.
    Job(AgentName, SessionId, Option<(SessionId, LiveJob)>),
    /// What is known of a host as such.
    Host(AgentName, Marks),
    /// A host started anew: nothing of it that was kept holds.
    Started(AgentName),
}

/// What was written down.
#[derive(Debug, Default)]
pub struct Kept {
    /// Hosts.
    pub hosts: Vec<(AgentName, Marks)>,
    /// Their jobs.
    pub jobs: Vec<(AgentName, SessionId, LiveJob)>,
    /// Their processes.
    pub processes: Vec<(AgentName, ProcessKey, Node)>,
}
