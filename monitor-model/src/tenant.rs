//! Tenants, their network zones, and which of them owns an address.

use std::cmp::Ordering;

use ipnet::IpNet;
use serde::Serialize;

use crate::{
    event::Destination,
    grant::{PortRange, Tier},
    id::TenantId,
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

/// Who owns a destination, and the tier it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// Who owns it.
    pub owner: Owner,
    /// The tier of the zone that decided.
    pub tier: Option<Tier>,
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

    fn prefix_len(&self, to: &Destination) -> Option<u8> {
        let fits = |network: &&IpNet| network.contains(&to.address);
        let longest = self
            .networks
            .iter()
            .filter(fits)
            .map(IpNet::prefix_len)
            .max()?;
        let port = self.ports.is_empty() || self.ports.iter().any(|range| range.contains(to.port));
        port.then_some(longest)
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

    fn fit(&self, to: &Destination) -> Option<Fit> {
        let prefix_len = self.prefix_len(to)?;
        Some(Fit {
            selected: self.selected(to)?,
            prefix_len,
        })
    }
}

/// Finds the owner of a destination.
///
/// A zone whose selectors all hold goes before one without; then the longest
/// prefix wins. When two tenants fit equally well the answer is
/// [`Owner::Ambiguous`]: a guess would put one client's traffic on another's name.
#[must_use]
pub fn locate(tenants: &[Tenant], to: &Destination) -> Located {
    if to.address.is_loopback() || to.address.is_unspecified() {
        return Located {
            owner: Owner::Host,
            tier: None,
        };
    }
    let mut best: Option<Fit> = None;
    let mut found: Vec<(&TenantId, Option<Tier>)> = Vec::new();
    for tenant in tenants {
        let fits = tenant
            .zones
            .iter()
            .filter_map(|zone| Some((zone.fit(to)?, zone.tier)));
        let Some((fit, tier)) = fits.max_by_key(|&(fit, _)| fit) else {
            continue;
        };
        match best.cmp(&Some(fit)) {
            Ordering::Greater => {}
            Ordering::Equal => found.push((&tenant.id, tier)),
            Ordering::Less => {
                best = Some(fit);
                found = vec![(&tenant.id, tier)];
            }
        }
    }
    match found.as_slice() {
        [] => Located {
            owner: Owner::Unknown,
            tier: None,
        },
        [(id, tier)] => Located {
            owner: Owner::Tenant((*id).clone()),
            tier: *tier,
        },
        several => {
            let tenants = several.iter().map(|&(id, _)| id.clone()).collect();
            Located {
                owner: Owner::Ambiguous(tenants),
                tier: None,
            }
        }
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
            }],
        }
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
