//! The folder of pins: what keeps probes running when the agent is gone.
//!
//! `<pin_dir>/v<ABI>-<8 hex of the object's SHA-256>/{maps,links}/NAME`, a folder
//! `refused/NAME` for each family that this kernel took no row of, and folders
//! that say more: `state-N` (the version of the tables in which programs remember
//! things), `side-N` (where its programs are at the switch), `complete` (everything
//! is pinned), `over` (others have followed it; records may still be unread).
//! Programs need no pin of their own: links and tables hold them. The folder above
//! is locked while an agent uses it, because a ring has one reader.

use std::{
    fs,
    io::{self, ErrorKind},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::fs::MetadataExt as _,
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use monitor_common::{ABI_VERSION, STATE_VERSION};
use rustix::{
    fs::{FlockOperation, Mode, OFlags},
    mount::{MountFlags, UnmountFlags},
};
use sha2::{Digest, Sha256};

use super::{KernelError, switch::Side, sys};
use crate::lossy;

/// `BPF_FS_MAGIC` of linux/magic.h.
const BPF_FS_MAGIC: i64 = 0xcafe_4a11;

/// Says which version the tables have.
const STATE: &str = "state-";
/// Says where the programs are at the switch.
const SIDE: &str = "side-";
/// Says that others have followed.
const OVER: &str = "over";
/// How the name of a table of the switch begins.
const SIDES: &str = "sides_";

/// Name of the table of a program at the switch.
pub(super) fn sides(program: &str) -> String {
    format!("{SIDES}{program}")
}

/// The folder of one version's pins, locked.
#[derive(Clone, Debug)]
pub(super) struct Pins {
    root: PathBuf,
    folder: PathBuf,
    /// Held as long as the pins are used.
    _lock: Arc<Lock>,
}

/// The lock of a folder. It is given back explicitly: a child process that is
/// just being started may hold a copy of the descriptor.
#[derive(Debug)]
struct Lock(OwnedFd);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing gives it back as well.
        let _ = rustix::fs::flock(&self.0, FlockOperation::Unlock);
    }
}

/// What a folder holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing, or what an unfinished start left.
    Nothing,
    /// Everything of this version.
    Everything,
}

impl Pins {
    /// Locks the folder.
    pub(super) fn open(root: &Path, object: &[u8]) -> Result<Self, KernelError> {
        if !is_bpffs(root) {
            return Err(KernelError::NotBpffs {
                path: root.to_path_buf(),
            });
        }
        let lock = lock(root)?;
        Ok(Self {
            root: root.to_path_buf(),
            folder: root.join(version(object)),
            _lock: Arc::new(lock),
        })
    }

    /// Locks the folder of a version that others have followed, to read what its
    /// programs told; whoever follows them has locked the one above.
    pub(super) fn of_before(root: &Path, version: &str) -> Result<Self, KernelError> {
        let folder = root.join(version);
        let pins = Self {
            root: root.to_path_buf(),
            _lock: Arc::new(lock(&folder)?),
            folder,
        };
        if is_version(version) && pins.is_over() {
            Ok(pins)
        } else {
            Err(KernelError::NotOver { path: pins.folder })
        }
    }

    /// Every other version whose probes run or whose records may be unread.
    /// Removes what is left of starts that did not come to their end.
    ///
    /// # Errors
    /// `OtherVersion`: one whose tables this agent's programs cannot go on with.
    pub(super) fn others(&self) -> Result<Vec<Self>, KernelError> {
        let mut others = Vec::new();
        for version in versions(&self.root)? {
            let other = Self {
                folder: self.root.join(&version),
                ..self.clone()
            };
            if other.folder == self.folder {
                continue;
            }
            if other.found() == Found::Nothing {
                other.abandon()?;
                continue;
            }
            let state = format!("{STATE}{STATE_VERSION}");
            if !other.folder.join(state).is_dir() || other.side().is_none() {
                return Err(KernelError::OtherVersion {
                    path: self.root.clone(),
                    found: version,
                    wanted: self.version(),
                });
            }
            others.push(other);
        }
        Ok(others)
    }

