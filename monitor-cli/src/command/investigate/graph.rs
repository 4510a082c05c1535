//! The blast radius of a story, as a graph in layers: the engineer, sessions,
//! hosts, credentials, destinations, tenants.
//!
//! Pure: a story in, a graph out. Bound: [`LAYER_NODES_MAX`] nodes a layer;
//! the last one of a full layer stands for all further ones, with their number.

use std::collections::{BTreeSet, HashMap};

use monitor_model::id::SessionId;

use super::{story::Story, uses::Grade};
use crate::output::{safe, short};

/// Most nodes of one layer.
pub const LAYER_NODES_MAX: usize = 60;

/// What a node is; each kind is a layer, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layer {
    /// The engineer.
    Engineer,
    /// A session.
    Session,
    /// A jump host.
    Host,
    /// A credential that was touched.
    Credential,
    /// A destination that was connected to.
    Destination,
    /// A tenant whose things were touched.
    Tenant,
}

impl Layer {
    /// Every layer, in order.
    pub const ALL: [Self; 6] = [
        Self::Engineer,
        Self::Session,
        Self::Host,
        Self::Credential,
        Self::Destination,
        Self::Tenant,
    ];

    /// What stands over it.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Engineer => "engineer",
            Self::Session => "sessions",
            Self::Host => "hosts",
            Self::Credential => "credentials",
            Self::Destination => "destinations",
            Self::Tenant => "whose",
        }
    }
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its layer.
    pub layer: Layer,
    /// What it says; harmless on a terminal, not escaped for any format.
    pub label: String,
    /// Whether something of it was out of scope.
    pub alarming: bool,
}

/// An edge between two nodes, by their indexes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// Where it begins.
    pub from: usize,
    /// Where it ends.
    pub to: usize,
    /// What it says; often nothing.
    pub label: &'static str,
}

impl Edge {
    /// Whether it stands for what may be chance.
    #[must_use]
    pub fn is_weak(&self) -> bool {
        self.label == Grade::LaterInSession.as_str()
    }
}

/// A graph in layers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Graph {
    /// Nodes; those of one layer in the order they were met.
    pub nodes: Vec<Node>,
    /// Edges, each once.
    pub edges: BTreeSet<Edge>,
}

/// A graph while it grows.
#[derive(Default)]
struct Growing {
    graph: Graph,
    known: HashMap<(Layer, String), usize>,
    /// The node that stands for further ones, and how many there are.
    further: HashMap<Layer, (usize, usize)>,
    sizes: HashMap<Layer, usize>,
}

impl Graph {
    /// The graph of a story.
    #[must_use]
    pub fn of(story: &Story) -> Self {
        let mut growing = Growing::default();
        let engineer = story.engineer.to_string();
        let root = growing.node((Layer::Engineer, &engineer), &engineer, false);
        sessions(story, root, &mut growing);
        credentials(story, &mut growing);
        destinations(story, &mut growing);
        growing.finish()
    }
}

fn sessions(story: &Story, root: usize, growing: &mut Growing) {
    for told in &story.sessions {
        let session = &told.session;
        let tenant = session.tenant.as_ref();
        let tenant = tenant.map_or("no tenant", |id| id.as_str());
        let label = format!("{} for {tenant}", short(&session.id.to_string()));
        let node = growing.node((Layer::Session, &session.id.to_string()), &label, false);
        let from = told.opened_from.filter(|from| is_told(story, *from));
        match from {
            Some(from) => {
                let before = growing.node((Layer::Session, &from.to_string()), "", false);
                growing.edge(before, node, "ssh");
            }
            None => growing.edge(root, node, ""),
        }
        let host = session.host.to_string();
        let host = growing.node((Layer::Host, &host), &host, false);
        growing.edge(node, host, "");
    }
    // Hosts on which something happened in no session of the list.
    for host in &story.hosts {
        let name = host.to_string();
        if !growing.knows(Layer::Host, &name) {
            let host = growing.node((Layer::Host, &name), &name, false);
            growing.edge(root, host, "");
        }
    }
}

fn is_told(story: &Story, id: SessionId) -> bool {
    story.sessions.iter().any(|told| told.session.id == id)
}

fn credentials(story: &Story, growing: &mut Growing) {
    for touched in &story.credentials {
        let key = format!("{} {:?}", touched.host, touched.path);
        let label = format!("{} ({})", touched.path, touched.class);
        let alarming = touched.out_of_scope > 0;
        let node = growing.node((Layer::Credential, &key), &label, alarming);
        let host = touched.host.to_string();
        let host = growing.node((Layer::Host, &host), &host, false);
        growing.edge(host, node, "");
        if let Some(tenant) = &touched.tenant {
            let tenant = tenant.to_string();
            let tenant = growing.node((Layer::Tenant, &tenant), &tenant, false);
            growing.edge(node, tenant, "");
        }
        for used in &touched.uses {
            let to = destination(growing, (&used.destination, &used.owner), false);
            growing.edge(node, to, used.grade.as_str());
        }
    }
}

fn destinations(story: &Story, growing: &mut Growing) {
    let used: BTreeSet<(&str, &str)> = story
        .credentials
        .iter()
        .flat_map(|touched| &touched.uses)
        .filter(|used| used.grade != Grade::LaterInSession)
        .map(|used| (used.destination.as_str(), used.owner.as_str()))
        .collect();
    for reached in &story.destinations {
        let key = (reached.address.as_str(), reached.owner.as_str());
        let node = destination(growing, key, reached.out_of_scope > 0);
        let tenant = growing.node((Layer::Tenant, &reached.owner), &reached.owner, false);
        growing.edge(node, tenant, "");
        if used.contains(&key) {
            continue;
        }
        for host in &reached.hosts {
            let host = host.to_string();
            let host = growing.node((Layer::Host, &host), &host, false);
            growing.edge(host, node, "");
        }
    }
}

fn destination(growing: &mut Growing, (address, owner): (&str, &str), alarming: bool) -> usize {
    let label = format!("{address} of {owner}");
    growing.node((Layer::Destination, &label), &label, alarming)
}

impl Growing {
    fn knows(&self, layer: Layer, key: &str) -> bool {
        self.known.contains_key(&(layer, key.to_owned()))
    }

    /// The node of a name, made with this label when it is not there yet.
    fn node(&mut self, (layer, key): (Layer, &str), label: &str, alarming: bool) -> usize {
        let key = (layer, key.to_owned());
        let index = match self.known.get(&key) {
            Some(index) => *index,
            None => self.made(layer, label),
        };
        self.known.insert(key, index);
        if let Some(node) = self.graph.nodes.get_mut(index) {
            node.alarming |= alarming;
        }
        index
    }

    /// A new node, or the one that stands for those without room.
    fn made(&mut self, layer: Layer, label: &str) -> usize {
        if let Some((index, count)) = self.further.get_mut(&layer) {
            *count += 1;
            return *index;
        }
        let size = self.sizes.entry(layer).or_insert(0);
        *size += 1;
        let index = self.graph.nodes.len();
        if *size == LAYER_NODES_MAX {
            self.further.insert(layer, (index, 1));
        }
        self.graph.nodes.push(Node {
            layer,
            label: safe(label),
            alarming: false,
        });
        index
    }

    fn edge(&mut self, from: usize, to: usize, label: &'static str) {
        if from != to {
            self.graph.edges.insert(Edge { from, to, label });
        }
    }

    fn finish(mut self) -> Graph {
        for (index, count) in self.further.into_values() {
            if let Some(node) = self.graph.nodes.get_mut(index).filter(|_| count > 1) {
                node.label = format!("{count} more");
            }
        }
        self.graph
    }
}
