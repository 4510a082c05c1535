//! What steering asks about the host: pipes, programs, addresses; and whose a
//! mark is.
//!
//! Pipes are looked at in the moment that somebody begins to steer a process.
//! Bound: [`DESCRIPTORS_MAX`] descriptors of a process.

use std::{
    fs,
    net::IpAddr,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::Path,
};

use monitor_model::{bytes::PathLabel, id::SessionId};

use crate::attribute::{Executables, Host, Jobs, SharedSessions};

/// Most descriptors of one process that are looked at.
pub(in crate::attribute) const DESCRIPTORS_MAX: usize = 4_096;

/// Its name in /proc.
const STANDARD_OUTPUT: &str = "1";

/// One end of a pipe or FIFO that a process has open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PipeEnd {
    /// Device and inode, as `stat` tells them.
    pub pipe: (u64, u64),
    /// Open for reading.
    pub reads: bool,
    /// Open for writing.
    pub writes: bool,
}

/// The pipes and FIFOs that a process has open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pipes {
    /// Each end; several descriptors may be the same.
    pub ends: Vec<PipeEnd>,
    /// Whether its standard output is open. Programs close it by themselves
    /// shortly before they end, to learn whether all was written: where it is
    /// closed, what it was is not to be seen any more.
    pub has_output: bool,
}

/// What is asked of what lies around.
pub(in crate::attribute) trait Around {
    /// The pipes that a process has open; none where it is gone.
    fn pipes(&mut self, process: (u32, u64)) -> Option<Pipes>;
    /// The program of a process.
    fn program(&mut self, process: (u32, u64)) -> Option<PathLabel>;
    /// Whose a mark is: of a job, the session's that left it.
    fn owner(&self, mark: SessionId) -> SessionId;
    /// The first process of a session: sshd's.
    fn leader(&self, session: SessionId) -> Option<u32>;
    /// Whether an address is this host's own, in a network namespace.
    fn is_own_address(&mut self, address: IpAddr, net_ns: u32) -> bool;
}

/// Whose a mark is: of a job, the session's that left it.
pub(in crate::attribute) fn owner(jobs: &Jobs, mark: SessionId) -> SessionId {
    let of_job = jobs.of_mark(mark).and_then(|who| who.session);
    of_job.unwrap_or(mark)
}

/// What lies around, on a host.
pub(in crate::attribute) struct Surroundings<'a, H> {
    pub(in crate::attribute) sessions: &'a SharedSessions,
    pub(in crate::attribute) jobs: &'a Jobs,
    pub(in crate::attribute) executables: &'a Executables,
    pub(in crate::attribute) host: &'a mut H,
}

impl<H: Host> Around for Surroundings<'_, H> {
    fn pipes(&mut self, process: (u32, u64)) -> Option<Pipes> {
        self.host.pipes(process)
    }

    fn program(&mut self, process: (u32, u64)) -> Option<PathLabel> {
        let known = self.executables.get(process).cloned();
        known.or_else(|| self.host.executable(process))
    }

    fn owner(&self, mark: SessionId) -> SessionId {
        owner(self.jobs, mark)
    }

    fn leader(&self, session: SessionId) -> Option<u32> {
        let sessions = self.sessions.lock();
        sessions.get(session).map(|session| session.leader_pid)
    }

    fn is_own_address(&mut self, address: IpAddr, net_ns: u32) -> bool {
        // Of another network namespace it is not known.
        !self.host.is_own_net_ns(net_ns) || self.host.is_own_address(address)
    }
}

/// The pipes that a process has open, by /proc; none where it is gone, or about
/// to go: then it has closed some or all by now.
#[must_use]
pub fn pipes(pid: u32) -> Option<Pipes> {
    let mut descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.peekable();
    descriptors.peek()?;
    let mut pipes = Pipes::default();
    for descriptor in descriptors.take(DESCRIPTORS_MAX) {
        let descriptor = descriptor.ok()?;
        pipes.has_output |= descriptor.file_name() == STANDARD_OUTPUT;
        pipes.ends.extend(pipe_end(pid, &descriptor.path()).ok()?);
    }
    Some(pipes)
}

/// A descriptor that was closed meanwhile.
struct Closed;

/// The end of a pipe that a descriptor is; none where it is something else.
fn pipe_end(pid: u32, descriptor: &Path) -> Result<Option<PipeEnd>, Closed> {
    let found = fs::metadata(descriptor).map_err(|_| Closed)?;
    if !found.file_type().is_fifo() {
        return Ok(None);
    }
    let access = access(pid, descriptor).ok_or(Closed)?;
    Ok(Some(PipeEnd {
        pipe: (found.dev(), found.ino()),
        reads: access == 0 || access == 2,
        writes: access == 1 || access == 2,
    }))
}

/// `O_ACCMODE` of a descriptor.
fn access(pid: u32, descriptor: &Path) -> Option<u32> {
    let number = descriptor.file_name()?.to_str()?;
    let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")).ok()?;
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?;
    Some(u32::from_str_radix(flags.trim(), 8).ok()? & 3)
}

#[cfg(test)]
mod tests {
    use std::{os::fd::AsFd as _, process::Stdio};

    use super::*;

    #[test]
    fn pipes_of_a_process_are_found_with_what_each_end_is_for() {
        let (reader, writer) = std::io::pipe().unwrap();
        // Other tests close descriptors meanwhile.
        let pipes = std::iter::repeat_with(|| pipes(std::process::id()));
        let Pipes { ends, .. } = pipes.flatten().next().unwrap();
        let inode = rustix::fs::fstat(reader.as_fd()).unwrap().st_ino;
        let of_pipe = ends.iter().filter(|end| end.pipe.1 == inode);
        let mut uses: Vec<_> = of_pipe.map(|end| (end.reads, end.writes)).collect();
        uses.sort_unstable();
        assert_eq!(uses, [(false, true), (true, false)]);
        drop(writer);
        assert_eq!(super::pipes(0), None);
    }

    #[test]
    fn a_process_that_closed_its_output_and_did_not_end_yet_is_told_from_others() {
        use std::io::{BufRead as _, BufReader};
        // A shell redirects itself for what it starts: the last word comes from another.
        for (script, has_output) in [
            ("echo x; read y", true),
            ("echo x; exec 1>&-; sh -c 'echo x >&2'; read y", false),
        ] {
            let mut child = std::process::Command::new("sh")
                .args(["-c", script])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let mut line = String::new();
            BufReader::new(child.stdout.take().unwrap())
                .read_line(&mut line)
                .unwrap();
            if !has_output {
                BufReader::new(child.stderr.take().unwrap())
                    .read_line(&mut line)
                    .unwrap();
            }
            let found = super::pipes(child.id()).unwrap();
            assert_eq!(found.has_output, has_output, "{script}");
            assert!(found.ends.iter().any(|end| end.reads), "{found:?}");
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    #[test]
    fn a_process_that_ended_and_is_not_reaped_is_gone() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let is_zombie = |stat: String| stat.rsplit_once(')').unwrap().1.starts_with(" Z");
        let stat = format!("/proc/{}/stat", child.id());
        while !is_zombie(fs::read_to_string(&stat).unwrap()) {
            std::thread::yield_now();
        }
        assert_eq!(pipes(child.id()), None);
        child.wait().unwrap();
    }
}
