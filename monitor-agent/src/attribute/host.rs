//! What this host says of numbers in records: programs of processes, names of
//! interfaces and of network namespaces.
//!
//! Interfaces are asked for each time (a microsecond, and never stale). Names
//! of namespaces are read from /run/netns; a miss reads them again at most
//! once in [`RESCAN_NS`] of the records' own time.

use std::{
    collections::{HashMap, VecDeque},
    ffi::OsStr,
    fs, io,
    net::{IpAddr, UdpSocket},
    os::{
        fd::OwnedFd,
        unix::ffi::{OsStrExt as _, OsStringExt as _},
        unix::fs::{FileTypeExt as _, MetadataExt as _},
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    keys::Keys,
    mounts::Mounts,
    steering::{self, Pipes},
};
use monitor_model::{
    bytes::{ByteText, PathLabel},
    clock::UnixNs,
    id::SessionId,
};
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::{kernel::FileIdentity, lossy, marks, watch::resolve::Look};

/// Least time between two readings of /run/netns.
const RESCAN_NS: u64 = 500_000_000;
/// Most network namespaces with a name that are kept.
const NET_NAMESPACES_MAX: usize = 4_096;
/// Largest table of cron that is read.
const JOB_FILE_BYTES_MAX: u64 = 1 << 20;
/// Most control groups that are looked at for one.
const GROUPS_LOOKED_AT_MAX: usize = 8_192;
/// Clock ticks of /proc in a second.
const TICK_NS: u64 = 10_000_000;

/// What attribution asks of the host. Tests bring their own.
pub trait Host: Send {
    /// The program a process runs, if it still is that process.
    fn executable(&mut self, process: (u32, u64)) -> Option<PathLabel>;
    /// The file of that program, as the kernel programs see it.
    fn executable_file(&mut self, process: (u32, u64)) -> Option<FileIdentity>;
    /// Whether a process is this agent.
    fn is_agent(&self, _: (u32, u64)) -> bool {
        false
    }
    /// The name of an interface in the agent's own network namespace.
    fn interface(&mut self, index: u32) -> Option<String>;
    /// Whether a network namespace is the agent's own.
    fn is_own_net_ns(&self, inode: u32) -> bool;
    /// The name of a network namespace under /run/netns.
    fn net_ns(&mut self, inode: u32, boot_ns: u64) -> Option<String>;
    /// The path of what lies at a path from the root of a file system, in the
    /// agent's own mount namespace; the device as the kernel counts.
    fn mounted(&mut self, device: u64, below: &[u8]) -> Option<Vec<u8>>;
    /// The path of a control group below the root; `pid` is a process in it.
    fn control_group(&mut self, _: u64, _: u32) -> Option<Vec<u8>> {
        None
    }
    /// The name of an account.
    fn account(&mut self, _: u32) -> Option<String> {
        None
    }
    /// The home of an account.
    fn home(&mut self, _: u32) -> Option<PathBuf> {
        None
    }
    /// The content of a small file that says what a daemon is to start.
    fn text(&mut self, _: &Path) -> Option<Vec<u8>> {
        None
    }
    /// What a path is now: device and inode, as `stat` tells them.
    fn file(&mut self, _: &Path) -> Option<(u64, u64)> {
        None
    }
    /// The files of a folder, at most so many.
    fn files_in(&mut self, _: &Path, _: usize) -> Vec<PathBuf> {
        Vec::new()
    }
    /// The fingerprint of the key that a watched file holds, by its path.
    fn key(&mut self, _: (FileIdentity, &[u8]), _: u64) -> Option<String> {
        None
    }
    /// The pipes and FIFOs that a process has open; none where it is gone.
    fn pipes(&mut self, _: (u32, u64)) -> Option<Pipes> {
        None
    }
    /// The start of a process, nanoseconds since boot, rounded down to
    /// hundredths of a second; none where it is gone.
    fn start(&mut self, _: u32) -> Option<u64> {
        None
    }
    /// Whether a process has a device open, by its number as `stat` tells it.
    fn has_open(&mut self, _: (u32, u64), _: u64) -> bool {
        false
    }
    /// Whether an address is this host's own, in the agent's network namespace.
    fn is_own_address(&mut self, _: IpAddr) -> bool {
        false
    }
    /// A name that was never given before.
    fn new_id(&mut self, _: UnixNs) -> Option<SessionId> {
        None
    }
}

/// This machine.
#[derive(Debug)]
pub struct ThisHost {
    look: Arc<dyn Look>,
    own_start_ticks: u64,
    socket: OwnedFd,
    own_net_ns: u64,
    init_net_ns: u64,
    names: HashMap<u64, String>,
    read_at: Option<u64>,
    mounts: Mounts,
    keys: Keys,
}

impl ThisHost {
    /// Opens what is asked all the time.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(look: Arc<dyn Look>) -> io::Result<Self> {
        let socket = rustix::net::socket_with(
            AddressFamily::UNIX,
            SocketType::DGRAM,
            SocketFlags::CLOEXEC,
            None,
        )?;
        let inode = |path: &str| fs::metadata(path).map(|found| found.ino());
        let own_net_ns = inode("/proc/self/ns/net")?;
        Ok(Self {
            look,
            own_start_ticks: ProcessStat::read(std::process::id())?.start_ticks,
            socket,
            own_net_ns,
            init_net_ns: inode("/proc/1/ns/net").unwrap_or(own_net_ns),
            names: HashMap::new(),
            read_at: None,
            mounts: Mounts::default(),
            keys: Keys::default(),
        })
    }

    fn read_names(&mut self) {
        self.names.clear();
        let Ok(entries) = fs::read_dir("/run/netns") else {
            return;
        };
        for entry in entries.flatten().take(NET_NAMESPACES_MAX) {
            // Not `entry.metadata()`: what is mounted on the name counts.
            let Ok(found) = fs::metadata(entry.path()) else {
                continue;
            };
            if let Some(name) = entry.file_name().to_str() {
                self.names.insert(found.ino(), name.to_owned());
            }
        }
    }
}

