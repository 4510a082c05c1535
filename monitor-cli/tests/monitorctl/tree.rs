//! sessions --tree: what lives, for people and for programs.

use monitor_model::{
    bytes::PathLabel,
    event::{Carrier, Lineage, NoSession, Step},
    id::SessionId,
    live::{Arguments, LiveJob, LiveProcess, LiveSession, Missing, ProcessKey},
};
use serde_json::json;

use crate::{
    collector::World,
    facts,
    program::{Site, records},
};

const INNER: &str = "01JG3Y2E8QW0X9V5T4R3S2K1M1";
const JOB: &str = "01JG3Y2E8QW0X9V5T4R3S2M2N2";

fn id(text: &str) -> SessionId {
    text.parse().unwrap()
}

/// A process whose number is its age in milliseconds.
fn process(pid: u32, parent: Option<u32>, exe: &str, argv: &[&str]) -> LiveProcess {
    let key = |pid: u32| ProcessKey {
        start_boot_ns: u64::from(pid),
        pid,
    };
    LiveProcess {
        key: key(pid),
        started_at: facts::at(u64::from(pid)),
        parent: parent.map(key),
        parent_pid: parent.unwrap_or_default(),
        exe: (!exe.is_empty()).then(|| PathLabel {
            text: exe.into(),
            truncated: false,
        }),
        script: None,
        arguments: (!argv.is_empty()).then(|| Arguments {
            argv: argv.iter().map(|argument| (*argument).into()).collect(),
            truncated: false,
            redacted: 0,
        }),
        forked: false,
        lineage: Lineage::Kernel,
        reason: None,
        way: Vec::new(),
        job: None,
    }
}

fn step(carrier: Carrier, name: &str) -> Step {
    Step {
        carrier,
        name: name.into(),
        at: None,
        session: Some(id(facts::SESSION)),
    }
}

/// Alice's session with a job, one that steers, and one opened from it.
fn sessions() -> Vec<LiveSession> {
    let mut sub = process(1_200, Some(1_100), "/usr/bin/bash", &["-bash"]);
    sub.forked = true;
    let mut curl = process(
        1_300,
        Some(1_100),
        "/usr/bin/curl",
        &["curl", "-u", "x:<redacted>"],
    );
    curl.arguments.as_mut().unwrap().redacted = 1;
    curl.arguments.as_mut().unwrap().truncated = true;
    let mut steered = process(1_400, Some(1_100), "/usr/bin/tmux", &["evil\u{1b}[2J"]);
    steered.lineage = Lineage::Unattributed;
    steered.reason = Some(NoSession::Ambiguous);
    steered.way = vec![step(Carrier::Connection, "/tmp/tmux-0")];
    let mut cron = process(1_500, None, "/usr/bin/dash", &["/bin/sh", "-c", "x"]);
    cron.job = Some(id(JOB));
    cron.lineage = Lineage::Linked;
    cron.way = vec![step(Carrier::JobFile, "/var/spool/cron/ops")];
    let outer = LiveSession {
        session: facts::session(),
        jobs: vec![LiveJob {
            id: id(JOB),
            leader_pid: 1_500,
            way: cron.way.clone(),
            started_at: facts::at(1_500),
        }],
        processes: vec![
            process(1_000, None, "", &[]),
            process(1_050, Some(900), "/usr/bin/sleep", &["sleep", "600"]),
            process(1_100, Some(1_000), "/usr/bin/bash", &["-bash"]),
            sub,
            curl,
            steered,
            cron,
        ],
        missing: Missing {
            lost_events: 3,
            lost_at: Some(facts::at(900)),
            ..Missing::default()
        },
    };
    let mut session = facts::session();
    session.id = id(INNER);
    session.opened_at = facts::at(2_000);
    session.way = vec![step(Carrier::SshHop, "127.0.0.1:4000")];
    session.tenant = Some("globex".parse().unwrap());
    let inner = LiveSession {
        session,
        jobs: vec![],
        processes: vec![],
        missing: Missing::default(),
    };
    vec![inner, outer]
}

fn world() -> World {
    World {
        live: sessions().iter().map(Into::into).collect(),
        ..World::default()
    }
}

fn shown(arguments: &[&str]) -> String {
    let site = Site::new();
    let collector = site.collector(world());
    let ran = site.run(&collector, arguments);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{}", ran.out);
    ran.out
}

