//! Every rule that comes with the collector: something inside, something
//! outside, something on the border. A rule that lacks one fails.

use std::{collections::BTreeMap, time::Duration};

use monitor_model::{
    event::{
        Action, Event, Evidence, Expected, Fact, GapCause, HookState, HostChange, MemoryAccess,
        NoSession, Operation, ProcessRef, SocketOperation,
    },
    id::Source,
    verdict::{OutReason, Verdict},
};

use super::{
    Alerter, Answer, Moment,
    hosts::{OfHost, Present, RECONNECT_MAX, Seen, Sight},
    sign::Sign,
    tests::{DEDUPE, alerter_of, host_change, memory, socket, target},
};
use crate::{
    config::rules::standard,
    testing::{BASE, at_seconds, credential, entry_of, event, event_id, session_id},
};

/// One thing that happens.
enum Step {
    /// An event, judged so where that is stated.
    Told(Box<Event>, Option<Verdict>),
    /// An event in which the judge found this, by policy and grants.
    Found(Box<Event>, Fact),
    /// Somebody looks, this many seconds after the base; nobody is connected.
    Look(u64),
    /// The same, and of these agents two spoke in turns.
    Twice(&'static str),
    /// The host is heard, and its probes saw nothing for so many milliseconds.
    Blind(u64),
    /// This shows of the host, and no event tells it.
    Shows(Sign),
}

use Step::{Blind, Look, Shows, Twice};

/// What a rule must and must not fire at: at the last step, and at no other.
struct Case {
    inside: Vec<Step>,
    outside: Vec<Step>,
    /// As near to the edge as it gets, and whether that is inside.
    border: (Vec<Step>, bool),
}

fn case(inside: Vec<Step>, outside: Vec<Step>, border: (Vec<Step>, bool)) -> Case {
    Case {
        inside,
        outside,
        border,
    }
}

fn base(action: Action) -> Event {
    event(event_id("jump-3", Source::Priority { cpu: 0 }, 1), action)
}

fn told(action: Action) -> Step {
    Step::Told(Box::new(base(action)), None)
}

fn environment(target: ProcessRef) -> Action {
    Action::Memory {
        target,
        access: MemoryAccess::Environment,
        syscall: None,
        denied: false,
    }
}

/// A read of a tenant's file, judged so, this many seconds after the base.
fn read(tenant: &str, verdict: Verdict, seconds: u64) -> Step {
    let id = event_id("jump-3", Source::Priority { cpu: 0 }, 1);
    let mut event = credential(id, tenant, &format!("/srv/{tenant}/k"));
    event.at = at_seconds(seconds);
    event.boot_ns += seconds * 1_000_000_000;
    Step::Told(Box::new(event), Some(verdict))
}

fn out(reason: OutReason) -> Verdict {
    Verdict::OutOfScope {
        reason,
        grant: None,
    }
}

fn within() -> Verdict {
    let grant = "01JG".parse().unwrap();
    Verdict::InScope { grant }
}

fn nobody(reason: NoSession) -> Verdict {
    Verdict::Unattributed { reason }
}

/// A use of a file of the class.
fn used(class: &str, operation: Operation, verdict: Verdict) -> Step {
    let mut step = read("acme", verdict, 0);
    if let Step::Told(event, _) = &mut step
        && let Action::Credential {
            class: of,
            operation: how,
            ..
        } = &mut event.action
    {
        of.replace_range(.., class);
        *how = operation;
    }
    step
}

/// A read of a tenant's file that holds a key, and that the broker hands out.
fn key(tenant: &str, (holds, handed_out): (Option<&str>, bool), by: Option<Expected>) -> Step {
    let mut step = read(tenant, within(), 0);
    if let Step::Told(event, _) = &mut step
        && let Action::Credential {
            key,
            injected,
            expected,
            ..
        } = &mut event.action
    {
        *key = holds.map(Into::into);
        (*injected, *expected) = (handed_out, by);
    }
    step
}

fn started(resumed: bool, tier: Option<&str>) -> Action {
    Action::AgentStarted {
        version: "1".into(),
        kernel: "6.1".into(),
        resumed,
        hooks: vec![HookState {
            family: "exec".into(),
            tier: tier.map(Into::into),
            unseen: String::new(),
        }],
    }
}

/// The same action with the clock so many milliseconds off.
fn clock(off_ms: u64) -> Step {
    let mut event = base(memory(target(Some(1), false)));
    event.boot_ns = 5_000_000_000;
    event.at.0 += off_ms * 1_000_000;
    Step::Told(Box::new(event), None)
}

fn signal(session: Option<u128>, holds: bool, number: u32) -> Step {
    told(Action::Signal {
        target: target(session, holds),
        number,
    })
}

fn named(first: &str) -> Step {
    let id = event_id("jump-3", Source::Priority { cpu: 0 }, 1);
    let Action::Credential { object, .. } = credential(id, "acme", "/usr/bin/cat").action else {
        panic!("no credential")
    };
    told(Action::Exec {
        exe: object,
        argv: vec![first.into()],
        argv_bytes: 4,
        argv_truncated: false,
        redacted: 0,
        argv_digest: None,
        script: None,
        given: "/usr/bin/cat".into(),
        interpreter: "".into(),
    })
}

/// The rules about reasons: the reason, and the nearest one that is another's.
fn of_reasons(cases: &mut BTreeMap<&'static str, Case>) {
    for (rule, inside, border) in [
        ("wrong-tenant", OutReason::WrongTenant, OutReason::NoGrant),
        ("expired", OutReason::Expired, OutReason::NotGranted),
        ("not-granted", OutReason::NotGranted, OutReason::WrongTier),
        ("tier-crossed", OutReason::WrongTier, OutReason::NotGranted),
    ] {
        let case = case(
            vec![read("acme", out(inside), 0)],
            vec![read("acme", within(), 0)],
            (vec![read("acme", out(border), 0)], false),
        );
        cases.insert(rule, case);
    }
    let connect = |reason| {
        let destination = monitor_model::event::Destination {
            address: "10.9.9.9".parse().unwrap(),
            port: 22,
            protocol: monitor_model::event::Protocol::Tcp,
            interface: None,
            interface_index: 0,
            net_ns: 1,
            net_ns_name: None,
            mark: 0,
        };
        let action = Action::Connect {
            destination,
            denied: false,
            scope: None,
        };
        Step::Told(Box::new(base(action)), Some(out(reason)))
    };
    let case = case(
        vec![connect(OutReason::UnknownDestination)],
        vec![connect(OutReason::WrongTenant)],
        (vec![connect(OutReason::AmbiguousDestination)], true),
    );
    cases.insert("destination-not-known", case);
}

/// The rules that count.
fn of_counts(cases: &mut BTreeMap<&'static str, Case>) {
    let wrong = || out(OutReason::WrongTenant);
    let twice = |first: &str, second: &str, verdict: &dyn Fn() -> Verdict, seconds| {
        vec![read(first, verdict(), 0), read(second, verdict(), seconds)]
    };
    cases.insert(
        "out-of-scope-again",
        case(
            twice("globex", "globex", &wrong, 1),
            vec![read("globex", wrong(), 0)],
            (twice("globex", "globex", &wrong, 3_600), false),
        ),
    );
    cases.insert(
        "fan-out",
        case(
            twice("acme", "globex", &within, 299),
            twice("acme", "acme", &within, 1),
            (twice("acme", "globex", &within, 300), false),
        ),
    );
    cases.insert(
        "cascade",
        case(
            twice("acme", "globex", &wrong, 86_399),
            twice("acme", "globex", &within, 1),
            (twice("acme", "globex", &wrong, 86_400), false),
        ),
    );
}

/// The rules about what is nobody's, and about classes of files.
fn of_files(cases: &mut BTreeMap<&'static str, Case>) {
    cases.insert(
        "unattributed-credential-use",
        case(
            vec![read("acme", nobody(NoSession::NoMark), 0)],
            vec![read("acme", out(OutReason::NoGrant), 0)],
            (vec![read("acme", nobody(NoSession::Workload), 0)], false),
        ),
    );
    cases.insert(
        "session-escape",
        case(
            vec![read("acme", nobody(NoSession::Ambiguous), 0)],
            vec![read("acme", within(), 0)],
            (vec![read("acme", nobody(NoSession::UnknownMark), 0)], false),
        ),
    );
    let own = |operation| vec![used("authorized-keys", operation, within())];
    cases.insert(
        "self-made-credential",
        case(
            own(Operation::Write),
            vec![used("kubeconfig", Operation::Write, within())],
            (own(Operation::Read), false),
        ),
    );
    let of_monitor = |verdict| vec![used("monitor", Operation::Read, verdict)];
    let expected = Verdict::Exempt {
        reason: monitor_model::verdict::ExemptReason::ExpectedProgram,
    };
    cases.insert(
        "monitor-touched",
        case(
            of_monitor(within()),
            vec![used("kubeconfig", Operation::Write, within())],
            (of_monitor(expected), false),
        ),
    );
    let block = |class: &str| vec![used(class, Operation::Read, within())];
    cases.insert(
        "past-the-file-system",
        case(
            block("block-device"),
            block("ssh-key"),
            (block("block-devices"), false),
        ),
    );
    let key = |operation| vec![used("ssh-key", operation, within())];
    cases.insert(
        "passed-descriptor",
        case(
            key(Operation::Received),
            key(Operation::Read),
            (key(Operation::Mapped), true),
        ),
    );
}

/// The rules about changes of the host.
fn of_the_host(cases: &mut BTreeMap<&'static str, Case>) {
    for (rule, inside, border, fires) in [
        ("kernel-code", HostChange::Module, HostChange::Bpf, false),
        ("kernel-probe", HostChange::Bpf, HostChange::Perf, true),
        (
            "login-id-changed",
            HostChange::LoginUid,
            HostChange::Mounted,
            false,
        ),
        (
            "host-changed",
            HostChange::Mounted,
            HostChange::Pivoted,
            true,
        ),
        (
            "revocation-list-changed",
            HostChange::RevocationList,
            HostChange::LoginUid,
            false,
        ),
    ] {
        let case = case(
            vec![told(host_change(inside))],
            vec![told(memory(target(Some(1), false)))],
            (vec![told(host_change(border))], fires),
        );
        cases.insert(rule, case);
    }
}

/// The rules about other processes.
fn of_sessions(cases: &mut BTreeMap<&'static str, Case>) {
    cases.insert(
        "memory-of-a-credential-holder",
        case(
            vec![told(memory(target(Some(1), true)))],
            vec![told(memory(target(Some(2), false)))],
            (vec![signal(Some(1), true, 6)], true),
        ),
    );
    cases.insert(
        "memory-of-another-session",
        case(
            vec![told(memory(target(Some(2), false)))],
            vec![told(memory(target(Some(1), false)))],
            (vec![told(memory(target(None, false)))], true),
        ),
    );
    cases.insert(
        "signal-to-another-session",
        case(
            vec![signal(Some(2), false, 9)],
            vec![signal(Some(1), false, 9)],
            (vec![signal(None, false, 9)], false),
        ),
    );
    cases.insert(
        "disguise",
        case(
            vec![named("sshd")],
            vec![named("cat")],
            (vec![named("-cat")], false),
        ),
    );
    let made = |family, kind| vec![told(socket(SocketOperation::Created, family, kind))];
    cases.insert(
        "raw-socket",
        case(made(2, 3), made(2, 1), (made(16, 3), false)),
    );
    let bound = |operation, family| vec![told(socket(operation, family, 1))];
    cases.insert(
        "listener",
        case(
            bound(SocketOperation::Listening, 2),
            bound(SocketOperation::Listening, 1),
            (bound(SocketOperation::Bound, 2), false),
        ),
    );
}

/// The rules about what the judge found by policy and grants.
fn of_grants(cases: &mut BTreeMap<&'static str, Case>) {
    let found = |fact| {
        let ended = Action::SessionEnded {
            session: session_id(1),
        };
        vec![Step::Found(Box::new(base(ended)), fact)]
    };
    for (rule, inside, border) in [
        ("break-glass", Fact::BreakGlass, Fact::PersonUsesWorkload),
        (
            "person-uses-workload",
            Fact::PersonUsesWorkload,
            Fact::BreakGlass,
        ),
    ] {
        let case = case(found(inside), vec![named("cat")], (found(border), false));
        cases.insert(rule, case);
    }
    let of = |tenant: &str, holds| key(tenant, (holds, false), None);
    let (a, b) = (Some("SHA256:a"), Some("SHA256:b"));
    cases.insert(
        "shared-key",
        case(
            vec![of("acme", a), of("globex", a)],
            vec![of("acme", a), of("globex", b), of("globex", None)],
            (vec![of("acme", a), of("provider", a), of("acme", a)], false),
        ),
    );
    let handed_out = |by| vec![key("acme", (None, true), by)];
    cases.insert(
        "outside-injection",
        case(
            handed_out(None),
            handed_out(Some(Expected::Injection)),
            (vec![key("acme", (None, false), None)], false),
        ),
    );
}

/// The rules about whose a process is, and how long.
fn of_marks(cases: &mut BTreeMap<&'static str, Case>) {
    let contradiction = |session, evidence| {
        told(Action::Contradiction {
            process: target(session, false),
            evidence,
            value: "12".into(),
            says: None,
        })
    };
    let ended = || {
        told(Action::SessionEnded {
            session: session_id(1),
        })
    };
    cases.insert(
        "contradicted",
        case(
            vec![contradiction(Some(1), Evidence::AuditSession)],
            vec![ended()],
            (vec![contradiction(None, Evidence::Terminal)], true),
        ),
    );
    let left = Action::Survivors {
        session: session_id(1),
        processes: vec![target(Some(1), false)],
        total: 1,
    };
    cases.insert(
        "survivors",
        case(vec![told(left)], vec![named("cat")], (vec![ended()], false)),
    );
}

/// The rules about what a batch shows of its host.
fn of_batches(cases: &mut BTreeMap<&'static str, Case>) {
    let here = || told(started(false, Some("lsm")));
    for (rule, sign, other) in [
        (
            "numbers-reused",
            Sign::NumbersReused,
            Sign::EventsUnreadable,
        ),
        (
            "events-unreadable",
            Sign::EventsUnreadable,
            Sign::NumbersReused,
        ),
    ] {
        cases.insert(
            rule,
            case(
                vec![here(), Shows(sign)],
                vec![here(), Shows(other)],
                (vec![Shows(sign)], true),
            ),
        );
    }
}

/// The rules about what shows over time, and what hosts tell of themselves.
fn of_hosts(cases: &mut BTreeMap<&'static str, Case>) {
    let here = || told(started(false, Some("lsm")));
    cases.insert(
        "agent-silent",
        case(
            vec![here(), Look(0), Look(61)],
            vec![here(), Look(0)],
            (vec![here(), Look(0), Look(60)], true),
        ),
    );
    cases.insert(
        "agent-blind",
        case(
            vec![here(), Blind(3_000)],
            vec![here(), Blind(0)],
            // What is long enough, the ingest says.
            (vec![here(), Blind(1_500)], true),
        ),
    );
    cases.insert(
        "agent-twice",
        case(
            vec![here(), Twice("jump-3")],
            vec![here(), Look(0)],
            // Told once; and a host of which nothing is stored is none.
            (vec![here(), Twice("jump-4")], false),
        ),
    );
    of_batches(cases);
    cases.insert(
        "probes-reloaded",
        case(
            vec![here(), here()],
            vec![here(), told(started(true, Some("lsm")))],
            (vec![here()], false),
        ),
    );
    cases.insert(
        "clock-moved",
        case(
            vec![clock(0), clock(60_000)],
            vec![clock(0), clock(0)],
            (vec![clock(0), clock(2_000)], false),
        ),
    );
    let day = 86_400;
    cases.insert(
        "dormant-grant",
        case(
            vec![read("acme", within(), 0), read("acme", within(), 31 * day)],
            vec![read("acme", within(), 0), read("acme", within(), day)],
            (
                vec![read("acme", within(), 0), read("acme", within(), 30 * day)],
                true,
            ),
        ),
    );
}

/// The rules about what cannot be seen.
fn of_blindness(cases: &mut BTreeMap<&'static str, Case>) {
    let here = || told(started(false, Some("lsm")));
    cases.insert(
        "blind",
        case(
            vec![told(started(false, None))],
            vec![here()],
            (vec![told(started(true, None))], true),
        ),
    );
    let impaired = told(Action::Impaired {
        reason: "not_run".into(),
        program: None,
        times: 1,
        total: 1,
    });
    let gap = || {
        told(Action::Gap {
            source: Source::Agent,
            first: 1,
            last: 1,
            cause: GapCause::RingFull,
        })
    };
    cases.insert(
        "events-lost",
        case(
            vec![gap()],
            vec![here()],
            (vec![told(started(true, None))], false),
        ),
    );
    cases.insert(
        "probes-impaired",
        case(vec![impaired], vec![here()], (vec![gap()], false)),
    );
}

/// How people get in, and what ps reads.
fn of_everyday(cases: &mut BTreeMap<&'static str, Case>) {
    let rules = |verdict| vec![used("pam-configuration", Operation::Created, verdict)];
    let workload = nobody(NoSession::Workload);
    let unknown = nobody(NoSession::UnregisteredWorkload);
    cases.insert(
        "way-in-changed",
        case(
            rules(unknown.clone()),
            rules(workload.clone()),
            (rules(within()), true),
        ),
    );
    cases.insert(
        "way-in-changed-by-workload",
        case(
            rules(workload.clone()),
            rules(within()),
            (rules(unknown), false),
        ),
    );
    cases.insert(
        "environment-of-another-session",
        case(
            vec![told(environment(target(Some(2), true)))],
            vec![told(environment(target(Some(1), true)))],
            (vec![told(memory(target(Some(2), false)))], false),
        ),
    );
}

fn cases() -> BTreeMap<&'static str, Case> {
    let mut cases = BTreeMap::new();
    of_reasons(&mut cases);
    of_counts(&mut cases);
    of_files(&mut cases);
    of_everyday(&mut cases);
    of_sessions(&mut cases);
    of_the_host(&mut cases);
    of_marks(&mut cases);
    of_grants(&mut cases);
    of_hosts(&mut cases);
    of_blindness(&mut cases);
    cases
}

