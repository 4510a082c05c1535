//! Policies.

use monitor_model::{
    clock::UnixNs,
    grant::{InvalidGrant, PortRange, Tier},
    inventory::{Item, Template},
    policy::{Admission, Terms},
    tenant::{NamedHost, Tenant, Zone},
};

use super::{
    InvalidMessage,
    wire::{closed_enum, meaning, meaning_opt, name, name_opt, number, text_opt, texts},
};
use crate::v1;

closed_enum!(Admission, v1::Admission, "admission", {
    OwnerGrant => OwnerGrant, AnyGrant => AnyGrant, Everybody => Everybody,
});

/// An enum's number; 0 when absent.
fn number_opt<M, T>(value: Option<T>) -> i32
where
    M: From<T> + Into<i32>,
{
    value.map_or(0, number::<M, T>)
}

impl From<&Terms> for v1::Policy {
    fn from(value: &Terms) -> Self {
        let Terms {
            tenants,
            inventory,
            provider,
            unknown,
        } = value;
        Self {
            tenants: tenants.iter().map(Into::into).collect(),
            inventory: inventory.iter().map(Into::into).collect(),
            provider: number::<v1::Admission, _>(*provider),
            unknown: number::<v1::Admission, _>(*unknown),
        }
    }
}

impl TryFrom<v1::Policy> for Terms {
    type Error = InvalidMessage;
    fn try_from(value: v1::Policy) -> Result<Self, InvalidMessage> {
        let tenants = value.tenants.into_iter().map(TryInto::try_into);
        let inventory = value.inventory.into_iter().map(TryInto::try_into);
        Ok(Self {
            tenants: tenants.collect::<Result<_, _>>()?,
            inventory: inventory.collect::<Result<_, _>>()?,
            provider: meaning::<v1::Admission, _>("policy.provider", value.provider)?,
            unknown: meaning::<v1::Admission, _>("policy.unknown", value.unknown)?,
        })
    }
}

impl From<&Tenant> for v1::Tenant {
    fn from(value: &Tenant) -> Self {
        let Tenant { id, zones } = value;
        Self {
            id: id.to_string(),
            zones: zones.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<v1::Tenant> for Tenant {
    type Error = InvalidMessage;
    fn try_from(value: v1::Tenant) -> Result<Self, InvalidMessage> {
        let zones = value.zones.into_iter().map(TryInto::try_into);
        Ok(Self {
            id: name("tenant.id", &value.id)?,
            zones: zones.collect::<Result<_, _>>()?,
        })
    }
}

impl From<&Zone> for v1::Zone {
    fn from(value: &Zone) -> Self {
        let Zone {
            name,
            networks,
            hosts,
            ports,
            interface,
            net_ns,
            mark,
            jump_host,
            tier,
            admits,
        } = value;
        Self {
            hosts: hosts.iter().map(Into::into).collect(),
            jump_host: text_opt(jump_host.as_ref()),
            name: name.clone(),
            networks: texts(networks),
            ports: texts(ports),
            interface: interface.clone(),
            net_ns: net_ns.clone(),
            mark: *mark,
            tier: number_opt::<v1::Tier, Tier>(*tier),
            admits: number_opt::<v1::Admission, Admission>(*admits),
        }
    }
}

impl TryFrom<v1::Zone> for Zone {
    type Error = InvalidMessage;
    fn try_from(value: v1::Zone) -> Result<Self, InvalidMessage> {
        let network = |text: &String| {
            text.parse().map_err(|_| InvalidMessage::Network {
                field: "zone.networks",
                text: text.clone(),
            })
        };
        let ports = |text: &String| {
            let wrong = |source: InvalidGrant| InvalidMessage::Grant {
                field: "zone.ports",
                source,
            };
            text.parse::<PortRange>().map_err(wrong)
        };
        Ok(Self {
            name: value.name,
            hosts: value
                .hosts
                .into_iter()
                .map(TryInto::try_into)
                .collect::<Result<_, _>>()?,
            jump_host: name_opt("zone.jump_host", &value.jump_host)?,
            networks: value
                .networks
                .iter()
                .map(network)
                .collect::<Result<_, _>>()?,
            ports: value.ports.iter().map(ports).collect::<Result<_, _>>()?,
            interface: value.interface,
            net_ns: value.net_ns,
            mark: value.mark,
            tier: meaning_opt::<v1::Tier, _>("zone.tier", value.tier)?,
            admits: meaning_opt::<v1::Admission, _>("zone.admits", value.admits)?,
        })
    }
}

impl From<&NamedHost> for v1::NamedHost {
    fn from(value: &NamedHost) -> Self {
        let NamedHost {
            name,
            addresses,
            resolved_at,
        } = value;
        Self {
            name: name.clone(),
            addresses: texts(addresses),
            resolved_unix_ns: resolved_at.0,
        }
    }
}

impl TryFrom<v1::NamedHost> for NamedHost {
    type Error = InvalidMessage;
    fn try_from(value: v1::NamedHost) -> Result<Self, InvalidMessage> {
        let address = |text: &String| {
            text.parse().map_err(|_| InvalidMessage::Network {
                field: "zone.hosts.addresses",
                text: text.clone(),
            })
        };
        let addresses = value.addresses.iter().map(address);
        Ok(Self {
            addresses: addresses.collect::<Result<_, _>>()?,
            name: value.name,
            resolved_at: UnixNs(value.resolved_unix_ns),
        })
    }
}

impl From<&Item> for v1::InventoryItem {
    fn from(value: &Item) -> Self {
        let Item {
            template,
            tenant,
            owner,
            tier,
            workload,
            admits,
        } = value;
        Self {
            template: template.text().to_owned(),
            tenant: text_opt(tenant.as_ref()),
            owner: text_opt(owner.as_ref()),
            tier: number_opt::<v1::Tier, Tier>(*tier),
            workload: text_opt(workload.as_ref()),
            admits: number_opt::<v1::Admission, Admission>(*admits),
        }
    }
}

impl TryFrom<v1::InventoryItem> for Item {
    type Error = InvalidMessage;
    fn try_from(value: v1::InventoryItem) -> Result<Self, InvalidMessage> {
        let template =
            Template::new(&value.template).map_err(|source| InvalidMessage::Inventory {
                field: "item.template",
                source,
            })?;
        Ok(Self {
            template,
            tenant: name_opt("item.tenant", &value.tenant)?,
            owner: name_opt("item.owner", &value.owner)?,
            tier: meaning_opt::<v1::Tier, _>("item.tier", value.tier)?,
            workload: name_opt("item.workload", &value.workload)?,
            admits: meaning_opt::<v1::Admission, _>("item.admits", value.admits)?,
        })
    }
}
