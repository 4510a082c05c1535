//! search and investigate: lines, records, columns, files.

use std::fs;

use monitor_model::{
    event::{Action, Destination, Event, Process, Protocol},
    revocation::Target,
};
use monitor_proto::v1;

use crate::{
    collector::{Collector, World},
    facts,
    program::{Site, records},
};

/// What was found, newest first.
fn found() -> Vec<v1::JudgedEvent> {
    let one = facts::credential(1, "/srv/acme/kubeconfig", "acme");
    let two = facts::credential(2, "/srv/globex/kubeconfig", "globex");
    vec![
        facts::judged(&two, &facts::wrong_tenant(), 2),
        facts::judged(&one, &facts::in_scope(), 1),
    ]
}

fn world() -> World {
    World {
        found: found(),
        page_max: 1,
        ..World::default()
    }
}

#[test]
fn what_is_found_reads_as_tail_does_page_after_page() {
    let site = Site::new();
    let collector = site.collector(world());
    let ran = site.run(&collector, &["search", "-o", "table"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    assert_eq!(
        ran.out,
        "\
2026-01-02 12:00:00.002  alice       S2A1B0  acme -> globex  read /srv/globex/kubeconfig (kubeconfig) with cat on jump-1  out of scope: globex's, and grant g-acme is another tenant's
2026-01-02 12:00:00.001  alice       S2A1B0  acme            read /srv/acme/kubeconfig (kubeconfig) with cat on jump-1  in scope of grant g-acme
"
    );
    let tokens: Vec<String> = collector
        .world()
        .pages
        .iter()
        .map(|page| page.1.clone())
        .collect();
    assert_eq!(tokens, ["", "1"]);
}

#[test]
fn what_is_found_is_records_a_list_or_columns() {
    let site = Site::new();
    let collector = site.collector(world());
    let lines = records(&site.run(&collector, &["search"]).out);
    assert_eq!(lines.len(), 2);
    assert_eq!(
        (&lines[0]["type"], &lines[0]["cursor"]),
        (&"event".into(), &serde_json::Value::Null)
    );
    assert_eq!(lines[0]["event"]["id"], facts::event_id(2).to_string());
    let list = site.run(&collector, &["search", "-o", "json"]).out;
    let list: Vec<serde_json::Value> = serde_json::from_str(&list).unwrap();
    assert_eq!(list, lines);
    let columns = site.run(&collector, &["search", "-o", "csv"]).out;
    assert_eq!(
        columns,
        format!(
            "\
time,engineer,session,tenant,host,kind,what,verdict,event
2026-01-02T12:00:00.002000000Z,alice,{session},acme -> globex,jump-1,credential,read /srv/globex/kubeconfig (kubeconfig) with cat,\"out of scope: globex's, and grant g-acme is another tenant's\",{two}
2026-01-02T12:00:00.001000000Z,alice,{session},acme,jump-1,credential,read /srv/acme/kubeconfig (kubeconfig) with cat,in scope of grant g-acme,{one}
",
            session = facts::SESSION,
            one = facts::event_id(1),
            two = facts::event_id(2),
        )
    );
}

#[test]
fn flags_become_the_question() {
    let site = Site::new();
    let collector = site.collector(World::default());
    let arguments = [
        "search",
        "--principal",
        "alice",
        "--object",
        "/srv/globex",
        "--kind",
        "credential",
        "--since",
        "2026-01-02T12:00:00Z",
        "--until",
        "2026-01-02T13:00:00+01:00",
        "--limit",
        "7",
    ];
    let wrong = site.run(&collector, &["search", "--since", "yesterday"]);
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.err.contains("2026-01-02T14:02:05Z"), "{}", wrong.err);
    let ran = site.run(&collector, &arguments);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), ""));
    site.run(
        &collector,
        &["search", "--oldest-first", "--since", "1h", "-v"],
    );
    let world = collector.world();
    let [first, second] = world.searches.as_slice() else {
        panic!("{:?}", world.searches);
    };
    let filter = first.filter.as_ref().unwrap();
    assert_eq!(filter.principals, ["alice"]);
    assert_eq!(
        (filter.object_prefix.as_str(), filter.kinds.len()),
        ("/srv/globex", 1)
    );
    assert_eq!(
        (first.from_unix_ns, first.to_unix_ns),
        (facts::at(0).0, facts::at(0).0)
    );
    assert_eq!(
        (first.page_size, first.order()),
        (7, v1::SearchOrder::NewestFirst)
    );
    assert_eq!(second.order(), v1::SearchOrder::OldestFirst);
    assert!(second.from_unix_ns > facts::at(0).0 && second.to_unix_ns == 0);
    assert!(second.filter.as_ref().unwrap().kinds.is_empty());
}

