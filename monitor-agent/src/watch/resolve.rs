//! Which files fit the patterns now, and which directories to follow.
//!
//! For each rule: the files and directories that fit, and the names at which
//! such a one may come into being or be replaced; the kernel watches both. A
//! name that varies (a glob) is only known once something has it.

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use monitor_common::watch::{WATCH_NAME_BYTES_MAX, WATCHES_MAX};
use monitor_model::id::TenantId;

use super::{
    Homes, Label, Rule,
    pattern::{Component, Start},
};
use crate::kernel::FileIdentity;

/// Who files are, as the kernel tells it.
pub trait Look: std::fmt::Debug + Send + Sync {
    /// Who the file at a path is now, symbolic links followed.
    ///
    /// # Errors
    /// What the system says, among it `NotFound`.
    fn identify(&self, path: &Path) -> io::Result<FileIdentity>;
}

impl Look for crate::kernel::Probes {
    fn identify(&self, path: &Path) -> io::Result<FileIdentity> {
        Self::identify(self, path)
    }
}

/// What fits, and where changes matter.
#[derive(Debug, Default)]
pub struct Resolved {
    /// Files and directories with what they are; of two rules the first counts.
    pub files: BTreeMap<FileIdentity, Label>,
    /// Where the directories among them were found.
    pub trees: Vec<(PathBuf, FileIdentity)>,
    /// Names in directories, whatever has them; of two rules the first counts.
    pub names: BTreeMap<(FileIdentity, Vec<u8>), Label>,
    /// Directories that patterns lead through, and what matters in each.
    pub directories: Directories,
}

/// What matters in directories.
pub type Directories = BTreeMap<PathBuf, Vec<Filter>>;

/// Which names in a directory matter.
#[derive(Clone, Debug)]
pub struct Filter(Component);

impl Filter {
    /// One name.
    #[must_use]
    pub fn name(name: &str) -> Self {
        Self(Component::Name(name.to_owned()))
    }

    /// Whether a name does.
    #[must_use]
    pub fn matches(&self, name: &[u8]) -> bool {
        str::from_utf8(name).is_ok_and(|name| self.0.matches(name))
    }
}

/// Adds a name that matters in the directory of a path.
pub fn follow_path(path: &Path, directories: &mut Directories) {
    if let (Some(parent), Some(name)) = (path.parent(), path.file_name().and_then(|n| n.to_str())) {
        let filters = directories.entry(parent.to_owned()).or_default();
        filters.push(Filter::name(name));
    }
}

/// One place that a rule leads to.
#[derive(Debug)]
struct Place {
    directory: PathBuf,
    name: String,
    tenant: Option<TenantId>,
}

impl Place {
    fn path(&self) -> PathBuf {
        self.directory.join(&self.name)
    }
}

/// Resolves all rules.
#[must_use]
pub fn resolve(rules: &[Rule], homes: &Homes, look: &dyn Look) -> Resolved {
    let mut resolved = Resolved::default();
    let mut seen = Seen {
        look,
        directories: HashMap::new(),
    };
    let homes = Roots::of(rules, homes, &mut resolved.directories);
    for rule in rules {
        for place in reach(rule, &homes, &mut resolved.directories) {
            let mut label = rule.label.clone();
            if place.tenant.is_some() {
                label.tenant.clone_from(&place.tenant);
            }
            seen.take(&place.path(), label, &mut resolved);
        }
    }
    resolved
}

/// Whether anything fits a rule now.
#[must_use]
pub fn fits(rule: &Rule, homes: &Homes) -> bool {
    let roots = Roots::of(std::slice::from_ref(rule), homes, &mut BTreeMap::new());
    reach(rule, &roots, &mut BTreeMap::new())
        .iter()
        .any(|place| place.path().exists())
}

/// Asks once for each directory.
struct Seen<'a> {
    look: &'a dyn Look,
    directories: HashMap<PathBuf, Option<FileIdentity>>,
}

