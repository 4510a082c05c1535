//! What the collector knows besides the ledgers: `state.db`.
//!
//! Grants and what of them was used, policies, sessions and what lives in them, hosts, alerts, orders (the durable outbox), the deny table
//! and the quarantine; and the place in the ledgers up to which all of them follow
//! from the events. One transaction moves all of it, so that a crash at any
//! point leaves them in step and the rest is derived again from the ledgers.
//!
//! Where ledgers are sealed it is sealed as well: what a row says, and the names
//! that it is found by ([`cover`], [`table`]).
//!
//! In: changes, between [`State::commit`]s. Bound: [`QUARANTINED_MAX`] set-aside
//! events an agent, beyond which its batches are refused and it keeps spooling.
//! Loss: none.

use std::path::{Path, PathBuf};

use cover::{Cover, Name};
use file::File;
use monitor_model::{
    alert::Alert,
    clock::UnixNs,
    id::{AgentName, BootId, OrderId, PrincipalId, SessionId},
    revocation::Order,
    session::{Session, SessionState},
};
use monitor_proto::v1;
use prost::Message as _;
use rows::{ALERT, DENIED, ORDERED, SESSION};
use rusqlite::{Connection, ToSql, params, types::Value};
use table::Table;

use crate::ledger::integer;

mod alerts;
pub mod aside;
mod cover;
mod error;
mod file;
mod grants;
mod held;
mod hosts;
mod krl;
pub mod load;
mod open;
pub mod policies;
mod processes;
pub mod read;
mod rows;
mod said;
pub(crate) mod sealing;
mod table;
mod uses;

pub use error::StateError;
pub use grants::same_permission;
#[cfg(test)]
pub(crate) use table::unspoken;

/// Most set-aside events of one agent.
pub const QUARANTINED_MAX: u64 = 10_000;

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
    cover: Cover,
    /// Whether a transaction is open.
    writing: bool,
}

impl State {
    /// The state's file.
    #[must_use]
    pub fn path(data_dir: &Path) -> PathBuf {
        data_dir.join("state.db")
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
        let principal = session.principal.as_ref().map(ToString::to_string);
        let tenant = session.tenant.as_ref().map(ToString::to_string);
        let row = vec![
            session.id.to_string().into(),
            integer(session.opened_at.0).into(),
            session.host.to_string().into(),
            login.boot.to_string().into(),
            principal.into(),
            tenant.into(),
            (session.state == SessionState::Ended).into(),
            message.into(),
        ];
        self.put(&SESSION, row)
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
        let row = vec![
            integer(stamp.0).into(),
            alert.id.to_string().into(),
            event.into(),
            integer(alert.at.0).into(),
            integer(alert.event_at.0).into(),
            alert.ledger.to_string().into(),
            alert.principal.as_ref().map(ToString::to_string).into(),
            alert.session.map(|id| id.to_string()).into(),
            message.severity.into(),
            fold.clone().into(),
            outside.clone().into(),
            message.encode_to_vec().into(),
        ];
        let sql =
            ALERT.insert("INSERT") + " ON CONFLICT (id) DO UPDATE SET message = excluded.message";
        self.put_by(&ALERT, &sql, row)
    }

    /// Puts an order, over an older form of it.
    ///
    /// # Errors
    /// [`StateError::Sqlite`].
    pub fn put_order(&mut self, order: &Order) -> Result<(), StateError> {
        let at = order.given_at();
        let message = v1::Order::from(order).encode_to_vec();
        let row = vec![
            order.id.to_string().into(),
            integer(at.0).into(),
            message.into(),
        ];
        self.put(&ORDERED, row)
    }

    /// Puts a denial under the order that holds it up.
    ///
    /// # Errors
    /// [`StateError::Sqlite`].
    pub fn put_denial(&mut self, denial: &Denial, order: OrderId) -> Result<(), StateError> {
        let (kind, name) = denial.row();
        let row = vec![
            kind.to_owned().into(),
            name.into(),
            order.to_string().into(),
        ];
        self.put(&DENIED, row)
    }

    /// Removes a denial that no order holds up.
    ///
    /// # Errors
    /// [`StateError::Sqlite`].
    pub fn remove_denial(&mut self, denial: &Denial) -> Result<(), StateError> {
        let (kind, name) = denial.row();
        let name = self.name(Name::Denied, &name)?;
        self.change(
            "DELETE FROM denied WHERE kind = ?1 AND name = ?2",
            params![kind, name],
        )
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

    /// Puts a whole row, over one in its place; `row` in clear.
    fn put(&mut self, table: &Table, row: Vec<Value>) -> Result<(), StateError> {
        self.put_by(table, &table.insert("INSERT OR REPLACE"), row)
    }

    fn put_by(&mut self, table: &Table, sql: &str, row: Vec<Value>) -> Result<(), StateError> {
        let row = self.cover.covered(table, row);
        let row = row.map_err(|source| StateError::seal(&self.path, source))?;
        let values: Vec<&dyn ToSql> = row.iter().map(|value| -> &dyn ToSql { value }).collect();
        self.change(sql, &values)
    }

    /// A name as rows have it.
    fn name(&self, of: Name, text: &str) -> Result<String, StateError> {
        self.file().name(of, text)
    }

    /// A name from a row.
    fn named(&self, of: Name, what: &'static str, kept: &str) -> Result<String, StateError> {
        self.file().named(of, what, kept)
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
        self.file().session(id, &[])
    }

    fn file(&self) -> File<'_> {
        File {
            path: &self.path,
            connection: &self.connection,
            cover: &self.cover,
        }
    }

    fn sqlite(&self, source: rusqlite::Error) -> StateError {
        StateError::sqlite(&self.path, source)
    }
}
