//! Memory shared with the kernel.

#![expect(unsafe_code, reason = "memory shared with the kernel has no safe type")]

use std::{
    io,
    os::fd::AsFd,
    ptr::NonNull,
    sync::atomic::{AtomicU32, AtomicU64},
};

use rustix::mm::{MapFlags, ProtFlags};

/// A shared mapping of a map; unmapped on drop.
#[derive(Debug)]
pub(super) struct Mapping {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: the memory is shared with the kernel anyway; access to numbers is
// atomic, and records are read only once the kernel has given them away.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

/// What may be done with a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    ReadWrite,
}

impl Mapping {
    /// Maps `bytes` of a map from `offset` on.
    pub(super) fn new(
        map: impl AsFd,
        access: Access,
        bytes: usize,
        offset: u64,
    ) -> io::Result<Self> {
        let protection = match access {
            Access::Read => ProtFlags::READ,
            Access::ReadWrite => ProtFlags::READ | ProtFlags::WRITE,
        };
        let hint = std::ptr::null_mut();
        // SAFETY: the kernel chooses a free place.
        let start =
            unsafe { rustix::mm::mmap(hint, bytes, protection, MapFlags::SHARED, map, offset) }?;
        let start = NonNull::new(start.cast::<u8>())
            .ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))?;
        Ok(Self { start, bytes })
    }

    /// The 64-bit number at a place, which must be a multiple of 8 and inside.
    pub(super) fn number(&self, at: usize) -> Option<&AtomicU64> {
        let place = self.place(at, size_of::<u64>())?;
        // SAFETY: inside the mapping, aligned, and written only atomically.
        Some(unsafe { AtomicU64::from_ptr(place.as_ptr().cast()) })
    }

    /// The 32-bit number at a place, which must be a multiple of 4 and inside.
    pub(super) fn half(&self, at: usize) -> Option<&AtomicU32> {
        let place = self.place(at, size_of::<u32>())?;
        // SAFETY: inside the mapping, aligned, and written only atomically.
        Some(unsafe { AtomicU32::from_ptr(place.as_ptr().cast()) })
    }

    /// Copies bytes that the kernel no longer writes.
    pub(super) fn copy(&self, at: usize, to: &mut [u8]) -> Option<()> {
        if at.checked_add(to.len())? > self.bytes {
            return None;
        }
        // SAFETY: `at` is inside the mapping.
        let from = unsafe { self.start.add(at) };
        // SAFETY: as many bytes are inside the mapping and in `to`, which is
        // memory of our own.
        unsafe { from.copy_to_nonoverlapping(NonNull::from(&mut *to).cast(), to.len()) };
        Some(())
    }

    fn place(&self, at: usize, bytes: usize) -> Option<NonNull<u8>> {
        if at.checked_add(bytes)? > self.bytes || !at.is_multiple_of(bytes) {
            return None;
        }
        // SAFETY: `at` is inside the mapping.
        Some(unsafe { self.start.add(at) })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: made by `new`; no reference into it outlives `self`.
        let _ = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}
