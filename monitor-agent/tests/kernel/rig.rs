//! Probes in a folder of their own, and their records collected.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use monitor_agent::kernel::{
    ArmReport, BatchLimits, DigestKey, Family, KernelError, ProbeConfig, Probes, RingReader, Rings,
    SessionMark, Started, Tier, detach, ensure_bpffs,
};
use monitor_common::{
    Connect, Credential, Exec, Exit, Fork, Header, HostChange, Identity, LocalConnect, Memory,
    Record, SessionEnded, Signal, Socket, decode,
};

/// Longest wait for something that must come.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);
pub(crate) const LIMITS: BatchLimits = BatchLimits {
    records_max: 4_096,
    bytes_max: 1 << 20,
};

/// Of every rig.
pub(crate) const DIGEST_KEY: DigestKey = DigestKey([0x0123_4567_89ab_cdef, 42]);

static NEXT: AtomicU32 = AtomicU32::new(1);

/// A record without its ring.
#[derive(Clone, Debug)]
pub(crate) enum Seen {
    Exec {
        exec: Exec,
        path: String,
        argv: Vec<u8>,
        given: Vec<u8>,
        interpreter: Vec<u8>,
    },
    Fork(Fork),
    Exit(Exit),
    Connect(Connect),
    LocalConnect(LocalConnect),
    Socket(Socket),
    Credential {
        credential: Credential,
        path: String,
    },
    Memory(Memory),
    Identity(Identity),
    Signal(Signal),
    HostChange {
        change: HostChange,
        path: String,
    },
    SessionEnded(SessionEnded),
}

impl Seen {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let spell = |path: monitor_common::PathLabel<'_>| {
            let mut spelled = Vec::new();
            path.spell(|piece| spelled.extend_from_slice(piece));
            String::from_utf8_lossy(&spelled).into_owned()
        };
        match decode(bytes).unwrap() {
            Record::Exec {
                exec,
                path,
                argv,
                given,
                interpreter,
            } => Self::Exec {
                exec: *exec,
                path: spell(path),
                argv: argv.to_vec(),
                given: given.to_vec(),
                interpreter: interpreter.to_vec(),
            },
            Record::Fork(fork) => Self::Fork(*fork),
            Record::Exit(exit) => Self::Exit(*exit),
            Record::Connect(connect) => Self::Connect(*connect),
            Record::LocalConnect(connect) => Self::LocalConnect(*connect),
            Record::Socket(socket) => Self::Socket(*socket),
            Record::Credential {
                credential, path, ..
            } => Self::Credential {
                credential: *credential,
                path: spell(path),
            },
            Record::Memory(memory) => Self::Memory(*memory),
            Record::Identity(identity) => Self::Identity(*identity),
            Record::Signal(signal) => Self::Signal(*signal),
            Record::HostChange { change, path } => Self::HostChange {
                change: *change,
                path: spell(path),
            },
            Record::SessionEnded(ended) => Self::SessionEnded(*ended),
        }
    }

    pub(crate) fn header(&self) -> &Header {
        match self {
            Self::Exec { exec, .. } => &exec.header,
            Self::Fork(fork) => &fork.header,
            Self::Exit(exit) => &exit.header,
            Self::Connect(connect) => &connect.header,
            Self::Credential { credential, .. } => &credential.header,
            Self::LocalConnect(connect) => &connect.header,
            Self::Socket(socket) => &socket.header,
            Self::Memory(memory) => &memory.header,
            Self::Identity(identity) => &identity.header,
            Self::Signal(signal) => &signal.header,
            Self::HostChange { change, .. } => &change.header,
            Self::SessionEnded(ended) => &ended.header,
        }
    }
}

pub(crate) struct Rig {
    pub(crate) config: ProbeConfig,
    /// Shared with who watches.
    pub(crate) probes: Arc<Probes>,
    pub(crate) rings: Rings,
    pub(crate) report: ArmReport,
    /// A mark that no other test uses.
    pub(crate) mark: SessionMark,
    /// Goes last: while it is in use it cannot be removed.
    pub(crate) pins: Folder,
}

/// A folder for pins, removed with all in it.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = detach(&self.0) {
            eprintln!("left behind: {error}");
        }
    }
}

