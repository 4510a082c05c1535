//! What actors do with sockets, other processes, and themselves.

#![expect(unsafe_code, reason = "these calls have no safe wrapper")]

use std::{
    fs::File,
    io::Error,
    net::{TcpListener, TcpStream, UdpSocket},
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream},
    },
    ptr::{null, null_mut},
};

/// Whether the deed is one of these; then it was done.
pub(crate) fn perform(act: &[&str]) -> bool {
    match *act {
        ["unix", path] => drop(UnixStream::connect(path).unwrap()),
        ["unix datagram", path] => UnixDatagram::unbound().unwrap().connect(path).unwrap(),
        ["abstract", name] => {
            let address = SocketAddr::from_abstract_name(name).unwrap();
            drop(UnixStream::connect_addr(&address).unwrap());
        }
        ["unix absent", path] => assert!(UnixStream::connect(path).is_err()),
        ["unix refused", path] => println!("{:?}", said(UnixStream::connect(path))),
        ["accept unix", path] => accept_unix(path),
        ["fifo", path] => open_fifo(path),
        ["pipe by name"] => open_pipe_by_name(),
        ["push input"] => push_input(),
        ["send", first, second] => send(first, second),
        ["send on cue", peer] => send_on_cue(peer),
        ["serve"] => serve(),
        ["raw"] => drop(socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP)),
        ["packet"] => drop(socket(libc::AF_PACKET, libc::SOCK_RAW, 0)),
        ["netlink"] => drop(socket(libc::AF_NETLINK, libc::SOCK_RAW, 0)),
        ["raw to", address] => raw_to(address),
        ["read memory", pid] => read_memory(pid.parse().unwrap()),
        ["attach", pid] => attach(pid.parse().unwrap()),
        ["look", pid] => look(pid),
        ["become", uid] => become_user(uid.parse().unwrap()),
        ["signal", pid, number] => {
            signal(pid.parse().unwrap(), number.parse().unwrap());
        }
        ["mount", folder] => mount(folder),
        ["bpf"] => bpf(),
        _ => return crate::flood::perform(act),
    }
    true
}

fn said<T>(result: std::io::Result<T>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

fn checked(result: i64) -> i64 {
    assert!(result >= 0, "{}", Error::last_os_error());
    result
}

/// Accepts one connection; says when somebody may come.
fn accept_unix(path: &str) {
    let listener = UnixListener::bind(path).unwrap();
    println!("bound");
    listener.accept().unwrap();
}

/// For both, for reading and for writing; none of it waits, since the first stays
/// open.
fn open_fifo(path: &str) {
    let mut options = File::options();
    let _both = options.read(true).write(true).open(path).unwrap();
    let _reads = File::open(path).unwrap();
    let _writes = File::options().write(true).open(path).unwrap();
}

fn open_pipe_by_name() {
    use std::os::fd::AsRawFd;
    let (reader, _writer) = std::io::pipe().unwrap();
    let path = format!("/proc/self/fd/{}", reader.as_raw_fd());
    drop(File::options().write(true).open(path).unwrap());
}

/// Into a terminal of its own, which it leads. Ignores that it is hung up when
/// that is closed.
fn push_input() {
    let (mut master, mut slave) = (0, 0);
    let (name, settings, size) = (null_mut(), null(), null());
    // SAFETY: two numbers to write to; no name, no settings.
    let made = unsafe { libc::openpty(&raw mut master, &raw mut slave, name, settings, size) };
    checked(made.into());
    rustix::process::setsid().unwrap();
    // SAFETY: a terminal of our own.
    checked(unsafe { libc::ioctl(slave, libc::TIOCSCTTY, 0) }.into());
    // SAFETY: as above, and a byte.
    checked(unsafe { libc::ioctl(slave, libc::TIOCSTI, b"x".as_ptr()) }.into());
    // SAFETY: numbers only.
    unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) };
}

/// Three datagrams to the first, one to the second, from one socket.
fn send(first: &str, second: &str) {
    let local = if first.starts_with('[') {
        "[::1]:0"
    } else {
        "127.0.0.1:0"
    };
    let socket = UdpSocket::bind(local).unwrap();
    for peer in [first, first, second, first] {
        socket.send_to(b"x", peer).unwrap();
    }
}

/// A datagram to a peer for each line of its input, from one socket; says what
/// became of each.
fn send_on_cue(peer: &str) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for line in std::io::stdin().lines() {
        line.unwrap();
        match socket.send_to(b"x", peer) {
            Ok(_) => println!("sent"),
            Err(error) => println!("refused: {:?}", error.raw_os_error()),
        }
    }
}

/// Listens, and accepts a connection of its own.
fn serve() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let client = TcpStream::connect(address).unwrap();
    let (_accepted, peer) = listener.accept().unwrap();
    assert_eq!(peer, client.local_addr().unwrap());
    println!("{address} {peer}");
}

