//! What somebody else made of the list's file, until the collector knows of it.

use rusqlite::params;

use super::{PENDING_MAX, Store, StoreError, UnixNs, from_sql, to_sql};

/// Most changes that wait for the collector; beyond, they are in the log alone.
pub const CHANGES_MAX: u32 = 1_024;

/// What was found in the list's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListChange {
    /// When it was found.
    pub at: UnixNs,
    /// Number of the list that should have been there, and is again.
    pub number: u64,
    /// What was found instead, in words.
    pub found: String,
}

impl Store {
    /// Keeps a change for the collector, later than those that wait; false where
    /// too many do.
    ///
    /// # Errors
    /// The database failed.
    pub fn note_change(&self, change: &ListChange) -> Result<bool, StoreError> {
        let ListChange { at, number, found } = change;
        let kept = self.lock().execute(
            "INSERT INTO list_changes (at, number, found)
             SELECT max(?1, coalesce((SELECT max(at) + 1 FROM list_changes), 0)), ?2, ?3
             WHERE (SELECT count(*) FROM list_changes) < ?4",
            params![
                to_sql(*at),
                i64::try_from(*number).unwrap_or(i64::MAX),
                found,
                CHANGES_MAX
            ],
        )?;
        Ok(kept > 0)
    }

    /// Changes that the collector does not know of, the earliest first; at most
    /// [`PENDING_MAX`].
    ///
    /// # Errors
    /// The database failed.
    pub fn changes_pending(&self) -> Result<Vec<ListChange>, StoreError> {
        let connection = self.lock();
        let mut statement = connection
            .prepare_cached("SELECT at, number, found FROM list_changes ORDER BY at LIMIT ?1")?;
        let rows = statement.query_map([PENDING_MAX], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?;
        rows.map(|row| {
            let (at, number, found): (i64, i64, String) = row?;
            Ok(ListChange {
                at: from_sql(at),
                number: u64::try_from(number).unwrap_or(0),
                found,
            })
        })
        .collect()
    }

    /// The collector knows of a change, or will not.
    ///
    /// # Errors
    /// The database failed.
    pub fn confirm_change(&self, at: UnixNs) -> Result<(), StoreError> {
        self.lock()
            .execute("DELETE FROM list_changes WHERE at = ?1", [to_sql(at)])?;
        Ok(())
    }
}
