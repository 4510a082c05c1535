//! What was signed last of each log, and what was refused.
//!
//! In: a decision over what is known of a log. Out: nothing before it is on
//! disk (SQLite with a write-ahead log and full synchronisation). Reading what
//! is known, deciding and writing are one transaction. Bound: `logs_max` logs,
//! [`REFUSED_MAX`] refused checkpoints of each, the first. Loss: none.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use monitor_ledger::{
    Hash,
    file::{integer, number},
    proof::Tree,
};
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

/// Refused checkpoints that are kept of a log: the first, which show where it went wrong.
pub const REFUSED_MAX: u64 = 16;
/// Version of the tables.
const LAYOUT: i64 = 1;
const SCHEMA: &str = "
CREATE TABLE log (
    origin TEXT PRIMARY KEY, size INTEGER NOT NULL, root BLOB NOT NULL, at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE refused (
    origin TEXT NOT NULL, note BLOB NOT NULL, at INTEGER NOT NULL, cause TEXT NOT NULL,
    PRIMARY KEY (origin, note)
) WITHOUT ROWID;
";

/// Why the state cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite failed.
    #[error("{}: {source}", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: rusqlite::Error,
    },
    /// The folder cannot be made.
    #[error("{}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no state: a witness that forgot would sign another history.
    #[error(
        "{}: not there; a witness that forgot what it signed would sign another history: restore the file, or, for a new witness with a new key, start once with --new", path.display()
    )]
    Forgotten {
        /// The file.
        path: PathBuf,
    },
    /// There is a state where a new one should begin.
    #[error("{}: there already; start without --new", path.display())]
    There {
        /// The file.
        path: PathBuf,
    },
    /// It was written by another version.
    #[error("{}: layout {found}; this program knows {LAYOUT}: use the program that wrote it", path.display())]
    Layout {
        /// The file.
        path: PathBuf,
        /// What it says.
        found: i64,
    },
}

/// Whether there is a state already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// It goes on from what was signed.
    GoesOn,
    /// It is a new witness.
    New,
}

/// What is known of one log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The log's name.
    pub origin: String,
    /// The newest tree that was signed.
    pub tree: Tree,
    /// When, in seconds since 1970.
    pub at_unix_s: u64,
    /// Checkpoints that were refused and kept.
    pub refused: u64,
}

/// What a decision does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change<R> {
    /// This tree is the newest that is signed.
    Signed(Tree),
    /// Nothing changes.
    Refused(R),
    /// The checkpoint contradicts what was signed, and is kept as evidence.
    Contradicts(R),
}

/// A submission as the state keeps it.
#[derive(Clone, Copy, Debug)]
pub struct Submitted<'a> {
    /// The log's name.
    pub origin: &'a str,
    /// The checkpoint as it came.
    pub note: &'a [u8],
    /// The time, in seconds since 1970.
    pub at_unix_s: u64,
}

/// The state of a witness.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    connection: Connection,
}

impl Store {
    /// The file below a folder.
    #[must_use]
    pub fn path(data_dir: &Path) -> PathBuf {
        data_dir.join("state.db")
    }

    /// Opens the state.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(data_dir: &Path, beginning: Beginning) -> Result<Self, StoreError> {
        let path = Self::path(data_dir);
        match (beginning, path.exists()) {
            (Beginning::GoesOn, false) => return Err(StoreError::Forgotten { path }),
            (Beginning::New, true) => return Err(StoreError::There { path }),
            (Beginning::GoesOn, true) | (Beginning::New, false) => {}
        }
        fs::create_dir_all(data_dir).map_err(|source| StoreError::Folder {
            path: data_dir.into(),
            source,
        })?;
        let opened = open(&path);
        let (connection, found) = opened.map_err(|source| StoreError::Sqlite {
            path: path.clone(),
            source,
        })?;
        if found != LAYOUT {
            return Err(StoreError::Layout { path, found });
        }
        Ok(Self { path, connection })
    }

    /// Lets a decision be made over the newest tree that was signed of a log
    /// (none before the first) and how many logs are known, and puts what
    /// follows from it on disk before this returns.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`]: nothing was changed.
    pub fn turn<R: ToString>(
        &mut self,
        submitted: Submitted<'_>,
        decide: impl FnOnce(Option<Tree>, u64) -> Change<R>,
    ) -> Result<Result<Tree, R>, StoreError> {
        turn(&mut self.connection, submitted, decide).map_err(|source| StoreError::Sqlite {
            path: self.path.clone(),
            source,
        })
    }

    /// What is known of each log, by name.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn known(&self) -> Result<Vec<Known>, StoreError> {
        let read = || {
            let sql = "SELECT origin, size, root, at,
                (SELECT count(*) FROM refused WHERE refused.origin = log.origin)
                FROM log ORDER BY origin";
            let mut statement = self.connection.prepare(sql)?;
            let rows = statement.query_map([], |row| {
                Ok(Known {
                    origin: row.get(0)?,
                    tree: tree(row.get(1)?, row.get(2)?),
                    at_unix_s: number(row.get(3)?),
                    refused: number(row.get(4)?),
                })
            })?;
            rows.collect::<rusqlite::Result<_>>()
        };
        read().map_err(|source| StoreError::Sqlite {
            path: self.path.clone(),
            source,
        })
    }

    /// Checkpoints of a log that contradict what was signed, and were kept.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn refused(&self, origin: &str) -> Result<Vec<Vec<u8>>, StoreError> {
        let read = || {
            let sql = "SELECT note FROM refused WHERE origin = ?1 ORDER BY at, note";
            let mut statement = self.connection.prepare(sql)?;
            let rows = statement.query_map([origin], |row| row.get(0))?;
            rows.collect::<rusqlite::Result<_>>()
        };
        read().map_err(|source| StoreError::Sqlite {
            path: self.path.clone(),
            source,
        })
    }
}

