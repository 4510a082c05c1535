//! Rows as they are read, by the writer and by readers.

use std::path::Path;

use monitor_model::{
    alert::Alert,
    clock::UnixNs,
    id::{SessionId, TenantId},
};
use monitor_proto::v1;
use prost::Message as _;
use rusqlite::{
    Connection, OptionalExtension as _, Row, ToSql,
    types::{Value, ValueRef},
};

use super::{
    Login, Raised, StateError,
    alerts::HANDLED,
    cover::{Cover, Name, NotOpened},
    load::login,
    rows::{ALERT, SESSION},
    table::Table,
};
use crate::ledger::number;

/// The columns of an alert: its key, and what [`AlertRow`] has.
pub(super) const SELECT_ALERTS: &str =
    "SELECT id, event, ledger, message, outside, fold, stamp, steps
     FROM alert LEFT JOIN handled ON handled = id";

/// What is read from, of the writer or of a reader.
#[derive(Clone, Copy)]
pub(super) struct File<'a> {
    pub(super) path: &'a Path,
    pub(super) connection: &'a Connection,
    pub(super) cover: &'a Cover,
}

/// A row: its key as the file has it, and its message in clear.
pub(super) struct Found {
    key: Vec<Value>,
    pub(super) message: Vec<u8>,
}

impl Found {
    /// Its key, as the file has it.
    pub(super) fn key(&self) -> &[Value] {
        &self.key
    }

    /// The first text of its key.
    pub(super) fn name(&self) -> &str {
        self.text(0)
    }

    /// A text of its key; empty where that is none.
    pub(super) fn text(&self, at: usize) -> &str {
        match self.key.get(at) {
            Some(Value::Text(text)) => text,
            Some(Value::Null | Value::Integer(_) | Value::Real(_) | Value::Blob(_)) | None => "",
        }
    }

    /// A number of its key; 0 where that is none.
    pub(super) fn number(&self, at: usize) -> u64 {
        match self.key.get(at) {
            Some(Value::Integer(integer)) => number(*integer),
            Some(Value::Null | Value::Text(_) | Value::Real(_) | Value::Blob(_)) | None => 0,
        }
    }
}

