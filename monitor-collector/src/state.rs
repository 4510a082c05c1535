//! What the collector knows besides the ledgers: `state.db`.
//!
//! Grants and what of them was used, policies, sessions and what lives in them, hosts, alerts, orders (the durable outbox), the deny table
//! and the quarantine; and the place in the ledgers up to which all of them follow
//! from the events. One transaction moves all of it, so that a crash at any
//! point leaves them in step and the rest is derived again from the ledgers.
//!
//! In: changes, between [`State::commit`]s. Bound: [`QUARANTINED_MAX`] set-aside
//! events an agent, beyond which its batches are refused and it keeps spooling.
//! Loss: none.

use std::path::{Path, PathBuf};

use monitor_model::{
    alert::Alert,
    clock::UnixNs,
    id::{AgentName, BootId, OrderId, PrincipalId, SessionId, TenantId},
    revocation::Order,
    session::{Session, SessionState},
};
use monitor_proto::v1;
use prost::Message as _;
use rusqlite::{Connection, OptionalExtension as _, ToSql, params};
use sha2::{Digest as _, Sha256};

use crate::ledger::{durable, integer, number};

mod alerts;
mod grants;
mod held;
mod hosts;
mod krl;
pub mod load;
pub mod policies;
mod processes;
pub mod read;
mod said;
mod uses;

pub use grants::same_permission;

/// Most set-aside events of one agent.
pub const QUARANTINED_MAX: u64 = 10_000;
/// Version of the file's layout.
const LAYOUT: &str = "1";

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS granted (id TEXT PRIMARY KEY, message BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS session (
    id TEXT PRIMARY KEY, opened_at INTEGER NOT NULL, host TEXT NOT NULL, boot TEXT NOT NULL,
    principal TEXT, tenant TEXT, ended INTEGER NOT NULL, message BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS session_opened ON session (opened_at, id);
CREATE INDEX IF NOT EXISTS session_live ON session (ended) WHERE ended = 0;
CREATE TABLE IF NOT EXISTS alert (
    stamp INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, event TEXT NOT NULL UNIQUE, at INTEGER NOT NULL,
    event_at INTEGER NOT NULL, ledger TEXT NOT NULL, principal TEXT, session TEXT, severity INTEGER NOT NULL,
    fold TEXT NOT NULL, outside TEXT NOT NULL, message BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS alert_session ON alert (session) WHERE session IS NOT NULL;
CREATE TABLE IF NOT EXISTS ordered (
    id TEXT PRIMARY KEY, ordered_at INTEGER NOT NULL, message BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS ordered_at ON ordered (ordered_at, id);
CREATE TABLE IF NOT EXISTS denied (
    kind TEXT NOT NULL, name TEXT NOT NULL, ordered TEXT NOT NULL, PRIMARY KEY (kind, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS host (name TEXT PRIMARY KEY, message BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS quarantine (
    agent TEXT NOT NULL, digest BLOB NOT NULL, batch INTEGER NOT NULL, at INTEGER NOT NULL,
    reason TEXT NOT NULL, event BLOB NOT NULL, PRIMARY KEY (agent, digest)
) WITHOUT ROWID;
";

/// Why the state cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// SQLite failed.
    #[error("state {}: {source}", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: rusqlite::Error,
    },
    /// A row cannot be read back.
    #[error("state {}: {what} {name} cannot be read: {cause}", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: &'static str,
        /// Its name.
        name: String,
        /// What is wrong with it.
        cause: String,
    },
    /// No room for another version of the policy.
    #[error(
        "state {}: {} versions of the policy are kept, and ledgers name them: give the last policy back, or begin a new data_dir",
        path.display(), policies::POLICIES_MAX
    )]
    PoliciesFull {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by another version.
    #[error("state {} has layout {found:?}; this is {LAYOUT:?}: give the right file or the right version", path.display())]
    Layout {
        /// The file.
        path: PathBuf,
        /// What it says.
        found: String,
    },
}

/// An alert as it was raised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raised {
    /// Its place among events and alerts: unique and ascending.
    pub stamp: UnixNs,
    /// The alert.
    pub alert: Alert,
    /// The sentence for readers of the event's ledger alone: names no other tenant.
    pub outside: String,
    /// What later alerts must share to be folded into it.
    pub fold: String,
    /// Whether its event raised it, and not what came after that.
    pub of_event: bool,
}

/// A session and the boot of its host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The session.
    pub session: Session,
    /// The boot it was opened in.
    pub boot: BootId,
}

/// An event that cannot be decoded.
#[derive(Clone, Debug)]
pub struct SetAside {
    /// Who sent it.
    pub agent: AgentName,
    /// In which batch.
    pub batch: u64,
    /// When it came.
    pub at: UnixNs,
    /// What is wrong with it.
    pub reason: String,
    /// Its bytes.
    pub event: Vec<u8>,
}

/// What is denied.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Denial {
    /// A certificate.
    Serial(u64),
    /// A person or workload.
    Principal(PrincipalId),
}