/// How many alerts a look raises, when nobody is connected and this agent spoke twice.
fn looked(alerter: &mut Alerter, twice: &str, moment: &Moment<'_>) -> usize {
    // It listens since the beginning of the case, and was asked to wait for nobody.
    let present = Present {
        twice: twice.parse().into_iter().collect(),
        listening: RECONNECT_MAX + Duration::from_nanos(moment.at.0 - at_seconds(0).0),
        ..Present::default()
    };
    alerter.look(&present, moment).raised.len()
}

/// How many alerts the rule alone raises at each step.
fn played(id: &str, steps: Vec<Step>) -> Vec<usize> {
    let mut rules = standard(DEDUPE).unwrap();
    rules.retain(|rule| rule.id == id);
    let mut alerter = alerter_of(rules);
    let mut raised = Vec::new();
    for (at, step) in (1..).zip(steps) {
        let moment = |seconds| Moment {
            at: at_seconds(seconds),
            stamp: at_seconds(seconds),
            standing: None,
            granted_from: Some(BASE),
        };
        raised.push(match step {
            Look(seconds) => looked(&mut alerter, "", &moment(seconds)),
            Twice(name) => looked(&mut alerter, name, &moment(0)),
            Blind(ms) => {
                let sight = match ms {
                    0 => Sight::Clear,
                    ms => Sight::Nothing(Duration::from_millis(ms)),
                };
                let seen = Seen {
                    sight,
                    ..Seen::default()
                };
                let present = Present {
                    lives: [("jump-3".parse().unwrap(), seen)].into(),
                    ..Present::default()
                };
                alerter.look(&present, &moment(0)).raised.len()
            }
            Shows(sign) => {
                let of = OfHost {
                    sign,
                    event: base(started(false, None)).id,
                    since: BASE,
                    sentence: format!("jump-3 shows {}", sign.as_str()),
                };
                alerter.of_host(of, &moment(0)).into_iter().count()
            }
            Step::Found(mut event, fact) => {
                event.id.sequence = at;
                let mut entry = entry_of(*event, at);
                entry.judged.judgement.facts.push(fact);
                usize::from(alerter.answer(&entry, &moment(0)) != Answer::Nothing)
            }
            Step::Told(mut event, verdict) => {
                event.id.sequence = at;
                let mut entry = entry_of(*event, at);
                if let Some(verdict) = verdict {
                    entry.judged.judgement.verdict = verdict;
                }
                usize::from(alerter.answer(&entry, &moment(0)) != Answer::Nothing)
            }
        });
    }
    raised
}

