//! The quarantine: what could not be decoded.

use monitor_model::{clock::UnixNs, id::AgentName};
use rusqlite::{ToSql, types::Value};
use sha2::{Digest as _, Sha256};

use super::{SetAside, State, StateError, cover::Name, file::Found, rows::QUARANTINE};
use crate::ledger::{integer, number};

/// Rows that are read at once.
const PAGE: i64 = 1_000;

/// A place in the quarantine: the key of a row, as the file has it.
#[derive(Clone, Debug, PartialEq)]
pub struct AsideKey(Vec<Value>);

impl State {
    /// Sets an event aside; the same bytes of the same agent once.
    ///
    /// # Errors
    /// [`StateError::Sqlite`].
    pub fn put_aside(&mut self, aside: &SetAside) -> Result<(), StateError> {
        let digest: [u8; 32] = Sha256::digest(&aside.event).into();
        let row = vec![
            aside.agent.to_string().into(),
            digest.to_vec().into(),
            integer(aside.batch).into(),
            integer(aside.at.0).into(),
            aside.reason.clone().into(),
            aside.event.clone().into(),
        ];
        self.put_by(&QUARANTINE, &QUARANTINE.insert("INSERT OR IGNORE"), row)
    }

    /// How many events of an agent are set aside.
    ///
    /// # Errors
    /// [`StateError::Sqlite`].
    pub fn set_aside(&self, agent: &AgentName) -> Result<u64, StateError> {
        let select = "SELECT count(*) FROM quarantine WHERE agent = ?1";
        let count =
            self.connection
                .query_row(select, [self.name(Name::Agent, agent.as_str())?], |row| {
                    row.get(0)
                });
        count.map(number).map_err(|source| self.sqlite(source))
    }

    /// What is set aside after a place, in the order of places; from the first
    /// without one. So many at most that an empty answer alone is the end.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn aside_after(
        &self,
        place: Option<&AsideKey>,
    ) -> Result<Vec<(AsideKey, SetAside)>, StateError> {
        const COLUMNS: &str = "SELECT agent, digest, event, batch, at, reason FROM quarantine";
        let order = "ORDER BY agent, digest LIMIT";
        let sql = match place {
            Some(_) => format!("{COLUMNS} WHERE (agent, digest) > (?1, ?2) {order} {PAGE}"),
            None => format!("{COLUMNS} {order} {PAGE}"),
        };
        let values: Vec<&dyn ToSql> = place
            .into_iter()
            .flat_map(|AsideKey(key)| key)
            .map(|value| -> &dyn ToSql { value })
            .collect();
        let file = self.file();
        let rows = file.all(&sql, &values, |row| {
            let (batch, at): (i64, i64) = (row.get(3)?, row.get(4)?);
            let found = file.found(&QUARANTINE, "event", row)?;
            Ok(found.map(|found| (found, number(batch), UnixNs(number(at)))))
        })?;
        let read = |(found, batch, at): (Found, u64, UnixNs)| {
            let agent = self.named(Name::Agent, "event that was set aside", found.name())?;
            let agent = agent.parse().map_err(|error| {
                StateError::row(&self.path, "event that was set aside", &agent, error)
            })?;
            let aside = SetAside {
                agent,
                batch,
                at,
                // Why is for people who look at the file.
                reason: String::new(),
                event: found.message.clone(),
            };
            Ok((AsideKey(found.key().to_vec()), aside))
        };
        rows.into_iter().map(read).collect()
    }

    /// Takes an event out of the quarantine.
    ///
    /// # Errors
    /// [`StateError::Sqlite`].
    pub fn remove_aside(&mut self, place: &AsideKey) -> Result<(), StateError> {
        let AsideKey(key) = place;
        let delete = "DELETE FROM quarantine WHERE agent = ?1 AND digest = ?2";
        let key: Vec<&dyn ToSql> = key.iter().map(|value| -> &dyn ToSql { value }).collect();
        self.change(delete, &key)
    }
}
