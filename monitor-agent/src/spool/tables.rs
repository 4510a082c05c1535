//! The tables beside the batches: positions of streams, sessions, receipts.

use std::collections::{BTreeMap, BTreeSet};

use monitor_model::{
    event::Receipt,
    id::{BootId, Source},
    session::Session,
};
use monitor_proto::v1;
use prost::Message as _;
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::{
    ENDED_MAX, Earlier, Keep, RECEIPTS_MAX, Reading, Recovered, SpoolError, Stream, row, signed,
};

mod jobs;

/// Most batches that are kept although they are not what was written.
const DAMAGED_MAX: usize = 16;

/// Made when they are not there.
pub(super) const SCHEMA: &str = "
PRAGMA journal_mode=WAL;
PRAGMA synchronous=FULL;
PRAGMA foreign_keys=ON;
CREATE TABLE IF NOT EXISTS batches (
    number INTEGER PRIMARY KEY, bytes INTEGER NOT NULL, batch BLOB NOT NULL,
    batch_sum INTEGER, holds BLOB, holds_sum INTEGER) STRICT;
CREATE TABLE IF NOT EXISTS damaged (
    number INTEGER PRIMARY KEY, batch BLOB NOT NULL, batch_sum INTEGER, holds BLOB,
    holds_sum INTEGER) STRICT;
