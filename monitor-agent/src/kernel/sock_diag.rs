//! The kernel's list of IP sockets, and how one is closed: `sock_diag(7)`,
//! `linux/inet_diag.h`. Closing needs `CAP_NET_ADMIN` and a kernel with
//! `CONFIG_INET_DIAG_DESTROY`, which Debian's and Ubuntu's have.

use std::{
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    os::fd::OwnedFd,
};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const SOCK_DESTROY: u16 = 21;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const REQUEST: u16 = 1;
const ACK: u16 = 4;
const DUMP: u16 = 0x300;
/// `TCP_LISTEN` of `net/tcp_states.h`.
const LISTEN: u8 = 10;
/// Every state.
const ALL: u32 = u32::MAX;
/// Largest answer to one read.
const ANSWER_BYTES_MAX: usize = 65_536;
const HEAD_BYTES: usize = size_of::<Head>();

/// `struct nlmsghdr`.
#[derive(Clone, Copy, Default, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Head {
    bytes: u32,
    kind: u16,
    flags: u16,
    sequence: u32,
    port: u32,
}

/// `struct inet_diag_sockid`; ports and addresses in network byte order.
#[derive(Clone, Copy, Default, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Id {
    source_port: u16,
    peer_port: u16,
    source: [u8; 16],
    peer: [u8; 16],
    interface: u32,
    cookie: [u32; 2],
}

/// `struct inet_diag_req_v2`, with its head.
#[derive(Clone, Copy, Default, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Request {
    head: Head,
    family: u8,
    protocol: u8,
    extensions: u8,
    pad: u8,
    states: u32,
    id: Id,
}

/// `struct inet_diag_msg`.
#[derive(Clone, Copy, Default, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Found {
    family: u8,
    state: u8,
    timer: u8,
    retransmits: u8,
    id: Id,
    expires: u32,
    queued_in: u32,
    queued_out: u32,
    uid: u32,
    inode: u32,
}

/// A socket as the kernel lists it.
#[derive(Clone, Copy)]
pub(super) struct Listed {
    found: Found,
    protocol: u8,
}

impl Listed {
    /// Its inode; 0 where no process holds it any more.
    pub(super) fn inode(&self) -> u64 {
        u64::from(self.found.inode)
    }

    /// Whether it speaks TCP; else it is UDP.
    pub(super) fn is_tcp(&self) -> bool {
        i32::from(self.protocol) == libc::IPPROTO_TCP
    }

    /// Its state, by the numbers of `net/tcp_states.h`.
    pub(super) const fn state(&self) -> u8 {
        self.found.state
    }

    /// Its own end.
    pub(super) fn local(&self) -> SocketAddr {
        let id = &self.found.id;
        self.address(id.source, id.source_port)
    }

    /// Where it goes; none for one that listens.
    pub(super) fn peer(&self) -> Option<SocketAddr> {
        let id = &self.found.id;
        (self.found.state != LISTEN).then(|| self.address(id.peer, id.peer_port))
    }

    fn address(&self, bytes: [u8; 16], port: u16) -> SocketAddr {
        let address = match (i32::from(self.found.family), bytes) {
            (libc::AF_INET, [a, b, c, d, ..]) => IpAddr::from([a, b, c, d]),
            (_, bytes) => Ipv6Addr::from(bytes).to_canonical(),
        };
        SocketAddr::new(address, u16::from_be(port))
    }
}

/// The list of one network namespace: that of the thread that opened it.
pub(super) struct SockDiag {
    socket: OwnedFd,
    sequence: u32,
}

