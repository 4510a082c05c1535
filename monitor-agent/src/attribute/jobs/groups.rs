//! Control groups, and the units of a service manager that they stand for.
//!
//! The kernel tells a process's control group by number; its path names the
//! unit. Numbers are never given twice in a boot. Bound: [`GROUPS_MAX`]; all are
//! forgotten when there are more, and asked for again.

use std::{
    collections::HashMap,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::super::Host;
use super::written::FileKey;

/// Most control groups that are remembered.
pub const GROUPS_MAX: usize = 16_384;
/// Most drop-ins of one unit that are looked at.
const DROP_INS_MAX: usize = 64;

/// Where the system's manager finds units, the first that has one wins.
const SYSTEM: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/run/systemd/transient",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
];
/// Where units of a person's manager are, beside their own folders.
const USER: [&str; 3] = [
    "/etc/systemd/user",
    "/usr/local/lib/systemd/user",
    "/usr/lib/systemd/user",
];

/// A daemon that starts jobs of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheduler {
    /// cron.
    Cron,
    /// at.
    At,
}

/// A control group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Path below the root.
    path: Arc<[u8]>,
}

/// A unit of a service manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit<'a> {
    name: &'a [u8],
    /// The account of a person's manager.
    user: Option<u32>,
}

/// The table.
#[derive(Debug, Default)]
pub struct Groups(HashMap<u64, Option<Group>>);

impl Groups {
    /// A control group by its number; `pid` is a process that was in it.
    pub fn get(&mut self, id: u64, pid: u32, host: &mut dyn Host) -> Option<Group> {
        if let Some(known) = self.0.get(&id) {
            return known.clone();
        }
        if self.0.len() >= GROUPS_MAX {
            self.0.clear();
        }
        let found = host
            .control_group(id, pid)
            .map(|path| Group { path: path.into() });
        self.0.insert(id, found.clone());
        found
    }
}

impl Group {
    fn parts(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.path.split(|byte| *byte == b'/')
    }

    /// The innermost part that is a unit.
    fn innermost(&self) -> Option<&[u8]> {
        self.parts()
            .rev()
            .find(|part| part.ends_with(b".service") || part.ends_with(b".scope"))
    }

    /// Its path below the root.
    #[must_use]
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// The login that its processes are of, by the session of the audit system
    /// that systemd-logind names it after.
    #[must_use]
    pub fn login(&self) -> Option<u32> {
        let number = self
            .innermost()?
            .strip_prefix(b"session-")?
            .strip_suffix(b".scope")?;
        std::str::from_utf8(number).ok()?.parse().ok()
    }

    /// Whether it is a service's or nothing's: programs start scopes for
    /// themselves and what they run.
    #[must_use]
    pub fn is_of_no_scope(&self) -> bool {
        !self
            .innermost()
            .is_some_and(|name| name.ends_with(b".scope"))
    }

    /// The daemon whose children run in its own group.
    #[must_use]
    pub fn scheduler(&self) -> Option<Scheduler> {
        match self.innermost()? {
            b"cron.service" | b"crond.service" | b"cronie.service" => Some(Scheduler::Cron),
            b"atd.service" => Some(Scheduler::At),
            _ => None,
        }
    }

    /// The service that its processes are of.
    #[must_use]
    pub fn unit(&self) -> Option<Unit<'_>> {
        let name = self.innermost()?;
        let is_manager = |part: &[u8]| part.starts_with(b"user@") && part.ends_with(b".service");
        if !name.ends_with(b".service") || is_manager(name) {
            return None;
        }
        let user = self.parts().find_map(|part| {
            let account = part.strip_prefix(b"user@")?.strip_suffix(b".service")?;
            std::str::from_utf8(account).ok()?.parse().ok()
        });
        Some(Unit { name, user })
    }

    /// What stands for the workload: the unit, a container's scope. A login's
    /// scope is none.
    #[must_use]
    pub fn workload(&self) -> Option<&[u8]> {
        let name = self.innermost()?;
        let is_login = name.starts_with(b"session-") && name.ends_with(b".scope");
        (!is_login && name != b"init.scope").then_some(name)
    }
}

