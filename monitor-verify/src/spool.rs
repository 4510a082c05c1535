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
    /// What batches hold whose bytes are not what was written.
    pub damaged: Vec<Held>,
    /// The place in each stream of the boot that the agent knew last.
    pub places: Vec<(BootId, Source, Place)>,
}

/// Numbers of one stream that a batch holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The boot.
    pub boot: BootId,
    /// The stream.
    pub source: Source,
    /// First number.
    pub first: u64,
    /// Last number; those between are there, too.
    pub last: u64,
}

/// What is kept beside a batch: the numbers in it.
#[derive(Clone, PartialEq, prost::Message)]
struct Holds {
    #[prost(message, repeated, tag = "1")]
    ranges: Vec<Range>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Range {
    #[prost(bytes = "vec", tag = "1")]
    boot: Vec<u8>,
    #[prost(string, tag = "2")]
    source: String,
    #[prost(uint64, tag = "3")]
    first: u64,
    #[prost(uint64, tag = "4")]
    last: u64,
}

/// A batch as it lies there; an agent of before kept nothing beside it.
struct Row {
    number: i64,
    batch: Vec<u8>,
    batch_sum: Option<i64>,
    holds: Option<Vec<u8>>,
    holds_sum: Option<i64>,
}

impl Row {
    /// What it holds, where its own bytes are not what was written.
    fn damaged(&self) -> Option<Vec<Held>> {
        let is = |bytes: &[u8], sum: Option<i64>| sum == Some(crc32fast::hash(bytes).into());
        if self.batch_sum.is_none() || is(&self.batch, self.batch_sum) {
            return None;
        }
        let holds = self.holds.as_ref();
        let holds = holds.filter(|holds| is(holds, self.holds_sum));
        let holds = holds.and_then(|holds| Holds::decode(holds.as_slice()).ok());
        let ranges = holds.map(|holds| holds.ranges).unwrap_or_default();
        let held = |range: Range| {
            let held = Held {
                boot: BootId::from_slice(&range.boot).ok()?,
                source: range.source.parse().ok()?,
                first: range.first,
                last: range.last,
            };
            (held.first <= held.last).then_some(held)
        };
        Some(ranges.into_iter().filter_map(held).collect())
    }
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
    for row in batches(&connection).map_err(sqlite)? {
        if let Some(held) = row.damaged() {
            spool.damaged.extend(held);
            continue;
        }
        let what = format!("batch {}", row.number);
        let batch = monitor_proto::v1::Batch::decode(row.batch.as_slice());
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

fn batches(connection: &Connection) -> rusqlite::Result<Vec<Row>> {
    let has_sums = "SELECT count(*) > 0 FROM pragma_table_info('batches') WHERE name = 'batch_sum'";
    let columns = if connection.query_row(has_sums, [], |row| row.get(0))? {
        "batch_sum, holds, holds_sum"
    } else {
        "NULL, NULL, NULL"
    };
    let read = format!("SELECT number, batch, {columns} FROM batches ORDER BY number");
    let mut statement = connection.prepare(&read)?;
    let rows = statement.query_map([], |row| {
        Ok(Row {
            number: row.get(0)?,
            batch: row.get(1)?,
            batch_sum: row.get(2)?,
            holds: row.get(3)?,
            holds_sum: row.get(4)?,
        })
    })?;
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
