//! Starts everything in order, and ends it in order.

use std::{
    fs, future::Future, io,
    os::{fd::OwnedFd, unix::fs::MetadataExt as _, unix::fs::PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use monitor_model::{
    clock::{Clock, SystemClock},
    event::{Action, HookState},
    id::{AgentName, BootId},
};
use monitor_proto::v1;
use monitor_transport::{
    identity::Role,
    tls::{Tls, TlsError},
};
use rustix::fs::{FlockOperation, Mode, OFlags};
use tokio::{sync::watch as channel, task::JoinSet};
use tracing::{info, warn};

use crate::{
    attribute::{Attributor, Origin, SharedSessions, ThisHost},
    config::Config,
    contain::{Containment, Receipts},
    counters::Counters,
    kernel::{
        self, ArmReport, Family, KernelError, ProbeConfig, Probes, Rings, Started,
        features::FeatureState,
    },
    login::{Askers, Desk, Door, LoginError, desk::LastRefusal},
    marks::Marks,
    note::{Note, Notes},
    pipeline::{Pipeline, PipelineError, Worker, worker::Parts},
    redact::{RedactError, Redactor},
    spool::{Spool, SpoolError},
    standing::{Standing, StandingError},
    uplink::Uplink,
    watch::{LabelError, SharedLabels, WatchError, Watcher},
};

/// Why the agent cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Not root.
    #[error("it must be started by root (this is uid {uid}): probes, marks and the end of sessions need it")]
    NotRoot {
        /// Who started it.
        uid: u32,
    },
    /// The kernel or this program lacks something.
    #[error("{name}: {finding}: {cost}")]
    Missing {
        /// What.
        name: &'static str,
        /// What was found.
        finding: String,
        /// What that costs, and what would help.
        cost: String,
    },
    /// The family without which nothing can be bound.
    #[error("the hooks for births and ends of processes cannot be armed, and without them nobody can be told apart: {reason}")]
    Blind {
        /// Why.
        reason: String,
    },
    /// A file or folder.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another agent runs.
    #[error("another monitor-agent uses {}: stop it first", path.display())]
    Locked {
        /// The state folder.
        path: PathBuf,
    },
    /// The files of TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A certificate of another role.
    #[error("{} names the role {role}; an agent needs monitor://agent/NAME", path.display())]
    Role {
        /// The certificate.
        path: PathBuf,
        /// The role found.
        role: Role,
    },
    /// The boot id.
    #[error("/proc/sys/kernel/random/boot_id is {text:?}, which is none")]
    Boot {
        /// What stands there.
        text: String,
    },
    /// The probes.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The key of the digests.
    #[error(transparent)]
    Redact(#[from] RedactError),
    /// The spool.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// Grants and denials.
    #[error(transparent)]
    Standing(#[from] StandingError),
    /// The login socket.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// Labels of watches.
    #[error(transparent)]
    Labels(#[from] LabelError),
    /// Watched files.
    #[error(transparent)]
    Watch(#[from] WatchError),
    /// The pipeline ended.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
}

/// Everything that is opened before the probes are touched.
struct Ground {
    tls: Tls,
    origin: Origin,
    askers: Askers,
    redactor: Redactor,
    standing: Standing,
    labels: SharedLabels,
    counters: Arc<Counters>,
    clock: Arc<dyn Clock>,
    /// Held for as long as the agent runs.
    _lock: OwnedFd,
}

/// Runs until `stop`.
///
/// # Errors
/// [`RunError`] when something that is needed is missing, or fails for good.
pub async fn run(config: Config, stop: impl Future<Output = ()>) -> Result<(), RunError> {
    let ground = ground(&config)?;
    let (started, epoch) = probes(&config)?;
    let Started { probes, rings, report } = started;
    let probes = Arc::new(probes);
    let watcher = Watcher::start(
        config.watches.clone(),
        ground.labels.clone(),
        Arc::clone(&probes),
        Arc::clone(&ground.counters),
    )?;
    let counters = Arc::clone(&ground.counters);
    let (pipeline, mut others) = build(&config, ground, (probes, rings, report), epoch)?;
    others.spawn(watcher.run());
    info!(socket = %config.socket.display(), "The agent runs.");
    let ended = pipeline.run(stop).await;
    others.shutdown().await;
    info!(counters = %counters, "The agent stops.");
    Ok(ended?)
}

fn ground(config: &Config) -> Result<Ground, RunError> {
    let uid = rustix::process::geteuid();
    if !uid.is_root() {
        return Err(RunError::NotRoot { uid: uid.as_raw() });
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let tls = config.tls.load(clock.now())?;
    let identity = tls.identity();
    if identity.role != Role::Agent {
        let (path, role) = (config.tls.certificate.clone(), identity.role);
        return Err(RunError::Role { path, role });
    }
    // A name of the same alphabet.
    let agent = AgentName::new(identity.name.as_str()).map_err(|error| RunError::File {
        path: config.tls.certificate.clone(),
        source: io::Error::other(error),
    })?;
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let askers = Askers::find(&config.principals_users, &passwd)?;
    for feature in kernel::features::features().features {
        if feature.state == FeatureState::Missing {
            let kernel::features::Feature { name, finding, cost, .. } = feature;
            return Err(RunError::Missing { name, finding, cost });
        }
    }
    let lock = state_dir(&config.state_dir)?;
    let database = config.state_dir.join("state.db");
    Ok(Ground {
        tls,
        origin: Origin { agent, boot: boot_id()? },
        askers,
        redactor: Redactor::open(&config.state_dir.join("redaction.key"))?,
        standing: Standing::open(&database)?,
        labels: SharedLabels::open(&database)?,
        counters: Arc::default(),
        clock,
        _lock: lock,
    })
}

/// Makes the folder for root alone, and locks it.
fn state_dir(path: &Path) -> Result<OwnedFd, RunError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| RunError::File { path, source }
    };
    if !path.exists() {
        fs::create_dir_all(path).map_err(failed(path))?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(failed(path))?;
    }
    let file = path.join("lock");
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
    let lock = rustix::fs::open(&file, flags, Mode::from_raw_mode(0o600))
        .map_err(|error| failed(&file)(error.into()))?;
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(lock),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(RunError::Locked { path: path.to_owned() }),
        Err(error) => Err(failed(&file)(error.into())),
    }
}

fn boot_id() -> Result<BootId, RunError> {
    let path = "/proc/sys/kernel/random/boot_id";
    let text = fs::read_to_string(path)
        .map_err(|source| RunError::File { path: path.into(), source })?;
    let digits: String = text.trim().chars().filter(|digit| *digit != '-').collect();
    u128::from_str_radix(&digits, 16)
        .ok()
        .and_then(|number| BootId::from_slice(&number.to_be_bytes()).ok())
        .ok_or(RunError::Boot { text })
}

/// Starts the probes, and names this loading of them.
fn probes(config: &Config) -> Result<(Started, String), RunError> {
    kernel::ensure_bpffs(&config.pin_dir)?;
    let started = Probes::start(&ProbeConfig {
        pin_dir: config.pin_dir.clone(),
        priority_ring_bytes: config.priority_bytes,
        bulk_ring_bytes: config.bulk_bytes,
    })?;
    for family in started.report.blind() {
        let reasons: Vec<_> = family.refusals.iter().map(|refusal| refusal.reason.as_str()).collect();
        let reason = reasons.join("; ");
        if family.family == Family::Life {
            return Err(RunError::Blind { reason });
        }
        warn!(family = family.family.name(), unseen = family.misses, reason, "This kernel lets nothing be seen of a family.");
    }
    let epoch = epoch(&config.pin_dir)
        .map_err(|source| RunError::File { path: config.pin_dir.clone(), source })?;
    info!(resumed = started.report.resumed, "The probes run.");
    Ok((started, epoch))
}

/// What tells one loading of the probes from the next, in which the kernel
/// counts from 1 again: the folder that says that everything is pinned.
fn epoch(pin_dir: &Path) -> io::Result<String> {
    for entry in fs::read_dir(pin_dir)? {
        if let Ok(found) = fs::metadata(entry?.path().join("complete")) {
            return Ok(format!("{}-{}.{}", found.ino(), found.ctime(), found.ctime_nsec()));
        }
    }
    Err(io::Error::new(io::ErrorKind::NotFound, "no complete set of pins"))
}

type Built = (Pipeline<ThisHost>, JoinSet<()>);

/// Wires the pipeline, the uplink and the login socket.
fn build(
    config: &Config,
    ground: Ground,
    (probes, rings, report): (Arc<Probes>, Rings, ArmReport),
    epoch: String,
) -> Result<Built, RunError> {
    let Ground { tls, origin, askers, redactor, standing, labels, counters, clock, _lock: lock } = ground;
    let path = config.state_dir.join("spool.db");
    let (spool, mut recovered) = Spool::open(&path, origin.boot, config.spool_bytes_max)?;
    let (notes, notes_in) = Notes::channel();
    let (newest, newest_out) = channel::channel(spool.newest());
    let (acked, acked_out) = channel::channel(0);
    let sessions = SharedSessions::default();
    let marks: Arc<dyn Marks> = probes.clone();
    let containment = Arc::new(Containment {
        standing: standing.clone(),
        sessions: sessions.clone(),
        marks: Arc::clone(&marks),
        notes: notes.clone(),
        counters: Arc::clone(&counters),
        clock: Arc::clone(&clock),
        receipts: Receipts::resume(std::mem::take(&mut recovered.receipts)),
    });
    let host = ThisHost::open().map_err(|source| RunError::File { path: "/proc".into(), source })?;
    let parts = Parts {
        origin: origin.clone(),
        spool,
        attributor: Attributor::new(origin.clone(), sessions.clone(), labels, host),
        redactor,
        sessions: sessions.clone(),
        marks: Arc::clone(&marks),
        counters: Arc::clone(&counters),
        clock: Arc::clone(&clock),
    };
    let mut worker = Worker::new(parts, recovered, epoch);
    let hooks = hook_states(&report);
    worker.take_note(started_note(&report, hooks.clone()));
    let desk = Arc::new(Desk {
        origin: origin.clone(),
        standing: standing.clone(),
        sessions,
        marks,
        notes,
        counters: Arc::clone(&counters),
        clock: Arc::clone(&clock),
        last_refusal: LastRefusal::default(),
    });
    let door = Door::open(&config.socket, askers, desk)?;
    let uplink = Uplink {
        collector: config.collector.clone(),
        tls,
        hello: hello(&origin, &hooks),
        spool: path,
        newest: newest_out,
        acked,
        standing,
        containment,
        counters: Arc::clone(&counters),
        clock,
    };
    let mut others = JoinSet::new();
    others.spawn(async move {
        // The lock goes last of all.
        let _lock = lock;
        door.run().await;
    });
    others.spawn(uplink.run());
    let pipeline =
        Pipeline { worker, rings, probes, notes: notes_in, acked: acked_out, newest, counters };
    Ok((pipeline, others))
}

fn hello(origin: &Origin, hooks: &[HookState]) -> v1::Hello {
    v1::Hello {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        boot: origin.boot.to_bytes().to_vec(),
        hooks: hooks.iter().map(Into::into).collect(),
    }
}

fn started_note(report: &ArmReport, hooks: Vec<HookState>) -> Note {
    Note::about_nobody(Action::AgentStarted {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        resumed: report.resumed,
        hooks,
    })
}

fn hook_states(report: &ArmReport) -> Vec<HookState> {
    let families = report.families.iter();
    families
        .map(|family| HookState {
            family: family.family.name().to_owned(),
            tier: family.armed.map(|tier| tier.name().to_owned()),
            unseen: family.misses.to_owned(),
        })
        .collect()
}