/// That the last step fires or does not, and no step before it does.
fn fires(rule: &str, what: &str, steps: Vec<Step>, wanted: bool) {
    let mut expected = vec![0; steps.len()];
    *expected.last_mut().unwrap() = usize::from(wanted);
    assert_eq!(played(rule, steps), expected, "{rule}, {what}");
}

#[test]
fn every_rule_has_something_inside_outside_and_on_its_border() {
    let mut cases = cases();
    for rule in standard(DEDUPE).unwrap() {
        let case = cases
            .remove(rule.id.as_str())
            .unwrap_or_else(|| panic!("rule {} has no cases: add them here", rule.id));
        fires(&rule.id, "inside", case.inside, true);
        fires(&rule.id, "outside", case.outside, false);
        fires(&rule.id, "border", case.border.0, case.border.1);
    }
    assert!(cases.is_empty(), "cases of no rule: {:?}", cases.keys());
}

/// Which of the standard rules raises the alert of one event.
fn rule_of(step: Step) -> Option<String> {
    let Step::Told(event, Some(verdict)) = step else {
        panic!("an event and its verdict are wanted");
    };
    let mut entry = entry_of(*event, 1);
    entry.judged.judgement.verdict = verdict;
    let moment = Moment {
        at: BASE,
        stamp: BASE,
        standing: None,
        granted_from: Some(BASE),
    };
    match alerter_of(standard(DEDUPE).unwrap()).answer(&entry, &moment) {
        Answer::Raise(raised) => Some(format!("{} {}", raised.alert.rule, raised.alert.severity)),
        Answer::Fold(_) | Answer::Nothing => None,
    }
}

