//! Sessions that are frozen, cut off, released and killed; and their
//! neighbours, who notice nothing.

use std::{
    collections::BTreeSet,
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command},
    time::{Duration, Instant},
};

use monitor_agent::kernel::{KernelError, SessionMark, SessionState};
use monitor_common::Fault;

use crate::{
    actor::Actor,
    rig::{Rig, until},
};

/// A mark that differs from the rig's.
fn other(rig: &Rig, number: u32) -> SessionMark {
    let mut mark = rig.mark.0;
    mark[8..12].copy_from_slice(&number.to_ne_bytes());
    SessionMark(mark)
}

fn nobody() -> BTreeSet<u32> {
    BTreeSet::new()
}

/// Third field of a process's `stat`.
fn state_of(pid: u32) -> char {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, rest) = stat.rsplit_once(')').unwrap();
    rest.trim_start().chars().next().unwrap()
}

fn live(rig: &Rig) -> u64 {
    rig.probes.session_live(rig.mark).unwrap().unwrap()
}

const BOMB: &str = "g() { while :; do ( ( : ) & ) & done; }; g & g & g & wait";

/// Says over a connection what it is told to say, and how that went.
pub(crate) fn talk(address: &str) {
    let mut stream = TcpStream::connect(address).unwrap();
    println!("connected");
    let mut cue = [0; 3];
    while std::io::stdin().read_exact(&mut cue).is_ok() {
        match stream.write_all(b"x") {
            Ok(()) => println!("sent"),
            Err(error) => println!("failed: {:?}", error.kind()),
        }
    }
}

/// A session that talks, and the other end of its connection.
fn talker(rig: &Rig, mark: SessionMark, listener: &TcpListener) -> (Actor, TcpStream) {
    let address = listener.local_addr().unwrap().to_string();
    let mut actor = Actor::new(&["talk", &address]).marked(&rig.probes, mark);
    assert_eq!(actor.again(), "connected");
    let (stream, _) = listener.accept().unwrap();
    let longest = Some(Duration::from_secs(10));
    stream.set_read_timeout(longest).unwrap();
    (actor, stream)
}

fn hears(stream: &mut TcpStream) -> Result<usize, std::io::ErrorKind> {
    stream.read(&mut [0]).map_err(|error| error.kind())
}

#[test]
fn a_session_that_forks_without_pause_stands_still_and_goes_on() {
    let Some(rig) = Rig::new() else { return };
    let mut child = Actor::shell(BOMB).marked(&rig.probes, rig.mark).go();
    until("it forks", || live(&rig) > 5);
    let started = Instant::now();
    let halted = rig.probes.freeze_session(rig.mark, &nobody()).unwrap();
    eprintln!("frozen in {:?}: {halted:?}", started.elapsed());
    assert_eq!(halted.left, 0, "{halted:?}");
    let standing = live(&rig);
    for pid in rig.probes.processes_of(rig.mark).unwrap() {
        assert!(matches!(state_of(pid), 'T' | 'Z'), "{pid}");
    }
    assert_eq!(live(&rig), standing, "nobody is born meanwhile");
    let row = rig.probes.session(rig.mark).unwrap().unwrap();
    assert_eq!(row.state, SessionState::Frozen);
    let resumed = rig.probes.release_session(rig.mark).unwrap();
    assert!(resumed.resumed > 0 && resumed.left == 0, "{resumed:?}");
    until("it forks again", || live(&rig) != standing);
    rig.probes.freeze_session(rig.mark, &nobody()).unwrap();
    let killed = rig.probes.kill_session(rig.mark).unwrap();
    assert_eq!(killed.left, 0, "{killed:?}");
    child.wait().unwrap();
    let counters = rig.probes.counters().unwrap();
    assert_eq!(counters.fault(Fault::SignalFailed), 0);
}

