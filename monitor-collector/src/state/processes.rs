//! What lives on hosts, as of the place that was followed.
//!
//! Written in the same transaction as that place, so that a start goes on from
//! both. What lived and ended between two of them is never written.

use std::path::Path;

use monitor_model::{
    clock::UnixNs,
    id::{AgentName, SessionId},
    live::{LiveJob, LiveProcess, ProcessKey},
};
use monitor_proto::v1;
use prost::Message as _;
use rusqlite::{Row, params};

use super::{State, StateError, load::decoded};
use crate::{
    ledger::{integer, number},
    processes::{Change, Kept, Marks, Node},
};

pub(super) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS process_host (
    name TEXT PRIMARY KEY, boot TEXT NOT NULL, since INTEGER NOT NULL, lost INTEGER NOT NULL, lost_at INTEGER NOT NULL,
    unwatched_until INTEGER NOT NULL, untaken INTEGER NOT NULL, untaken_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS process_job (
    id TEXT PRIMARY KEY, host TEXT NOT NULL, session TEXT NOT NULL, message BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS process (
    host TEXT NOT NULL, start INTEGER NOT NULL, pid INTEGER NOT NULL, session TEXT NOT NULL, since INTEGER NOT NULL,
    told INTEGER NOT NULL, own INTEGER NOT NULL, linked INTEGER NOT NULL, message BLOB NOT NULL,
    PRIMARY KEY (host, start, pid)
) WITHOUT ROWID;
";

impl State {
    /// Writes down what changed.
    ///
    /// # Errors
    /// [`StateError::Sqlite`].
    pub fn put_processes(&mut self, change: &Change) -> Result<(), StateError> {
        match change {
            Change::Started(agent) => {
                let name = params![agent.as_str()];
                self.change("DELETE FROM process WHERE host = ?1", name)?;
                self.change("DELETE FROM process_job WHERE host = ?1", name)
            }
            Change::Host(agent, marks) => self.put_marks(agent, marks),
            Change::Job(_, job, None) => {
                let id = params![job.to_string()];
                self.change("DELETE FROM process_job WHERE id = ?1", id)
            }
            Change::Job(agent, job, Some((session, live))) => self.change(
                "INSERT OR REPLACE INTO process_job VALUES (?1, ?2, ?3, ?4)",
                params![
                    job.to_string(),
                    agent.as_str(),
                    session.to_string(),
                    v1::LiveJob::from(live).encode_to_vec()
                ],
            ),
            Change::Process(agent, key, None) => self.change(
                "DELETE FROM process WHERE host = ?1 AND start = ?2 AND pid = ?3",
                params![agent.as_str(), integer(key.start_boot_ns), key.pid],
            ),
            Change::Process(agent, key, Some(node)) => self.put_process(agent, *key, node),
        }
    }

    fn put_marks(&mut self, agent: &AgentName, marks: &Marks) -> Result<(), StateError> {
        let Marks {
            boot,
            since,
            lost,
            lost_at,
            unwatched_until,
            untaken,
            untaken_at,
        } = marks;
        self.change(
            "INSERT OR REPLACE INTO process_host VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                agent.as_str(),
                boot.to_string(),
                integer(since.0),
                integer(*lost),
                integer(lost_at.0),
                integer(unwatched_until.0),
                integer(*untaken),
                integer(untaken_at.0),
            ],
        )
    }

    fn put_process(
        &mut self,
        agent: &AgentName,
        key: ProcessKey,
        node: &Node,
    ) -> Result<(), StateError> {
        self.change(
            "INSERT OR REPLACE INTO process VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                agent.as_str(),
                integer(key.start_boot_ns),
                key.pid,
                node.session.to_string(),
                integer(node.program.since_boot_ns),
                integer(node.told_boot_ns),
                node.program.own,
                node.linked,
                v1::LiveProcess::from(&node.whole(key)).encode_to_vec(),
            ],
        )
    }

    /// Everything that was written down.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn processes(&self) -> Result<Kept, StateError> {
        let path = &self.path;
        let hosts = self.all("SELECT * FROM process_host", |row| marks(path, row))?;
        let jobs = self.all("SELECT host, session, message FROM process_job", |row| {
            job(path, row)
        })?;
        let select = "SELECT host, session, since, told, own, linked, message FROM process";
        let processes = self.all(select, |row| process(path, row))?;
        Ok(Kept {
            hosts,
            jobs,
            processes,
        })
    }

    fn all<T>(
        &self,
        select: &str,
        read: impl Fn(&Row<'_>) -> rusqlite::Result<Result<T, StateError>>,
    ) -> Result<Vec<T>, StateError> {
        let mut statement = self
            .connection
            .prepare(select)
            .map_err(|source| self.sqlite(source))?;
        let rows = statement.query_map([], read);
        rows.map_err(|source| self.sqlite(source))?
            .map(|row| row.map_err(|source| self.sqlite(source))?)
            .collect()
    }
}

type Read<T> = rusqlite::Result<Result<T, StateError>>;

fn marks(path: &Path, row: &Row<'_>) -> Read<(AgentName, Marks)> {
    let (name, boot): (String, String) = (row.get(0)?, row.get(1)?);
    let at = |column: usize| row.get(column).map(|at| UnixNs(number(at)));
    let (since, lost, lost_at) = (at(2)?, number(row.get(3)?), at(4)?);
    let (unwatched_until, untaken, untaken_at) = (at(5)?, number(row.get(6)?), at(7)?);
    let made = || {
        Ok((
            parsed(path, "host", &name)?,
            Marks {
                boot: parsed(path, "host's boot", &boot)?,
                since,
                lost,
                lost_at,
                unwatched_until,
                untaken,
                untaken_at,
            },
        ))
    };
    Ok(made())
}

fn job(path: &Path, row: &Row<'_>) -> Read<(AgentName, SessionId, LiveJob)> {
    let (host, session): (String, String) = (row.get(0)?, row.get(1)?);
    let message: Vec<u8> = row.get(2)?;
    let made = || {
        Ok((
            parsed(path, "host", &host)?,
            parsed(path, "session", &session)?,
            decoded::<v1::LiveJob, _>(path, "job", &session, &message)?,
        ))
    };
    Ok(made())
}

fn process(path: &Path, row: &Row<'_>) -> Read<(AgentName, ProcessKey, Node)> {
    let (host, session): (String, String) = (row.get(0)?, row.get(1)?);
    let times = (number(row.get(2)?), number(row.get(3)?));
    let facts = (row.get(4)?, row.get(5)?);
    let message: Vec<u8> = row.get(6)?;
    let made = || {
        let live: LiveProcess =
            decoded::<v1::LiveProcess, _>(path, "process of session", &session, &message)?;
        let session = parsed(path, "session", &session)?;
        let key = live.key;
        let node = Node::restored(session, live, times, facts);
        Ok((parsed(path, "host", &host)?, key, node))
    };
    Ok(made())
}

fn parsed<T>(path: &Path, what: &'static str, text: &str) -> Result<T, StateError>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error: T::Err| StateError::Row {
        path: path.into(),
        what,
        name: text.to_owned(),
        cause: error.to_string(),
    })
}