    /// Whether records are of the form that this agent reads.
    pub(super) fn is_of_this_abi(&self) -> bool {
        self.version().starts_with(&format!("v{ABI_VERSION}-"))
    }

    /// What tells one loading of the probes from the next, in which the kernel
    /// counts from 1 again: the folder that says that everything is pinned.
    pub(super) fn epoch(&self) -> Result<String, KernelError> {
        let path = self.folder.join("complete");
        let found = fs::metadata(&path).map_err(pin("look at", &path))?;
        Ok(format!(
            "{}-{}.{}",
            found.ino(),
            found.ctime(),
            found.ctime_nsec()
        ))
    }

    /// The name of the folder.
    pub(super) fn version(&self) -> String {
        let name = self.folder.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// Where the programs are at the switch.
    pub(super) fn side(&self) -> Option<Side> {
        let is_at = |side: &Side| self.folder.join(format!("{SIDE}{side}")).is_dir();
        Side::ALL.into_iter().find(is_at)
    }

    /// Says that others have followed.
    pub(super) fn end(&self) -> Result<(), KernelError> {
        let path = self.folder.join(OVER);
        match fs::create_dir(&path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                Err(pin("create", &path)(error))
            }
            _ => Ok(()),
        }
    }

    /// Whether others have followed.
    pub(super) fn is_over(&self) -> bool {
        self.folder.join(OVER).is_dir()
    }

    /// Pins here, too, what another version pinned at `path`.
    pub(super) fn share(path: &Path, here: &Path) -> Result<(), KernelError> {
        let object = sys::open_pin(path).map_err(pin("open", path))?;
        sys::pin(object.as_fd(), here).map_err(pin("pin again at", here))
    }

    pub(super) fn found(&self) -> Found {
        if self.folder.join("complete").is_dir() {
            Found::Everything
        } else {
            Found::Nothing
        }
    }

    /// Removes what an unfinished start left, and makes the folders anew.
    pub(super) fn prepare(&self, side: Side) -> Result<(), KernelError> {
        remove_version(&self.folder)?;
        let (side, state) = (format!("{SIDE}{side}"), format!("{STATE}{STATE_VERSION}"));
        for name in ["", "maps", "links", "refused", &side, &state] {
            let path = self.folder.join(name);
            fs::create_dir(&path).map_err(pin("create", &path))?;
        }
        Ok(())
    }

    /// Says that everything is pinned.
    pub(super) fn complete(&self) -> Result<(), KernelError> {
        let path = self.folder.join("complete");
        fs::create_dir(&path).map_err(pin("create", &path))
    }

    /// Notes that this kernel takes no row of a family: what has no pin later and
    /// is not noted was removed.
    pub(super) fn refuse(&self, family: &str) -> Result<(), KernelError> {
        let path = self.refused(family);
        fs::create_dir(&path).map_err(pin("create", &path))
    }

    /// Whether this kernel took no row of a family.
    pub(super) fn was_refused(&self, family: &str) -> bool {
        self.refused(family).is_dir()
    }

    fn refused(&self, family: &str) -> PathBuf {
        self.folder.join("refused").join(family)
    }

    /// Removes everything of an unfinished start.
    pub(super) fn abandon(&self) -> Result<(), KernelError> {
        remove_version(&self.folder)
    }

    pub(super) fn map(&self, name: &str) -> PathBuf {
        self.folder.join("maps").join(name)
    }

    pub(super) fn link(&self, name: &str) -> PathBuf {
        self.folder.join("links").join(name)
    }

