//! Where the sockets of a session go: TCP and UDP as `sock_diag` lists them,
//! those within the host as `/proc/PID/net/unix` does. What neither lists (raw,
//! netlink, vsock) is shown as a socket of another protocol.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::SocketAddr,
};

use monitor_model::{
    bytes::ByteText,
    event::SocketAddress,
    inspect::{ConnectionState, Descriptor, DescriptorKind, OpenSocket, SocketProtocol},
};

use crate::{
    kernel::{IpSocket, ip_sockets},
    redact::{Cut, Redactor},
};

/// `__SO_ACCEPTCON` of `linux/net.h`: it listens.
const ACCEPTS: u32 = 1 << 16;
/// `SS_CONNECTED` of `linux/net.h`.
const CONNECTED: u32 = 3;
/// Largest list of sockets within the host that is read.
const LIST_BYTES_MAX: u64 = 64 << 20;

/// Sockets by their inode.
pub(super) struct Sockets(BTreeMap<u64, OpenSocket>);

impl Sockets {
    /// Those of these sockets that are listed where these processes are.
    pub(super) fn of(pids: &BTreeSet<u32>, held: &BTreeSet<u64>) -> Self {
        let mut known = BTreeMap::new();
        for socket in ip_sockets(pids, held) {
            known.insert(socket.inode, of_ip(&socket));
        }
        let is_listed =
            |known: &BTreeMap<u64, OpenSocket>| held.iter().all(|inode| known.contains_key(inode));
        let mut namespaces = BTreeSet::new();
        for pid in pids {
            if is_listed(&known) {
                break;
            }
            let namespace = fs::read_link(format!("/proc/{pid}/ns/net"));
            if namespace.is_ok_and(|namespace| namespaces.insert(namespace)) {
                within(&unix_list(*pid), held, &mut known);
            }
        }
        Self(known)
    }

    /// Says of each socket among these what is known.
    pub(super) fn tell(&self, descriptors: &mut [Descriptor], redactor: &Redactor) {
        let sockets = descriptors.iter_mut();
        for one in sockets.filter(|one| one.kind == DescriptorKind::Socket) {
            let inode = one.object.inode;
            let mut known = self.0.get(&inode).cloned().unwrap_or_else(unknown);
            redactor.text(&mut known.name, Cut::No);
            one.socket = Some(known);
        }
    }
}

const fn unknown() -> OpenSocket {
    OpenSocket {
        protocol: SocketProtocol::Other,
        state: None,
        local: None,
        peer: None,
        name: ByteText(Vec::new()),
    }
}

fn of_ip(socket: &IpSocket) -> OpenSocket {
    let end = |address: SocketAddr| SocketAddress {
        address: address.ip(),
        port: address.port(),
    };
    let is_somewhere = |address: &SocketAddr| address.port() != 0;
    let protocol = if socket.is_tcp {
        SocketProtocol::Tcp
    } else {
        SocketProtocol::Udp
    };
    OpenSocket {
        protocol,
        state: state(socket.state),
        local: Some(socket.local).filter(is_somewhere).map(end),
        peer: socket.peer.filter(is_somewhere).map(end),
        name: ByteText::default(),
    }
}

/// By the numbers of `net/tcp_states.h`.
const fn state(number: u8) -> Option<ConnectionState> {
    Some(match number {
        1 => ConnectionState::Established,
        2 => ConnectionState::SynSent,
        // A connection that was asked for and is not whole yet has one of its own.
        3 | 12 => ConnectionState::SynReceived,
        4 => ConnectionState::FinWait1,
        5 => ConnectionState::FinWait2,
        6 => ConnectionState::TimeWait,
        7 => ConnectionState::Closed,
        8 => ConnectionState::CloseWait,
        9 => ConnectionState::LastAck,
        10 => ConnectionState::Listening,
        11 => ConnectionState::Closing,
        _ => return None,
    })
}

/// The list of the network namespace that a process is in.
fn unix_list(pid: u32) -> Vec<u8> {
    use std::io::Read as _;
    let mut list = Vec::new();
    let file = fs::File::open(format!("/proc/{pid}/net/unix"));
    // Gone, or no list: what is not listed is shown as such.
    let read = file.and_then(|file| file.take(LIST_BYTES_MAX).read_to_end(&mut list));
    if read.is_err() {
        list.clear();
    }
    list
}

/// `Num RefCount Protocol Flags Type St Inode Path`, the first six as hexadecimal
/// numbers.
fn within(list: &[u8], held: &BTreeSet<u64>, known: &mut BTreeMap<u64, OpenSocket>) {
    for line in list.split(|byte| *byte == b'\n').skip(1) {
        let mut fields = line.splitn(7, |byte| *byte == b' ');
        let (Some(flags), Some(state), Some(rest)) =
            (number(fields.nth(3)), number(fields.nth(1)), fields.next())
        else {
            continue;
        };
        // The inode is filled up with spaces on its left.
        let mut parts = rest.trim_ascii_start().splitn(2, |byte| *byte == b' ');
        let inode = parts
            .next()
            .and_then(|inode| std::str::from_utf8(inode).ok());
        let Some(inode) = inode.and_then(|inode| inode.parse::<u64>().ok()) else {
            continue;
        };
        if !held.contains(&inode) {
            continue;
        }
        let state = match (flags & ACCEPTS != 0, state) {
            (true, _) => ConnectionState::Listening,
            (false, CONNECTED) => ConnectionState::Established,
            (false, _) => ConnectionState::Closed,
        };
        let name = ByteText(parts.next().unwrap_or_default().to_vec());
        known.insert(
            inode,
            OpenSocket {
                protocol: SocketProtocol::Unix,
                state: Some(state),
                name,
                ..unknown()
            },
        );
    }
}

fn number(hexadecimal: Option<&[u8]>) -> Option<u32> {
    let text = std::str::from_utf8(hexadecimal?).ok()?;
    u32::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_within_the_host_are_read_with_their_names() {
        let list = b"Num       RefCount Protocol Flags    Type St Inode Path\n\
            0000000000000000: 00000002 00000000 00010000 0001 01    42 /run/a b.sock\n\
            0000000000000000: 00000003 00000000 00000000 0001 03 123456\n\
            0000000000000000: 00000003 00000000 00000000 0002 01  77 @x\n\
            broken\n";
        let mut known = BTreeMap::new();
        within(list, &[42, 123_456].into(), &mut known);
        assert_eq!(known.len(), 2, "who is not asked for is not told");
        let first = &known[&42];
        assert_eq!(first.name.to_string(), "/run/a b.sock");
        assert_eq!(first.state, Some(ConnectionState::Listening));
        assert_eq!(known[&123_456].state, Some(ConnectionState::Established));
        assert_eq!(known[&123_456].name, ByteText::default());
    }

    #[test]
    fn every_state_of_tcp_has_its_name() {
        let named: BTreeSet<_> = (0..=13).filter_map(state).collect();
        assert_eq!(named.len(), ConnectionState::ALL.len());
        assert_eq!(state(0), None);
    }
}
