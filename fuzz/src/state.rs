//! Rows of the collector's state.

use std::{cell::RefCell, path::Path};

use monitor_collector::{
    alert::Alerter,
    config::Config,
    state::{
        State,
        read::{AlertFilter, Place, SessionFilter, StateReader},
    },
};
use monitor_model::{clock::UnixNs, id::SessionId};
use monitor_proto::v1;
use prost::Message as _;
use rusqlite::{Connection, params};
use tempfile::TempDir;

/// The rows of a page.
const PAGE: u32 = 10;
/// The statement that puts the bytes, by the first byte of an input.
const PUTS: [&str; 16] = [
    "INSERT INTO granted VALUES ('g1', ?1)",
    "INSERT INTO session VALUES (?2, 1, 'jump-1', ?3, NULL, NULL, 0, ?1)",
    "INSERT INTO ordered VALUES (?2, 1, ?1)",
    "INSERT INTO alert VALUES (1, ?2, 'e', 1, 1, 'acme', NULL, NULL, 1, '', '', ?1)",
    "INSERT INTO handled VALUES (?2, 1, ?1)",
    "INSERT INTO host VALUES ('jump-1', ?1)",
    "INSERT INTO policy VALUES (1, 'd', 1, ?1)",
    "INSERT INTO process VALUES ('jump-1', 1, 1, ?2, 1, 1, 1, 0, ?1)",
    "INSERT INTO process_job VALUES (?2, 'jump-1', ?2, ?1)",
    "INSERT INTO kept VALUES (?4, 'r1/s/x', CAST(?1 AS TEXT))",
    "INSERT INTO krl VALUES (1, ?1)",
    "INSERT INTO host_krl VALUES ('jump-1', ?1)",
    "INSERT INTO said VALUES (1, 'acme', 1, ?1)",
    "INSERT INTO held VALUES ('jump-1', ?3, 'p0', ?1)",
    "INSERT INTO grant_form VALUES ('g1', 1, ?1)",
    "INSERT INTO quarantine VALUES ('jump-1', x'00', 1, 1, '', ?1)",
];
/// What may be remembered of alerts.
const REMEMBERED: [&str; 4] = ["count", "host", "grant", "key"];
const CLEAR: &str = "DELETE FROM granted; DELETE FROM session; DELETE FROM ordered;
    DELETE FROM alert; DELETE FROM handled; DELETE FROM host; DELETE FROM policy;
    DELETE FROM process; DELETE FROM process_job; DELETE FROM kept; DELETE FROM krl;
    DELETE FROM host_krl; DELETE FROM said; DELETE FROM held;
    DELETE FROM grant_form; DELETE FROM quarantine;";

/// A state in memory, as its writer and as a reader have it open.
struct Ground {
    _folder: TempDir,
    state: State,
    reader: StateReader,
    database: Connection,
    config: Config,
}

impl Ground {
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let folder = folder.ok()?;
        let state = State::open(folder.path()).ok()?;
        let text = include_str!("../../monitor-collector/src/config/default.toml");
        Some(Self {
            reader: StateReader::open(folder.path()).ok()?,
            database: Connection::open(State::path(folder.path())).ok()?,
            config: Config::parse(Path::new("/nonexistent/collector.toml"), text).ok()?,
            state,
            _folder: folder,
        })
    }

    /// Puts a row, and reads as a start and as people do.
    fn reads(&self, table: u8, row: &[u8]) -> Option<bool> {
        let id = SessionId::from_parts(UnixNs(1), 1).to_string();
        let place = usize::from(table) % PUTS.len();
        let of_alerts = REMEMBERED.get(row.len() % REMEMBERED.len())?;
        let batch = format!("BEGIN; {CLEAR}");
        self.database.execute_batch(&batch).ok()?;
        if place == 4 {
            // What was done with an alert stands beside it.
            let alert = PUTS.get(3)?;
            let mut alert = self.database.prepare_cached(alert).ok()?;
            alert.raw_bind_parameter(1, bare_alert()).ok()?;
            alert.raw_bind_parameter(2, &id).ok()?;
            alert.raw_execute().ok()?;
        }
        let mut put = self.database.prepare_cached(PUTS.get(place)?).ok()?;
        for (at, value) in params![row, id, id, of_alerts].iter().enumerate() {
            if at < put.parameter_count() {
                put.raw_bind_parameter(at + 1, value).ok()?;
            }
        }
        let is_put = put.raw_execute();
        drop(put);
        self.database.execute_batch("COMMIT").ok()?;
        // Text that is none is refused by the file's own types.
        Some(is_put.is_ok() && self.starts() && self.is_shown())
    }

    fn starts(&self) -> bool {
        let state = &self.state;
        let kept = state.kept().map(|kept| {
            let mut alerter = Alerter::new(&self.config);
            for kept in &kept {
                alerter.restore(kept);
            }
        });
        state.grants().is_ok()
            & state.live_sessions().is_ok()
            & state.orders().is_ok()
            & state.alerts_after(UnixNs(0), &[]).is_ok()
            & state.processes().is_ok()
            & kept.is_ok()
            & state.list().is_ok()
            & state.lists_in_place().is_ok()
            & state.said().is_ok()
            & state.held().is_ok()
            & state.aside_after(None).is_ok()
    }

    fn is_shown(&self) -> bool {
        let (reader, first) = (&self.reader, Place::first());
        let all = SessionFilter {
            ended: true,
            ..SessionFilter::default()
        };
        reader.sessions(&all, &first, PAGE).is_ok()
            & reader
                .alerts(&AlertFilter::default(), UnixNs::MAX, PAGE)
                .is_ok()
            & reader.orders(&first, PAGE).is_ok()
            & reader.hosts(None, "", PAGE).is_ok()
            & reader.policy("1-d").is_ok()
            & "g1".parse().is_ok_and(|id| reader.forms(&id).is_ok())
    }
}

/// An alert that says nothing but what it must.
fn bare_alert() -> Vec<u8> {
    v1::Alert::default().encode_to_vec()
}

thread_local! {
    static GROUND: RefCell<Option<Ground>> = const { RefCell::new(None) };
}

pub(crate) fn row(bytes: &[u8]) -> bool {
    let Some((table, row)) = bytes.split_first() else {
        return false;
    };
    GROUND.with_borrow_mut(|ground| {
        if ground.is_none() {
            *ground = Ground::new();
        }
        let read = ground.as_ref().and_then(|ground| ground.reads(*table, row));
        assert!(read.is_some(), "the state's ground cannot be used");
        read == Some(true)
    })
}