impl File<'_> {
    /// A name as rows have it.
    pub(super) fn name(&self, of: Name, text: &str) -> Result<String, StateError> {
        let name = self.cover.name(of, text);
        name.map_err(|source| StateError::seal(self.path, source))
    }

    /// A name from a row.
    pub(super) fn named(
        &self,
        of: Name,
        what: &'static str,
        kept: &str,
    ) -> Result<String, StateError> {
        let name = self.cover.named(of, kept);
        name.map_err(|error| StateError::row(self.path, what, kept, error))
    }

    /// The same of one that need not be there.
    pub(super) fn named_if(
        &self,
        of: Name,
        text: Option<&str>,
    ) -> Result<Option<String>, StateError> {
        text.map(|text| self.name(of, text)).transpose()
    }

    /// Tenants as rows have them, as a list for `json_each`.
    pub(super) fn tenants(&self, tenants: &[TenantId]) -> Result<String, StateError> {
        let names = tenants
            .iter()
            .map(|tenant| self.name(Name::Tenant, tenant.as_str()));
        Ok(json(&names.collect::<Result<Vec<_>, _>>()?))
    }

    /// Rows of a select that gives a table's key, its columns in their order, and
    /// then `message`.
    pub(super) fn messages(
        &self,
        table: &Table,
        sql: &str,
        values: &[&dyn ToSql],
    ) -> Result<Vec<Found>, StateError> {
        self.contents(table, "message", sql, values)
    }

    /// The same with another column in the place of `message`.
    pub(super) fn contents(
        &self,
        table: &Table,
        column: &str,
        sql: &str,
        values: &[&dyn ToSql],
    ) -> Result<Vec<Found>, StateError> {
        self.all(sql, values, |row| self.found(table, column, row))
    }

    /// One of these rows.
    pub(super) fn found(
        &self,
        table: &Table,
        column: &str,
        row: &Row<'_>,
    ) -> rusqlite::Result<Result<Found, StateError>> {
        let key = key(table, row)?;
        let message = row.get_ref(key.len())?;
        let message = self.cover.content(table, column, &key, message);
        Ok(message
            .map_err(|error| self.not_opened(table, &key, error))
            .map(|message| Found { key, message }))
    }

    /// What `read` makes of the rows of a select.
    pub(super) fn all<T>(
        &self,
        sql: &str,
        values: &[&dyn ToSql],
        read: impl Fn(&Row<'_>) -> rusqlite::Result<Result<T, StateError>>,
    ) -> Result<Vec<T>, StateError> {
        let sqlite = |source| StateError::sqlite(self.path, source);
        let mut statement = self.connection.prepare_cached(sql).map_err(sqlite)?;
        let rows = statement.query_map(values, read).map_err(sqlite)?;
        rows.map(|row| row.map_err(sqlite)?).collect()
    }

    /// One session of these tenants, of any when there are none.
    pub(super) fn session(
        &self,
        id: SessionId,
        tenants: &[TenantId],
    ) -> Result<Option<Login>, StateError> {
        // Made before it is known whether there is a row, so that this takes as long.
        let tenants: Result<Vec<String>, _> = tenants
            .iter()
            .map(|tenant| self.name(Name::Tenant, tenant.as_str()))
            .collect();
        let tenants = tenants?;
        let select = "SELECT id, boot, tenant, message FROM session WHERE id = ?1";
        let row = self
            .connection
            .prepare_cached(select)
            .and_then(|mut select| {
                let row = select.query_row([id.to_string()], |row| {
                    // Looked at here and nowhere in SQL, whose lists take longer than all else.
                    let tenant = row.get_ref(2)?.as_str_or_null()?;
                    let is_seen = |tenant: &str| tenants.iter().any(|seen| seen == tenant);
                    if !tenants.is_empty() && !tenant.is_some_and(is_seen) {
                        return Ok(None);
                    }
                    Ok(Some((key(&SESSION, row)?, row.get::<_, Vec<u8>>(3)?)))
                });
                row.optional()
            });
        let row = row.map_err(|source| StateError::sqlite(self.path, source))?;
        let Some((key, kept)) = row.flatten() else {
            return Ok(None);
        };
        let message = self
            .cover
            .content(&SESSION, "message", &key, ValueRef::Blob(&kept))
            .map_err(|error| self.not_opened(&SESSION, &key, error))?;
        login(self.path, &Found { key, message }).map(Some)
    }

    /// Alerts, of [`SELECT_ALERTS`].
    pub(super) fn alerts(
        &self,
        sql: &str,
        values: &[&dyn ToSql],
    ) -> Result<Vec<Raised>, StateError> {
        self.all(sql, values, |row| {
            let key = key(&ALERT, row)?;
            let content = |column, at| -> rusqlite::Result<_> {
                let kept = row.get_ref(at)?;
                Ok(self.cover.content(&ALERT, column, &key, kept))
            };
            let (message, outside, fold) = (
                content("message", 3)?,
                content("outside", 4)?,
                content("fold", 5)?,
            );
            let handled: Vec<Value> = key.first().cloned().into_iter().collect();
            let steps = row.get_ref(7)?;
            let steps = (steps != ValueRef::Null)
                .then(|| self.cover.content(&HANDLED, "steps", &handled, steps));
            let event: String = row.get(1)?;
            let stamp = row.get(6)?;
            let made = || {
                Ok(AlertRow {
                    stamp,
                    message: message?,
                    outside: text(outside?)?,
                    fold: text(fold?)?,
                    event,
                    steps: steps.transpose()?,
                })
            };
            Ok(made()
                .map_err(|error: NotOpened| self.not_opened(&ALERT, &key, error))
                .and_then(|row| row.raised(self)))
        })
    }

    fn not_opened(&self, table: &Table, key: &[Value], error: NotOpened) -> StateError {
        let name: Vec<String> = key
            .iter()
            .map(|value| match value {
                Value::Text(text) => text.clone(),
                Value::Integer(integer) => integer.to_string(),
                Value::Null | Value::Real(_) | Value::Blob(_) => String::new(),
            })
            .collect();
        StateError::row(self.path, table.name, &name.join(" "), error)
    }
}

/// The key of a table, from the first columns of a row.
fn key(table: &Table, row: &Row<'_>) -> rusqlite::Result<Vec<Value>> {
    (0..table.keys()).map(|column| row.get(column)).collect()
}

fn text(bytes: Vec<u8>) -> Result<String, NotOpened> {
    String::from_utf8(bytes).map_err(|_| NotOpened)
}

struct AlertRow {
    stamp: i64,
    message: Vec<u8>,
    outside: String,
    fold: String,
    event: String,
    steps: Option<Vec<u8>>,
}

impl AlertRow {
    fn raised(self, file: &File<'_>) -> Result<Raised, StateError> {
        let name = self.stamp.to_string();
        let wrong = |cause: String| StateError::row(file.path, "alert", &name, cause);
        let message = v1::Alert::decode(self.message.as_slice());
        let mut message = message.map_err(|error| wrong(error.to_string()))?;
        if let Some(steps) = self.steps {
            let handled = v1::Alert::decode(steps.as_slice());
            let handled = handled.map_err(|error| wrong(error.to_string()))?;
            message.state = handled.state;
            message.steps = handled.steps;
        }
        let alert = Alert::try_from(message).map_err(|error| wrong(error.to_string()))?;
        Ok(Raised {
            stamp: UnixNs(number(self.stamp)),
            outside: self.outside,
            fold: self.fold,
            of_event: file.name(Name::Event, &alert.event.to_string())? == self.event,
            alert,
        })
    }
}

/// A list as SQLite's `json_each` takes it.
pub(super) fn json<T: serde::Serialize>(values: &[T]) -> String {
    serde_json::to_string(values).unwrap_or_else(|_| "[]".to_owned())
}