#[test]
fn tail_takes_the_filters_too_and_columns_are_for_lists() {
    let site = Site::new();
    let collector = site.collector(World::default());
    let ran = site.run(&collector, &["tail", "--severity", "high"]);
    assert!(
        ran.code == Some(2) && ran.err.contains("--alerts"),
        "{}",
        ran.err
    );
    let ran = site.run(&collector, &["tail", "-o", "csv"]);
    assert!(
        ran.code == Some(2) && ran.err.contains("csv is for lists"),
        "{}",
        ran.err
    );
    let script = || crate::collector::Script::End(Vec::new());
    collector.world().scripts = [script()].into();
    let arguments = [
        "tail",
        "--until-now",
        "--alerts",
        "--severity",
        "high",
        "--object",
        "10.20.",
        "--since",
        "2026-01-02T12:00:00Z",
    ];
    assert_eq!(site.run(&collector, &arguments).code, Some(0));
    let world = collector.world();
    let asked = &world.subscriptions[0];
    let filter = asked.filter.as_ref().unwrap();
    assert_eq!(filter.least_severity(), v1::Severity::High);
    assert_eq!(
        (filter.object_prefix.as_str(), asked.from_unix_ns),
        ("10.20.", facts::at(0).0)
    );
}

/// A connection of the process that read the credential.
fn connection(sequence: u64) -> Event {
    let mut event = facts::credential(sequence, "/", "globex");
    event.action = Action::Connect {
        destination: Destination {
            address: "10.30.0.5".parse().unwrap(),
            port: 6443,
            protocol: Protocol::Tcp,
            interface: None,
            interface_index: 0,
            net_ns: 0,
            net_ns_name: None,
            mark: 0,
        },
        denied: false,
        scope: None,
    };
    event
}

/// Alice reads globex's credential and connects with it; bob's name is used from
/// her session; a gap; an alert; an order that is carried out.
fn stolen(site: &Site) -> Collector {
    let mut hop = facts::session();
    hop.id = "01JG3Y2E8QW0X9V5T4R3S2A1C0".parse().unwrap();
    hop.principal = Some("bob".parse().unwrap());
    hop.opened_at = facts::at(500);
    hop.way = vec![monitor_model::event::Step {
        carrier: monitor_model::event::Carrier::SshHop,
        name: "127.0.0.1:4000".into(),
        at: None,
        session: Some(facts::SESSION.parse().unwrap()),
    }];
    let mut in_hop = facts::credential(600, "/srv/acme/kubeconfig", "acme");
    in_hop.attribution.session = Some(hop.id);
    in_hop.attribution.principal.clone_from(&hop.principal);
    in_hop.process = Some(Process {
        pid: 5000,
        ..Process::default()
    });
    let read = facts::credential(2_000, "/srv/globex/kubeconfig", "globex");
    let mut found: Vec<v1::JudgedEvent> = [&read, &connection(2_002)]
        .map(|event| facts::judged(event, &facts::wrong_tenant(), event.id.sequence))
        .to_vec();
    found.push(facts::judged(&in_hop, &facts::in_scope(), 600));
    found.push(facts::judged(&facts::gap(700), &facts::lifecycle(), 700));
    let target = Target::Engineer("alice".parse().unwrap());
    site.collector(World {
        found,
        sessions: vec![(&facts::session()).into(), (&hop).into()],
        alerts: vec![(&facts::alert()).into()],
        orders: [(&facts::enforced(target)).into()].into(),
        ..World::default()
    })
}

const ASKED: [&str; 7] = [
    "investigate",
    "--engineer",
    "alice",
    "--since",
    "2026-01-02T11:59:00Z",
    "--until",
    "2026-01-02T13:00:00Z",
];

