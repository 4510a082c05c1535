//! Starts everything in order, and ends it in order.
//!
//! - [`ground`]: what must be there first. [`probes`]: the kernel's side.
//! - [`reader`]: what probes of before told, after an upgrade.
//! - [`wiring`]: who is given what.

use std::{future::Future, io, path::PathBuf, sync::Arc};

use monitor_transport::{identity::Role, logging::Format, tls::TlsError};
use tracing::{error, info};

use crate::{
    config::Config,
    enforce::ResumeError,
    kernel::{KernelError, Probes, Started},
    krl::error::ListError,
    login::LoginError,
    pipeline::PipelineError,
    redact::RedactError,
    sight::{Seen, Sight},
    spool::SpoolError,
    standing::StandingError,
    uplink::Life,
    watch::{LabelError, WatchError, Watcher},
};

mod ground;
mod probes;
mod reader;
mod wiring;

use wiring::Armed;

/// Why the agent cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The directory of keys, accounts and workloads.
    #[error(transparent)]
    Directory(#[from] monitor_transport::configuration::ConfigError),
    /// Not root.
    #[error(
        "it must be started by root (this is uid {uid}): probes, marks and the end of sessions need it"
    )]
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
    #[error(
        "the hooks for births and ends of processes cannot be armed, and without them nobody can be told apart: {reason}"
    )]
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
    /// What probes of before told could not be read.
    #[error(
        "{probes} has records that nobody has read, and its reader {}: {reason}; \
         put that right, or give them up with `monitor-agent detach`, then start again", program.display()
    )]
    Reader {
        /// The folder of their pins, without the path.
        probes: String,
        /// What should read them.
        program: PathBuf,
        /// What became of it.
        reason: String,
    },
    /// The spool.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// Grants and denials.
    #[error(transparent)]
    Standing(#[from] StandingError),
    /// What sessions may reach.
    #[error(transparent)]
    Enforce(#[from] ResumeError),
    /// The revocation list.
    #[error("[krl]: {0}")]
    List(#[from] ListError),
    /// The login socket.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// Labels of watches.
    #[error(transparent)]
    Labels(#[from] LabelError),
    /// Watched files.
    #[error(transparent)]
    Watch(#[from] WatchError),
    /// A part that should run for ever ended.
    #[error(
        "a part of the agent ended by itself; what was read is on disk, and the next start goes on from there"
    )]
    Part,
    /// The pipeline ended.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
}

/// Reads to its end what probes told that others have followed.
///
/// # Errors
/// [`RunError`] when something that is needed is missing, or fails for good.
pub async fn read_before(config: &Config, probes: &str) -> Result<(), RunError> {
    let ground = ground::open(config)?;
    let started = Probes::open_before(&config.pin_dir, probes)?;
    let pipeline = wiring::reader(config, ground, started)?;
    Ok(pipeline.finish().await?)
}

/// Runs until `stop`. The reader of what probes of before told says what it does in
/// `log_format`, as the agent.
///
/// # Errors
/// [`RunError`] when something that is needed is missing, or fails for good.
pub async fn run(
    config: Config,
    log_format: Format,
    stop: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let (ground, started) = reader::succeed(&config, log_format).await?;
    let Started {
        probes,
        rings,
        report,
    } = started;
    let epoch = probes.epoch()?;
    let probes = Arc::new(probes);
    let watcher = Watcher::start(
        config.watches.clone(),
        (ground.labels.clone(), ground.programs.clone()),
        Arc::clone(&probes),
        Arc::clone(&ground.counters),
    )?;
    let counters = Arc::clone(&ground.counters);
    let (leaves, leaving) = tokio::sync::watch::channel(false);
    let (seen, has_pulse) = (Arc::<Seen>::default(), probes::has_pulse(&report));
    let (sight, alive) = Sight::new(Arc::clone(&probes), Arc::clone(&seen), has_pulse);
    let armed = Armed {
        probes,
        rings,
        report,
        epoch,
        seen,
        life: Life { alive, leaving },
    };
    let (pipeline, mut others) = wiring::build(&config, ground, armed)?;
    others.spawn(watcher.run());
    others.spawn(sight.run());
    info!(socket = %config.socket.display(), "The agent runs.");
    let mut failed = false;
    let stop = async {
        tokio::select! {
            () = stop => {
                leaves.send_replace(true);
            }
            Some(ended) = others.join_next() => {
                failed = true;
                error!(panicked = ended.is_err(), "A part of the agent ended by itself; the agent stops.");
            }
        }
    };
    let ended = pipeline.run(stop).await;
    others.shutdown().await;
    info!(counters = %counters, "The agent stops.");
    ended?;
    if failed { Err(RunError::Part) } else { Ok(()) }
}