impl Denial {
    /// Its kind and name in the table.
    fn row(&self) -> (&'static str, String) {
        match self {
            Self::Serial(serial) => ("serial", serial.to_string()),
            Self::Principal(principal) => ("principal", principal.to_string()),
        }
    }
}

/// The state, open for writing. There is one writer.
#[derive(Debug)]
pub struct State {
    path: PathBuf,
    connection: Connection,
    /// Whether a transaction is open.
    writing: bool,
}

impl State {
    /// The state's file.
    #[must_use]
    pub fn path(data_dir: &Path) -> PathBuf {
        data_dir.join("state.db")
    }

    /// Opens or makes the state.
    ///
    /// # Errors
    /// [`StateError`] names the file.
    pub fn open(data_dir: &Path) -> Result<Self, StateError> {
        let path = Self::path(data_dir);
        let sqlite = |source| StateError::Sqlite {
            path: path.clone(),
            source,
        };
        let connection = Connection::open(&path).map_err(sqlite)?;
        durable(&connection)
            .and_then(|()| connection.execute_batch(SCHEMA))
            .and_then(|()| connection.execute_batch(processes::SCHEMA))
            .and_then(|()| connection.execute_batch(alerts::SCHEMA))
            .and_then(|()| connection.execute_batch(policies::SCHEMA))
            .and_then(|()| connection.execute_batch(uses::SCHEMA))
            .and_then(|()| connection.execute_batch(grants::SCHEMA))
            .and_then(|()| connection.execute_batch(held::SCHEMA))
            .and_then(|()| connection.execute_batch(krl::SCHEMA))
            .and_then(|()| connection.execute_batch(said::SCHEMA))
            .map_err(sqlite)?;
        connection
            .execute("INSERT OR IGNORE INTO meta VALUES ('layout', ?1)", [LAYOUT])
            .map_err(sqlite)?;
        let found: String = connection
            .query_row(
                "SELECT CAST(value AS TEXT) FROM meta WHERE key = 'layout'",
                [],
                |row| row.get(0),
            )
            .map_err(sqlite)?;
        if found != LAYOUT {
            return Err(StateError::Layout { path, found });
        }
        Ok(Self {
            path,
            connection,
            writing: false,
        })
    }

    /// Puts every change since the last time on disk; says whether there was any.
    ///
    /// # Errors
    /// [`StateError::Sqlite`]; the state must then be opened anew.
    pub fn commit(&mut self) -> Result<bool, StateError> {
        let writing = std::mem::take(&mut self.writing);
        if writing {
            let done = self.connection.execute_batch("COMMIT");
            done.map_err(|source| self.sqlite(source))?;
        }
        Ok(writing)
    }

    /// Whether there are changes that are not on disk.
    #[must_use]
    pub const fn is_changed(&self) -> bool {
        self.writing
    }

