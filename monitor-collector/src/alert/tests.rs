use monitor_model::{alert::Severity, event::Fact, id::Source, verdict::VerdictKind};

use super::*;
use crate::testing::{BASE, at_seconds, credential, entry_of, event_id, grant};

fn rule(id: &str, response: Response, after: u32) -> Rule {
    Rule {
        id: id.into(),
        verdicts: vec![VerdictKind::OutOfScope],
        kinds: vec![Kind::Credential, Kind::Connect],
        reasons: vec![],
        facts: vec![],
        severity: Severity::High,
        technique: "T1078".into(),
        response,
        after,
        window: Duration::from_secs(3_600),
    }
}

fn alerter() -> Alerter {
    let rules = vec![
        rule("notify", Response::Notify, 1),
        rule("revoke", Response::Revoke, 2),
    ];
    Alerter::new(rules, Duration::from_secs(60))
}

/// An out-of-scope read of globex's file by alice's session for acme.
fn read(sequence: u64, path: &str, seconds: u64) -> Entry {
    let mut event = credential(
        event_id("jump-3", Source::Priority { cpu: 0 }, sequence),
        "globex",
        path,
    );
    event.at = at_seconds(seconds);
    entry_of(event, sequence)
}

fn answer(alerter: &mut Alerter, entry: &Entry) -> Answer {
    let standing = telling::Standing::from(&grant("01JG", "alice", "acme"));
    let moment = Moment {
        at: BASE,
        stamp: UnixNs(entry.stored_at.0 + 1),
        standing: Some(&standing),
    };
    alerter.answer(entry, &moment)
}

fn raised(answer: Answer) -> Raised {
    match answer {
        Answer::Raise(raised) => raised,
        other @ (Answer::Nothing | Answer::Fold(_)) => panic!("{other:?}"),
    }
}

#[test]
fn an_alert_reads_like_a_sentence_and_names_no_other_tenant_to_a_ledgers_reader() {
    let raised = raised(answer(
        &mut alerter(),
        &read(1, "/srv/globex/kubeconfig", 0),
    ));
    assert_eq!(
        raised.alert.sentence,
        "alice (acme, INC-4711, production, grant 01JG) read globex credential /srv/globex/kubeconfig with cat on jump-3"
    );
    assert_eq!(
        raised.outside,
        "alice (in a session of another tenant) read globex credential /srv/globex/kubeconfig with cat on jump-3"
    );
}

#[test]
fn the_second_match_of_a_session_revokes_once() {
    let mut alerter = alerter();
    assert_eq!(
        raised(answer(&mut alerter, &read(1, "/srv/globex/a", 0)))
            .alert
            .response,
        Response::Notify
    );
    let second = raised(answer(&mut alerter, &read(2, "/srv/globex/a", 1)));
    assert_eq!(
        (second.alert.response, second.alert.rule.as_str()),
        (Response::Revoke, "revoke")
    );
    assert!(second.alert.order.is_some());
    let third = answer(&mut alerter, &read(3, "/srv/globex/b", 2));
    assert_eq!(raised(third).alert.response, Response::Notify);
}

#[test]
fn a_window_ends_on_its_border() {
    let mut inside = alerter();
    answer(&mut inside, &read(1, "/srv/globex/a", 0));
    assert_eq!(
        raised(answer(&mut inside, &read(2, "/srv/globex/b", 3_599)))
            .alert
            .response,
        Response::Revoke
    );
    let mut border = alerter();
    answer(&mut border, &read(1, "/srv/globex/a", 0));
    assert_eq!(
        raised(answer(&mut border, &read(2, "/srv/globex/b", 3_600)))
            .alert
            .response,
        Response::Notify
    );
}

#[test]
fn like_alerts_are_folded_with_a_count_until_the_window_is_over() {
    let mut alerter = Alerter::new(
        vec![rule("notify", Response::Notify, 1)],
        Duration::from_secs(60),
    );
    let first = raised(answer(&mut alerter, &read(1, "/srv/globex/a", 0)));
    let Answer::Fold(folded) = answer(&mut alerter, &read(2, "/srv/globex/a", 59)) else {
        panic!("not folded")
    };
    assert_eq!((folded.alert.id, folded.alert.count), (first.alert.id, 2));
    assert!(matches!(
        answer(&mut alerter, &read(3, "/srv/globex/b", 59)),
        Answer::Raise(_)
    ));
    assert!(matches!(
        answer(&mut alerter, &read(4, "/srv/globex/a", 60)),
        Answer::Raise(_)
    ));
}

#[test]
fn a_restart_between_two_matches_changes_nothing() {
    let (one, two) = (read(1, "/srv/globex/a", 0), read(2, "/srv/globex/a", 1));
    let mut before = alerter();
    let first = raised(answer(&mut before, &one));
    let expected = answer(&mut before, &two);
    let mut after = alerter();
    after.recount(&one);
    after.remember(first);
    assert_eq!(answer(&mut after, &two), expected);
}

#[test]
fn what_no_rule_names_raises_nothing() {
    let mut alerter = alerter();
    let event = credential(
        event_id("jump-3", Source::Priority { cpu: 0 }, 1),
        "acme",
        "/srv/acme/a",
    );
    assert_eq!(answer(&mut alerter, &entry_of(event, 1)), Answer::Nothing);
}

#[test]
fn revoked_sessions_without_end_are_not_remembered_without_end() {
    let mut alerter = alerter();
    let most = u64::try_from(SUBJECTS_MAX).unwrap();
    let session = |number: u64| crate::testing::session_id(number.into());
    for number in 0..=most {
        alerter.remember_revoked(&Target::Session(session(number)), UnixNs(number));
    }
    assert_eq!(alerter.revoked.len(), SUBJECTS_MAX);
    assert!(alerter.revoked.contains_key(&session(most)));
}

/// A program of an engineer whose first argument is this.
fn program(first: &str) -> Entry {
    let mut event = credential(
        event_id("jump-3", Source::Priority { cpu: 0 }, 1),
        "acme",
        "/srv/acme/a",
    );
    let Action::Credential { object, .. } = &event.action else {
        panic!("no credential")
    };
    let mut exe = object.clone();
    exe.path.text = "/usr/bin/cat".into();
    event.action = Action::Exec {
        exe,
        argv: vec![first.into()],
        argv_bytes: 4,
        argv_truncated: false,
        redacted: 0,
        argv_digest: None,
        script: None,
        given: "/bin/cat".into(),
        interpreter: "".into(),
    };
    entry_of(event, 1)
}

#[test]
fn a_rule_about_a_fact_fires_whatever_the_verdict_and_only_on_that_fact() {
    let alerter = || {
        Alerter::new(
            vec![Rule {
                verdicts: vec![],
                kinds: vec![],
                facts: vec![Fact::Disguise],
                ..rule("disguise", Response::Notify, 1)
            }],
            Duration::from_secs(60),
        )
    };
    let alert = raised(answer(&mut alerter(), &program("sshd"))).alert;
    assert_eq!(alert.rule, "disguise");
    for honest in ["cat", "/bin/cat", "-cat"] {
        assert_eq!(answer(&mut alerter(), &program(honest)), Answer::Nothing);
    }
    let other = read(1, "/srv/globex/a", 0);
    assert_eq!(answer(&mut alerter(), &other), Answer::Nothing);
}
