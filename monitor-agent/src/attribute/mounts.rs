//! Where file systems are mounted, by device: for labels that begin at the root
//! of a file system.
//!
//! Read from `/proc/self/mountinfo`, once, and again when the kernel says that
//! mounts have changed (proc(5): the file becomes readable with an error).
//! Bound: that of [`mountinfo`]; what is beyond has no mount point.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    io::{Read as _, Seek as _},
    os::fd::AsFd as _,
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::mountinfo;

/// One mount of a file system, or of a part of it.
#[derive(Debug)]
struct Mount {
    /// What of it: a directory from its root; empty for all of it.
    root: Vec<u8>,
    /// Where, without a slash at the end.
    point: Vec<u8>,
}

/// Mounts by device, as the kernel counts devices.
#[derive(Debug, Default)]
pub(super) struct Mounts {
    file: Option<File>,
    by_device: HashMap<u64, Vec<Mount>>,
    /// Devices whose file systems are this kernel's own business.
    own: HashSet<u64>,
}

/// Types of file systems that answer without a daemon or another host: whoever
/// looks at a file of another can be held up for ever.
const OWN_KINDS: [&[u8]; 8] = [
    b"ext2", b"ext3", b"ext4", b"xfs", b"btrfs", b"f2fs", b"tmpfs", b"ramfs",
];

impl Mounts {
    /// The path of what lies at a path from the root of a file system. Of
    /// several mounts the one that shows most of the file system counts, and of
    /// those the one with the shortest name. None: nowhere in this mount
    /// namespace.
    pub(super) fn locate(&mut self, device: u64, below: &[u8]) -> Option<Vec<u8>> {
        if self.is_stale() {
            self.read();
        }
        let mounts = self.by_device.get(&device)?.iter();
        mounts
            .filter_map(|mount| Some((mount, rest(below, &mount.root)?)))
            .min_by_key(|(mount, _)| (mount.root.len(), mount.point.len()))
            .map(
                |(mount, rest)| match [mount.point.as_slice(), rest].concat() {
                    whole if whole.is_empty() => b"/".to_vec(),
                    whole => whole,
                },
            )
    }

    /// Whether the file system of a device answers by itself.
    pub(super) fn is_own(&mut self, device: u64) -> bool {
        if self.is_stale() {
            self.read();
        }
        self.own.contains(&device)
    }

    fn is_stale(&self) -> bool {
        let Some(file) = &self.file else { return true };
        let mut files = [PollFd::from_borrowed_fd(file.as_fd(), PollFlags::PRI)];
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        poll(&mut files, Some(&now)).is_ok_and(|ready| ready > 0)
    }

    fn read(&mut self) {
        let file = match self.file.take() {
            Some(file) => Ok(file),
            None => File::open(mountinfo::PATH),
        };
        let Ok(mut file) = file else { return };
        let mut text = Vec::new();
        if file.rewind().is_ok() && file.read_to_end(&mut text).is_ok() {
            self.by_device = by_device(&text);
            self.own = own(&text);
            self.file = Some(file);
        }
    }
}