#[test]
fn forks_of_a_frozen_session_are_made_again_once_it_is_released() {
    let Some(rig) = Rig::new() else { return };
    // Fails aloud if a fork ever failed.
    let script = "i=0; while [ $i -lt 3000 ]; do ( : ) || exit 9; i=$((i+1)); done";
    let mut child = Actor::shell(script).marked(&rig.probes, rig.mark).go();
    until("it forks", || live(&rig) > 1);
    while child.try_wait().unwrap().is_none() {
        match rig.probes.freeze_session(rig.mark, &nobody()) {
            Ok(halted) => assert_eq!(halted.left, 0),
            Err(error) => panic!("{error}"),
        }
        rig.probes.release_session(rig.mark).unwrap();
    }
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn what_its_owner_had_stopped_is_not_let_go_on() {
    let Some(rig) = Rig::new() else { return };
    let script = "sleep 1000 & echo $!; sleep 1001";
    let mut actor = Actor::shell(script).marked(&rig.probes, rig.mark);
    let pid: u32 = actor.again().parse().unwrap();
    stop(pid);
    until("it is stopped", || state_of(pid) == 'T');
    assert_eq!(
        rig.probes.freeze_session(rig.mark, &nobody()).unwrap().left,
        0
    );
    rig.probes.release_session(rig.mark).unwrap();
    until("the shell goes on", || state_of(actor.child.id()) != 'T');
    assert_eq!(state_of(pid), 'T');
    rig.probes.kill_session(rig.mark).unwrap();
    actor.child.wait().unwrap();
}

fn stop(pid: u32) {
    let process = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::STOP).unwrap();
}

#[test]
fn a_connection_of_the_session_is_cut_and_the_neighbours_goes_on() {
    let Some(rig) = Rig::new() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut cut_off, mut far) = talker(&rig, rig.mark, &listener);
    let (mut neighbour, mut near) = talker(&rig, other(&rig, 1), &listener);
    assert_eq!(cut_off.again(), "sent");
    assert_eq!(hears(&mut far), Ok(1));
    let cut = rig.probes.cut_connections(&[rig.mark], None).unwrap();
    assert_eq!((cut.closed, cut.shared, cut.refused), (1, 0, 0));
    let heard = hears(&mut far);
    assert!(
        matches!(heard, Ok(0) | Err(std::io::ErrorKind::ConnectionReset)),
        "{heard:?}"
    );
    assert!(cut_off.again().starts_with("failed"));
    assert_eq!(neighbour.again(), "sent");
    assert_eq!(hears(&mut near), Ok(1));
    // Its login is spared.
    let peer = listener.local_addr().unwrap();
    let neighbours = [other(&rig, 1)];
    let cut = rig.probes.cut_connections(&neighbours, Some(peer)).unwrap();
    assert_eq!(cut.closed, 0);
    assert_eq!(neighbour.again(), "sent");
}

#[test]
fn a_socket_that_somebody_else_holds_is_left_alone() {
    let Some(rig) = Rig::new() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut far, _) = listener.accept().unwrap();
    // A child with this very socket as its input.
    let copy: std::os::fd::OwnedFd = stream.try_clone().unwrap().into();
    let mut child = Command::new("sleep")
        .arg("1000")
        .stdin(copy)
        .spawn()
        .unwrap();
    rig.probes.mark(child.id(), rig.mark).unwrap();
    let cut = rig.probes.cut_connections(&[rig.mark], None).unwrap();
    assert_eq!((cut.closed, cut.shared), (0, 1));
    stream.write_all(b"x").unwrap();
    assert_eq!(hears(&mut far), Ok(1));
    rig.probes.kill_session(rig.mark).unwrap();
    child.wait().unwrap();
}

#[test]
fn new_connections_of_a_frozen_session_are_refused_before_any_process_is_stopped() {
    let Some(rig) = Rig::new() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let actor = Actor::new(&["tcp", &address]).marked(&rig.probes, rig.mark);
    rig.probes.hold_session(rig.mark).unwrap();
    assert_eq!(
        rig.probes.session(rig.mark).unwrap().unwrap().state,
        SessionState::Frozen
    );
    assert!(actor.act().contains("refused: Some(1)"));
}

