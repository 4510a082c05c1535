//! Programs whose business it is to use what is watched.
//!
//! In: paths from the catalogue and the configuration. Out: the files that
//! stand there, and whether a program is one of them. Decided on objects: the
//! path is looked up when files or directories change, never when something
//! happens. A program counts if it is a regular file of root that nobody else
//! can write. One that was replaced goes on counting, since it may still run.
//! Bound: [`FORMER_MAX`] replaced ones an item.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{catalogue::Owner, resolve::Look};
use crate::kernel::FileIdentity;

/// Most replaced programs of an item that go on counting.
pub const FORMER_MAX: usize = 64;

/// Whose use of an item is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// The item.
    pub item: String,
    /// Who may use it as their own.
    pub owner: Owner,
    /// Programs that read it.
    pub readers: Vec<PathBuf>,
    /// Programs that read and change it.
    pub writers: Vec<PathBuf>,
}

/// What is done to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// It is read, or reached.
    Read,
    /// It is changed.
    Change,
}

/// The programs, shared by the watcher and attribution.
#[derive(Clone, Debug, Default)]
pub struct SharedPrograms(Arc<Mutex<HashMap<String, Programs>>>);

#[derive(Debug)]
struct Programs {
    owner: Owner,
    readers: Known,
    writers: Known,
}

#[derive(Debug, Default)]
struct Known {
    now: BTreeSet<FileIdentity>,
    former: VecDeque<FileIdentity>,
}

impl Known {
    fn bring(&mut self, now: BTreeSet<FileIdentity>) {
        let gone = self.now.difference(&now);
        // A number without a generation may be anybody's soon.
        self.former
            .extend(gone.filter(|file| file.generation.is_some()));
        while self.former.len() > FORMER_MAX {
            self.former.pop_front();
        }
        self.now = now;
    }

    fn has(&self, program: &FileIdentity) -> bool {
        self.now
            .iter()
            .chain(&self.former)
            .any(|known| same(known, program))
    }
}

/// Whether two identities are of one file.
fn same(one: &FileIdentity, other: &FileIdentity) -> bool {
    let generations = match (one.generation, other.generation) {
        (Some(one), Some(other)) => one == other,
        (None, _) | (_, None) => true,
    };
    (one.device, one.inode) == (other.device, other.inode) && generations
}

impl SharedPrograms {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Programs>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks up what stands at the paths now.
    pub fn refresh(&self, expectations: &[Expectation], look: &dyn Look) {
        for expectation in expectations {
            let found = |paths: &[PathBuf]| -> BTreeSet<FileIdentity> {
                let trusted = paths.iter().filter(|path| is_roots(path));
                trusted
                    .filter_map(|path| look.identify(path).ok())
                    .collect()
            };
            let (readers, writers) = (found(&expectation.readers), found(&expectation.writers));
            let mut items = self.lock();
            let known = items
                .entry(expectation.item.clone())
                .or_insert_with(|| Programs {
                    owner: expectation.owner,
                    readers: Known::default(),
                    writers: Known::default(),
                });
            known.readers.bring(readers);
            known.writers.bring(writers);
        }
    }

    /// Whether this use of an item by a program is expected.
    #[must_use]
    pub fn expects(&self, item: &str, program: &FileIdentity, used: Use) -> bool {
        self.lock().get(item).is_some_and(|known| {
            known.writers.has(program) || used == Use::Read && known.readers.has(program)
        })
    }

    /// Whether any program is expected to use an item in this way.
    #[must_use]
    pub fn has_any(&self, item: &str, used: Use) -> bool {
        let any = |known: &Known| !known.now.is_empty() || !known.former.is_empty();
        self.lock()
            .get(item)
            .is_some_and(|known| any(&known.writers) || used == Use::Read && any(&known.readers))
    }

    /// Whether an item's files are their owners' own.
    #[must_use]
    pub fn is_persons(&self, item: &str) -> bool {
        self.lock()
            .get(item)
            .is_some_and(|known| known.owner == Owner::Person)
    }
}

/// A regular file of root that nobody else can write.
fn is_roots(path: &Path) -> bool {
    fs::metadata(path)
        .is_ok_and(|found| found.is_file() && found.uid() == 0 && found.mode() & 0o022 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::resolve::tests::Stat;

    fn program(path: &Path, mode: u32) -> FileIdentity {
        use std::os::unix::fs::PermissionsExt as _;
        fs::write(path, "").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        FileIdentity::of(path).unwrap()
    }

    #[test]
    fn a_program_is_expected_by_its_file_and_not_by_its_name() {
        let folder = tempfile::tempdir_in("/var/tmp").unwrap();
        let at = |name: &str| folder.path().join(name);
        let (reader, writer) = (program(&at("reader"), 0o755), program(&at("writer"), 0o755));
        let everybodys = program(&at("everybodys"), 0o777);
        let expectation = Expectation {
            item: "shadow".into(),
            owner: Owner::Host,
            readers: vec![at("reader"), at("everybodys"), at("absent")],
            writers: vec![at("writer")],
        };
        let programs = SharedPrograms::default();
        assert!(!programs.expects("shadow", &reader, Use::Read));
        programs.refresh(std::slice::from_ref(&expectation), &Stat);
        assert!(programs.expects("shadow", &reader, Use::Read));
        assert!(!programs.expects("shadow", &reader, Use::Change));
        assert!(programs.expects("shadow", &writer, Use::Read));
        assert!(programs.expects("shadow", &writer, Use::Change));
        assert!(!programs.expects("sudoers", &reader, Use::Read));
        assert!(
            !programs.expects("shadow", &everybodys, Use::Read),
            "others can write it"
        );
        fs::create_dir(at("elsewhere")).unwrap();
        let posing = program(&at("elsewhere/reader"), 0o755);
        assert!(
            !programs.expects("shadow", &posing, Use::Read),
            "only the name is the same"
        );
    }

    #[test]
    fn a_replaced_program_counts_while_it_may_still_run_and_the_new_one_too() {
        let folder = tempfile::tempdir_in("/var/tmp").unwrap();
        let path = folder.path().join("sshd");
        let old = program(&path, 0o755);
        let expectations = [Expectation {
            item: "ssh-host-key".into(),
            owner: Owner::Host,
            readers: vec![path.clone()],
            writers: vec![],
        }];
        let programs = SharedPrograms::default();
        programs.refresh(&expectations, &Stat);
        let other = folder.path().join("new");
        let new = program(&other, 0o755);
        fs::rename(&other, &path).unwrap();
        programs.refresh(&expectations, &Stat);
        assert!(programs.expects("ssh-host-key", &new, Use::Read));
        if old.generation.is_some() {
            assert!(programs.expects("ssh-host-key", &old, Use::Read));
        }
    }
}