#[test]
fn a_tree_has_sessions_jobs_and_sessions_within_below_each_other() {
    assert_eq!(
        shown(&["sessions", "--tree", "-o", "table"]),
        "\
session S2A1B0: alice for acme (INC-4711, production), ops on jump-1 from 192.0.2.7 since 2026-01-02 12:00:00, grant g-acme, certificate 7; attribution certain: a certificate that the broker issued for a grant; live
  ! 3 events of the host never came, the last at 2026-01-02 12:00:00: processes may be missing, and some may be gone
  1000  2026-01-02 12:00:01  (program not told)  (arguments not told)
    1100  2026-01-02 12:00:01  /usr/bin/bash
      1200  2026-01-02 12:00:01  /usr/bin/bash  (its parent's program)
      1300  2026-01-02 12:00:01  /usr/bin/curl -u x:<redacted> ...  (1 secret removed)
      1400  2026-01-02 12:00:01  /usr/bin/tmux  (called evil\\x1b[2J)  steered, its work is nobody's: connected to /tmp/tmux-0 by session 01JG3Y2E8QW0X9V5T4R3S2A1B0
  1050  2026-01-02 12:00:01  /usr/bin/sleep 600  (made by 900, which is gone)
  job S2M2N2 since 2026-01-02 12:00:01: /var/spool/cron/ops written by session 01JG3Y2E8QW0X9V5T4R3S2A1B0
    1500  2026-01-02 12:00:01  /usr/bin/dash -c x  (called /bin/sh)
  session S2K1M1: alice for globex (INC-4711, production), ops on jump-1 from 192.0.2.7 since 2026-01-02 12:00:02, grant g-acme, certificate 7; attribution certain: a certificate that the broker issued for a grant; logged in from 127.0.0.1:4000 by session 01JG3Y2E8QW0X9V5T4R3S2A1B0; live
    no process told of yet (opened by 4700)
"
    );
}

#[test]
fn a_tree_is_a_record_a_session_for_programs() {
    let all = records(&shown(&["sessions", "--tree"]));
    assert_eq!(all.len(), 2);
    let (outer, inner) = (&all[0], &all[1]);
    assert_eq!(outer["type"], "session_tree");
    assert_eq!(outer["session"]["id"], facts::SESSION);
    assert_eq!(
        (&outer["depth"], &outer["within"]),
        (&json!(0), &json!(null))
    );
    assert_eq!(
        (&inner["depth"], &inner["within"]),
        (&json!(1), &json!(facts::SESSION))
    );
    let lines = outer["processes"].as_array().unwrap().iter();
    let lines: Vec<_> = lines
        .map(|line| {
            (
                line["pid"].as_u64().unwrap(),
                line["depth"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        lines,
        [
            (1_000, 0),
            (1_100, 1),
            (1_200, 2),
            (1_300, 2),
            (1_400, 2),
            (1_050, 0),
            (1_500, 0)
        ]
    );
    let first = &outer["processes"][0];
    assert_eq!(
        (&first["exe"], &first["arguments"]),
        (&json!(null), &json!(null))
    );
    assert_eq!(
        first["started_at_rfc3339"],
        "2026-01-02T12:00:01.000000000Z"
    );
    assert_eq!(outer["processes"][3]["arguments"]["redacted"], 1);
    assert_eq!(outer["processes"][4]["reason"], "ambiguous");
    assert_eq!(outer["processes"][6]["job"], JOB);
    assert_eq!(outer["jobs"][0]["id"], JOB);
    assert_eq!(outer["missing"]["lost_events"], 3);
    assert!(outer["missing"]["lost_at_rfc3339"].is_string());
    let document = shown(&["sessions", "--tree", "-o", "json"]);
    let document: serde_json::Value = serde_json::from_str(&document).unwrap();
    assert_eq!(document.as_array().unwrap().len(), 2);
}

#[test]
fn a_session_that_goes_on_over_pages_is_one_and_filters_are_asked_for() {
    let site = Site::new();
    // One process a page, as the collector cuts a large session.
    let outer = sessions().remove(1);
    let live = outer.processes.iter().map(|process| {
        let part = LiveSession {
            processes: vec![process.clone()],
            ..outer.clone()
        };
        (&part).into()
    });
    let collector = site.collector(World {
        live: live.collect(),
        page_max: 1,
        ..World::default()
    });
    let arguments = [
        "sessions",
        "--tree",
        "--principal",
        "alice",
        "--tenant",
        "acme",
        "--host",
        "jump-1",
    ];
    let all = records(&site.run(&collector, &arguments).out);
    assert_eq!(all.len(), 1);
    assert_eq!(all[0]["processes"].as_array().unwrap().len(), 7);
    let world = collector.world();
    assert_eq!(world.asked_live.len(), 7);
    let asked = &world.asked_live[5];
    assert_eq!(
        [&asked.principal, &asked.tenant, &asked.host],
        ["alice", "acme", "jump-1"]
    );
}

#[test]
fn a_limit_counts_sessions_and_nothing_alive_is_said() {
    let all = records(&shown(&["sessions", "--tree", "--limit", "1"]));
    assert_eq!(all.len(), 1);
    assert_eq!(all[0]["session"]["id"], INNER);
    let site = Site::new();
    let collector = site.collector(World::default());
    let ran = site.run(&collector, &["sessions", "--tree", "-o", "table"]);
    assert!(ran.err.contains("no live session"), "{}", ran.err);
    let json = site.run(&collector, &["sessions", "--tree", "-o", "json"]);
    assert_eq!(json.out, "[]\n");
    let both = site.run(&collector, &["sessions", "--tree", "--all"]);
    assert_eq!(both.code, Some(2));
}
