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

use super::{State, StateError};

impl State {
    /// Puts a grant as it stands after a place among events; what it was before
    /// stays known.
    ///
    /// # Errors
    /// [`StateError::Sqlite`].
    pub fn put_grant(&mut self, grant: &Grant, after: UnixNs) -> Result<(), StateError> {
        let message = v1::Grant::from(grant).encode_to_vec();
        self.put_form(&grant.id, after, &message)?;
        self.change(
            "INSERT OR REPLACE INTO granted VALUES (?1, ?2)",
            params![grant.id.as_str(), message],
        )
    }
}

pub(super) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS file_grant (id TEXT PRIMARY KEY) WITHOUT ROWID;
";

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
        self.change(
            "INSERT OR IGNORE INTO file_grant VALUES (?1)",
            params![id.as_str()],
        )
    }

    /// Forgets that a grant came from a file.
    ///
    /// # Errors
    /// [`StateError::Sqlite`].
    pub fn remove_file_grant(&mut self, id: &GrantId) -> Result<(), StateError> {
        self.change("DELETE FROM file_grant WHERE id = ?1", params![id.as_str()])
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
