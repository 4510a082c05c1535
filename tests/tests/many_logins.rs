//! Many logins, one after the other and beside each other: each is told once,
//! and nothing of them stays.
//!
//! As many as `MONITOR_TEST_LOGINS` says; by default a few.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use aya::Pod;
use aya::maps::{HashMap, Map, MapData};
use monitor_common::mark::{ProcessMark, SessionControl, SessionLive, Stopped};
use monitor_common::scope::SessionScopes;
use monitor_tests::command;
use monitor_tests::engineer::{Engineer, Grant};
use monitor_tests::facts::{Fact, Facts};
use monitor_tests::poll;
use monitor_tests::stage::{ACCOUNT, config};
use monitor_tests::test_stage::{self, TestStage};
use rusqlite::Connection;

/// How many, when nobody asks for more.
const LOGINS: usize = 40;
/// How many at a time.
const BESIDE: usize = 4;
/// How long after the last login its end may come.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(60);
/// Most that the agent may grow between the middle and the end, in KiB. What is
/// remembered of ended sessions is bounded, and fills up first.
const GROWTH_KIB_MAX: u64 = 8 * 1_024;

/// Most ended sessions that the agent's spool remembers.
const ENDED_MAX: u32 = 1_024;

/// By session: how often its beginning and its end were told.
type Told = BTreeMap<String, (u32, u32)>;

fn count(told: &Mutex<Told>, fact: &Fact) {
    let mut told = told.lock().unwrap();
    if fact.is_event("session_opened") {
        let id = fact.text("/event/action/session/id").to_owned();
        told.entry(id).or_default().0 += 1;
    } else if fact.is_event("session_ended") {
        let id = fact.text("/event/action/session").to_owned();
        told.entry(id).or_default().1 += 1;
    }
}

fn log_in(alice: &Engineer, logins: usize) {
    thread::scope(|scope| {
        for beside in 0..BESIDE {
            scope.spawn(move || {
                for _ in (beside..logins).step_by(BESIDE) {
                    let attempt = alice.tries_to_log_in(ACCOUNT).unwrap();
                    assert!(attempt.status.success(), "{attempt:?}");
                }
            });
        }
    });
}

fn memory_kib(ground: &TestStage) -> u64 {
    let agent = ground.stage.services.pid("monitor-agent").unwrap();
    let status = fs::read_to_string(format!("/proc/{agent}/status")).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = resident.unwrap().trim().trim_end_matches("kB").trim();
    kib.parse().unwrap()
}

/// Entries of one of the probes' tables, whose key and value are of this size.
fn entries<K: Pod, const VALUE: usize>(ground: &TestStage, table: &str) -> usize {
    let mut versions = fs::read_dir(ground.stage.folder.at("bpf")).unwrap();
    let version = versions.next().unwrap().unwrap().path();
    let map = MapData::from_pin(version.join("maps").join(table)).unwrap();
    let map = HashMap::<_, K, [u8; VALUE]>::try_from(Map::HashMap(map)).unwrap();
    map.keys().count()
}

/// What the kernel keeps of sessions and their processes, by table.
fn kept(ground: &TestStage) -> BTreeMap<&'static str, usize> {
    let marked = |table| entries::<u32, { size_of::<ProcessMark>() }>(ground, table);
    let stopped = |table| entries::<u32, { size_of::<Stopped>() }>(ground, table);
    let held = |table| entries::<[u8; 16], { size_of::<SessionControl>() }>(ground, table);
    let live = |table| entries::<[u8; 16], { size_of::<SessionLive>() }>(ground, table);
    let scoped = |table| entries::<[u8; 16], { size_of::<SessionScopes>() }>(ground, table);
    BTreeMap::from([
        ("PROCESS_MARKS", marked("PROCESS_MARKS")),
        ("STOPPED", stopped("STOPPED")),
        ("SESSION_CONTROL", held("SESSION_CONTROL")),
        ("SESSION_LIVE", live("SESSION_LIVE")),
        ("SESSION_SCOPES", scoped("SESSION_SCOPES")),
    ])
}

/// Sessions in the agent's spool: those that have not ended, and all.
fn spooled(ground: &TestStage) -> (u32, u32) {
    let spool = Connection::open(ground.stage.folder.at("agent/spool.db")).unwrap();
    let count = "SELECT count(*) FILTER (WHERE ended_at IS NULL), count(*) FROM sessions";
    spool
        .query_row(count, [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
}

fn living(ground: &TestStage) -> String {
    let folder = &ground.stage.folder;
    let mut sessions = config::monitorctl(folder, ["sessions", "-o", "ndjson"]).unwrap();
    command::stdout(&mut sessions).unwrap()
}

#[test]
fn many_logins_are_told_once_each_and_leave_nothing() {
    let Some(ground) = test_stage::whole("many-logins").unwrap() else {
        return;
    };
    let logins = std::env::var("MONITOR_TEST_LOGINS");
    let logins = logins.map_or(LOGINS, |text| text.parse().unwrap());
    let told = Arc::<Mutex<Told>>::default();
    let seen = Arc::clone(&told);
    let listener = Box::new(move |fact: &Fact| count(&seen, fact));
    let facts = Facts::read(&ground.stage.folder, listener).unwrap();
    let alice = Engineer::new(&ground.stage, "alice").unwrap();
    let grant = Grant {
        id: "alice-acme-1".to_owned(),
        tenant: "acme".to_owned(),
        ticket: "INC-4714".to_owned(),
        purpose: "log in".to_owned(),
        valid_seconds: 7_200,
    };
    alice.is_granted(&grant).unwrap();
    alice.gets_certificate(&grant).unwrap();
    log_in(&alice, logins / 2);
    let middle = memory_kib(&ground);
    log_in(&alice, logins - logins / 2);
    let end = memory_kib(&ground);
    let all_ended = poll::until_true("every session's end", CAUGHT_UP_WITHIN, || {
        let told = told.lock().unwrap();
        told.len() == logins && told.values().all(|times| *times == (1, 1))
    });
    assert!(all_ended.is_ok(), "{:?}", told.lock().unwrap());
    assert_eq!(living(&ground), "");
    let left = kept(&ground);
    assert!(left.values().all(|entries| *entries == 0), "{left:?}");
    let (open, remembered) = spooled(&ground);
    assert_eq!(open, 0);
    assert!(
        remembered <= ENDED_MAX,
        "{remembered} sessions in the spool"
    );
    assert!(
        end.saturating_sub(middle) <= GROWTH_KIB_MAX,
        "the agent grew from {middle} to {end} KiB"
    );
    eprintln!("{logins} logins: the agent had {middle} KiB in the middle, {end} KiB at the end");
    drop(facts);
}
