//! File systems that are mounted below watched directories.
//!
//! The kernel goes from a file up to the root of its file system and no further:
//! what is mounted below a watched directory does not lie below it in its eyes.
//! So the root of such a mount is watched by itself, with the same label. Mounts
//! are looked at when the kernel says that they have changed (proc(5)), in the
//! mount namespace of the agent; between a mount and the look lie milliseconds.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs::{self, File},
    io,
    os::unix::ffi::OsStringExt as _,
    path::PathBuf,
};

use tokio::io::{Interest, unix::AsyncFd};

use super::resolve::{Look, Resolved};
use crate::mountinfo;

/// Follows mounts.
#[derive(Debug)]
pub struct Mounted {
    table: AsyncFd<File>,
}

impl Mounted {
    /// Follows the mounts of the agent's namespace.
    ///
    /// # Errors
    /// What the system says.
    #[expect(
        deprecated,
        reason = "the successor is unsafe, and the file is owned by what it is given to"
    )]
    pub fn new() -> io::Result<Self> {
        let table = File::open(mountinfo::PATH)?;
        Ok(Self {
            table: AsyncFd::with_interest(table, Interest::PRIORITY)?,
        })
    }

    /// Waits until something is mounted, moved or unmounted.
    ///
    /// # Errors
    /// What the system says.
    pub async fn changed(&self) -> io::Result<()> {
        self.table.ready(Interest::PRIORITY).await?.clear_ready();
        Ok(())
    }
}

/// Where something is mounted now; nothing where that cannot be read.
#[must_use]
pub fn points() -> BTreeSet<PathBuf> {
    let text = fs::read(mountinfo::PATH).unwrap_or_default();
    let points = mountinfo::lines(&text).map(|line| PathBuf::from(OsString::from_vec(line.point)));
    points.collect()
}

/// Adds the roots of what is mounted below the watched directories; of two
/// directories above one the first counts.
pub fn add(points: &BTreeSet<PathBuf>, resolved: &mut Resolved, look: &dyn Look) {
    let mut found = Vec::new();
    for (tree, file) in &resolved.trees {
        let (Ok(tree), Some(label)) = (fs::canonicalize(tree), resolved.files.get(file)) else {
            continue;
        };
        // In the order of paths, what lies below a directory follows it.
        let below = points.range(tree.clone()..);
        let below = below.take_while(|point| point.starts_with(&tree));
        for point in below.filter(|point| **point != tree) {
            if let Ok(root) = look.identify(point) {
                found.push((point.clone(), root, label.clone()));
            }
        }
    }
    for (point, root, label) in found {
        if root.is_directory && !resolved.files.contains_key(&root) {
            resolved.trees.push((point, root));
        }
        resolved.files.entry(root).or_insert(label);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        kernel::FileIdentity,
        watch::{Homes, Label, Pattern, Rule, resolve, resolve::tests::Stat},
    };

    #[test]
    fn what_is_mounted_below_a_watched_directory_has_its_label() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["keys/deep/disk", "keys-of-others/disk"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        fs::write(at("keys/token"), "").unwrap();
        let rules = [Rule {
            pattern: Pattern::new(&format!("{}/keys/**", folder.path().display())).unwrap(),
            label: Label::of_class("key"),
        }];
        let mut resolved = resolve::resolve(&rules, &Homes::default(), &Stat);
        let names = ["", "keys", "keys/deep/disk", "keys/token", "keys/gone"];
        let points = names.into_iter().chain(["keys-of-others/disk"]).map(at);
        add(&points.collect(), &mut resolved, &Stat);
        let of = |name: &str| FileIdentity::of(&at(name)).unwrap();
        let watched: BTreeSet<_> = resolved.files.keys().copied().collect();
        let wanted = ["keys", "keys/deep/disk", "keys/token"].map(of);
        assert_eq!(watched, BTreeSet::from(wanted));
        let trees: Vec<_> = resolved.trees.iter().map(|(_, file)| *file).collect();
        assert_eq!(trees, ["keys", "keys/deep/disk"].map(of));
    }
}
