//! After an upgrade: probes of another version have followed those of before, whose
//! rings may hold records that nobody has read.
//!
//! They are read by a process of their own, before anything that the new probes
//! tell: by this program where it knows the form of the records, else by the
//! program that loaded those probes, which kept a copy of itself for that
//! (`<state_dir>/readers/NAME/monitor-agent`).

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use monitor_transport::logging::Format;
use tokio::process::Command;
use tracing::info;

use super::{
    RunError,
    ground::{self, Ground},
    probes,
};
use crate::{
    config::Config,
    kernel::{self, Before, KernelError, Started},
};

/// This program, even where its file was replaced.
const OWN: &str = "/proc/self/exe";

/// Starts the probes, and reads first what those told that they have followed.
pub(super) async fn succeed(
    config: &Config,
    log_format: Format,
) -> Result<(Ground, Started), RunError> {
    let ground = ground::open(config)?;
    let started = probes::start(config, ground.redactor.digest_key());
    let mut started = match started {
        // These were followed by others, and are to run again: first they are read.
        Err(RunError::Kernel(KernelError::Followed { version })) => {
            drop(ground);
            let own = Before {
                version,
                is_readable: true,
            };
            read(config, log_format, &own).await?;
            kernel::forget(&config.pin_dir, &own.version)?;
            return Box::pin(succeed(config, log_format)).await;
        }
        started => started?,
    };
    let before = started.probes.before();
    let ground = if before.is_empty() {
        ground
    } else {
        // The reader needs it for itself.
        drop(ground);
        for probes in &before {
            read(config, log_format, probes).await?;
        }
        started.probes.forget_before()?;
        ground::open(config)?
    };
    keep(&config.state_dir.join("readers"), &started.probes.version())?;
    Ok((ground, started))
}

/// Runs the reader to its end.
async fn read(config: &Config, log_format: Format, before: &Before) -> Result<(), RunError> {
    let kept = kept(&config.state_dir.join("readers"), &before.version);
    let program = if before.is_readable {
        PathBuf::from(OWN)
    } else {
        kept
    };
    let probes = &before.version;
    info!(probes, reader = %program.display(), "Probes of another version run now; those of before are read to their end.");
    let ended = Command::new(&program)
        .arg("read-before")
        .arg("--config")
        .arg(&config.file)
        .args(["--probes", probes])
        .args(["--log-format", &log_format.to_string()])
        .kill_on_drop(true)
        .status()
        .await;
    let reason = match ended {
        Ok(status) if status.success() => return Ok(()),
        Ok(status) => format!("ended with {status}, and said why"),
        Err(error) => format!("does not start: {error}"),
    };
    Err(RunError::Reader {
        probes: probes.clone(),
        program,
        reason,
    })
}

fn kept(readers: &Path, probes: &str) -> PathBuf {
    readers.join(probes).join("monitor-agent")
}

/// Keeps a copy of this program beside the probes that it runs, and none for
/// probes that are gone.
fn keep(readers: &Path, probes: &str) -> Result<(), RunError> {
    let kept = kept(readers, probes);
    let file = |path: &Path| {
        let path = path.to_owned();
        move |source| RunError::File { path, source }
    };
    if !is_same(&kept).map_err(file(&kept))? {
        let folder = readers.join(probes);
        fs::create_dir_all(&folder).map_err(file(&folder))?;
        let new = folder.join("new");
        copy(&new).map_err(file(&new))?;
        fs::rename(&new, &kept).map_err(file(&kept))?;
    }
    for other in fs::read_dir(readers).map_err(file(readers))? {
        let other = other.map_err(file(readers))?;
        if other.file_name() != probes {
            fs::remove_dir_all(other.path()).map_err(file(&other.path()))?;
        }
    }
    Ok(())
}

/// Whether a copy of this program is there already.
fn is_same(kept: &Path) -> io::Result<bool> {
    let own = fs::metadata(OWN)?;
    match fs::metadata(kept) {
        Ok(kept) => {
            let stamp = |of: &fs::Metadata| (of.len(), of.mtime(), of.mtime_nsec());
            Ok(stamp(&kept) == stamp(&own))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The copy has the time of the original, by which it is known again.
fn copy(new: &Path) -> io::Result<()> {
    fs::copy(OWN, new)?;
    let copy = fs::File::options().write(true).open(new)?;
    copy.set_modified(fs::metadata(OWN)?.modified()?)?;
    copy.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_kept_of_the_probes_that_run_and_of_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let readers = folder.path().join("readers");
        keep(&readers, "v1-00000000").unwrap();
        let first = kept(&readers, "v1-00000000");
        assert_eq!(fs::read(&first).unwrap(), fs::read(OWN).unwrap());
        let inode = fs::metadata(&first).unwrap().ino();
        keep(&readers, "v1-00000000").unwrap();
        let again = fs::metadata(&first).unwrap().ino();
        assert_eq!(again, inode, "it is not copied where it is there");
        keep(&readers, "v2-00000000").unwrap();
        assert!(!first.exists() && kept(&readers, "v2-00000000").exists());
    }
}
