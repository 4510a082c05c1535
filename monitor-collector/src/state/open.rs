//! Opens the state's file, and makes it where there is none.

use std::path::Path;

use monitor_ledger::seal::{Home, SealKey, SecretsError};
use rusqlite::Connection;

use super::{
    State, StateError, alerts,
    cover::{Cover, Own},
    grants, held, krl, policies, processes, rows, said, sealing, uses,
};
use crate::ledger::durable;

/// Version of the file's layout where it lies in clear.
pub(super) const LAYOUT: &str = "1";
/// The same where it is sealed.
pub(super) const LAYOUT_SEALED: &str = "2";
/// The row of `meta` with the state's own key, under the collector's.
pub(super) const SEAL: &str = "seal";

impl State {
    /// Opens or makes the state. Where there is a key to seal with, the file is
    /// sealed, also one that was not before.
    ///
    /// # Errors
    /// [`StateError`] names the file.
    pub fn open(home: impl Into<Home>) -> Result<Self, StateError> {
        let home = home.into();
        let path = Self::path(&home);
        let sqlite = |source| StateError::sqlite(&path, source);
        let mut connection = Connection::open(&path).map_err(sqlite)?;
        durable(&connection).map_err(sqlite)?;
        if home.seal().is_some() {
            sealing::overwriting(&connection).map_err(sqlite)?;
        }
        schema(&connection)
            .and_then(|()| {
                let sql = "INSERT OR IGNORE INTO meta VALUES ('layout', ?1)";
                connection.execute(sql, [LAYOUT])
            })
            .map_err(sqlite)?;
        let mut cover = cover(&connection, &path, home.seal())?;
        if let Some(key) = home.seal().filter(|_| !cover.is_sealed()) {
            cover = sealing::seal(&mut connection, &path, key)?;
        }
        sealing::finish(&connection, &path)?;
        Ok(Self {
            path,
            connection,
            cover,
            writing: false,
        })
    }
}

/// Makes the tables that are not there.
pub(super) fn schema(connection: &Connection) -> rusqlite::Result<()> {
    [
        rows::SCHEMA,
        processes::SCHEMA,
        alerts::SCHEMA,
        policies::SCHEMA,
        uses::SCHEMA,
        grants::SCHEMA,
        held::SCHEMA,
        krl::SCHEMA,
        said::SCHEMA,
    ]
    .iter()
    .try_for_each(|tables| connection.execute_batch(tables))
}

/// How the rows of a file are read.
pub(super) fn cover(
    connection: &Connection,
    path: &Path,
    key: Option<&SealKey>,
) -> Result<Cover, StateError> {
    // In one statement, so that both are of one instant.
    let sql = "SELECT (SELECT CAST(value AS TEXT) FROM meta WHERE key = 'layout'),
                      (SELECT value FROM meta WHERE key = ?1)";
    let (layout, seal): (Option<String>, Option<Vec<u8>>) = connection
        .query_row(sql, [SEAL], |row| Ok((row.get(0)?, row.get(1)?)))
        .map_err(|source| StateError::sqlite(path, source))?;
    let layout = layout.unwrap_or_default();
    match (layout.as_str(), seal) {
        (LAYOUT, None) => Ok(Cover::none()),
        (LAYOUT_SEALED, Some(kept)) => key
            .ok_or(SecretsError::Sealed)
            .and_then(|key| Own::open(key, &kept))
            .map(|own| Cover::of(&own))
            .map_err(|source| StateError::seal(path, source)),
        (LAYOUT | LAYOUT_SEALED, seal) => Err(StateError::Mixed {
            path: path.into(),
            layout,
            is_there: seal.is_some(),
        }),
        (_, _) => Err(StateError::Layout {
            path: path.into(),
            found: layout,
        }),
    }
}
