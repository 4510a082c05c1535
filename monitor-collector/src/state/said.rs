//! What is to be said in ledgers and is not on disk there: kept in the same
//! transaction as what it is about, and said again after a crash.

use monitor_model::{clock::UnixNs, event::Action, id::TenantId};
use monitor_proto::v1;
use prost::Message as _;
use rusqlite::{params, types::Value};

use super::{
    State, StateError,
    cover::Name,
    file::Found,
    table::{Form, Table},
};
use crate::{
    core::voice::Said,
    ledger::{integer, number},
};

pub(super) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS said (
    number INTEGER PRIMARY KEY, ledger TEXT NOT NULL, place INTEGER NOT NULL, message BLOB NOT NULL
);
";

pub(super) const SAID: Table = Table {
    name: "said",
    columns: &[
        // Given by SQLite when the rest is sealed already.
        ("number", Form::Plain),
        ("ledger", Form::KeyName(Name::Tenant)),
        ("place", Form::Key),
        ("message", Form::Blob),
    ],
};

impl State {
    /// Keeps what is to be said until [`State::remove_said`]; gives its row.
    /// `after` is the newest place in the ledgers: it is stored after that.
    ///
    /// # Errors
    /// [`StateError::Sqlite`].
    pub fn keep_said(&mut self, said: &Said, after: UnixNs) -> Result<u64, StateError> {
        let Said {
            ledger,
            action,
            at,
            id: _,
            row: _,
        } = said;
        let message = v1::Event {
            at_unix_ns: at.0,
            action: Some(action.into()),
            ..v1::Event::default()
        };
        let row = vec![
            Value::Null,
            ledger.to_string().into(),
            integer(after.0).into(),
            message.encode_to_vec().into(),
        ];
        self.put_by(&SAID, &SAID.insert("INSERT"), row)?;
        Ok(number(self.connection.last_insert_rowid()))
    }

    /// Forgets what is on disk in its ledger.
    ///
    /// # Errors
    /// [`StateError::Sqlite`].
    pub fn remove_said(&mut self, row: u64) -> Result<(), StateError> {
        self.change("DELETE FROM said WHERE number = ?1", params![integer(row)])
    }

    /// What is kept, the earliest first, and after which place it is stored.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn said(&self) -> Result<Vec<(UnixNs, Said)>, StateError> {
        let file = self.file();
        let sql = "SELECT ledger, place, message, number FROM said ORDER BY number";
        let rows = file.all(sql, &[], |row| {
            let row_number: i64 = row.get(3)?;
            let found = file.found(&SAID, "message", row)?;
            Ok(found.map(|found| (row_number, found)))
        })?;
        let read = |(row, found): (i64, Found)| {
            let ledger = self.named(Name::Tenant, "entry to be said", found.name())?;
            let said =
                said(number(row), &ledger, &found.message).map_err(|cause| StateError::Row {
                    path: self.path.clone(),
                    what: "entry to be said",
                    name: row.to_string(),
                    cause,
                })?;
            Ok((UnixNs(found.number(1)), said))
        };
        rows.into_iter().map(read).collect()
    }
}

fn said(row: u64, ledger: &str, bytes: &[u8]) -> Result<Said, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let event = v1::Event::decode(bytes).map_err(|error| text(&error))?;
    let ledger: TenantId = ledger.parse().map_err(|error| text(&error))?;
    let action = event.action.ok_or("it says nothing")?;
    Ok(Said {
        row: Some(row),
        ..Said::of(
            ledger,
            Action::try_from(action).map_err(|error| text(&error))?,
            UnixNs(event.at_unix_ns),
        )
    })
}
