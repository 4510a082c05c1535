//! Where a connection goes.

use std::{fmt, net::IpAddr};

use serde::Serialize;

/// Transport protocol, by its IANA number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// 6.
    Tcp,
    /// 17.
    Udp,
    /// Any other.
    Other(u8),
}

impl Protocol {
    /// From the IANA number.
    #[must_use]
    pub const fn from_number(number: u8) -> Self {
        match number {
            6 => Self::Tcp,
            17 => Self::Udp,
            other => Self::Other(other),
        }
    }

    /// The IANA number.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Other(number) => number,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp => f.write_str("tcp"),
            Self::Udp => f.write_str("udp"),
            Self::Other(number) => write!(f, "protocol {number}"),
        }
    }
}

/// Where a connection goes, from kernel memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Destination {
    /// Address; an IPv4-mapped IPv6 address is shown as IPv4.
    pub address: IpAddr,
    /// Port, host byte order.
    pub port: u16,
    /// Transport.
    pub protocol: Protocol,
    /// Name of the interface the socket is bound to; none when unbound or not
    /// nameable from the agent's namespace.
    pub interface: Option<String>,
    /// Index of that interface within its namespace; 0 when unbound.
    pub interface_index: u32,
    /// Inode of the socket's network namespace.
    pub net_ns: u32,
    /// That namespace's name under /run/netns, where it has one.
    pub net_ns_name: Option<String>,
    /// `SO_MARK` of the socket.
    pub mark: u32,
}
