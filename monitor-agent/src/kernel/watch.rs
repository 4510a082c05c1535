//! The tables of watched files.
//!
//! Bound: `WATCHES_MAX` files and directories, `WATCH_NAMES_MAX` names; more is
//! an error, and the tables stay as they were.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
    sync::atomic::Ordering,
};

use monitor_common::watch::{
    Identified, LEARNED_MAX, WATCH_BITS_WORDS, WATCH_NAME_BYTES_MAX, WATCH_NAME_ROOM,
    WATCH_NAMES_MAX, WATCHES_MAX, WatchKey, WatchNameKey, WatchValue, watch_bit, watch_device_hash,
};
use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags};

use super::{
    KernelError,
    mapping::{Access, Mapping},
    pins::Pins,
    sys,
    table::{Put, Table},
};
use crate::lossy;

mod asked;

/// What is told of a watched object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operations {
    /// Reads and changes: it is a secret.
    #[default]
    All,
    /// Changes: it is configuration, which everybody reads.
    Changes,
}

/// One watched file or directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchEntry {
    /// What is watched.
    pub file: FileIdentity,
    /// Number given back in records.
    pub watch_id: u32,
    /// What is told.
    pub operations: Operations,
}

impl WatchEntry {
    /// Everything that is done to a file, or below a directory.
    #[must_use]
    pub const fn all(file: FileIdentity, watch_id: u32) -> Self {
        let operations = Operations::All;
        Self {
            file,
            watch_id,
            operations,
        }
    }
}

/// A name in a directory: whatever file has it is watched, from the moment that
/// it has it. A directory of that name is watched with everything below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchName {
    directory: FileIdentity,
    name: Vec<u8>,
    watch_id: u32,
    operations: Operations,
}

impl WatchName {
    /// `None` where this is no name, or longer than the kernel's table holds
    /// ([`WATCH_NAME_BYTES_MAX`]).
    #[must_use]
    pub fn new(
        directory: FileIdentity,
        name: &[u8],
        watch_id: u32,
        operations: Operations,
    ) -> Option<Self> {
        let is_name = !name.is_empty() && !name.contains(&b'/') && !name.contains(&0);
        (is_name && name.len() <= WATCH_NAME_BYTES_MAX).then(|| Self {
            directory,
            name: name.to_vec(),
            watch_id,
            operations,
        })
    }

    /// The directory.
    #[must_use]
    pub const fn directory(&self) -> FileIdentity {
        self.directory
    }

    fn key(&self) -> WatchNameKey {
        let mut name = [0; WATCH_NAME_ROOM];
        for (to, from) in name.iter_mut().zip(&self.name) {
            *to = *from;
        }
        WatchNameKey {
            device: self.directory.device,
            inode: self.directory.inode,
            name,
        }
    }
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

    /// What the kernel programs found behind a descriptor. A character device
    /// node is the device that it stands for, wherever the node lies.
    pub(super) fn of_identified(found: &Identified) -> Self {
        let (format, mode) = (libc::S_IFMT, found.mode);
        if mode & format == libc::S_IFCHR {
            let node = u64::from(found.node);
            return Self {
                device: monitor_common::watch::DEVICE_NODE,
                inode: node,
                generation: None,
                is_directory: false,
            };
        }
        Self {
            device: found.device,
            inode: found.inode,
            generation: Some(found.generation),
            is_directory: mode & format == libc::S_IFDIR,
        }
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
    let mounts = lossy::text("/proc/self/mountinfo").ok()?;
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

/// What [`super::Probes::watch`] changed: entries for files, directories and
/// names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WatchChange {
    /// New or changed entries.
    pub written: usize,
    /// Entries that are no longer watched.
    pub removed: usize,
    /// Entries that stayed as they were.
    pub kept: usize,
}

/// Bits that may be set in the table before those that stand for nothing any
/// more are cleared: each costs unwatched files a look-up.
const BITS_SET_MAX: usize = 1 << 16;

/// The tables of watches.
#[derive(Debug)]
pub(super) struct WatchTables {
    files: Table<WatchKey, WatchValue>,
    names: Table<WatchNameKey, WatchValue>,
    learned: Table<WatchKey, WatchValue>,
    bits: Mapping,
}

impl WatchTables {
    pub(super) fn open(pins: &Pins) -> Result<Self, KernelError> {
        let bits = sys::open_pin(&pins.map("WATCH_BITS")).map_err(failed("open", "WATCH_BITS"))?;
        let bytes = WATCH_BITS_WORDS * size_of::<u64>();
        Ok(Self {
            files: Table::open(&pins.map("WATCH")).map_err(failed("open", "WATCH"))?,
            names: Table::open(&pins.map("WATCH_NAMES")).map_err(failed("open", "WATCH_NAMES"))?,
            learned: Table::open(&pins.map("LEARNED")).map_err(failed("open", "LEARNED"))?,
            bits: Mapping::new(bits, Access::ReadWrite, bytes, 0)
                .map_err(failed("map", "WATCH_BITS"))?,
        })
    }

