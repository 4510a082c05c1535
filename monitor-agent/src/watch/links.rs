//! Files below watched directories that have more than one name.
//!
//! The kernel finds a file below a watched directory by the directories above
//! the name that was opened; a hard link elsewhere has others above it. So a
//! file with several names is watched by itself. Links that are made while the
//! probes run are learned by the kernel where a hook sees them; those of before
//! are found here, at the start and every ten minutes. Directories on other file
//! systems below are not entered.
//! Bound: [`ENTRIES_MAX`] directory entries at a time; what is beyond is told.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::{Label, resolve::Look};
use crate::kernel::FileIdentity;

/// Most directory entries that are looked at.
pub const ENTRIES_MAX: usize = 200_000;

/// What was found.
#[derive(Debug, Default)]
pub struct Linked {
    /// The files with what they are.
    pub files: BTreeMap<FileIdentity, Label>,
    /// Whether not everything was looked at.
    pub cut: bool,
}

/// Looks below watched directories.
#[must_use]
pub fn linked(
    trees: &[(PathBuf, FileIdentity)],
    labels: &BTreeMap<FileIdentity, Label>,
    look: &dyn Look,
) -> Linked {
    let mut found = Linked::default();
    let mut left = ENTRIES_MAX;
    for (path, file) in trees {
        let (Some(label), Ok(root)) = (labels.get(file), fs::metadata(path)) else {
            continue;
        };
        walk(path, root.dev(), &mut left, &mut |linked| {
            if let Ok(file) = look.identify(linked) {
                found.files.entry(file).or_insert_with(|| label.clone());
            }
        });
    }
    found.cut = left == 0;
    found
}

/// Gives every file with several names; a list instead of recursion, because
/// the depth comes from outside.
fn walk(root: &Path, device: u64, left: &mut usize, take: &mut dyn FnMut(&Path)) {
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        let Ok(entries) = fs::read_dir(&directory) else {
            continue;
        };
        for entry in entries.flatten() {
            if *left == 0 {
                return;
            }
            *left -= 1;
            // Of the entry itself: symbolic links lead elsewhere.
            let Ok(found) = entry.metadata() else {
                continue;
            };
            if found.is_dir() && found.dev() == device {
                directories.push(entry.path());
            } else if found.is_file() && found.nlink() > 1 {
                take(&entry.path());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::resolve::tests::Stat;

    #[test]
    fn files_with_several_names_below_a_watched_directory_are_found_at_any_depth() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("watched/a/b")).unwrap();
        fs::create_dir(at("elsewhere")).unwrap();
        for name in ["watched/one", "watched/a/b/linked", "elsewhere/other"] {
            fs::write(at(name), "").unwrap();
        }
        fs::hard_link(at("watched/a/b/linked"), at("elsewhere/link")).unwrap();
        fs::hard_link(at("elsewhere/other"), at("elsewhere/again")).unwrap();
        std::os::unix::fs::symlink(at("elsewhere"), at("watched/symbolic")).unwrap();
        let tree = FileIdentity::of(&at("watched")).unwrap();
        let labels = BTreeMap::from([(tree, Label::of_class("key"))]);
        let found = linked(&[(at("watched"), tree)], &labels, &Stat);
        let wanted = FileIdentity::of(&at("elsewhere/link")).unwrap();
        assert_eq!(found.files.keys().copied().collect::<Vec<_>>(), [wanted]);
        assert!(!found.cut);
    }
}
