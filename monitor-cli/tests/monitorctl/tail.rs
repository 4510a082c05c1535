//! tail: lines, records, filters, cursors, and connections that break.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::Stdio,
    sync::Arc,
};

use monitor_proto::v1::{self, subscribe_response::Item};
use tonic::Status;

use crate::{
    collector::{Collector, Script, World},
    facts::{self, event_item, item},
    program::{Site, finish, ran, records, until},
};

fn story() -> Vec<v1::SubscribeResponse> {
    vec![
        event_item(
            "c1",
            &facts::credential(1, "/srv/acme/kubeconfig", "acme"),
            &facts::in_scope(),
        ),
        event_item(
            "c2",
            &facts::credential(2, "/srv/globex/kubeconfig", "globex"),
            &facts::wrong_tenant(),
        ),
        item("c3", Item::Alert((&facts::alert()).into())),
        event_item("c4", &facts::gap(3), &facts::lifecycle()),
        event_item("c5", &facts::hostile(4), &facts::lifecycle()),
        item(
            "c6",
            Item::Heartbeat(v1::Heartbeat {
                at_unix_ns: facts::at(5_000).0,
                heads: Vec::new(),
            }),
        ),
    ]
}

fn scripted(site: &Site, scripts: impl IntoIterator<Item = Script>) -> Collector {
    site.collector(World {
        scripts: scripts.into_iter().collect(),
        ..World::default()
    })
}

