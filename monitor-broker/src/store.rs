//! What the broker remembers: grants, certificates, orders, endings, the list's number.
//!
//! SQLite with a write-ahead log and full synchronisation: what a method
//! returned survives any crash. A grant row also is its own outbox: `put_at`
//! and `end_told_at` say what the collector has confirmed.
//! Bound: disk. Loss: none.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use monitor_model::{
    clock::UnixNs,
    grant::Grant,
    id::{GrantId, OrderId},
};
use rusqlite::Connection;

use crate::krl::SerialSet;

mod certificates;
mod changes;
mod endings;
mod grants;
mod orders;

pub use changes::{CHANGES_MAX, ListChange};
pub use endings::{Ending, Subject};
pub use orders::{Answer, Given, RevokeOrder};

/// How long an expired serial stays revoked: hosts whose clock lags.
pub const EXPIRED_KEPT: Duration = Duration::from_secs(3600);
/// Most grants told to the collector in one round of the outbox.
pub const PENDING_MAX: u32 = 256;
/// Version of the tables.
const SCHEMA: i64 = 1;

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS krl (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    version INTEGER NOT NULL,
    published INTEGER NOT NULL,
    published_at INTEGER);
INSERT OR IGNORE INTO krl VALUES (1, 1, 0, NULL);
CREATE TABLE IF NOT EXISTS grants (
    id TEXT PRIMARY KEY,
    principal TEXT NOT NULL,
    tenant TEXT NOT NULL,
    expires INTEGER NOT NULL,
    body BLOB NOT NULL,
    put_at INTEGER,
    refused TEXT,
    ended_at INTEGER,
    end_reason TEXT,
    end_told_at INTEGER) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS grants_principal ON grants (principal);
CREATE INDEX IF NOT EXISTS grants_tenant ON grants (tenant);
CREATE TABLE IF NOT EXISTS certificates (
    serial INTEGER PRIMARY KEY AUTOINCREMENT,
    grant_id TEXT NOT NULL REFERENCES grants (id),
    key_id TEXT NOT NULL,
    key_fingerprint TEXT NOT NULL,
    issued_at INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    revoked_at INTEGER);
CREATE INDEX IF NOT EXISTS certificates_grant ON certificates (grant_id);
CREATE INDEX IF NOT EXISTS certificates_revoked ON certificates (expires) WHERE revoked_at IS NOT NULL;
CREATE TABLE IF NOT EXISTS orders (
    id BLOB PRIMARY KEY,
    target TEXT NOT NULL,
    reason TEXT NOT NULL,
    initiator TEXT NOT NULL,
    at INTEGER NOT NULL,
    published_at INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS answers (
    order_id BLOB NOT NULL REFERENCES orders (id),
    place INTEGER NOT NULL,
    serial INTEGER,
    grant_id TEXT,
    outcome TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (order_id, place)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS endings (
    id BLOB PRIMARY KEY,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    reason TEXT NOT NULL,
    initiator TEXT NOT NULL,
    at INTEGER NOT NULL,
    told_at INTEGER,
    refused TEXT) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS endings_untold ON endings (at) WHERE told_at IS NULL;
CREATE TABLE IF NOT EXISTS list_changes (
    at INTEGER PRIMARY KEY,
    number INTEGER NOT NULL,
    found TEXT NOT NULL);
";

/// Why the store refuses or fails.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// `SQLite` failed.
    #[error("the broker's database failed: {0}")]
    Sql(#[from] rusqlite::Error),
    /// The file was written by a newer broker.
    #[error("{} has tables of version {found}; this broker knows up to {SCHEMA}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
    },
    /// A stored row makes no sense.
    #[error("the broker's database holds a row that makes no sense: {what}")]
    Corrupt {
        /// Which, and why.
        what: String,
    },
    /// A grant with this id is there with another content.
    #[error(
        "grant {id} is registered already and differs in {field}; a grant never changes: end it and register another id"
    )]
    Conflict {
        /// The grant.
        id: GrantId,
        /// The first field that differs.
        field: &'static str,
    },
    /// The grant was ended.
    #[error("grant {id} was ended ({reason}); register another id")]
    Ended {
        /// The grant.
        id: GrantId,
        /// Why it was ended.
        reason: String,
    },
    /// The order's id is taken.
    #[error(
        "order {id} was given for {stored} before and now comes for {asked}; an order's id is never used twice"
    )]
    OrderReused {
        /// The order.
        id: OrderId,
        /// Its first target.
        stored: String,
        /// The target now.
        asked: String,
    },
    /// The id of an ending is taken.
    #[error(
        "ending {id} was told for {stored} before and now comes for {told}; an ending's id is never used twice"
    )]
    EndingReused {
        /// The ending.
        id: OrderId,
        /// Its first subject.
        stored: String,
        /// The subject now.
        told: String,
    },
}

/// A grant and what the collector knows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The grant as it stands.
    pub grant: Grant,
    /// When the collector confirmed it; none until it did.
    pub put_at: Option<UnixNs>,
    /// Why the collector will not have it, if it said so.
    pub refused: Option<String>,
    /// When the collector confirmed its end.
    pub end_told_at: Option<UnixNs>,
}

/// A certificate as recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// Serial number, dense.
    pub serial: u64,
    /// The grant it was issued for.
    pub grant: GrantId,
    /// The key id in it.
    pub key_id: String,
    /// End of its validity.
    pub expires: UnixNs,
    /// When it was revoked.
    pub revoked_at: Option<UnixNs>,
}

/// The list as it should be, and as it was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListState {
    /// The number it should have.
    pub version: u64,
    /// Whether a list of that number was put in place.
    pub is_published: bool,
    /// Serials that should be on it.
    pub serials: SerialSet,
    /// The largest serial ever issued; 0 when none was.
    pub serial_last: u64,
}

/// The database.
#[derive(Debug)]
pub struct Store {
    connection: Mutex<Connection>,
}

impl Store {
    /// Opens the database, makes it on the first run.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be opened or a newer broker wrote it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", "ON")?;
        let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if found > SCHEMA {
            return Err(StoreError::Newer {
                path: path.into(),
                found,
            });
        }
        connection.execute_batch(&format!(
            "BEGIN IMMEDIATE; {TABLES} PRAGMA user_version = {SCHEMA}; COMMIT;"
        ))?;
        Ok(Self {
            connection: Mutex::new(connection),
        })
    }

    /// A transaction that failed was rolled back when it was dropped, so a
    /// panic elsewhere leaves nothing half done here.
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Instants as `SQLite` keeps them: beyond the year 2262 is "never".
fn to_sql(at: UnixNs) -> i64 {
    i64::try_from(at.0).unwrap_or(i64::MAX)
}

fn from_sql(value: i64) -> UnixNs {
    UnixNs(u64::try_from(value).unwrap_or(0))
}

/// What expires later than this is still revocable.
fn live_after(now: UnixNs) -> i64 {
    to_sql(UnixNs(
        now.0.saturating_sub(UnixNs::default().plus(EXPIRED_KEPT).0),
    ))
}

#[cfg(test)]
mod tests;
