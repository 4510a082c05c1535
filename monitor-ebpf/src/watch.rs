//! Whether a file is watched.
//!
//! First by one bit for the inode and one for each directory above it: that is
//! all that an unwatched file pays, by plain loads where the program has typed
//! pointers. Only where a bit is set the tables are asked, from the file up.
//! One that took over the number of a watched inode has another generation,
//! and is not watched.

use core::mem::MaybeUninit;

use aya_ebpf::{Global, helpers::generated::bpf_probe_read_kernel};
use monitor_common::{
    Fault, SessionMark,
    watch::{
        DEVICE_NODE, OpenedKey, WATCH_BITS_WORDS, WATCH_ID_BLOCK_DEVICE, WATCH_LEVELS_MAX,
        WATCH_NAME_BYTES_MAX, WatchKey, WatchNameKey, WatchValue, watch_bit, watch_device_hash,
    },
};

use crate::{
    atomic::Number,
    kernel::{Object, load, zero},
    maps::{LEARNED, OPENED, WATCH, WATCH_BITS, WATCH_NAMES, fault},
    offsets as at,
};

const FORMAT: u16 = 0o170_000;
const REGULAR: u16 = 0o100_000;
const DIRECTORY: u16 = 0o040_000;
const BLOCK: u16 = 0o060_000;
/// What block and character devices have in common, and nothing else.
const DEVICE_MASK: u16 = 0o130_000;
const DEVICE: u16 = 0o020_000;

/// How kernel memory is read. Either way what cannot be read is zero.
pub trait Access {
    /// # Safety
    /// `offset` must be that of a field of type `T`, and `object` fit the kind
    /// of access.
    unsafe fn read<T: Copy>(object: Object, offset: &Global<u32>) -> T;
}

/// Plain loads, of pointers whose type the verifier knows.
pub struct Direct;

impl Access for Direct {
    #[inline(always)]
    unsafe fn read<T: Copy>(object: Object, offset: &Global<u32>) -> T {
        // SAFETY: the caller vouches for it.
        unsafe { load(object, offset) }
    }
}

/// The helper that catches faults, for any pointer.
pub struct Probed;

impl Access for Probed {
    #[inline(always)]
    unsafe fn read<T: Copy>(object: Object, offset: &Global<u32>) -> T {
        let mut value = MaybeUninit::<T>::zeroed();
        let field = object.wrapping_byte_add(offset.load() as usize);
        // SAFETY: the destination is as long as told; the helper checks the
        // source, and writes zeros where it cannot read.
        unsafe { bpf_probe_read_kernel(value.as_mut_ptr().cast(), size_of::<T>() as u32, field) };
        // SAFETY: integers and pointers only; all bytes are set.
        unsafe { value.assume_init() }
    }
}

/// A watch that fits, in one number: of a structure the compiler would leave
/// parts unset where there is none, which the verifier refuses.
#[derive(Clone, Copy)]
pub struct Hit(u64);

impl Hit {
    /// No watch.
    pub const NONE: Self = Self(0);
    const FOUND: u64 = 1 << 63;
    const LEARNED: u64 = 1 << 62;
    const BY_NAME: u64 = 1 << 61;
    /// The directory has a watched name of the length that was asked for.
    const MAY_NAME: u64 = 1 << 60;
    const FLAGS_AT: u32 = 48;
    const LEVELS_AT: u32 = 32;

    #[inline(always)]
    const fn new(watch_id: u32, flags: u32, more: u64) -> Self {
        let flags = (flags & 0xff) as u64;
        Self(Self::FOUND | more | flags << Self::FLAGS_AT | watch_id as u64)
    }

    /// Whether it is one.
    #[inline(always)]
    pub const fn is_some(self) -> bool {
        self.0 != 0
    }

    /// With the directories between the file and what is watched.
    #[inline(always)]
    const fn at(self, levels: u32) -> Self {
        Self(self.0 | ((levels & 0xff) as u64) << Self::LEVELS_AT)
    }

    /// As an option, for who goes on with it.
    #[inline(always)]
    pub fn found(self) -> Option<Self> {
        self.is_some().then_some(self)
    }

    /// Number of the watch.
    #[inline(always)]
    pub const fn watch_id(self) -> u32 {
        self.0 as u32
    }

