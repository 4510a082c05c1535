//! Cuts the connections of sessions: closes their IP sockets in the kernel.
//!
//! In: processes. Out: how many sockets were closed. A socket that a process
//! outside holds too is not closed, and told. In every network namespace that
//! one of the processes is in. Not seen: unix sockets, and what is neither TCP
//! nor UDP. Minimum kernel: 4.9 with `CONFIG_INET_DIAG_DESTROY`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io,
    net::SocketAddr,
    os::{fd::AsFd as _, unix::fs::MetadataExt as _},
};

use monitor_common::SessionMark;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tracing::warn;

use super::{KernelError, Probes, sock_diag::SockDiag};

/// What [`Probes::cut_connections`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// Sockets that were closed.
    pub closed: usize,
    /// Sockets that a process outside holds too: they were left alone.
    pub shared: usize,
    /// Sockets that the kernel would not close.
    pub refused: usize,
}

impl Probes {
    /// Closes every TCP and UDP socket that only processes with these marks
    /// hold, but those that go to `spared`: the login itself. Blocks;
    /// milliseconds, more on a host with very many open files.
    ///
    /// # Errors
    /// [`KernelError::Process`] where /proc cannot be listed.
    pub fn cut_connections(
        &self,
        marks: &[SessionMark],
        spared: Option<SocketAddr>,
    ) -> Result<Cut, KernelError> {
        let mut inside = BTreeSet::new();
        for mark in marks {
            let processes = self.sessions.processes_of(*mark)?;
            inside.extend(processes.iter().map(|process| process.pid));
        }
        let held: BTreeSet<u64> = inside.iter().flat_map(|pid| sockets_of(*pid)).collect();
        if held.is_empty() {
            return Ok(Cut::default());
        }
        let outside = held_outside(&held, &inside)?;
        let mut cut = Cut::default();
        for namespace in namespaces(&inside).into_values() {
            let want = Want {
                held: &held,
                outside: &outside,
                spared,
            };
            // A thread of its own: a namespace is a thread's.
            let found = std::thread::scope(|scope| scope.spawn(|| want.close(&namespace)).join());
            match found {
                Ok(Ok(found)) => {
                    cut.closed += found.closed;
                    cut.shared += found.shared;
                    cut.refused += found.refused;
                }
                Ok(Err(error)) => {
                    warn!(%error, "The connections of a network namespace could not be listed, so none was cut.");
                    cut.refused += 1;
                }
                Err(_) => cut.refused += 1,
            }
        }
        Ok(cut)
    }
}

/// Which sockets are to be closed.
struct Want<'a> {
    held: &'a BTreeSet<u64>,
    outside: &'a BTreeSet<u64>,
    spared: Option<SocketAddr>,
}

impl Want<'_> {
    fn close(&self, namespace: &File) -> io::Result<Cut> {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
        let mut list = SockDiag::open()?;
        let mut cut = Cut::default();
        for socket in list.list()? {
            let is_spared = self.spared.is_some() && socket.peer() == self.spared;
            if !self.held.contains(&socket.inode()) || is_spared {
                continue;
            }
            if self.outside.contains(&socket.inode()) {
                cut.shared += 1;
                continue;
            }
            match list.destroy(&socket) {
                Ok(()) => cut.closed += 1,
                // It ended by itself.
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
                Err(error) => {
                    warn!(%error, "A connection of a contained session was not cut by the kernel.");
                    cut.refused += 1;
                }
            }
        }
        Ok(cut)
    }
}

/// A TCP or UDP socket, as its network namespace lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpSocket {
    /// Its inode: of all namespaces together, one is given once.
    pub inode: u64,
    /// Whether it speaks TCP; else it is UDP.
    pub is_tcp: bool,
    /// Its state, by the numbers of `net/tcp_states.h`.
    pub state: u8,
    /// Its own end.
    pub local: SocketAddr,
    /// Where it goes; none for one that listens.
    pub peer: Option<SocketAddr>,
}

/// Those of these TCP and UDP sockets that the network namespaces of these
/// processes list. Namespaces that cannot be listed are told in the log. Blocks;
/// milliseconds, more on a host with very many connections.
#[must_use]
pub fn ip_sockets(pids: &BTreeSet<u32>, held: &BTreeSet<u64>) -> Vec<IpSocket> {
    let mut found = Vec::new();
    if held.is_empty() {
        return found;
    }
    for namespace in namespaces(pids).into_values() {
        // A thread of its own: a namespace is a thread's.
        let listed = std::thread::scope(|scope| scope.spawn(|| listed_in(&namespace, held)).join());
        match listed {
            Ok(Ok(listed)) => found.extend(listed),
            Ok(Err(error)) => {
                warn!(%error, "The connections of a network namespace could not be listed.");
            }
            Err(_) => warn!("The connections of a network namespace could not be listed."),
        }
    }
    found
}

fn listed_in(namespace: &File, held: &BTreeSet<u64>) -> io::Result<Vec<IpSocket>> {
    let inode = |file: &File| Ok::<_, io::Error>(file.metadata()?.ino());
    // Going where one is already takes a right all the same.
    if inode(&File::open("/proc/thread-self/ns/net")?)? != inode(namespace)? {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
    }
    let listed = SockDiag::open()?.list()?.into_iter();
    let of_these = listed.filter(|socket| held.contains(&socket.inode()));
    Ok(of_these
        .map(|socket| IpSocket {
            inode: socket.inode(),
            is_tcp: socket.is_tcp(),
            state: socket.state(),
            local: socket.local(),
            peer: socket.peer(),
        })
        .collect())
}

/// Inodes of the sockets that a process holds.
fn sockets_of(pid: u32) -> BTreeSet<u64> {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return BTreeSet::new();
    };
    let targets = descriptors
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok());
    targets
        .filter_map(|target| {
            let name = target.to_str()?;
            let number = name.strip_prefix("socket:[")?.strip_suffix(']')?;
            number.parse().ok()
        })
        .collect()
}

/// Which of these sockets somebody else holds.
fn held_outside(
    held: &BTreeSet<u64>,
    inside: &BTreeSet<u32>,
) -> Result<BTreeSet<u64>, KernelError> {
    let failed = |error| KernelError::Process {
        action: "list",
        pid: 0,
        error,
    };
    let mut outside = BTreeSet::new();
    for entry in fs::read_dir("/proc").map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let pid = name.to_str().and_then(|name| name.parse::<u32>().ok());
        if let Some(pid) = pid.filter(|pid| !inside.contains(pid)) {
            outside.extend(sockets_of(pid).intersection(held));
        }
    }
    Ok(outside)
}

/// The network namespaces of processes, by inode.
fn namespaces(pids: &BTreeSet<u32>) -> BTreeMap<u64, File> {
    let open = |pid: &u32| {
        let file = File::open(format!("/proc/{pid}/ns/net")).ok()?;
        let inode = file.metadata().ok()?.ino();
        Some((inode, file))
    };
    pids.iter().filter_map(open).collect()
}
