//! Host names of zones: what they stand for, and since when.
//!
//! A verdict must come out the same when it is made again, so a name is
//! resolved when a policy comes into force, and the policy keeps the addresses
//! with the time. Who can change the name's records decides which addresses are
//! the client's: networks are better where they are known.

use std::{io, net::ToSocketAddrs as _};

use monitor_model::{
    clock::{Clock, SystemClock},
    policy::Terms,
    tenant::NamedHost,
};

/// Most host names, over all tenants: each is asked for in turn.
pub const NAMES_MAX: usize = 1_000;
/// Most addresses of one name.
pub const ADDRESSES_MAX: usize = 64;

/// What resolves host names.
pub trait Names {
    /// Resolves one now.
    ///
    /// # Errors
    /// What the system says; [`io::ErrorKind::NotFound`] where the name has no
    /// address.
    fn resolve(&self, name: &str) -> io::Result<NamedHost>;
}

/// The system's resolver: /etc/hosts, DNS, as nsswitch.conf says.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemNames;

impl Names for SystemNames {
    fn resolve(&self, name: &str) -> io::Result<NamedHost> {
        let resolved_at = SystemClock.now();
        let found = (name, 0).to_socket_addrs()?;
        let mut addresses: Vec<_> = found.map(|address| address.ip().to_canonical()).collect();
        addresses.sort_unstable();
        addresses.dedup();
        if addresses.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "it has no address"));
        }
        if addresses.len() > ADDRESSES_MAX {
            let many = format!("it has more than {ADDRESSES_MAX} addresses");
            return Err(io::Error::new(io::ErrorKind::InvalidData, many));
        }
        Ok(NamedHost {
            name: name.to_owned(),
            addresses,
            resolved_at,
        })
    }
}

/// A name cannot be resolved.
#[derive(Debug, thiserror::Error)]
#[error("host name {name:?}: {source}")]
pub struct Unresolved {
    /// The name.
    pub name: String,
    /// What the system said.
    pub source: io::Error,
}

/// Terms with every host name resolved once more; none where all of them have
/// the addresses that they had, or there is no name.
///
/// # Errors
/// [`Unresolved`] for the first that cannot be.
pub fn again(terms: &Terms, names: &dyn Names) -> Result<Option<Terms>, Unresolved> {
    let mut new = terms.clone();
    let mut has_changed = false;
    let zones = new.tenants.iter_mut().flat_map(|tenant| &mut tenant.zones);
    for host in zones.flat_map(|zone| &mut zone.hosts) {
        let found = names.resolve(&host.name).map_err(|source| Unresolved {
            name: host.name.clone(),
            source,
        })?;
        if found.addresses != host.addresses {
            *host = found;
            has_changed = true;
        }
    }
    Ok(has_changed.then_some(new))
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, net::IpAddr};

    use monitor_model::{
        clock::UnixNs,
        tenant::{Tenant, Zone},
    };

    use super::*;

    /// A name whose address a test moves.
    struct Moving(Cell<u8>);

    impl Names for Moving {
        fn resolve(&self, name: &str) -> io::Result<NamedHost> {
            let last = self.0.get();
            if last == 0 {
                return Err(io::ErrorKind::NotFound.into());
            }
            Ok(NamedHost {
                name: name.to_owned(),
                addresses: vec![IpAddr::from([192, 0, 2, last])],
                resolved_at: UnixNs(u64::from(last)),
            })
        }
    }

    #[test]
    fn the_system_knows_its_own_name() {
        let found = SystemNames.resolve("localhost").unwrap();
        assert!(
            found.addresses.iter().all(IpAddr::is_loopback),
            "{:?}",
            found.addresses
        );
        assert!(found.resolved_at.0 > 0);
        assert!(SystemNames.resolve("no-such-host.invalid").is_err());
    }

    #[test]
    fn terms_change_only_when_an_address_does() {
        let names = Moving(Cell::new(7));
        let host = names.resolve("db").unwrap();
        let terms = Terms {
            tenants: vec![Tenant {
                id: "acme".parse().unwrap(),
                zones: vec![Zone {
                    hosts: vec![host],
                    ..Zone::default()
                }],
            }],
            ..Terms::default()
        };
        assert_eq!(again(&terms, &names).unwrap(), None);
        names.0.set(9);
        let moved = again(&terms, &names).unwrap().unwrap();
        let host = &moved.tenants[0].zones[0].hosts[0];
        assert_eq!((host.resolved_at, host.name.as_str()), (UnixNs(9), "db"));
        names.0.set(0);
        let error = again(&terms, &names).unwrap_err().to_string();
        assert!(error.contains("\"db\""), "{error}");
    }
}
