//! The table of watched files.
//!
//! Bound: `WATCHES_MAX` files and directories on `WATCH_DEVICES_MAX` file
//! systems; more is an error, and the table stays as it was.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use monitor_common::watch::{WATCH_DEVICES_MAX, WATCHES_MAX, WatchKey, WatchValue};
use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags};

use super::{
    KernelError,
    pins::Pins,
    table::{Put, Table},
};

/// One watched file or directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchEntry {
    /// What is watched.
    pub file: FileIdentity,
    /// Number given back in records.
    pub watch_id: u32,
}

/// A file as the kernel programs see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileIdentity {
    /// Device, in the kernel's encoding.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
    /// Generation, where the file system tells it.
    pub generation: Option<u32>,
    /// A directory: everything below it on the same file system counts.
    pub is_directory: bool,
}

impl FileIdentity {
    /// The file that a path leads to now, symbolic links followed. It is not
    /// opened for reading. On overlayfs the inode number may differ from what
    /// the kernel programs see; watch the directory's lower file system there.
    ///
    /// # Errors
    /// What the system says, among it `NotFound`.
    pub fn of(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let file = rustix::fs::open(path, flags, Mode::empty())?;
        let mask = StatxFlags::BASIC_STATS | StatxFlags::MNT_ID;
        let found = rustix::fs::statx(&file, c"", AtFlags::EMPTY_PATH, mask)?;
        let is_directory = u32::from(found.stx_mode) & libc::S_IFMT == libc::S_IFDIR;
        let stated = device(found.stx_dev_major, found.stx_dev_minor);
        Ok(Self {
            device: device_of_mount(found.stx_mnt_id).unwrap_or(stated),
            inode: found.stx_ino,
            generation: generation(&file, is_directory, u32::from(found.stx_mode)),
            is_directory,
        })
    }

    const fn key(&self) -> WatchKey {
        WatchKey {
            device: self.device,
            inode: self.inode,
        }
    }
}

fn device(major: u32, minor: u32) -> u64 {
    u64::from(major) << 20 | u64::from(minor)
}

/// The device of a mount's file system: some (btrfs) give each subvolume
/// another one in `stat`.
fn device_of_mount(id: u64) -> Option<u64> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ');
        if fields.next()?.parse::<u64>().ok()? != id {
            return None;
        }
        let (major, minor) = fields.nth(1)?.split_once(':')?;
        Some(device(major.parse().ok()?, minor.parse().ok()?))
    })
}

/// Asks the file system for the generation. Only regular files and
/// directories are opened: opening others can have effects.
fn generation(file: &OwnedFd, is_directory: bool, mode: u32) -> Option<u32> {
    if !is_directory && mode & libc::S_IFMT != libc::S_IFREG {
        return None;
    }
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(file));
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOATIME;
    let opened = rustix::fs::open(path, flags, Mode::empty()).ok()?;
    super::sys::generation(opened.as_fd())
}

/// What [`super::Probes::watch_set`] changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WatchChange {
    /// New or changed entries.
    pub written: usize,
    /// Entries that are no longer watched.
    pub removed: usize,
    /// Entries that stayed as they were.
    pub kept: usize,
}

/// The tables of watches.
#[derive(Debug)]
pub(super) struct WatchTables {
    files: Table<WatchKey, WatchValue>,
    devices: Table<u64, u64>,
}

impl WatchTables {
    pub(super) fn open(pins: &Pins) -> Result<Self, KernelError> {
        Ok(Self {
            files: Table::open(&pins.map("WATCH")).map_err(failed("open"))?,
            devices: Table::open(&pins.map("WATCH_DEVICES")).map_err(failed("open"))?,
        })
    }

    /// Makes the table hold these entries and no others. New ones are written
    /// before old ones go; those that stay are not touched.
    pub(super) fn set(&self, entries: &[WatchEntry]) -> Result<WatchChange, KernelError> {
        let wanted: BTreeMap<WatchKey, WatchValue> = entries
            .iter()
            .map(|entry| (entry.file.key(), value(entry)))
            .collect();
        let devices: BTreeSet<u64> = entries
            .iter()
            .filter(|entry| entry.file.is_directory)
            .map(|entry| entry.file.device)
            .collect();
        within("files and directories", wanted.len(), WATCHES_MAX)?;
        within("file systems", devices.len(), WATCH_DEVICES_MAX)?;
        let old_devices = self
            .devices
            .keys(WATCH_DEVICES_MAX)
            .map_err(failed("list"))?;
        let old = self.files.keys(WATCHES_MAX).map_err(failed("list"))?;
        self.make_room(&old, &wanted)?;
        for device in &devices {
            self.devices
                .put(device, &1, Put::Any)
                .map_err(failed("write"))?;
        }
        let mut change = WatchChange::default();
        for (key, value) in &wanted {
            if self.files.get(key).map_err(failed("read"))?.as_ref() == Some(value) {
                change.kept += 1;
            } else {
                self.files
                    .put(key, value, Put::Any)
                    .map_err(failed("write"))?;
                change.written += 1;
            }
        }
        for key in old.iter().filter(|key| !wanted.contains_key(key)) {
            change.removed += 1;
            self.files.remove(key).map_err(failed("write"))?;
        }
        for device in old_devices
            .iter()
            .filter(|device| !devices.contains(device))
        {
            self.devices.remove(device).map_err(failed("write"))?;
        }
        Ok(change)
    }

    /// Where old and new entries together do not fit, old ones go first.
    fn make_room(
        &self,
        old: &[WatchKey],
        wanted: &BTreeMap<WatchKey, WatchValue>,
    ) -> Result<(), KernelError> {
        let stale: Vec<_> = old.iter().filter(|key| !wanted.contains_key(key)).collect();
        let excess = (stale.len() + wanted.len()).saturating_sub(WATCHES_MAX);
        for key in stale.into_iter().take(excess) {
            self.files.remove(key).map_err(failed("write"))?;
        }
        Ok(())
    }
}

fn value(entry: &WatchEntry) -> WatchValue {
    let mut flags = 0;
    if entry.file.is_directory {
        flags |= WatchValue::DIRECTORY;
    }
    if entry.file.generation.is_some() {
        flags |= WatchValue::GENERATION_KNOWN;
    }
    let generation = entry.file.generation.unwrap_or(0);
    WatchValue {
        watch_id: entry.watch_id,
        flags,
        generation,
        reserved: 0,
    }
}

fn within(what: &'static str, given: usize, max: usize) -> Result<(), KernelError> {
    if given > max {
        Err(KernelError::TooManyWatches { what, given, max })
    } else {
        Ok(())
    }
}

fn failed(action: &'static str) -> impl Fn(io::Error) -> KernelError {
    move |error| KernelError::Table {
        action,
        table: "WATCH",
        error,
    }
}