    /// Directories between the file and what is watched.
    #[inline(always)]
    pub const fn levels(self) -> u32 {
        (self.0 >> Self::LEVELS_AT) as u32 & 0xff
    }

    /// Found in `LEARNED`.
    #[inline(always)]
    pub const fn is_learned(self) -> bool {
        self.0 & Self::LEARNED != 0
    }

    #[inline(always)]
    const fn flags(self) -> u32 {
        (self.0 >> Self::FLAGS_AT) as u32 & 0xff
    }

    /// Whether the object is watched by itself, not by a directory or a name.
    #[inline(always)]
    pub const fn is_own(self) -> bool {
        self.levels() == 0 && self.0 & Self::BY_NAME == 0
    }

    /// Whether an act that changes nothing is left out.
    #[inline(always)]
    pub const fn changes_only(self) -> bool {
        self.flags() & WatchValue::CHANGES_ONLY != 0
    }

    /// What `LEARNED` holds of a file with this hit.
    #[inline(always)]
    pub const fn value(self, generation: u32) -> WatchValue {
        WatchValue {
            watch_id: self.watch_id(),
            flags: WatchValue::OBJECT
                | WatchValue::GENERATION_KNOWN
                | (self.flags() & WatchValue::CHANGES_ONLY),
            generation,
            reserved: 0,
            name_lengths: 0,
        }
    }
}

/// The table of bits.
#[derive(Clone, Copy)]
struct Bits(*mut u64);

impl Bits {
    #[inline(always)]
    fn get() -> Option<Self> {
        WATCH_BITS.get_ptr_mut(0).map(|bits| Self(bits.cast()))
    }

    #[inline(always)]
    fn has(self, device_hash: u64, inode: u64) -> bool {
        let (word, bit) = watch_bit(device_hash, inode);
        let word = self.0.wrapping_add(word & (WATCH_BITS_WORDS - 1));
        // SAFETY: inside the map's value.
        (unsafe { word.read_volatile() } >> bit) & 1 != 0
    }

    #[inline(always)]
    fn set(self, device_hash: u64, inode: u64) {
        let (word, bit) = watch_bit(device_hash, inode);
        let word = self.0.wrapping_add(word & (WATCH_BITS_WORDS - 1));
        // SAFETY: inside the map's value.
        unsafe { Number::at(word) }.fetch_or(1 << bit);
    }
}

/// A file, by its inode and the name that it was reached by.
#[derive(Clone, Copy)]
pub struct Subject {
    /// Null where there is none yet.
    pub inode: Object,
    /// Its name.
    pub dentry: Object,
    /// Device of the file system.
    pub device: u64,
}

impl Subject {
    /// # Safety
    /// `inode` and `dentry` must fit the kind of access.
    #[inline(always)]
    pub unsafe fn new<A: Access>(inode: Object, dentry: Object) -> Self {
        // SAFETY: the caller vouches for it.
        let device = unsafe { device_of::<A>(inode) };
        Self {
            inode,
            dentry,
            device,
        }
    }
}

/// Device of an inode's file system.
///
/// # Safety
/// `inode` must fit the kind of access.
#[inline(always)]
pub unsafe fn device_of<A: Access>(inode: Object) -> u64 {
    // SAFETY: a field of an inode.
    let super_block: Object = unsafe { A::read(inode, &at::INODE_SB) };
    // SAFETY: a field of a super block.
    u64::from(unsafe { A::read::<u32>(super_block, &at::SUPER_BLOCK_DEV) })
}

/// Whether the bit of the inode itself is set.
///
/// # Safety
/// `inode` must fit the kind of access.
#[inline(always)]
pub unsafe fn is_marked<A: Access>(inode: Object) -> bool {
    let Some(bits) = Bits::get() else {
        return false;
    };
    // SAFETY: the caller vouches for it.
    let device = unsafe { device_of::<A>(inode) };
    // SAFETY: a field of an inode.
    let number = unsafe { A::read(inode, &at::INODE_INO) };
    bits.has(watch_device_hash(device), number)
}

