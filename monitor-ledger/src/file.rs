//! A tenant's SQLite file: its layout, its rows, and the tree in it.

use std::path::Path;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use monitor_model::event::Event;
use monitor_proto::{InvalidMessage, v1};
use prost::Message as _;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params};

use crate::{
    leaf::{Blinding, Leaf, Parts},
    merkle::Hash,
    proof::{Hashes, Missing},
};

/// Version of the layout.
pub const LAYOUT: &str = "2";
/// The layout before: rows linked by a chain of hashes, no tree.
pub const LAYOUT_CHAIN: &str = "1";
/// Checkpoints that are kept: the newest. Older ones say nothing that these do not.
pub const CHECKPOINTS_MAX: u64 = 1_024;

/// The tables, but for those of the tree.
pub const SCHEMA: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE stream (
    id INTEGER PRIMARY KEY, agent TEXT NOT NULL, boot TEXT NOT NULL, source TEXT NOT NULL,
    UNIQUE (agent, boot, source)
);
CREATE TABLE entry (
    position INTEGER PRIMARY KEY,
    stored_at INTEGER NOT NULL UNIQUE,
    stream INTEGER NOT NULL REFERENCES stream (id),
    sequence INTEGER NOT NULL,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    verdict TEXT NOT NULL,
    session TEXT,
    principal TEXT,
    event BLOB NOT NULL,
    judgement BLOB NOT NULL,
    hash BLOB NOT NULL,
    UNIQUE (stream, sequence)
);
CREATE INDEX entry_session ON entry (session) WHERE session IS NOT NULL;
CREATE INDEX entry_alarming ON entry (stored_at) WHERE verdict IN ('out_of_scope', 'unattributed');
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

/// Every column of a record, in the order of [`Row::of`].
pub const SELECT: &str = "
SELECT position, stored_at, event, judgement, hash, agent, boot, source, sequence, at, kind, verdict, session, principal
FROM entry JOIN stream ON stream.id = entry.stream";

/// A record as it stands.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its place, from 1.
    pub position: u64,
    /// When it was stored, nanoseconds since 1970.
    pub stored_at_unix_ns: u64,
    /// The event as the agent encoded it.
    pub event: Vec<u8>,
    /// The judgement as the collector encoded it.
    pub judgement: Vec<u8>,
    /// What it says is its hash in the tree.
    pub hash: Hash,
    searched: Searched,
}

/// What a record is searched by.
#[derive(Clone, Debug)]
struct Searched {
    agent: String,
    boot: String,
    source: String,
    sequence: i64,
    at: i64,
    kind: String,
    verdict: String,
    session: Option<String>,
    principal: Option<String>,
}

