//! revoke: who is reached, who is asked, what is waited for.

use monitor_ledger::{key::LogKey, receipt::Receipt};
use monitor_model::{
    id::GrantId,
    revocation::{
        Mode, Order, Outcome, Target,
        life::{Asks, OrderStep, Standing},
    },
};
use monitor_proto::v1;

use crate::{
    collector::{Collector, World},
    facts,
    program::{Site, on_terminal, records},
};

fn alice() -> Target {
    Target::Engineer("alice".parse().unwrap())
}

fn with_orders(site: &Site, orders: &[Order]) -> Collector {
    let grants = vec![
        (&facts::grant("g-acme")).into(),
        (&facts::grant("g-idle")).into(),
    ];
    site.collector(World {
        orders: orders.iter().map(Into::into).collect(),
        grants,
        ..World::default()
    })
}

const ALICE: [&str; 5] = ["revoke", "--engineer", "alice", "--reason", "offboarding"];

fn with(more: &[&'static str]) -> Vec<&'static str> {
    [&ALICE, more].concat()
}

#[test]
fn a_dry_run_shows_the_blast_radius_and_revokes_nothing() {
    let site = Site::new();
    let collector = with_orders(&site, &[facts::order(alice())]);
    let ran = site.run(&collector, &with(&["--dry-run", "-o", "table"]));
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    assert_eq!(
        ran.out,
        "\
would revoke engineer alice: 1 live session on 1 host, 2 grants and 1 certificate in use
SESSION  HOST    ENGINEER  SERIAL  GRANTS
S2A1B0   jump-1  alice     7       g-acme
grant g-idle, not in use
nothing was revoked: this was a dry run
"
    );
    let record = &records(&site.run(&collector, &with(&["--dry-run"])).out)[0];
    assert_eq!(record["type"], "blast_radius");
    assert_eq!(record["hosts"][0], "jump-1");
    assert_eq!(record["grants"].as_array().unwrap().len(), 2);
    assert_eq!(record["serials"][0], 7);
    assert!(
        collector
            .world()
            .revocations
            .iter()
            .all(|request| request.dry_run)
    );
}

#[test]
fn without_a_terminal_it_wants_yes() {
    let site = Site::new();
    let collector = with_orders(&site, &[facts::order(alice())]);
    let ran = site.run(&collector, &ALICE);
    assert_eq!(ran.code, Some(2));
    assert!(
        ran.err.contains("--yes") && ran.err.contains("--dry-run"),
        "{}",
        ran.err
    );
    assert!(collector.world().revocations.is_empty());
}

#[test]
fn on_a_terminal_it_asks_first() {
    let site = Site::new();
    let collector = with_orders(&site, &[facts::enforced(alice())]);
    let Some(ran) = on_terminal(&site.command(&collector, &ALICE), "n\n") else {
        return;
    };
    assert_eq!(ran.code, Some(0));
    assert!(
        ran.out.contains("this ends 1 live session on 1 host"),
        "{}",
        ran.out
    );
    assert!(
        ran.out.contains("Revoke engineer alice? [y/N]"),
        "{}",
        ran.out
    );
    assert!(ran.out.contains("nothing was revoked"), "{}", ran.out);
    assert!(
        collector
            .world()
            .revocations
            .iter()
            .all(|request| request.dry_run)
    );
    let ran = on_terminal(&site.command(&collector, &ALICE), "y\n").unwrap();
    assert!(ran.out.contains("broker answered after"), "{}", ran.out);
    assert!(!collector.world().revocations.last().unwrap().dry_run);
}

#[test]
fn it_waits_until_broker_and_hosts_have_confirmed_and_tells_each_step() {
    let site = Site::new();
    let done = facts::enforced(alice());
    let mut gone = facts::order(alice());
    gone.sessions.clone_from(&done.sessions);
    gone.last_error = "connection refused".into();
    let collector = with_orders(
        &site,
        &[facts::order(alice()), facts::order(alice()), gone, done],
    );
    let ran = site.run(&collector, &with(&["--yes", "-o", "table"]));
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(
        &lines[..4],
        [
            format!(
                "order {} against engineer alice: 1 live session",
                facts::ORDER
            )
            .as_str(),
            "session S2A1B0 on jump-1 gone after 41 ms, 3 killed",
            "broker not reached yet: connection refused",
            "broker answered after 177 ms",
        ]
    );
    assert!(
        ran.out.contains("last process gone          +44 ms"),
        "{}",
        ran.out
    );
    let world = collector.world();
    let request = world.revocations.last().unwrap();
    assert_eq!(request.reason, "offboarding");
    assert_eq!(request.order.len(), 16);
    assert_eq!(
        request.target,
        Some(v1::RevocationTarget {
            target: Some(v1::revocation_target::Target::Engineer("alice".into()))
        })
    );
}

#[test]
fn what_is_not_confirmed_in_time_ends_with_four_and_names_who_is_missing() {
    let site = Site::new();
    let collector = with_orders(&site, &[facts::order(alice())]);
    let ran = site.run(&collector, &with(&["--yes", "--timeout", "200ms"]));
    assert_eq!(ran.code, Some(4));
    assert!(
        ran.err
            .contains("within 200 ms the broker has not answered and no word came from jump-1"),
        "{}",
        ran.err
    );
    assert_eq!(records(&ran.out)[0]["state"], "in_force");
    let mut answered = facts::enforced(alice());
    answered.sessions[0].gone_at = None;
    let collector = with_orders(&site, &[answered]);
    let ran = site.run(&collector, &with(&["--yes", "--timeout", "200ms"]));
    assert_eq!(ran.code, Some(4));
    assert!(!ran.err.contains("the broker has not"), "{}", ran.err);
    assert_eq!(
        site.run(&collector, &with(&["--yes", "--wait", "broker_answered"]))
            .code,
        Some(0)
    );
}

#[test]
fn without_waiting_the_order_is_all() {
    let site = Site::new();
    let collector = with_orders(&site, &[facts::order(alice())]);
    let ran = site.run(&collector, &with(&["--yes", "--wait", "none"]));
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    assert_eq!(records(&ran.out)[0]["order"]["id"], facts::ORDER);
}

#[test]
fn a_broker_that_refuses_is_no_success() {
    let site = Site::new();
    let mut order = facts::enforced(alice());
    order.revoked[0].outcome = Outcome::RefusedByPolicy;
    let collector = with_orders(&site, &[order]);
    let ran = site.run(&collector, &with(&["--yes"]));
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.err.contains("certificate 7 is refused_by_policy"),
        "{}",
        ran.err
    );
}

#[test]
fn a_target_that_does_not_exist_ends_with_three() {
    let site = Site::new();
    let collector = site.collector(World::default());
    let ran = site.run(
        &collector,
        &["revoke", "--grant", "g-none", "--reason", "x", "--yes"],
    );
    assert_eq!(
        (ran.code, ran.err.as_str()),
        (Some(3), "monitorctl: nothing fits\n")
    );
    assert!("g-none".parse::<GrantId>().is_ok());
}

#[test]
fn it_says_what_mode_and_target_it_wants() {
    let site = Site::new();
    let mut frozen = facts::order(Target::Host("jump-1".parse().unwrap()));
    frozen.mode = Mode::Freeze;
    frozen.sessions[0].frozen_at = Some(facts::at(2_050));
    frozen.sessions[0].frozen = 4;
    let collector = with_orders(&site, &[frozen]);
    let args = [
        "revoke",
        "--host",
        "jump-1",
        "--reason",
        "odd",
        "--mode",
        "freeze",
        "--not-after",
        "2h",
        "--yes",
        "-o",
        "table",
    ];
    let ran = site.run(&collector, &args);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{}", ran.out);
    assert!(
        ran.out
            .contains("session S2A1B0 on jump-1 stands still after 47 ms, 4 processes"),
        "{}",
        ran.out
    );
    let world = collector.world();
    let request = world.revocations.last().unwrap();
    assert_eq!(request.mode(), v1::OrderMode::Freeze);
    assert!(request.not_after_unix_ns.is_some());
    let target = request.target.clone().unwrap().target;
    assert_eq!(
        target,
        Some(v1::revocation_target::Target::Host("jump-1".into()))
    );
}

#[test]
fn what_needs_a_second_person_is_told_and_ends_with_four() {
    let site = Site::new();
    let mut proposed = facts::order(alice());
    proposed.asks = Some(Asks::Bulk);
    let planned = with_orders(&site, &[proposed.clone()]);
    let ran = site.run(&planned, &with(&["--dry-run", "-o", "table"]));
    assert!(
        ran.out.contains("a second person must approve it"),
        "{}",
        ran.out
    );
    proposed.steps = vec![step(Standing::Proposed)];
    let collector = with_orders(&site, &[proposed]);
    let ran = site.run(&collector, &with(&["--yes"]));
    assert_eq!(ran.code, Some(4), "{}", ran.err);
    assert!(
        ran.err.contains("nothing was revoked") && ran.err.contains("orders approve"),
        "{}",
        ran.err
    );
}

fn step(to: Standing) -> OrderStep {
    OrderStep {
        to,
        by: "soc/carol".into(),
        note: "why not".into(),
        at: facts::at(2_003),
    }
}

#[test]
fn orders_are_approved_rejected_lifted_and_listed_by_state() {
    let site = Site::new();
    let mut proposed = facts::order(alice());
    proposed.steps = vec![step(Standing::Proposed)];
    let collector = with_orders(&site, &[proposed, facts::enforced(alice())]);
    let ran = site.run(&collector, &["orders", "--state", "proposed"]);
    let listed = records(&ran.out);
    assert_eq!((listed.len(), &listed[0]["state"]), (1, &"proposed".into()));
    for (args, what) in [
        (&["orders", "approve", facts::ORDER][..], "approve"),
        (
            &["orders", "reject", facts::ORDER, "--note", "no"],
            "reject",
        ),
        (&["orders", "lift", facts::ORDER, "--note", "no"], "lift"),
    ] {
        let ran = site.run(&collector, args);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        assert_eq!(collector.world().decisions.last().unwrap().0, what);
        assert_eq!(
            what == "lift",
            ran.err.contains("stay ended"),
            "{}",
            ran.err
        );
    }
    let ran = site.run(&collector, &["orders", "lift", facts::ORDER]);
    assert_eq!(ran.code, Some(2), "a lift wants a reason: {}", ran.err);
    let ran = site.run(&collector, &["orders", "show", facts::ORDER, "-o", "table"]);
    assert!(ran.out.contains("proposed by soc/carol at"), "{}", ran.out);
    assert!(ran.out.contains(": why not"), "{}", ran.out);
}

#[test]
fn what_rules_would_have_done_is_a_report_of_its_own() {
    let site = Site::new();
    let mut observed = facts::order(Target::Session(facts::SESSION.parse().unwrap()));
    observed.cause.initiator = "rule cascade".into();
    observed.sessions[0].tenant = Some("acme".parse().unwrap());
    observed.steps = vec![step(Standing::Observed)];
    let collector = with_orders(&site, &[observed]);
    let ran = site.run(&collector, &["orders", "--observed", "-o", "table"]);
    let mut lines = ran.out.lines();
    let columns = lines.next().unwrap().split_whitespace().collect::<Vec<_>>();
    assert_eq!(
        columns,
        [
            "WHEN", "SESSION", "HOST", "ENGINEER", "TENANT", "RULE", "WOULD", "REACH"
        ]
    );
    let row = lines.next().unwrap();
    for part in [
        "jump-1",
        "alice",
        "acme",
        "cascade",
        "kill",
        "1 session, 1 grant, 1 certificate",
    ] {
        assert!(row.contains(part), "{part}: {row}");
    }
}

#[test]
fn a_receipt_is_written_and_checked_without_a_collector() {
    let site = Site::new();
    let done = facts::enforced(alice());
    let key = LogKey::new("monitor.test", &[7; 32]).unwrap();
    let signed = Receipt::new(&done, &"main".parse().unwrap(), facts::at(3_000));
    let signed = signed.sign(&key).unwrap();
    let collector = site.collector(World {
        orders: [(&done).into()].into(),
        receipt: signed.clone(),
        ..World::default()
    });
    let folder = tempfile::tempdir().unwrap();
    let (receipt, vkey) = (folder.path().join("r"), folder.path().join("k"));
    let (path, vkey_path) = (receipt.to_str().unwrap(), vkey.to_str().unwrap());
    let verifier = key.signer("acme").unwrap();
    std::fs::write(&vkey, verifier.verifier().as_str()).unwrap();
    let ran = site.run(
        &collector,
        &[&ALICE[..], &["--yes", "--receipt", path]].concat(),
    );
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!(std::fs::read(&receipt).unwrap(), signed);
    let verify = [
        "verify",
        "--receipt",
        path,
        "--verifier-key",
        vkey_path,
        "-o",
        "table",
    ];
    let ran = site.run(&collector, &verify);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{}", ran.out);
    for part in [
        "against engineer alice",
        "certificate 7: revoked",
        "host jump-1: confirmed",
    ] {
        assert!(ran.out.contains(part), "{part}: {}", ran.out);
    }
    let mut bent = signed;
    bent[60] ^= 1;
    std::fs::write(&receipt, bent).unwrap();
    let ran = site.run(&collector, &verify);
    assert_eq!(ran.code, Some(1), "{}", ran.out);
    assert!(ran.err.contains("receipt:"), "{}", ran.err);
    let ran = site.run(&collector, &["verify", "--receipt", path]);
    assert_eq!(ran.code, Some(2), "it wants a key: {}", ran.err);
}
