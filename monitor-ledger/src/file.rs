//! A tenant's SQLite file: its layout, its blocks, and the tree in it.

use std::{collections::BTreeSet, path::Path};

use monitor_model::{event::Event, verdict::Judgement};
use monitor_proto::{InvalidMessage, v1};
use prost::Message as _;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params};

use crate::{
    block::{BlockError, Full, Opened},
    index::{Numbers, Span},
    leaf::{LEAF_BYTES, Leaf, Parts},
    merkle::{Hash, Kept},
    postings,
    proof::{Hashes, Missing},
    seal::Secrets,
    sequences::Stream,
};

/// Version of the layout.
pub const LAYOUT: &str = "4";
/// Checkpoints that are kept: the newest. Older ones say nothing that these do not.
pub const CHECKPOINTS_MAX: u64 = 1_024;

/// The tables, but for those of the tree and of terms.
///
/// A block has the position of its first record for a name. `numbers` and the
/// tables of [`crate::postings`] say what is in it: everything there follows from
/// `content`. Where that was removed, `leaves` are what the hashes are of, and
/// nothing is searched.
pub const SCHEMA: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE stream (
    id INTEGER PRIMARY KEY, agent TEXT NOT NULL, boot TEXT NOT NULL, source TEXT NOT NULL,
    UNIQUE (agent, boot, source)
);
CREATE TABLE block (
    first INTEGER PRIMARY KEY,
    count INTEGER NOT NULL,
    stored_from INTEGER NOT NULL, stored_to INTEGER NOT NULL,
    at_from INTEGER NOT NULL, at_to INTEGER NOT NULL,
    hashes BLOB NOT NULL,
    content BLOB,
    leaves BLOB,
    CHECK ((content IS NULL) != (leaves IS NULL))
);
CREATE UNIQUE INDEX block_stored ON block (stored_from);
CREATE INDEX block_at ON block (at_to, at_from);
CREATE TABLE numbers (
    stream INTEGER NOT NULL REFERENCES stream (id),
    low INTEGER NOT NULL, high INTEGER NOT NULL,
    block INTEGER NOT NULL REFERENCES block (first),
    ranges BLOB NOT NULL,
    PRIMARY KEY (stream, low, block)
) WITHOUT ROWID;
";

/// The tables of the tree: roots of full subtrees of 256^level leaves, and
/// signed checkpoints with the key to check them.
pub const SCHEMA_TREE: &str = "
CREATE TABLE node (
    level INTEGER NOT NULL, place INTEGER NOT NULL, hash BLOB NOT NULL,
    PRIMARY KEY (level, place)
) WITHOUT ROWID;
CREATE TABLE checkpoint (size INTEGER PRIMARY KEY, note BLOB NOT NULL, key TEXT NOT NULL);
";

/// Every column of a block, in the order of [`Block::of`].
pub const SELECT: &str = "SELECT first, count, stored_from, stored_to, at_from, at_to, hashes, content, leaves FROM block";

/// A block as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Position of its first record.
    pub first: u64,
    /// How many records it says it has.
    pub count: u64,
    /// When its first and last were stored.
    pub stored: Span,
    /// When its earliest and latest happened.
    pub at: Span,
    /// The hashes of its records in the tree, one after another.
    pub hashes: Vec<u8>,
    /// Its records, sealed where the ledger is, or what is left of them.
    pub content: Content,
}

/// The records of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// They are there: [`Block::open`] reads them.
    Kept(Vec<u8>),
    /// They were removed; these are their leaves in the tree.
    Removed(Vec<Leaf>),
}

impl Block {
    /// Takes a row of [`SELECT`].
    ///
    /// # Errors
    /// A column is of another type.
    pub fn of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            first: number(row.get(0)?),
            count: number(row.get(1)?),
            stored: (number(row.get(2)?), number(row.get(3)?)),
            at: (number(row.get(4)?), number(row.get(5)?)),
            hashes: row.get(6)?,
            content: match row.get(7)? {
                Some(content) => Content::Kept(content),
                None => Content::Removed(leaves(row, 8)?),
            },
        })
    }

    /// Its records; none where they were removed.
    ///
    /// # Errors
    /// [`BlockError`].
    pub fn open(&self, secrets: &Secrets) -> Result<Option<Opened>, BlockError> {
        match &self.content {
            Content::Kept(content) => Opened::new(&secrets.open(self.first, content)?).map(Some),
            Content::Removed(_) => Ok(None),
        }
    }

    /// Removes its records from a file: their leaves stay. What they are found
    /// by goes, but for their numbers.
    ///
    /// # Errors
    /// Those of SQLite.
    pub fn remove(
        &self,
        connection: &Connection,
        leaves: &[Leaf],
        terms: &BTreeSet<i64>,
    ) -> rusqlite::Result<()> {
        let first = integer(self.first);
        let leaves: Vec<u8> = leaves.iter().flat_map(Leaf::to_bytes).collect();
        connection
            .prepare_cached("UPDATE block SET content = NULL, leaves = ?2 WHERE first = ?1")?
            .execute(params![first, leaves])?;
        postings::forget(connection, self.first, terms)
    }

    /// The hashes of its records.
    #[must_use]
    pub fn hashes(&self) -> &[Hash] {
        self.hashes.as_chunks().0
    }
}

