//! The durable queue, and what must be true together with it.
//!
//! In: encoded events of one reading of the rings, with the positions of the
//! streams, the sessions and the receipts that changed by it. Out: numbered
//! batches, until they are acked. Bound: `bytes_max` of events. When full, the
//! rings are left alone: the kernel keeps what its rings hold, then drops and
//! counts, and the gap is named once there is room; what is on disk is never
//! thrown away for what is not. The bulk ring is left alone first, and a
//! reserve is kept for what the agent itself has to say. Loss: none here.
//!
//! One transaction is one reading (group commit), synced before the rings are
//! freed. A kill at any moment leaves either all of it or none: records of an
//! uncommitted reading come again from the ring, those of a committed one are
//! known by the positions. So each is told once.
//!
//! Beside each batch are its numbers and a checksum (ADR 43): what the disk gives
//! back as something else is not sent, and is named.
//!
//! `spool.db`: SQLite, WAL, `synchronous=FULL`; acked batches are deleted with
//! `NORMAL`, because a deletion that is lost only means a batch sent again.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use monitor_model::{
    event::{Event, Receipt},
    id::{BootId, Source},
    session::Session,
};
use monitor_proto::{encode_event, v1};
use prost::Message as _;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, Transaction, params};

use crate::{
    attribute::{
        jobs::{Job, written::Writing},
        sessions::ENDED_MAX,
    },
    note::Keep,
    sequence::Stream,
};

mod holds;
mod tables;

pub use holds::Held;

/// Most bytes of events in one batch; a single event may be larger.
pub const BATCH_BYTES_MAX: usize = 1 << 20;
/// Most events in one batch.
pub const BATCH_EVENTS_MAX: usize = 4_096;
/// Room that only the agent's own events may fill.
const RESERVE_BYTES: u64 = 4 << 20;
/// Most receipts that are kept.
pub const RECEIPTS_MAX: usize = 4_096;

/// Why the spool cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The database: a full disk, a damaged file.
    #[error("spool.db: {0}")]
    Database(#[from] rusqlite::Error),
    /// A row is not what this agent wrote.
    #[error("spool.db: a row of {table} cannot be read: {cause}")]
    Row {
        /// The table.
        table: &'static str,
        /// What is wrong.
        cause: String,
    },
    /// A batch is not what was written.
    #[error("spool.db: batch {} is not what was written", .0.number)]
    Damaged(Damaged),
    /// The file is no database any more, or holds what this agent did not write.
    #[error(
        "{path} is damaged ({cause}). Which numbers this agent gave out since the host booted is lost with it. \
         Move it away together with its -wal and -shm, keep all three (they may hold events that the collector \
         does not have), and restart the host: a new boot has numbers of its own, where an agent that is merely \
         started again would give numbers twice"
    )]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: String,
    },
    /// Numbers have run out.
    #[error("spool.db: the number {number} is too large for the database")]
    Number {
        /// The number.
        number: u64,
    },
}

impl SpoolError {
    /// The same with what helps, where it will not pass by itself.
    fn of(self, path: &Path) -> Self {
        let cause = match &self {
            Self::Database(error) => match error.sqlite_error_code() {
                Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => error.to_string(),
                Some(_) | None => return self,
            },
            Self::Row { table, cause } => format!("a row of {table} cannot be read: {cause}"),
            Self::Number { .. } | Self::Damaged(_) | Self::Unusable { .. } => return self,
        };
        Self::Unusable {
            path: path.to_owned(),
            cause,
        }
    }
}

/// A batch whose bytes are not what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged {
    /// Its number.
    pub number: u64,
    /// What it held; none where that is not known either.
    pub held: Option<Vec<Held>>,
}

/// One event, as it waits for the collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spooled {
    /// Its boot.
    pub boot: BootId,
    /// Its stream.
    pub source: Source,
    /// Its number there.
    pub sequence: u64,
    /// The event, encoded.
    pub bytes: Vec<u8>,
}

impl From<&Event> for Spooled {
    fn from(event: &Event) -> Self {
        Self {
            boot: event.id.boot,
            source: event.id.source,
            sequence: event.id.sequence,
            bytes: encode_event(event),
        }
    }
}

/// What goes to disk together.
#[derive(Debug, Default)]
pub struct Reading {
    /// Events, in order.
    pub events: Vec<Spooled>,
    /// Streams that moved on.
    pub streams: Vec<(Source, Stream)>,
    /// The newest sequence number of the agent's own events.
    pub own_sequence: u64,
    /// Sessions and receipts that changed.
    pub keep: Vec<Keep>,
    /// Which loading of the probes the streams count, where that changed.
    pub epoch: Option<String>,
    /// Boots that are over, and of which all is told: their positions are forgotten.
    pub over: Vec<BootId>,
}

/// A boot of before the present one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Earlier {
    /// Its name.
    pub boot: BootId,
    /// Where its streams stood.
    pub streams: BTreeMap<Source, Stream>,
    /// The newest sequence number of the agent's own events in it.
    pub own_sequence: u64,
}

