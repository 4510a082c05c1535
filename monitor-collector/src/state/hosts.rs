//! Hosts: what their agents last told of themselves, one row each.

use monitor_model::{host::Host, id::AgentName};
use monitor_proto::v1;
use prost::Message as _;
use rusqlite::params;

use super::{
    State, StateError,
    cover::Name,
    load::decoded,
    read::StateReader,
    table::{Form, Table},
};

impl State {
    /// Puts what a host's agent told of itself, over what it told before. One
    /// row an agent that has a certificate.
    ///
    /// # Errors
    /// [`StateError::Sqlite`].
    pub fn put_host(&mut self, host: &Host) -> Result<(), StateError> {
        let message = v1::Host::from(host).encode_to_vec();
        self.put(&HOST, vec![host.host.to_string().into(), message.into()])
    }

    /// Whether an agent of that name ever started.
    ///
    /// # Errors
    /// [`StateError::Sqlite`].
    pub fn has_host(&self, name: &AgentName) -> Result<bool, StateError> {
        let select = "SELECT EXISTS (SELECT 1 FROM host WHERE name = ?1)";
        let found =
            self.connection
                .query_row(select, [self.name(Name::Agent, name.as_str())?], |row| {
                    row.get(0)
                });
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
        let file = self.file();
        let only = file.named_if(Name::Agent, only.map(AgentName::as_str))?;
        // Which ones are looked up first: names that are sealed lie in no order.
        let sql = "SELECT name FROM host WHERE ?1 IS NULL OR name = ?1";
        let names = file.all(sql, params![only], |row| row.get::<_, String>(0).map(Ok))?;
        let mut found = Vec::new();
        for kept in names {
            let name = file.named(Name::Agent, "host", &kept)?;
            if name.as_str() > after {
                found.push((name, kept));
            }
        }
        found.sort_unstable();
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let mut hosts = Vec::new();
        for (name, kept) in found {
            let sql = "SELECT name, message FROM host WHERE name = ?1";
            for row in file.messages(&HOST, sql, params![kept])? {
                hosts.push(decoded::<v1::Host, _>(
                    self.path(),
                    "host",
                    &name,
                    &row.message,
                )?);
            }
        }
        Ok(hosts)
    }
}

pub(super) const HOST: Table = Table {
    name: "host",
    columns: &[
        ("name", Form::KeyName(Name::Agent)),
        ("message", Form::Blob),
    ],
};
