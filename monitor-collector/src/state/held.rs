//! Which numbers of each stream the ledgers hold, and how far each ledger had come.
//!
//! All of it follows from the ledgers and could be read from them, which takes
//! as long as they are large. Where a ledger is not as far as it was, its file
//! is an older copy: then nothing here is believed.

use monitor_ledger::{index::Numbers, intervals::Intervals, sequences::Stream};
use monitor_model::id::TenantId;
use rusqlite::params;

use super::{
    State, StateError,
    cover::Name,
    table::{Form, Table},
};
use crate::ledger::{integer, number};

/// Most ranges of a stream that are kept; one with more holes is read from the
/// ledgers.
const RANGES_MAX: usize = 4_096;

pub(super) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS held (
    agent TEXT NOT NULL, boot TEXT NOT NULL, source TEXT NOT NULL, ranges BLOB NOT NULL,
    PRIMARY KEY (agent, boot, source)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS reached (ledger TEXT PRIMARY KEY, position INTEGER NOT NULL) WITHOUT ROWID;
";

pub(super) const HELD: Table = Table {
    name: "held",
    columns: &[
        ("agent", Form::KeyName(Name::Agent)),
        ("boot", Form::Key),
        ("source", Form::Key),
        ("ranges", Form::Plain),
    ],
};
pub(super) const REACHED: Table = Table {
    name: "reached",
    columns: &[
        ("ledger", Form::KeyName(Name::Tenant)),
        ("position", Form::Plain),
    ],
};

impl State {
    /// Puts which numbers of a stream the ledgers hold.
    ///
    /// # Errors
    /// [`StateError::Sqlite`].
    pub fn put_held(&mut self, stream: &Stream, held: &Intervals) -> Result<(), StateError> {
        let (boot, source) = (stream.boot.to_string(), stream.source.to_string());
        if held.len() > RANGES_MAX {
            let agent = self.name(Name::Agent, stream.agent.as_str())?;
            return self.change(
                "DELETE FROM held WHERE agent = ?1 AND boot = ?2 AND source = ?3",
                params![agent, boot, source],
            );
        }
        let row = vec![
            stream.agent.to_string().into(),
            boot.into(),
            source.into(),
            Numbers::from(held).to_bytes().into(),
        ];
        self.put(&HELD, row)
    }

    /// Puts how far a ledger has come.
    ///
    /// # Errors
    /// [`StateError::Sqlite`].
    pub fn put_reached(&mut self, ledger: &TenantId, position: u64) -> Result<(), StateError> {
        let row = vec![ledger.to_string().into(), integer(position).into()];
        self.put(&REACHED, row)
    }

    /// Believes nothing of it any more.
    ///
    /// # Errors
    /// [`StateError::Sqlite`].
    pub fn forget_held(&mut self) -> Result<(), StateError> {
        self.change("DELETE FROM held", &[])?;
        self.change("DELETE FROM reached", &[])
    }

    /// Which numbers of each stream the ledgers hold, as of the last note.
    ///
    /// # Errors
    /// [`StateError`] for a row that cannot be read.
    pub fn held(&self) -> Result<Vec<(Stream, Intervals)>, StateError> {
        let rows = || -> rusqlite::Result<Vec<([String; 3], Vec<u8>)>> {
            let sql = "SELECT agent, boot, source, ranges FROM held";
            let mut statement = self.connection.prepare_cached(sql)?;
            let rows = statement.query_map([], |row| {
                Ok(([row.get(0)?, row.get(1)?, row.get(2)?], row.get(3)?))
            })?;
            rows.collect()
        };
        let rows = rows().map_err(|source| self.sqlite(source))?;
        let read = |([agent, boot, source], ranges): ([String; 3], Vec<u8>)| {
            let agent = self.named(Name::Agent, "numbers held of", &agent)?;
            let names = [agent, boot, source];
            stream(&names).zip(Numbers::parse(&ranges)).map_or_else(
                || {
                    Err(StateError::Row {
                        path: self.path.clone(),
                        what: "numbers held of",
                        name: names.join("/"),
                        cause: "it is no stream, or they are no ranges".to_owned(),
                    })
                },
                |(stream, numbers)| Ok((stream, Intervals::from(&numbers))),
            )
        };
        rows.into_iter().map(read).collect()
    }

    /// How far each ledger had come at the last note.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn reached(&self) -> Result<Vec<(String, u64)>, StateError> {
        let rows = || -> rusqlite::Result<Vec<(String, u64)>> {
            let sql = "SELECT ledger, position FROM reached";
            let mut statement = self.connection.prepare_cached(sql)?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, number(row.get(1)?))))?;
            rows.collect()
        };
        let rows = rows().map_err(|source| self.sqlite(source))?;
        let read = |(ledger, position): (String, u64)| {
            let ledger = self.named(Name::Tenant, "how far came", &ledger)?;
            Ok((ledger, position))
        };
        rows.into_iter().map(read).collect()
    }
}

fn stream([agent, boot, source]: &[String; 3]) -> Option<Stream> {
    Some(Stream {
        agent: agent.parse().ok()?,
        boot: boot.parse().ok()?,
        source: source.parse().ok()?,
    })
}
