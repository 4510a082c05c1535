//! What people did with alerts, and what the alerter remembers.

use monitor_model::{
    alert::{Alert, AlertState},
    id::AlertId,
};
use monitor_proto::v1;
use prost::Message as _;
use rusqlite::params;

use super::{Raised, State, StateError, read};
use crate::alert::kept::{Kept, KeptKind};

/// Tables that this module owns. `steps` is an `Alert` message that has its
/// state and steps alone.
pub(super) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS handled (
    handled TEXT PRIMARY KEY, state INTEGER NOT NULL, steps BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS kept (
    kind TEXT NOT NULL, name TEXT NOT NULL, text TEXT NOT NULL, PRIMARY KEY (kind, name)
) WITHOUT ROWID;
";

impl State {
    /// Puts what people did with an alert, over what they had done.
    ///
    /// # Errors
    /// [`StateError::Sqlite`].
    pub fn put_handled(&mut self, alert: &Alert) -> Result<(), StateError> {
        let steps = v1::Alert {
            state: v1::AlertState::from(alert.state).into(),
            steps: alert.steps.iter().map(Into::into).collect(),
            ..v1::Alert::default()
        };
        self.change(
            "INSERT OR REPLACE INTO handled VALUES (?1, ?2, ?3)",
            params![alert.id.to_string(), steps.state, steps.encode_to_vec()],
        )
    }

    /// One alert.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn alert(&self, id: AlertId) -> Result<Option<Raised>, StateError> {
        let sql = format!("{} WHERE id = ?1", read::SELECT_ALERTS);
        let found = read::alerts(&self.connection, &self.path, &sql, params![id.to_string()])?;
        Ok(found.into_iter().next())
    }

    /// Puts or removes a row of the alerter.
    ///
    /// # Errors
    /// [`StateError::Sqlite`].
    pub fn put_kept(&mut self, kept: &Kept) -> Result<(), StateError> {
        let Kept { kind, name, text } = kept;
        match text {
            Some(text) => self.change(
                "INSERT OR REPLACE INTO kept VALUES (?1, ?2, ?3)",
                params![kind.as_str(), name, text],
            ),
            None => self.change(
                "DELETE FROM kept WHERE kind = ?1 AND name = ?2",
                params![kind.as_str(), name],
            ),
        }
    }

    /// Every row of the alerter.
    ///
    /// # Errors
    /// [`StateError::Sqlite`].
    pub fn kept(&self) -> Result<Vec<Kept>, StateError> {
        let mut found = Vec::new();
        for kind in KeptKind::ALL {
            let rows = self
                .connection
                .prepare_cached("SELECT name, text FROM kept WHERE kind = ?1")
                .and_then(|mut statement| {
                    let rows = statement.query_map([kind.as_str()], |row| {
                        Ok(Kept {
                            kind,
                            name: row.get(0)?,
                            text: Some(row.get(1)?),
                        })
                    })?;
                    rows.collect::<rusqlite::Result<Vec<Kept>>>()
                });
            found.extend(rows.map_err(|source| self.sqlite(source))?);
        }
        Ok(found)
    }
}

/// The number of a state as it stands in the table.
pub(super) fn number_of(state: AlertState) -> i32 {
    v1::AlertState::from(state).into()
}
