//! Who is let in, who is not, and who is left alone.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::{Duration, Instant};

use monitor_tests::engineer::{Engineer, Grant};
use monitor_tests::poll;
use monitor_tests::processes::Process;
use monitor_tests::scene::{SEEN_WITHIN, Scene, curl, expect, goes_to};
use monitor_tests::stage::{ACCOUNT, BREAK_GLASS_ACCOUNT, cleanup};
use monitor_tests::test_stage::{self, TestStage};

/// How much later than its grant a session may be gone.
const SLACK: Duration = Duration::from_secs(5);

fn grant(engineer: &Engineer, tenant: &str) -> Grant {
    Grant {
        id: format!("{}-{tenant}-1", engineer.name),
        tenant: tenant.to_owned(),
        ticket: "INC-4712".to_owned(),
        purpose: "look after the backups".to_owned(),
        valid_seconds: 3600,
    }
}

fn with_certificate(ground: &TestStage, name: &str, tenant: &str) -> Engineer {
    let engineer = Engineer::new(&ground.stage, name).unwrap();
    let grant = grant(&engineer, tenant);
    engineer.is_granted(&grant).unwrap();
    engineer.gets_certificate(&grant).unwrap();
    engineer
}

#[test]
fn neighbour_in_the_same_account_is_untouched() {
    let Some(ground) = test_stage::whole("neighbour").unwrap() else {
        return;
    };
    let bob = with_certificate(&ground, "bob", "globex");
    let mut beside = bob.logs_in(ACCOUNT).unwrap();
    let opened = ground
        .facts
        .wait("bob's login", SEEN_WITHIN, |fact| {
            fact.is_event("session_opened") && fact.principal() == "bob"
        })
        .unwrap();
    let mut scene = Scene::open(&ground.stage, &ground.facts, &ground.timeline, "alice").unwrap();
    scene.arrives().unwrap();
    scene.leaves_something_running().unwrap();
    scene.strays(&ground.stage).unwrap();
    scene.is_cut_off(&ground.stage).unwrap();
    assert!(beside.lives().unwrap());
    let said = beside.types(&curl("globex")).unwrap();
    assert_eq!(said.text.trim(), "globex", "{said:?}");
    let session = opened.session().to_owned();
    assert_ne!(session, scene.session);
    expect(&ground.facts, &session, "in_scope", "connect", |fact| {
        goes_to(fact, "globex")
    })
    .unwrap();
    assert!(bob.logs_in(ACCOUNT).is_ok(), "bob may still log in");
}

#[test]
fn nobody_is_let_in_while_the_agent_is_down_but_the_break_glass_account() {
    let Some(mut ground) = test_stage::whole("down").unwrap() else {
        return;
    };
    let alice = with_certificate(&ground, "alice", "acme");
    assert!(alice.tries_to_log_in(ACCOUNT).unwrap().status.success());
    ground.stage.services.kill("monitor-agent").unwrap();
    let attempt = alice.tries_to_log_in(ACCOUNT).unwrap();
    assert!(attempt.was_refused(), "{attempt:?}");
    let attempt = alice.tries_to_log_in(BREAK_GLASS_ACCOUNT).unwrap();
    assert!(attempt.status.success(), "{attempt:?}");
    ground.stage.services.start_agent().unwrap();
    ground.stage.services.agent_is_ready().unwrap();
    let attempt = alice.tries_to_log_in(ACCOUNT).unwrap();
    assert!(attempt.status.success(), "{attempt:?}");
}

#[test]
fn login_that_is_older_than_the_probes_is_adopted_with_its_processes() {
    let Some(mut ground) = test_stage::whole("older").unwrap() else {
        return;
    };
    let alice = with_certificate(&ground, "alice", "acme");
    ground.stage.services.kill("monitor-agent").unwrap();
    cleanup::detach(ground.stage.folder.root()).unwrap();
    let mut login = alice.logs_in(BREAK_GLASS_ACCOUNT).unwrap();
    ground.stage.services.start_agent().unwrap();
    ground.stage.services.agent_is_ready().unwrap();
    let opened = ground
        .facts
        .wait("the older login", SEEN_WITHIN, |fact| {
            fact.is_event("session_opened")
                && fact.text("/event/action/session/account") == BREAK_GLASS_ACCOUNT
        })
        .unwrap();
    let adopted = opened.value.pointer("/event/action/session/adopted");
    assert_eq!(adopted, Some(&true.into()), "{opened:?}");
    let said = login.types("id -un").unwrap();
    assert_eq!(said.text.trim(), BREAK_GLASS_ACCOUNT, "{said:?}");
    let session = opened.text("/event/action/session/id").to_owned();
    let run = ground
        .facts
        .wait("a program in it", SEEN_WITHIN, |fact| {
            fact.is_event("exec") && fact.session() == session && fact.text("/what").contains("id")
        })
        .unwrap();
    assert_eq!(run.text("/event/attribution/reason"), "no_principal");
    drop(login);
    ground
        .facts
        .wait("its end", SEEN_WITHIN, |fact| {
            fact.is_event("session_ended") && fact.text("/event/action/session") == session
        })
        .unwrap();
}