#[test]
fn a_freeze_survives_the_agent_and_is_released_by_the_next() {
    let Some(rig) = Rig::new() else { return };
    let script = "sleep 1000 & wait";
    let mut child = Actor::shell(script).marked(&rig.probes, rig.mark).go();
    until("both run", || live(&rig) == 2);
    rig.probes.freeze_session(rig.mark, &nobody()).unwrap();
    let rig = rig.restart(|| ());
    let row = rig.probes.session(rig.mark).unwrap().unwrap();
    assert_eq!(row.state, SessionState::Frozen);
    assert_eq!(state_of(child.id()), 'T');
    let resumed = rig.probes.release_session(rig.mark).unwrap();
    assert_eq!((resumed.resumed, resumed.left), (2, 0));
    until("it goes on", || state_of(child.id()) != 'T');
    rig.probes.kill_session(rig.mark).unwrap();
    assert!(matches!(
        rig.probes.release_session(rig.mark),
        Err(KernelError::BeingKilled)
    ));
    child.wait().unwrap();
}

/// Waits in the kernel for a child that has not started its program yet, since
/// that waits for a FIFO.
#[expect(unsafe_code, reason = "no safe wrapper starts a program so")]
pub(crate) fn wait_as_the_parent_of_a_vfork(fifo: &str) {
    let path = std::ffi::CString::new(fifo).unwrap();
    let program = c"/bin/true";
    let arguments = [program.as_ptr().cast_mut(), std::ptr::null_mut()];
    let mut actions = std::mem::MaybeUninit::uninit();
    let mut pid = 0;
    // SAFETY: room for the actions.
    unsafe { libc::posix_spawn_file_actions_init(actions.as_mut_ptr()) };
    // SAFETY: made above; the path lives.
    unsafe {
        libc::posix_spawn_file_actions_addopen(
            actions.as_mut_ptr(),
            9,
            path.as_ptr(),
            libc::O_RDONLY,
            0,
        );
    };
    // SAFETY: every pointer lives until it returns.
    unsafe {
        libc::posix_spawn(
            &raw mut pid,
            program.as_ptr(),
            actions.as_ptr(),
            std::ptr::null(),
            arguments.as_ptr(),
            std::ptr::null(),
        );
    };
}

#[test]
fn who_sleeps_in_the_kernel_is_said_so_and_is_killed_all_the_same() {
    let Some(rig) = Rig::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    let made = Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    let act = ["vfork", fifo.to_str().unwrap()];
    let mut child = Actor::new(&act).marked(&rig.probes, rig.mark).go();
    until("it waits in the kernel", || {
        let pids = rig.probes.processes_of(rig.mark).unwrap();
        pids.len() == 2 && pids.iter().any(|pid| threads(*pid).contains(&'D'))
    });
    let halted = rig.probes.freeze_session(rig.mark, &nobody()).unwrap();
    assert_eq!((halted.standing, halted.asleep), (2, 1), "{halted:?}");
    assert_eq!(halted.left, 0);
    let killed = rig.probes.kill_session(rig.mark).unwrap();
    assert_eq!(killed.left, 0, "{killed:?}");
    child.wait().unwrap();
}

/// States of the threads of a process.
fn threads(pid: u32) -> Vec<char> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    let stats = tasks.flatten().filter_map(|task| {
        let stat = fs::read_to_string(task.path().join("stat")).ok()?;
        stat.rsplit_once(')')?.1.trim_start().chars().next()
    });
    stats.collect()
}

/// A file system that takes no write, so that a writer sleeps where no signal
/// reaches it. Thawed and removed with this.
struct Ice {
    mount: PathBuf,
    _folder: tempfile::TempDir,
}