impl Seen<'_> {
    fn directory(&mut self, path: &Path) -> Option<FileIdentity> {
        if let Some(known) = self.directories.get(path) {
            return *known;
        }
        let found = self.look.identify(path).ok();
        let found = found.filter(|found| found.is_directory);
        self.directories.insert(path.to_owned(), found);
        found
    }

    /// The file at a path, its name, and where it is a symbolic link the name
    /// of what it leads to.
    fn take(&mut self, path: &Path, label: Label, resolved: &mut Resolved) {
        self.name(path, &label, resolved);
        if fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink())
            && let Ok(target) = fs::canonicalize(path)
        {
            self.name(&target, &label, resolved);
        }
        // Gone meanwhile, or not there yet: its directory tells.
        if let Ok(file) = self.look.identify(path) {
            if file.is_directory && !resolved.files.contains_key(&file) {
                resolved.trees.push((path.to_owned(), file));
            }
            resolved.files.entry(file).or_insert(label);
        }
    }

    fn name(&mut self, path: &Path, label: &Label, resolved: &mut Resolved) {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return;
        };
        let name = name.as_bytes();
        if name.len() <= WATCH_NAME_BYTES_MAX
            && let Some(directory) = self.directory(parent)
        {
            let key = (directory, name.to_vec());
            resolved.names.entry(key).or_insert_with(|| label.clone());
        }
    }
}

/// Where rules begin.
struct Roots(Vec<PathBuf>);

impl Roots {
    fn of(rules: &[Rule], homes: &Homes, directories: &mut Directories) -> Self {
        if rules.iter().all(|rule| rule.pattern.start() == Start::Root) {
            return Self(Vec::new());
        }
        follow_path(&homes.passwd, directories);
        follow_path(&homes.root, directories);
        let any = directories.entry(homes.folder.clone()).or_default();
        any.push(Filter(Component::Any));
        let found = homes.list();
        for home in &found {
            follow_path(home, directories);
        }
        Self(found)
    }

    fn paths(&self, start: Start) -> Vec<PathBuf> {
        match start {
            Start::Root => vec![PathBuf::from("/")],
            Start::Home => self.0.clone(),
        }
    }
}

/// Goes down component by component; a list instead of recursion, because the
/// depth comes from outside.
fn reach(rule: &Rule, roots: &Roots, directories: &mut Directories) -> Vec<Place> {
    let Some((last, through)) = rule.pattern.components().split_last() else {
        return Vec::new();
    };
    let mut reached: Vec<(PathBuf, Option<TenantId>)> = roots
        .paths(rule.pattern.start())
        .into_iter()
        .map(|root| (root, None))
        .collect();
    for component in through {
        let mut next = Vec::new();
        for (directory, tenant) in reached {
            follow(&directory, component, directories);
            for (name, named) in fitting(&directory, component) {
                let path = directory.join(name);
                if next.len() <= WATCHES_MAX && path.is_dir() {
                    next.push((path, named.or_else(|| tenant.clone())));
                }
            }
        }
        reached = next;
    }
    let mut places = Vec::new();
    for (directory, tenant) in reached {
        follow(&directory, last, directories);
        for (name, named) in fitting(&directory, last) {
            if places.len() <= WATCHES_MAX && !rule.pattern.excepts(&name) {
                places.push(Place {
                    directory: directory.clone(),
                    name,
                    tenant: named.or_else(|| tenant.clone()),
                });
            }
        }
    }
    places
}

/// What matters in a directory; where a fixed name is a symbolic link, what it
/// leads to may change too.
fn follow(directory: &Path, component: &Component, directories: &mut Directories) {
    let filters = directories.entry(directory.to_owned()).or_default();
    filters.push(Filter(component.clone()));
    let Component::Name(name) = component else {
        return;
    };
    let path = directory.join(name);
    if fs::symlink_metadata(&path).is_ok_and(|found| found.is_symlink())
        && let Ok(target) = fs::canonicalize(&path)
    {
        follow_path(&target, directories);
    }
}

/// The names in a directory that fit, with the tenant where the name is its. A
/// fixed name fits whether or not anything has it.
fn fitting(directory: &Path, component: &Component) -> Vec<(String, Option<TenantId>)> {
    if let Component::Name(name) = component {
        return vec![(name.clone(), None)];
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
            Component::Name(_) | Component::Glob(_) | Component::Any => None,
        };
        found.push((name.to_owned(), tenant));
    }
    found
}

#[cfg(test)]
pub(crate) mod tests;
