//! What verdicts are made under besides grants: tenants with their zones, the
//! inventory of credentials, and who may use what belongs to no tenant.

use std::{fmt, str::FromStr};

use serde::Serialize;

use crate::{
    clock::UnixNs,
    id::TenantId,
    inventory::{InvalidInventory, Inventory, Item},
    tenant::{Tenant, Zones},
};

/// Who may use a thing that is the provider's own, or nobody's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Admission {
    /// Who has a live grant of its owner that covers it. What nobody owns is
    /// then out of scope for everybody.
    #[default]
    OwnerGrant,
    /// Who has any live grant, whatever that lists: resolvers, proxies, mirrors.
    AnyGrant,
    /// Everybody, in a session or outside of one: not judged.
    Everybody,
}

impl Admission {
    /// Every admission, strictest first.
    pub const ALL: [Self; 3] = [Self::OwnerGrant, Self::AnyGrant, Self::Everybody];

    /// The name in files and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OwnerGrant => "owner_grant",
            Self::AnyGrant => "any_grant",
            Self::Everybody => "everybody",
        }
    }
}

impl fmt::Display for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Admission {
    type Err = InvalidPolicy;
    fn from_str(text: &str) -> Result<Self, InvalidPolicy> {
        let named = Self::ALL.into_iter().find(|one| one.as_str() == text);
        named.ok_or_else(|| InvalidPolicy::Admission {
            text: text.to_owned(),
        })
    }
}

/// A policy as people write it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Terms {
    /// Tenants with their zones; `provider` among them.
    pub tenants: Vec<Tenant>,
    /// Whose credentials are; of items that fit one path the first decides.
    pub inventory: Vec<Item>,
    /// Who may use what is the provider's, where nothing nearer says.
    pub provider: Admission,
    /// Who may connect to what is in nobody's zone.
    pub unknown: Admission,
}

impl Terms {
    /// The same but for when host names were resolved: what verdicts come from.
    #[must_use]
    pub fn timeless(&self) -> Self {
        let mut terms = self.clone();
        let zones = terms
            .tenants
            .iter_mut()
            .flat_map(|tenant| &mut tenant.zones);
        for host in zones.flat_map(|zone| &mut zone.hosts) {
            host.resolved_at = UnixNs(0);
        }
        terms
    }
}

/// A policy that can be asked.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    zones: Zones,
    inventory: Inventory,
    provider: Admission,
    unknown: Admission,
    version: String,
}

impl Policy {
    /// Makes terms ready to be asked. The version names them in every judgement.
    ///
    /// # Errors
    /// [`InvalidPolicy`] when the inventory cannot be compiled.
    pub fn new(terms: Terms, version: String) -> Result<Self, InvalidPolicy> {
        let Terms {
            tenants,
            inventory,
            provider,
            unknown,
        } = terms;
        Ok(Self {
            zones: Zones::new(tenants),
            inventory: Inventory::new(inventory)?,
            provider,
            unknown,
            version,
        })
    }

    /// What it was made of.
    #[must_use]
    pub fn terms(&self) -> Terms {
        Terms {
            tenants: self.tenants().to_vec(),
            inventory: self.inventory.items().to_vec(),
            provider: self.provider,
            unknown: self.unknown,
        }
    }

    /// Every tenant.
    #[must_use]
    pub fn tenants(&self) -> &[Tenant] {
        self.zones.tenants()
    }

    /// Whether there is a tenant of that name.
    #[must_use]
    pub fn has_tenant(&self, id: &TenantId) -> bool {
        self.zones.has_tenant(id)
    }

    /// The zones of all tenants.
    #[must_use]
    pub const fn zones(&self) -> &Zones {
        &self.zones
    }

    /// Whose credentials are.
    #[must_use]
    pub const fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    /// Who may use what is the provider's, where nothing nearer says.
    #[must_use]
    pub const fn provider(&self) -> Admission {
        self.provider
    }

    /// Who may connect to what is in nobody's zone.
    #[must_use]
    pub const fn unknown(&self) -> Admission {
        self.unknown
    }

    /// Its name in judgements.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }
}

/// Why something is not a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPolicy {
    /// Unknown admission.
    #[error("admission {text:?} is not one of owner_grant, any_grant, everybody")]
    Admission {
        /// The text as given.
        text: String,
    },
    /// The inventory is none.
    #[error(transparent)]
    Inventory(#[from] InvalidInventory),
}
