//! Why the state cannot be used.

use std::path::{Path, PathBuf};

use monitor_ledger::seal::SecretsError;

use super::{
    open::{LAYOUT, LAYOUT_SEALED},
    policies,
};

/// Why the state cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// SQLite failed.
    #[error("state {}: {source}", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: rusqlite::Error,
    },
    /// A row cannot be read back.
    #[error("state {}: {what} {name} cannot be read: {cause}", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: &'static str,
        /// Its name.
        name: String,
        /// What is wrong with it.
        cause: String,
    },
    /// No room for another version of the policy.
    #[error(
        "state {}: {} versions of the policy are kept, and ledgers name them: give the last policy back, or begin a new data_dir",
        path.display(), policies::POLICIES_MAX
    )]
    PoliciesFull {
        /// The file.
        path: PathBuf,
    },
    /// It is sealed and cannot be opened, or it cannot be sealed.
    #[error("state {}: {source}", path.display())]
    Seal {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: SecretsError,
    },
    /// The key that it is sealed with is not in it any more, or a seal that it
    /// does not speak of is.
    #[error("state {} has layout {layout:?} and {} seal: it was changed; restore a copy", path.display(), if *is_there { "a" } else { "no" })]
    Mixed {
        /// The file.
        path: PathBuf,
        /// What it says of itself.
        layout: String,
        /// Whether there is a seal.
        is_there: bool,
    },
    /// Somebody reads it while what lay in it before is to be removed.
    #[error("state {}: another program reads it, and so long nothing can be removed from its log: end that program", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by another version.
    #[error("state {} has layout {found:?}; this is {LAYOUT:?}, or {LAYOUT_SEALED:?} where it is sealed: give the right file or the right version", path.display())]
    Layout {
        /// The file.
        path: PathBuf,
        /// What it says.
        found: String,
    },
}

impl StateError {
    pub(super) fn sqlite(path: &Path, source: rusqlite::Error) -> Self {
        Self::Sqlite {
            path: path.into(),
            source,
        }
    }

    pub(super) fn seal(path: &Path, source: SecretsError) -> Self {
        match source {
            SecretsError::Sqlite(source) => Self::sqlite(path, source),
            SecretsError::Gone
            | SecretsError::Sealed
            | SecretsError::OtherKey
            | SecretsError::NoRandom => Self::Seal {
                path: path.into(),
                source,
            },
        }
    }

    /// A row that cannot be read.
    pub(super) fn row(
        path: &Path,
        what: &'static str,
        name: &str,
        cause: impl std::fmt::Display,
    ) -> Self {
        Self::Row {
            path: path.into(),
            what,
            name: name.to_owned(),
            cause: cause.to_string(),
        }
    }
}
