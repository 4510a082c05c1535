//! Tenants, their network zones, and which of them owns an address.

use std::{
    cmp::{Ordering, Reverse},
    collections::{HashMap, HashSet},
    net::IpAddr,
};

use ipnet::IpNet;
use prefix_trie::joint::JointPrefixMap;
use serde::Serialize;

use crate::{
    clock::UnixNs,
    event::Destination,
    grant::{PortRange, Tier},
    id::{AgentName, TenantId},
    policy::Admission,
};

/// A host name of a zone, and what it stood for at a stated time: a verdict
/// that was made under it can be made again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NamedHost {
    /// The name.
    pub name: String,
    /// Its addresses then, in order, each once.
    pub addresses: Vec<IpAddr>,
    /// When it was resolved.
    pub resolved_at: UnixNs,
}

/// A part of a tenant's network. Every selector that is stated must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Zone {
    /// Its name, for people.
    pub name: String,
    /// Networks; these or names, at least one.
    pub networks: Vec<IpNet>,
    /// Hosts by their names.
    pub hosts: Vec<NamedHost>,
    /// Ports; none means all.
    pub ports: Vec<PortRange>,
    /// Name of the interface that the socket is bound to.
    pub interface: Option<String>,
    /// Name of the network namespace that the socket lives in.
    pub net_ns: Option<String>,
    /// The socket's mark (`SO_MARK`).
    pub mark: Option<u32>,
    /// The jump host that the connection is made on, by its agent's name: who
    /// hops on from a client's own jump host is in that client's network.
    pub jump_host: Option<AgentName>,
    /// The tier that its systems need; none means any.
    pub tier: Option<Tier>,
    /// Who may use it, where it is the provider's; none means as the policy
    /// says of everything that is the provider's.
    pub admits: Option<Admission>,
}

/// One client and its zones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tenant {
    /// Its name.
    pub id: TenantId,
    /// Where its systems are.
    pub zones: Vec<Zone>,
}

/// Who owns a thing.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case", tag = "owner", content = "tenants")]
pub enum Owner {
    /// The host itself: loopback.
    Host,
    /// One tenant, `provider` included.
    Tenant(TenantId),
    /// Several tenants' zones fit and no fact tells them apart; never guessed.
    Ambiguous(Vec<TenantId>),
    /// Nobody's zone fits.
    Unknown,
}

/// Who owns a destination, and by which zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located<'a> {
    /// Who owns it.
    pub owner: Owner,
    /// The zone that decided; none where no zone did, or several.
    pub zone: Option<&'a Zone>,
}

/// Every tenant's zones, found by address.
#[derive(Clone, Debug, Default)]
pub struct Zones {
    tenants: Vec<Tenant>,
    names: HashSet<TenantId>,
    by_network: JointPrefixMap<IpNet, Overlap>,
}

/// The place of a tenant among all, and of a zone in it.
type Place = (usize, usize);

/// Zones of one network. Clients share ranges, hundreds of them the same one:
/// each zone is filed under the first fact that it states, so that who is told
/// apart by a fact is found by it.
#[derive(Clone, Debug, Default)]
struct Overlap {
    by_net_ns: HashMap<String, Vec<Place>>,
    by_mark: HashMap<u32, Vec<Place>>,
    by_interface: HashMap<String, Vec<Place>>,
    by_jump_host: HashMap<AgentName, Vec<Place>>,
    others: Vec<Place>,
}

/// How well a zone fits: told apart by a selector first, then the longest prefix.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Fit {
    selected: bool,
    prefix_len: u8,
}

impl Zone {
    const fn is_selective(&self) -> bool {
        self.depends_on_socket() || self.jump_host.is_some()
    }

    /// Whether it takes facts of the socket to tell: interface, namespace, mark.
    #[must_use]
    pub const fn depends_on_socket(&self) -> bool {
        self.interface.is_some() || self.net_ns.is_some() || self.mark.is_some()
    }

    /// All of its networks, those of its hosts included.
    pub(crate) fn all_networks(&self) -> impl Iterator<Item = IpNet> {
        let of_hosts = self.hosts.iter().flat_map(|host| &host.addresses);
        let networks = self.networks.iter().map(IpNet::trunc);
        networks.chain(of_hosts.map(|address| IpNet::from(*address)))
    }

    fn has_port(&self, port: u16) -> bool {
        self.ports.is_empty() || self.ports.iter().any(|range| range.contains(port))
    }

    /// `None`: a stated fact contradicts. `Some(false)`: a stated fact is not known.
    fn selected(&self, to: &Destination, seen_on: &AgentName) -> Option<bool> {
        let mut known = true;
        if let Some(wanted) = &self.interface {
            match &to.interface {
                Some(found) if found == wanted => {}
                Some(_) => return None,
                None => known = false,
            }
        }
        if self.net_ns.is_some() && self.net_ns != to.net_ns_name {
            return None;
        }
        if self.mark.is_some_and(|wanted| wanted != to.mark) {
            return None;
        }
        if self.jump_host.as_ref().is_some_and(|name| name != seen_on) {
            return None;
        }
        Some(known && self.is_selective())
    }

    /// How well it fits a destination that one of its networks, of this length, holds.
    fn fit(&self, to: &Destination, seen_on: &AgentName, prefix_len: u8) -> Option<Fit> {
        let selected = self.selected(to, seen_on)?;
        self.has_port(to.port).then_some(Fit {
            selected,
            prefix_len,
        })
    }
}