    /// Makes the tables hold these entries and no others. New ones are written
    /// before old ones go; those that stay are not touched.
    pub(super) fn set(
        &self,
        entries: &[WatchEntry],
        names: &[WatchName],
    ) -> Result<WatchChange, KernelError> {
        let files = files_of(entries, names);
        let names: BTreeMap<WatchNameKey, WatchValue> = names
            .iter()
            .map(|name| (name.key(), value_of_name(name)))
            .collect();
        within("files and directories", files.len(), WATCHES_MAX)?;
        within("names", names.len(), WATCH_NAMES_MAX)?;
        let mut change = WatchChange::default();
        for key in files.keys() {
            self.set_bits(*key);
        }
        bring(&self.names, &names, WATCH_NAMES_MAX, &mut change)
            .map_err(|(action, error)| failed(action, "WATCH_NAMES")(error))?;
        bring(&self.files, &files, WATCHES_MAX, &mut change)
            .map_err(|(action, error)| failed(action, "WATCH")(error))?;
        let ids: BTreeSet<u32> = files
            .values()
            .chain(names.values())
            .map(|v| v.watch_id)
            .collect();
        self.unlearn(&ids)?;
        self.clear_bits(files.keys())?;
        Ok(change)
    }

    /// Forgets what was learned by watches that are no more.
    fn unlearn(&self, ids: &BTreeSet<u32>) -> Result<(), KernelError> {
        let failed = |action| failed(action, "LEARNED");
        for key in self.learned.keys(LEARNED_MAX).map_err(failed("list"))? {
            let value = self.learned.get(&key).map_err(failed("read"))?;
            if value.is_some_and(|value| !ids.contains(&value.watch_id)) {
                self.learned.remove(&key).map_err(failed("write"))?;
            }
        }
        Ok(())
    }

    /// Sets the bits of an object and its device.
    fn set_bits(&self, key: WatchKey) {
        for (word, mask) in places(key) {
            if let Some(word) = self.bits.number(word * size_of::<u64>()) {
                word.fetch_or(mask, Ordering::Relaxed);
            }
        }
    }

    /// Clears bits that stand for nothing, where too many are set. The kernel
    /// learns meanwhile: it writes its table first and the bit then, so what it
    /// learned before the second look has its bit set again by that.
    fn clear_bits<'a>(&self, files: impl Iterator<Item = &'a WatchKey>) -> Result<(), KernelError> {
        let words = || (0..WATCH_BITS_WORDS).filter_map(|word| self.bits.number(word * 8));
        let set: usize = words()
            .map(|word| word.load(Ordering::Relaxed).count_ones())
            .filter_map(|ones| usize::try_from(ones).ok())
            .sum();
        if set <= BITS_SET_MAX {
            return Ok(());
        }
        let learned = || {
            self.learned
                .keys(LEARNED_MAX)
                .map_err(failed("list", "LEARNED"))
        };
        let mut wanted: BTreeMap<usize, u64> = BTreeMap::new();
        for key in files.copied().chain(learned()?) {
            for (word, mask) in places(key) {
                *wanted.entry(word).or_default() |= mask;
            }
        }
        for (at, word) in words().enumerate() {
            word.fetch_and(wanted.get(&at).copied().unwrap_or(0), Ordering::SeqCst);
        }
        for key in learned()? {
            self.set_bits(key);
        }
        Ok(())
    }
}

