//! Which process was made by which.
//!
//! Pure: events in, a family tree out.

use std::collections::{BTreeSet, HashMap};

use monitor_model::{
    event::{Action, Event},
    id::{AgentName, BootId},
    live::ProcessKey,
    verdict::Judgement,
};

/// A process of one boot of one host.
pub(super) type Node<'a> = (&'a AgentName, BootId, ProcessKey);

/// Processes and who made them.
pub(super) struct Family<'a> {
    /// As told when it was made.
    made_by: HashMap<Node<'a>, Node<'a>>,
    /// The number of its parent when it was first told of.
    parent_pid: HashMap<Node<'a>, u32>,
    /// When processes of a number started.
    starts: HashMap<(&'a AgentName, BootId, u32), BTreeSet<u64>>,
}

impl<'a> Family<'a> {
    /// The family of all processes that these events tell of.
    pub(super) fn of(events: &'a [(Event, Judgement)]) -> Self {
        let mut family = Self {
            made_by: HashMap::new(),
            parent_pid: HashMap::new(),
            starts: HashMap::new(),
        };
        for (event, _) in events {
            let Some(node) = node(event) else { continue };
            family.start(node);
            if let Some(process) = &event.process {
                let pid = process.parent_pid;
                family.parent_pid.entry(node).or_insert(pid);
            }
            if let Action::Fork {
                child_pid,
                child_start_boot_ns,
            } = event.action
            {
                let child = ProcessKey {
                    start_boot_ns: child_start_boot_ns,
                    pid: child_pid,
                };
                let child = (node.0, node.1, child);
                family.start(child);
                family.made_by.insert(child, node);
            }
        }
        family
    }

    fn start(&mut self, (host, boot, process): Node<'a>) {
        let starts = self.starts.entry((host, boot, process.pid)).or_default();
        starts.insert(process.start_boot_ns);
    }

    /// Who made a process: as told, or else the youngest known process with its
    /// parent's number that is not younger than it.
    pub(super) fn parent(&self, node: Node<'a>) -> Option<Node<'a>> {
        if let Some(parent) = self.made_by.get(&node) {
            return Some(*parent);
        }
        let (host, boot, process) = node;
        let pid = *self.parent_pid.get(&node)?;
        let starts = self.starts.get(&(host, boot, pid))?;
        let start_boot_ns = *starts.range(..=process.start_boot_ns).next_back()?;
        let parent = (host, boot, ProcessKey { start_boot_ns, pid });
        (parent != node).then_some(parent)
    }
}

/// The process that did something; none where it was the agent.
pub(super) fn node(event: &Event) -> Option<Node<'_>> {
    let process = event.process.as_ref()?;
    let key = ProcessKey {
        start_boot_ns: process.start_boot_ns,
        pid: process.pid,
    };
    Some((&event.id.agent, event.id.boot, key))
}
