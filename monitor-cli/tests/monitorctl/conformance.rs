//! The conformance kit: a right broker passes, and each wrong one fails for the
//! reason that it was made wrong in.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    broker::{Broker, Fault, model, reference},
    collector::World,
    program::{Ran, Site, bare, ran, records},
};

/// A site with a broker's, an admin's and an agent's certificate.
fn site() -> Site {
    let site = Site::new();
    for identity in ["broker/broker", "admin/root", "agent/jump-1"] {
        site.issue(&format!("monitor://{identity}"), 1);
    }
    site
}

/// Tries a broker as a collector, with these flags besides.
fn tried(site: &Site, broker: &Broker, more: &[&str]) -> Ran {
    let files = site.files("collector");
    let [first, second] = broker.serials.map(|serial| serial.to_string());
    let mut command = bare(&["conformance", "broker", "--target", &broker.address]);
    command
        .args(["--engineer", "alice", "--serial", &first])
        .arg("--ca")
        .arg(files.ca)
        .arg("--certificate")
        .arg(files.certificate)
        .arg("--key")
        .arg(files.key);
    if !more.contains(&"one") {
        command.args(["--serial", &second]);
    }
    command.args(more.iter().filter(|flag| **flag != "one"));
    ran(command)
}

/// With certificates of every kind of stranger.
fn tried_whole(site: &Site, broker: &Broker) -> Ran {
    let alien = Site::new();
    alien.issue("monitor://collector/alien", 1);
    let agent = site.files("jump-1");
    let alien = alien.files("alien");
    let text = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    tried(
        site,
        broker,
        &[
            "-o",
            "ndjson",
            "--wrong-role-certificate",
            &text(&agent.certificate),
            "--wrong-role-key",
            &text(&agent.key),
            "--other-authority-certificate",
            &text(&alien.certificate),
            "--other-authority-key",
            &text(&alien.key),
        ],
    )
}

/// Reasons by check, of one result.
fn of(ran: &Ran, result: &str) -> BTreeMap<String, String> {
    let records = records(&ran.out);
    assert_eq!(records.len(), 13, "{ran:?}");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    records
        .iter()
        .filter(|record| record["result"] == result)
        .map(|record| (text(&record["check"]), text(&record["reason"])))
        .collect()
}

#[test]
fn the_reference_broker_passes() {
    let site = site();
    let collector = site.collector(World::default());
    let broker = reference(&site, &collector);
    let ran = tried_whole(&site, &broker);
    assert_eq!(of(&ran, "passed").len(), 13, "{ran:?}");
    assert_eq!(ran.code, Some(0));
    assert!(ran.err.contains("13 checks passed"), "{}", ran.err);
    // What was revoked for the first run is not there for a second one.
    let again = tried_whole(&site, &broker);
    assert_eq!(again.code, Some(1));
    let failed = of(&again, "failed");
    assert!(
        failed["described-before"].contains("give one that is valid"),
        "{failed:?}"
    );
}

#[test]
fn what_was_skipped_is_listed_with_the_reason() {
    let site = site();
    let broker = model(&site, Fault::None);
    let ran = tried(&site, &broker, &["one", "-o", "json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let all: Vec<Value> = serde_json::from_str(&ran.out).unwrap();
    let skipped: Vec<_> = all
        .iter()
        .filter(|one| one["result"] == "skipped")
        .collect();
    let names: Vec<_> = skipped
        .iter()
        .map(|one| one["check"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["wrong-role", "other-authority", "at-once"]);
    let reason = skipped[0]["reason"].as_str().unwrap();
    assert!(reason.contains("--wrong-role-certificate"), "{reason}");
    assert_eq!(all[0]["schema_version"], 1);
    let broker = model(&site, Fault::None);
    let table = tried(&site, &broker, &["-o", "table"]);
    assert!(table.out.contains("at-once"), "{table:?}");
    assert!(table.err.contains("11 checks passed, 2 were skipped"));
}

#[test]
fn each_wrong_broker_fails_for_what_is_wrong_in_it() {
    for (fault, wrong) in [
        (Fault::None, &[] as &[(&str, &str)]),
        (
            Fault::RevokesAgain,
            &[
                ("same-again", "it was revoked twice"),
                ("later-attempt", "it was revoked twice"),
                ("deadline", "told as revoked where already_revoked is right"),
                ("at-once", "one order is told revoked and the other revoked"),
                ("described-after", "another time"),
            ],
        ),
        (
            Fault::ErrorOnUnknown,
            &[
                ("unknown", "has the collector ask for ever"),
                ("partial", "no such certificate"),
            ],
        ),
        (
            Fault::IgnoresIdentity,
            &[("wrong-role", "does not look at who asks")],
        ),
        (
            Fault::ForgetsOrders,
            &[("other-target", "does not remember which order")],
        ),
        (
            Fault::OnlyClaims,
            &[("described-after", "Describe shows it valid")],
        ),
    ] {
        let site = site();
        let broker = model(&site, fault);
        let ran = tried_whole(&site, &broker);
        let failed = of(&ran, "failed");
        let names: Vec<&String> = failed.keys().collect();
        assert_eq!(names.len(), wrong.len(), "{fault:?}: {failed:?}");
        for (check, reason) in wrong {
            let told = failed
                .get(*check)
                .unwrap_or_else(|| panic!("{fault:?}: {failed:?}"));
            assert!(told.contains(reason), "{fault:?}, {check}: {told}");
        }
        assert_eq!(ran.code, Some(i32::from(!wrong.is_empty())), "{ran:?}");
    }
}

#[test]
fn a_broker_that_cannot_be_asked_at_all_is_told_and_not_judged() {
    let site = site();
    let mut away = model(&site, Fault::None);
    away.address = "https://127.0.0.1:1".to_owned();
    let ran = tried(&site, &away, &[]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.out.is_empty() && ran.err.contains("127.0.0.1:1"),
        "{ran:?}"
    );
    let twice = tried(&site, &away, &["--serial", "41"]);
    assert_eq!(twice.code, Some(2), "{twice:?}");
}