impl Ice {
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("image");
        let mount = folder.path().join("mount");
        fs::create_dir(&mount).unwrap();
        let file = fs::File::create(&image).unwrap();
        file.set_len(16 << 20).unwrap();
        let run = |program: &str, arguments: &[&std::ffi::OsStr]| {
            let said = Command::new(program).args(arguments).output();
            said.is_ok_and(|said| said.status.success())
        };
        let made = run("mkfs.ext4", &["-q".as_ref(), image.as_ref()])
            && run(
                "mount",
                &[
                    "-o".as_ref(),
                    "loop".as_ref(),
                    image.as_ref(),
                    mount.as_ref(),
                ],
            );
        if !made {
            eprintln!("SKIPPED: this kernel has no loop devices, or ext4 cannot be made");
            return None;
        }
        let ice = Self {
            mount,
            _folder: folder,
        };
        assert!(run("fsfreeze", &["-f".as_ref(), ice.mount.as_ref()]));
        Some(ice)
    }

    fn thaw(&self) {
        let _ = Command::new("fsfreeze").arg("-u").arg(&self.mount).status();
    }
}

impl Drop for Ice {
    fn drop(&mut self) {
        let _ = Command::new("fsfreeze")
            .arg("-u")
            .arg(&self.mount)
            .stderr(std::process::Stdio::null())
            .status();
        let _ = Command::new("umount").arg(&self.mount).status();
    }
}

#[test]
fn who_cannot_die_is_left_and_said_so_and_dies_when_it_wakes() {
    let Some(rig) = Rig::new() else { return };
    let Some(ice) = Ice::new() else { return };
    let file = ice.mount.join("file");
    let script = format!("echo x > {}", file.display());
    let mut child = Actor::shell(&script).marked(&rig.probes, rig.mark).go();
    until("it sleeps", || threads(child.id()) == ['D']);
    let killed = rig.probes.kill_session(rig.mark).unwrap();
    assert_eq!(killed.left, 1, "{killed:?}");
    let row = rig.probes.session(rig.mark).unwrap().unwrap();
    assert_eq!(row.state, SessionState::Killed);
    ice.thaw();
    child.wait().unwrap();
    until("nobody is left", || live(&rig) == 0);
    assert!(!file.exists() || fs::read(&file).unwrap().is_empty());
}

#[test]
fn who_ignores_every_signal_is_frozen_and_killed() {
    let Some(rig) = Rig::new() else { return };
    let script = "trap '' HUP INT QUIT TERM TSTP CONT USR1 USR2; while :; do :; done";
    let mut child = Actor::shell(script).marked(&rig.probes, rig.mark).go();
    until("it runs", || state_of(child.id()) == 'R');
    let halted = rig.probes.freeze_session(rig.mark, &nobody()).unwrap();
    assert_eq!((halted.standing, halted.left), (1, 0));
    assert_eq!(rig.probes.kill_session(rig.mark).unwrap().left, 0);
    child.wait().unwrap();
}

/// A control group of its own, removed with this.
struct Group(PathBuf);

impl Group {
    fn new(name: &str) -> Self {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let root = mounts.lines().find_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let target = fields.next()?;
            (fields.next() == Some("cgroup2")).then(|| PathBuf::from(target))
        });
        let group = root.unwrap().join(name);
        fs::create_dir(&group).unwrap();
        Self(group)
    }

    fn take(&self, pid: u32) {
        fs::write(self.0.join("cgroup.procs"), pid.to_string()).unwrap();
    }

    fn is_frozen(&self) -> bool {
        let events = fs::read_to_string(self.0.join("cgroup.events")).unwrap();
        events.lines().any(|line| line == "frozen 1")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let started = Instant::now();
        while fs::remove_dir(&self.0).is_err() && started.elapsed() < Duration::from_secs(5) {}
    }
}

