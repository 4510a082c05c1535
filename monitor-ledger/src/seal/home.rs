//! Where a collector's files are, with the key that opens them.

use std::path::{Path, PathBuf};

use super::SealKey;

/// Where the ledgers and the state of a collector are, and what opens them.
#[derive(Clone, Debug)]
pub struct Home {
    path: PathBuf,
    seal: Option<SealKey>,
}

impl Home {
    /// A folder, and the key of its ledgers where they are sealed.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, seal: Option<SealKey>) -> Self {
        Self {
            path: path.into(),
            seal,
        }
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The key.
    #[must_use]
    pub const fn seal(&self) -> Option<&SealKey> {
        self.seal.as_ref()
    }
}

impl std::ops::Deref for Home {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.path
    }
}

impl From<&Path> for Home {
    fn from(path: &Path) -> Self {
        Self::new(path, None)
    }
}

impl From<&PathBuf> for Home {
    fn from(path: &PathBuf) -> Self {
        Self::new(path, None)
    }
}

impl From<&Self> for Home {
    fn from(home: &Self) -> Self {
        home.clone()
    }
}
