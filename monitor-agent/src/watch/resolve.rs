//! Which files fit the patterns now, and which directories to follow.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use monitor_common::watch::WATCHES_MAX;
use monitor_model::id::TenantId;

use super::{Identities, Label, Rule, pattern::Component};
use crate::kernel::FileIdentity;

/// What fits, and where changes matter.
#[derive(Debug, Default)]
pub struct Resolved {
    /// Files and directories with what they are; of two rules the first counts.
    pub files: BTreeMap<FileIdentity, Label>,
    /// Directories that patterns lead through, and what matters in each.
    pub directories: Directories,
}

/// What matters in directories.
pub type Directories = BTreeMap<PathBuf, Vec<Filter>>;

/// Which names in a directory matter.
#[derive(Clone, Debug)]
pub struct Filter(Component);

impl Filter {
    /// Whether a name does.
    #[must_use]
    pub fn matches(&self, name: &[u8]) -> bool {
        str::from_utf8(name).is_ok_and(|name| self.0.matches(name))
    }
}

/// Resolves all rules.
#[must_use]
pub fn resolve(rules: &[Rule], identities: &mut Identities) -> Resolved {
    let mut resolved = Resolved::default();
    for rule in rules {
        for (path, tenant) in reach(rule, &mut resolved.directories) {
            // Gone meanwhile: its directory tells.
            let Ok(file) = identities.of(&path) else {
                continue;
            };
            let mut label = rule.label.clone();
            if tenant.is_some() {
                label.tenant = tenant;
            }
            resolved.files.entry(file).or_insert(label);
        }
    }
    resolved
}

/// Whether anything fits a rule now.
#[must_use]
pub fn fits(rule: &Rule) -> bool {
    !reach(rule, &mut BTreeMap::new()).is_empty()
}

/// Goes down component by component; a list instead of recursion, because the
/// depth comes from outside.
fn reach(rule: &Rule, directories: &mut Directories) -> Vec<(PathBuf, Option<TenantId>)> {
    let mut reached = vec![(PathBuf::from("/"), None::<TenantId>)];
    for component in rule.pattern.components() {
        let mut next = Vec::new();
        for (directory, tenant) in reached {
            let filters = directories.entry(directory.clone()).or_default();
            filters.push(Filter(component.clone()));
            follow_link(&directory, component, directories);
            for (path, named) in fitting(&directory, component) {
                if next.len() > WATCHES_MAX {
                    break;
                }
                next.push((path, named.or_else(|| tenant.clone())));
            }
        }
        reached = next;
    }
    reached
}

/// Where a fixed name is a symbolic link, what it leads to may change too.
fn follow_link(directory: &Path, component: &Component, directories: &mut Directories) {
    let Component::Name(name) = component else {
        return;
    };
    let path = directory.join(name);
    if !fs::symlink_metadata(&path).is_ok_and(|found| found.is_symlink()) {
        return;
    }
    let Ok(target) = fs::canonicalize(&path) else {
        return;
    };
    if let (Some(parent), Some(name)) =
        (target.parent(), target.file_name().and_then(|n| n.to_str()))
    {
        let filter = Filter(Component::Name(name.to_owned()));
        directories
            .entry(parent.to_owned())
            .or_default()
            .push(filter);
    }
}

/// The paths in a directory that fit, with the tenant where the name is its.
fn fitting(directory: &Path, component: &Component) -> Vec<(PathBuf, Option<TenantId>)> {
    if let Component::Name(name) = component {
        let path = directory.join(name);
        return if path.exists() {
            vec![(path, None)]
        } else {
            Vec::new()
        };
    }
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for entry in entries.flatten().take(WATCHES_MAX) {
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| component.matches(name)) else {
            continue;
        };
        let tenant = match component {
            Component::Tenant => TenantId::new(name).ok(),
            Component::Name(_) | Component::Glob(_) => None,
        };
        found.push((entry.path(), tenant));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::Pattern;

    fn rule(folder: &Path, pattern: &str) -> Rule {
        let text = format!("{}/{pattern}", folder.display());
        let label = Label {
            class: "key".into(),
            tenant: None,
            tier: None,
        };
        Rule {
            pattern: Pattern::new(&text).unwrap(),
            label,
        }
    }

    fn found(rules: &[Rule]) -> Vec<(bool, Option<String>)> {
        let resolved = resolve(rules, &mut Identities::default());
        let mut found: Vec<_> = resolved
            .files
            .iter()
            .map(|(file, label)| {
                (
                    file.is_directory,
                    label.tenant.as_ref().map(ToString::to_string),
                )
            })
            .collect();
        found.sort();
        found
    }

    #[test]
    fn files_directories_globs_and_tenants_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for tenant in ["acme", "globex"] {
            fs::create_dir_all(root.join(tenant).join("credentials")).unwrap();
            fs::write(root.join(tenant).join("a.pem"), "").unwrap();
            fs::write(root.join(tenant).join("a.txt"), "").unwrap();
        }
        assert_eq!(found(&[rule(root, "acme/a.pem")]), [(false, None)]);
        assert_eq!(found(&[rule(root, "acme/*.pem")]), [(false, None)]);
        assert_eq!(found(&[rule(root, "acme/nothing")]), []);
        assert!(fits(&rule(root, "acme/*.pem")) && !fits(&rule(root, "acme/*.key")));
        let tenants = [Some("acme".to_owned()), Some("globex".to_owned())];
        let wanted = |is_directory| tenants.clone().map(|tenant| (is_directory, tenant));
        assert_eq!(
            found(&[rule(root, "{tenant}/credentials/**")]),
            wanted(true)
        );
        assert_eq!(found(&[rule(root, "{tenant}/*.pem")]), wanted(false));
    }

    #[test]
    fn a_new_file_is_found_where_its_directory_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let rules = [rule(folder.path(), "acme/*.pem")];
        let before = resolve(&rules, &mut Identities::default());
        assert!(before.files.is_empty());
        let filters = &before.directories[folder.path()];
        assert!(filters.iter().any(|filter| filter.matches(b"acme")));
        assert!(!filters.iter().any(|filter| filter.matches(b"other")));
        fs::create_dir(folder.path().join("acme")).unwrap();
        let between = resolve(&rules, &mut Identities::default());
        let filters = &between.directories[&folder.path().join("acme")];
        assert!(filters.iter().any(|filter| filter.matches(b"x.pem")));
        assert!(!filters.iter().any(|filter| filter.matches(b"x.txt")));
    }

    #[test]
    fn of_two_rules_for_a_file_the_first_counts() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), "").unwrap();
        let mut rules = [rule(folder.path(), "a"), rule(folder.path(), "*")];
        rules[0].label.class = "first".into();
        let resolved = resolve(&rules, &mut Identities::default());
        let classes: Vec<_> = resolved
            .files
            .values()
            .map(|label| label.class.as_str())
            .collect();
        assert_eq!(classes, ["first"]);
    }

    #[test]
    fn a_target_of_a_symbolic_link_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        fs::create_dir(root.join("real")).unwrap();
        fs::write(root.join("real/key"), "").unwrap();
        std::os::unix::fs::symlink("real/key", root.join("key")).unwrap();
        let resolved = resolve(&[rule(&root, "key")], &mut Identities::default());
        assert_eq!(resolved.files.len(), 1);
        assert!(
            resolved.directories[&root.join("real")]
                .iter()
                .any(|filter| filter.matches(b"key"))
        );
    }
}