impl Zones {
    /// Makes the zones of these tenants findable.
    #[must_use]
    pub fn new(tenants: Vec<Tenant>) -> Self {
        let mut by_network: JointPrefixMap<IpNet, Overlap> = JointPrefixMap::new();
        for (at, tenant) in tenants.iter().enumerate() {
            for (zone_at, zone) in tenant.zones.iter().enumerate() {
                for network in zone.all_networks() {
                    let overlap = by_network.entry(network).or_default();
                    overlap.file(zone, (at, zone_at));
                }
            }
        }
        Self {
            names: tenants.iter().map(|tenant| tenant.id.clone()).collect(),
            tenants,
            by_network,
        }
    }

    /// Every tenant, in the order given.
    #[must_use]
    pub fn tenants(&self) -> &[Tenant] {
        &self.tenants
    }

    /// Whether there is a tenant of that name.
    #[must_use]
    pub fn has_tenant(&self, id: &TenantId) -> bool {
        self.names.contains(id)
    }

    /// Finds the owner of a destination that was connected to on a jump host.
    ///
    /// A zone whose selectors all hold goes before one without; then the longest
    /// prefix wins; within one tenant then the later zone. When two tenants fit
    /// equally well the answer is [`Owner::Ambiguous`]: a guess would put one
    /// client's traffic on another's name.
    #[must_use]
    pub fn locate(&self, to: &Destination, seen_on: &AgentName) -> Located<'_> {
        if to.address.is_loopback() || to.address.is_unspecified() {
            return Located {
                owner: Owner::Host,
                zone: None,
            };
        }
        let mut best: Option<Fit> = None;
        let mut found: Vec<Place> = Vec::new();
        for (network, overlap) in self.by_network.cover(&IpNet::from(to.address)) {
            for place in overlap.candidates(to, seen_on) {
                let zone = self.at(place).map(|(_, zone)| zone);
                let Some(fit) = zone.and_then(|zone| zone.fit(to, seen_on, network.prefix_len()))
                else {
                    continue;
                };
                match best.cmp(&Some(fit)) {
                    Ordering::Greater => continue,
                    Ordering::Equal => {}
                    Ordering::Less => found.clear(),
                }
                best = Some(fit);
                found.push(place);
            }
        }
        // Of one tenant the later zone; tenants in their order.
        found.sort_unstable_by_key(|&(tenant, zone)| (tenant, Reverse(zone)));
        found.dedup_by_key(|(tenant, _)| *tenant);
        let mut fitting = found.into_iter().filter_map(|place| self.at(place));
        match (fitting.next(), fitting.next()) {
            (None, _) => Located {
                owner: Owner::Unknown,
                zone: None,
            },
            (Some((tenant, zone)), None) => Located {
                owner: Owner::Tenant(tenant.id.clone()),
                zone: Some(zone),
            },
            (Some(first), Some(second)) => {
                let all = [first, second].into_iter().chain(fitting);
                Located {
                    owner: Owner::Ambiguous(all.map(|(tenant, _)| tenant.id.clone()).collect()),
                    zone: None,
                }
            }
        }
    }

    /// Networks of zones, whoever's: those within a network, itself included.
    pub fn networks_within(&self, network: &IpNet) -> impl Iterator<Item = IpNet> {
        let within = self.by_network.children(network);
        within.map(|(network, _)| network)
    }

    /// Every zone that has an address among its networks, whatever else it
    /// states, with its tenant. One may come twice.
    pub fn covering(&self, address: IpAddr) -> impl Iterator<Item = (&Tenant, &Zone)> {
        let overlaps = self.by_network.cover(&IpNet::from(address));
        let places: Vec<Place> = overlaps.flat_map(|(_, overlap)| overlap.all()).collect();
        places.into_iter().filter_map(|place| self.at(place))
    }

    fn at(&self, (tenant, zone): (usize, usize)) -> Option<(&Tenant, &Zone)> {
        let tenant = self.tenants.get(tenant)?;
        Some((tenant, tenant.zones.get(zone)?))
    }
}

impl Overlap {
    fn file(&mut self, zone: &Zone, place: Place) {
        let Zone {
            interface,
            net_ns,
            mark,
            jump_host,
            ..
        } = zone;
        let places = if let Some(name) = net_ns {
            self.by_net_ns.entry(name.clone()).or_default()
        } else if let Some(mark) = mark {
            self.by_mark.entry(*mark).or_default()
        } else if let Some(name) = jump_host {
            self.by_jump_host.entry(name.clone()).or_default()
        } else if let Some(name) = interface {
            self.by_interface.entry(name.clone()).or_default()
        } else {
            &mut self.others
        };
        places.push(place);
    }

    /// All of them.
    fn all(&self) -> impl Iterator<Item = Place> {
        let Self {
            by_net_ns,
            by_mark,
            by_interface,
            by_jump_host,
            others,
        } = self;
        let stated = by_net_ns.values().chain(by_mark.values());
        let stated = stated.chain(by_interface.values());
        let stated = stated.chain(by_jump_host.values());
        stated.chain([others]).flatten().copied()
    }

    /// Zones that may fit: those filed under a fact of the destination, those
    /// under any interface where it is not known, and those that state nothing.
    fn candidates<'a>(
        &'a self,
        to: &Destination,
        seen_on: &AgentName,
    ) -> impl Iterator<Item = Place> + use<'a> {
        let net_ns = to.net_ns_name.as_ref();
        let of_net_ns = net_ns.and_then(|name| self.by_net_ns.get(name));
        let of_mark = self.by_mark.get(&to.mark);
        let of_jump_host = self.by_jump_host.get(seen_on);
        let (of_interface, of_any) = match &to.interface {
            Some(name) => (self.by_interface.get(name), None),
            None => (None, Some(self.by_interface.values())),
        };
        let stated = of_net_ns.into_iter().chain(of_mark);
        let stated = stated.chain(of_jump_host).chain(of_interface);
        let rest = of_any.into_iter().flatten().chain([&self.others]);
        stated.chain(rest).flatten().copied()
    }
}

#[cfg(test)]
mod tests;