CREATE TABLE IF NOT EXISTS numbers (
    id INTEGER PRIMARY KEY CHECK (id = 0), newest INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS streams (
    boot BLOB NOT NULL, source TEXT NOT NULL, base INTEGER NOT NULL, done INTEGER NOT NULL,
    ahead BLOB NOT NULL, dropped_named INTEGER NOT NULL, PRIMARY KEY (boot, source)) STRICT;
CREATE TABLE IF NOT EXISTS epochs (
    boot BLOB PRIMARY KEY, epoch TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS sessions (
    id BLOB PRIMARY KEY, ended_at INTEGER, session BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS done (
    order_id BLOB NOT NULL, session BLOB NOT NULL, mode INTEGER NOT NULL, place INTEGER NOT NULL,
    receipt BLOB NOT NULL, PRIMARY KEY (order_id, session, mode)) STRICT;
CREATE TABLE IF NOT EXISTS jobs (
    id BLOB PRIMARY KEY, attribution BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS writings (
    device INTEGER NOT NULL, inode INTEGER NOT NULL, place INTEGER NOT NULL, at INTEGER NOT NULL,
    uid INTEGER NOT NULL, path BLOB NOT NULL, attribution BLOB NOT NULL,
    PRIMARY KEY (device, inode)) STRICT;
";

/// Reads what was kept. Positions of other boots stay until it is told what they
/// left open.
pub(super) fn recover(database: &mut Connection, boot: BootId) -> Result<Recovered, SpoolError> {
    let transaction = database.transaction()?;
    take_over(&transaction)?;
    let mut boots = streams(&transaction)?;
    let (streams, own_sequence) = boots.remove(&boot).unwrap_or_default();
    let earlier = boots
        .into_iter()
        .map(|(boot, (streams, own_sequence))| Earlier {
            boot,
            streams,
            own_sequence,
        });
    let recovered = Recovered {
        streams,
        own_sequence,
        earlier: earlier.collect(),
        sessions: sessions(&transaction)?,
        receipts: receipts(&transaction)?,
        jobs: jobs::jobs(&transaction)?,
        writings: jobs::writings(&transaction)?,
        epoch: transaction
            .query_row(
                "SELECT epoch FROM epochs WHERE boot = ?1",
                [boot.to_bytes()],
                |row| row.get(0),
            )
            .optional()?,
    };
    transaction.commit()?;
    Ok(recovered)
}

/// Forgets the positions of a boot.
pub(super) fn forget(transaction: &Transaction<'_>, boot: BootId) -> Result<(), SpoolError> {
    let boot = boot.to_bytes();
    transaction.execute("DELETE FROM streams WHERE boot = ?1", [boot])?;
    transaction.execute("DELETE FROM epochs WHERE boot = ?1", [boot])?;
    Ok(())
}

/// Where the streams of one boot stand, and the newest number of the agent's own
/// events in it.
type Places = (BTreeMap<Source, Stream>, u64);

fn streams(transaction: &Transaction<'_>) -> Result<BTreeMap<BootId, Places>, SpoolError> {
    let mut rows = transaction
        .prepare("SELECT source, base, done, ahead, dropped_named, boot FROM streams")?;
    let mut boots: BTreeMap<BootId, Places> = BTreeMap::new();
    let mut found = rows.query([])?;
    while let Some(stream) = found.next()? {
        let boot: Vec<u8> = stream.get(5)?;
        let boot = BootId::from_slice(&boot).map_err(|error| SpoolError::Row {
            table: "streams",
            cause: error.to_string(),
        })?;
        let (streams, own_sequence) = boots.entry(boot).or_default();
        let source: String = stream.get(0)?;
        let ahead: Vec<u8> = stream.get(3)?;
        let number = |at| stream.get::<_, i64>(at).map(i64::cast_unsigned);
        let source: Source = source
            .parse()
            .map_err(|error: monitor_model::id::InvalidId| SpoolError::Row {
                table: "streams",
                cause: error.to_string(),
            })?;
        if source == Source::Agent {
            *own_sequence = number(2)?;
            continue;
        }
        let numbers = ahead
            .as_chunks::<8>()
            .0
            .iter()
            .map(|bytes| u64::from_le_bytes(*bytes));
        let stream = Stream {
            base: number(1)?,
            done: number(2)?,
            ahead: numbers.collect::<BTreeSet<_>>(),
            dropped_named: number(4)?,
        };
        streams.insert(source, stream);
    }
    Ok(boots)
}

fn sessions(transaction: &Transaction<'_>) -> Result<Vec<Session>, SpoolError> {
    let mut rows =
        transaction.prepare("SELECT session FROM sessions ORDER BY ended_at IS NULL, ended_at")?;
    let found = rows.query_map([], |row| row.get::<_, Vec<u8>>(0))?;
    let mut sessions = Vec::new();
    for bytes in found {
        let message = v1::Session::decode(bytes?.as_slice()).map_err(row("sessions"))?;
        sessions.push(Session::try_from(message).map_err(row("sessions"))?);
    }
    Ok(sessions)
}

/// Takes over the receipts of an agent that could only kill, and batches of one that
/// kept no checksums.
fn take_over(transaction: &Transaction<'_>) -> Result<(), SpoolError> {
    let has_sums = "SELECT count(*) > 0 FROM pragma_table_info('batches') WHERE name = 'batch_sum'";
    if !transaction.query_row(has_sums, [], |row| row.get(0))? {
        transaction.execute_batch(
            "ALTER TABLE batches ADD COLUMN batch_sum INTEGER;
             ALTER TABLE batches ADD COLUMN holds BLOB;
             ALTER TABLE batches ADD COLUMN holds_sum INTEGER;",
        )?;
    }
    let has_old =
        "SELECT count(*) > 0 FROM sqlite_schema WHERE type = 'table' AND name = 'receipts'";
    if transaction.query_row(has_old, [], |row| row.get(0))? {
        transaction.execute_batch(
            "INSERT OR IGNORE INTO done (order_id, session, mode, place, receipt)
                 SELECT order_id, session, 1, place, receipt FROM receipts;
             DROP TABLE receipts;",
        )?;
    }
    Ok(())
}

fn receipts(transaction: &Transaction<'_>) -> Result<Vec<Receipt>, SpoolError> {
    let mut rows = transaction.prepare("SELECT receipt FROM done ORDER BY place")?;
    let found = rows.query_map([], |row| row.get::<_, Vec<u8>>(0))?;
    let mut receipts = Vec::new();
    for bytes in found {
        let message = v1::Receipt::decode(bytes?.as_slice()).map_err(row("done"))?;
        receipts.push(Receipt::try_from(message).map_err(row("done"))?);
    }
    Ok(receipts)
}

/// Keeps where the streams stand.
pub(super) fn put_streams(
    transaction: &Transaction<'_>,
    boot: BootId,
    reading: &Reading,
) -> Result<(), SpoolError> {
    let own = Stream {
        done: reading.own_sequence,
        ..Stream::default()
    };
    let streams = reading
        .streams
        .iter()
        .map(|(source, stream)| (*source, stream));
    for (source, stream) in streams.chain([(Source::Agent, &own)]) {
        let ahead: Vec<u8> = stream
            .ahead
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect();
        transaction
            .prepare_cached(
                "INSERT OR REPLACE INTO streams (boot, source, base, done, ahead, dropped_named)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                boot.to_bytes(),
                source.to_string(),
                signed(stream.base)?,
                signed(stream.done)?,
                ahead,
                signed(stream.dropped_named)?,
            ])?;
    }
    Ok(())
}

/// Keeps a fact; the oldest ones beyond the maximum of their kind go. How many bytes
/// of events do not wait any more by that.
pub(super) fn put_keep(transaction: &Transaction<'_>, keep: &Keep) -> Result<u64, SpoolError> {
    match keep {
        Keep::Damaged(number) => return set_aside(transaction, *number),
        Keep::Job(_) | Keep::JobEnded(_) | Keep::Writing(_) => jobs::put(transaction, keep)?,
        Keep::Session(session) => {
            let ended_at = session.ended_at.map(|at| signed(at.0)).transpose()?;
            transaction.execute(
                "INSERT OR REPLACE INTO sessions (id, ended_at, session) VALUES (?1, ?2, ?3)",
                params![
                    session.id.to_bytes(),
                    ended_at,
                    v1::Session::from(session.as_ref()).encode_to_vec()
                ],
            )?;
            if ended_at.is_some() {
                transaction.execute(
                    "DELETE FROM sessions WHERE ended_at IS NOT NULL AND id NOT IN (
                         SELECT id FROM sessions WHERE ended_at IS NOT NULL
                         ORDER BY ended_at DESC LIMIT ?1)",
                    [most(ENDED_MAX)],
                )?;
            }
        }
        Keep::Receipt(receipt) => {
            transaction.execute(
                "INSERT OR REPLACE INTO done (order_id, session, mode, place, receipt)
                 VALUES (?1, ?2, ?3, (SELECT coalesce(max(place), 0) + 1 FROM done), ?4)",
                params![
                    receipt.order.to_bytes(),
                    receipt.session.to_bytes(),
                    i32::from(v1::ContainMode::from(receipt.mode)),
                    v1::Receipt::from(receipt).encode_to_vec()
                ],
            )?;
            transaction.execute(
                "DELETE FROM done WHERE place <= (SELECT max(place) FROM done) - ?1",
                [most(RECEIPTS_MAX)],
            )?;
        }
    }
    Ok(0)
}

/// Puts aside a batch that is not what was written; how many bytes of events do not
/// wait any more. The newest ones are kept, for whoever looks into the disk.
fn set_aside(transaction: &Transaction<'_>, number: u64) -> Result<u64, SpoolError> {
    let number = signed(number)?;
    let bytes = transaction
        .query_row(
            "SELECT bytes FROM batches WHERE number = ?1",
            [number],
            super::number,
        )
        .optional()?;
    transaction.execute(
        "INSERT OR REPLACE INTO damaged (number, batch, batch_sum, holds, holds_sum)
             SELECT number, batch, batch_sum, holds, holds_sum FROM batches WHERE number = ?1",
        [number],
    )?;
    transaction.execute("DELETE FROM batches WHERE number = ?1", [number])?;
    transaction.execute(
        "DELETE FROM damaged WHERE number NOT IN (
             SELECT number FROM damaged ORDER BY number DESC LIMIT ?1)",
        [most(DAMAGED_MAX)],
    )?;
    Ok(bytes.unwrap_or(0))
}

fn most(max: usize) -> i64 {
    i64::try_from(max).unwrap_or(i64::MAX)
}
