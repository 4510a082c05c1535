//! The home directories of a host: what `~` stands for in a pattern.
//!
//! They come from `/etc/passwd`, `/root` and `/home/*` (accounts of a directory
//! service stand in no file). An account counts that can have something of its
//! own: root, a person's (uid 1000 and up, as `UID_MIN` has it), and any other
//! whose home belongs to it, such as a database's. `/bin` is the home of `bin`
//! and belongs to root: it does not. Bound: [`HOMES_MAX`].

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// Most homes.
pub const HOMES_MAX: usize = 4_096;
/// Least uid of a person.
const PERSON_UID_MIN: u32 = 1_000;

/// Where homes are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Homes {
    /// The file of accounts.
    pub passwd: PathBuf,
    /// The folder whose folders are homes.
    pub folder: PathBuf,
    /// Root's.
    pub root: PathBuf,
}

impl Default for Homes {
    fn default() -> Self {
        Self {
            passwd: "/etc/passwd".into(),
            folder: "/home".into(),
            root: "/root".into(),
        }
    }
}

impl Homes {
    /// The homes that exist now, each once.
    #[must_use]
    pub fn list(&self) -> Vec<PathBuf> {
        let mut homes: BTreeSet<PathBuf> = BTreeSet::new();
        if self.root.is_dir() {
            homes.insert(self.root.clone());
        }
        let accounts = fs::read(&self.passwd).unwrap_or_default();
        let accounts = String::from_utf8_lossy(&accounts);
        homes.extend(accounts.lines().filter_map(home));
        let folders = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let folders = folders.take(HOMES_MAX).map(|entry| entry.path());
        homes.extend(folders.filter(|path| path.is_dir()));
        homes.into_iter().take(HOMES_MAX).collect()
    }
}

/// The home of one line of accounts, if it counts.
fn home(line: &str) -> Option<PathBuf> {
    let mut fields = line.split(':');
    let uid: u32 = fields.nth(2)?.parse().ok()?;
    let home = Path::new(fields.nth(2)?);
    if !home.is_absolute() || home == Path::new("/") {
        return None;
    }
    let found = fs::metadata(home).ok().filter(fs::Metadata::is_dir)?;
    (uid == 0 || uid >= PERSON_UID_MIN || found.uid() == uid).then(|| home.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn homes_are_those_of_root_of_persons_and_of_accounts_that_own_theirs() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in [
            "root",
            "home/alice",
            "home/of-a-directory-service",
            "data",
            "bin",
        ] {
            fs::create_dir_all(at(name)).unwrap();
        }
        fs::write(at("home/a-file"), "").unwrap();
        std::os::unix::fs::chown(at("data"), Some(105), None).unwrap();
        let lines = [
            format!("root:x:0:0:root:{}:/bin/bash", at("root").display()),
            format!(
                "alice:x:1000:1000::{}:/bin/bash",
                at("home/alice").display()
            ),
            format!("gone:x:1001:1001::{}:/bin/bash", at("home/gone").display()),
            format!("bin:x:2:2::{}:/usr/sbin/nologin", at("bin").display()),
            format!("database:x:105:105::{}:/bin/bash", at("data").display()),
            "network:x:998:998::/:/usr/sbin/nologin".to_owned(),
            "broken:x".to_owned(),
        ];
        fs::write(at("passwd"), lines.join("\n")).unwrap();
        let homes = Homes {
            passwd: at("passwd"),
            folder: at("home"),
            root: at("root"),
        };
        let wanted = ["data", "home/alice", "home/of-a-directory-service", "root"].map(at);
        assert_eq!(homes.list(), wanted);
        fs::remove_file(at("passwd")).unwrap();
        assert_eq!(homes.list(), wanted.get(1..).unwrap());
    }
}
