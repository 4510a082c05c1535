//! Why a ledger cannot be used.

use std::{
    io,
    path::{Path, PathBuf},
};

use monitor_ledger::{
    checkpoint::CheckpointError,
    file::{PutError, StoredError},
    key::KeyError,
    seal::SecretsError,
};

/// Why a ledger cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// SQLite failed.
    #[error("ledger {}: {source}", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: rusqlite::Error,
    },
    /// The folder cannot be made or read.
    #[error("{}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file was written by another version, or for another tenant.
    #[error("ledger {} holds {key} = {found:?}; this is {wanted:?}: give the right file or the right version", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Which of its facts.
        key: &'static str,
        /// What it says.
        found: String,
        /// What would be right.
        wanted: String,
    },
    /// An entry is not what its hash says.
    #[error("ledger {} is broken at position {position}: {cause}; keep the file as evidence and restore a copy", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// The first entry that is wrong.
        position: u64,
        /// What is wrong with it.
        cause: String,
    },
    /// It is sealed, and cannot be opened.
    #[error("ledger {}: {source}", path.display())]
    Seal {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: SecretsError,
    },
    /// Somebody reads it while what lay in it before is to be removed.
    #[error("ledger {}: another program reads it, and so long nothing can be removed from its log: end that program", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// The key cannot be used.
    #[error("signing key of the ledgers: {0}")]
    Key(#[from] KeyError),
    /// The tree cannot be signed.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

impl LedgerError {
    /// SQLite's error, and of which file.
    pub(super) fn sqlite(path: &Path, source: rusqlite::Error) -> Self {
        Self::Sqlite {
            path: path.into(),
            source,
        }
    }

    /// An entry that is wrong.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "errors and texts are handed over"
    )]
    pub(super) fn broken(path: &Path, position: u64, cause: impl ToString) -> Self {
        Self::Broken {
            path: path.into(),
            position,
            cause: cause.to_string(),
        }
    }

    /// Why its secrets cannot be read.
    pub(super) fn seal(path: &Path, error: SecretsError) -> Self {
        match error {
            SecretsError::Sqlite(source) => Self::sqlite(path, source),
            SecretsError::Gone => Self::broken(path, 1, error),
            SecretsError::Sealed | SecretsError::OtherKey | SecretsError::NoRandom => Self::Seal {
                path: path.into(),
                source: error,
            },
        }
    }

    /// Why a block that ends at a position was not written.
    pub(super) fn put(path: &Path, position: u64, error: PutError) -> Self {
        match error {
            PutError::Sqlite(source) => Self::sqlite(path, source),
            PutError::Block(error) => Self::broken(path, position, error),
        }
    }

    /// Why the tree of a file cannot be read.
    pub(super) fn stored(path: &Path, error: StoredError) -> Self {
        match error {
            StoredError::Sqlite(source) => Self::sqlite(path, source),
            StoredError::Missing(missing) => Self::broken(path, missing.first + 1, missing),
        }
    }
}
