//! Takes a stage down, whoever left it and however it ended.
//!
//! What belongs to a stage is recognised by what it is (a file under its
//! folder, a mount namespace with its accounts, a fixed name), never by notes
//! that a killed process could not write.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::mount::{UnmountFlags, unmount};

use super::folder::{PARENT, PREFIX};
use super::network::Network;
use crate::command::{self, command};
use crate::{poll, processes};

/// How long the kernel may take to let go of a mount.
const UNMOUNTED_WITHIN: Duration = Duration::from_secs(5);

/// Removes every stage that was left behind; the caller holds the lock.
/// Gives back the folders that were found.
///
/// # Errors
/// What would not go, and why.
pub fn sweep() -> Result<Vec<PathBuf>> {
    let folders = left_behind()?;
    for folder in &folders {
        remove(folder)?;
    }
    // Names are fixed, so they may be left without a folder.
    Network::remove()?;
    Ok(folders)
}

/// Takes one stage down: processes, probes, mounts, network, folder.
///
/// # Errors
/// What would not go, and why. What can go is gone by then.
pub fn remove(folder: &Path) -> Result<()> {
    let mut wrong = Vec::new();
    let mut step = |name: &str, result: Result<()>| {
        if let Err(error) = result {
            wrong.push(format!("{name}: {error:#}"));
        }
    };
    step(
        "processes",
        processes::kill_until_none(|| processes::of_folder(folder)).map(drop),
    );
    step("probes", detach(folder));
    step("mounts", unmount_all(folder));
    step("network", Network::remove());
    step("folder", remove_folder(folder));
    if wrong.is_empty() {
        return Ok(());
    }
    anyhow::bail!(
        "{} was not removed whole: {}",
        folder.display(),
        wrong.join("; ")
    )
}

fn left_behind() -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(PARENT).with_context(|| format!("reading {PARENT}"))?;
    let mut folders: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.starts_with(PREFIX)) && path.is_dir()
        })
        .collect();
    folders.sort();
    Ok(folders)
}

/// Asks the agent to remove its probes; what is pinned lies under the folder.
///
/// # Errors
/// It did not, with what it said.
pub fn detach(folder: &Path) -> Result<()> {
    let (agent, config) = (folder.join("bin/monitor-agent"), folder.join("agent.toml"));
    let pins = folder.join("bpf");
    if !agent.exists() || !config.exists() || is_empty(&pins) {
        return Ok(());
    }
    command::stdout(command(&agent, ["detach", "--config"]).arg(&config)).map(drop)
}

fn is_empty(place: &Path) -> bool {
    fs::read_dir(place).map_or(true, |mut entries| entries.next().is_none())
}

/// Unmounts whatever is mounted under the folder, innermost first.
fn unmount_all(folder: &Path) -> Result<()> {
    let left = poll::until_ignoring_interrupts(UNMOUNTED_WITHIN, || {
        let mounts = mounts_under(folder)?;
        for mount in mounts.iter().rev() {
            // Asked again until none is listed.
            let _ = unmount(mount, UnmountFlags::empty());
        }
        Ok(mounts.is_empty().then_some(()))
    })?;
    if left.is_none() {
        anyhow::bail!("still mounted: {:?}", mounts_under(folder)?);
    }
    Ok(())
}

fn mounts_under(folder: &Path) -> Result<Vec<PathBuf>> {
    let table = fs::read_to_string("/proc/self/mountinfo").context("reading the mounts")?;
    let points = table
        .lines()
        .filter_map(|line| line.split(' ').nth(4).map(PathBuf::from));
    Ok(points.filter(|point| point.starts_with(folder)).collect())
}

fn remove_folder(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", folder.display()))
        }
        _ => Ok(()),
    }
}
