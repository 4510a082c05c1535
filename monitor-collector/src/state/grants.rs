//! Grants as they stand; what they were before is kept beside the policies.

use monitor_model::{
    clock::UnixNs,
    grant::{Grant, GrantState},
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
