//! The record of one tenant: one SQLite file, and a Merkle tree over its entries.
//!
//! In: judged events, in the order they were stored. Out: their positions,
//! once [`Ledger::commit`] has them on disk, in blocks, and signed checkpoints
//! of the tree, in the same transaction. Bound: the disk; when it is full nothing is
//! acked and agents keep spooling. Loss: none.
//!
//! The file's format, and the check of a whole file, are `monitor-ledger`'s.
//!
//! # Layout
//! - [`cosigned`]: the newest checkpoint that a witness signed, beside the file.
//! - [`coverage`]: whether everything of a host is here.
//! - [`error`]: why a ledger cannot be used.
//! - [`evidence`]: checkpoints and proofs, for those who check.
//! - [`read`]: entries by place, for people.
//! - [`removal`]: content whose time is over.
//! - `scan`: goes through blocks.
//! - `sealing`: seals a file that was not, and puts another key in place of one.
//! - [`search`]: entries that answer a question.
//! - `tail`: checks the end of a file when it is opened.
//! - `take_over`: brings older files to this layout.
//! - `tree`: the tree while it grows, and its checkpoints.
//! - `voice`: the stream of what the collector itself says here.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use monitor_ledger::{
    block::Filling,
    file::{self, LAYOUT, SCHEMA, SCHEMA_TREE},
    index::Numbers,
    key::LogSigner,
    leaf::{Blinding, Leaf, Parts},
    postings::{self, RUN_BLOCKS, SCHEMA_TERMS},
    seal::{SealKey, Secrets},
};
use monitor_model::{
    clock::UnixNs,
    event::{Event, Kind},
    id::TenantId,
    verdict::Judgement,
};
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};

use crate::{
    dedupe::{Intervals, Stream},
    entropy,
};

pub mod cosigned;
pub mod coverage;
pub mod error;
pub mod evidence;
pub mod read;
pub mod removal;
mod scan;
mod sealing;
pub mod search;
mod tail;
mod take_over;
mod tree;
mod voice;

pub use error::LedgerError;
pub(crate) use monitor_ledger::file::{integer, number};
pub use monitor_ledger::{Hash, seal::Home};
pub use tree::CHECKPOINT_EVERY;

/// Entries at the end of a ledger that are checked when it is opened.
pub const TAIL_CHECKED: u64 = 1_000;
/// Where a file notes that its log may hold what is to be gone: a number in its
/// header, of which SQLite makes no use.
const REMAINS: &str = "user_version";
/// The newest entry of a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its position; 0 when there is none.
    pub position: u64,
    /// Its hash in the tree; zeros when there is none.
    pub hash: Hash,
    /// When it was stored.
    pub stored_at: UnixNs,
}

/// A judged event that goes into a ledger.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The event as the agent encoded it.
    pub event_bytes: Vec<u8>,
    /// The same, decoded.
    pub event: Event,
    /// The judgement on it.
    pub judgement: Judgement,
}

/// One entry of a ledger.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The tenant whose ledger it is in.
    pub ledger: TenantId,
    /// Its place, from 1.
    pub position: u64,
    /// When it was stored: unique and ascending over all ledgers of a collector.
    pub stored_at: UnixNs,
    /// Its hash in the tree.
    pub hash: Hash,
    /// What was stored.
    pub judged: Judged,
}

/// The ledger of one tenant, open for writing. There is one writer.
#[derive(Debug)]
pub struct Ledger {
    tenant: TenantId,
    path: PathBuf,
    connection: Connection,
    head: Head,
    tree: tree::Growing,
    secrets: Secrets,
    streams: HashMap<Stream, i64>,
    /// What lies in the file's last blocks, where these are small: they become
    /// one block as soon as that is full.
    tail: Filling,
    /// Entries that are in no block of the file yet; and those before, as many
    /// as fill a block each. They are made and written by [`Ledger::commit`],
    /// which may run beside that of other ledgers.
    filling: Filling,
    filled: Vec<Filled>,
    /// Whether a transaction is open.
    writing: bool,
}

/// A block that has all its entries.
#[derive(Debug)]
struct Filled {
    /// Position of its last entry.
    last: u64,
    /// Its first entries, which lie in the file, in small blocks.
    tail: Filling,
    /// The entries that are in no block yet.
    filling: Filling,
}

impl Ledger {
    /// The file of a tenant's ledger.
    #[must_use]
    pub fn path(data_dir: &Path, tenant: &TenantId) -> PathBuf {
        data_dir.join("ledger").join(format!("{tenant}.db"))
    }

