//! What a collector stored, and the gaps that were named.
//!
//! In: the ledgers of a collector's folder, of which all are read: a host's
//! numbers are spread over its tenants. Out: each record's event, and the
//! numbers of records whose content was removed. Whether a ledger is whole
//! `monitorctl verify` says.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use monitor_ledger::{
    block::Opened,
    file::{self, Block, SELECT},
    index::Numbers,
    seal::{SealKey, Secrets},
    sequences::Stream,
};
use monitor_model::event::Event;
use rusqlite::Connection;

/// Why ledgers cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LedgersError {
    /// The folder cannot be read.
    #[error("{}: {source}; give the collector's data_dir", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no ledger.
    #[error("{}: no ledger is there; give the collector's data_dir", path.display())]
    Nothing {
        /// The folder.
        path: PathBuf,
    },
    /// One cannot be read.
    #[error("{}: {cause}", path.display())]
    Ledger {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: String,
    },
}

/// What a ledger says, record by record.
#[derive(Debug)]
pub enum Said<'a> {
    /// An event is stored.
    Event(&'a Event),
    /// So was one of each of these numbers, whose content was removed.
    Removed(&'a Stream, &'a Numbers),
}

/// Reads all ledgers; each in one state, though the collector goes on.
///
/// # Errors
/// [`LedgersError`] names the folder or the file.
pub fn read(
    data_dir: &Path,
    seal: Option<&SealKey>,
    mut take: impl FnMut(&Said<'_>),
) -> Result<(), LedgersError> {
    let folder = data_dir.join("ledger");
    let error = |source| LedgersError::Folder {
        path: folder.clone(),
        source,
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(&folder).map_err(error)? {
        let path = entry.map_err(error)?.path();
        if path.extension().is_some_and(|extension| extension == "db") {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(LedgersError::Nothing { path: folder });
    }
    for path in files {
        let read = ledger(&path, seal, &mut take);
        read.map_err(|cause| LedgersError::Ledger { path, cause })?;
    }
    Ok(())
}

fn ledger(
    path: &Path,
    seal: Option<&SealKey>,
    take: &mut dyn FnMut(&Said<'_>),
) -> Result<(), String> {
    let text = |error: rusqlite::Error| error.to_string();
    let connection = file::open(path).map_err(text)?;
    connection.execute_batch("BEGIN").map_err(text)?;
    let tenant: String = connection
        .query_row("SELECT value FROM meta WHERE key = 'tenant'", [], |row| {
            row.get(0)
        })
        .map_err(text)?;
    let secrets = Secrets::read(&connection, &tenant, seal).map_err(|error| error.to_string())?;
    let sql = format!("{SELECT} WHERE content IS NOT NULL ORDER BY first");
    let mut statement = connection.prepare(&sql).map_err(text)?;
    let mut rows = statement.query([]).map_err(text)?;
    while let Some(row) = rows.next().map_err(text)? {
        let block = Block::of(row).map_err(text)?;
        let of_block = |cause: String| format!("block {}: {cause}", block.first);
        let opened = block.open(&secrets);
        let opened = opened.map_err(|error| of_block(error.to_string()))?;
        for parts in opened.iter().flat_map(Opened::records) {
            let parts = parts.map_err(|error| of_block(error.to_string()))?;
            let event = monitor_proto::decode_event(parts.event);
            take(&Said::Event(
                &event.map_err(|error| of_block(error.to_string()))?,
            ));
        }
    }
    removed(&connection, take)
}

/// Numbers of records whose content was removed.
fn removed(connection: &Connection, take: &mut dyn FnMut(&Said<'_>)) -> Result<(), String> {
    let text = |error: rusqlite::Error| error.to_string();
    let sql = "SELECT agent, boot, source, ranges FROM numbers
               JOIN stream ON stream.id = numbers.stream
               JOIN block ON block.first = numbers.block WHERE block.content IS NULL";
    let mut statement = connection.prepare(sql).map_err(text)?;
    let mut rows = statement.query([]).map_err(text)?;
    while let Some(row) = rows.next().map_err(text)? {
        let name = |at| row.get::<_, String>(at).map_err(text);
        let ranges: Vec<u8> = row.get(3).map_err(text)?;
        let stream = Stream {
            agent: parsed(&name(0)?)?,
            boot: parsed(&name(1)?)?,
            source: parsed(&name(2)?)?,
        };
        let numbers = Numbers::parse(&ranges);
        let numbers =
            numbers.ok_or_else(|| format!("numbers of {} cannot be read", stream.agent))?;
        take(&Said::Removed(&stream, &numbers));
    }
    Ok(())
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}
