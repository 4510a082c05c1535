//! Grants as they stand; what they were before is kept beside the policies.

use std::collections::BTreeSet;

use monitor_model::{
    clock::UnixNs,
    grant::{Grant, GrantState},
    id::GrantId,
};
use monitor_proto::v1;
use prost::Message as _;
use rusqlite::params;

use super::{
    State, StateError,
    cover::Name,
    table::{Form, Table},
};

impl State {
    /// Puts a grant as it stands after a place among events; what it was before
    /// stays known.
    ///
    /// # Errors
    /// [`StateError::Sqlite`].
    pub fn put_grant(&mut self, grant: &Grant, after: UnixNs) -> Result<(), StateError> {
        let message = v1::Grant::from(grant).encode_to_vec();
        self.put_form(&grant.id, after, &message)?;
        self.put(&GRANTED, vec![grant.id.to_string().into(), message.into()])
    }
}

pub(super) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS file_grant (id TEXT PRIMARY KEY) WITHOUT ROWID;
";

pub(super) const GRANTED: Table = Table {
    name: "granted",
    columns: &[("id", Form::KeyName(Name::Grant)), ("message", Form::Blob)],
};
pub(super) const FILE_GRANT: Table = Table {
    name: "file_grant",
    columns: &[("id", Form::KeyName(Name::Grant))],
};

impl State {
    /// The grants that came from files, and from nowhere else before.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn file_grants(&self) -> Result<BTreeSet<GrantId>, StateError> {
        let names = || -> rusqlite::Result<Vec<String>> {
            let mut rows = self.connection.prepare("SELECT id FROM file_grant")?;
            rows.query_map([], |row| row.get(0))?.collect()
        };
        let names = names().map_err(|source| self.sqlite(source))?;
        let id = |name: String| {
            let name = self.named(Name::Grant, "grant of a file", &name)?;
            GrantId::new(name.as_str()).map_err(|error| StateError::Row {
                path: self.path.clone(),
                what: "grant of a file",
                name,
                cause: error.to_string(),
            })
        };
        names.into_iter().map(id).collect()
    }

    /// Notes that a grant came from a file.
    ///
    /// # Errors
    /// [`StateError::Sqlite`].
    pub fn put_file_grant(&mut self, id: &GrantId) -> Result<(), StateError> {
        let sql = FILE_GRANT.insert("INSERT OR IGNORE");
        self.put_by(&FILE_GRANT, &sql, vec![id.to_string().into()])
    }

    /// Forgets that a grant came from a file.
    ///
    /// # Errors
    /// [`StateError::Sqlite`].
    pub fn remove_file_grant(&mut self, id: &GrantId) -> Result<(), StateError> {
        let id = self.name(Name::Grant, id.as_str())?;
        self.change("DELETE FROM file_grant WHERE id = ?1", params![id])
    }
}

/// Whether two forms of a grant are the same permission, an end by hand and a
/// review aside.
#[must_use]
pub fn same_permission(one: &Grant, two: &Grant) -> bool {
    let standing = |grant: &Grant| Grant {
        state: GrantState::Standing,
        review: None,
        ..grant.clone()
    };
    standing(one) == standing(two)
}
