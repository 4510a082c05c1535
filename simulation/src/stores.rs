//! Disks that refuse, and disks that lose what was not synced.
//!
//! The files are real ones, of SQLite. A store refuses by a trigger in it, so that
//! the error comes where it comes from a full disk: in the middle of a transaction.
//! A host that loses its power keeps of its queue what was there at the last sync;
//! a deletion of acked batches after it is undone, as it is on a real disk.

use std::{fs, io, path::Path};

use anyhow::{Context as _, Result};
use rusqlite::Connection;

use crate::ground::{Ground, Host};

/// Files that belong to one database, but the one that is made anew.
const PARTS: [&str; 2] = ["", "-wal"];
/// The one that is made anew.
const SHARED: &str = "-shm";

/// From now on a store takes nothing more into a table, or does again.
///
/// # Errors
/// The database cannot be changed.
pub fn set_refusing(database: &Path, table: &str, refuses: bool) -> Result<()> {
    if !database.exists() {
        return Ok(());
    }
    let connection = Connection::open(database)?;
    let statement = if refuses {
        format!(
            "CREATE TRIGGER IF NOT EXISTS refuses BEFORE INSERT ON {table}
             BEGIN SELECT RAISE(FAIL, 'database or disk is full'); END"
        )
    } else {
        "DROP TRIGGER IF EXISTS refuses".to_owned()
    };
    let done = connection.execute_batch(&statement);
    done.with_context(|| format!("{}: {table}", database.display()))
}

/// The agent's queue was synced: this is what a loss of power leaves.
pub fn synced(ground: &Ground, host: &Host) {
    if ground.loses_power(host) && copy(&host.spool(), &ground.copies(), host.name).is_err() {
        ground.trace.note(host.name, "no copy could be made");
    }
}

/// What was not synced is gone.
///
/// # Errors
/// The files cannot be put back.
pub fn lose_power(ground: &Ground, host: &Host) -> Result<()> {
    let (copy, spool) = (ground.copies().join(host.name), host.spool());
    if !copy.exists() {
        return Ok(());
    }
    _ = fs::remove_file(with(&spool, SHARED));
    for part in PARTS {
        let from = with(&copy, part);
        if from.exists() {
            fs::copy(&from, with(&spool, part))?;
        } else {
            _ = fs::remove_file(with(&spool, part));
        }
    }
    Ok(())
}

fn copy(database: &Path, into: &Path, name: &str) -> io::Result<()> {
    fs::create_dir_all(into)?;
    for part in PARTS {
        let (from, to) = (with(database, part), with(&into.join(name), part));
        if from.exists() {
            fs::copy(from, to)?;
        } else {
            _ = fs::remove_file(to);
        }
    }
    Ok(())
}

fn with(path: &Path, part: &str) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(part);
    name.into()
}

/// Copies a whole folder, in the place of what is there.
///
/// # Errors
/// It cannot be read or written.
pub fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    _ = fs::remove_dir_all(to);
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
