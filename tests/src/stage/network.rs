//! Two tenants with the same addresses, behind two interfaces.
//!
//! Each is a network namespace and a pair of virtual interfaces. A client
//! chooses its tenant by binding to an interface, as `curl --interface` does.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::TENANTS;
use crate::command::{self, command};

/// The addresses that both tenants use.
pub const RANGE: &str = "10.20.0.0/24";
/// A tenant's service.
pub const SERVICE: &str = "10.20.0.10:8080";

/// What one tenant alone has: addresses of both families.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Own {
    /// Networks of its zone.
    pub networks: [&'static str; 2],
    /// Its service, IPv4.
    pub v4: &'static str,
    /// Its service, IPv6.
    pub v6: &'static str,
    /// This side of the link, with the lengths of the networks.
    here: [&'static str; 2],
}

/// What each of [`TENANTS`] alone has, in their order.
pub const OWN: [Own; 2] = [
    Own {
        networks: ["10.21.0.0/24", "fd21::/64"],
        v4: "10.21.0.10",
        v6: "fd21::10",
        here: ["10.21.0.1/24", "fd21::1/64"],
    },
    Own {
        networks: ["10.22.0.0/24", "fd22::/64"],
        v4: "10.22.0.10",
        v6: "fd22::10",
        here: ["10.22.0.1/24", "fd22::1/64"],
    },
];
/// The end of a link over which the collector can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Far {
    /// As a tenant's, the name of its namespace and interface.
    pub name: &'static str,
    /// Its address.
    pub address: &'static str,
}

/// Of the link of [`crate::faults::link`]; no tenant has its addresses.
pub const FAR: Far = Far {
    name: "far",
    address: "10.23.0.2",
};
/// The port of a tenant's service at its own addresses.
pub const OWN_PORT: u16 = 9000;

/// The name of a tenant's namespace.
#[must_use]
pub fn namespace(tenant: &str) -> String {
    format!("monitor-{tenant}")
}

/// The name of the interface towards a tenant.
#[must_use]
pub fn interface(tenant: &str) -> String {
    format!("mon-{tenant}")
}

/// The tenants' networks.
#[derive(Debug)]
pub struct Network;

impl Network {
    /// Lays them.
    ///
    /// # Errors
    /// The range is in use on this machine, or the kernel refused.
    pub fn lay() -> Result<()> {
        refuse_used_range()?;
        for (tenant, host) in TENANTS.iter().zip(["10.20.0.1/24", "10.20.0.2/24"]) {
            let (namespace, interface) = (namespace(tenant), interface(tenant));
            let host_side = format!(
                "netns add {namespace}\n\
                 link add {interface} type veth peer name eth0 netns {namespace}\n\
                 addr add {host} dev {interface}\n\
                 link set {interface} up\n"
            );
            command::feed(&mut command("ip", ["-batch", "-"]), &host_side)
                .with_context(|| format!("laying the network of {tenant}"))?;
            let tenant_side = "addr add 10.20.0.10/24 dev eth0\nlink set eth0 up\nlink set lo up\n";
            command::feed(
                &mut command("ip", ["-netns", &namespace, "-batch", "-"]),
                tenant_side,
            )
            .with_context(|| format!("laying the network within {tenant}"))?;
            loosen_reverse_path(&interface)?;
        }
        Ok(())
    }

    /// Adds each tenant's own addresses.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn widen() -> Result<()> {
        for (tenant, own) in TENANTS.iter().zip(OWN) {
            let (namespace, interface) = (namespace(tenant), interface(tenant));
            let [here_v4, here_v6] = own.here;
            let host_side = format!(
                "addr add {here_v4} dev {interface}\naddr add {here_v6} dev {interface} nodad\n"
            );
            command::feed(&mut command("ip", ["-batch", "-"]), &host_side)?;
            let tenant_side = format!(
                "addr add {}/24 dev eth0\naddr add {}/64 dev eth0 nodad\n",
                own.v4, own.v6
            );
            let mut within = command("ip", ["-netns", &namespace, "-batch", "-"]);
            command::feed(&mut within, &tenant_side)?;
        }
        Ok(())
    }

    /// Removes them, as far as they are there.
    ///
    /// # Errors
    /// One is there and would not go.
    pub fn remove() -> Result<()> {
        for name in TENANTS.into_iter().chain([FAR.name]) {
            let (namespace, interface) = (namespace(name), interface(name));
            if Path::new("/sys/class/net").join(&interface).exists() {
                command::stdout(&mut command("ip", ["link", "del", &interface]))?;
            }
            if Path::new("/run/netns").join(&namespace).exists() {
                command::stdout(&mut command("ip", ["netns", "del", &namespace]))?;
            }
        }
        Ok(())
    }
}

/// A command that runs in a tenant's namespace.
#[must_use]
pub fn within(tenant: &str, program: &Path) -> Command {
    let mut inside = command("ip", ["netns", "exec", &namespace(tenant)]);
    inside.arg(program);
    inside
}

/// Packets that come back by an interface other than the routing table's
/// choice are dropped where the filter is strict; here two are right.
fn loosen_reverse_path(interface: &str) -> Result<()> {
    let file = format!("/proc/sys/net/ipv4/conf/{interface}/rp_filter");
    std::fs::write(&file, "2").with_context(|| format!("writing {file}"))
}

/// Our routes must not take traffic from somebody who uses these addresses.
fn refuse_used_range() -> Result<()> {
    for how in ["root", "match"] {
        let listing = command::stdout(&mut command(
            "ip",
            ["-4", "route", "show", "table", "all", how, RANGE],
        ))?;
        let used = listing
            .lines()
            .find(|line| !line.starts_with("default") && !line.trim().is_empty());
        if let Some(route) = used {
            bail!(
                "{RANGE}, which the tenants of the demo use, is routed on this machine already: \
                 `{}`. Run the demo where these addresses are free, or take that route away for \
                 the time being",
                route.trim()
            );
        }
    }
    Ok(())
}
