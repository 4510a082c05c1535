//! A socket was made, bound, made to listen, or accepted.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{header::Header, process::ProcessRef};

/// What happened to a socket. An integer, never transmuted to an enum; numbers
/// are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct SocketOperation(pub u16);

impl SocketOperation {
    /// Made: told of raw, packet, vsock and similar sockets only.
    pub const CREATED: Self = Self(1);
    /// Bound to an address with a port.
    pub const BOUND: Self = Self(2);
    /// Made to listen.
    pub const LISTENING: Self = Self(3);
    /// A connection was accepted.
    pub const ACCEPTED: Self = Self(4);
}

/// A socket was made, bound, made to listen, or accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Socket {
    /// Who called.
    pub header: Header,
    /// Who connected, where a unix connection of another session was accepted;
    /// all zero otherwise.
    pub client: ProcessRef,
    /// Own address: IPv6, or IPv4-mapped IPv6; zero where there is none.
    pub local_addr: [u8; 16],
    /// Peer of an accepted connection, likewise.
    pub peer_addr: [u8; 16],
    /// Own port, host byte order.
    pub local_port: u16,
    /// Peer's port, host byte order.
    pub peer_port: u16,
    /// Family: 1 unix, 2 IPv4, 10 IPv6, 17 packet, 40 vsock, 44 xdp.
    pub family: u16,
    /// Type: 1 is a stream, 2 datagrams, 3 raw.
    pub socket_type: u16,
    /// Protocol.
    pub protocol: u16,
    /// What happened.
    pub operation: SocketOperation,
    /// Inode number of the socket's network namespace; 0 where unknown.
    pub netns: u32,
    /// Bits of this type's constants.
    pub flags: u32,
    /// Zero.
    pub reserved: u32,
}

impl Socket {
    /// Refused, because the session is contained or killed.
    pub const DENIED: u32 = 1;
}