/// The watch of a device node: each block device, and the character devices
/// that user space names.
///
/// # Safety
/// `inode` must fit the kind of access.
#[inline(always)]
pub unsafe fn look_at_node<A: Access>(inode: Object) -> Option<Hit> {
    // SAFETY: a field of an inode.
    let mode: u16 = unsafe { A::read(inode, &at::INODE_MODE) };
    if mode & DEVICE_MASK != DEVICE {
        return None;
    }
    if mode & FORMAT == BLOCK {
        return Some(Hit::new(WATCH_ID_BLOCK_DEVICE, 0, 0));
    }
    // SAFETY: a field of an inode.
    let node: u32 = unsafe { A::read(inode, &at::INODE_RDEV) };
    let node = u64::from(node);
    if !Bits::get()?.has(watch_device_hash(DEVICE_NODE), node) {
        return None;
    }
    let value = WATCH.get_ptr(WatchKey {
        device: DEVICE_NODE,
        inode: node,
    })?;
    // SAFETY: a map value lives as long as the program.
    let flags = unsafe { (*value).flags };
    // SAFETY: as above.
    Some(Hit::new(unsafe { (*value).watch_id }, flags, 0))
}

/// The watch of a file: its own, or that of a directory above it on the same
/// file system.
///
/// # Safety
/// The subject's pointers must fit the kind of access.
#[inline(always)]
pub unsafe fn look<A: Access>(subject: &Subject) -> Option<Hit> {
    // SAFETY: the caller vouches for the subject.
    unsafe { find::<A>(subject) }.found()
}

/// The same, for who compares several.
///
/// # Safety
/// As [`look`].
#[inline(always)]
pub unsafe fn find<A: Access>(subject: &Subject) -> Hit {
    let Some(bits) = Bits::get() else {
        return Hit::NONE;
    };
    let hash = watch_device_hash(subject.device);
    if !bits.has(hash, 0) {
        return Hit::NONE;
    }
    // SAFETY: the caller vouches for the subject.
    unsafe { search::<A>(bits, hash, subject) }
}

/// Most objects above a file that have a bit set and are not watched, or not
/// for this name, before it is given up.
const CANDIDATES_MAX: usize = 6;

/// The nearest watch. Goes up by bits alone, and asks the tables once that
/// loop is left: were they asked in it, the verifier would follow each of the
/// answers through all that comes behind.
#[inline(always)]
unsafe fn search<A: Access>(bits: Bits, hash: u64, subject: &Subject) -> Hit {
    if !subject.inode.is_null() {
        // SAFETY: a field of an inode.
        let number = unsafe { A::read(subject.inode, &at::INODE_INO) };
        if bits.has(hash, number) {
            // SAFETY: the caller vouches for the subject.
            let hit = unsafe { object::<A>(subject.device, subject.inode, 0) };
            if hit.is_some() && hit.flags() & WatchValue::OBJECT != 0 {
                return hit;
            }
        }
    }
    let mut climb = Climb {
        child: subject.dentry,
        below: subject.dentry,
        levels: 0,
    };
    for _ in 0..CANDIDATES_MAX {
        // SAFETY: the caller vouches for the subject.
        let directory = unsafe { climb.next::<A>(bits, hash) };
        if directory.is_null() {
            return Hit::NONE;
        }
        // SAFETY: the pointers fit the kind of access.
        let hit = unsafe { in_directory::<A>(subject.device, directory, climb.below) };
        if hit.is_some() {
            let levels = launder(climb.levels);
            return hit.at(if hit.0 & Hit::BY_NAME != 0 {
                levels.wrapping_sub(1)
            } else {
                levels
            });
        }
    }
    fault(Fault::WatchTooDeep);
    Hit::NONE
}

/// A way up.
struct Climb {
    /// Where it is.
    child: Object,
    /// What was left last.
    below: Object,
    levels: u32,
}

