//! Which process of this host holds the other end of a connection.
//!
//! A login from the host itself has its client's socket in the same tables of
//! the kernel as sshd's: the client's address is the socket's own there. The
//! client waits for its login at that time, so its process is there to be found.
//! Looked at are connections of the agent's own network namespace.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::unix::ffi::OsStrExt as _,
};

/// Most processes that are looked at.
const PROCESSES_MAX: usize = 65_536;
/// Most descriptors of one that are looked at.
const DESCRIPTORS_MAX: usize = 4_096;
/// `TCP_ESTABLISHED`, as the tables write it.
const ESTABLISHED: &str = "01";

/// The process that holds a socket with this own address; none where no process
/// of this host does, as with every login from elsewhere.
#[must_use]
pub fn holder(own: SocketAddr) -> Option<u32> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .find_map(|table| socket(&fs::read_to_string(table).ok()?, own))?;
    let wanted = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.flatten();
    processes.take(PROCESSES_MAX).find_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        holds(pid, wanted.as_bytes()).then_some(pid)
    })
}

fn holds(pid: u32, socket: &[u8]) -> bool {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd"));
    let mut descriptors = descriptors
        .into_iter()
        .flatten()
        .flatten()
        .take(DESCRIPTORS_MAX);
    descriptors.any(|entry| {
        fs::read_link(entry.path()).is_ok_and(|link| link.as_os_str().as_bytes() == socket)
    })
}

/// The inode of an established connection by its own address.
fn socket(table: &str, own: SocketAddr) -> Option<u64> {
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let local = address(fields.next()?)?;
        let is_it = same(local, own) && fields.nth(1)? == ESTABLISHED;
        is_it.then(|| fields.nth(5)?.parse().ok()).flatten()
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