    /// Puts a session, over an older form of it.
    ///
    /// # Errors
    /// [`StateError::Sqlite`].
    pub fn put_session(&mut self, login: &Login) -> Result<(), StateError> {
        let session = &login.session;
        let message = v1::Session::from(session).encode_to_vec();
        self.change(
            "INSERT OR REPLACE INTO session VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                session.id.to_string(),
                integer(session.opened_at.0),
                session.host.as_str(),
                login.boot.to_string(),
                session.principal.as_ref().map(PrincipalId::as_str),
                session.tenant.as_ref().map(TenantId::as_str),
                session.state == SessionState::Ended,
                message,
            ],
        )
    }

    /// Puts an alert. One event raises at most one: a second is a no-op. What
    /// people did with it is kept apart: [`State::put_handled`].
    ///
    /// # Errors
    /// [`StateError::Sqlite`].
    pub fn put_alert(&mut self, raised: &Raised) -> Result<(), StateError> {
        let Raised {
            stamp,
            alert,
            outside,
            fold,
            of_event,
        } = raised;
        let message = v1::Alert {
            state: 0,
            steps: Vec::new(),
            ..v1::Alert::from(alert)
        };
        let event = if *of_event {
            alert.event.to_string()
        } else {
            format!("none: {}", alert.id)
        };
        self.change(
            "INSERT INTO alert VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
             ON CONFLICT (id) DO UPDATE SET message = excluded.message",
            params![
                integer(stamp.0),
                alert.id.to_string(),
                event,
                integer(alert.at.0),
                integer(alert.event_at.0),
                alert.ledger.as_str(),
                alert.principal.as_ref().map(PrincipalId::as_str),
                alert.session.map(|id| id.to_string()),
                message.severity,
                fold,
                outside,
                message.encode_to_vec(),
            ],
        )
    }

    /// Puts an order, over an older form of it.
    ///
    /// # Errors
    /// [`StateError::Sqlite`].
    pub fn put_order(&mut self, order: &Order) -> Result<(), StateError> {
        let at = order.given_at();
        let message = v1::Order::from(order).encode_to_vec();
        self.change(
            "INSERT OR REPLACE INTO ordered VALUES (?1, ?2, ?3)",
            params![order.id.to_string(), integer(at.0), message],
        )
    }

    /// Puts a denial under the order that holds it up.
    ///
    /// # Errors
    /// [`StateError::Sqlite`].
    pub fn put_denial(&mut self, denial: &Denial, order: OrderId) -> Result<(), StateError> {
        let (kind, name) = denial.row();
        self.change(
            "INSERT OR REPLACE INTO denied VALUES (?1, ?2, ?3)",
            params![kind, name, order.to_string()],
        )
    }

    /// Removes a denial that no order holds up.
    ///
    /// # Errors
    /// [`StateError::Sqlite`].
    pub fn remove_denial(&mut self, denial: &Denial) -> Result<(), StateError> {
        let (kind, name) = denial.row();
        self.change(
            "DELETE FROM denied WHERE kind = ?1 AND name = ?2",
            params![kind, name],
        )
    }

    /// Sets an event aside; the same bytes of the same agent once.
    ///
    /// # Errors
    /// [`StateError::Sqlite`].
    pub fn put_aside(&mut self, aside: &SetAside) -> Result<(), StateError> {
        let digest: [u8; 32] = Sha256::digest(&aside.event).into();
        self.change(
            "INSERT OR IGNORE INTO quarantine VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                aside.agent.as_str(),
                digest,
                integer(aside.batch),
                integer(aside.at.0),
                aside.reason,
                aside.event
            ],
        )
    }

    /// How many events of an agent are set aside.
    ///
    /// # Errors
    /// [`StateError::Sqlite`].
    pub fn set_aside(&self, agent: &AgentName) -> Result<u64, StateError> {
        let select = "SELECT count(*) FROM quarantine WHERE agent = ?1";
        let count = self
            .connection
            .query_row(select, [agent.as_str()], |row| row.get(0));
        count.map(number).map_err(|source| self.sqlite(source))
    }

    /// Notes that everything follows from the events up to this instant.
    ///
    /// # Errors
    /// [`StateError::Sqlite`].
    pub fn set_followed(&mut self, stamp: UnixNs) -> Result<(), StateError> {
        let value = stamp.0.to_string();
        self.change(
            "INSERT OR REPLACE INTO meta VALUES ('followed', ?1)",
            params![value],
        )
    }

    fn change(&mut self, sql: &str, values: &[&dyn ToSql]) -> Result<(), StateError> {
        let result = self.try_change(sql, values);
        result.map_err(|source| self.sqlite(source))
    }

    fn try_change(&mut self, sql: &str, values: &[&dyn ToSql]) -> rusqlite::Result<()> {
        if !self.writing {
            self.connection.execute_batch("BEGIN IMMEDIATE")?;
            self.writing = true;
        }
        self.connection
            .prepare_cached(sql)?
            .execute(values)
            .map(|_| ())
    }

    /// One session, ended or not.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn session(&self, id: SessionId) -> Result<Option<Login>, StateError> {
        session(&self.connection, &self.path, id, &[])
    }

    fn sqlite(&self, source: rusqlite::Error) -> StateError {
        StateError::Sqlite {
            path: self.path.clone(),
            source,
        }
    }
}

fn session(
    connection: &Connection,
    path: &Path,
    id: SessionId,
    tenants: &[TenantId],
) -> Result<Option<Login>, StateError> {
    let select = "SELECT tenant, message, boot FROM session WHERE id = ?1";
    let row = connection
        .query_row(select, [id.to_string()], |row| {
            // Looked at here and nowhere in SQL, whose lists take longer than all else.
            let tenant = row.get_ref(0)?.as_str_or_null()?;
            let is_seen = |tenant: &str| tenants.iter().any(|seen| seen.as_str() == tenant);
            if tenants.is_empty() || tenant.is_some_and(is_seen) {
                Ok(Some((row.get::<_, Vec<u8>>(1)?, row.get::<_, String>(2)?)))
            } else {
                Ok(None)
            }
        })
        .optional();
    let row = row.map_err(|source| StateError::Sqlite {
        path: path.into(),
        source,
    })?;
    row.flatten()
        .map(|(message, boot)| load::login(path, &message, &boot))
        .transpose()
}
