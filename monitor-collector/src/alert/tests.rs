use std::collections::BTreeSet;

use monitor_model::{
    alert::Severity,
    event::{Action, Fact, HostChange, Kind, MemoryAccess, Operation, ProcessRef, SocketOperation},
    id::{Source, TenantId},
    verdict::VerdictKind,
};

use super::{
    hosts::{Seen, Sight},
    rule::{By, Conditions, Counted},
    *,
};
use crate::testing::{BASE, at_seconds, credential, entry_of, event_id, grant};

pub(super) const DEDUPE: Duration = Duration::from_secs(60);

pub(super) fn rule(id: &str, response: Response, after: u32) -> Rule {
    Rule {
        id: id.into(),
        version: 1,
        title: id.into(),
        conditions: Conditions {
            verdicts: vec![VerdictKind::OutOfScope],
            kinds: vec![Kind::Credential, Kind::Connect],
            ..Conditions::default()
        },
        severity: Severity::High,
        technique: "T1078".into(),
        attack_version: "19".into(),
        controls: vec![],
        response,
        after,
        counted: Counted::Events,
        by: By::Session,
        window: Duration::from_secs(3_600),
        dedupe: DEDUPE,
    }
}

/// An alerter that has these rules, and knows nothing yet.
pub(super) fn alerter_of(rules: Vec<Rule>) -> Alerter {
    Alerter {
        rules,
        patience: Duration::from_secs(60),
        dormant: Duration::from_secs(30 * 86_400),
        counters: Counters::default(),
        hosts: Hosts::default(),
        uses: Uses::default(),
        keys: Keys::default(),
        folds: HashMap::new(),
        policy: crate::config::response::ResponsePolicy::default(),
        answered: HashMap::new(),
    }
}

fn alerter() -> Alerter {
    alerter_of(vec![
        rule("notify", Response::Notify, 1),
        rule("revoke", Response::Revoke, 2),
    ])
}

