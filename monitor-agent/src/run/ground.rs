//! What must be there before the probes are touched: rights, certificates,
//! folders, databases; and one agent at a time.

use std::{
    fs, io,
    os::{fd::OwnedFd, unix::fs::PermissionsExt as _},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use monitor_model::{
    clock::{Clock, SystemClock},
    id::{AgentName, BootId},
};
use monitor_transport::{identity::Role, tls::Tls};
use rustix::fs::{FlockOperation, Mode, OFlags};

use super::RunError;
use crate::{
    attribute::Origin,
    config::Config,
    counters::Counters,
    directory::Directory,
    kernel::{self, features::FeatureState},
    login::Askers,
    lossy,
    redact::Redactor,
    standing::Standing,
    watch::{SharedLabels, SharedPrograms},
};

/// How long an agent waits for the one before, or its reader, which may be about to
/// end.
const LOCKED_WITHIN: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Everything that is opened before the probes are touched.
pub(super) struct Ground {
    pub(super) tls: Tls,
    pub(super) origin: Origin,
    pub(super) askers: Askers,
    pub(super) redactor: Arc<Redactor>,
    pub(super) standing: Standing,
    pub(super) labels: SharedLabels,
    pub(super) programs: SharedPrograms,
    pub(super) directory: Arc<Directory>,
    pub(super) counters: Arc<Counters>,
    pub(super) clock: Arc<dyn Clock>,
    /// Held for as long as the agent runs.
    pub(super) lock: OwnedFd,
}

/// Looks for everything, and opens it.
pub(super) fn open(config: &Config) -> Result<Ground, RunError> {
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
    let passwd = lossy::text("/etc/passwd").unwrap_or_default();
    let askers = Askers::find(&config.principals_users, &passwd)?;
    for feature in kernel::features::features().features {
        if feature.state == FeatureState::Missing {
            let kernel::features::Feature {
                name,
                finding,
                cost,
                ..
            } = feature;
            return Err(RunError::Missing {
                name,
                finding,
                cost,
            });
        }
    }
    let lock = state_dir(&config.state_dir)?;
    let database = config.state_dir.join("state.db");
    Ok(Ground {
        tls,
        origin: Origin {
            agent,
            boot: boot_id()?,
        },
        askers,
        redactor: Redactor::open(&config.state_dir.join("redaction.key"))?.into(),
        standing: Standing::open(&database)?,
        labels: SharedLabels::open(&database)?,
        programs: SharedPrograms::default(),
        directory: Arc::new(match &config.directory {
            Some(path) => Directory::load(path)?,
            None => Directory::default(),
        }),
        counters: Arc::default(),
        clock,
        lock,
    })
}

/// Makes the folder for root alone, and locks it.
fn state_dir(path: &Path) -> Result<OwnedFd, RunError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| RunError::File { path, source }
    };
    fs::create_dir_all(path).map_err(failed(path))?;
    // Also where a package or an older start made it.
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(failed(path))?;
    let file = path.join("lock");
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
    let lock = rustix::fs::open(&file, flags, Mode::from_raw_mode(0o600))
        .map_err(|error| failed(&file)(error.into()))?;
    let began = Instant::now();
    loop {
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(lock),
            Err(rustix::io::Errno::WOULDBLOCK) if began.elapsed() < LOCKED_WITHIN => {
                std::thread::sleep(LOOK_AGAIN);
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let path = path.to_owned();
                return Err(RunError::Locked { path });
            }
            Err(error) => return Err(failed(&file)(error.into())),
        }
    }
}

fn boot_id() -> Result<BootId, RunError> {
    let path = "/proc/sys/kernel/random/boot_id";
    let text = fs::read_to_string(path).map_err(|source| RunError::File {
        path: path.into(),
        source,
    })?;
    let digits: String = text.trim().chars().filter(|digit| *digit != '-').collect();
    u128::from_str_radix(&digits, 16)
        .ok()
        .and_then(|number| BootId::from_slice(&number.to_be_bytes()).ok())
        .ok_or(RunError::Boot { text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_folder_is_roots_alone_whoever_made_it_and_used_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let _lock = state_dir(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        assert!(matches!(state_dir(&path), Err(RunError::Locked { .. })));
    }
}
