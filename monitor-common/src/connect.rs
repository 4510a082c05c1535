//! A socket was connected.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::header::Header;

/// A socket was connected, or was refused to be: TCP, and UDP with a fixed
/// peer. Told before the first packet; whether the peer answered is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Connect {
    /// Who called.
    pub header: Header,
    /// Peer: IPv6, or IPv4-mapped IPv6; network byte order.
    pub addr: [u8; 16],
    /// Identity of the socket's network namespace, never used twice.
    pub netns_cookie: u64,
    /// Peer's port, host byte order.
    pub port: u16,
    /// Family of the socket: 2 is IPv4, 10 IPv6 (which reaches IPv4 too).
    pub family: u16,
    /// Protocol of the socket: 6 is TCP, 17 UDP.
    pub protocol: u16,
    /// Type of the socket: 1 is a stream, 2 datagrams.
    pub socket_type: u16,
    /// Interface that the socket is bound to; 0 is none.
    pub bound_ifindex: u32,
    /// Mark of the socket (`SO_MARK`).
    pub so_mark: u32,
    /// Inode number of the socket's network namespace; 0 where unknown.
    pub netns: u32,
    /// Bits of this type's constants.
    pub flags: u32,
    /// The table of scopes that does not open the peer to the session; 0 where
    /// none was asked, or it does.
    pub scope_version: u64,
}

impl Connect {
    /// Refused, because the session is contained or killed, or its grants do not
    /// open the peer ([`Self::scope_version`]).
    pub const DENIED: u32 = 1;
}
