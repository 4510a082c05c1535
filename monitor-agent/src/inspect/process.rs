//! What `/proc` says of one process.

use std::{
    ffi::OsString,
    fs,
    io::{self, Read as _},
    os::unix::{ffi::OsStringExt as _, fs::MetadataExt as _},
    path::Path,
};

use monitor_common::file::device_from_stat;
use monitor_model::{
    bytes::ByteText,
    clock::UnixNs,
    event::{FileObject, Ids},
    id::SessionId,
    inspect::{Namespace, NamespaceKind, ProcessState, SeenProcess},
    live::{Arguments, ProcessKey},
};

use super::{Look, count};
use crate::{
    attribute::{device_as_stat, host::ProcessStat, terminal_name},
    kernel::{FileIdentity, KernelError},
    lossy,
    redact::Cut,
};

/// Most bytes of one process's arguments that are shown.
const ARGUMENTS_BYTES_MAX: usize = 4_096;
/// Most threads whose state is asked for.
const THREADS_MAX: usize = 4_096;
/// Clock ticks of /proc in a second.
const TICK_NS: u64 = 10_000_000;

/// A process that is to be looked at.
pub(super) struct Looked {
    pub(super) start_ticks: u64,
    pub(super) pid: u32,
    /// The mark that it carries.
    pub(super) mark: SessionId,
    /// The same, where that is a job's.
    pub(super) job: Option<SessionId>,
    /// Whether the kernel is told to have it stand still.
    pub(super) is_held: bool,
}

impl Look<'_> {
    /// None where it is gone, or another's now.
    pub(super) fn process(&mut self, one: &Looked) -> Result<Option<SeenProcess>, KernelError> {
        let pid = one.pid;
        let Ok(stat) = ProcessStat::read(pid) else {
            return Ok(None);
        };
        let Some(ids) = lossy::text(format!("/proc/{pid}/status"))
            .ok()
            .and_then(|status| ids(&status))
        else {
            return Ok(None);
        };
        let (state, threads) = state(pid, one.is_held);
        let exe = self.program(pid);
        let name = exe.as_ref().map(|exe| exe.path.text.file_name().0);
        let arguments = self.arguments(pid, name.as_deref().unwrap_or_default());
        let cwd = link(&format!("/proc/{pid}/cwd")).map(|text| self.path(text));
        let root = link(&format!("/proc/{pid}/root")).filter(|root| root != b"/");
        let root = root.map(|text| self.path(text));
        let (descriptors, more_descriptors) = self.descriptors(pid)?;
        if !self.is_still(one) {
            return Ok(None);
        }
        let start_boot_ns = one.start_ticks.saturating_mul(TICK_NS);
        let started_at = u64::try_from(self.since_boot.unix_ns(start_boot_ns));
        let terminal = (stat.tty != 0).then(|| terminal_name(device_from_stat(stat.tty.into())));
        Ok(Some(SeenProcess {
            key: ProcessKey { start_boot_ns, pid },
            started_at: UnixNs(started_at.unwrap_or(0)),
            parent_pid: stat.parent_pid,
            job: one.job,
            threads,
            state,
            exe,
            arguments,
            ids,
            terminal,
            cwd,
            root,
            namespaces: namespaces(pid),
            descriptors,
            more_descriptors,
        }))
    }

    /// Whether the number is still that process's, and it still that session's.
    fn is_still(&self, one: &Looked) -> bool {
        let is_same =
            ProcessStat::read(one.pid).is_ok_and(|stat| stat.start_ticks == one.start_ticks);
        let of = self.inspector.marks.session_of(one.pid);
        is_same && matches!(of, Ok(Some(of)) if of == one.mark)
    }

    fn program(&mut self, pid: u32) -> Option<FileObject> {
        let path = format!("/proc/{pid}/exe");
        let text = link(&path)?;
        let file = self.inspector.objects.identify(Path::new(&path)).ok();
        Some(self.object(file, text, Path::new(&path)))
    }

    /// The object behind a link of /proc: as the kernel programs see it, else as
    /// `stat` does.
    pub(super) fn object(
        &mut self,
        file: Option<FileIdentity>,
        text: Vec<u8>,
        link: &Path,
    ) -> FileObject {
        // A device node stands for its device there, wherever it lies.
        let file = file.filter(|file| file.device != monitor_common::watch::DEVICE_NODE);
        let (device, inode, generation) = match (file, fs::metadata(link)) {
            (Some(file), _) => {
                let device = device_as_stat(file.device);
                (device, file.inode, file.generation.unwrap_or(0))
            }
            (None, Ok(stated)) => (stated.dev(), stated.ino(), 0),
            (None, Err(_)) => (0, 0, 0),
        };
        FileObject {
            device,
            inode,
            generation,
            path: self.path(text),
        }
    }

    /// None where its memory has none, or cannot be read.
    fn arguments(&mut self, pid: u32, program: &[u8]) -> Option<Arguments> {
        let file = fs::File::open(format!("/proc/{pid}/cmdline")).ok()?;
        let most = u64::try_from(ARGUMENTS_BYTES_MAX).unwrap_or(u64::MAX);
        let mut text = Vec::new();
        file.take(most + 1).read_to_end(&mut text).ok()?;
        let truncated = text.len() > ARGUMENTS_BYTES_MAX;
        text.truncate(ARGUMENTS_BYTES_MAX);
        let text = text.strip_suffix(b"\0").unwrap_or(&text);
        if text.is_empty() {
            return None;
        }
        let argv: Vec<&[u8]> = text.split(|byte| *byte == 0).collect();
        let cut = if truncated { Cut::Yes } else { Cut::No };
        let (argv, redacted) = self.inspector.redactor.arguments(&argv, program, cut);
        self.room.take_text(argv.iter().map(Vec::len).sum());
        Some(Arguments {
            argv: argv.into_iter().map(ByteText).collect(),
            truncated,
            redacted,
        })
    }
}

