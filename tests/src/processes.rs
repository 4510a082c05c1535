//! What runs on this machine, from /proc: a process is its pid and start time.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::poll;

/// How long killed processes may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// One process, and no later one with the same pid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Process {
    /// Its pid.
    pub pid: u32,
    /// Its start, in clock ticks since boot.
    pub started: u64,
}

impl Process {
    /// The process that has this pid now.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name is in parentheses and may hold anything, blanks included.
        let (_, after) = stat.rsplit_once(')')?;
        let mut fields = after.split_whitespace();
        let state = fields.next()?;
        let threads: u32 = fields.nth(16)?.parse().ok()?;
        let started = fields.nth(1)?.parse().ok()?;
        // One that only waits to be reaped runs nothing any more, once its
        // last thread is gone: until then its files and locks are held.
        let is_over = matches!(state, "Z" | "X") && threads <= 1;
        (!is_over).then_some(Self { pid, started })
    }

    /// Whether it still runs.
    #[must_use]
    pub fn lives(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// The file it runs, as the kernel tells; kept when the file is deleted.
    #[must_use]
    pub fn executable(self) -> Option<PathBuf> {
        fs::read_link(format!("/proc/{}/exe", self.pid)).ok()
    }

    /// Its arguments, for people.
    #[must_use]
    pub fn arguments(self) -> String {
        let bytes = fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        String::from_utf8_lossy(&bytes)
            .replace('\0', " ")
            .trim()
            .to_owned()
    }

    /// Its parent.
    #[must_use]
    pub fn parent(self) -> Option<u32> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).ok()?;
        let (_, after) = stat.rsplit_once(')')?;
        after.split_whitespace().nth(1)?.parse().ok()
    }

    /// Its place in the one hierarchy of control groups; empty where there is
    /// none.
    #[must_use]
    pub fn cgroup(self) -> String {
        let text = fs::read_to_string(format!("/proc/{}/cgroup", self.pid)).unwrap_or_default();
        let place = text.lines().find_map(|line| line.strip_prefix("0::"));
        place.unwrap_or_default().to_owned()
    }

    /// Whether it has the audit id of a login.
    #[must_use]
    pub fn has_login_uid(self) -> bool {
        let text = fs::read_to_string(format!("/proc/{}/loginuid", self.pid));
        text.is_ok_and(|text| text.trim().parse().is_ok_and(|uid: u32| uid != u32::MAX))
    }

    /// The number of its mount namespace.
    #[must_use]
    pub fn mount_namespace(self) -> Option<u64> {
        let file = format!("/proc/{}/ns/mnt", self.pid);
        fs::metadata(file).ok().map(|meta| meta.ino())
    }

    /// Kills it, if it is still the one.
    pub fn kill(self) {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else {
            return;
        };
        // Opened first and compared then: what is signalled is what was meant.
        if let Ok(handle) = pidfd_open(pid, PidfdFlags::empty())
            && self.lives()
        {
            // It can only be gone already.
            let _ = pidfd_send_signal(handle, Signal::KILL);
        }
    }
}

/// Every process.
///
/// # Errors
/// /proc cannot be read.
pub fn all() -> Result<Vec<Process>> {
    let entries = fs::read_dir("/proc").context("reading /proc")?;
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    Ok(pids.filter_map(Process::of).collect())
}

/// Every process that some login started, by whatever way: it has an audit id
/// of a login, descends from the listening sshd, or is in a unit that was made
/// on demand. The managers of users, which serve every login, are not.
///
/// # Errors
/// /proc cannot be read.
pub fn of_logins(listener: Process) -> Result<Vec<Process>> {
    let every = all()?;
    let parents: HashMap<u32, u32> = every
        .iter()
        .filter_map(|process| Some((process.pid, process.parent()?)))
        .collect();
    let is_below = |process: &Process| {
        let mut pid = process.pid;
        // Deeper than any tree of processes is: no loop, whatever was read.
        for _ in 0..every.len() {
            match parents.get(&pid) {
                Some(parent) if *parent == listener.pid => return true,
                Some(parent) => pid = *parent,
                None => return false,
            }
        }
        false
    };
    let is_of_login = |process: &Process| {
        let cgroup = process.cgroup();
        let manager = cgroup.contains("/user@") && cgroup.ends_with("/init.scope");
        let made = cgroup.contains("/run-") || cgroup.contains("/machine.slice/");
        !manager && (made || process.has_login_uid() || is_below(process))
    };
    let found = every
        .iter()
        .filter(|process| **process != listener && is_of_login(process) && process.lives());
    Ok(found.copied().collect())
}

/// Every process that runs a file of `folder`, or lives in a mount namespace
/// whose account file comes from there; never this process itself.
///
/// # Errors
/// /proc cannot be read.
pub fn of_folder(folder: &Path) -> Result<Vec<Process>> {
    let accounts = format!("{}/accounts/passwd /etc/passwd ", folder.display());
    let mut namespaces: HashMap<u64, bool> = HashMap::new();
    let own = std::process::id();
    let mut found = Vec::new();
    for process in all()? {
        let runs_ours = process
            .executable()
            .is_some_and(|file| file.starts_with(folder));
        let lives_in_ours = process.mount_namespace().is_some_and(|namespace| {
            *namespaces.entry(namespace).or_insert_with(|| {
                fs::read_to_string(format!("/proc/{}/mountinfo", process.pid))
                    .is_ok_and(|mounts| mounts.contains(&accounts))
            })
        });
        if (runs_ours || lives_in_ours) && process.pid != own {
            found.push(process);
        }
    }
    Ok(found)
}

/// Kills what `find` finds until it finds nothing; gives back how many.
///
/// # Errors
/// Some would not die.
pub fn kill_until_none(find: impl Fn() -> Result<Vec<Process>>) -> Result<usize> {
    let mut killed = HashSet::new();
    let gone = poll::until_ignoring_interrupts(GONE_WITHIN, || {
        let found = find()?;
        for process in &found {
            process.kill();
            killed.insert(*process);
        }
        // One that is dying has lost its file and its namespace, by which it
        // was found, before it gives back what it holds.
        let are_over = killed.iter().all(|process| !process.lives());
        Ok((found.is_empty() && are_over).then_some(()))
    })?;
    if gone.is_none() {
        killed.retain(|process| process.lives());
        let left: Vec<String> = killed
            .iter()
            .map(|process| format!("{} ({})", process.pid, process.arguments()))
            .collect();
        bail!("these processes would not die: {}", left.join(", "));
    }
    Ok(killed.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_with_another_start_time_is_another_process() {
        let own = Process::of(std::process::id()).unwrap();
        assert!(own.lives());
        let later = Process {
            started: own.started + 1,
            ..own
        };
        assert!(!later.lives());
    }

    #[test]
    fn killed_process_lives_no_more() {
        let mut child = std::process::Command::new("sleep")
            .arg("600")
            .spawn()
            .unwrap();
        let process = Process::of(child.id()).unwrap();
        process.kill();
        child.wait().unwrap();
        assert!(!process.lives());
    }
}