    /// Opens or makes a tenant's ledger and checks its end and its newest
    /// checkpoint. With a signer, the tree is signed as it grows. Where there is
    /// a key to seal with, the file is sealed, also one that was not before.
    ///
    /// # Errors
    /// [`LedgerError::Broken`] names the position; the others the file.
    pub fn open(
        home: impl Into<Home>,
        tenant: &TenantId,
        signer: Option<LogSigner>,
    ) -> Result<Self, LedgerError> {
        let home = home.into();
        let path = Self::path(&home, tenant);
        let folder = home.join("ledger");
        std::fs::create_dir_all(&folder).map_err(|source| LedgerError::Folder {
            path: folder,
            source,
        })?;
        let fresh = fresh(tenant, home.seal().is_some())?;
        let mut connection = open_file(&path, &fresh, home.seal())?;
        take_over::older(&mut connection, &path, &fresh, home.seal())?;
        check_meta(&connection, &path, tenant)?;
        let mut secrets = secrets(&connection, &path, tenant, home.seal())?;
        if let Some(key) = home.seal().filter(|_| !secrets.is_sealed()) {
            secrets = sealing::seal(&mut connection, &path, &secrets, key)?;
        }
        sealing::finish(&connection, &path)?;
        let (head, tail) = tail::check(&connection, &path, &secrets, TAIL_CHECKED)?;
        let tree = tree::Growing::open(&connection, &path, head.position, signer)?;
        Ok(Self {
            tenant: tenant.clone(),
            path,
            connection,
            head,
            tree,
            secrets,
            streams: HashMap::new(),
            tail,
            filling: Filling::default(),
            filled: Vec::new(),
            writing: false,
        })
    }

    /// The tenant.
    #[must_use]
    pub const fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// The newest entry, those not yet committed included.
    #[must_use]
    pub const fn head(&self) -> &Head {
        &self.head
    }

    /// Adds an entry; it is on disk after [`Ledger::commit`].
    ///
    /// # Errors
    /// [`LedgerError::Sqlite`]; the ledger must then be opened anew.
    pub fn append(&mut self, judged: Judged, stored_at: UnixNs) -> Result<Arc<Entry>, LedgerError> {
        // What tells of a removal stays when others go: it has a block of its own.
        let is_alone = judged.event.action.kind() == Kind::Removed;
        if is_alone {
            self.end_block();
        }
        let judgement = judgement_bytes(&judged.judgement);
        let position = self.head.position + 1;
        let parts = Parts {
            stored_at_unix_ns: stored_at.0,
            event: &judged.event_bytes,
            judgement: &judgement,
        };
        let hash = Leaf::new(self.secrets.blinding(), position, parts).hash();
        let verdict = judged.judgement.verdict.kind();
        self.filling.push(&parts, &judged.event, verdict, &hash);
        self.begin()
            .and_then(|()| self.tree.push(&self.connection, hash))
            .map_err(|source| LedgerError::sqlite(&self.path, source))?;
        self.head = Head {
            position,
            hash,
            stored_at,
        };
        if is_alone || self.filling.is_full_with(&self.tail) {
            self.end_block();
        }
        Ok(Arc::new(Entry {
            ledger: self.tenant.clone(),
            position,
            stored_at,
            hash,
            judged,
        }))
    }

    /// Whether [`Ledger::commit`] would do anything now.
    #[must_use]
    pub fn waits(&self, now: UnixNs) -> bool {
        self.writing || self.tree.is_due(now)
    }

    /// Puts everything that was added on disk, with a checkpoint when one is due.
    ///
    /// # Errors
    /// [`LedgerError::Sqlite`]; the ledger must then be opened anew.
    pub fn commit(&mut self, now: UnixNs) -> Result<(), LedgerError> {
        if self.tree.is_due(now) {
            return self.seal(now);
        }
        self.write()?;
        self.end()
    }

    /// Signs what no checkpoint signs yet, and puts it on disk.
    ///
    /// # Errors
    /// As [`Ledger::commit`].
    pub fn seal(&mut self, now: UnixNs) -> Result<(), LedgerError> {
        self.write()?;
        if self.is_unsealed() {
            self.begin()
                .map_err(|source| LedgerError::sqlite(&self.path, source))?;
            self.tree.sign(&self.connection, &self.path, now)?;
        }
        self.end()
    }

    /// Whether there are entries that no checkpoint signs, and a key to sign them.
    #[must_use]
    pub fn is_unsealed(&self) -> bool {
        self.tree.is_unsealed()
    }