/// Words and bits of an object and its device.
fn places(key: WatchKey) -> [(usize, u64); 2] {
    let hash = watch_device_hash(key.device);
    [key.inode, 0].map(|inode| {
        let (word, bit) = watch_bit(hash, inode);
        (word, 1 << bit)
    })
}

/// Entries for the objects, and for the directories of the names.
fn files_of(entries: &[WatchEntry], names: &[WatchName]) -> BTreeMap<WatchKey, WatchValue> {
    let mut files: BTreeMap<WatchKey, WatchValue> = entries
        .iter()
        .map(|entry| {
            let value = WatchValue {
                watch_id: entry.watch_id,
                ..value(&entry.file, entry.operations, WatchValue::OBJECT)
            };
            (entry.file.key(), value)
        })
        .collect();
    for name in names {
        let of_directory = value(&name.directory, Operations::All, WatchValue::NAMES);
        let value = files.entry(name.directory.key()).or_insert(of_directory);
        value.flags |= WatchValue::NAMES;
        value.name_lengths |= u32::try_from(name.name.len())
            .ok()
            .and_then(|length| 1_u64.checked_shl(length))
            .unwrap_or(0);
    }
    files
}

fn value_of_name(name: &WatchName) -> WatchValue {
    let mut value = WatchValue {
        watch_id: name.watch_id,
        ..WatchValue::default()
    };
    if name.operations == Operations::Changes {
        value.flags = WatchValue::CHANGES_ONLY;
    }
    value
}

fn value(file: &FileIdentity, operations: Operations, flags: u32) -> WatchValue {
    let mut flags = flags;
    if file.generation.is_some() {
        flags |= WatchValue::GENERATION_KNOWN;
    }
    if operations == Operations::Changes {
        flags |= WatchValue::CHANGES_ONLY;
    }
    WatchValue {
        flags,
        generation: file.generation.unwrap_or(0),
        ..WatchValue::default()
    }
}

/// Brings a table to what is wanted. Where old and new entries together do not
/// fit, old ones go first.
fn bring<K, V>(
    table: &Table<K, V>,
    wanted: &BTreeMap<K, V>,
    max: usize,
    change: &mut WatchChange,
) -> Result<(), (&'static str, io::Error)>
where
    K: Ord + Clone + zerocopy::FromBytes + zerocopy::IntoBytes + zerocopy::Immutable,
    V: PartialEq + zerocopy::FromBytes + zerocopy::IntoBytes + zerocopy::Immutable,
{
    let because = |action: &'static str| move |error| (action, error);
    let old = table.keys(max).map_err(because("list"))?;
    let mut stale = old.iter().filter(|key| !wanted.contains_key(key));
    let excess = (old.len() + wanted.len()).saturating_sub(max);
    let mut remove = |key: &K| {
        change.removed += 1;
        table.remove(key).map(drop).map_err(because("write"))
    };
    stale.by_ref().take(excess).try_for_each(&mut remove)?;
    let (mut kept, mut written) = (0, 0);
    for (key, value) in wanted {
        if table.get(key).map_err(because("read"))?.as_ref() == Some(value) {
            kept += 1;
        } else {
            table.put(key, value, Put::Any).map_err(because("write"))?;
            written += 1;
        }
    }
    stale.try_for_each(remove)?;
    change.kept += kept;
    change.written += written;
    Ok(())
}

fn within(what: &'static str, given: usize, max: usize) -> Result<(), KernelError> {
    if given > max {
        Err(KernelError::TooManyWatches { what, given, max })
    } else {
        Ok(())
    }
}

fn failed(action: &'static str, table: &'static str) -> impl Fn(io::Error) -> KernelError + Copy {
    move |error| KernelError::Table {
        action,
        table,
        error,
    }
}