/// A folder of its own, or a word aloud about why not.
pub(crate) fn folder() -> Option<Folder> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: needs root");
        return None;
    }
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    ensure_bpffs("/sys/fs/bpf".as_ref()).unwrap();
    let folder = PathBuf::from(format!(
        "/sys/fs/bpf/monitor-test-{}-{number}",
        std::process::id()
    ));
    std::fs::create_dir_all(&folder).unwrap();
    Some(Folder(folder))
}

impl Rig {
    /// Whether what is armed for a family can refuse.
    pub(crate) fn can_refuse(&self, family: Family) -> bool {
        let mut families = self.report.families.iter();
        families.any(|found| found.family == family && found.armed == Some(Tier::Lsm))
    }

    pub(crate) fn new() -> Option<Self> {
        Self::with(|_| ())
    }

    pub(crate) fn with(change: impl FnOnce(&mut ProbeConfig)) -> Option<Self> {
        let pins = folder()?;
        let mut config = ProbeConfig::new(&pins.0);
        config.digest_key = DIGEST_KEY;
        change(&mut config);
        let Started {
            probes,
            rings,
            report,
        } = match Probes::start(&config) {
            Ok(started) => started,
            Err(KernelError::NoObject) => {
                eprintln!("SKIPPED: this agent was built without probes");
                return None;
            }
            Err(error) => panic!("{error}"),
        };
        // The last tier works wherever there is BTF; better ones may be refused.
        let refused: Vec<_> = report
            .blind()
            .filter(|family| {
                let mut refusals = family.refusals.iter();
                // A kernel without modules has no tracepoint of them, either.
                refusals.any(|refusal| {
                    refusal.tier == Tier::Tracepoint && !refusal.reason.contains("unknown BTF type")
                })
            })
            .collect();
        assert!(refused.is_empty(), "{refused:?}");
        let mut mark = [0x5a; 16];
        mark[..4].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_ne_bytes());
        Some(Self {
            config,
            probes: Arc::new(probes),
            rings,
            report,
            mark: SessionMark(mark),
            pins,
        })
    }

    /// Lets the probes run without an agent for as long as `meanwhile` takes,
    /// and starts the agent again.
    pub(crate) fn restart(self, meanwhile: impl FnOnce()) -> Self {
        let Self {
            pins,
            config,
            probes,
            rings,
            mark,
            ..
        } = self;
        drop(probes);
        drop(rings);
        meanwhile();
        let Started {
            probes,
            rings,
            report,
        } = Probes::start(&config).unwrap();
        Self {
            config,
            probes: Arc::new(probes),
            rings,
            report,
            mark,
            pins,
        }
    }

    /// Records of this rig's session, from both rings, until `enough`.
    pub(crate) fn collect(&mut self, enough: impl Fn(&[Seen]) -> bool) -> Vec<Seen> {
        let mark = self.mark;
        self.collect_of(mark, enough)
    }

    pub(crate) fn collect_of(
        &mut self,
        mark: SessionMark,
        enough: impl Fn(&[Seen]) -> bool,
    ) -> Vec<Seen> {
        let started = Instant::now();
        let mut seen = Vec::new();
        while !enough(&seen) {
            assert!(started.elapsed() < DEADLINE, "not enough came: {seen:#?}");
            self.rings.priority.wait(Duration::from_millis(20)).unwrap();
            for ring in [&mut self.rings.priority, &mut self.rings.bulk] {
                seen.extend(
                    drain(ring)
                        .into_iter()
                        .filter(|seen| seen.header().session == mark),
                );
            }
        }
        seen
    }

    /// Everything of this rig's session up to the end of an actor: the actor's
    /// last act is to be seen ending.
    pub(crate) fn collect_until_ended(&mut self) -> Vec<Seen> {
        self.collect(|seen| {
            seen.iter()
                .any(|seen| matches!(seen, Seen::SessionEnded(_)))
        })
    }
}

/// Takes and commits everything that a ring has.
pub(crate) fn drain(ring: &mut RingReader) -> Vec<Seen> {
    let mut seen = Vec::new();
    loop {
        let batch = ring.read_batch(LIMITS);
        ring.commit(batch.cursor());
        if batch.is_empty() {
            return seen;
        }
        seen.extend(batch.records().map(Seen::of));
    }
}

/// Waits until a condition holds.
pub(crate) fn until(what: &str, condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < DEADLINE, "never: {what}");
        std::thread::yield_now();
    }
}