/// What of a path is left below a directory; the root itself leaves nothing.
fn rest<'a>(path: &'a [u8], directory: &[u8]) -> Option<&'a [u8]> {
    let path = path.strip_suffix(b"/").unwrap_or(path);
    path.strip_prefix(directory)
        .filter(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

fn by_device(text: &[u8]) -> HashMap<u64, Vec<Mount>> {
    let mut by_device: HashMap<u64, Vec<Mount>> = HashMap::new();
    for line in mountinfo::lines(text) {
        let (root, point) = (line.root, line.point);
        let mounts = by_device.entry(line.device).or_default();
        mounts.push(Mount { root, point });
    }
    by_device
}

fn own(text: &[u8]) -> HashSet<u64> {
    let lines = mountinfo::lines(text);
    let own = lines.filter(|line| OWN_KINDS.contains(&line.kind.as_slice()));
    own.map(|line| line.device).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use monitor_common::file::device_from_stat;

    use super::*;

    const LISTED: &[u8] = b"\
22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
23 22 254:1 /srv/data /d rw - ext4 /dev/vda1 rw
30 22 0:25 / /mnt/a\\040b\\134c rw - tmpfs tmpfs rw
31 22 0:25 / /mnt/longer/than/that rw - tmpfs tmpfs rw
32 22 0:40 /@home /home rw shared:9 master:1 - btrfs /dev/sdb rw
33 22 0:41 /gone//deleted /mnt/gone rw - tmpfs tmpfs rw
34 22 0:4 net:[4026532281] /run/netns/acme rw - nsfs nsfs rw
nonsense
";

    fn located(device: u64, below: &str) -> Option<String> {
        let mut mounts = Mounts {
            // Tells of no change.
            file: Some(File::open("/dev/null").unwrap()),
            by_device: by_device(LISTED),
            own: own(LISTED),
        };
        let found = mounts.locate(device, below.as_bytes())?;
        Some(String::from_utf8(found).unwrap())
    }

    #[test]
    fn file_systems_of_daemons_and_other_hosts_are_not_this_kernels_own() {
        let text = [LISTED, b"40 22 0:50 / /home/x rw shared:3 - fuse.sshfs h: rw\n41 22 0:51 / /nfs rw - nfs4 h:/ rw\n"].concat();
        let own = own(&text);
        assert!(own.contains(&(254 << 20 | 1)) && own.contains(&25) && own.contains(&40));
        assert!(!own.contains(&50) && !own.contains(&51) && !own.contains(&4));
    }

    #[test]
    fn the_widest_mount_of_a_device_gives_the_path() {
        let disk = 254 << 20 | 1;
        assert_eq!(located(disk, "/srv/data/k").as_deref(), Some("/srv/data/k"));
        assert_eq!(located(disk, "/").as_deref(), Some("/"));
        assert_eq!(located(25, "/k").as_deref(), Some("/mnt/a b\\c/k"));
        assert_eq!(located(25, "/").as_deref(), Some("/mnt/a b\\c"));
    }

    #[test]
    fn only_what_is_mounted_has_a_path() {
        assert_eq!(located(40, "/@home/al/k").as_deref(), Some("/home/al/k"));
        assert_eq!(located(40, "/@home").as_deref(), Some("/home"));
        assert_eq!(located(40, "/@homes/al"), None);
        assert_eq!(located(41, "/gone/k"), None);
        assert_eq!(located(4, "/x"), None);
        assert_eq!(located(99, "/x"), None);
    }

    #[test]
    fn mounts_of_this_machine_are_read_once() {
        let mut mounts = Mounts::default();
        assert!(mounts.is_stale());
        let device = device_from_stat(std::fs::metadata("/proc").unwrap().dev());
        let found = mounts.locate(device, b"/cmdline");
        assert_eq!(found.as_deref(), Some(&b"/proc/cmdline"[..]));
        assert!(!mounts.is_stale());
    }

    /// Makes and unmakes a mount in a namespace of the test's own thread.
    #[test]
    #[expect(
        deprecated,
        reason = "the successor is unsafe for file tables, which stay shared"
    )]
    fn mounts_that_come_later_are_noticed() {
        let tested = std::thread::spawn(|| {
            use rustix::{
                mount::{
                    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount,
                },
                thread::{UnshareFlags, unshare},
            };
            if unshare(UnshareFlags::NEWNS).is_err() {
                return false;
            }
            let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
            mount_change("/", private).unwrap();
            let folder = tempfile::tempdir().unwrap();
            let own = File::open("/proc/thread-self/mountinfo").unwrap();
            let mut mounts = Mounts {
                file: Some(own),
                ..Mounts::default()
            };
            mounts.read();
            mount("none", folder.path(), "tmpfs", MountFlags::empty(), None).unwrap();
            let device = device_from_stat(std::fs::metadata(folder.path()).unwrap().dev());
            let expected = folder
                .path()
                .join("k")
                .into_os_string()
                .into_encoded_bytes();
            assert_eq!(mounts.locate(device, b"/k"), Some(expected));
            unmount(folder.path(), UnmountFlags::empty()).unwrap();
            assert_eq!(mounts.locate(device, b"/k"), None);
            true
        });
        if !tested.join().unwrap() {
            eprintln!("SKIPPED: mount namespaces need root");
        }
    }
}
