//! Hosts: what their agents last told of themselves, one row each.

use monitor_model::{host::Host, id::AgentName};
use monitor_proto::v1;
use prost::Message as _;
use rusqlite::params;

use super::{State, StateError, load::decoded, read::StateReader};

impl State {
    /// Puts what a host's agent told of itself, over what it told before. One
    /// row an agent that has a certificate.
    ///
    /// # Errors
    /// [`StateError::Sqlite`].
    pub fn put_host(&mut self, host: &Host) -> Result<(), StateError> {
        let message = v1::Host::from(host).encode_to_vec();
        self.change(
            "INSERT OR REPLACE INTO host VALUES (?1, ?2)",
            params![host.host.as_str(), message],
        )
    }

    /// Whether an agent of that name ever started.
    ///
    /// # Errors
    /// [`StateError::Sqlite`].
    pub fn has_host(&self, name: &AgentName) -> Result<bool, StateError> {
        let select = "SELECT EXISTS (SELECT 1 FROM host WHERE name = ?1)";
        let found = self
            .connection
            .query_row(select, [name.as_str()], |row| row.get(0));
        found.map_err(|source| self.sqlite(source))
    }
}

impl StateReader {
    /// Hosts by name: those after this one.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn hosts(
        &self,
        only: Option<&AgentName>,
        after: &str,
        limit: u32,
    ) -> Result<Vec<Host>, StateError> {
        let sql = "SELECT name, message FROM host
             WHERE name > ?1 AND (?2 IS NULL OR name = ?2)
             ORDER BY name LIMIT ?3";
        let rows = self.rows(sql, params![after, only.map(AgentName::as_str), limit])?;
        rows.iter()
            .map(|(name, message)| decoded::<v1::Host, _>(self.path(), "host", name, message))
            .collect()
    }
}