impl Climb {
    /// The next directory whose bit is set, or null.
    #[inline(always)]
    unsafe fn next<A: Access>(&mut self, bits: Bits, hash: u64) -> Object {
        for _ in 0..WATCH_LEVELS_MAX {
            // SAFETY: a field of a dentry.
            let parent: Object = unsafe { A::read(self.child, &at::DENTRY_PARENT) };
            if parent == self.child {
                return core::ptr::null();
            }
            self.below = self.child;
            self.child = parent;
            // SAFETY: a number of our own. Kept in memory, so that the verifier
            // does not take it for the loop's.
            let levels = unsafe { (&raw const self.levels).read_volatile() };
            // SAFETY: as above.
            unsafe { (&raw mut self.levels).write_volatile(levels + 1) };
            // SAFETY: a field of a dentry.
            let inode: Object = unsafe { A::read(parent, &at::DENTRY_INODE) };
            if inode.is_null() {
                return core::ptr::null();
            }
            // SAFETY: a field of an inode.
            if bits.has(hash, unsafe { A::read(inode, &at::INODE_INO) }) {
                return inode;
            }
        }
        fault(Fault::WatchTooDeep);
        core::ptr::null()
    }
}

/// The same number, of which the verifier knows nothing: else it would follow
/// what comes next once for each level.
#[inline(always)]
pub fn launder(number: u32) -> u32 {
    let mut same = MaybeUninit::<u32>::zeroed();
    let source: *const u32 = &raw const number;
    // SAFETY: four bytes each.
    unsafe { bpf_probe_read_kernel(same.as_mut_ptr().cast(), 4, source.cast()) };
    // SAFETY: an integer; all bytes are set.
    unsafe { same.assume_init() }
}

/// The watch of a directory, as far as it counts for what `child` names in it.
#[inline(always)]
unsafe fn in_directory<A: Access>(device: u64, inode: Object, child: Object) -> Hit {
    // SAFETY: a field of a dentry.
    let length: u32 = unsafe { A::read(child, &at::DENTRY_NAME_LENGTH) };
    // SAFETY: the caller vouches for the pointers.
    let hit = unsafe { object::<A>(device, inode, length) };
    if hit.0 & Hit::MAY_NAME != 0 {
        // SAFETY: a field of an inode.
        let number = unsafe { A::read(inode, &at::INODE_INO) };
        // SAFETY: the caller vouches for the pointers.
        let named = unsafe { name::<A>(device, number, child) };
        if named.is_some() {
            return named;
        }
    }
    if hit.flags() & WatchValue::OBJECT != 0 {
        hit
    } else {
        Hit::NONE
    }
}

/// The entry of an object by its number and generation; whether it may have a
/// watched name of a length (0: none is meant).
#[inline(always)]
unsafe fn object<A: Access>(device: u64, inode: Object, length: u32) -> Hit {
    let key = WatchKey {
        device,
        // SAFETY: a field of an inode.
        inode: unsafe { A::read(inode, &at::INODE_INO) },
    };
    // SAFETY: a field of an inode.
    let generation: u32 = unsafe { A::read(inode, &at::INODE_GENERATION) };
    if let Some(value) = WATCH.get_ptr(key) {
        // SAFETY: a map value.
        let lengths = unsafe { (*value).name_lengths };
        let may_name = if length > WATCH_NAME_BYTES_MAX as u32 {
            0
        } else {
            (lengths >> (length & 63) & 1) * Hit::MAY_NAME
        };
        // SAFETY: as above.
        return unsafe { entry(value, generation, may_name) };
    }
    if let Some(value) = LEARNED.get_ptr(key) {
        // SAFETY: a map value.
        return unsafe { entry(value, generation, Hit::LEARNED) };
    }
    Hit::NONE
}

#[inline(always)]
unsafe fn entry(value: *const WatchValue, generation: u32, more: u64) -> Hit {
    // SAFETY: a map value lives as long as the program.
    let flags = unsafe { (*value).flags };
    // SAFETY: as above.
    let told = unsafe { (*value).generation };
    if flags & WatchValue::GENERATION_KNOWN != 0 && told != generation {
        return Hit::NONE;
    }
    // SAFETY: as above.
    Hit::new(unsafe { (*value).watch_id }, flags, more)
}

