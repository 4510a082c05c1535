//! The kernel's sockets.

use crate::{
    hooks::open::file_of,
    kernel::{Object, current_task, probe, probe_at},
    offsets as at,
};

/// Address families, by their Linux numbers.
pub const UNIX: u16 = 1;
/// IPv4.
pub const INET: u16 = 2;
/// IPv6.
pub const INET6: u16 = 10;
/// Messages to the kernel.
pub const NETLINK: u16 = 16;
/// Whole packets of an interface.
pub const PACKET: u16 = 17;
/// Virtual machines.
pub const VSOCK: u16 = 40;
/// Packets past the kernel.
pub const XDP: u16 = 44;

/// A kernel's socket, and what it says of itself.
#[derive(Clone, Copy)]
pub struct Sock {
    /// The `struct sock`; null where only the rest is known.
    pub sk: Object,
    /// Address family.
    pub family: u16,
    /// Type.
    pub kind: u16,
    /// Protocol.
    pub protocol: u16,
}

impl Sock {
    /// Of a `struct sock`.
    #[inline(always)]
    pub fn of(sk: Object) -> Option<Self> {
        Some(Self {
            sk,
            family: probe(sk, &at::SOCK_FAMILY)?,
            kind: probe(sk, &at::SOCK_TYPE)?,
            protocol: probe(sk, &at::SOCK_PROTOCOL)?,
        })
    }

    /// Of a `struct socket`.
    #[inline(always)]
    pub fn of_socket(socket: Object) -> Option<Self> {
        Self::of(probe(socket, &at::SOCKET_SK)?)
    }

    /// Of a descriptor of the current task.
    #[inline(always)]
    pub fn of_descriptor(descriptor: u64) -> Option<Self> {
        const FORMAT: u16 = 0o170_000;
        const SOCKET: u16 = 0o140_000;
        // SAFETY: the helper gives the current task.
        let file = unsafe { file_of(current_task(), descriptor as u32) }?;
        let inode: Object = probe(file, &at::FILE_INODE)?;
        let mode: u16 = probe(inode, &at::INODE_MODE)?;
        if mode & FORMAT != SOCKET {
            return None;
        }
        Self::of_socket(probe(file, &at::FILE_PRIVATE)?)
    }

    /// Whether it speaks IP.
    #[inline(always)]
    pub const fn is_ip(&self) -> bool {
        self.family == INET || self.family == INET6
    }

    /// Own address and port; the port in host byte order.
    #[inline(always)]
    pub fn local(&self) -> ([u8; 16], u16) {
        let address = if self.family == INET {
            mapped(probe(self.sk, &at::SOCK_V4_LOCAL).unwrap_or_default())
        } else {
            probe(self.sk, &at::SOCK_V6_LOCAL).unwrap_or_default()
        };
        (address, probe(self.sk, &at::SOCK_PORT_LOCAL).unwrap_or(0))
    }

    /// Address and port of the peer; the port in host byte order.
    #[inline(always)]
    pub fn peer(&self) -> ([u8; 16], u16) {
        let address = if self.family == INET {
            mapped(probe(self.sk, &at::SOCK_V4_PEER).unwrap_or_default())
        } else {
            probe(self.sk, &at::SOCK_V6_PEER).unwrap_or_default()
        };
        let port: u16 = probe(self.sk, &at::SOCK_PORT_PEER).unwrap_or(0);
        (address, u16::from_be(port))
    }

    /// Its network namespace.
    #[inline(always)]
    pub fn namespace(&self) -> Option<u32> {
        if self.sk.is_null() {
            return None;
        }
        let net: Object = probe(self.sk, &at::SOCK_NET)?;
        probe(net, &at::NET_INUM)
    }
}

/// Address and port of a `sockaddr_in` or `sockaddr_in6` that the kernel has
/// copied; the port in host byte order.
#[inline(always)]
pub fn given(address: Object, family: u16) -> ([u8; 16], u16) {
    const PORT_AT: usize = 2;
    const V4_AT: usize = 4;
    const V6_AT: usize = 8;
    let port: u16 = probe_at(address.wrapping_byte_add(PORT_AT)).unwrap_or(0);
    let bytes = if family == INET {
        mapped(probe_at(address.wrapping_byte_add(V4_AT)).unwrap_or_default())
    } else {
        probe_at(address.wrapping_byte_add(V6_AT)).unwrap_or_default()
    };
    (bytes, u16::from_be(port))
}

/// An IPv4 address as IPv6 has it.
#[inline(always)]
const fn mapped(v4: [u8; 4]) -> [u8; 16] {
    [
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, v4[0], v4[1], v4[2], v4[3],
    ]
}