impl Host for ThisHost {
    fn executable(&mut self, (pid, start_boot_ns): (u32, u64)) -> Option<PathLabel> {
        let path = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
        // After the link: had the process changed, its start would differ now.
        let stat = ProcessStat::read(pid).ok()?;
        (stat.start_ticks == start_boot_ns / TICK_NS).then(|| PathLabel {
            text: ByteText(path.into_os_string().into_vec()),
            truncated: false,
        })
    }

    fn executable_file(&mut self, (pid, start_boot_ns): (u32, u64)) -> Option<FileIdentity> {
        let path = format!("/proc/{pid}/exe");
        let file = self.look.identify(Path::new(&path)).ok()?;
        let stat = ProcessStat::read(pid).ok()?;
        (stat.start_ticks == start_boot_ns / TICK_NS).then_some(file)
    }

    fn is_agent(&self, (pid, start_boot_ns): (u32, u64)) -> bool {
        pid == std::process::id() && start_boot_ns / TICK_NS == self.own_start_ticks
    }

    fn interface(&mut self, index: u32) -> Option<String> {
        rustix::net::netdevice::index_to_name(&self.socket, index).ok()
    }

    fn is_own_net_ns(&self, inode: u32) -> bool {
        u64::from(inode) == self.own_net_ns
    }

    fn net_ns(&mut self, inode: u32, boot_ns: u64) -> Option<String> {
        let inode = u64::from(inode);
        if inode == self.init_net_ns || inode == 0 {
            return None;
        }
        if let Some(name) = self.names.get(&inode) {
            return Some(name.clone());
        }
        let stale = self
            .read_at
            .is_none_or(|at| boot_ns.saturating_sub(at) >= RESCAN_NS);
        if stale {
            self.read_at = Some(boot_ns);
            self.read_names();
        }
        self.names.get(&inode).cloned()
    }

    fn mounted(&mut self, device: u64, below: &[u8]) -> Option<Vec<u8>> {
        self.mounts.locate(device, below)
    }