/// The watch of a name in a directory.
#[inline(always)]
unsafe fn name<A: Access>(device: u64, inode: u64, child: Object) -> Hit {
    // SAFETY: a field of a dentry.
    let length: u32 = unsafe { A::read(child, &at::DENTRY_NAME_LENGTH) };
    if length == 0 || length > WATCH_NAME_BYTES_MAX as u32 {
        return Hit::NONE;
    }
    let mut room = MaybeUninit::<WatchNameKey>::uninit();
    let key = room.as_mut_ptr();
    // SAFETY: as many bytes as a key has.
    unsafe { zero::<{ size_of::<WatchNameKey>() / 8 }>(key.cast()) };
    // SAFETY: the key is ours.
    unsafe { (*key).device = device };
    // SAFETY: as above.
    unsafe { (*key).inode = inode };
    // SAFETY: a field of a dentry.
    let name: Object = unsafe { A::read(child, &at::DENTRY_NAME) };
    // SAFETY: as above.
    let room = unsafe { &raw mut (*key).name };
    // SAFETY: at most as long as the name in the key.
    unsafe { bpf_probe_read_kernel(room.cast(), length & 63, name) };
    // SAFETY: all of it is set.
    let key: &WatchNameKey = unsafe { &*key };
    let Some(value) = WATCH_NAMES.get_ptr(key) else {
        return Hit::NONE;
    };
    // SAFETY: a map value.
    unsafe { entry(value, 0, Hit::BY_NAME) }
}

/// Whether an inode is that of a regular file.
///
/// # Safety
/// `inode` must fit the kind of access.
#[inline(always)]
pub unsafe fn is_regular<A: Access>(inode: Object) -> bool {
    // SAFETY: a field of an inode.
    let mode: u16 = unsafe { A::read(inode, &at::INODE_MODE) };
    mode & FORMAT == REGULAR
}

/// Whether an inode is that of a directory.
///
/// # Safety
/// `inode` must fit the kind of access.
#[inline(always)]
pub unsafe fn is_directory<A: Access>(inode: Object) -> bool {
    // SAFETY: a field of an inode.
    let mode: u16 = unsafe { A::read(inode, &at::INODE_MODE) };
    mode & FORMAT == DIRECTORY
}

/// Remembers a file that is reached, or will be, past the directory that makes
/// it watched.
///
/// # Safety
/// `inode` must fit the kind of access.
#[inline(always)]
pub unsafe fn learn<A: Access>(device: u64, inode: Object, hit: &Hit) {
    // SAFETY: a field of an inode.
    let generation = unsafe { A::read(inode, &at::INODE_GENERATION) };
    let key = WatchKey {
        device,
        // SAFETY: a field of an inode.
        inode: unsafe { A::read(inode, &at::INODE_INO) },
    };
    // The table first, the bit then: user space relies on it.
    if LEARNED.insert(key, hit.value(generation), 0).is_err() {
        fault(Fault::LearnedFull);
    }
    mark(device, key.inode);
}

/// Forgets a learned file whose last name is being removed.
///
/// # Safety
/// `inode` must fit the kind of access.
#[inline(always)]
pub unsafe fn unlearn_last_name<A: Access>(inode: Object) {
    // SAFETY: a field of an inode.
    let links: u32 = unsafe { A::read(inode, &at::INODE_NLINK) };
    if links > 1 {
        return;
    }
    let key = WatchKey {
        // SAFETY: the caller vouches for it.
        device: unsafe { device_of::<A>(inode) },
        // SAFETY: a field of an inode.
        inode: unsafe { A::read(inode, &at::INODE_INO) },
    };
    // Gone already is as good.
    let _ = LEARNED.remove(key);
}

/// Sets the bits of an inode and its device.
#[inline(always)]
fn mark(device: u64, inode: u64) {
    if let Some(bits) = Bits::get() {
        let hash = watch_device_hash(device);
        bits.set(hash, inode);
        bits.set(hash, 0);
    }
}

/// Lets a session use an open file of this inode without being told again;
/// from now on every other session's use of it is.
#[inline(always)]
pub fn remember(file: Object, device: u64, inode: u64, session: SessionMark) {
    mark(device, inode);
    // An entry that finds no room is told once more.
    let _ = OPENED.insert(opened(file, inode, session), 1, 0);
}

/// Whether [`remember`] was told this.
#[inline(always)]
pub fn is_remembered(file: Object, inode: u64, session: SessionMark) -> bool {
    OPENED.get_ptr(opened(file, inode, session)).is_some()
}

#[inline(always)]
fn opened(file: Object, inode: u64, session: SessionMark) -> OpenedKey {
    OpenedKey {
        file: file.addr() as u64,
        inode,
        session,
    }
}
