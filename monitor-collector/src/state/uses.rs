//! What of grants was used: one row an entry of a scope, and one for the whole.

use monitor_model::{clock::UnixNs, usage::Entry as ScopeEntry, usage::Part};
use rusqlite::{OptionalExtension as _, params};

use super::{
    State, StateError,
    cover::Name,
    table::{Form, Table},
};
use crate::{
    ledger::{integer, number},
    uses::{Counted, Use},
};

pub(super) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS grant_use (
    id TEXT NOT NULL, part TEXT NOT NULL, place INTEGER NOT NULL,
    accesses INTEGER NOT NULL, last INTEGER NOT NULL, PRIMARY KEY (id, part, place)
) WITHOUT ROWID;
";

pub(super) const GRANT_USE: Table = Table {
    name: "grant_use",
    columns: &[
        ("id", Form::KeyName(Name::Grant)),
        ("part", Form::Key),
        ("place", Form::Key),
        ("accesses", Form::Plain),
        ("last", Form::Plain),
    ],
};

/// The part's name of a row that counts a whole grant.
const WHOLE: &str = "";

impl State {
    /// Puts how much something was used, over what was known of it.
    ///
    /// # Errors
    /// [`StateError::Sqlite`].
    pub fn put_use(&mut self, (grant, entry): &Counted, used: Use) -> Result<(), StateError> {
        let (part, place) = entry.map_or((WHOLE, 0), |entry| (entry.part.as_str(), entry.place));
        let row = vec![
            grant.to_string().into(),
            part.to_owned().into(),
            place.into(),
            integer(used.accesses).into(),
            integer(used.last.0).into(),
        ];
        self.put(&GRANT_USE, row)
    }

    /// Puts how many accesses found no room to be counted.
    ///
    /// # Errors
    /// [`StateError::Sqlite`].
    pub fn put_uncounted(&mut self, uncounted: u64) -> Result<(), StateError> {
        self.change(
            "INSERT OR REPLACE INTO meta VALUES ('uncounted', ?1)",
            params![uncounted.to_string()],
        )
    }

    /// How many accesses found no room to be counted.
    ///
    /// # Errors
    /// [`StateError::Sqlite`].
    pub fn uncounted(&self) -> Result<u64, StateError> {
        let select = "SELECT CAST(value AS TEXT) FROM meta WHERE key = 'uncounted'";
        let value: Option<String> = self
            .connection
            .query_row(select, [], |row| row.get(0))
            .optional()
            .map_err(|source| self.sqlite(source))?;
        Ok(value.and_then(|text| text.parse().ok()).unwrap_or(0))
    }

    /// Everything that is counted.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn uses(&self) -> Result<Vec<(Counted, Use)>, StateError> {
        type Row = (String, String, u16, i64, i64);
        let rows: rusqlite::Result<Vec<Row>> = self
            .connection
            .prepare("SELECT id, part, place, accesses, last FROM grant_use")
            .and_then(|mut statement| {
                let row = |row: &rusqlite::Row<'_>| {
                    Ok((
                        row.get(0)?,
                        row.get(1)?,
                        row.get(2)?,
                        row.get(3)?,
                        row.get(4)?,
                    ))
                };
                statement.query_map([], row)?.collect()
            });
        let rows = rows.map_err(|source| self.sqlite(source))?;
        rows.into_iter()
            .map(|(id, part, place, accesses, last)| {
                let id = self.named(Name::Grant, "use of grant", &id)?;
                let wrong = |cause: String| StateError::Row {
                    path: self.path.clone(),
                    what: "use of grant",
                    name: id.clone(),
                    cause,
                };
                let grant = id.parse().map_err(|error| wrong(format!("{error}")))?;
                let entry = match Part::ALL.into_iter().find(|one| one.as_str() == part) {
                    Some(part) => Some(ScopeEntry { part, place }),
                    None if part == WHOLE => None,
                    None => return Err(wrong(format!("no scope has a part {part:?}"))),
                };
                let used = Use {
                    accesses: number(accesses),
                    last: UnixNs(number(last)),
                };
                Ok(((grant, entry), used))
            })
            .collect()
    }
}