impl SockDiag {
    pub(super) fn open() -> io::Result<Self> {
        let socket = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::DGRAM,
            SocketFlags::CLOEXEC,
            Some(netlink::SOCK_DIAG),
        )?;
        Ok(Self {
            socket,
            sequence: 0,
        })
    }

    /// Every TCP and UDP socket.
    pub(super) fn list(&mut self) -> io::Result<Vec<Listed>> {
        let mut listed = Vec::new();
        for family in [libc::AF_INET, libc::AF_INET6] {
            for protocol in [libc::IPPROTO_TCP, libc::IPPROTO_UDP] {
                self.list_some(small(family), small(protocol), &mut listed)?;
            }
        }
        Ok(listed)
    }

    fn list_some(&mut self, family: u8, protocol: u8, listed: &mut Vec<Listed>) -> io::Result<()> {
        self.ask(Request {
            head: head(SOCK_DIAG_BY_FAMILY, DUMP),
            family,
            protocol,
            states: ALL,
            ..Request::default()
        })?;
        let mut room = vec![0; ANSWER_BYTES_MAX];
        loop {
            let (bytes, _) = rustix::net::recv(&self.socket, &mut *room, RecvFlags::empty())?;
            let mut rest = room.get(..bytes).unwrap_or_default();
            while let Some((head, body, behind)) = message(rest) {
                rest = behind;
                match head.kind {
                    NLMSG_DONE => return Ok(()),
                    NLMSG_ERROR => return answer(body),
                    _ => {
                        let found = Found::read_from_prefix(body).map(|(found, _)| found);
                        listed.extend(found.map(|found| Listed { found, protocol }));
                    }
                }
            }
            if bytes == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
        }
    }

    /// Closes a socket: its peer is told by a reset, who holds it by an error.
    pub(super) fn destroy(&mut self, socket: &Listed) -> io::Result<()> {
        self.ask(Request {
            head: head(SOCK_DESTROY, ACK),
            family: socket.found.family,
            protocol: socket.protocol,
            states: ALL,
            id: socket.found.id,
            ..Request::default()
        })?;
        let mut room = [0; 4_096];
        let (bytes, _) = rustix::net::recv(&self.socket, &mut room, RecvFlags::empty())?;
        let answered = room.get(..bytes).and_then(message);
        answered.map_or(Ok(()), |(_, body, _)| answer(body))
    }

    fn ask(&mut self, mut request: Request) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        request.head.sequence = self.sequence;
        rustix::net::send(&self.socket, request.as_bytes(), SendFlags::empty())?;
        Ok(())
    }
}

fn head(kind: u16, flags: u16) -> Head {
    Head {
        bytes: u32::try_from(size_of::<Request>()).unwrap_or(0),
        kind,
        flags: REQUEST | flags,
        ..Head::default()
    }
}

fn small(number: i32) -> u8 {
    u8::try_from(number).unwrap_or(0)
}

/// The first message: its head, its body, and what is behind it.
fn message(bytes: &[u8]) -> Option<(Head, &[u8], &[u8])> {
    let (head, _) = Head::read_from_prefix(bytes).ok()?;
    let length = usize::try_from(head.bytes).ok()?;
    let body = bytes.get(HEAD_BYTES..length)?;
    let next = length.next_multiple_of(4).min(bytes.len());
    Some((head, body, bytes.get(next..)?))
}

/// What the body of an answer says: 0 is yes.
fn answer(body: &[u8]) -> io::Result<()> {
    match i32::read_from_prefix(body) {
        Ok((0, _)) => Ok(()),
        Ok((error, _)) => Err(io::Error::from_raw_os_error(error.saturating_neg())),
        Err(_) => Err(io::Error::from(io::ErrorKind::InvalidData)),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn messages_are_as_long_as_the_kernels() {
        assert_eq!(size_of::<Request>(), 16 + 56);
        assert_eq!(size_of::<Found>(), 72);
    }

    #[test]
    fn what_is_cut_short_is_no_message() {
        assert!(message(&[0; 8]).is_none());
        for bytes in [64, 4] {
            // Longer than what came, shorter than its own head.
            let head = Head {
                bytes,
                ..Head::default()
            };
            assert!(message(head.as_bytes()).is_none());
        }
        assert!(answer(&[0, 0]).is_err());
    }

    #[test]
    fn own_connections_are_listed_with_their_peers() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stream = std::net::TcpStream::connect(address).unwrap();
        let own = stream.local_addr().unwrap();
        let listed = SockDiag::open().unwrap().list().unwrap();
        let to = |peer| listed.iter().filter(move |one| one.peer() == Some(peer));
        assert_eq!(to(address).count(), 1);
        assert_eq!(to(own).count(), 1, "the accepted end");
    }
}