    /// Tables of the switch.
    pub(super) fn tables_of_sides(&self) -> Result<Vec<PathBuf>, KernelError> {
        let maps = files(&self.folder.join("maps"))?;
        let is_table = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default();
            name.to_string_lossy().starts_with(SIDES)
        };
        Ok(maps.into_iter().filter(is_table).collect())
    }

    /// Table of a program at the switch.
    pub(super) fn sides(&self, program: &str) -> PathBuf {
        self.map(&sides(program))
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }
}

/// The folder of the links of this version's probes, where they run.
pub(super) fn running(root: &Path, object: &[u8]) -> Option<PathBuf> {
    let folder = root.join(version(object));
    let is_there = is_bpffs(root) && folder.join("complete").is_dir();
    (is_there && !folder.join(OVER).is_dir()).then(|| folder.join("links"))
}

/// Sees to it that `dir` exists and is on a BPF file system, mounting one
/// there where it is not. Needs root.
///
/// # Errors
/// [`KernelError::Pin`] with the step that failed.
pub fn ensure_bpffs(dir: &Path) -> Result<(), KernelError> {
    fs::create_dir_all(dir).map_err(pin("create", dir))?;
    if is_bpffs(dir) {
        return Ok(());
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount("monitor", dir, "bpf", flags, c"mode=0700")
        .map_err(|error| pin("mount a BPF file system on", dir)(error.into()))
}

/// Removes what is left of probes that others have followed.
///
/// # Errors
/// [`KernelError::NotOver`], `Locked`, `Pin`.
pub fn forget(pin_dir: &Path, version: &str) -> Result<(), KernelError> {
    Pins::of_before(pin_dir, version)?.abandon()
}

/// What [`detach`] removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Detached {
    /// Pinned links, and so programs.
    pub links: usize,
    /// Pinned maps, and so unread records.
    pub maps: usize,
}

/// Removes all pins of any version from `pin_dir`, and thereby the probes;
/// records that were not read are gone. Removes the folder too, and unmounts
/// the file system that [`ensure_bpffs`] mounted there. Nothing pinned is no
/// error.
///
/// # Errors
/// [`KernelError::Locked`] while an agent uses the probes, [`KernelError::Pin`].
pub fn detach(pin_dir: &Path) -> Result<Detached, KernelError> {
    if !pin_dir.exists() {
        return Ok(Detached::default());
    }
    if !is_bpffs(pin_dir) {
        return Ok(Detached::default());
    }
    let mut removed = Detached::default();
    {
        let _lock = lock(pin_dir)?;
        for version in versions(pin_dir)? {
            let folder = pin_dir.join(version);
            removed.links += files(&folder.join("links"))?.len();
            removed.maps += files(&folder.join("maps"))?.len();
            remove_version(&folder)?;
        }
    }
    leave(pin_dir)?;
    Ok(removed)
}

/// Removes the empty folder, or unmounts it where it is a mount of its own. A
/// folder with somebody else's pins in it stays.
pub(super) fn leave(pin_dir: &Path) -> Result<(), KernelError> {
    if is_own_mount(pin_dir) {
        // Some kernels put files of their own into every new file system.
        let entries = fs::read_dir(pin_dir).map_err(pin("list", pin_dir))?;
        if entries.flatten().any(|entry| entry.path().is_dir()) {
            return Ok(());
        }
        rustix::mount::unmount(pin_dir, UnmountFlags::empty())
            .map_err(|error| pin("unmount", pin_dir)(error.into()))?;
    }
    match fs::remove_dir(pin_dir) {
        // Not empty, or the root of a file system that others mounted.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::DirectoryNotEmpty | ErrorKind::ResourceBusy
            ) =>
        {
            Ok(())
        }
        removed => removed.map_err(pin("remove", pin_dir)),
    }
}

/// Whether a BPF file system that we mounted begins at this folder.
fn is_own_mount(dir: &Path) -> bool {
    let Ok(dir) = fs::canonicalize(dir) else {
        return false;
    };
    let mounts = lossy::text("/proc/self/mounts").unwrap_or_default();
    mounts.lines().any(|line| {
        let mut fields = line.split(' ');
        let source = fields.next();
        let target = fields.next();
        source == Some("monitor") && target == dir.to_str() && fields.next() == Some("bpf")
    })
}

