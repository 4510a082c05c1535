//! What lies on disks: the agent's spool, the ledgers.

use std::{cell::RefCell, collections::BTreeSet, path::PathBuf};

use monitor_agent::spool::{Spool, SpoolError, SpoolReader};
use monitor_ledger::{
    block::Opened,
    file,
    index::Numbers,
    intervals::Intervals,
    postings::{self, SCHEMA_TERMS},
};
use monitor_model::{clock::UnixNs, id::BootId};
use rusqlite::{Connection, params};
use tempfile::TempDir;

/// Events that a spool may hold.
const SPOOL_BYTES_MAX: u64 = 64 << 20;
/// The run of the blocks that are read.
const RUN: u64 = 5;

/// A spool in memory, with every table that the agent makes.
struct Ground {
    _folder: TempDir,
    path: PathBuf,
    boot: BootId,
    database: Connection,
}

impl Ground {
    fn new() -> Option<Self> {
        // A file system in memory where there is one: nothing here must last.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let folder = folder.ok()?;
        let path = folder.path().join("spool.db");
        let boot = BootId::from_parts(UnixNs(1), 1);
        drop(Spool::open(&path, boot, SPOOL_BYTES_MAX).ok()?);
        Some(Self {
            database: Connection::open(&path).ok()?,
            _folder: folder,
            path,
            boot,
        })
    }

    /// Puts a row into the table that the first byte names, and opens the spool as
    /// the agent does when it starts.
    fn reads(&self, table: u8, row: &[u8]) -> Option<bool> {
        let database = &self.database;
        database
            .execute_batch(
                "DELETE FROM batches; DELETE FROM sessions; DELETE FROM done; DELETE FROM jobs;
                 DELETE FROM writings; DELETE FROM streams;",
            )
            .ok()?;
        let (boot, id) = (self.boot.to_bytes(), [7_u8; 16]);
        let put = match table % 6 {
            // Either may be any bytes: the numbers count where the batch makes no sense.
            0 => database.execute(
                "INSERT INTO batches (number, bytes, batch, holds, holds_sum)
                 VALUES (3, 1, ?1, ?1, ?2)",
                params![row, crc32fast::hash(row)],
            ),
            1 => database.execute(
                "INSERT INTO sessions VALUES (?1, NULL, ?2)",
                params![id, row],
            ),
            2 => database.execute(
                "INSERT INTO done VALUES (?1, ?1, 1, 1, ?2)",
                params![id, row],
            ),
            3 => database.execute("INSERT INTO jobs VALUES (?1, ?2)", params![id, row]),
            4 => database.execute(
                "INSERT INTO writings VALUES (1, 2, 3, 4, 5, ?1, ?1)",
                params![row],
            ),
            _ => database.execute(
                "INSERT INTO streams VALUES (?1, 'p0', 1, 2, ?2, 3)",
                params![boot, row],
            ),
        };
        put.ok()?;
        let opened = Spool::open(&self.path, self.boot, SPOOL_BYTES_MAX).is_ok();
        let reader = SpoolReader::open(&self.path).ok()?;
        let read = match reader.next(0) {
            Ok(_) => true,
            Err(SpoolError::Damaged(damaged)) => damaged.held.is_some_and(|held| !held.is_empty()),
            Err(_) => false,
        };
        Some(opened && read)
    }
}

thread_local! {
    static GROUND: RefCell<Option<Ground>> = const { RefCell::new(None) };
}

pub(crate) fn spool(bytes: &[u8]) -> bool {
    let Some((table, row)) = bytes.split_first() else {
        return false;
    };
    GROUND.with_borrow_mut(|ground| {
        if ground.is_none() {
            *ground = Ground::new();
        }
        let read = ground.as_ref().and_then(|ground| ground.reads(*table, row));
        assert!(read.is_some(), "the spool's ground cannot be used");
        read == Some(true)
    })
}

/// A block as it is kept.
pub(crate) fn block(bytes: &[u8]) -> bool {
    Opened::new(bytes).is_ok_and(|opened| all_records(&opened))
}

/// A block of which somebody knows how blocks are compressed.
pub(crate) fn records(bytes: &[u8]) -> bool {
    let Ok(content) = zstd::bulk::compress(bytes, 1) else {
        return false;
    };
    !bytes.is_empty() && block(&content)
}

fn all_records(opened: &Opened) -> bool {
    let mut are_good = true;
    for parts in opened.records() {
        let Ok(parts) = parts else { return false };
        are_good &= file::decode(&parts).is_ok();
    }
    are_good
}

/// Numbers are the same when they are written and read again; lists of blocks and
/// terms are read as a search does.
pub(crate) fn terms(bytes: &[u8]) -> bool {
    let numbers = Numbers::parse(bytes);
    if let Some(numbers) = &numbers {
        assert_eq!(
            Numbers::parse(&numbers.to_bytes()).as_ref(),
            Some(numbers),
            "numbers change"
        );
        let (first, last) = numbers.span();
        let held = Intervals::from(numbers);
        for number in [first, last, first / 2 + last / 2] {
            let is_there = !numbers.ranges().is_empty();
            assert_eq!(
                is_there && numbers.contain(number),
                held.contains(number),
                "{number} is and is not one of {numbers:?}"
            );
        }
    }
    let lists = in_tables(bytes);
    numbers.is_some() || lists
}

/// Whether the bytes are a list of blocks or of terms.
fn in_tables(bytes: &[u8]) -> bool {
    let read = || -> rusqlite::Result<(bool, bool)> {
        let connection = Connection::open_in_memory()?;
        connection.execute_batch(SCHEMA_TERMS)?;
        postings::put(&connection, RUN, &BTreeSet::from([1]))?;
        postings::gather(&connection, RUN + 1)?;
        connection.execute("UPDATE posting SET blocks = ?1", [bytes])?;
        let lists = postings::lists(&connection, RUN).is_ok();
        postings::put(&connection, RUN + 1, &BTreeSet::from([1]))?;
        connection.execute("UPDATE terms SET codes = ?1", [bytes])?;
        let of_block = postings::of_block(&connection, RUN + 1).is_ok();
        Ok((lists, of_block))
    };
    let read = read();
    assert!(read.is_ok(), "the ledger's ground cannot be used: {read:?}");
    matches!(read, Ok((true, _) | (_, true)))
}
