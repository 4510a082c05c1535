//! Whose credential files are, by where they lie.
//!
//! Bound: [`ITEMS_MAX`] items. A path that was cut fits none of them.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};

use globset::{Glob, GlobSet, GlobSetBuilder};
use serde::{Serialize, Serializer};

use crate::{
    bytes::PathLabel,
    grant::{InvalidGrant, Tier, scope::glob},
    id::{PrincipalId, TenantId},
    policy::Admission,
};

/// Most items.
pub const ITEMS_MAX: usize = 10_000;
/// What stands for the tenant's name in a template.
const TENANT: &str = "{tenant}";

/// Where credentials of one kind lie: `/srv/{tenant}/kubeconfig`, `/etc/ssl/*.key`.
///
/// `*` stays within a directory, `**` does not, `{tenant}` is one whole
/// component that names the tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    text: String,
    glob: Glob,
    /// Which component names the tenant, counted from the root's 0.
    tenant_at: Option<usize>,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// [`InvalidInventory::Template`] says what is wrong with it.
    pub fn new(text: &str) -> Result<Self, InvalidInventory> {
        let wrong = |cause: &str| InvalidInventory::Template {
            text: text.to_owned(),
            cause: cause.to_owned(),
        };
        let mut tenant_at = None;
        for (at, component) in text.split('/').enumerate() {
            if !component.contains(TENANT) {
                continue;
            }
            if component != TENANT || tenant_at.is_some() {
                return Err(wrong(
                    "{tenant} must stand for one whole component, and only once",
                ));
            }
            let before = text.split('/').take(at);
            if before.into_iter().any(|component| component.contains("**")) {
                return Err(wrong("{tenant} must not stand after **"));
            }
            tenant_at = Some(at);
        }
        let glob = glob(&text.replace(TENANT, "*")).map_err(|error| {
            if let InvalidGrant::Pattern { cause, .. } = &error {
                wrong(cause)
            } else {
                wrong(&error.to_string())
            }
        })?;
        Ok(Self {
            text: text.to_owned(),
            glob,
            tenant_at,
        })
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the path names the tenant.
    #[must_use]
    pub const fn names_tenant(&self) -> bool {
        self.tenant_at.is_some()
    }

    /// The tenant that a path which fits names.
    fn tenant(&self, path: &[u8]) -> Option<TenantId> {
        let component = path.split(|byte| *byte == b'/').nth(self.tenant_at?)?;
        std::str::from_utf8(component).ok()?.parse().ok()
    }
}

impl Serialize for Template {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

/// Credentials of one kind, and whose they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Item {
    /// Where they lie.
    pub template: Template,
    /// Whose they are; none where the path names the tenant.
    pub tenant: Option<TenantId>,
    /// Who answers for them.
    pub owner: Option<PrincipalId>,
    /// The tier that using them needs; none means any.
    pub tier: Option<Tier>,
    /// The workload that alone uses them; none where people do.
    pub workload: Option<PrincipalId>,
    /// Who may use them, where they are the provider's; none means as the
    /// policy says of everything that is the provider's.
    pub admits: Option<Admission>,
}

/// The item that a path fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found<'a> {
    /// The item.
    pub item: &'a Item,
    /// Whose the file is.
    pub tenant: TenantId,
}

/// Items that can be found by path.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    items: Vec<Item>,
    set: GlobSet,
}

impl Inventory {
    /// Compiles the items.
    ///
    /// # Errors
    /// [`InvalidInventory::TooMany`] beyond [`ITEMS_MAX`];
    /// [`InvalidInventory::Set`] when they are too large together.
    pub fn new(items: Vec<Item>) -> Result<Self, InvalidInventory> {
        if items.len() > ITEMS_MAX {
            return Err(InvalidInventory::TooMany { items: items.len() });
        }
        let mut builder = GlobSetBuilder::new();
        for item in &items {
            builder.add(item.template.glob.clone());
        }
        let set = builder.build().map_err(|error| InvalidInventory::Set {
            cause: error.kind().to_string(),
        })?;
        Ok(Self { items, set })
    }

