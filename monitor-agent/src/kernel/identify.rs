//! Who a file is, in the kernel's own words.
//!
//! `stat` tells another device than the kernel programs see on btrfs and
//! overlayfs, and some file systems tell no generation. So a kernel program is
//! run on a descriptor (`BPF_PROG_TEST_RUN`) and tells what it finds behind it.
//! The descriptor is opened with `O_PATH`: such a look is no event.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
};

use aya::Ebpf;
use monitor_common::watch::Identified;
use rustix::fs::{Mode, OFlags};

use super::{FileIdentity, KernelError, pins::Pins, program, sys, table::Table};

/// Name of the program, and of its pin.
const PROGRAM: &str = "identify_fd";
const RESULTS: &str = "IDENTIFIED";

/// Loads the program and pins it; nothing is attached.
pub(super) fn load(ebpf: &mut Ebpf, pins: &Pins) -> Result<(), KernelError> {
    program::load(ebpf, pins, PROGRAM).map_err(|error| KernelError::Identify { error })
}

/// The program and where it writes.
#[derive(Debug)]
pub(super) struct Identifier {
    program: OwnedFd,
    results: Table<u64, Identified>,
    next: AtomicU32,
}

impl Identifier {
    pub(super) fn open(pins: &Pins) -> Result<Self, KernelError> {
        let because = |error| KernelError::Identify { error };
        Ok(Self {
            program: sys::open_pin(&pins.link(PROGRAM)).map_err(because)?,
            results: Table::open(&pins.map(RESULTS)).map_err(because)?,
            next: AtomicU32::new(0),
        })
    }

    /// Who the file at a path is now, symbolic links followed.
    pub(super) fn path(&self, path: &Path) -> io::Result<FileIdentity> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let file = rustix::fs::open(path, flags, Mode::empty())?;
        self.file(file.as_fd())
    }

    /// Who the file behind a descriptor is.
    pub(super) fn file(&self, file: BorrowedFd<'_>) -> io::Result<FileIdentity> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        // Other processes may ask at the same time.
        let ticket = u64::from(std::process::id()) << 32 | u64::from(number);
        let descriptor = u64::try_from(file.as_raw_fd()).unwrap_or(u64::MAX);
        sys::run(self.program.as_fd(), [descriptor, ticket])?;
        let found = self.results.get(&ticket)?;
        self.results.remove(&ticket)?;
        match found {
            Some(found) if found.found == 1 => Ok(FileIdentity::of_identified(&found)),
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the kernel program found no file behind the descriptor",
            )),
        }
    }
}