    fn begin(&mut self) -> rusqlite::Result<()> {
        if !self.writing {
            self.connection.execute_batch("BEGIN IMMEDIATE")?;
            self.writing = true;
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), LedgerError> {
        if std::mem::take(&mut self.writing) {
            self.connection
                .execute_batch("COMMIT")
                .map_err(|source| LedgerError::sqlite(&self.path, source))?;
        }
        Ok(())
    }

    /// Adds the sequence numbers of a stream that are in this ledger.
    ///
    /// # Errors
    /// [`LedgerError::Sqlite`].
    pub fn sequences(&self, stream: &Stream, into: &mut Intervals) -> Result<(), LedgerError> {
        let mut add = |numbers: Numbers| {
            for (first, last) in numbers.ranges() {
                into.insert_range(*first, *last);
            }
        };
        let filled = self.filled.iter().map(|filled| &filled.filling);
        let waiting = filled
            .chain([&self.filling])
            .flat_map(|filling| filling.index().numbers())
            .filter(|(other, _)| *other == stream);
        waiting.for_each(|(_, numbers)| add(numbers));
        file::numbers(&self.connection, stream, add)
            .map_err(|source| LedgerError::sqlite(&self.path, source))
    }

    /// The next entry begins another block.
    fn end_block(&mut self) {
        if self.filling.records() + self.tail.records() > 0 {
            self.filled.push(Filled {
                last: self.head.position,
                tail: std::mem::take(&mut self.tail),
                filling: std::mem::take(&mut self.filling),
            });
        }
    }

    /// Writes the blocks that were filled, and what is left as a small one.
    fn write(&mut self) -> Result<(), LedgerError> {
        let filled = std::mem::take(&mut self.filled);
        let has_filled = !filled.is_empty();
        for filled in filled {
            let Filled {
                last,
                mut tail,
                filling,
            } = filled;
            if filling.records() == 0 {
                // Small blocks that stay: what comes next has a block of its own.
                continue;
            }
            let put_over = tail.records() > 0;
            tail.absorb(filling);
            self.put(last, &tail, put_over)?;
        }
        let small = std::mem::take(&mut self.filling);
        self.put(self.head.position, &small, false)?;
        self.tail.absorb(small);
        // Small blocks wait for no run.
        if has_filled { self.gather() } else { Ok(()) }
    }

    /// Writes one, which ends with this position; nothing where it is empty.
    /// The small blocks that hold its beginning go.
    fn put(&mut self, last: u64, filling: &Filling, put_over: bool) -> Result<(), LedgerError> {
        let full = filling.end(last);
        let full = full.map_err(|error| LedgerError::broken(&self.path, last, error))?;
        let Some(full) = full else {
            return Ok(());
        };
        let streams = &mut self.streams;
        let number =
            |connection: &Connection, stream: &Stream| known_stream(streams, connection, stream);
        let put = if put_over {
            full.put_over(&self.connection, &self.secrets, number)
        } else {
            full.put(&self.connection, &self.secrets, number)
        };
        put.map_err(|error| LedgerError::put(&self.path, last, error))
    }

    /// Makes a run of the blocks whose terms wait for it, where they are enough;
    /// not of the small ones at the end.
    fn gather(&mut self) -> Result<(), LedgerError> {
        let small = u64::try_from(self.tail.records()).unwrap_or(u64::MAX);
        let before = (self.head.position + 1).saturating_sub(small);
        let gather = || {
            if postings::waiting(&self.connection, before)? < RUN_BLOCKS {
                return Ok(());
            }
            postings::gather(&self.connection, before)
        };
        gather().map_err(|source| LedgerError::sqlite(&self.path, source))
    }
}

/// The number of a stream, from memory where it is known.
fn known_stream(
    streams: &mut HashMap<Stream, i64>,
    connection: &Connection,
    stream: &Stream,
) -> rusqlite::Result<i64> {
    if let Some(&number) = streams.get(stream) {
        return Ok(number);
    }
    let number = file::stream_number(connection, stream)?;
    if streams.len() >= crate::dedupe::STREAMS_MAX {
        streams.clear();
    }
    streams.insert(stream.clone(), number);
    Ok(number)
}

/// What a file is read with.
fn secrets(
    connection: &Connection,
    path: &Path,
    tenant: &TenantId,
    key: Option<&SealKey>,
) -> Result<Secrets, LedgerError> {
    Secrets::read(connection, tenant.as_str(), key).map_err(|error| LedgerError::seal(path, error))
}

/// Secrets of a new ledger.
fn fresh(tenant: &TenantId, is_sealed: bool) -> Result<Secrets, LedgerError> {
    let random = || {
        entropy::random().map_err(|source| LedgerError::Folder {
            path: "/dev/urandom".into(),
            source,
        })
    };
    let own = is_sealed.then(random).transpose()?;
    Ok(Secrets::new(tenant.as_str(), Blinding(random()?), own))
}

/// A judgement as ledgers keep it.
pub(crate) fn judgement_bytes(judgement: &Judgement) -> Vec<u8> {
    use prost::Message as _;
    monitor_proto::v1::Judgement::from(judgement).encode_to_vec()
}

/// Settings of every file that is written: what is committed is on disk.
pub(crate) fn durable(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.busy_timeout(std::time::Duration::from_secs(5))
}

/// Empties the log of a file; false where somebody reads it, and it is not empty.
pub(crate) fn emptied(connection: &Connection) -> rusqlite::Result<bool> {
    let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
    connection.query_row(sql, [], |row| row.get::<_, bool>(0).map(|busy| !busy))
}

/// Where what is to be gone from a file may still be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remains {
    /// Nowhere.
    Nowhere,
    /// In its log.
    Log,
    /// In its log, and where nothing lies any more in its pages.
    Pages,
}