#[test]
fn what_outlives_a_login_is_told_by_name() {
    let Some(ground) = test_stage::whole("survivors").unwrap() else {
        return;
    };
    let alice = with_certificate(&ground, "alice", "acme");
    let mut login = alice.logs_in(ACCOUNT).unwrap();
    let said = login
        .types("setsid sleep 600 < /dev/null > /dev/null 2>&1 & echo $!")
        .unwrap();
    drop(login);
    let told = ground
        .facts
        .wait("what is left to be told", SEEN_WITHIN, |fact| {
            fact.is_event("survivors")
        })
        .unwrap();
    let pid = told.number("/event/action/processes/0/pid").unwrap();
    assert_eq!(said.text.trim(), pid.to_string(), "{told:?}");
    assert_eq!(told.number("/event/action/total"), Some(1));
    assert_eq!(told.principal(), "alice");
    assert!(told.text("/what").contains("sleep"), "{told:?}");
    Process::of(u32::try_from(pid).unwrap()).unwrap().kill();
    let session = told.session().to_owned();
    ground
        .facts
        .wait("the session's end", SEEN_WITHIN, |fact| {
            fact.is_event("session_ended") && fact.text("/event/action/session") == session
        })
        .unwrap();
}

#[test]
fn a_session_ends_with_its_grant_while_the_collector_is_away() {
    let Some(mut ground) = test_stage::whole("expiry").unwrap() else {
        return;
    };
    let valid = Duration::from_secs(15);
    let alice = Engineer::new(&ground.stage, "alice").unwrap();
    let grant = Grant {
        valid_seconds: valid.as_secs(),
        ..grant(&alice, "acme")
    };
    let before = Instant::now();
    alice.is_granted(&grant).unwrap();
    let after = Instant::now();
    alice.gets_certificate(&grant).unwrap();
    let mut login = alice.logs_in(ACCOUNT).unwrap();
    let said = login.types("setsid sleep 600 < /dev/null > /dev/null 2>&1 & echo $!");
    let left = said.unwrap().text.trim().parse().unwrap();
    let left = Process::of(left).unwrap();
    ground.stage.services.kill("monitor-collector").unwrap();
    assert!(login.lives().unwrap(), "the grant holds");
    login.ends(valid * 2).unwrap();
    // It is looked once a second, and a busy machine takes its time to end a session.
    let gone = Instant::now();
    assert!(
        gone >= before + valid,
        "{:?} too early",
        before + valid - gone
    );
    assert!(
        gone < after + valid + SLACK,
        "{:?} too late",
        gone - (after + valid)
    );
    poll::until_true("what it left to end", SEEN_WITHIN, || !left.lives()).unwrap();
    assert!(alice.tries_to_log_in(ACCOUNT).unwrap().was_refused());
    ground.stage.services.start_collector().unwrap();
    let told = ground
        .facts
        .wait("the receipt", SEEN_WITHIN, |fact| {
            fact.is_event("contained")
        })
        .unwrap();
    assert_eq!(told.text("/event/action/receipt/expired"), grant.id);
    assert_eq!(told.principal(), "alice");
}

#[test]
fn certificate_of_another_key_is_refused() {
    let Some(ground) = test_stage::whole("another").unwrap() else {
        return;
    };
    with_certificate(&ground, "alice", "acme");
    let eve = Engineer::new(&ground.stage, "eve").unwrap();
    let place = ground.stage.folder.at("engineers");
    std::fs::copy(
        place.join("alice/id-cert.pub"),
        place.join("eve/id-cert.pub"),
    )
    .unwrap();
    let attempt = eve.tries_to_log_in(ACCOUNT).unwrap();
    assert!(attempt.was_refused(), "{attempt:?}");
}

#[test]
fn grant_that_is_not_known_gives_no_certificate() {
    let Some(ground) = test_stage::whole("unknown").unwrap() else {
        return;
    };
    let alice = Engineer::new(&ground.stage, "alice").unwrap();
    let error = alice.gets_certificate(&grant(&alice, "acme")).unwrap_err();
    assert!(error.to_string().contains("alice-acme-1"), "{error:#}");
}