    fn control_group(&mut self, id: u64, pid: u32) -> Option<Vec<u8>> {
        let root = crate::kernel::cgroup_root()?;
        let is_it = |path: &Path| fs::metadata(path).is_ok_and(|found| found.ino() == id);
        let of_process = fs::read(format!("/proc/{pid}/cgroup")).ok();
        if let Some(below) = of_process.as_deref().and_then(unified)
            && is_it(
                &root.join(
                    OsStr::from_bytes(below)
                        .to_string_lossy()
                        .trim_start_matches('/'),
                ),
            )
        {
            return Some(below.to_vec());
        }
        // The process is gone, or was moved.
        find_group(&root, id).map(|path| {
            let below = path.strip_prefix(&root).unwrap_or(&path);
            [b"/", below.as_os_str().as_bytes()].concat()
        })
    }

    fn account(&mut self, uid: u32) -> Option<String> {
        account_in(Path::new(PASSWD), uid)
    }

    fn home(&mut self, uid: u32) -> Option<PathBuf> {
        let passwd = Path::new(PASSWD);
        account_line(passwd, uid, |fields| fields.get(5).map(PathBuf::from))
    }

    fn text(&mut self, path: &Path) -> Option<Vec<u8>> {
        let found = fs::metadata(path).ok()?;
        if !found.is_file() || found.len() > JOB_FILE_BYTES_MAX {
            return None;
        }
        fs::read(path).ok()
    }

    fn file(&mut self, path: &Path) -> Option<(u64, u64)> {
        let found = fs::metadata(path).ok()?;
        Some((found.dev(), found.ino()))
    }

    fn files_in(&mut self, path: &Path, most: usize) -> Vec<PathBuf> {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).take(most).collect();
        files.sort();
        files
    }

    fn key(&mut self, file: (FileIdentity, &[u8]), boot_ns: u64) -> Option<String> {
        let mounts = &mut self.mounts;
        let may_look = || mounts.is_own(file.0.device);
        self.keys.of(file, boot_ns, &*self.look, may_look)
    }

    fn pipes(&mut self, (pid, start_boot_ns): (u32, u64)) -> Option<Pipes> {
        let pipes = steering::pipes(pid)?;
        let stat = ProcessStat::read(pid).ok()?;
        (stat.start_ticks == start_boot_ns / TICK_NS).then_some(pipes)
    }

    fn start(&mut self, pid: u32) -> Option<u64> {
        let stat = ProcessStat::read(pid).ok()?;
        stat.start_ticks.checked_mul(TICK_NS)
    }

    fn has_open(&mut self, (pid, start_boot_ns): (u32, u64), device: u64) -> bool {
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd"));
        let is_device = descriptors
            .into_iter()
            .flatten()
            .take(steering::DESCRIPTORS_MAX)
            .flatten()
            .filter_map(|descriptor| fs::metadata(descriptor.path()).ok())
            .any(|found| found.file_type().is_char_device() && found.rdev() == device);
        let stat = ProcessStat::read(pid).ok();
        is_device && stat.is_some_and(|stat| stat.start_ticks == start_boot_ns / TICK_NS)
    }

    fn is_own_address(&mut self, address: IpAddr) -> bool {
        UdpSocket::bind((address, 0)).is_ok()
    }

    fn new_id(&mut self, now: UnixNs) -> Option<SessionId> {
        marks::new_id(now).ok()
    }
}

/// The path in the unified hierarchy.
fn unified(text: &[u8]) -> Option<&[u8]> {
    text.split(|byte| *byte == b'\n')
        .find_map(|line| line.strip_prefix(b"0::"))
}

/// Looks for a control group by its number, breadth first.
fn find_group(root: &Path, id: u64) -> Option<PathBuf> {
    if fs::metadata(root).is_ok_and(|found| found.ino() == id) {
        return Some(root.to_path_buf());
    }
    let mut folders = VecDeque::from([root.to_path_buf()]);
    let mut looked_at = 0_usize;
    while let Some(folder) = folders.pop_front() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            looked_at += 1;
            if looked_at > GROUPS_LOOKED_AT_MAX {
                return None;
            }
            if entry.metadata().is_ok_and(|found| found.ino() == id) {
                return Some(entry.path());
            }
            folders.push_back(entry.path());
        }
    }
    None
}

/// The accounts of this host.
const PASSWD: &str = "/etc/passwd";

