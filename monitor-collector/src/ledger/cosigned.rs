//! The newest checkpoint of a ledger that a witness signed: a file beside it.
//!
//! A file of its own, replaced whole, since it is written while the ledger's
//! writer goes on; without it the witness is asked again.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
};

use monitor_ledger::cosignature;
use monitor_model::id::TenantId;

use super::{Ledger, LedgerError};

/// The checkpoint with the signatures of log and witness; none before the first.
///
/// # Errors
/// [`LedgerError::Folder`] names the file.
pub fn read(data_dir: &Path, tenant: &TenantId) -> Result<Option<Vec<u8>>, LedgerError> {
    let path = cosignature::beside(&Ledger::path(data_dir, tenant));
    cosignature::read(&path).map_err(|source| LedgerError::Folder { path, source })
}

/// Replaces it; it is on disk before this returns.
///
/// # Errors
/// [`LedgerError::Folder`] names the file.
pub fn store(data_dir: &Path, tenant: &TenantId, note: &[u8]) -> Result<(), LedgerError> {
    let path = cosignature::beside(&Ledger::path(data_dir, tenant));
    replace(&path, note).map_err(|source| LedgerError::Folder { path, source })
}

fn replace(path: &Path, note: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("cosigned-new");
    let mut file = File::create(&fresh)?;
    file.write_all(note)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}