fn open(path: &Path) -> rusqlite::Result<(Connection, i64)> {
    let mut connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.busy_timeout(Duration::from_secs(5))?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut found = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found == 0 {
        transaction.execute_batch(SCHEMA)?;
        transaction.pragma_update(None, "user_version", LAYOUT)?;
        found = LAYOUT;
    }
    transaction.commit()?;
    Ok((connection, found))
}

fn turn<R: ToString>(
    connection: &mut Connection,
    submitted: Submitted<'_>,
    decide: impl FnOnce(Option<Tree>, u64) -> Change<R>,
) -> rusqlite::Result<Result<Tree, R>> {
    let Submitted {
        origin,
        note,
        at_unix_s,
    } = submitted;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let sql = "SELECT size, root FROM log WHERE origin = ?1";
    let known = transaction
        .query_row(sql, [origin], |row| Ok(tree(row.get(0)?, row.get(1)?)))
        .optional()?;
    let logs = transaction.query_row("SELECT count(*) FROM log", [], |row| row.get(0))?;
    let done = match decide(known, number(logs)) {
        Change::Signed(tree) => {
            transaction.execute(
                "INSERT OR REPLACE INTO log (origin, size, root, at) VALUES (?1, ?2, ?3, ?4)",
                params![origin, integer(tree.size), tree.root, integer(at_unix_s)],
            )?;
            Ok(tree)
        }
        Change::Refused(refusal) => return Ok(Err(refusal)),
        Change::Contradicts(refusal) => {
            transaction.execute(
                "INSERT OR IGNORE INTO refused (origin, note, at, cause) SELECT ?1, ?2, ?3, ?4
                 WHERE (SELECT count(*) FROM refused WHERE origin = ?1) < ?5",
                params![
                    origin,
                    note,
                    integer(at_unix_s),
                    refusal.to_string(),
                    integer(REFUSED_MAX)
                ],
            )?;
            Err(refusal)
        }
    };
    transaction.commit()?;
    Ok(done)
}

fn tree(size: i64, root: Hash) -> Tree {
    Tree {
        size: number(size),
        root,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: Submitted<'_> = Submitted {
        origin: "m/acme",
        note: b"note",
        at_unix_s: 7,
    };

    fn new(folder: &Path) -> Store {
        Store::open(folder, Beginning::New).unwrap()
    }

    fn size(size: u64) -> Tree {
        Tree {
            size,
            root: [3; 32],
        }
    }

    #[test]
    fn what_was_signed_is_there_after_a_restart_and_a_lost_state_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = new(folder.path());
        let signed = store.turn(LOG, |known, logs| {
            assert_eq!((known, logs), (None, 0));
            Change::<String>::Signed(size(5))
        });
        assert_eq!(signed.unwrap().unwrap(), size(5));
        drop(store);
        assert!(matches!(
            Store::open(folder.path(), Beginning::New),
            Err(StoreError::There { .. })
        ));
        let mut store = Store::open(folder.path(), Beginning::GoesOn).unwrap();
        let refused = store.turn(LOG, |known, logs| {
            assert_eq!((known, logs), (Some(size(5)), 1));
            Change::Refused("no".to_owned())
        });
        assert_eq!(refused.unwrap().unwrap_err(), "no");
        let known = store.known().unwrap();
        assert_eq!((known[0].tree, known[0].at_unix_s), (size(5), 7));
        drop(store);
        fs::remove_file(Store::path(folder.path())).unwrap();
        assert!(matches!(
            Store::open(folder.path(), Beginning::GoesOn),
            Err(StoreError::Forgotten { .. })
        ));
    }

    #[test]
    fn the_first_contradictions_of_a_log_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = new(folder.path());
        for number in 0..=REFUSED_MAX {
            let note = number.to_be_bytes();
            let submitted = Submitted { note: &note, ..LOG };
            let refuse = |_, _| Change::Contradicts("no".to_owned());
            store.turn(submitted, refuse).unwrap().unwrap_err();
        }
        let kept = store.refused("m/acme").unwrap();
        assert_eq!(u64::try_from(kept.len()).unwrap(), REFUSED_MAX);
        assert_eq!(kept[0], 0u64.to_be_bytes());
        assert_eq!(store.refused("m/globex").unwrap().len(), 0);
    }
}