/// What was on disk when the agent started.
#[derive(Debug, Default)]
pub struct Recovered {
    /// The streams of this boot.
    pub streams: BTreeMap<Source, Stream>,
    /// The newest sequence number of the agent's own events in this boot.
    pub own_sequence: u64,
    /// Earlier boots whose positions are not forgotten.
    pub earlier: Vec<Earlier>,
    /// Sessions, ended ones first and those that ended latest last.
    pub sessions: Vec<Session>,
    /// Receipts.
    pub receipts: Vec<Receipt>,
    /// Jobs that had not ended.
    pub jobs: Vec<Job>,
    /// Files that daemons act on, and who wrote them, the oldest first.
    pub writings: Vec<Writing>,
    /// Which loading of the probes the streams count.
    pub epoch: Option<String>,
}

/// What may still be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// Everything.
    All,
    /// The priority ring, and the agent's own events.
    Priority,
    /// The agent's own events.
    Own,
}

/// The writer for those that share it: one writes while another reads ahead.
#[derive(Clone, Debug)]
pub struct SharedSpool(Arc<Mutex<Spool>>);

impl From<Spool> for SharedSpool {
    fn from(spool: Spool) -> Self {
        Self(Arc::new(Mutex::new(spool)))
    }
}

impl SharedSpool {
    /// Waits for whoever writes.
    pub fn lock(&self) -> MutexGuard<'_, Spool> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The writer; there is one.
#[derive(Debug)]
pub struct Spool {
    database: Connection,
    boot: BootId,
    bytes: u64,
    bytes_max: u64,
    newest: u64,
}

impl Spool {
    /// Opens the queue, and gives what it kept of this boot.
    ///
    /// # Errors
    /// [`SpoolError`].
    pub fn open(
        path: &Path,
        boot: BootId,
        bytes_max: u64,
    ) -> Result<(Self, Recovered), SpoolError> {
        Self::opened(path, boot, bytes_max).map_err(|error| error.of(path))
    }

    fn opened(path: &Path, boot: BootId, bytes_max: u64) -> Result<(Self, Recovered), SpoolError> {
        let mut database = Connection::open(path)?;
        database.busy_timeout(Duration::from_secs(5))?;
        database.execute_batch(tables::SCHEMA)?;
        let recovered = tables::recover(&mut database, boot)?;
        let bytes =
            database.query_row("SELECT coalesce(sum(bytes), 0) FROM batches", [], number)?;
        // Numbers are never given twice, also when every batch was acked.
        let newest = database
            .query_row("SELECT newest FROM numbers", [], number)
            .optional()?;
        let newest = newest.unwrap_or(0);
        Ok((
            Self {
                database,
                boot,
                bytes,
                bytes_max,
                newest,
            },
            recovered,
        ))
    }

    /// What may still be written.
    #[must_use]
    pub const fn room(&self) -> Room {
        // Nine tenths for the bulk ring.
        if self.bytes < self.bytes_max - self.bytes_max / 10 {
            Room::All
        } else if self.bytes + RESERVE_BYTES < self.bytes_max {
            Room::Priority
        } else {
            Room::Own
        }
    }

    /// Bytes of events that wait for their ack.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The newest batch.
    #[must_use]
    pub const fn newest(&self) -> u64 {
        self.newest
    }

    /// Writes one reading. On disk when this returns; after an error nothing
    /// of it is, and it may be tried again.
    ///
    /// # Errors
    /// [`SpoolError`].
    pub fn append(&mut self, reading: &Reading) -> Result<(), SpoolError> {
        let appended = self.appended(reading);
        appended.map_err(|error| error.of(self.database.path().unwrap_or("spool.db").as_ref()))
    }

    fn appended(&mut self, reading: &Reading) -> Result<(), SpoolError> {
        self.database.pragma_update(None, "synchronous", "FULL")?;
        let transaction = self.database.transaction()?;
        let mut newest = self.newest;
        let mut bytes = 0;
        for events in split(&reading.events) {
            newest += 1;
            bytes += insert(&transaction, newest, events)?;
        }
        transaction
            .prepare_cached("INSERT OR REPLACE INTO numbers (id, newest) VALUES (0, ?1)")?
            .execute([signed(newest)?])?;
        tables::put_streams(&transaction, self.boot, reading)?;
        if let Some(epoch) = &reading.epoch {
            transaction.execute(
                "INSERT OR REPLACE INTO epochs (boot, epoch) VALUES (?1, ?2)",
                params![self.boot.to_bytes(), epoch],
            )?;
        }
        for boot in &reading.over {
            tables::forget(&transaction, *boot)?;
        }
        let mut aside = 0;
        for keep in &reading.keep {
            aside += tables::put_keep(&transaction, keep)?;
        }
        transaction.commit()?;
        self.newest = newest;
        self.bytes = (self.bytes + bytes).saturating_sub(aside);
        Ok(())
    }

