//! This program started again: it waits until it is marked, acts, and ends.

use std::{
    env, fs,
    io::{Read, Write},
    net::{TcpStream, UdpSocket},
    os::fd::{AsFd, AsRawFd},
    process::{Child, ChildStdin, Command, Stdio},
    time::Duration,
};

use monitor_agent::kernel::{BatchLimits, Marked, ProbeConfig, Probes, SessionMark, Started};
use monitor_common::decode;
use rustix::fs::{Mode, OFlags, ResolveFlags};

const ACT: &str = "MONITOR_TEST_ACT";
/// What an actor says once it waits for its cue; the test harness says more
/// before it.
const READY: &[u8; 1] = b"\x06";
const SEPARATOR: &str = "\u{1f}";

/// An actor that waits for its cue.
pub(crate) struct Actor {
    pub(crate) child: Child,
    cue: Option<ChildStdin>,
}

impl Actor {
    /// Starts an actor; it waits.
    pub(crate) fn new(act: &[&str]) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args([
            "--exact",
            "actor::acts_when_told",
            "--nocapture",
            "--test-threads=1",
        ]);
        command.env(ACT, act.join(SEPARATOR));
        Self::spawn(command)
    }

    /// A shell that waits for its cue and then runs a script.
    pub(crate) fn shell(script: &str) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("printf '\\006'; read cue; {script}")]);
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> Self {
        let command = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let cue = child.stdin.take();
        // Its own start is over: what a mark sees from now on is the act.
        let mut said = [0];
        while said != *READY {
            child
                .stdout
                .as_mut()
                .unwrap()
                .read_exact(&mut said)
                .unwrap();
        }
        Self { child, cue }
    }

    pub(crate) fn marked(self, probes: &Probes, mark: SessionMark) -> Self {
        assert_eq!(probes.mark(self.child.id(), mark).unwrap(), Marked::New);
        self
    }

    /// Lets it act; its input stays open until this is dropped.
    pub(crate) fn cue(&mut self) {
        self.cue.as_mut().unwrap().write_all(b"go\n").unwrap();
    }

    /// Lets it act once more; gives the line that it says of it.
    pub(crate) fn again(&mut self) -> String {
        self.cue();
        self.line()
    }

    /// The next line that it says.
    pub(crate) fn line(&mut self) -> String {
        let mut line = Vec::new();
        let said = self.child.stdout.as_mut().unwrap();
        while line.last() != Some(&b'\n') {
            let mut byte = [0];
            said.read_exact(&mut byte).unwrap();
            line.extend(byte);
        }
        String::from_utf8(line).unwrap().trim().to_owned()
    }

    /// Lets it act; it goes on by itself.
    pub(crate) fn go(mut self) -> Child {
        self.cue();
        self.child
    }

    /// Lets it act and waits until it ended; gives what it said.
    pub(crate) fn act(self) -> String {
        let mut child = self.go();
        let mut said = String::new();
        child
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        let status = child.wait().unwrap();
        assert!(status.success(), "{status}: {said}");
        said
    }
}

/// Not a test of its own: what an actor runs.
#[test]
fn acts_when_told() {
    let Ok(act) = env::var(ACT) else { return };
    std::io::stdout().write_all(READY).unwrap();
    std::io::stdout().flush().unwrap();
    let mut cue = [0; 3];
    std::io::stdin().read_exact(&mut cue).unwrap();
    let act: Vec<&str> = act.split(SEPARATOR).collect();
    perform(&act);
}

