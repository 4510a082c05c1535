//! The folder of pins: what keeps probes running when the agent is gone.
//!
//! `<pin_dir>/v<ABI>-<8 hex of the object's SHA-256>/{maps,links}/NAME`, a folder
//! `refused/NAME` for each family that this kernel took no row of, and a folder
//! `complete` once everything is pinned. Programs need no pin of
//! their own: the links hold them. The folder is locked while an agent uses
//! it, because a ring has one reader.

use std::{
    fs,
    io::{self, ErrorKind},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::Arc,
};

use monitor_common::ABI_VERSION;
use rustix::{
    fs::{FlockOperation, Mode, OFlags},
    mount::{MountFlags, UnmountFlags},
};
use sha2::{Digest, Sha256};

use super::KernelError;
use crate::lossy;

/// `BPF_FS_MAGIC` of linux/magic.h.
const BPF_FS_MAGIC: i64 = 0xcafe_4a11;

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
        let version = version(object);
        for other in versions(root)? {
            if other != version {
                let path = root.to_path_buf();
                return Err(KernelError::OtherVersion {
                    path,
                    found: other,
                    wanted: version,
                });
            }
        }
        Ok(Self {
            root: root.to_path_buf(),
            folder: root.join(version),
            _lock: Arc::new(lock),
        })
    }

    pub(super) fn found(&self) -> Found {
        if self.folder.join("complete").is_dir() {
            Found::Everything
        } else {
            Found::Nothing
        }
    }

    /// Removes what an unfinished start left, and makes the folders anew.
    pub(super) fn prepare(&self) -> Result<(), KernelError> {
        remove_version(&self.folder)?;
        for name in ["", "maps", "links", "refused"] {
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

    pub(super) fn root(&self) -> &Path {
        &self.root
    }
}

/// The folder of the links of this version's probes, where they run.
pub(super) fn running(root: &Path, object: &[u8]) -> Option<PathBuf> {
    let folder = root.join(version(object));
    (is_bpffs(root) && folder.join("complete").is_dir()).then(|| folder.join("links"))
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
    for name in ["complete", "links", "maps"] {
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
    remove_dir(&refused)?;
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
