//! sessions, alerts, grants, orders, explain: tables and records.

use monitor_model::{id::EventId, revocation::Target};
use monitor_proto::v1;

use crate::{
    collector::{Collector, World},
    facts,
    program::{Site, on_terminal, records},
};

fn world() -> World {
    World {
        sessions: vec![(&facts::session()).into()],
        alerts: vec![(&facts::alert()).into()],
        grants: vec![(&facts::grant("g-acme")).into()],
        hosts: vec![v1::HostStatus {
            host: Some((&facts::host()).into()),
            connected: true,
            list: Some(v1::ListInPlace {
                number: Some(7),
                at_unix_ns: 5,
                problem: String::new(),
            }),
        }],
        orders: [(&facts::enforced(Target::Engineer("alice".parse().unwrap()))).into()].into(),
        explanation: Some(v1::ExplainResponse {
            event: Some(facts::judged(
                &facts::credential(2, "/srv/globex/kubeconfig", "globex"),
                &facts::wrong_tenant(),
                9,
            )),
            verdict_sentence: "out of scope: another tenant's (grant g-acme)".into(),
            attribution_sentence: "by the mark that the login put on it".into(),
            alerts: vec![(&facts::alert()).into()],
            matching_rules: vec!["wrong-tenant".into(), "cascade".into()],
        }),
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
fn sessions_are_a_table_for_people() {
    assert_eq!(
        shown(&["sessions", "-o", "table"]),
        "\
OPENED               SESSION  ENGINEER  TENANT  TICKET    TIER        HOST    ACCOUNT  FROM       CREDENTIAL     STATE
2026-01-02 12:00:00  S2A1B0   alice     acme    INC-4711  production  jump-1  ops      192.0.2.7  certificate 7  live
"
    );
    assert!(shown(&["sessions", "-o", "table", "-v"]).contains(facts::SESSION));
}

#[test]
fn sessions_are_records_for_programs_without_being_asked() {
    let text = shown(&["sessions"]);
    let all = records(&text);
    assert_eq!(all.len(), 1);
    assert!(
        text.starts_with(r#"{"schema_version":1,"type":"session","session":{"#),
        "{text}"
    );
    assert_eq!(all[0]["session"]["id"], facts::SESSION);
    assert_eq!(
        all[0]["session"]["opened_at_rfc3339"],
        "2026-01-02T12:00:00.000000000Z"
    );
}

#[test]
fn json_is_one_document() {
    let document: serde_json::Value =
        serde_json::from_str(&shown(&["sessions", "-o", "json"])).unwrap();
    assert_eq!(document[0]["type"], "session");
    let site = Site::new();
    let collector = site.collector(World::default());
    assert_eq!(
        site.run(&collector, &["sessions", "-o", "json"]).out,
        "[]\n"
    );
    let ran = site.run(&collector, &["sessions", "-o", "table"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), ""));
    assert!(ran.err.contains("no live session; --all"), "{}", ran.err);
}

#[test]
fn alerts_read_as_sentences() {
    assert_eq!(
        shown(&["alerts", "-o", "table"]),
        "\
TIME                 ALERT   SEVERITY  STATE  SESSION  RULE          COUNT  RESPONSE              WHAT
2026-01-02 12:00:02  S2F6G7  high      open   S2A1B0   out-of-scope  1      revoke, order S2D4E5  alice (acme, INC-4711, production) read globex credential /srv/globex/kubeconfig with cat on jump-1
"
    );
    let all = records(&shown(&["alerts", "--severity", "high"]));
    assert_eq!(all[0]["alert"]["severity"], "high");
    assert_eq!(
        all[0]["alert"]["event_at_rfc3339"],
        "2026-01-02T12:00:02.000000000Z"
    );
}

#[test]
fn an_alert_is_taken_and_closed_with_a_note_and_shown_in_full() {
    let site = Site::new();
    let collector = site.collector(world());
    let end = &facts::ALERT[20..];
    for (arguments, state) in [
        (
            ["alerts", "ack", end, "--note", "asking alice"],
            "acknowledged",
        ),
        (
            ["alerts", "close", end, "--note", "agreed, INC-4712"],
            "closed",
        ),
    ] {
        let ran = site.run(&collector, &arguments);
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{}", ran.out);
        assert_eq!(records(&ran.out)[0]["alert"]["state"], state);
    }
    let shown = site
        .run(&collector, &["alerts", "show", end, "-o", "table"])
        .out;
    for part in [
        "ALERT high alice (acme",
        facts::ALERT,
        "out-of-scope 1: Something out of scope",
        "T1078 (ATT&CK v19)",
        "NIST 800-53 AC-6",
        "acknowledged  soc/eve  asking alice",
        "closed        soc/eve  agreed, INC-4712",
    ] {
        assert!(shown.contains(part), "{shown} lacks {part:?}");
    }
    let missing = site.run(&collector, &["alerts", "ack", "ZZZZZZ", "--note", "x"]);
    assert_eq!(missing.code, Some(3), "{}", missing.err);
    let silent = site.run(&collector, &["alerts", "close", end]);
    assert_eq!(silent.code, Some(2), "{}", silent.err);
}

#[test]
fn rules_say_what_they_look_for() {
    let site = Site::new();
    let collector = site.collector(World {
        rules: vec![v1::Rule {
            id: "cascade".into(),
            version: 2,
            title: "Several clients".into(),
            severity: v1::Severity::Critical.into(),
            technique: "T1199".into(),
            attack_version: "19".into(),
            controls: vec!["NIST 800-53 IR-4".into()],
            response: v1::AlertResponse::Revoke.into(),
        }],
        sigma_files: vec![v1::SigmaFile {
            path: "linux/a.yml".into(),
            id: "a".into(),
            title: "A".into(),
            refused: "for category x".into(),
        }],
        ..World::default()
    });
    let sigma = site
        .run(&collector, &["rules", "--sigma", "-o", "table"])
        .out;
    assert!(
        sigma.contains("linux/a.yml  no    A      for category x"),
        "{sigma}"
    );
    assert_eq!(
        site.run(&collector, &["rules", "-o", "table"]).out,
        "\
RULE     VERSION  SEVERITY  ANSWER  ATT&CK  CONTROLS          LOOKS FOR
cascade  2        critical  revoke  T1199   NIST 800-53 IR-4  Several clients
"
    );
    let record = &records(&site.run(&collector, &["rules"]).out)[0];
    assert_eq!(record["attack_version"], "19");
}

#[test]
fn grants_say_whether_they_hold() {
    assert_eq!(
        shown(&["grants", "-o", "table", "-v"]),
        "\
GRANT   ENGINEER  TENANT  TIER        KIND          TICKET    STATE  UNTIL  APPROVED BY  PURPOSE
g-acme  alice     acme    production  just_in_time  INC-4711  holds  never  bob          patch the cluster [destinations 10.20.0.0/24:443, all credentials, all programs]
"
    );
    assert_eq!(
        records(&shown(&["grants"]))[0]["grant"]["expires_rfc3339"],
        serde_json::Value::Null
    );
}

fn used(id: &str, accesses: u64) -> v1::GrantUse {
    let entry = |part: v1::ScopePart, entry: &str, accesses| v1::EntryUse {
        part: part.into(),
        entry: entry.into(),
        accesses,
        last_unix_ns: facts::at(0).0 * u64::from(accesses > 0),
    };
    v1::GrantUse {
        grant: Some((&facts::grant(id)).into()),
        entries: vec![
            entry(v1::ScopePart::Destinations, "10.20.0.0/24:443", accesses),
            entry(v1::ScopePart::Credentials, "*", 1),
            entry(v1::ScopePart::Programs, "*", accesses),
        ],
        accesses,
        last_unix_ns: facts::at(0).0 * u64::from(accesses > 0),
    }
}

#[test]
fn what_was_granted_and_never_used_is_listed_and_the_rest_is_not() {
    let site = Site::new();
    let collector = site.collector(World {
        grant_uses: vec![used("g-used", 7), used("g-idle", 0)],
        ..World::default()
    });
    let lasting = ["grants", "--unused", "--days", "1000000", "-o", "table"];
    assert_eq!(
        site.run(&collector, &lasting).out,
        "\
GRANT   ENGINEER  TENANT  KIND          ACCESSES  USED   NEVER TOUCHED
g-idle  alice     acme    just_in_time  0         never  destinations 10.20.0.0/24:443, all programs
"
    );
    let dormant = site.run(&collector, &["grants", "--unused", "--days", "0"]);
    let all = records(&dormant.out);
    assert_eq!(all.len(), 2);
    assert_eq!(all[0]["dormant"], true);
    assert_eq!(all[0]["entries"][0]["accesses"], 7);
}

#[test]
fn a_review_is_handed_on_and_the_grant_comes_back() {
    let site = Site::new();
    let collector = site.collector(world());
    let arguments = ["grants", "review", "g-acme", "--note", "as it should be"];
    let ran = site.run(&collector, &arguments);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    assert_eq!(records(&ran.out)[0]["grant"]["id"], "g-acme");
    let reviews = collector.world().reviews.clone();
    assert_eq!(reviews[0].note, "as it should be");
}

#[test]
fn lists_come_in_pages_and_end_at_the_limit() {
    let site = Site::new();
    let sessions = (0..7).map(|_| (&facts::session()).into()).collect();
    let collector = site.collector(World {
        sessions,
        page_max: 3,
        ..World::default()
    });
    assert_eq!(records(&site.run(&collector, &["sessions"]).out).len(), 7);
    let tokens: Vec<String> = collector
        .world()
        .pages
        .drain(..)
        .map(|(_, token)| token)
        .collect();
    assert_eq!(tokens, ["", "3", "6"]);
    assert_eq!(
        records(&site.run(&collector, &["sessions", "--limit", "4"]).out).len(),
        4
    );
    let table = site.run(&collector, &["sessions", "-o", "table"]).out;
    assert_eq!(table.matches("OPENED").count(), 1);
    assert_eq!(table.lines().count(), 8);
}

#[test]
fn an_order_shows_its_times_from_the_kernel_event_on() {
    let table = shown(&["order", "s2d4e5", "-o", "table"]);
    assert_eq!(
        table,
        "\
order 01JG3Y2E8QW0X9V5T4R3S2D4E5 against engineer alice: enforced
offboarding (soc/carol)
STEP                       AFTER    AT
kernel event               +0       2026-01-02 12:00:02.000
alert                      +1 ms    2026-01-02 12:00:02.001
order on disk              +3 ms    2026-01-02 12:00:02.003
broker asked               +4 ms    2026-01-02 12:00:02.004
broker answered            +180 ms  2026-01-02 12:00:02.180
revocation list published  +179 ms  2026-01-02 12:00:02.179
last process gone          +44 ms   2026-01-02 12:00:02.044
first login refused        -        -
SESSION  HOST    ENGINEER  SERIAL  STATE             KILLED
S2A1B0   jump-1  alice     7       gone after 44 ms  3
SERIAL  GRANT   BROKER   AT
7       g-acme  revoked  2026-01-02 12:00:02.180
"
    );
    let record = &records(&shown(&["order", facts::ORDER]))[0];
    assert_eq!(record["state"], "enforced");
    assert_eq!(
        record["order"]["times"]["broker_answered_rfc3339"],
        "2026-01-02T12:00:02.180000000Z"
    );
    let list = shown(&["orders", "-o", "table"]);
    assert!(
        list.contains("S2D4E5  engineer alice  enforced  1/1 gone  after 177 ms"),
        "{list}"
    );
}

#[test]
fn an_event_is_explained_from_its_facts_to_its_alert() {
    let id = facts::event_id(2).to_string();
    let table = shown(&["explain", &id, "-o", "table"]);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(
        lines[0],
        "read /srv/globex/kubeconfig (kubeconfig) with cat"
    );
    for part in [
        "time        2026-01-02T12:00:00.002000000Z",
        "ledger      globex, position 9, hash abab",
        "object      /srv/globex/kubeconfig (device 1, inode 2, generation 3)",
        "class       kubeconfig",
        "process     4711 of 4700: /usr/bin/cat (calls itself cat)",
        "attributed  by the mark that the login put on it",
        "of alice for acme",
        "target of   globex",
        "g-acme  acme    production  INC-4711  it is of another tenant  yes",
        "verdict: out of scope: another tenant's (grant g-acme) (policy v1)",
        "ALERT high alice (acme, INC-4711, production) read globex",
    ] {
        assert!(table.contains(part), "{part:?} is not in\n{table}");
    }
    let record = &records(&shown(&["explain", &id]))[0];
    assert_eq!(record["type"], "explanation");
    assert_eq!(
        record["judgement"]["considered"][0]["against"],
        "wrong_tenant"
    );
    assert_eq!(record["alerts"][0]["id"], facts::ALERT);
    assert_eq!(record["matching_rules"][1], "cascade");
}

#[test]
fn hosts_say_what_their_agents_see_and_what_stays_unseen() {
    assert_eq!(
        shown(&["hosts", "-o", "table"]),
        "\
HOST    STATE      AGENT  KERNEL  SINCE                SEEN    BLIND   KRL
jump-1  connected  0.1.0  6.12.1  2026-01-02 12:00:00  2 of 3  memory  7 of 9
"
    );
    assert_eq!(
        shown(&["hosts", "--blind", "-o", "table"]),
        "\
HOST    KERNEL  FAMILY  TIER        UNSEEN
jump-1  6.12.1  memory  blind       everything
jump-1  6.12.1  exec    tracepoint  scripts
"
    );
    let host = &records(&shown(&["hosts"]))[0];
    assert_eq!(
        (&host["type"], &host["connected"]),
        (&"host".into(), &true.into())
    );
    assert_eq!(
        host["host"]["started_at_rfc3339"],
        "2026-01-02T12:00:00.000000000Z"
    );
    assert_eq!(
        (&host["list"]["number"], &host["list_newest"]),
        (&7.into(), &9.into())
    );
    let spots = records(&shown(&["hosts", "--blind"]));
    assert_eq!(spots.len(), 2);
    assert_eq!(spots[0]["type"], "blind_spot");
    assert_eq!(spots[0]["hook"]["family"], "memory");
    assert!(spots[0]["hook"]["tier"].is_null());
}

#[test]
fn what_does_not_exist_ends_with_three() {
    let site = Site::new();
    let collector = site.collector(world());
    let other: EventId = facts::event_id(99);
    let ran = site.run(&collector, &["explain", &other.to_string()]);
    assert_eq!(
        (ran.code, ran.err.as_str()),
        (Some(3), "monitorctl: no ledger holds that event\n")
    );
    let ran = site.run(&collector, &["order", "ZZZZZZ"]);
    assert_eq!(
        (ran.code, ran.err.as_str()),
        (Some(3), "monitorctl: no order ends in ZZZZZZ\n")
    );
}

fn coloured(
    site: &Site,
    collector: &Collector,
    arguments: &[&str],
    extra: Option<(&str, &str)>,
) -> Option<String> {
    let mut command = site.command(collector, arguments);
    command.env("TERM", "xterm").envs(extra);
    on_terminal(&command, "").map(|ran| ran.out)
}

#[test]
fn colours_and_tables_are_for_terminals_only() {
    let site = Site::new();
    let collector = site.collector(world());
    for arguments in [
        &["sessions", "-o", "table"],
        &["alerts", "-o", "table"],
        &["sessions", "-o", "json"],
    ] {
        assert!(!site.run(&collector, arguments).out.contains('\x1b'));
    }
    let Some(text) = coloured(&site, &collector, &["sessions"], None) else {
        return;
    };
    assert!(text.contains("\x1b[32mlive\x1b[0m"), "{text:?}");
    for (arguments, extra) in [
        (&["sessions"][..], Some(("NO_COLOR", "1"))),
        (&["sessions", "--no-color"][..], None),
        (&["sessions", "-o", "ndjson"][..], None),
    ] {
        let text = coloured(&site, &collector, arguments, extra).unwrap();
        assert!(
            text.contains("INC-4711") && !text.contains('\x1b'),
            "{text:?}"
        );
    }
}