/// Whether the folder is on a BPF file system.
pub(super) fn is_bpffs(dir: &Path) -> bool {
    rustix::fs::statfs(dir).is_ok_and(|found| found.f_type == BPF_FS_MAGIC)
}

fn lock(root: &Path) -> Result<Lock, KernelError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(root, flags, Mode::empty())
        .map_err(|error| pin("open", root)(error.into()))?;
    match rustix::fs::flock(&folder, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Lock(folder)),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(KernelError::Locked {
            path: root.to_path_buf(),
        }),
        Err(error) => Err(pin("lock", root)(error.into())),
    }
}

fn version(object: &[u8]) -> String {
    use std::fmt::Write;
    let digest = Sha256::digest(object);
    let mut version = format!("v{ABI_VERSION}-");
    for byte in digest.iter().take(4) {
        // Writing to a string cannot fail.
        let _ = write!(version, "{byte:02x}");
    }
    version
}

/// Names of the folders with pins.
fn versions(root: &Path) -> Result<Vec<String>, KernelError> {
    let mut versions = Vec::new();
    for entry in fs::read_dir(root).map_err(pin("list", root))? {
        let entry = entry.map_err(pin("list", root))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if is_version(&name) && entry.path().is_dir() {
            versions.push(name);
        }
    }
    Ok(versions)
}

/// `v1-0a1b2c3d`
fn is_version(name: &str) -> bool {
    name.strip_prefix('v')
        .and_then(|rest| rest.split_once('-'))
        .is_some_and(|(abi, digest)| {
            abi.parse::<u16>().is_ok()
                && digest.len() == 8
                && digest.chars().all(|digit| digit.is_ascii_hexdigit())
        })
}

/// Links go first: no program runs on when its maps begin to go.
fn remove_version(folder: &Path) -> Result<(), KernelError> {
    // Without it nobody takes the rest for something that runs.
    remove_dir(&folder.join("complete"))?;
    for name in ["links", "maps"] {
        let part = folder.join(name);
        for file in files(&part)? {
            fs::remove_file(&file).map_err(pin("remove", &file))?;
        }
        remove_dir(&part)?;
    }
    let refused = folder.join("refused");
    for family in files(&refused)? {
        remove_dir(&family)?;
    }
    for said in files(folder)? {
        remove_dir(&said)?;
    }
    remove_dir(folder)
}

fn remove_dir(path: &Path) -> Result<(), KernelError> {
    match fs::remove_dir(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(pin("remove", path)(error)),
        _ => Ok(()),
    }
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, KernelError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(pin("list", folder)(error)),
    };
    entries
        .map(|entry| entry.map(|entry| entry.path()).map_err(pin("list", folder)))
        .collect()
}

pub(super) fn pin<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl Fn(io::Error) -> KernelError + use<'a> {
    move |error| KernelError::Pin {
        action,
        path: path.to_path_buf(),
        error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lock_is_given_back_while_a_child_still_has_the_descriptor() {
        let folder = tempfile::tempdir().unwrap();
        let first = lock(folder.path()).unwrap();
        let of_the_child = first.0.try_clone().unwrap();
        assert!(matches!(
            lock(folder.path()),
            Err(KernelError::Locked { .. })
        ));
        drop(first);
        drop(lock(folder.path()).unwrap());
        drop(of_the_child);
    }

    #[test]
    fn only_folders_of_versions_are_taken_for_such() {
        assert!(is_version(&version(b"object")));
        assert!(is_version("v12-0a1b2c3d"));
        for name in [
            "v1-0a1b2c3",
            "v-0a1b2c3d",
            "x1-0a1b2c3d",
            "v1-0a1b2c3g",
            "maps",
        ] {
            assert!(!is_version(name), "{name}");
        }
    }
}
