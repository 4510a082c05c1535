use monitor_model::{
    alert::Severity,
    event::{HostChange, MemoryAccess, Operation, ProcessRef, SocketOperation},
    id::Source,
    verdict::VerdictKind,
};

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

/// The rules that come with the collector.
fn default_alerter() -> Alerter {
    let path = std::path::Path::new("/test/collector.toml");
    let config = crate::config::Config::parse(path, crate::config::DEFAULT).unwrap();
    Alerter::new(config.rules, Duration::from_secs(60))
}

/// The rule, the technique and the answer for what alice's session did.
fn told(action: Action) -> Option<(String, String, Response)> {
    let id = event_id("jump-3", Source::Priority { cpu: 0 }, 1);
    let entry = entry_of(crate::testing::event(id, action), 1);
    match answer(&mut default_alerter(), &entry) {
        Answer::Raise(raised) => {
            let alert = raised.alert;
            assert!(alert.sentence.contains("alice") && alert.order.is_none());
            Some((alert.rule, alert.technique, alert.response))
        }
        Answer::Nothing => None,
        Answer::Fold(folded) => panic!("{folded:?}"),
    }
}

fn target(session: Option<u128>, holds_credentials: bool) -> ProcessRef {
    ProcessRef {
        pid: 99,
        start_boot_ns: Some(1),
        session: session.map(crate::testing::session_id),
        holds_credentials,
        exe: None,
    }
}

fn memory(target: ProcessRef) -> Action {
    Action::Memory {
        target,
        access: MemoryAccess::Attached,
        syscall: None,
        denied: false,
    }
}

fn socket(operation: SocketOperation, family: u16, socket_type: u16) -> Action {
    Action::Socket {
        operation,
        family,
        socket_type,
        protocol: 0,
        local: None,
        peer: None,
        net_ns: 1,
        denied: false,
    }
}

fn host_change(change: HostChange) -> Action {
    Action::Host {
        change,
        number: 0,
        detail: "".into(),
        path: None,
        target: None,
        denied: false,
    }
}

/// What a use of alice's own client's file is told as.
fn used(class: &str, operation: Operation) -> Action {
    let id = event_id("jump-3", Source::Priority { cpu: 0 }, 1);
    let mut action = credential(id, "acme", "/srv/acme/a").action;
    if let Action::Credential {
        class: of,
        operation: how,
        technique,
        ..
    } = &mut action
    {
        of.replace_range(.., class);
        *how = operation;
        *technique = Some("T1552.004".into());
    }
    action
}

#[test]
fn what_stands_out_is_told_by_the_default_rules_and_everyday_work_is_not() {
    let (made, listening) = (SocketOperation::Created, SocketOperation::Listening);
    let dump = |number| Action::Signal {
        target: target(Some(1), true),
        number,
    };
    for (action, expected) in [
        (
            memory(target(Some(1), true)),
            Some(("memory-of-a-credential-holder", "T1003")),
        ),
        (dump(6), Some(("memory-of-a-credential-holder", "T1003"))),
        (
            memory(target(Some(2), false)),
            Some(("memory-of-another-session", "T1055.008")),
        ),
        (
            memory(target(None, false)),
            Some(("memory-of-another-session", "T1055.008")),
        ),
        (
            host_change(HostChange::Module),
            Some(("kernel-code", "T1547.006")),
        ),
        (
            host_change(HostChange::Bpf),
            Some(("kernel-probe", "T1014")),
        ),
        (
            host_change(HostChange::LoginUid),
            Some(("login-id-changed", "T1562")),
        ),
        (
            host_change(HostChange::Mounted),
            Some(("host-changed", "T1562")),
        ),
        (socket(made, 17, 3), Some(("raw-socket", "T1205"))),
        (socket(listening, 2, 1), Some(("listener", "T1571"))),
        (
            used("block-device", Operation::Read),
            Some(("past-the-file-system", "T1006")),
        ),
        // The rule has no technique: that of the watch list is told.
        (
            used("ssh-key", Operation::Received),
            Some(("passed-descriptor", "T1552.004")),
        ),
        (memory(target(Some(1), false)), None),
        (dump(9), None),
        (socket(listening, 1, 1), None),
        (socket(made, 16, 3), None),
        (used("ssh-key", Operation::Read), None),
    ] {
        let told = told(action.clone());
        let expected =
            expected.map(|(rule, id)| (rule.to_owned(), id.to_owned(), Response::Notify));
        assert_eq!(told, expected, "{action:?}");
    }
}
