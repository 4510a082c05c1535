//! What people did with alerts, and what the alerter remembers.

use monitor_model::{
    alert::{Alert, AlertState},
    id::AlertId,
};
use monitor_proto::v1;
use prost::Message as _;
use rusqlite::params;

use super::{
    Raised, State, StateError,
    cover::Name,
    file::SELECT_ALERTS,
    table::{Form, Table},
};
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

pub(super) const HANDLED: Table = Table {
    name: "handled",
    columns: &[
        ("handled", Form::Key),
        ("state", Form::Plain),
        ("steps", Form::Blob),
    ],
};
pub(super) const KEPT: Table = Table {
    name: "kept",
    columns: &[
        ("kind", Form::Key),
        ("name", Form::KeyName(Name::Kept)),
        ("text", Form::Text),
    ],
};

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
        let row = vec![
            alert.id.to_string().into(),
            steps.state.into(),
            steps.encode_to_vec().into(),
        ];
        self.put(&HANDLED, row)
    }

    /// One alert.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn alert(&self, id: AlertId) -> Result<Option<Raised>, StateError> {
        let sql = format!("{SELECT_ALERTS} WHERE id = ?1");
        let found = self.file().alerts(&sql, params![id.to_string()])?;
        Ok(found.into_iter().next())
    }

    /// Puts or removes a row of the alerter.
    ///
    /// # Errors
    /// [`StateError::Sqlite`].
    pub fn put_kept(&mut self, kept: &Kept) -> Result<(), StateError> {
        let Kept { kind, name, text } = kept;
        if let Some(text) = text {
            let kind = kind.as_str().to_owned();
            let row = vec![kind.into(), name.clone().into(), text.clone().into()];
            return self.put(&KEPT, row);
        }
        let name = self.name(Name::Kept, name)?;
        self.change(
            "DELETE FROM kept WHERE kind = ?1 AND name = ?2",
            params![kind.as_str(), name],
        )
    }

    /// Every row of the alerter.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn kept(&self) -> Result<Vec<Kept>, StateError> {
        let mut found = Vec::new();
        for kind in KeptKind::ALL {
            let sql = "SELECT kind, name, text FROM kept WHERE kind = ?1";
            let rows = self
                .file()
                .contents(&KEPT, "text", sql, params![kind.as_str()])?;
            for row in rows {
                let name = self.named(Name::Kept, "what alerts remember of", row.text(1))?;
                let text = String::from_utf8(row.message);
                let text = text.map_err(|error| {
                    StateError::row(&self.path, "what alerts remember of", &name, error)
                })?;
                found.push(Kept {
                    kind,
                    name,
                    text: Some(text),
                });
            }
        }
        Ok(found)
    }
}

/// The number of a state as it stands in the table.
pub(super) fn number_of(state: AlertState) -> i32 {
    v1::AlertState::from(state).into()
}
