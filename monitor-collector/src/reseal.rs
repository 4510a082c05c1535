//! Another key in the place of the one that ledgers and state are sealed with.
//!
//! In: a collector's folder, with no collector running on it. Out: the same,
//! which opens with the new key alone. File by file, each in one transaction: what
//! ended in between goes on when it is started again, whichever of the two keys
//! opens a file. Hashes, trees, checkpoints and proofs stay as they are, since
//! they are made of what lies under the seal. Loss: none.

use std::{
    io,
    path::{Path, PathBuf},
};

use monitor_ledger::seal::SealKey;
use monitor_model::id::{InvalidId, TenantId};

use crate::{
    core::{CoreError, open::lock},
    ledger::{Ledger, LedgerError},
    state::{State, StateError, sealing},
};

/// The key of before and the one that takes its place.
#[derive(Clone, Debug)]
pub struct Keys {
    /// Opens nothing afterwards.
    pub old: SealKey,
    /// Opens everything afterwards.
    pub new: SealKey,
}

/// What is made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// What the keys of ledgers and state lie under; they stay the same.
    Keys,
    /// These keys as well, and with them everything that is sealed.
    Contents,
}

/// How far a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Everything is written, and not committed.
    Written,
    /// It is committed; what lay there before may still be found in the files.
    Committed,
    /// It opens with the new key, and nothing is left that the old one opens.
    Done(Outcome),
}

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was sealed with the old key.
    Resealed,
    /// It lay in clear.
    Sealed,
    /// It was sealed with the new key already.
    Already,
}

/// Why not everything could be sealed with the new key. What was, stays so.
#[derive(Debug, thiserror::Error)]
pub enum ResealError {
    /// Both keys are the same.
    #[error(
        "the new key is the old one: make another with `monitor-collector seal-key --out FILE`"
    )]
    SameKey,
    /// It is no folder of a collector.
    #[error("{}: no ledger and no state in it; give the data_dir of the configuration", path.display())]
    Empty {
        /// The folder.
        path: PathBuf,
    },
    /// The folder cannot be read.
    #[error("{}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file in the ledgers' folder is named as no ledger is.
    #[error("{}: {source}", path.display())]
    Name {
        /// The file.
        path: PathBuf,
        /// What is wrong with its name.
        source: InvalidId,
    },
    /// A collector runs on the folder.
    #[error(transparent)]
    Locked(#[from] CoreError),
    /// A ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The state.
    #[error(transparent)]
    State(#[from] StateError),
}

/// Seals everything in a collector's folder with the new key. `told` is called
/// with each file as it goes on.
///
/// # Errors
/// [`ResealError`]; when the cause is removed, the same call does what is left.
pub fn reseal(
    data_dir: &Path,
    keys: &Keys,
    renewal: Renewal,
    told: &mut dyn FnMut(&Path, Stage),
) -> Result<(), ResealError> {
    if keys.old == keys.new {
        return Err(ResealError::SameKey);
    }
    let (tenants, state) = (ledgers(data_dir)?, State::path(data_dir));
    if tenants.is_empty() && !state.exists() {
        return Err(ResealError::Empty {
            path: data_dir.into(),
        });
    }
    let _lock = lock(data_dir)?;
    for tenant in &tenants {
        let path = Ledger::path(data_dir, tenant);
        let mut tell = |stage| told(&path, stage);
        let outcome = Ledger::reseal(data_dir, tenant, keys, renewal, &mut tell)?;
        tell(Stage::Done(outcome));
    }
    if state.exists() {
        let mut tell = |stage| told(&state, stage);
        let outcome = sealing::reseal(data_dir, keys, renewal, &mut tell)?;
        tell(Stage::Done(outcome));
    }
    Ok(())
}

/// Whose ledgers are in a folder, those of former tenants too.
///
/// # Errors
/// [`ResealError::Folder`], [`ResealError::Name`].
pub fn ledgers(data_dir: &Path) -> Result<Vec<TenantId>, ResealError> {
    let folder = data_dir.join("ledger");
    let failed = |source| ResealError::Folder {
        path: folder.clone(),
        source,
    };
    let files = match std::fs::read_dir(&folder) {
        Ok(files) => files,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut tenants = Vec::new();
    for file in files {
        let path = file.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "db") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            let tenant = TenantId::new(name.as_ref());
            tenants.push(tenant.map_err(|source| ResealError::Name { path, source })?);
        }
    }
    tenants.sort();
    Ok(tenants)
}