    /// Deletes what the collector has; how many batches.
    ///
    /// # Errors
    /// [`SpoolError`].
    pub fn acked(&mut self, number: u64) -> Result<usize, SpoolError> {
        self.database.pragma_update(None, "synchronous", "NORMAL")?;
        let number = signed(number)?;
        let transaction = self.database.transaction()?;
        let bytes: u64 = transaction.query_row(
            "SELECT coalesce(sum(bytes), 0) FROM batches WHERE number <= ?1",
            [number],
            self::number,
        )?;
        let deleted = transaction.execute("DELETE FROM batches WHERE number <= ?1", [number])?;
        transaction.commit()?;
        self.bytes = self.bytes.saturating_sub(bytes);
        Ok(deleted)
    }
}

/// The reader; it sees what is committed.
#[derive(Debug)]
pub struct SpoolReader {
    database: Connection,
}

impl SpoolReader {
    /// Opens the queue that [`Spool::open`] made.
    ///
    /// # Errors
    /// [`SpoolError`].
    pub fn open(path: &Path) -> Result<Self, SpoolError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let database = Connection::open_with_flags(path, flags)?;
        database.busy_timeout(Duration::from_secs(5))?;
        Ok(Self { database })
    }

    /// The first batch after a number.
    ///
    /// # Errors
    /// [`SpoolError::Damaged`] where it is not what was written.
    pub fn next(&self, after: u64) -> Result<Option<v1::Batch>, SpoolError> {
        let found = self
            .database
            .prepare_cached(
                "SELECT number, batch, batch_sum, holds, holds_sum FROM batches
                 WHERE number > ?1 ORDER BY number LIMIT 1",
            )?
            .query_row([signed(after)?], Row::read)
            .optional()?;
        found.map(Row::checked).transpose()
    }
}

/// A batch as it lies there. An agent of before kept no checksums.
struct Row {
    number: u64,
    batch: Vec<u8>,
    batch_sum: Option<i64>,
    holds: Vec<u8>,
    holds_sum: Option<i64>,
}

impl Row {
    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            number: number(row)?,
            batch: row.get(1)?,
            batch_sum: row.get(2)?,
            holds: row.get::<_, Option<_>>(3)?.unwrap_or_default(),
            holds_sum: row.get(4)?,
        })
    }

    fn checked(self) -> Result<v1::Batch, SpoolError> {
        let is_as_written =
            |sum: Option<i64>, bytes: &[u8]| sum.is_none_or(|sum| sum == holds::checksum(bytes));
        if is_as_written(self.batch_sum, &self.batch)
            && let Ok(batch) = v1::Batch::decode(self.batch.as_slice())
            && batch.number == self.number
        {
            return Ok(batch);
        }
        let is_known = self.holds_sum.is_some() && is_as_written(self.holds_sum, &self.holds);
        Err(SpoolError::Damaged(Damaged {
            number: self.number,
            held: is_known.then(|| holds::decoded(&self.holds)).flatten(),
        }))
    }
}

fn insert(
    transaction: &Transaction<'_>,
    number: u64,
    events: &[Spooled],
) -> Result<u64, SpoolError> {
    let batch = v1::Batch {
        number,
        events: events.iter().map(|event| event.bytes.clone()).collect(),
    };
    let (batch, holds) = (batch.encode_to_vec(), holds::encoded(events));
    let bytes = u64::try_from(batch.len()).unwrap_or(u64::MAX);
    transaction
        .prepare_cached(
            "INSERT INTO batches (number, bytes, batch, batch_sum, holds, holds_sum)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            signed(number)?,
            signed(bytes)?,
            batch,
            holds::checksum(&batch),
            holds,
            holds::checksum(&holds)
        ])?;
    Ok(bytes)
}

/// Cuts events into batches that a message can hold.
fn split(events: &[Spooled]) -> Vec<&[Spooled]> {
    let mut batches = Vec::new();
    let mut rest = events;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fit = rest
            .iter()
            .take(BATCH_EVENTS_MAX)
            .take_while(|event| {
                bytes += event.bytes.len();
                bytes <= BATCH_BYTES_MAX
            })
            .count();
        let (batch, after) = rest.split_at(fit.max(1));
        batches.push(batch);
        rest = after;
    }
    batches
}

fn signed(number: u64) -> Result<i64, SpoolError> {
    i64::try_from(number).map_err(|_| SpoolError::Number { number })
}

/// The first column as a number.
fn number(row: &rusqlite::Row<'_>) -> rusqlite::Result<u64> {
    row.get::<_, i64>(0)
        .map(|number| u64::try_from(number).unwrap_or(0))
}

fn row<E: fmt::Display>(table: &'static str) -> impl Fn(E) -> SpoolError {
    move |error| SpoolError::Row {
        table,
        cause: error.to_string(),
    }
}

#[cfg(test)]
pub(crate) mod tests;