impl Full<'_> {
    /// Puts it in the place of the blocks that hold a beginning of its records;
    /// none of them is in a run.
    ///
    /// # Errors
    /// As [`Full::put`].
    pub fn put_over(
        self,
        connection: &Connection,
        secrets: &Secrets,
        mut stream_number: impl FnMut(&Connection, &Stream) -> rusqlite::Result<i64>,
    ) -> Result<(), PutError> {
        let first = integer(self.block.first);
        postings::cut(connection, self.block.first)?;
        for (stream, numbers) in self.index.numbers() {
            let (low, high) = numbers.span();
            let stream = stream_number(connection, stream)?;
            let sql = "DELETE FROM numbers
                       WHERE stream = ?1 AND low >= ?2 AND low <= ?3 AND block >= ?4";
            connection.prepare_cached(sql)?.execute(params![
                stream,
                integer(low),
                integer(high),
                first
            ])?;
        }
        connection
            .prepare_cached("DELETE FROM block WHERE first >= ?1")?
            .execute([first])?;
        self.put(connection, secrets, stream_number)
    }

    /// Puts it into a file, sealed where the ledger is, with what its records
    /// are found by.
    ///
    /// # Errors
    /// Those of SQLite; [`BlockError::Seal`].
    pub fn put(
        self,
        connection: &Connection,
        secrets: &Secrets,
        mut stream_number: impl FnMut(&Connection, &Stream) -> rusqlite::Result<i64>,
    ) -> Result<(), PutError> {
        let Self { block, index } = self;
        let first = integer(block.first);
        let content = match block.content {
            Content::Kept(content) => secrets.seal(block.first, content)?,
            // Nothing is removed before it was there.
            Content::Removed(_) => return Ok(()),
        };
        connection
            .prepare_cached("INSERT INTO block VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, NULL)")?
            .execute(params![
                first,
                integer(block.count),
                integer(block.stored.0),
                integer(block.stored.1),
                integer(block.at.0),
                integer(block.at.1),
                block.hashes,
                content,
            ])?;
        for (stream, numbers) in index.numbers() {
            let (low, high) = numbers.span();
            let stream = stream_number(connection, stream)?;
            connection
                .prepare_cached("INSERT INTO numbers VALUES (?1, ?2, ?3, ?4, ?5)")?
                .execute(params![
                    stream,
                    integer(low),
                    integer(high),
                    first,
                    numbers.to_bytes()
                ])?;
        }
        postings::put(connection, block.first, &index.terms(secrets.blinding()))?;
        Ok(())
    }
}

/// Leaves from a column, 76 bytes each.
fn leaves(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Vec<Leaf>> {
    let bytes: Vec<u8> = row.get(column)?;
    let (leaves, rest) = bytes.as_chunks::<LEAF_BYTES>();
    let leaves: Option<Vec<Leaf>> = leaves.iter().map(|bytes| Leaf::parse(bytes)).collect();
    let none = || {
        let kind = rusqlite::types::Type::Blob;
        rusqlite::Error::InvalidColumnType(column, "leaves".to_owned(), kind)
    };
    leaves.filter(|_| rest.is_empty()).ok_or_else(none)
}

/// Why a block cannot be put into a file.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// SQLite failed.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// It cannot be sealed.
    #[error(transparent)]
    Block(#[from] BlockError),
}

/// The number of a stream in a file, which is made where there is none.
///
/// # Errors
/// Those of SQLite.
pub fn stream_number(connection: &Connection, stream: &Stream) -> rusqlite::Result<i64> {
    let (boot, source) = (stream.boot.to_string(), stream.source.to_string());
    let key = params![stream.agent.as_str(), boot, source];
    connection
        .prepare_cached("INSERT OR IGNORE INTO stream (agent, boot, source) VALUES (?1, ?2, ?3)")?
        .execute(key)?;
    connection
        .prepare_cached("SELECT id FROM stream WHERE agent = ?1 AND boot = ?2 AND source = ?3")?
        .query_row(key, |row| row.get(0))
}

/// The numbers of a stream that a file holds, block by block, by the lowest.
///
/// # Errors
/// Those of SQLite. What cannot be read as numbers is one of them.
pub fn numbers(
    connection: &Connection,
    stream: &Stream,
    mut take: impl FnMut(Numbers),
) -> rusqlite::Result<()> {
    let sql = "SELECT ranges FROM numbers WHERE stream = (
                   SELECT id FROM stream WHERE agent = ?1 AND boot = ?2 AND source = ?3)
               ORDER BY low";
    let mut statement = connection.prepare_cached(sql)?;
    let (boot, source) = (stream.boot.to_string(), stream.source.to_string());
    let mut rows = statement.query(params![stream.agent.as_str(), boot, source])?;
    while let Some(row) = rows.next()? {
        let bytes: Vec<u8> = row.get(0)?;
        let wrong = || rusqlite::Error::IntegralValueOutOfRange(0, 0);
        take(Numbers::parse(&bytes).ok_or_else(wrong)?);
    }
    Ok(())
}