/// The name of an account in a file of accounts.
pub(crate) fn account_in(passwd: &Path, uid: u32) -> Option<String> {
    account_line(passwd, uid, |fields| {
        fields.first().map(|name| (*name).to_owned())
    })
}

/// A field of an account's line.
fn account_line<T>(passwd: &Path, uid: u32, field: impl Fn(&[&str]) -> Option<T>) -> Option<T> {
    let text = lossy::text(passwd).ok()?;
    text.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let number: u32 = fields.get(2)?.parse().ok()?;
        (number == uid).then(|| field(&fields)).flatten()
    })
}

/// What /proc/PID/stat says of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessStat {
    /// Its parent.
    pub parent_pid: u32,
    /// Number of its controlling terminal; 0 is none.
    pub tty: u32,
    /// Its start, in hundredths of a second since boot.
    pub start_ticks: u64,
}

impl ProcessStat {
    /// Reads it.
    ///
    /// # Errors
    /// What the system says; `InvalidData` when the file is not as it should be.
    pub fn read(pid: u32) -> io::Result<Self> {
        let text = lossy::text(format!("/proc/{pid}/stat"))?;
        Self::parse(&text).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
    }

    /// The same, of its text; none where it is not as it should be. The name stands
    /// in parentheses and may itself hold any: count from the last.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (_, rest) = text.rsplit_once(')')?;
        let mut fields = rest.split_ascii_whitespace();
        let parent_pid = fields.nth(1)?.parse().ok()?;
        let tty: i32 = fields.nth(2)?.parse().ok()?;
        let start_ticks = fields.nth(14)?.parse().ok()?;
        Some(Self {
            parent_pid,
            tty: tty.cast_unsigned(),
            start_ticks,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::resolve::tests::Stat;

    #[test]
    fn a_process_is_read_in_spite_of_its_name() {
        let text =
            "4242 (a) b (c)) S 17 4242 4242 34816 4242 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2";
        assert_eq!(
            ProcessStat::parse(text),
            Some(ProcessStat {
                parent_pid: 17,
                tty: 34_816,
                start_ticks: 987_654
            })
        );
        assert_eq!(ProcessStat::parse("4242 (a"), None);
        let own = ProcessStat::read(std::process::id()).unwrap();
        assert!(own.start_ticks > 0 && own.parent_pid > 0);
    }

    #[test]
    fn a_control_group_is_found_by_its_number_the_root_too() {
        let root = tempfile::tempdir().unwrap();
        let below = root.path().join("user.slice/session-1.scope");
        fs::create_dir_all(&below).unwrap();
        for path in [root.path(), below.as_path()] {
            let number = fs::metadata(path).unwrap().ino();
            assert_eq!(find_group(root.path(), number).as_deref(), Some(path));
        }
        assert_eq!(find_group(root.path(), u64::MAX), None);
    }

    #[test]
    fn the_program_of_a_process_is_given_only_for_the_right_start() {
        let mut host = ThisHost::open(Arc::new(Stat)).unwrap();
        let pid = std::process::id();
        let start = ProcessStat::read(pid).unwrap().start_ticks * TICK_NS;
        let own = std::env::current_exe().unwrap();
        let found = host.executable((pid, start + 5)).unwrap();
        assert_eq!(found.to_string(), own.display().to_string());
        assert_eq!(host.executable((pid, start + TICK_NS)), None);
        let file = host.executable_file((pid, start)).unwrap();
        assert_eq!(file, FileIdentity::of(&own).unwrap());
        assert_eq!(host.executable_file((pid, start + TICK_NS)), None);
        assert!(host.is_agent((pid, start + 5)) && !host.is_agent((pid, start + TICK_NS)));
    }

    #[test]
    fn interfaces_have_names_and_the_own_namespace_none() {
        let mut host = ThisHost::open(Arc::new(Stat)).unwrap();
        assert_eq!(host.interface(1).as_deref(), Some("lo"));
        assert_eq!(host.interface(0x7fff_0000), None);
        let own = u32::try_from(host.own_net_ns).unwrap();
        assert!(host.is_own_net_ns(own));
        assert_eq!(host.net_ns(own, 1), None);
    }
}
