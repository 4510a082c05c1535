//! The process behind a hook: sshd's process of the connection.
//!
//! A hook says nothing of itself. Its process id comes from the socket, the
//! parent from /proc; both are held by descriptors that no other process can
//! slip under, and the parenthood is read again once they are held.

use std::{fs, io, os::fd::OwnedFd};

use rustix::{
    event::{PollFd, PollFlags, Timespec},
    process::{Pid, PidfdFlags, pidfd_open},
};

use crate::attribute::host::ProcessStat;

/// The parent of who asked.
#[derive(Debug)]
pub struct Parent {
    /// Its process id, valid while this is held and [`Parent::is_alive`].
    pub pid: u32,
    pidfd: OwnedFd,
}

impl Parent {
    /// Finds the parent of a process that waits for an answer.
    ///
    /// # Errors
    /// What the system says; `NotFound` when one of them is gone.
    pub fn of(pid: u32) -> io::Result<Self> {
        let child = open(pid)?;
        let stat = ProcessStat::read(pid)?;
        let parent = Self {
            pid: stat.parent_pid,
            pidfd: open(stat.parent_pid)?,
        };
        // Both are held now; is it still so?
        let again = ProcessStat::read(pid)?;
        if again != stat || has_ended(&child) || !parent.is_alive() {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "the process is gone",
            ));
        }
        if parent.pid <= 1 {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "the process was left by its parent",
            ));
        }
        Ok(parent)
    }

    /// Whether it lives, so that its process id is still its own.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        !has_ended(&self.pidfd)
    }

    /// Its audit session; none when unset.
    #[must_use]
    pub fn audit_session(&self) -> Option<u32> {
        let text = fs::read_to_string(format!("/proc/{}/sessionid", self.pid)).ok()?;
        text.trim().parse().ok().filter(|id| *id != u32::MAX)
    }
}

fn open(pid: u32) -> io::Result<OwnedFd> {
    let id = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let id = id.ok_or(io::ErrorKind::InvalidInput)?;
    Ok(pidfd_open(id, PidfdFlags::empty())?)
}

fn has_ended(pidfd: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(pidfd, PollFlags::IN)];
    rustix::event::poll(&mut fds, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_of_a_child_is_this_process() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let parent = Parent::of(child.id()).unwrap();
        assert_eq!(parent.pid, std::process::id());
        assert!(parent.is_alive());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(Parent::of(child.id()).is_err());
    }
}