/// Packages bring rules of PAM and sudo; nobody made them by hand.
#[test]
fn what_a_registered_upgrade_installs_is_told_low() {
    let rule = |class, reason| rule_of(used(class, Operation::Created, nobody(reason)));
    for class in ["pam-configuration", "sudoers", "sshd-configuration"] {
        let by = |reason| rule(class, reason);
        assert_eq!(
            by(NoSession::Workload).as_deref(),
            Some("way-in-changed-by-workload low")
        );
        assert_eq!(
            by(NoSession::UnregisteredWorkload).as_deref(),
            Some("way-in-changed high")
        );
    }
    let key = rule("authorized-keys", NoSession::Workload);
    assert_eq!(key.as_deref(), Some("self-made-credential high"));
}

/// `ps` opens the environment of every process that it may.
#[test]
fn list_of_processes_is_one_alert_an_hour_and_low() {
    let mut alerter = alerter_of(standard(DEDUPE).unwrap());
    let mut raised = Vec::new();
    for (at, seconds) in (1..).zip((0..3_600).step_by(100)) {
        let mut target = target(Some(2), true);
        target.pid += u32::try_from(at).unwrap();
        let mut event = base(environment(target));
        event.id.sequence = at;
        event.at = at_seconds(seconds);
        event.boot_ns += seconds * 1_000_000_000;
        let moment = Moment {
            at: event.at,
            stamp: event.at,
            standing: None,
            granted_from: Some(BASE),
        };
        if let Answer::Raise(alert) = alerter.answer(&entry_of(event, at), &moment) {
            raised.push((alert.alert.rule, alert.alert.severity.to_string()));
        }
    }
    let low = (
        "environment-of-another-session".to_owned(),
        "low".to_owned(),
    );
    assert_eq!(raised, [low]);
}
