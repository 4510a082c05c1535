//! Tenants, their network zones, and which of them owns an address.

use std::{cmp::Ordering, collections::HashSet};

use ipnet::IpNet;
use prefix_trie::joint::JointPrefixMap;
use serde::Serialize;

use crate::{
    event::Destination,
    grant::{PortRange, Tier},
    id::TenantId,
    policy::Admission,
};

/// A part of a tenant's network. Every selector that is stated must hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Zone {
    /// Its name, for people.
    pub name: String,
    /// Networks; at least one.
    pub networks: Vec<IpNet>,
    /// Ports; none means all.
    pub ports: Vec<PortRange>,
    /// Name of the interface that the socket is bound to.
    pub interface: Option<String>,
    /// Name of the network namespace that the socket lives in.
    pub net_ns: Option<String>,
    /// The socket's mark (`SO_MARK`).
    pub mark: Option<u32>,
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
    /// Places of the tenant and of the zone in it, in the order of the tenants.
    by_network: JointPrefixMap<IpNet, Vec<(usize, usize)>>,
}

/// How well a zone fits: told apart by a selector first, then the longest prefix.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Fit {
    selected: bool,
    prefix_len: u8,
}

impl Zone {
    fn selectors(&self) -> usize {
        usize::from(self.interface.is_some())
            + usize::from(self.net_ns.is_some())
            + usize::from(self.mark.is_some())
    }

    fn has_port(&self, port: u16) -> bool {
        self.ports.is_empty() || self.ports.iter().any(|range| range.contains(port))
    }

    /// `None`: a stated fact contradicts. `Some(false)`: a stated fact is not known.
    fn selected(&self, to: &Destination) -> Option<bool> {
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
        Some(known && self.selectors() > 0)
    }

    /// How well it fits a destination that one of its networks, of this length, holds.
    fn fit(&self, to: &Destination, prefix_len: u8) -> Option<Fit> {
        let selected = self.selected(to)?;
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
        let mut by_network: JointPrefixMap<IpNet, Vec<(usize, usize)>> = JointPrefixMap::new();
        for (at, tenant) in tenants.iter().enumerate() {
            for (zone_at, zone) in tenant.zones.iter().enumerate() {
                for network in &zone.networks {
                    let places = by_network.entry(network.trunc()).or_default();
                    places.push((at, zone_at));
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

    /// Finds the owner of a destination.
    ///
    /// A zone whose selectors all hold goes before one without; then the longest
    /// prefix wins; within one tenant then the later zone. When two tenants fit
    /// equally well the answer is [`Owner::Ambiguous`]: a guess would put one
    /// client's traffic on another's name.
    #[must_use]
    pub fn locate(&self, to: &Destination) -> Located<'_> {
        if to.address.is_loopback() || to.address.is_unspecified() {
            return Located {
                owner: Owner::Host,
                zone: None,
            };
        }
        let mut best: Option<Fit> = None;
        let mut found: Vec<(&Tenant, &Zone)> = Vec::new();
        for (network, places) in self.by_network.cover(&IpNet::from(to.address)) {
            for (tenant, zone) in places.iter().filter_map(|&place| self.at(place)) {
                let Some(fit) = zone.fit(to, network.prefix_len()) else {
                    continue;
                };
                match best.cmp(&Some(fit)) {
                    Ordering::Greater => continue,
                    Ordering::Equal => found.retain(|(other, _)| other.id != tenant.id),
                    Ordering::Less => found.clear(),
                }
                best = Some(fit);
                found.push((tenant, zone));
            }
        }
        located(&found)
    }

    fn at(&self, (tenant, zone): (usize, usize)) -> Option<(&Tenant, &Zone)> {
        let tenant = self.tenants.get(tenant)?;
        Some((tenant, tenant.zones.get(zone)?))
    }
}

/// What the zones that fit best come to.
fn located<'a>(found: &[(&'a Tenant, &'a Zone)]) -> Located<'a> {
    match found {
        [] => Located {
            owner: Owner::Unknown,
            zone: None,
        },
        [(tenant, zone)] => Located {
            owner: Owner::Tenant(tenant.id.clone()),
            zone: Some(zone),
        },
        several => Located {
            owner: Owner::Ambiguous(
                several
                    .iter()
                    .map(|(tenant, _)| tenant.id.clone())
                    .collect(),
            ),
            zone: None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Protocol;

    fn tenant(name: &str, network: &str, interface: Option<&str>, net_ns: Option<&str>) -> Tenant {
        Tenant {
            id: TenantId::new(name).unwrap(),
            zones: vec![Zone {
                name: "lan".into(),
                networks: vec![network.parse().unwrap()],
                ports: vec![],
                interface: interface.map(Into::into),
                net_ns: net_ns.map(Into::into),
                mark: None,
                tier: None,
                admits: None,
            }],
        }
    }

    /// Owned, so that tests can ask of zones made on the spot.
    fn locate(tenants: &[Tenant], to: &Destination) -> Located<'static> {
        let owner = Zones::new(tenants.to_vec()).locate(to).owner;
        Located { owner, zone: None }
    }

    fn to(address: &str, interface: Option<&str>) -> Destination {
        Destination {
            address: address.parse().unwrap(),
            port: 443,
            protocol: Protocol::Tcp,
            interface: interface.map(Into::into),
            interface_index: 0,
            net_ns: 1,
            net_ns_name: None,
            mark: 0,
        }
    }

    fn owner(name: &str) -> Owner {
        Owner::Tenant(TenantId::new(name).unwrap())
    }

    #[test]
    fn overlapping_ranges_are_told_apart_by_interface() {
        let tenants = [
            tenant("acme", "10.20.0.0/24", Some("va"), None),
            tenant("globex", "10.20.0.0/24", Some("vg"), None),
        ];
        assert_eq!(
            locate(&tenants, &to("10.20.0.10", Some("va"))).owner,
            owner("acme")
        );
        assert_eq!(
            locate(&tenants, &to("10.20.0.10", Some("vg"))).owner,
            owner("globex")
        );
        assert_eq!(
            locate(&tenants, &to("10.20.0.10", Some("eth0"))).owner,
            Owner::Unknown
        );
        assert!(
            matches!(locate(&tenants, &to("10.20.0.10", None)).owner, Owner::Ambiguous(both) if both.len() == 2)
        );
    }

    #[test]
    fn overlapping_ranges_are_told_apart_by_namespace() {
        let tenants = [
            tenant("acme", "10.20.0.0/24", None, Some("a")),
            tenant("globex", "10.20.0.0/24", None, Some("g")),
        ];
        let mut destination = to("10.20.0.10", None);
        destination.net_ns_name = Some("g".into());
        assert_eq!(locate(&tenants, &destination).owner, owner("globex"));
        destination.net_ns_name = None;
        assert_eq!(locate(&tenants, &destination).owner, Owner::Unknown);
    }

    #[test]
    fn the_longest_prefix_wins_where_nothing_else_tells() {
        let tenants = [
            tenant("acme", "10.0.0.0/8", None, None),
            tenant("globex", "10.20.0.0/24", None, None),
        ];
        assert_eq!(
            locate(&tenants, &to("10.20.0.1", None)).owner,
            owner("globex")
        );
        assert_eq!(
            locate(&tenants, &to("10.21.0.1", None)).owner,
            owner("acme")
        );
        assert_eq!(
            locate(&tenants, &to("192.0.2.1", None)).owner,
            Owner::Unknown
        );
        assert_eq!(locate(&tenants, &to("127.0.0.1", None)).owner, Owner::Host);
    }
}
