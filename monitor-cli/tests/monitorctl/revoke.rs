//! revoke: who is reached, who is asked, what is waited for.

use monitor_model::{
    id::GrantId,
    revocation::{Order, Outcome, Target},
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
