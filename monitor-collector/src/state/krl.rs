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

use super::{
    State, StateError,
    cover::Name,
    file::Found,
    load::decoded,
    table::{Form, Table},
};
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
        self.put(&KRL, vec![1.into(), message.into()])
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
        self.put(&HOST_KRL, vec![host.to_string().into(), message.into()])
    }

    /// Forgets which list a host has.
    ///
    /// # Errors
    /// [`StateError::Sqlite`].
    pub fn remove_list_in_place(&mut self, host: &AgentName) -> Result<(), StateError> {
        let host = self.name(Name::Agent, host.as_str())?;
        self.change("DELETE FROM host_krl WHERE host = ?1", params![host])
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
        let row = vec![broker.to_string().into(), integer(at.0).into()];
        self.put(&KRL_CHANGED, row)
    }

    /// When a broker last found its own list changed; none where it never told so.
    ///
    /// # Errors
    /// [`StateError::Sqlite`].
    pub fn list_changed_at(&self, broker: &PrincipalId) -> Result<Option<UnixNs>, StateError> {
        let broker = self.name(Name::Principal, broker.as_str())?;
        let select = "SELECT at FROM krl_changed WHERE broker = ?1";
        let found = self
            .connection
            .query_row(select, [broker], |row| row.get(0))
            .optional()
            .map_err(|source| self.sqlite(source))?;
        Ok(found.map(|at| UnixNs(number(at))))
    }

    /// The newest list; none before the broker put one.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn list(&self) -> Result<Option<RevocationList>, StateError> {
        let sql = "SELECT one, message FROM krl WHERE one = 1";
        let rows = self.file().messages(&KRL, sql, &[])?;
        let list =
            |row: &Found| decoded::<v1::RevocationList, _>(&self.path, "list", "krl", &row.message);
        rows.first().map(list).transpose()
    }

    /// Which list each host has.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn lists_in_place(&self) -> Result<BTreeMap<AgentName, ListInPlace>, StateError> {
        let sql = "SELECT host, message FROM host_krl";
        let rows = self.file().messages(&HOST_KRL, sql, &[])?;
        let read = |row: &Found| {
            let host = self.named(Name::Agent, "list of a host", row.name())?;
            let wrong = |cause: String| StateError::row(&self.path, "list of a host", &host, cause);
            let name: Result<AgentName, InvalidId> = host.parse();
            let place = v1::ListInPlace::decode(row.message.as_slice());
            Ok((
                name.map_err(|error| wrong(error.to_string()))?,
                place.map_err(|error| wrong(error.to_string()))?.into(),
            ))
        };
        rows.iter().map(read).collect()
    }
}

pub(super) const KRL: Table = Table {
    name: "krl",
    columns: &[("one", Form::Key), ("message", Form::Blob)],
};
pub(super) const HOST_KRL: Table = Table {
    name: "host_krl",
    columns: &[
        ("host", Form::KeyName(Name::Agent)),
        ("message", Form::Blob),
    ],
};
pub(super) const KRL_CHANGED: Table = Table {
    name: "krl_changed",
    columns: &[
        ("broker", Form::KeyName(Name::Principal)),
        ("at", Form::Plain),
    ],
};