#[test]
fn a_story_is_told_over_hops_with_what_used_a_credential_and_what_was_revoked() {
    let site = Site::new();
    let collector = stolen(&site);
    let (dot, svg) = (site.path("alice.dot"), site.path("alice.svg"));
    let mut arguments = ASKED.to_vec();
    arguments.extend([
        "-o",
        "table",
        "--dot",
        dot.to_str().unwrap(),
        "--svg",
        svg.to_str().unwrap(),
    ]);
    let ran = site.run(&collector, &arguments);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    let order = facts::ORDER;
    let timeline = format!(
        "\
alice from 2026-01-02 11:59:00 to 2026-01-02 13:00:00: 2 sessions on 1 host, 2 credentials and 1 destination touched, of acme, globex; 1 alert, 1 order
! 2026-01-02T12:00:00.700000000Z on jump-1: events 5 to 9 of stream b1 are missing: ring full
2026-01-02 12:00:00.600  jump-1  S2A1C0 as bob  read /srv/acme/kubeconfig (kubeconfig)  in scope of grant g-acme
2026-01-02 12:00:02.000  jump-1  S2A1B0  read /srv/globex/kubeconfig (kubeconfig) with cat  out of scope: globex's, and grant g-acme is another tenant's
2026-01-02 12:00:02.001  jump-1  S2A1B0  high alert [out-of-scope]: alice (acme, INC-4711, production) read globex credential /srv/globex/kubeconfig with cat on jump-1
2026-01-02 12:00:02.002  jump-1  S2A1B0  connected to 10.30.0.5:6443 tcp with cat  out of scope: globex's, and grant g-acme is another tenant's
2026-01-02 12:00:02.003  -  -  order {order}: given against engineer alice by soc/carol: offboarding
2026-01-02 12:00:02.044  jump-1  S2A1B0  order {order}: session gone, 3 processes killed
2026-01-02 12:00:02.179  -  -  order {order}: the revocation list was in place
2026-01-02 12:00:02.180  -  -  order {order}: the broker answered
2026-01-02 12:00:02.180  -  -  order {order}: certificate 7 of grant g-acme: revoked
"
    );
    assert!(ran.out.starts_with(&timeline), "{}", ran.out);
    let used = "read  to 10.30.0.5:6443 of globex (same process)";
    assert!(ran.out.contains(used), "{}", ran.out);
    let dot = fs::read_to_string(dot).unwrap();
    assert!(dot.contains("label=\"same process\""), "{dot}");
    let svg = fs::read_to_string(svg).unwrap();
    for label in [
        "alice",
        "jump-1",
        "/srv/globex/kubeconfig (kubeconfig)",
        "10.30.0.5:6443 of globex",
        "globex",
    ] {
        assert!(svg.contains(&format!(">{label}</text>")), "{label}: {svg}");
    }
}

#[test]
fn a_story_is_one_object_for_programs_and_its_timeline_has_columns() {
    let site = Site::new();
    let collector = stolen(&site);
    let one = records(&site.run(&collector, &ASKED).out);
    assert_eq!((one.len(), &one[0]["type"]), (1, &"investigation".into()));
    let story = &one[0]["investigation"];
    assert_eq!(story["sessions"][1]["opened_from"], facts::SESSION);
    assert_eq!(
        story["timeline"][1]["at_rfc3339"],
        "2026-01-02T12:00:02.000000000Z"
    );
    assert_eq!(story["since_rfc3339"], "2026-01-02T11:59:00.000000000Z");
    let globex = &story["credentials"][1];
    assert_eq!(globex["uses"][0]["grade"], "same_process");
    assert_eq!(
        globex["uses"][0]["event"],
        facts::event_id(2_002).to_string()
    );
    assert_eq!(story["tenants"][1]["owner"], "globex");
    assert_eq!(story["orders"][0]["id"], facts::ORDER);
    let rows = site
        .run(&collector, &[&ASKED[..], &["-o", "csv"]].concat())
        .out;
    assert_eq!(rows.lines().count(), 10, "{rows}");
    assert!(rows.starts_with("time,host,session,engineer,step,what,verdict,event\n"));
}

#[test]
fn nobody_that_is_known_ends_with_three_and_a_time_that_ends_before_it_begins_with_two() {
    let site = Site::new();
    let collector = site.collector(World::default());
    let ran = site.run(&collector, &ASKED);
    assert!(
        ran.code == Some(3) && ran.err.contains("of alice is known"),
        "{}",
        ran.err
    );
    let wrong = [
        "investigate",
        "--engineer",
        "alice",
        "--since",
        "1h",
        "--until",
        "2h",
    ];
    let ran = site.run(&collector, &wrong);
    assert!(
        ran.code == Some(2) && ran.err.contains("--until"),
        "{}",
        ran.err
    );
}
