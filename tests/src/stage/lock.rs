//! One stage at a time on a machine: its interfaces and addresses are fixed.
//!
//! The lock is an abstract unix socket: it ends with its process, whatever
//! ends that, and tells who holds it.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::net::sockopt::socket_peercred;

use crate::{poll, processes::Process};

/// The socket's name.
const NAME: &str = "monitor-demo-stage";

/// What to do when another stage stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Say who holds it, and end.
    Refuse,
    /// Wait for it, this long.
    Wait(Duration),
}

/// The right to set a stage.
#[derive(Debug)]
pub struct Lock {
    _listener: UnixListener,
}

impl Lock {
    /// Takes it.
    ///
    /// # Errors
    /// Somebody else holds it: who, and what would help.
    pub fn take(patience: Patience) -> Result<Self> {
        let deadline = match patience {
            Patience::Refuse => Duration::ZERO,
            Patience::Wait(deadline) => deadline,
        };
        let address = SocketAddr::from_abstract_name(NAME).context("naming the lock")?;
        let taken =
            poll::until(
                "the end of the other stage",
                deadline,
                || match UnixListener::bind_addr(&address) {
                    Ok(listener) => Ok(Some(Self {
                        _listener: listener,
                    })),
                    Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Ok(None),
                    Err(error) => Err(error).context("taking the lock of the stage"),
                },
            );
        taken.or_else(|error| match holder(&address) {
            Some(holder) => bail!(
                "another demo or end-to-end test is running on this machine: process {} (`{}`); \
                 there can be only one, since its interfaces and addresses are fixed. Wait for \
                 it, or end it with Ctrl-C (or `kill {}`)",
                holder.pid,
                holder.arguments(),
                holder.pid
            ),
            None => Err(error),
        })
    }
}

/// Who listens there.
fn holder(address: &SocketAddr) -> Option<Process> {
    let stream = UnixStream::connect_addr(address).ok()?;
    let credentials = socket_peercred(&stream).ok()?;
    Process::of(credentials.pid.as_raw_nonzero().get().try_into().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_stage_is_told_who_holds_the_lock() {
        let Ok(_first) = Lock::take(Patience::Refuse) else {
            eprintln!("SKIPPED: a stage stands on this machine just now");
            return;
        };
        let text = Lock::take(Patience::Refuse).unwrap_err().to_string();
        let own = format!("process {}", std::process::id());
        assert!(
            text.contains("another demo") && text.contains(&own),
            "{text}"
        );
    }
}