impl Unit<'_> {
    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &[u8] {
        self.name
    }

    /// Who starts it.
    #[must_use]
    pub const fn manager(&self) -> &'static str {
        match self.user {
            Some(_) => "systemd --user",
            None => "systemd",
        }
    }

    fn folders(&self, host: &mut dyn Host) -> Vec<PathBuf> {
        let Some(uid) = self.user else {
            return SYSTEM.iter().map(PathBuf::from).collect();
        };
        let own = host.home(uid).map(|home| home.join(".config/systemd/user"));
        let run = PathBuf::from(format!("/run/user/{uid}/systemd"));
        own.into_iter()
            .chain([run.join("user"), run.join("transient")])
            .chain(USER.iter().map(PathBuf::from))
            .collect()
    }

    /// Names that its files may have: its own, that of its template, and what
    /// triggers it.
    fn names(&self) -> Vec<PathBuf> {
        let name = Path::new(std::ffi::OsStr::from_bytes(self.name));
        let mut names = vec![name.to_path_buf()];
        let Some(stem) = name.file_stem() else {
            return names;
        };
        if let Some(at) = stem.as_bytes().iter().position(|byte| *byte == b'@') {
            let template = stem.as_bytes().get(..=at).unwrap_or_default();
            let template = Path::new(std::ffi::OsStr::from_bytes(template));
            names.push(PathBuf::from(format!("{}.service", template.display())));
        }
        for trigger in ["timer", "path", "socket"] {
            names.push(name.with_extension(trigger));
        }
        names
    }

    /// The files that say what it does and when: paths and files.
    pub fn files(&self, host: &mut dyn Host) -> Vec<(Vec<u8>, FileKey)> {
        let folders = self.folders(host);
        let mut found = Vec::new();
        for name in self.names() {
            let mut take = |path: PathBuf, host: &mut dyn Host| {
                let file = host.file(&path)?;
                found.push((path.into_os_string().into_encoded_bytes(), file));
                Some(())
            };
            // The first of them counts; drop-ins of all do.
            let _ = folders
                .iter()
                .find_map(|folder| take(folder.join(&name), host));
            for folder in &folders {
                let mut drop_ins = folder.join(&name).into_os_string();
                drop_ins.push(".d");
                for path in host.files_in(Path::new(&drop_ins), DROP_INS_MAX) {
                    take(path, host);
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(path: &str) -> Group {
        Group {
            path: path.as_bytes().into(),
        }
    }

    #[test]
    fn a_control_group_names_its_unit_and_its_manager() {
        let system = group("/system.slice/restic.service");
        let unit = system.unit().unwrap();
        assert_eq!(
            (unit.name(), unit.manager()),
            (&b"restic.service"[..], "systemd")
        );
        let person =
            group("/user.slice/user-1000.slice/user@1000.service/app.slice/run-r1.service");
        let unit = person.unit().unwrap();
        assert_eq!(
            (unit.name(), unit.user),
            (&b"run-r1.service"[..], Some(1000))
        );
        let login = group("/user.slice/user-1000.slice/session-3.scope");
        assert_eq!((login.unit(), login.workload()), (None, None));
        let manager = group("/user.slice/user-1000.slice/user@1000.service/init.scope");
        assert_eq!((manager.unit(), manager.workload()), (None, None));
        let cron = group("/system.slice/cron.service");
        assert_eq!(cron.scheduler(), Some(Scheduler::Cron));
        let container = group("/machine.slice/libpod-abc.scope");
        assert_eq!(container.workload(), Some(&b"libpod-abc.scope"[..]));
        assert_eq!(group("/").workload(), None);
    }

    #[test]
    fn an_instance_has_the_files_of_its_template() {
        let instance = group("/system.slice/backup@acme.service");
        let names = instance.unit().unwrap().names();
        assert!(
            names.contains(&PathBuf::from("backup@.service")),
            "{names:?}"
        );
        assert!(
            names.contains(&PathBuf::from("backup@acme.timer")),
            "{names:?}"
        );
    }
}