fn socket(family: i32, socket_type: i32, protocol: i32) -> std::os::fd::OwnedFd {
    use std::os::fd::FromRawFd;
    // SAFETY: numbers only.
    let descriptor = unsafe { libc::socket(family, socket_type, protocol) };
    checked(descriptor.into());
    // SAFETY: just made, and nobody else's.
    unsafe { std::os::fd::OwnedFd::from_raw_fd(descriptor) }
}

/// A raw socket that is connected sends nothing yet.
fn raw_to(address: &str) {
    let socket = socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP);
    let address: std::net::SocketAddr = format!("{address}:0").parse().unwrap();
    rustix::net::connect(&socket, &address).unwrap();
}

fn read_memory(pid: i32) {
    let mut byte = [0_u8; 1];
    let local = libc::iovec {
        iov_base: byte.as_mut_ptr().cast(),
        iov_len: 1,
    };
    let remote = libc::iovec {
        iov_base: first_mapping(pid) as *mut _,
        iov_len: 1,
    };
    // SAFETY: the vectors are ours; what the other has there is of no matter.
    let read = unsafe { libc::process_vm_readv(pid, &raw const local, 1, &raw const remote, 1, 0) };
    assert_eq!(read, 1, "{}", Error::last_os_error());
}

/// An address that another process has.
fn first_mapping(pid: i32) -> usize {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let (start, _) = maps.split_once('-').unwrap();
    usize::from_str_radix(start, 16).unwrap()
}

fn attach(pid: i32) {
    let nothing = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: seizing changes nothing of ours.
    checked(unsafe { libc::ptrace(libc::PTRACE_SEIZE, pid, nothing, nothing) });
    // SAFETY: likewise letting go; it may fail on a task that is not stopped.
    unsafe { libc::ptrace(libc::PTRACE_DETACH, pid, nothing, nothing) };
}

/// What programs that list processes do; none of it is a reach into memory.
fn look(pid: &str) {
    for name in ["stat", "status", "cmdline", "comm"] {
        std::fs::read(format!("/proc/{pid}/{name}")).unwrap();
    }
    let _ = std::fs::read_link(format!("/proc/{pid}/exe"));
    std::fs::read("/proc/self/environ").unwrap();
}

/// Starts a program first, so that what it is now is known.
fn become_user(uid: u32) {
    use std::os::unix::process::CommandExt;
    let program = std::env::current_exe().unwrap();
    if std::env::var("MONITOR_TEST_AGAIN").is_err() {
        let error = std::process::Command::new(program)
            .args([
                "--exact",
                "deeds::becomes",
                "--nocapture",
                "--test-threads=1",
            ])
            .env("MONITOR_TEST_AGAIN", uid.to_string())
            .env_remove("MONITOR_TEST_ACT")
            .exec();
        panic!("{error}");
    }
}

/// Not a test of its own: the second half of an actor that becomes somebody.
#[test]
fn becomes() {
    let Ok(uid) = std::env::var("MONITOR_TEST_AGAIN") else {
        return;
    };
    let uid: u32 = uid.parse().unwrap();
    // SAFETY: numbers only. By number, because the library's own call would
    // have all threads of the test program change.
    checked(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) });
}

fn signal(pid: i32, number: i32) {
    // SAFETY: numbers only.
    checked(unsafe { libc::kill(pid, number) }.into());
}

/// In a mount namespace of its own.
fn mount(folder: &str) {
    use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
    // SAFETY: only this thread's view of mounts changes.
    unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNS) }.unwrap();
    let flags = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", flags).unwrap();
    rustix::mount::mount("none", folder, "tmpfs", MountFlags::empty(), None).unwrap();
    rustix::mount::unmount(folder, UnmountFlags::empty()).unwrap();
}

/// Asks for a program that is not there: `BPF_PROG_GET_FD_BY_ID` is told where
/// the kernel asks its security modules, a failed call not by the last tier; so
/// one that succeeds: `BPF_MAP_GET_FD_BY_ID` of the newest map.
fn bpf() {
    let mut id = 0_u32;
    let mut attributes = [0_u8; 64];
    loop {
        attributes.fill(0);
        attributes[..4].copy_from_slice(&id.to_ne_bytes());
        // SAFETY: BPF_MAP_GET_NEXT_ID reads and writes the first eight bytes.
        let next = unsafe { libc::syscall(libc::SYS_bpf, 12, attributes.as_mut_ptr(), 64) };
        if next < 0 {
            break;
        }
        id = u32::from_ne_bytes(attributes[4..8].try_into().unwrap());
    }
    attributes.fill(0);
    attributes[..4].copy_from_slice(&id.to_ne_bytes());
    // SAFETY: BPF_MAP_GET_FD_BY_ID reads the first twelve bytes.
    checked(unsafe { libc::syscall(libc::SYS_bpf, 14, attributes.as_mut_ptr(), 64) });
}