    /// The items, in the order given.
    #[must_use]
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// The first item that a whole path fits, of a tenant that exists.
    #[must_use]
    pub fn find(&self, path: &PathLabel, exists: impl Fn(&TenantId) -> bool) -> Option<Found<'_>> {
        if path.truncated || self.items.is_empty() {
            return None;
        }
        let bytes = path.text.0.as_slice();
        let fitting = self.set.matches(OsStr::from_bytes(bytes));
        fitting.into_iter().find_map(|at| {
            let item = self.items.get(at)?;
            let stated = item.tenant.clone();
            let tenant = stated.or_else(|| item.template.tenant(bytes))?;
            exists(&tenant).then_some(Found { item, tenant })
        })
    }
}

/// Why something is not an inventory.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidInventory {
    /// Not a template.
    #[error("template {text:?} is not one: {cause}")]
    Template {
        /// The text as given.
        text: String,
        /// What is wrong with it.
        cause: String,
    },
    /// More items than an inventory may have.
    #[error("the inventory has {items} items; at most {ITEMS_MAX} are allowed")]
    TooMany {
        /// How many there were.
        items: usize,
    },
    /// The templates cannot be compiled together.
    #[error("the templates cannot be compiled together: {cause}")]
    Set {
        /// What is wrong.
        cause: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(template: &str, tenant: Option<&str>) -> Item {
        Item {
            template: Template::new(template).unwrap(),
            tenant: tenant.map(|name| name.parse().unwrap()),
            owner: None,
            tier: None,
            workload: None,
            admits: None,
        }
    }

    fn whose(inventory: &Inventory, path: &str) -> Option<String> {
        let path = PathLabel {
            text: path.into(),
            truncated: false,
        };
        let found = inventory.find(&path, |tenant| tenant.as_str() != "nobody")?;
        Some(found.tenant.to_string())
    }

    #[test]
    fn a_template_names_the_tenant_and_the_first_item_that_fits_decides() {
        let inventory = Inventory::new(vec![
            item("/srv/acme/shared", Some("provider")),
            item("/srv/{tenant}/*", None),
            item("/srv/**", Some("provider")),
        ])
        .unwrap();
        let whose = |path| whose(&inventory, path);
        assert_eq!(whose("/srv/acme/shared").as_deref(), Some("provider"));
        assert_eq!(whose("/srv/acme/kubeconfig").as_deref(), Some("acme"));
        assert_eq!(whose("/srv/acme/a/b").as_deref(), Some("provider"));
        assert_eq!(
            whose("/srv/nobody/kubeconfig").as_deref(),
            Some("provider"),
            "a tenant that does not exist owns nothing"
        );
        assert_eq!(whose("/etc/key"), None);
    }

    #[test]
    fn a_path_that_was_cut_fits_nothing() {
        let inventory = Inventory::new(vec![item("/srv/**", Some("acme"))]).unwrap();
        let path = PathLabel {
            text: "/srv/a".into(),
            truncated: true,
        };
        assert_eq!(inventory.find(&path, |_| true), None);
    }

    #[test]
    fn what_is_no_template_is_told() {
        for (text, told) in [
            ("srv/x", "start with /"),
            ("/srv/[", "unclosed"),
            ("/srv/a-{tenant}/x", "whole component"),
            ("/{tenant}/{tenant}", "only once"),
            ("/**/{tenant}/x", "after **"),
        ] {
            let error = Template::new(text).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn a_full_inventory_takes_no_more() {
        let items = vec![item("/srv/a", Some("acme")); ITEMS_MAX];
        assert!(Inventory::new(items.clone()).is_ok());
        let more = [items, vec![item("/srv/b", None)]].concat();
        assert_eq!(
            Inventory::new(more).unwrap_err(),
            InvalidInventory::TooMany {
                items: ITEMS_MAX + 1
            }
        );
    }
}
