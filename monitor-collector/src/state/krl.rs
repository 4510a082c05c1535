//! The broker's newest revocation list, and which one each host has.

use std::collections::BTreeMap;

use monitor_model::{
    clock::UnixNs,
    id::{AgentName, InvalidId, PrincipalId},
    krl::{ListInPlace, RevocationList},
};
use monitor_proto::v1;
use prost::Message as _;
use rusqlite::{OptionalExtension as _, params};

use super::{State, StateError, load::decoded};
use crate::ledger::{integer, number};

pub(super) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS krl (one INTEGER PRIMARY KEY CHECK (one = 1), message BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS krl_changed (broker TEXT PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS host_krl (host TEXT PRIMARY KEY, message BLOB NOT NULL) WITHOUT ROWID;
";

impl State {
    /// Puts the newest list, over the one before.
    ///
    /// # Errors
    /// [`StateError::Sqlite`].
    pub fn put_list(&mut self, list: &RevocationList) -> Result<(), StateError> {
        let message = v1::RevocationList::from(list).encode_to_vec();
        self.change(
            "INSERT OR REPLACE INTO krl VALUES (1, ?1)",
            params![message],
        )
    }

    /// Puts which list a host has.
    ///
    /// # Errors
    /// [`StateError::Sqlite`].
    pub fn put_list_in_place(
        &mut self,
        host: &AgentName,
        place: &ListInPlace,
    ) -> Result<(), StateError> {
        let message = v1::ListInPlace::from(place).encode_to_vec();
        self.change(
            "INSERT OR REPLACE INTO host_krl VALUES (?1, ?2)",
            params![host.as_str(), message],
        )
    }

    /// Forgets which list a host has.
    ///
    /// # Errors
    /// [`StateError::Sqlite`].
    pub fn remove_list_in_place(&mut self, host: &AgentName) -> Result<(), StateError> {
        self.change(
            "DELETE FROM host_krl WHERE host = ?1",
            params![host.as_str()],
        )
    }

    /// Notes when a broker last found its own list changed.
    ///
    /// # Errors
    /// [`StateError::Sqlite`].
    pub fn set_list_changed_at(
        &mut self,
        broker: &PrincipalId,
        at: UnixNs,
    ) -> Result<(), StateError> {
        self.change(
            "INSERT OR REPLACE INTO krl_changed VALUES (?1, ?2)",
            params![broker.as_str(), integer(at.0)],
        )
    }

    /// When a broker last found its own list changed; none where it never told so.
    ///
    /// # Errors
    /// [`StateError::Sqlite`].
    pub fn list_changed_at(&self, broker: &PrincipalId) -> Result<Option<UnixNs>, StateError> {
        let select = "SELECT at FROM krl_changed WHERE broker = ?1";
        let found = self
            .connection
            .query_row(select, [broker.as_str()], |row| row.get(0))
            .optional()
            .map_err(|source| self.sqlite(source))?;
        Ok(found.map(|at| UnixNs(number(at))))
    }

    /// The newest list; none before the broker put one.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn list(&self) -> Result<Option<RevocationList>, StateError> {
        let select = "SELECT message FROM krl WHERE one = 1";
        let found = self
            .connection
            .query_row(select, [], |row| row.get::<_, Vec<u8>>(0))
            .optional()
            .map_err(|source| self.sqlite(source))?;
        found
            .map(|message| decoded::<v1::RevocationList, _>(&self.path, "list", "krl", &message))
            .transpose()
    }

    /// Which list each host has.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn lists_in_place(&self) -> Result<BTreeMap<AgentName, ListInPlace>, StateError> {
        let rows = self
            .connection
            .prepare_cached("SELECT host, message FROM host_krl")
            .and_then(|mut statement| {
                let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
                rows.collect::<Result<Vec<(String, Vec<u8>)>, _>>()
            })
            .map_err(|source| self.sqlite(source))?;
        let row = |(host, message): (String, Vec<u8>)| {
            let wrong = |cause: String| StateError::Row {
                path: self.path.clone(),
                what: "list of a host",
                name: host.clone(),
                cause,
            };
            let name: Result<AgentName, InvalidId> = host.parse();
            let place = v1::ListInPlace::decode(message.as_slice());
            Ok((
                name.map_err(|error| wrong(error.to_string()))?,
                place.map_err(|error| wrong(error.to_string()))?.into(),
            ))
        };
        rows.into_iter().map(row).collect()
    }
}
