//! The tables of watched files.
//!
//! `WATCH_BITS` rejects first: one bit for each watched inode, directory,
//! device node and device, found by [`watch_bit`]. Only where a bit is set are
//! the tables behind it asked: `WATCH` (written by user space), `WATCH_NAMES`
//! (likewise: names in a directory, whatever file has them) and `LEARNED`
//! (written by the kernel: files that were reached through a watched directory
//! and have, or get, a name outside of it).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Key of `WATCH` and `LEARNED`: the file or directory.
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
    /// [`DEVICE_NODE`]: a character device node, wherever it lies.
    pub device: u64,
    /// Inode number; of a [`DEVICE_NODE`] the device that it stands for.
    pub inode: u64,
}

/// Value of `WATCH`, `WATCH_NAMES` and `LEARNED`.
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
    /// Where [`Self::NAMES`] is set: bit `n` says that a name of `n` bytes is
    /// in `WATCH_NAMES`.
    pub name_lengths: u64,
}

impl WatchValue {
    /// The object itself matches, and as a directory everything below it on the
    /// same file system.
    pub const OBJECT: u32 = 1;
    /// Only the inode with this generation matches.
    pub const GENERATION_KNOWN: u32 = 2;
    /// A directory: some names in it match.
    pub const NAMES: u32 = 4;
    /// Only what changes it is told: an open that can write, create, truncate,
    /// permissions, owner, names, attributes. An open that can only read, run
    /// or map it is not: reads of configuration are everybody's daily business.
    pub const CHANGES_ONLY: u32 = 8;
}

/// Key of `WATCH_NAMES`: a name in a directory.
#[derive(
    Clone,
    Copy,
    Debug,
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
pub struct WatchNameKey {
    /// Device of the directory.
    pub device: u64,
    /// Inode of the directory.
    pub inode: u64,
    /// The name, filled up with zeros.
    pub name: [u8; WATCH_NAME_ROOM],
}

/// Key of `OPENED`: who may use an open file without being told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct OpenedKey {
    /// Address of the kernel's open file.
    pub file: u64,
    /// Its inode number: an address is used again.
    pub inode: u64,
    /// The session that opened or received it.
    pub session: crate::SessionMark,
}

/// What `identify_fd` found behind a descriptor, in the kernel's own words:
/// `stat` tells another device on some file systems.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Identified {
    /// Device (`s_dev`).
    pub device: u64,
    /// Inode number (`i_ino`).
    pub inode: u64,
    /// Generation (`i_generation`).
    pub generation: u32,
    /// Type and permissions (`i_mode`).
    pub mode: u32,
    /// The device that a device node stands for (`i_rdev`).
    pub node: u32,
    /// 1 where all of it was found.
    pub found: u32,
}

/// [`WatchKey::device`] of a character device node.
pub const DEVICE_NODE: u64 = 1 << 32;
/// [`crate::Credential::watch_id`] of a block device: each open of one is told,
/// because all files of its file system can be read from it.
pub const WATCH_ID_BLOCK_DEVICE: u32 = u32::MAX;

/// Most watched files and directories.
pub const WATCHES_MAX: usize = 16_384;
/// Most watched names.
pub const WATCH_NAMES_MAX: usize = 16_384;
/// Most files that are learned.
pub const LEARNED_MAX: usize = 16_384;
/// Most open files that are remembered.
pub const OPENED_MAX: usize = 16_384;
/// Most file systems with watched directories.
pub const WATCH_DEVICES_MAX: usize = 256;
/// Most directories above a file that are compared with the watched ones.
pub const WATCH_LEVELS_MAX: usize = 32;
/// Bytes of a name in a key; the last is zero.
pub const WATCH_NAME_ROOM: usize = 64;
/// Most bytes of a watched name.
pub const WATCH_NAME_BYTES_MAX: usize = WATCH_NAME_ROOM - 1;

/// Words of `WATCH_BITS`, of 64 bits each: 2^20 bits.
pub const WATCH_BITS_WORDS: usize = 16_384;

/// The first half of a bit's place, from the device alone.
#[inline]
#[must_use]
pub const fn watch_device_hash(device: u64) -> u64 {
    device.wrapping_mul(0xff51_afd7_ed55_8ccd)
}

/// The word and the bit in it for an inode of a device, given its
/// [`watch_device_hash`]. Inode 0 stands for the device itself: it is set
/// where the device has any watch.
#[expect(
    clippy::as_conversions,
    reason = "14 and 6 bits are left; conversions are not const"
)]
#[inline]
#[must_use]
pub const fn watch_bit(device_hash: u64, inode: u64) -> (usize, u32) {
    let hash = inode
        .wrapping_add(device_hash)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    // The upper bits of a product depend on all lower ones.
    ((hash >> 50) as usize, ((hash >> 44) & 63) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_lie_in_the_table_and_neighbours_lie_apart() {
        extern crate std;
        let mut taken = std::collections::BTreeSet::new();
        for device in [1_u64, 8 << 20, (8 << 20) | 1, DEVICE_NODE] {
            for inode in 0..5_000 {
                let (word, bit) = watch_bit(watch_device_hash(device), inode);
                assert!(word < WATCH_BITS_WORDS && bit < 64);
                taken.insert((word, bit));
            }
        }
        // 20,000 in a million: chance alone makes some 200 meet.
        assert!(taken.len() > 19_600, "{}", taken.len());
    }
}
