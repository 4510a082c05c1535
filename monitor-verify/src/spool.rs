//! What an agent holds that is not acked, and how far it read.
//!
//! In: `spool.db`, while its agent goes on or after it ended. Out: the events of
//! its batches, and the place in each stream. Nothing is changed.

use std::path::{Path, PathBuf};

use monitor_model::{
    event::Event,
    id::{BootId, Source},
};
use prost::Message as _;
use rusqlite::{Connection, OpenFlags};

use crate::equation::Place;

/// Why a spool cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// SQLite cannot read it.
    #[error("{}: {source}; give the agent's spool.db", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: rusqlite::Error,
    },
    /// Something in it is not what an agent writes.
    #[error("{}: {what}: {cause}", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// What.
        what: String,
        /// What is wrong.
        cause: String,
    },
}

/// What was found in a spool.
#[derive(Debug, Default)]
pub struct Spool {
    /// Events that are not acked.
    pub events: Vec<Event>,
    /// The place in each stream of the boot that the agent knew last.
    pub places: Vec<(BootId, Source, Place)>,
}

/// Reads a spool.
///
/// # Errors
/// [`SpoolError`].
pub fn read(path: &Path) -> Result<Spool, SpoolError> {
    let sqlite = |source| SpoolError::Sqlite {
        path: path.into(),
        source,
    };
    let wrong = |what: &str, cause: String| SpoolError::Row {
        path: path.into(),
        what: what.to_owned(),
        cause,
    };
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY);
    let connection = connection.map_err(sqlite)?;
    // One state of both tables.
    connection.execute_batch("BEGIN").map_err(sqlite)?;
    let mut spool = Spool::default();
    for (number, bytes) in batches(&connection).map_err(sqlite)? {
        let what = format!("batch {number}");
        let batch = monitor_proto::v1::Batch::decode(bytes.as_slice());
        let batch = batch.map_err(|error| wrong(&what, error.to_string()))?;
        for bytes in batch.events {
            let event = monitor_proto::decode_event(&bytes);
            let event = event.map_err(|error| wrong(&what, error.to_string()))?;
            spool.events.push(event);
        }
    }
    for (boot, source, place) in places(&connection).map_err(sqlite)? {
        let boot = BootId::from_slice(&boot).map_err(|error| wrong("a boot", error.to_string()))?;
        let named = source.parse::<Source>();
        let source = named.map_err(|error| wrong("a stream", error.to_string()))?;
        spool.places.push((boot, source, place));
    }
    Ok(spool)
}

fn batches(connection: &Connection) -> rusqlite::Result<Vec<(i64, Vec<u8>)>> {
    let mut statement = connection.prepare("SELECT number, batch FROM batches ORDER BY number")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

fn places(connection: &Connection) -> rusqlite::Result<Vec<(Vec<u8>, String, Place)>> {
    let mut statement =
        connection.prepare("SELECT boot, source, base, done, ahead FROM streams")?;
    let rows = statement.query_map([], |row| {
        let number = |at| row.get::<_, i64>(at).map(i64::cast_unsigned);
        let ahead: Vec<u8> = row.get(4)?;
        let ahead = ahead.as_chunks().0.iter();
        let place = Place {
            base: number(2)?,
            done: number(3)?,
            ahead: ahead.map(|bytes| u64::from_le_bytes(*bytes)).collect(),
        };
        Ok((row.get(0)?, row.get(1)?, place))
    })?;
    rows.collect()
}