fn perform(act: &[&str]) {
    match *act {
        ["open", path] => drop(fs::File::open(path).unwrap()),
        ["write", path] => fs::write(path, "new").unwrap(),
        ["openat2", path] => {
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            let here = rustix::fs::CWD;
            let resolve = ResolveFlags::NO_MAGICLINKS;
            drop(rustix::fs::openat2(here, path, flags, Mode::empty(), resolve).unwrap());
        }
        ["reopen", path] => {
            // Two opens: one of the path alone, one through its descriptor.
            let flags = OFlags::PATH | OFlags::CLOEXEC;
            let file = rustix::fs::open(path, flags, Mode::empty()).unwrap();
            drop(fs::File::open(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap());
        }
        ["consume", pin_dir, file] => consume(pin_dir, file),
        #[cfg(target_arch = "x86_64")]
        ["open as 32 bit", path] => println!("returned {}", open_as_32_bit(path)),
        ["open absent", path] => assert!(fs::File::open(path).is_err()),
        ["tcp", address] => match TcpStream::connect(address) {
            Ok(_) => println!("connected"),
            Err(error) => println!("refused: {:?}", error.raw_os_error()),
        },
        ["tcp bound", address, interface] => {
            let address: std::net::SocketAddr = address.parse().unwrap();
            let socket = rustix::net::socket(
                rustix::net::AddressFamily::INET,
                rustix::net::SocketType::STREAM,
                None,
            )
            .unwrap();
            bind_to(socket.as_fd(), interface);
            rustix::net::connect(&socket, &address).unwrap();
        }
        ["udp", address] => {
            let local = if address.starts_with('[') {
                "[::1]:0"
            } else {
                "127.0.0.1:0"
            };
            UdpSocket::bind(local).unwrap().connect(address).unwrap();
        }
        ["send each", ref addresses @ ..] => crate::enforce::send_each(addresses),
        ["connect often", address] => crate::scope_cost::connect_often(address),
        ["talk", address] => crate::containment::talk(address),
        ["vfork", fifo] => crate::containment::wait_as_the_parent_of_a_vfork(fifo),
        ["threads"] => {
            // All end at the same moment, with the process.
            for _ in 0..16 {
                std::thread::spawn(std::thread::park);
            }
            std::process::exit(0);
        }
        _ => assert!(crate::deeds::perform(act), "unknown act {act:?}"),
    }
}

/// An agent whose spool is a file: it writes down the numbers of records, a
/// line each, commits them, and goes on until it is killed.
fn consume(pin_dir: &str, file: &str) {
    let Started { mut rings, .. } = Probes::start(&ProbeConfig::new(pin_dir)).unwrap();
    let mut spool = fs::File::options()
        .append(true)
        .create(true)
        .open(file)
        .unwrap();
    let limits = BatchLimits {
        records_max: 10,
        bytes_max: 1 << 20,
    };
    loop {
        rings.priority.wait(Duration::from_millis(50)).unwrap();
        let batch = rings.priority.read_batch(limits);
        let mut lines = Vec::new();
        for bytes in batch.records() {
            let header = decode(bytes).unwrap().header();
            writeln!(lines, "{} {}", header.cpu, header.sequence).unwrap();
        }
        spool.write_all(&lines).unwrap();
        rings.priority.commit(batch.cursor());
    }
}

#[expect(unsafe_code, reason = "no safe wrapper has this option")]
fn bind_to(socket: std::os::fd::BorrowedFd<'_>, interface: &str) {
    // SAFETY: the name is as long as told.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_BINDTODEVICE,
            interface.as_ptr().cast(),
            interface.len().try_into().unwrap(),
        )
    };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

/// Opens by the system call of 32-bit programs, whose numbers differ: 5 is open
/// there, and fstat here.
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "only the instruction itself reaches that table")]
fn open_as_32_bit(path: &str) -> i64 {
    use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
    let low = MapFlags::PRIVATE | MapFlags::from_bits_retain(libc::MAP_32BIT as u32);
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: the kernel chooses a free place, below 4 GiB.
    let page = unsafe { mmap_anonymous(std::ptr::null_mut(), 4_096, protection, low) }.unwrap();
    // SAFETY: the page is ours, and the path is shorter; the rest is zero.
    unsafe {
        page.cast::<u8>()
            .copy_from_nonoverlapping(path.as_ptr(), path.len());
    };
    let mut result: i64 = 5;
    // SAFETY: open(path, O_RDONLY); rbx is put back.
    unsafe {
        std::arch::asm!(
            "xchg rbx, {path}",
            "int 0x80",
            "xchg rbx, {path}",
            path = inout(reg) page => _,
            inout("rax") result,
            in("rcx") 0,
            in("rdx") 0,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    result
}