/// The same alerter after a restart, with what was kept.
fn restarted(alerter: &mut Alerter, raised: &[Raised]) -> Alerter {
    let mut after = alerter_of(alerter.rules.clone());
    for kept in alerter.take_changes() {
        after.restore(&kept);
    }
    for raised in raised {
        after.remember(raised.clone());
    }
    after
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

pub(super) fn answer(alerter: &mut Alerter, entry: &Entry) -> Answer {
    let standing = telling::Standing::from(&grant("01JG", "alice", "acme"));
    let moment = Moment {
        at: BASE,
        stamp: UnixNs(entry.stored_at.0 + 1),
        standing: Some(&standing),
        granted_from: None,
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

/// The same read, of which the kernel counted so many.
fn reads(sequence: u64, seconds: u64, acts: u32) -> Entry {
    let mut event = read(sequence, "/srv/globex/a", seconds).judged.event;
    let first_at = event.at;
    if let Action::Credential { counted, .. } = &mut event.action {
        *counted = Some(monitor_model::event::Counted { acts, first_at });
    }
    entry_of(event, sequence)
}

#[test]
fn acts_that_one_event_stands_for_count_as_so_many() {
    let rules = || {
        vec![
            rule("notify", Response::Notify, 1),
            rule("revoke", Response::Revoke, 1_000),
        ]
    };
    let mut alerter = alerter_of(rules());
    let first = raised(answer(&mut alerter, &reads(1, 0, 500)));
    assert_eq!(
        (first.alert.rule.as_str(), first.alert.count),
        ("notify", 500)
    );
    let mut after = restarted(&mut alerter, &[first]);
    let Answer::Fold(folded) = answer(&mut after, &reads(2, 1, 499)) else {
        panic!("999 in all")
    };
    assert_eq!(folded.alert.count, 999);
    let last = raised(answer(&mut after, &read(3, "/srv/globex/a", 2)));
    assert_eq!(last.alert.rule, "revoke", "also after a restart");
    let mut at_once = alerter_of(rules());
    let alert = raised(answer(&mut at_once, &reads(1, 0, 1_000))).alert;
    assert_eq!((alert.rule.as_str(), alert.count), ("revoke", 1_000));
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
    let mut alerter = alerter_of(vec![rule("notify", Response::Notify, 1)]);
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
    let mut after = restarted(&mut before, &[first]);
    let expected = answer(&mut before, &two);
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
        alerter.answer_once(session(number), Response::Revoke, UnixNs(number));
    }
    assert_eq!(alerter.answered.len(), SUBJECTS_MAX);
    assert!(alerter.answered.contains_key(&session(most)));
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
        alerter_of(vec![Rule {
            conditions: Conditions {
                facts: vec![Fact::Disguise],
                ..Conditions::default()
            },
            ..rule("disguise", Response::Notify, 1)
        }])
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
    alerter_of(crate::config::rules::standard(DEDUPE).unwrap())
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

pub(super) fn target(session: Option<u128>, holds_credentials: bool) -> ProcessRef {
    ProcessRef {
        pid: 99,
        start_boot_ns: Some(1),
        session: session.map(crate::testing::session_id),
        holds_credentials,
        exe: None,
    }
}

pub(super) fn memory(target: ProcessRef) -> Action {
    Action::Memory {
        target,
        access: MemoryAccess::Attached,
        syscall: None,
        denied: false,
    }
}

pub(super) fn socket(operation: SocketOperation, family: u16, socket_type: u16) -> Action {
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

pub(super) fn host_change(change: HostChange) -> Action {
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
            Some(("login-id-changed", "T1685")),
        ),
        (
            host_change(HostChange::Mounted),
            Some(("host-changed", "T1685")),
        ),
        (
            host_change(HostChange::RevocationList),
            Some(("revocation-list-changed", "T1685")),
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

/// Everybody's things touched by alice, one tenant after the other.
fn touch(alerter: &mut Alerter, tenant: &str, sequence: u64, seconds: u64) -> Answer {
    let id = event_id("jump-3", Source::Priority { cpu: 0 }, sequence);
    let mut event = credential(id, tenant, &format!("/srv/{tenant}/k"));
    event.at = at_seconds(seconds);
    // A new session each: what is counted is the person.
    event.attribution.session = Some(crate::testing::session_id(sequence.into()));
    answer(alerter, &entry_of(event, sequence))
}

fn fan_out() -> Alerter {
    alerter_of(vec![Rule {
        counted: Counted::Tenants,
        by: By::Principal,
        conditions: Conditions {
            verdicts: vec![VerdictKind::InScope, VerdictKind::OutOfScope],
            ..Conditions::default()
        },
        ..rule("fan-out", Response::Notify, 2)
    }])
}

#[test]
fn each_further_tenant_in_the_window_raises_one_alert_that_names_all() {
    let mut alerter = fan_out();
    assert_eq!(touch(&mut alerter, "acme", 1, 0), Answer::Nothing);
    assert_eq!(touch(&mut alerter, "acme", 2, 1), Answer::Nothing);
    let second = raised(touch(&mut alerter, "globex", 3, 2));
    let names: Vec<&str> = second.alert.tenants.iter().map(TenantId::as_str).collect();
    assert_eq!(names, ["acme", "globex"]);
    let behind: Vec<u64> = second.alert.events.iter().map(|id| id.sequence).collect();
    assert_eq!(behind, [2, 3]);
    assert!(
        second
            .alert
            .sentence
            .ends_with("on jump-3; 2 tenants within 3600 s: acme, globex")
    );
    assert!(!second.outside.contains("acme"), "{}", second.outside);
    // Back and forth between the two is no further tenant.
    assert_eq!(touch(&mut alerter, "acme", 4, 3), Answer::Nothing);
    assert_eq!(touch(&mut alerter, "globex", 5, 4), Answer::Nothing);
}

#[test]
fn what_was_touched_before_a_restart_counts_after_it() {
    let mut before = fan_out();
    touch(&mut before, "acme", 1, 0);
    let mut after = restarted(&mut before, &[]);
    let expected = touch(&mut before, "globex", 2, 1);
    assert_eq!(touch(&mut after, "globex", 2, 1), expected);
    let third = restarted(&mut after, &[raised(expected)]);
    let mut third = third;
    assert_eq!(touch(&mut third, "globex", 3, 2), Answer::Nothing);
}

#[test]
fn the_provider_is_no_tenant_of_a_fan_out() {
    let mut alerter = fan_out();
    touch(&mut alerter, "acme", 1, 0);
    assert_eq!(touch(&mut alerter, "provider", 2, 1), Answer::Nothing);
}

#[test]
fn a_closed_alert_takes_in_no_more() {
    let mut alerter = alerter_of(vec![rule("notify", Response::Notify, 1)]);
    let mut first = raised(answer(&mut alerter, &read(1, "/srv/globex/a", 0)));
    first.alert.state = AlertState::Closed;
    alerter.forget(&first);
    let second = raised(answer(&mut alerter, &read(2, "/srv/globex/a", 1)));
    // Nor after a restart.
    let mut after = restarted(&mut alerter, &[first.clone()]);
    raised(answer(&mut after, &read(3, "/srv/globex/a", 2)));
    // An older one that is closed does not end what a newer takes in.
    alerter.forget(&first);
    let Answer::Fold(folded) = answer(&mut alerter, &read(4, "/srv/globex/a", 3)) else {
        panic!("not folded")
    };
    assert_eq!(folded.alert.id, second.alert.id);
    assert_eq!(folded.alert.events.len(), 2);
}

#[test]
fn an_alert_names_no_more_events_than_it_may() {
    let mut alerter = alerter_of(vec![rule("notify", Response::Notify, 1)]);
    answer(&mut alerter, &read(1, "/srv/globex/a", 0));
    let mut last = None;
    for sequence in 2..=30 {
        last = Some(answer(&mut alerter, &read(sequence, "/srv/globex/a", 1)));
    }
    let Some(Answer::Fold(folded)) = last else {
        panic!("{last:?}")
    };
    assert_eq!(
        (folded.alert.count, folded.alert.events.len()),
        (30, EVENTS_MAX)
    );
}

#[test]
fn tables_of_what_is_counted_do_not_grow_without_end() {
    let mut alerter = alerter_of(vec![rule("revoke", Response::Revoke, 2)]);
    let (first, counted) = (read(1, "/srv/globex/a", 0), alerter.rules[0].clone());
    let mark = Mark {
        at: BASE,
        event: first.judged.event.id.clone(),
        tenant: None,
        acts: 1,
    };
    for number in 0..=SUBJECTS_MAX {
        let at = UnixNs(BASE.0 + u64::try_from(number).unwrap());
        let mark = Mark { at, ..mark.clone() };
        alerter.counters.count(&counted, &number.to_string(), mark);
    }
    assert_eq!(alerter.counters.len(), SUBJECTS_MAX);
    let mut event = first.judged.event;
    for number in 0..=hosts::HOSTS_MAX {
        event.id.agent = format!("jump-{number}").parse().unwrap();
        alerter.hosts.event(&event);
    }
    assert_eq!(alerter.hosts.len(), hosts::HOSTS_MAX);
    for number in 0..=crate::core::grants::GRANTS_MAX {
        let grant = format!("g{number}").parse().unwrap();
        let at = UnixNs(BASE.0 + u64::try_from(number).unwrap());
        alerter.uses.used((&grant, None), at, Duration::MAX);
    }
    assert_eq!(alerter.uses.len(), crate::core::grants::GRANTS_MAX);
}

#[test]
fn a_host_is_silent_once_until_it_is_heard_again_also_over_a_restart() {
    let mut alerter = default_alerter();
    answer(&mut alerter, &read(1, "/srv/acme/a", 0));
    let look = |alerter: &mut Alerter, present: &Present, seconds| {
        let moment = Moment {
            at: at_seconds(seconds),
            stamp: at_seconds(seconds),
            standing: None,
            granted_from: None,
        };
        let looked = alerter.look(present, &moment);
        (looked.raised.len(), looked.moved)
    };
    let (here, before, gone) = (unheard(0, 0), unheard(59, 0), unheard(60, 0));
    assert_eq!(look(&mut alerter, &here, 10), (0, false));
    assert_eq!(look(&mut alerter, &before, 69), (0, false));
    assert_eq!(look(&mut alerter, &gone, 70), (1, true));
    assert_eq!(look(&mut alerter, &gone, 700), (0, false));
    let mut after = restarted(&mut alerter, &[]);
    assert_eq!(look(&mut after, &gone, 1_000), (0, false));
    assert_eq!(look(&mut after, &Present::default(), 2_000), (0, false));
    assert_eq!(look(&mut after, &here, 2_001), (0, true));
    assert_eq!(look(&mut after, &gone, 2_061), (1, true));
}

/// One agent that was not heard for as long, and whose probes saw nothing.
fn unheard(seconds: u64, unseen: u64) -> Present {
    let seen = Seen {
        unheard: Duration::from_secs(seconds),
        is_leaving: false,
        sight: match unseen {
            0 => Sight::Clear,
            unseen => Sight::Nothing(Duration::from_secs(unseen)),
        },
    };
    Present {
        lives: [("jump-3".parse().unwrap(), seen)].into(),
        twice: BTreeSet::new(),
        listening: Duration::from_secs(3_600),
    }
}

fn looks(alerter: &mut Alerter, present: &Present, seconds: u64) -> Looked {
    let moment = Moment {
        at: at_seconds(seconds),
        stamp: at_seconds(seconds),
        standing: None,
        granted_from: None,
    };
    alerter.look(present, &moment)
}

#[test]
fn a_host_that_has_not_come_since_the_collector_listens_has_time_to() {
    let mut alerter = default_alerter();
    answer(&mut alerter, &read(1, "/srv/acme/a", 0));
    let listening = |time| Present {
        listening: time,
        ..Present::default()
    };
    let most = hosts::RECONNECT_MAX + alerter.patience;
    let before = listening(most.checked_sub(Duration::from_millis(1)).unwrap());
    assert_eq!(looks(&mut alerter, &before, 10).raised, []);
    assert_eq!(looks(&mut alerter, &listening(most), 20).raised.len(), 1);
}

#[test]
fn a_host_is_blind_once_until_it_sees_again_also_over_a_restart_and_a_silence() {
    let mut alerter = default_alerter();
    answer(&mut alerter, &read(1, "/srv/acme/a", 0));
    assert!(looks(&mut alerter, &unheard(0, 0), 10).raised.is_empty());
    let blind = looks(&mut alerter, &unheard(0, 2), 20);
    let [(Sign::AgentBlind, raised)] = blind.raised.as_slice() else {
        panic!("{blind:?}");
    };
    assert!(raised.alert.sentence.contains("for 2.0 s"), "{raised:?}");
    assert_eq!(raised.alert.event_at, at_seconds(18));
    let mut after = restarted(&mut alerter, &[]);
    assert_eq!(looks(&mut after, &unheard(0, 3), 30).raised, []);
    let silent = looks(&mut after, &unheard(60, 3), 90);
    assert_eq!(silent.raised[0].0, Sign::AgentSilent);
    assert!(silent.well.is_empty());
    // Heard again, and still blind: that was told.
    let heard = looks(&mut after, &unheard(0, 4), 91);
    assert_eq!((heard.raised, heard.well.len()), (vec![], 0));
    let well = looks(&mut after, &unheard(0, 0), 92);
    assert_eq!((well.raised, well.well.len()), (vec![], 1));
    assert_eq!(looks(&mut after, &unheard(0, 2), 93).raised.len(), 1);
}

#[test]
fn an_agent_that_was_asked_to_stop_is_told_so_and_hooks_that_are_gone_by_name() {
    let mut alerter = default_alerter();
    answer(&mut alerter, &read(1, "/srv/acme/a", 0));
    let mut present = unheard(0, 0);
    let name = "jump-3".parse().unwrap();
    let seen = present.lives.get_mut(&name).unwrap();
    seen.sight = Sight::Unhooked(vec!["exec".into(), "connect_v4".into()]);
    let blind = looks(&mut alerter, &present, 10).raised.remove(0).1.alert;
    assert!(blind.sentence.ends_with("exec, connect_v4"), "{blind:?}");
    let seen = present.lives.get_mut(&name).unwrap();
    (seen.unheard, seen.is_leaving) = (Duration::from_secs(60), true);
    let left = looks(&mut alerter, &present, 20).raised.remove(0).1.alert;
    assert!(left.sentence.contains("asked to stop"), "{left:?}");
}

#[test]
fn a_host_that_was_kept_before_blindness_was_told_is_known() {
    let mut alerter = default_alerter();
    answer(&mut alerter, &read(1, "/srv/acme/a", 0));
    let mut kept = alerter.take_changes();
    let of_host = |kept: &&mut Kept| kept.kind == KeptKind::Host;
    let row = kept.iter_mut().find(of_host).unwrap();
    let text = row.text.take().unwrap();
    // What an earlier build wrote ends with the last event.
    let before = text.strip_suffix(" false").unwrap().to_owned();
    row.text = Some(before.replacen("false -", "true -", 1));
    let mut after = default_alerter();
    after.restore(row);
    assert_eq!(looks(&mut after, &unheard(60, 0), 90).raised.len(), 1);
    assert_eq!(looks(&mut after, &unheard(0, 2), 91).raised.len(), 1);
}