/// What is wrong with a record.
#[derive(Debug, thiserror::Error)]
pub enum RowFault {
    /// The bytes are not those that were hashed.
    #[error("its bytes are not those that were hashed")]
    Hash,
    /// The event or judgement cannot be decoded.
    #[error("its bytes cannot be decoded: {0}")]
    Message(#[from] InvalidMessage),
    /// A record could be hidden from a search.
    #[error("column {column} says {found:?}, the stored bytes say {stored:?}")]
    Column {
        /// The column.
        column: &'static str,
        /// What it says.
        found: String,
        /// What the bytes say.
        stored: String,
    },
}

impl Row {
    /// Takes a row of [`SELECT`].
    ///
    /// # Errors
    /// A column is of another type.
    pub fn of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            position: number(row.get(0)?),
            stored_at_unix_ns: number(row.get(1)?),
            event: row.get(2)?,
            judgement: row.get(3)?,
            hash: row.get(4)?,
            searched: Searched {
                agent: row.get(5)?,
                boot: row.get(6)?,
                source: row.get(7)?,
                sequence: row.get(8)?,
                at: row.get(9)?,
                kind: row.get(10)?,
                verdict: row.get(11)?,
                session: row.get(12)?,
                principal: row.get(13)?,
            },
        })
    }

    /// What of it goes into the tree.
    #[must_use]
    pub fn leaf(&self, blinding: &Blinding) -> Leaf {
        let parts = Parts {
            stored_at_unix_ns: self.stored_at_unix_ns,
            event: &self.event,
            judgement: &self.judgement,
        };
        Leaf::new(blinding, self.position, parts)
    }

    /// Checks that its hash is that of its leaf, and all that it is searched by that of its bytes.
    ///
    /// # Errors
    /// [`RowFault`] names the first that is not.
    pub fn check(&self, leaf: &Leaf) -> Result<Event, RowFault> {
        if leaf.hash() != self.hash {
            return Err(RowFault::Hash);
        }
        self.check_columns()
    }

    /// Checks that what it is searched by is what its bytes say.
    ///
    /// # Errors
    /// [`RowFault`] names the first that is not.
    pub fn check_columns(&self) -> Result<Event, RowFault> {
        let event = monitor_proto::decode_event(&self.event)?;
        let judgement =
            v1::Judgement::decode(self.judgement.as_slice()).map_err(InvalidMessage::from)?;
        let judgement: monitor_model::verdict::Judgement = judgement.try_into()?;
        let (found, who, id) = (&self.searched, &event.attribution, &event.id);
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let principal = who.principal.as_ref();
        let pairs = [
            ("agent", found.agent.clone(), id.agent.to_string()),
            ("boot", found.boot.clone(), id.boot.to_string()),
            ("source", found.source.clone(), id.source.to_string()),
            (
                "sequence",
                found.sequence.to_string(),
                integer(id.sequence).to_string(),
            ),
            ("at", found.at.to_string(), integer(event.at.0).to_string()),
            ("kind", found.kind.clone(), event.action.kind().to_string()),
            (
                "verdict",
                found.verdict.clone(),
                judgement.verdict.kind().to_string(),
            ),
            (
                "session",
                text(&found.session),
                who.session.map(|id| id.to_string()).unwrap_or_default(),
            ),
            (
                "principal",
                text(&found.principal),
                principal.map(ToString::to_string).unwrap_or_default(),
            ),
        ];
        for (column, found, stored) in pairs {
            if found != stored {
                return Err(RowFault::Column {
                    column,
                    found,
                    stored,
                });
            }
        }
        Ok(event)
    }
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
        let (first, after) = (integer(first), integer(first.saturating_add(count)));
        let read = |row: &rusqlite::Row<'_>| row.get::<_, Hash>(0);
        let hashes = if level == 0 {
            let sql =
                "SELECT hash FROM entry WHERE position > ?1 AND position <= ?2 ORDER BY position";
            let mut statement = self.0.prepare_cached(sql)?;
            statement
                .query_map(params![first, after], read)?
                .collect::<Result<_, _>>()?
        } else {
            let sql = "SELECT hash FROM node WHERE level = ?1 AND place >= ?2 AND place < ?3 ORDER BY place";
            let mut statement = self.0.prepare_cached(sql)?;
            statement
                .query_map(params![level, first, after], read)?
                .collect::<Result<_, _>>()?
        };
        Ok(hashes)
    }
}

/// The secret that the blinds of a file are made of; none where it has none.
///
/// # Errors
/// Those of SQLite.
pub fn blinding(connection: &Connection) -> rusqlite::Result<Option<Blinding>> {
    let sql = "SELECT value FROM meta WHERE key = 'blinding'";
    let text: Option<String> = connection.query_row(sql, [], |row| row.get(0)).optional()?;
    Ok(text.and_then(|text| {
        let bytes = STANDARD.decode(text).ok()?;
        Some(Blinding(bytes.try_into().ok()?))
    }))
}

/// The same as the file keeps it.
#[must_use]
pub fn blinding_text(blinding: &Blinding) -> String {
    STANDARD.encode(blinding.0)
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