impl Remains {
    /// What a file notes.
    pub(crate) fn of(connection: &Connection) -> rusqlite::Result<Self> {
        let noted: i64 = connection.pragma_query_value(None, REMAINS, |row| row.get(0))?;
        Ok(match noted {
            0 => Self::Nowhere,
            1 => Self::Log,
            _ => Self::Pages,
        })
    }

    /// Notes it: in the transaction that removes something, and when that is done.
    pub(crate) fn note(self, connection: &Connection) -> rusqlite::Result<()> {
        let noted = match self {
            Self::Nowhere => 0,
            Self::Log => 1,
            Self::Pages => 2,
        };
        connection.pragma_update(None, REMAINS, noted)
    }
}

fn open_file(
    path: &Path,
    fresh: &Secrets,
    key: Option<&SealKey>,
) -> Result<Connection, LedgerError> {
    let sqlite = |source| LedgerError::sqlite(path, source);
    let mut connection = Connection::open(path).map_err(sqlite)?;
    durable(&connection)
        // What is removed is not to be found on disk.
        .and_then(|()| connection.pragma_update(None, "secure_delete", "ON"))
        // What belongs to a block goes with it. To look for more, SQLite would
        // read all numbers for every block that goes.
        .and_then(|()| connection.pragma_update(None, "foreign_keys", "OFF"))
        .map_err(sqlite)?;
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(sqlite)?;
    let made = "SELECT 1 FROM sqlite_schema WHERE name = 'meta'";
    let made = transaction.query_row(made, [], |_| Ok(())).optional();
    if made.map_err(sqlite)?.is_none() {
        let rows = fresh
            .rows(key)
            .map_err(|error| LedgerError::seal(path, error))?;
        transaction
            .execute_batch(SCHEMA)
            .and_then(|()| transaction.execute_batch(SCHEMA_TERMS))
            .and_then(|()| transaction.execute_batch(SCHEMA_TREE))
            .map_err(sqlite)?;
        let says = [
            ("layout", LAYOUT.to_owned()),
            ("tenant", fresh.tenant().to_owned()),
        ];
        for (key, value) in says.into_iter().chain(rows) {
            put_meta(&transaction, key, &value).map_err(sqlite)?;
        }
    }
    transaction.commit().map_err(sqlite)?;
    Ok(connection)
}

/// Lets a file say something of itself.
fn put_meta(connection: &Connection, key: &str, value: &str) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO meta VALUES (?1, ?2)";
    connection.execute(sql, [key, value]).map(|_| ())
}

/// What a file says of itself; empty when it says nothing.
fn meta(connection: &Connection, path: &Path, key: &str) -> Result<String, LedgerError> {
    let found = connection
        .query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| {
            row.get(0)
        })
        .optional()
        .map_err(|source| LedgerError::sqlite(path, source))?;
    Ok(found.unwrap_or_default())
}

fn check_meta(connection: &Connection, path: &Path, tenant: &TenantId) -> Result<(), LedgerError> {
    for (key, wanted) in [
        ("layout", LAYOUT.to_owned()),
        ("tenant", tenant.to_string()),
    ] {
        let found = meta(connection, path, key)?;
        if found != wanted {
            return Err(LedgerError::Foreign {
                path: path.into(),
                key,
                found,
                wanted,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