#[test]
fn a_group_of_the_session_alone_is_locked_against_sigcont() {
    let Some(rig) = Rig::new() else { return };
    let group = Group::new(&format!("monitor-test-{}", std::process::id()));
    let script = "while :; do :; done";
    let mut child = Actor::shell(script).marked(&rig.probes, rig.mark).go();
    group.take(child.id());
    // Not while a stranger is in it.
    let mut stranger = Command::new("sleep").arg("1000").spawn().unwrap();
    group.take(stranger.id());
    let halted = rig.probes.freeze_session(rig.mark, &nobody()).unwrap();
    assert_eq!((halted.left, halted.locked), (0, 0));
    assert!(!group.is_frozen());
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    let halted = rig.probes.freeze_session(rig.mark, &nobody()).unwrap();
    assert_eq!((halted.left, halted.locked), (0, 1));
    until("it is frozen", || group.is_frozen());
    let before = ticks(child.id());
    let process = rustix::process::Pid::from_raw(child.id().cast_signed()).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::CONT).unwrap();
    for _ in 0..1_000 {
        std::thread::yield_now();
    }
    assert_eq!(ticks(child.id()), before, "it got no time");
    rig.probes.release_session(rig.mark).unwrap();
    until("it goes on", || ticks(child.id()) > before);
    assert!(!group.is_frozen());
    rig.probes.freeze_session(rig.mark, &nobody()).unwrap();
    rig.probes.kill_session(rig.mark).unwrap();
    child.wait().unwrap();
    assert!(!group.is_frozen(), "others may come to live in it");
}

/// Time that a process got, hundredths of a second.
fn ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, rest) = stat.rsplit_once(')').unwrap();
    rest.split_ascii_whitespace()
        .nth(11)
        .unwrap()
        .parse()
        .unwrap()
}

/// How often a session is contained beside a neighbour of the same account;
/// `MONITOR_TEST_CONTAINMENTS` gives another number.
const CONTAINMENTS: u32 = 40;

#[test]
fn a_neighbour_of_the_same_account_is_never_touched() {
    let Some(mut rig) = Rig::new() else { return };
    let wanted = std::env::var("MONITOR_TEST_CONTAINMENTS");
    let wanted = wanted.map_or(CONTAINMENTS, |number| number.parse().unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut neighbour, mut near) = talker(&rig, other(&rig, 0), &listener);
    let pid = neighbour.child.id();
    let (mut frozen, mut gone) = (Vec::new(), Vec::new());
    for number in 1..=wanted {
        let mark = other(&rig, number);
        let mut child = crowd(&rig, mark);
        let _end = End(rig.probes.clone(), mark);
        let started = Instant::now();
        let halted = rig.probes.freeze_session(mark, &nobody()).unwrap();
        frozen.push(started.elapsed());
        assert_eq!(halted.left, 0, "{number}: {halted:?}");
        rig.probes.cut_connections(&[mark], None).unwrap();
        let started = Instant::now();
        let killed = rig.probes.kill_session(mark).unwrap();
        gone.push(started.elapsed());
        assert_eq!(killed.left, 0, "{number}: {killed:?}");
        child.wait().unwrap();
        assert_eq!(neighbour.again(), "sent", "{number}");
        assert_eq!(hears(&mut near), Ok(1), "{number}");
        assert_eq!(neighbour.child.id(), pid);
        assert_eq!(rig.probes.session_live(mark).unwrap(), Some(0));
        rig.probes.forget_session(mark).unwrap();
        crate::rig::drain(&mut rig.rings.priority);
        crate::rig::drain(&mut rig.rings.bulk);
    }
    eprintln!(
        "{wanted} containments; frozen {}; gone {}",
        told(frozen),
        told(gone)
    );
}

/// Three processes, one detached, one of which forks without pause.
fn crowd(rig: &Rig, mark: SessionMark) -> Child {
    let script = "setsid sleep 1000 & ( while :; do ( : ) & wait; done ) & sleep 1001";
    let child = Actor::shell(script).marked(&rig.probes, mark).go();
    until("all run", || {
        rig.probes.session_live(mark).unwrap() >= Some(4)
    });
    child
}

/// Leaves nobody behind, also where a test fails.
struct End(std::sync::Arc<monitor_agent::kernel::Probes>, SessionMark);

impl Drop for End {
    fn drop(&mut self) {
        // Forgotten already where all went well.
        let _ = self.0.kill_session(self.1);
    }
}

fn told(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    format!("p50 {:?}, p99 {:?}, max {:?}", at(50), at(99), at(100))
}
