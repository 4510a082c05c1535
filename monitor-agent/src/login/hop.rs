//! Which process of this host holds the other end of a connection.
//!
//! A login from the host itself has its client's socket in the same tables of
//! the kernel as sshd's: the client's address is the socket's own there. The
//! client waits for its login at that time, so its process is there to be found.
//! Looked at are connections of the agent's own network namespace.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
};

/// Most processes that are looked at.
const PROCESSES_MAX: usize = 65_536;
/// Most descriptors of one that are looked at.
const DESCRIPTORS_MAX: usize = 4_096;
/// The process that holds a socket with this own address; none where no process
/// of this host does, as with every login from elsewhere.
#[must_use]
pub fn holder(own: SocketAddr) -> Option<u32> {
    let tables = sockets();
    let socket = tables
        .iter()
        .find(|socket| socket.state == State::Established && same(socket.local, own))?;
    let processes = fs::read_dir("/proc").ok()?.flatten();
    processes.take(PROCESSES_MAX).find_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        held(pid).contains(&socket.inode).then_some(pid)
    })
}

/// The inodes of the sockets that a process holds.
pub(super) fn held(pid: u32) -> Vec<u64> {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd"));
    let descriptors = descriptors.into_iter().flatten().flatten();
    let inode = |link: PathBuf| {
        let text = link.to_str()?.strip_prefix("socket:[")?;
        text.strip_suffix(']')?.parse().ok()
    };
    descriptors
        .take(DESCRIPTORS_MAX)
        .filter_map(|entry| inode(fs::read_link(entry.path()).ok()?))
        .collect()
}

/// Where a TCP socket stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Established,
    Listening,
}

/// A TCP socket of the agent's network namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Socket {
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) state: State,
    pub(super) inode: u64,
}

/// Those that are established or listen.
pub(super) fn sockets() -> Vec<Socket> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(fs::read_to_string);
    let lines = tables
        .iter()
        .flatten()
        .flat_map(|table| table.lines().skip(1));
    lines.filter_map(socket).collect()
}

/// A line of the tables.
fn socket(line: &str) -> Option<Socket> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (local, remote) = (address(fields.next()?)?, address(fields.next()?)?);
    let state = match fields.next()? {
        "01" => State::Established,
        "0A" => State::Listening,
        _ => return None,
    };
    Some(Socket {
        local,
        remote,
        state,
        inode: fields.nth(5)?.parse().ok()?,
    })
}

/// IPv4 addresses may stand as IPv6.
fn same(left: SocketAddr, right: SocketAddr) -> bool {
    left.port() == right.port() && left.ip().to_canonical() == right.ip().to_canonical()
}

/// An address as the tables write it: words of 32 bits in the byte order of the
/// machine, in hexadecimal, and the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let word = |at: usize| {
        let digits = address.get(at * 8..at * 8 + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    let ip = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?];
            let bytes: [u8; 16] = words.concat().try_into().ok()?;
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn holder_of_a_connections_end_is_found_in_both_families() {
        for listen in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(listen).unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let own = client.local_addr().unwrap();
            assert_eq!(holder(own), Some(std::process::id()), "{own}");
        }
    }

    #[test]
    fn connection_from_elsewhere_has_no_holder_here() {
        assert_eq!(holder("192.0.2.1:2222".parse().unwrap()), None);
    }

    #[test]
    fn lines_that_are_none_are_passed_over() {
        assert_eq!(address("0100007F:0016"), "127.0.0.1:22".parse().ok());
        for text in ["", ":", "01:16", "0100007F", "zz00007F:0016", "0100007F:zz"] {
            assert_eq!(address(text), None, "{text}");
        }
    }
}