#[test]
fn a_line_is_a_sentence() {
    let site = Site::new();
    let collector = scripted(&site, [Script::End(story())]);
    let ran = site.run(
        &collector,
        &[
            "tail",
            "--until-now",
            "--from-start",
            "--alerts",
            "-o",
            "table",
        ],
    );
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    assert_eq!(
        ran.out,
        "\
2026-01-02 12:00:00.001  alice       S2A1B0  acme            read /srv/acme/kubeconfig (kubeconfig) with cat on jump-1  in scope of grant g-acme
2026-01-02 12:00:00.002  alice       S2A1B0  acme -> globex  read /srv/globex/kubeconfig (kubeconfig) with cat on jump-1  out of scope: globex's, and grant g-acme is another tenant's
2026-01-02 12:00:02.001  ALERT high  alice (acme, INC-4711, production) read globex credential /srv/globex/kubeconfig with cat on jump-1  [out-of-scope] revoke, order S2D4E5
2026-01-02 12:00:00.003  -           -       -               events 5 to 9 of stream b1 are missing: ring full on jump-1
2026-01-02 12:00:00.004  alice       S2A1B0  acme            login as root\\x1b[2J\\xc2\\x9b31m\\x0a refused: no on jump-1
"
    );
}

#[test]
fn a_record_has_the_documented_shape() {
    let site = Site::new();
    let collector = scripted(&site, [Script::End(story())]);
    let ran = site.run(
        &collector,
        &["tail", "--until-now", "--alerts", "--heartbeats"],
    );
    let all = records(&ran.out);
    let types: Vec<&str> = all
        .iter()
        .map(|record| record["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        types,
        ["event", "event", "alert", "event", "event", "heartbeat"]
    );
    let event = &all[1];
    assert_eq!(event["schema_version"], 1);
    assert_eq!(event["cursor"], "c2");
    assert_eq!(event["position"], 2);
    assert_eq!(event["tenant_ledger"], "globex");
    assert_eq!(event["event"]["id"], facts::event_id(2).to_string());
    assert_eq!(event["event"]["at"], facts::at(2).0);
    assert_eq!(
        event["event"]["at_rfc3339"],
        "2026-01-02T12:00:00.002000000Z"
    );
    assert_eq!(event["event"]["action"]["kind"], "credential");
    assert_eq!(event["judgement"]["verdict"]["verdict"], "out_of_scope");
    assert_eq!(
        event["what"],
        "read /srv/globex/kubeconfig (kubeconfig) with cat"
    );
    assert_eq!(
        event["verdict_text"],
        "out of scope: globex's, and grant g-acme is another tenant's"
    );
    assert_eq!(all[2]["alert"]["order"], facts::ORDER);
    assert_eq!(all[3]["event"]["action"]["kind"], "gap");
    assert_eq!(all[5]["at_rfc3339"], "2026-01-02T12:00:05.000000000Z");
    assert!(!ran.out.contains(['\x1b', '\u{9b}']), "{:?}", ran.out);
    assert_eq!(
        all[4]["event"]["action"]["account"],
        "root\x1b[2J\u{9b}31m\n"
    );
}

#[test]
fn filters_reach_the_collector_and_fork_and_exit_only_when_asked_for() {
    let site = Site::new();
    let done = || Script::End(Vec::new());
    let collector = scripted(&site, [done(), done(), done(), done()]);
    collector.world().sessions = vec![(&facts::session()).into()];
    let arguments = [
        "tail",
        "--until-now",
        "--tenant",
        "acme",
        "--principal",
        "alice",
        "--host",
        "jump-1",
    ];
    let more = [
        "--session",
        "s2a1b0",
        "--verdict",
        "out_of_scope",
        "--verdict",
        "unattributed",
    ];
    assert_eq!(
        site.run(&collector, &[&arguments[..], &more[..]].concat())
            .code,
        Some(0)
    );
    for arguments in [
        &["tail", "--until-now", "-v"][..],
        &["tail", "--until-now", "--kind", "fork"],
        &["tail", "--until-now", "--alerts", "--from-start"],
    ] {
        assert_eq!(site.run(&collector, arguments).code, Some(0));
    }
    let world = collector.world();
    let filters: Vec<&v1::EventFilter> = world
        .subscriptions
        .iter()
        .map(|request| request.filter.as_ref().unwrap())
        .collect();
    assert_eq!(filters[0].tenants, ["acme"]);
    assert_eq!(filters[0].principals, ["alice"]);
    assert_eq!(filters[0].hosts, ["jump-1"]);
    assert_eq!(filters[0].sessions, [facts::session().id.to_bytes()]);
    assert_eq!(
        filters[0].verdicts,
        [
            v1::VerdictKind::OutOfScope as i32,
            v1::VerdictKind::Unattributed as i32
        ]
    );
    assert!(
        filters[0].kinds.contains(&"exec".to_owned())
            && !filters[0].kinds.contains(&"fork".to_owned())
    );
    assert!(filters[1].kinds.is_empty());
    assert_eq!(filters[2].kinds, ["fork"]);
    assert!(world.subscriptions[3].include_alerts && world.subscriptions[3].from_start);
    assert!(!world.subscriptions[0].include_alerts && !world.subscriptions[0].from_start);
}

#[test]
fn reads_are_sentences_when_they_are_asked_for() {
    let site = Site::new();
    let read = || event_item("c1", &facts::read(1, 12), &facts::lifecycle());
    let collector = scripted(
        &site,
        [Script::End(vec![read()]), Script::End(vec![read()])],
    );
    let arguments = ["tail", "--until-now", "--kind", "read", "-o", "table"];
    let line = site.run(&collector, &arguments).out;
    let wanted = concat!(
        r#"carol (soc) searched acme's ledger: {"kinds":["exec"]} 12 times between "#,
        "2026-01-02T12:00:00Z and 2026-01-02T12:00:59Z on main"
    );
    assert!(line.contains(wanted), "{line}");
    let record = records(&site.run(&collector, &["tail", "--until-now", "-v"]).out).remove(0);
    let action = &record["event"]["action"];
    assert_eq!(action["kind"], "read");
    assert_eq!(action["by"]["name"], "carol");
    assert_eq!(
        (&action["times"], &action["items"]),
        (&12.into(), &serde_json::Value::Null)
    );
    assert_eq!(action["last_at_rfc3339"], "2026-01-02T12:00:59.000000000Z");
    let world = collector.world();
    assert_eq!(
        world.subscriptions[0].filter.as_ref().unwrap().kinds,
        ["read"]
    );
}

#[test]
fn a_broken_stream_goes_on_at_the_cursor_and_is_told_once() {
    let site = Site::new();
    let mut story = story();
    let rest = story.split_off(2);
    let collector = scripted(
        &site,
        [
            Script::Fail(story, Status::unavailable("the ledger is being moved")),
            Script::Refuse(Status::unavailable("still being moved")),
            Script::End(rest),
        ],
    );
    let ran = site.run(&collector, &["tail", "--until-now"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!(records(&ran.out).len(), 5);
    let cursors: Vec<String> = collector
        .world()
        .subscriptions
        .iter()
        .map(|request| request.cursor.clone())
        .collect();
    assert_eq!(cursors, ["", "c2", "c2"]);
    let told: Vec<&str> = ran.err.lines().collect();
    assert_eq!(told.len(), 4, "{}", ran.err);
    assert!(
        told[0].contains("lost the connection") && told[0].contains("the ledger is being moved"),
        "{}",
        told[0]
    );
    assert_eq!(
        told[1],
        "monitorctl: connected again; going on where it stopped"
    );
}

#[test]
fn a_collector_that_dies_and_comes_back_is_followed() {
    let site = Site::new();
    let mut story = story();
    let rest = story.split_off(1);
    let collector = scripted(&site, [Script::Wait(story), Script::Wait(rest)]);
    let mut command = site.command(&collector, &["tail"]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("c1"));
    let (world, address) = (Arc::clone(&collector.world), collector.address);
    drop(collector);
    let collector = Collector::start_at(&site.tls("collector"), world, address);
    for cursor in ["c2", "c3", "c4", "c5"] {
        assert!(lines.next().unwrap().unwrap().contains(cursor));
    }
    assert_eq!(collector.world().subscriptions[1].cursor, "c1");
    interrupt(child.id());
    let ran = finish(child);
    assert_eq!(ran.code, Some(0));
    assert_eq!(
        ran.err.matches("lost the connection").count(),
        1,
        "{}",
        ran.err
    );
    assert_eq!(ran.err.matches("connected again").count(), 1, "{}", ran.err);
}

/// What Ctrl-C does.
fn interrupt(pid: u32) {
    let kill = std::process::Command::new("kill")
        .args(["-INT", &pid.to_string()])
        .status()
        .unwrap();
    assert!(kill.success());
}

#[test]
fn a_reader_who_was_cut_goes_on_at_the_cursor() {
    let site = Site::new();
    let mut story = story();
    let rest = story.split_off(1);
    story.push(item(
        "c1",
        Item::Cut(v1::Cut {
            reason: "too slow".into(),
        }),
    ));
    let collector = scripted(&site, [Script::End(story), Script::End(rest)]);
    let ran = site.run(&collector, &["tail", "--until-now"]);
    let all = records(&ran.out);
    assert_eq!(
        (all[1]["type"].as_str(), all[1]["reason"].as_str()),
        (Some("cut"), Some("too slow"))
    );
    assert_eq!(all.len(), 6);
    assert_eq!(collector.world().subscriptions[1].cursor, "c1");
    assert!(
        ran.err.contains("cut this reader off (too slow)"),
        "{}",
        ran.err
    );
}

#[test]
fn a_new_tail_begins_where_the_cursor_file_says() {
    let site = Site::new();
    let file = site.path("cursor");
    let name = file.to_str().unwrap();
    let collector = scripted(&site, [Script::Wait(story()), Script::End(Vec::new())]);
    let mut command = site.command(&collector, &["tail", "--cursor-file", name]);
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Written while it runs, so that even kill -9 loses no place.
    until("the cursor is written", || {
        fs::read_to_string(&file).is_ok_and(|text| text == "c6\n")
    });
    interrupt(child.id());
    let ran = finish(child);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    assert_eq!(records(&ran.out).len(), 5);
    assert_eq!(
        site.run(&collector, &["tail", "--until-now", "--cursor-file", name])
            .code,
        Some(0)
    );
    assert_eq!(collector.world().subscriptions[1].cursor, "c6");
}

#[test]
fn a_cursor_that_the_collector_refuses_is_told_with_its_file() {
    let site = Site::new();
    let file = site.path("cursor");
    fs::write(&file, "old\n").unwrap();
    let collector = scripted(
        &site,
        [Script::Refuse(Status::invalid_argument(
            "the cursor is of another ledger",
        ))],
    );
    let ran = site.run(
        &collector,
        &["tail", "--cursor-file", file.to_str().unwrap()],
    );
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.err.contains("the cursor is of another ledger") && ran.err.contains("remove"),
        "{}",
        ran.err
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), "old\n");
}

#[test]
fn a_reader_that_goes_ends_it_in_silence_and_the_cursor_stays_behind_what_was_read() {
    let site = Site::new();
    let flood = event_item(
        "flood",
        &facts::credential(1, "/srv/acme/kubeconfig", "acme"),
        &facts::in_scope(),
    );
    let collector = scripted(&site, [Script::Flood(Box::new(flood))]);
    let mut command = site.command(&collector, &["tail"]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut first)
        .unwrap();
    let ran = finish(child);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    assert!(first.contains("flood"));
}

#[test]
fn an_event_of_a_newer_agent_is_told_and_does_not_end_the_stream() {
    let site = Site::new();
    let mut judged = facts::judged(&facts::gap(1), &facts::lifecycle(), 12);
    judged.event = vec![0xff; 5];
    let unreadable = item("c1", Item::Event(judged));
    let good = event_item("c2", &facts::gap(2), &facts::lifecycle());
    let script = || Script::End(vec![unreadable.clone(), good.clone()]);
    let collector = scripted(&site, [script(), script()]);
    let all = records(&site.run(&collector, &["tail", "--until-now"]).out);
    assert_eq!(
        (all[0]["type"].as_str(), all[0]["cursor"].as_str()),
        (Some("unreadable"), Some("c1"))
    );
    assert_eq!(all[1]["type"], "event");
    let table = site
        .run(&collector, &["tail", "--until-now", "-o", "table"])
        .out;
    assert!(
        table.contains("event at position 12 cannot be read"),
        "{table}"
    );
}

#[test]
fn no_permission_ends_it_with_five() {
    let site = Site::new();
    let refusal =
        Status::permission_denied("carol has the role agent; this call takes soc or admin");
    let collector = site.collector(World {
        refusal: Some(refusal),
        ..World::default()
    });
    let ran = ran(site.command(&collector, &["tail"]));
    assert_eq!(ran.code, Some(5));
    assert_eq!(
        ran.err,
        "monitorctl: refused: carol has the role agent; this call takes soc or admin\n"
    );
}
