//! The table of watched files.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Key of `WATCH`: the file or directory.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
)]
#[repr(C)]
pub struct WatchKey {
    /// Device, in the kernel's encoding; see [`crate::file::device_from_stat`].
    pub device: u64,
    /// Inode number.
    pub inode: u64,
}

/// Value of `WATCH`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct WatchValue {
    /// Number that user space gave the watch; returned in records.
    pub watch_id: u32,
    /// Bits of this type's constants.
    pub flags: u32,
    /// Generation of the inode, where [`Self::GENERATION_KNOWN`] is set.
    pub generation: u32,
    /// Zero.
    pub reserved: u32,
}

impl WatchValue {
    /// A directory: everything below it on the same file system matches.
    pub const DIRECTORY: u32 = 1;
    /// Only the inode with this generation matches.
    pub const GENERATION_KNOWN: u32 = 2;
}

/// Most watched files and directories.
pub const WATCHES_MAX: usize = 16_384;
/// Most file systems with watched directories.
pub const WATCH_DEVICES_MAX: usize = 256;
/// Most directories above a file that are compared with the watched ones.
pub const WATCH_LEVELS_MAX: usize = 32;
