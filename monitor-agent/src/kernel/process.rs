//! A process by its pidfd: what acts on it cannot hit another with its id.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags},
    process::{Pid, PidfdFlags, Signal},
};

use super::KernelError;
use crate::lossy;

/// A process that cannot be mistaken for another with its id.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) pid: u32,
    pidfd: OwnedFd,
}

impl Process {
    pub(super) fn open(pid: u32) -> Result<Self, KernelError> {
        let id = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let id = id.ok_or(KernelError::NoProcess { pid })?;
        match rustix::process::pidfd_open(id, PidfdFlags::empty()) {
            Ok(pidfd) => Ok(Self { pid, pidfd }),
            Err(rustix::io::Errno::SRCH | rustix::io::Errno::INVAL) => {
                Err(KernelError::NoProcess { pid })
            }
            Err(error) => Err(KernelError::Process {
                action: "open",
                pid,
                error: error.into(),
            }),
        }
    }

    /// The key of its entry in task storage.
    pub(super) fn pidfd(&self) -> i32 {
        self.pidfd.as_raw_fd()
    }

    /// Whether all its threads have ended.
    pub(super) fn has_ended(&self) -> bool {
        self.wait_ended(Duration::ZERO)
    }

    /// Waits until all its threads have ended, at most so long.
    pub(super) fn wait_ended(&self, timeout: Duration) -> bool {
        let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
        let timeout = rustix::event::Timespec::try_from(timeout).ok();
        rustix::event::poll(&mut fds, timeout.as_ref()).is_ok_and(|ready| ready > 0)
    }

    pub(super) fn kill(&self) {
        // Gone already is what is wanted; anything else shows in the next round.
        let _ = rustix::process::pidfd_send_signal(&self.pidfd, Signal::KILL);
    }

    pub(super) fn stop(&self) {
        // As above.
        let _ = rustix::process::pidfd_send_signal(&self.pidfd, Signal::STOP);
    }

    /// Whether it was told to go on.
    pub(super) fn go_on(&self) -> bool {
        rustix::process::pidfd_send_signal(&self.pidfd, Signal::CONT).is_ok()
    }

    /// Start of the process in hundredths of a second since boot: field 22 of
    /// its `stat`. The second field, its name, may hold anything but is the
    /// only one in parentheses.
    pub(super) fn start_ticks(&self) -> Result<u64, KernelError> {
        let pid = self.pid;
        let stat =
            lossy::text(format!("/proc/{pid}/stat")).map_err(|_| KernelError::NoProcess { pid })?;
        let behind_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        behind_name
            .split_ascii_whitespace()
            .nth(19)
            .and_then(|field| field.parse().ok())
            .ok_or_else(|| KernelError::Process {
                action: "read the start of",
                pid,
                error: io::Error::new(io::ErrorKind::InvalidData, stat.clone()),
            })
    }
}
