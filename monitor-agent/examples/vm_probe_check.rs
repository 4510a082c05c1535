//! Attaches every probe to the running kernel, does what they should see, and
//! says in one line whether they saw it. Made to run as root in a bare virtual
//! machine: it mounts what it needs.
//!
//! `VM-CHECK ok kernel=... exec=true connect=true open=true ...`, exit
//! code 0, or `VM-CHECK failed: ...`, exit code 1.

#![expect(clippy::print_stdout, reason = "the line is its product")]
#![expect(clippy::wildcard_enum_match_arm, reason = "it picks what it looks for")]

use std::{
    collections::BTreeSet,
    error::Error,
    fs,
    io::{ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use monitor_agent::kernel::{
    BatchLimits, FileIdentity, KernelError, ProbeConfig, Probes, SessionMark, Started, Tier,
    WatchEntry, detach, ensure_bpffs, hooks::program_names,
};
use monitor_common::{Record, decode};
use rustix::mount::{MountFlags, mount};

const PINS: &str = "/sys/fs/bpf/monitor-vm-check";
const MARK: SessionMark = SessionMark([7; 16]);
const CROWD: SessionMark = SessionMark([8; 16]);
const DEADLINE: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["child", ..] => return ExitCode::SUCCESS,
        ["crowd", address] => return crowd(address),
        _ => {}
    }
    match check() {
        Ok(line) => {
            println!("VM-CHECK ok {line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("VM-CHECK failed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn check() -> Result<String, Box<dyn Error>> {
    prepare();
    let config = ProbeConfig::new(PINS);
    ensure_bpffs(Path::new("/sys/fs/bpf"))?;
    fs::create_dir_all(PINS)?;
    let started = Probes::start(&config)?;
    let result = observe(started);
    let removed = detach(Path::new(PINS))?;
    let seen = result?;
    if Path::new(PINS).exists() || removed.links == 0 {
        return Err(format!("detach left {PINS} ({removed:?})").into());
    }
    Ok(seen)
}

/// Mounts what a bare virtual machine lacks; what is there already stays.
fn prepare() {
    let none = MountFlags::empty();
    for (source, target, kind) in [
        ("proc", "/proc", "proc"),
        ("sysfs", "/sys", "sysfs"),
        ("cgroup2", "/sys/fs/cgroup", "cgroup2"),
        ("tmpfs", "/tmp", "tmpfs"),
    ] {
        let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
        let has = |kind: &str, target: &str| {
            mounts.lines().any(|line| {
                let mut fields = line.split(' ').skip(1);
                fields.next() == Some(target) || (kind == "cgroup2" && fields.next() == Some(kind))
            })
        };
        if !has(kind, target) && (kind != "tmpfs" || !Path::new("/tmp").is_dir()) {
            let _ = fs::create_dir_all(target);
            let _ = mount(source, target, kind, none, None);
        }
    }
    let _ = Command::new("ip")
        .args(["link", "set", "lo", "up"])
        .status();
}

fn observe(started: Started) -> Result<String, Box<dyn Error>> {
    let Started {
        probes,
        mut rings,
        report,
    } = started;
    let blind: Vec<_> = report
        .blind()
        // Better tiers may be refused; the last works wherever there is BTF.
        .filter(|family| {
            let mut refusals = family.refusals.iter();
            refusals.any(|refusal| refusal.tier == Tier::Tracepoint && !refusal.is_absent())
        })
        .map(|family| format!("{}: {:?}", family.family.name(), family.refusals))
        .collect();
    if !blind.is_empty() {
        return Err(format!("not armed: {}", blind.join("; ")).into());
    }
    for family in &report.families {
        let tier = family.armed.map_or("not seen", Tier::name);
        println!("family {}: {tier}", family.family.name());
        for refusal in &family.refusals {
            println!("  not {}: {}", refusal.tier.name(), refusal.reason);
        }
    }
    probes.mark(std::process::id(), MARK)?;
    let watched = std::env::temp_dir().join("monitor-vm-check-credential");
    fs::write(&watched, "secret")?;
    let file = FileIdentity::of(&watched)?;
    probes.watch_set(&[WatchEntry::all(file, 42)])?;
    act(&watched)?;
    let mut seen = Seen::default();
    let limits = BatchLimits {
        records_max: 1_000,
        bytes_max: 1 << 20,
    };
    let started = Instant::now();
    while !seen.all() && started.elapsed() < DEADLINE {
        rings.priority.wait(Duration::from_millis(200))?;
        let batch = rings.priority.read_batch(limits);
        for bytes in batch.records() {
            seen.look(decode(bytes)?, file);
        }
        rings.priority.commit(batch.cursor());
    }
    fs::remove_file(&watched)?;
    let contained = contain(&probes)?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let line = format!(
        "kernel={} families={} exec={} connect={} open={} {contained} faults={:?}",
        kernel.trim(),
        report.families.len(),
        seen.exec,
        seen.connect,
        seen.open,
        probes
            .counters()?
            .faults
            .iter()
            .filter(|(_, count)| *count > 0)
            .collect::<Vec<_>>(),
    );
    tell_verified();
    if seen.all() {
        Ok(line)
    } else {
        Err(line.into())
    }
}

/// Instructions that the verifier went through for each program, of the million
/// that it allows. The kernel keeps 15 bytes of a name.
fn tell_verified() {
    let own = program_names();
    for program in aya::programs::loaded_programs().flatten() {
        let name = program.name_as_str().unwrap_or_default();
        let is_own = !name.is_empty() && own.iter().any(|own| own.starts_with(name));
        if let Some(count) = program.verified_instruction_count()
            && is_own
        {
            println!("verified {name} {count}");
        }
    }
}

/// What the probes should see.
fn act(watched: &Path) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    TcpStream::connect(listener.local_addr()?)?;
    let mut content = String::new();
    fs::File::open(watched)?.read_to_string(&mut content)?;
    let status = Command::new("/proc/self/exe")
        .arg("child")
        .arg("x".repeat(10_000))
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err(KernelError::NoObject.into())
    }
}

/// Freezes a session that forks and talks, cuts it off, and lets it go on.
fn contain(probes: &Probes) -> Result<String, Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut child = Command::new("/proc/self/exe")
        .args(["crowd", &listener.local_addr()?.to_string()])
        .stdin(Stdio::piped())
        .spawn()?;
    probes.mark(child.id(), CROWD)?;
    child.stdin.take().ok_or("no input")?.write_all(b"g")?;
    let (mut far, _) = listener.accept()?;
    far.read_exact(&mut [0])?;
    let started = Instant::now();
    let halted = probes.freeze_session(CROWD, &BTreeSet::new())?;
    let took = started.elapsed();
    let live = probes.session_live(CROWD)?;
    let cut = probes.cut_connections(&[CROWD], None)?;
    far.set_read_timeout(Some(DEADLINE))?;
    // Without its modules a kernel lists no sockets, and closes none.
    let cannot_cut = cut.closed == 0 && cut.refused > 0;
    let ended = loop {
        if cannot_cut {
            break true;
        }
        match far.read(&mut [0; 4_096]) {
            Ok(0) => break true,
            Ok(_) => {}
            Err(error) => break error.kind() == ErrorKind::ConnectionReset,
        }
    };
    if halted.left > 0 || live != probes.session_live(CROWD)? {
        return Err(format!("a frozen session runs: {halted:?}").into());
    }
    if (cut.closed != 1 && !cannot_cut) || !ended {
        return Err(format!("a connection was not cut: {cut:?}, ended: {ended}").into());
    }
    let resumed = probes.release_session(CROWD)?;
    drop(far);
    let status = child.wait()?;
    if !status.success() || resumed.left > 0 {
        return Err(format!("a released session did not go on: {status}, {resumed:?}").into());
    }
    let (standing, took) = (halted.standing, took.as_micros());
    Ok(format!("frozen={standing} in_us={took} cut={}", cut.closed))
}

/// Talks and starts programs until its connection is cut, then starts some more.
fn crowd(address: &str) -> ExitCode {
    let waits = std::io::stdin().read_exact(&mut [0]);
    let connected = waits.and_then(|()| TcpStream::connect(address));
    let starts = || {
        let status = Command::new("/proc/self/exe").arg("child").status();
        status.is_ok_and(|status| status.success())
    };
    let Ok(mut stream) = connected else {
        return ExitCode::FAILURE;
    };
    while stream.write_all(b"x").is_ok() {
        if !starts() {
            return ExitCode::FAILURE;
        }
    }
    if (0..20).all(|_| starts()) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

#[derive(Default)]
struct Seen {
    exec: bool,
    connect: bool,
    open: bool,
}

impl Seen {
    const fn all(&self) -> bool {
        self.exec && self.connect && self.open
    }

    fn look(&mut self, record: Record<'_>, file: FileIdentity) {
        if record.header().session != MARK {
            return;
        }
        match record {
            Record::Exec {
                exec, argv, path, ..
            } => {
                self.exec |=
                    exec.argv_bytes_true > 10_000 && argv.len() == 4_096 && path.is_whole();
            }
            Record::Connect(connect) => {
                self.connect |= connect.addr.ends_with(&[0xff, 0xff, 127, 0, 0, 1]);
            }
            Record::Credential { credential, .. } => {
                self.open |= credential.watch_id == 42 && credential.file.inode == file.inode;
            }
            _ => {}
        }
    }
}