/// Where a link of /proc leads, as it says itself.
pub(super) fn link(path: &str) -> Option<Vec<u8>> {
    let target: io::Result<OsString> = fs::read_link(path).map(Into::into);
    target.ok().map(OsString::into_vec)
}

/// User and group, of its `status`.
fn ids(status: &str) -> Option<Ids> {
    let field = |name: &str, place: usize| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_ascii_whitespace().nth(place)?.parse().ok()
    };
    Some(Ids {
        uid: field("Uid:", 0)?,
        euid: field("Uid:", 1)?,
        gid: field("Gid:", 0)?,
    })
}

/// What it does, and how many threads it has: the liveliest counts.
fn state(pid: u32, is_held: bool) -> (ProcessState, u32) {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"));
    let mut threads = 0;
    let mut liveliest = ProcessState::Ended;
    for task in tasks.into_iter().flatten().flatten() {
        threads += 1;
        if threads > THREADS_MAX {
            continue;
        }
        let stat = lossy::text(task.path().join("stat"));
        if let Some(letter) = stat.ok().as_deref().and_then(letter) {
            // Declared in the order of liveliness.
            liveliest = liveliest.min(meaning(letter, is_held));
        }
    }
    (liveliest, count(threads))
}

/// Third field of a `stat`: the name before it may hold anything.
fn letter(stat: &str) -> Option<char> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.trim_start().chars().next()
}

const fn meaning(letter: char, is_held: bool) -> ProcessState {
    match (letter, is_held) {
        ('R', _) => ProcessState::Running,
        ('D', _) => ProcessState::Asleep,
        ('T' | 't', true) => ProcessState::Frozen,
        ('T' | 't', false) => ProcessState::Stopped,
        ('Z' | 'X', _) => ProcessState::Ended,
        _ => ProcessState::Sleeping,
    }
}

/// Those that are others than the host's.
fn namespaces(pid: u32) -> Vec<Namespace> {
    let inode = |pid: &str, kind: NamespaceKind| {
        let path = format!("/proc/{pid}/ns/{kind}");
        fs::metadata(path).ok().map(|found| found.ino())
    };
    let pid = pid.to_string();
    let others = NamespaceKind::ALL.iter().filter_map(|kind| {
        let own = inode(&pid, *kind)?;
        let is_hosts = inode("1", *kind) == Some(own);
        (!is_hosts).then_some(Namespace {
            kind: *kind,
            inode: own,
        })
    });
    others.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_read_and_what_is_cut_is_none() {
        let status = "Name:\tx\nUid:\t1000\t0\t0\t0\nGid:\t100\t100\t100\t100\n";
        let wanted = Ids {
            uid: 1_000,
            euid: 0,
            gid: 100,
        };
        assert_eq!(ids(status), Some(wanted));
        assert_eq!(ids("Uid:\t1000\n"), None);
    }

    #[test]
    fn who_stands_still_with_the_session_is_frozen_and_who_was_stopped_is_not() {
        assert_eq!(meaning('T', true), ProcessState::Frozen);
        assert_eq!(meaning('T', false), ProcessState::Stopped);
        assert_eq!(letter("17 (a) R) T 1 2"), Some('T'));
        // Of threads the liveliest counts.
        assert!(ProcessState::Running < ProcessState::Frozen);
        assert!(ProcessState::Asleep < ProcessState::Frozen);
    }
}
