//! The disks under the agent's spool and the collector's ledgers fill: no byte is
//! left, or no inode, or a few pages, so that it is the next write but some that
//! fails.
//!
//! Each is a file system in memory of its own. It is filled by making it as small
//! as what lies on it, so nothing but the programs writes there.

use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::fs::statvfs;
use rustix::mount::{MountFlags, mount, mount_remount};

use super::ground::Ground;
use crate::stage::Folder;
use crate::stage::program::Program;

/// Room on each while nothing fails; memory is taken only by what is written.
const PAGES: u64 = 65_536;
/// Inodes on each while nothing fails.
const INODES: u64 = 1_024;
/// Fewer pages than this are left by a full disk.
const PAGES_LEFT: u64 = 64;
/// Most time that a disk stays full.
const FULL: Duration = Duration::from_secs(2);
/// Most time between two faults.
const APART: Duration = Duration::from_millis(250);
/// How often a disk is measured that grows while it is made small.
const TRIES: usize = 100;

/// The disks of the stage: whose, and what it says when it cannot write there.
const DISKS: [(Program, &str); 2] = [
    (Program::Agent, "The spool cannot be written"),
    (Program::Collector, "Store failed"),
];

/// What is used up.
#[derive(Debug, Clone, Copy)]
enum Of {
    Bytes,
    Inodes,
}

/// Puts a file system of its own under each, before a program runs.
///
/// # Errors
/// The kernel refused.
pub fn lay(folder: &Folder) -> Result<()> {
    for (program, _) in DISKS {
        let place = folder.at(program.word());
        let options = options(PAGES, INODES, ",mode=0700")?;
        mount(
            "tmpfs",
            &place,
            "tmpfs",
            MountFlags::empty(),
            Some(&*options),
        )
        .with_context(|| format!("mounting on {}", place.display()))?;
    }
    Ok(())
}

/// Each disk fills in both ways, in any order.
///
/// # Errors
/// The kernel refused.
pub(super) fn strike(ground: &mut Ground) -> Result<()> {
    let [agent, collector] = DISKS;
    let faults = [
        (agent, Of::Bytes),
        (agent, Of::Inodes),
        (collector, Of::Bytes),
        (collector, Of::Inodes),
    ];
    for ((program, words), of) in ground.chance.shuffled(faults) {
        ground.waits(APART)?;
        let whose = format!("{}'s disk", program.word());
        let disk = Disk::of(&ground.stage.folder, program);
        let before = ground.said(program, words)?;
        let left = ground.chance.below(PAGES_LEFT);
        match of {
            Of::Bytes => {
                disk.keeps_pages(left)?;
                ground.counts(&format!("{whose} without bytes"));
            }
            Of::Inodes => {
                disk.keeps_no_inode()?;
                ground.counts(&format!("{whose} without inodes"));
            }
        }
        let waited = ground.waits(FULL);
        disk.is_wide()?;
        waited?;
        if ground.said(program, words)? > before {
            ground.counts(&format!("writes refused to the {}", program.word()));
        }
    }
    Ok(())
}

/// One of the file systems.
#[derive(Debug)]
pub struct Disk(PathBuf);

impl Disk {
    /// That of a program, once [`lay`] has put it there.
    #[must_use]
    pub fn of(folder: &Folder, program: Program) -> Self {
        Self(folder.at(program.word()))
    }

    /// Leaves so many pages, and no more.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn keeps_pages(&self, left: u64) -> Result<()> {
        self.shrinks(|used, _| (used.saturating_add(left).max(1), INODES))
    }

    fn keeps_no_inode(&self) -> Result<()> {
        self.shrinks(|_, inodes| (PAGES, inodes.max(1)))
    }

    /// Gives all room back.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn is_wide(&self) -> Result<()> {
        resize(&self.0, PAGES, INODES).with_context(|| format!("widening {}", self.0.display()))
    }

    /// Makes it as small as what lies on it, in pages and inodes; measured again
    /// where something was written meanwhile.
    fn shrinks(&self, to: impl Fn(u64, u64) -> (u64, u64)) -> Result<()> {
        for _ in 0..TRIES {
            let now = statvfs(&self.0)?;
            let pages = now.f_blocks.saturating_sub(now.f_bfree);
            let inodes = now.f_files.saturating_sub(now.f_ffree);
            let (pages, inodes) = to(pages, inodes);
            if resize(&self.0, pages, inodes).is_ok() {
                return Ok(());
            }
        }
        bail!("{} could not be made full", self.0.display())
    }
}

fn resize(place: &Path, pages: u64, inodes: u64) -> Result<()> {
    let options = options(pages, inodes, "")?;
    Ok(mount_remount(place, MountFlags::empty(), &*options)?)
}

fn options(pages: u64, inodes: u64, more: &str) -> Result<CString> {
    let text = format!("nr_blocks={pages},nr_inodes={inodes}{more}");
    CString::new(text).context("options of a mount")
}