/// Puts a hash that tiles keep into a file.
///
/// # Errors
/// Those of SQLite.
pub fn put_node(connection: &Connection, kept: &Kept) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO node (level, place, hash) VALUES (?1, ?2, ?3)")?
        .execute(params![kept.level, integer(kept.index), kept.hash])?;
    Ok(())
}

/// Decodes what was stored of a record.
///
/// # Errors
/// [`InvalidMessage`].
pub fn decode(parts: &Parts<'_>) -> Result<(Event, Judgement), InvalidMessage> {
    let event = monitor_proto::decode_event(parts.event)?;
    let judgement = v1::Judgement::decode(parts.judgement)?;
    Ok((event, judgement.try_into()?))
}

/// The tree in a tenant's file.
#[derive(Debug)]
pub struct Stored<'a>(pub &'a Connection);

/// Why the tree cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum StoredError {
    /// SQLite failed.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// A hash is not there.
    #[error(transparent)]
    Missing(#[from] Missing),
}

impl Hashes for Stored<'_> {
    type Error = StoredError;

    fn hashes(&self, level: u8, first: u64, count: u64) -> Result<Vec<Hash>, StoredError> {
        if level == 0 {
            return Ok(self.leaves(first, count)?);
        }
        let (first, after) = (integer(first), integer(first.saturating_add(count)));
        let sql =
            "SELECT hash FROM node WHERE level = ?1 AND place >= ?2 AND place < ?3 ORDER BY place";
        let mut statement = self.0.prepare_cached(sql)?;
        let read = |row: &rusqlite::Row<'_>| row.get::<_, Hash>(0);
        let hashes = statement.query_map(params![level, first, after], read)?;
        Ok(hashes.collect::<Result<_, _>>()?)
    }
}

impl Stored<'_> {
    /// Hashes of leaves, from the blocks that they are in.
    fn leaves(&self, first: u64, count: u64) -> rusqlite::Result<Vec<Hash>> {
        // Positions count from 1; the block of the first may begin before it.
        let (low, high) = (first + 1, first.saturating_add(count));
        let sql = "SELECT first, hashes FROM block WHERE first <= ?2 AND first >= coalesce(
                       (SELECT first FROM block WHERE first <= ?1 ORDER BY first DESC LIMIT 1), 0)
                   ORDER BY first";
        let mut statement = self.0.prepare_cached(sql)?;
        let mut rows = statement.query([integer(low), integer(high)])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let (begins, hashes): (i64, Vec<u8>) = (row.get(0)?, row.get(1)?);
            let hashes: &[Hash] = hashes.as_chunks().0;
            let wanted = (number(begins)..).zip(hashes);
            let wanted = wanted.filter(|(position, _)| (low..=high).contains(position));
            found.extend(wanted.map(|(_, hash)| *hash));
        }
        Ok(found)
    }
}

/// A checkpoint as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptCheckpoint {
    /// What it says is its size.
    pub size: u64,
    /// The note.
    pub note: Vec<u8>,
    /// The text of the key to check it.
    pub key: String,
}

/// The newest checkpoint; none before the first.
///
/// # Errors
/// Those of SQLite.
pub fn newest_checkpoint(connection: &Connection) -> rusqlite::Result<Option<KeptCheckpoint>> {
    let sql = "SELECT size, note, key FROM checkpoint ORDER BY size DESC LIMIT 1";
    connection
        .prepare_cached(sql)?
        .query_row([], kept)
        .optional()
}

/// Takes a row of `size, note, key`.
///
/// # Errors
/// A column is of another type.
pub fn kept(row: &rusqlite::Row<'_>) -> rusqlite::Result<KeptCheckpoint> {
    Ok(KeptCheckpoint {
        size: number(row.get(0)?),
        note: row.get(1)?,
        key: row.get(2)?,
    })
}

/// Opens a file for reading only.
///
/// # Errors
/// Those of SQLite; there must be a file.
pub fn open(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    Ok(connection)
}

/// A number as SQLite keeps it; what is larger than it can express is its largest.
#[must_use]
pub fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number from SQLite.
#[must_use]
pub fn number(integer: i64) -> u64 {
    u64::try_from(integer).unwrap_or_default()
}
