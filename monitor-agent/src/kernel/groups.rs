//! Control groups of frozen sessions.
//!
//! A group whose every process is one session's is frozen as a whole: SIGCONT
//! does not wake what is in it, whoever sends it. The session's mark stands on
//! its folder as an extended attribute, so that a release takes back what was
//! done here and nothing else, also after a restart. A group that holds
//! anybody else's process is left alone.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs, io,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use monitor_common::SessionMark;
use rustix::fs::XattrFlags;
use tracing::warn;

use super::{cgroup_root, process::Process};

/// Where the mark of the session stands that a group was frozen for.
const MARK: &str = "trusted.monitor.frozen";
/// Most groups below one that are looked into.
const GROUPS_MAX: usize = 256;

/// Locks the groups that hold nobody else; how many are locked.
pub(super) fn lock(
    processes: &[Process],
    mark: SessionMark,
    is_own: impl Fn(u32) -> bool,
) -> usize {
    let Some(root) = cgroup_root() else {
        return 0;
    };
    let mut locked = 0;
    for group in groups_of(&root, processes) {
        let is_ours_alone = || all_own(&group, &is_own);
        if !is_ours_alone() || is_locked(&group) {
            locked += usize::from(is_marked(&group, mark));
            continue;
        }
        match set(&group, mark) {
            Ok(()) if is_ours_alone() => locked += 1,
            // Somebody came in between.
            Ok(()) => unset(&group, mark),
            Err(error) => {
                warn!(%error, group = %group.display(), "A control group could not be frozen; its processes are stopped one by one.");
            }
        }
    }
    locked
}

/// Unlocks what was locked for a session.
pub(super) fn unlock(processes: &[Process], mark: SessionMark) {
    let Some(root) = cgroup_root() else {
        return;
    };
    for group in groups_of(&root, processes) {
        unset(&group, mark);
    }
}

fn set(group: &Path, mark: SessionMark) -> io::Result<()> {
    // First: what is frozen without a mark would stay so.
    rustix::fs::setxattr(group, MARK, &mark.0, XattrFlags::empty())?;
    fs::write(group.join("cgroup.freeze"), "1")
}

fn unset(group: &Path, mark: SessionMark) {
    if !is_marked(group, mark) {
        return;
    }
    if let Err(error) = fs::write(group.join("cgroup.freeze"), "0") {
        warn!(%error, group = %group.display(), "A control group could not be let go on.");
        return;
    }
    let _ = rustix::fs::removexattr(group, MARK);
}

fn is_marked(group: &Path, mark: SessionMark) -> bool {
    let mut found = [0; 16];
    rustix::fs::getxattr(group, MARK, &mut found).is_ok_and(|bytes| bytes == 16) && found == mark.0
}

fn is_locked(group: &Path) -> bool {
    fs::read_to_string(group.join("cgroup.freeze")).is_ok_and(|text| text.trim() == "1")
}

/// The groups of processes, but the root, which cannot be frozen.
fn groups_of(root: &Path, processes: &[Process]) -> BTreeSet<PathBuf> {
    let group = |process: &Process| {
        let text = fs::read(format!("/proc/{}/cgroup", process.pid)).ok()?;
        let path = below_root(&text)?;
        // Outside of what is mounted here, or gone.
        let is_plain =
            !path.is_empty() && !path.split(|byte| *byte == b'/').any(|part| part == b"..");
        is_plain.then(|| root.join(OsStr::from_bytes(path)))
    };
    processes.iter().filter_map(group).collect()
}

/// The group of version 2 in a file `/proc/PID/cgroup`, without the slash before
/// it; names of groups may hold any bytes.
fn below_root(text: &[u8]) -> Option<&[u8]> {
    let mut lines = text.split(|byte| *byte == b'\n');
    lines.find_map(|line| line.strip_prefix(b"0::/"))
}

/// Whether everybody in a group, and in those below it, is the session's.
fn all_own(group: &Path, is_own: &impl Fn(u32) -> bool) -> bool {
    let mut waiting = vec![group.to_path_buf()];
    let mut looked = 0;
    while let Some(group) = waiting.pop() {
        looked += 1;
        let Ok(text) = fs::read_to_string(group.join("cgroup.procs")) else {
            return false;
        };
        let mut pids = text.lines().map(str::parse::<u32>);
        if looked > GROUPS_MAX || !pids.all(|pid| pid.is_ok_and(is_own)) {
            return false;
        }
        let Ok(below) = fs::read_dir(&group) else {
            return false;
        };
        let folders = below.flatten().map(|entry| entry.path());
        waiting.extend(folders.filter(|path| path.is_dir()));
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_is_found_by_a_name_of_any_bytes() {
        let text = b"1:name=systemd:/x\n0::/user.slice/\xff\n";
        assert_eq!(below_root(text), Some(&b"user.slice/\xff"[..]));
        assert_eq!(below_root(b"0::/\n"), Some(&b""[..]));
        assert_eq!(below_root(b"1:name=systemd:/x\n"), None);
    }
}
