//! Checks whatever is at a path: all ledgers of a collector, one, or a bundle.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{CheckError, Report, Trust, file, is_log_of};
use crate::{bundle, checkpoint::Checkpoint};

/// Something that can be checked by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A tenant's SQLite file.
    File {
        /// The file.
        path: PathBuf,
        /// The tenant.
        tenant: String,
    },
    /// An exported bundle.
    Bundle {
        /// Its folder.
        path: PathBuf,
    },
}

impl Place {
    /// Checks it.
    ///
    /// # Errors
    /// [`CheckError`].
    pub fn check(&self, trust: &Trust) -> Result<Report, CheckError> {
        match self {
            Self::File { path, tenant } => file::check(path, tenant, trust),
            Self::Bundle { path } => bundle::check(path, trust),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::File { path, .. } | Self::Bundle { path } => path,
        }
    }
}

/// What is at a path: a collector's folder or its `ledger` folder, a ledger's
/// file, or a bundle's folder. By name.
///
/// # Errors
/// [`CheckError::Nothing`] when it is none of these.
pub fn find(path: &Path) -> Result<Vec<Place>, CheckError> {
    let nothing = || CheckError::Nothing { path: path.into() };
    if path.is_file() {
        return Ok(vec![ledger(path).ok_or_else(nothing)?]);
    }
    if path.join(bundle::FACTS).is_file() {
        return Ok(vec![Place::Bundle { path: path.into() }]);
    }
    let below = path.join("ledger");
    let folder = if below.is_dir() {
        below.as_path()
    } else {
        path
    };
    let read = |source| CheckError::File {
        path: folder.into(),
        source,
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(read)? {
        files.push(entry.map_err(read)?.path());
    }
    files.sort();
    let places: Vec<Place> = files.iter().filter_map(|path| ledger(path)).collect();
    if places.is_empty() {
        return Err(nothing());
    }
    Ok(places)
}

/// Every checkpoint that was given must be readable, and of one of the logs found.
///
/// # Errors
/// [`CheckError::Held`], [`CheckError::HeldElsewhere`].
pub fn covers(tenants: &[String], trust: &Trust) -> Result<(), CheckError> {
    for note in &trust.held {
        let held = Checkpoint::read(note).map_err(CheckError::Held)?;
        if !tenants.iter().any(|tenant| is_log_of(&held.origin, tenant)) {
            return Err(CheckError::HeldElsewhere {
                origin: held.origin,
            });
        }
    }
    Ok(())
}

fn ledger(path: &Path) -> Option<Place> {
    let is_ledger = path.extension().is_some_and(|extension| extension == "db");
    let tenant = path.file_stem().and_then(|name| name.to_str())?;
    is_ledger.then(|| Place::File {
        path: path.into(),
        tenant: tenant.to_owned(),
    })
}
