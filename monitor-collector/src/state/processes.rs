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

use super::{
    State, StateError,
    cover::Name,
    file::{File, Found},
    load::decoded,
    table::{Form, Table},
};
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

pub(super) const PROCESS_HOST: Table = Table {
    name: "process_host",
    columns: &[
        ("name", Form::KeyName(Name::Agent)),
        ("boot", Form::Plain),
        ("since", Form::Plain),
        ("lost", Form::Plain),
        ("lost_at", Form::Plain),
        ("unwatched_until", Form::Plain),
        ("untaken", Form::Plain),
        ("untaken_at", Form::Plain),
    ],
};
pub(super) const PROCESS_JOB: Table = Table {
    name: "process_job",
    columns: &[
        ("id", Form::Key),
        ("host", Form::KeyName(Name::Agent)),
        ("session", Form::Key),
        ("message", Form::Blob),
    ],
};
pub(super) const PROCESS: Table = Table {
    name: "process",
    columns: &[
        ("host", Form::KeyName(Name::Agent)),
        ("start", Form::Key),
        ("pid", Form::Key),
        ("session", Form::Key),
        ("since", Form::Plain),
        ("told", Form::Plain),
        ("own", Form::Plain),
        ("linked", Form::Plain),
        ("message", Form::Blob),
    ],
};

impl State {
    /// Writes down what changed.
    ///
    /// # Errors
    /// [`StateError::Sqlite`].
    pub fn put_processes(&mut self, change: &Change) -> Result<(), StateError> {
        match change {
            Change::Started(agent) => {
                let name = self.name(Name::Agent, agent.as_str())?;
                let name = params![name];
                self.change("DELETE FROM process WHERE host = ?1", name)?;
                self.change("DELETE FROM process_job WHERE host = ?1", name)
            }
            Change::Host(agent, marks) => self.put_marks(agent, marks),
            Change::Job(_, job, None) => {
                let id = params![job.to_string()];
                self.change("DELETE FROM process_job WHERE id = ?1", id)
            }
            Change::Job(agent, job, Some((session, live))) => {
                let row = vec![
                    job.to_string().into(),
                    agent.to_string().into(),
                    session.to_string().into(),
                    v1::LiveJob::from(live).encode_to_vec().into(),
                ];
                self.put(&PROCESS_JOB, row)
            }
            Change::Process(agent, key, None) => {
                let host = self.name(Name::Agent, agent.as_str())?;
                self.change(
                    "DELETE FROM process WHERE host = ?1 AND start = ?2 AND pid = ?3",
                    params![host, integer(key.start_boot_ns), key.pid],
                )
            }
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
        let row = vec![
            agent.to_string().into(),
            boot.to_string().into(),
            integer(since.0).into(),
            integer(*lost).into(),
            integer(lost_at.0).into(),
            integer(unwatched_until.0).into(),
            integer(*untaken).into(),
            integer(untaken_at.0).into(),
        ];
        self.put(&PROCESS_HOST, row)
    }

    fn put_process(
        &mut self,
        agent: &AgentName,
        key: ProcessKey,
        node: &Node,
    ) -> Result<(), StateError> {
        let row = vec![
            agent.to_string().into(),
            integer(key.start_boot_ns).into(),
            key.pid.into(),
            node.session.to_string().into(),
            integer(node.program.since_boot_ns).into(),
            integer(node.told_boot_ns).into(),
            node.program.own.into(),
            node.linked.into(),
            v1::LiveProcess::from(&node.whole(key))
                .encode_to_vec()
                .into(),
        ];
        self.put(&PROCESS, row)
    }

    /// Everything that was written down.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn processes(&self) -> Result<Kept, StateError> {
        let file = self.file();
        let hosts = file.all("SELECT * FROM process_host", &[], |row| marks(&file, row))?;
        let sql = "SELECT id, host, session, message FROM process_job";
        let jobs = file.messages(&PROCESS_JOB, sql, &[])?;
        let jobs = jobs.iter().map(|row| job(&file, row));
        let sql =
            "SELECT host, start, pid, session, message, since, told, own, linked FROM process";
        let processes = file.all(sql, &[], |row| process(&file, row))?;
        Ok(Kept {
            hosts,
            jobs: jobs.collect::<Result<_, _>>()?,
            processes,
        })
    }
}

type Read<T> = rusqlite::Result<Result<T, StateError>>;

fn host(file: &File<'_>, kept: &str) -> Result<AgentName, StateError> {
    parsed(file.path, "host", &file.named(Name::Agent, "host", kept)?)
}

fn marks(file: &File<'_>, row: &Row<'_>) -> Read<(AgentName, Marks)> {
    let (name, boot): (String, String) = (row.get(0)?, row.get(1)?);
    let at = |column: usize| row.get(column).map(|at| UnixNs(number(at)));
    let (since, lost, lost_at) = (at(2)?, number(row.get(3)?), at(4)?);
    let (unwatched_until, untaken, untaken_at) = (at(5)?, number(row.get(6)?), at(7)?);
    let made = || {
        Ok((
            host(file, &name)?,
            Marks {
                boot: parsed(file.path, "host's boot", &boot)?,
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

fn job(file: &File<'_>, row: &Found) -> Result<(AgentName, SessionId, LiveJob), StateError> {
    let session = row.text(2);
    Ok((
        host(file, row.text(1))?,
        parsed(file.path, "session", session)?,
        decoded::<v1::LiveJob, _>(file.path, "job", session, &row.message)?,
    ))
}

fn process(file: &File<'_>, row: &Row<'_>) -> Read<(AgentName, ProcessKey, Node)> {
    let times = (number(row.get(5)?), number(row.get(6)?));
    let facts = (row.get(7)?, row.get(8)?);
    let found = file.found(&PROCESS, "message", row)?;
    let made = || {
        let row = found?;
        let session = row.text(3);
        let what = "process of session";
        let live: LiveProcess =
            decoded::<v1::LiveProcess, _>(file.path, what, session, &row.message)?;
        let session = parsed(file.path, "session", session)?;
        let key = live.key;
        let node = Node::restored(session, live, times, facts);
        Ok((host(file, row.name())?, key, node))
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
