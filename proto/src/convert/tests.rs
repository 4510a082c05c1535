//! Everything survives the way there and back; any bytes give an error, never a panic.

use std::time::Duration;

use monitor_model::{
    alert::{Alert, AlertState, AlertStep, Response, Severity},
    bytes::{ByteText, PathLabel},
    clock::UnixNs,
    contain::{ContainMode, Frozen},
    enforce::{
        Away, Block, Cell, CompiledGrant, Mode as EnforceMode, Range, Says, ScopeTable, Scoped,
    },
    event::{
        Action, Attribution, Caller, Carrier, Counted, Destination, Event, Evidence, Expected,
        FileObject, GapCause, HookState, HostChange, Ids, Lineage, LocalAddress, MemoryAccess,
        NoSession, Operation, Process, ProcessRef, Protocol, Receipt, RemovalReason, SocketAddress,
        SocketOperation, Step,
    },
    grant::{Grant, GrantKind, GrantState, Holder, PathPatterns, Review, Scope, Tier},
    id::{
        AgentName, AlertId, BootId, EventId, GrantId, OrderId, PrincipalId, SessionId, Source,
        TenantId,
    },
    inventory::{Item, Template},
    policy::{Admission, Terms},
    revocation::{
        Affected, Cause, Mode, Order, Outcome, Published, Refused, Revoked, Target, Times,
        entry::OrderEntry,
        life::{Asks, OrderStep, Standing, State},
    },
    session::{Credential, Session, SessionState},
    tenant::{NamedHost, Owner, Tenant, Zone},
    verdict::{Considered, ExemptReason, Judgement, OutReason, Verdict},
};
use proptest::prelude::*;
use prost::Message as _;

use crate::{decode_event, encode_event, v1};

const AT: UnixNs = UnixNs(1_700_000_000_123_456_789);

fn id() -> EventId {
    EventId {
        agent: AgentName::new("jump-1").unwrap(),
        boot: BootId::from_parts(AT, 9),
        source: Source::Bulk { cpu: 3 },
        sequence: 77,
    }
}

fn session_id() -> SessionId {
    SessionId::from_parts(AT, 5)
}

fn object() -> FileObject {
    FileObject {
        device: 0x0010_0001,
        inode: 42,
        generation: 7,
        path: PathLabel {
            text: ByteText(b"/srv/\xff\n".to_vec()),
            truncated: true,
        },
    }
}

fn session() -> Session {
    Session {
        id: session_id(),
        host: AgentName::new("jump-1").unwrap(),
        account: "ops".into(),
        principal: Some(PrincipalId::new("alice").unwrap()),
        tenant: Some(TenantId::new("acme").unwrap()),
        grants: vec!["g1".parse().unwrap(), "g2".parse().unwrap()],
        ticket: "INC-1".into(),
        tier: Some(Tier::Production),
        credential: Credential::SshCertificate {
            serial: 12,
            key_id: "v1;eng=alice".into(),
            ca_fingerprint: "SHA256:a".into(),
            key_fingerprint: "SHA256:b".into(),
        },
        peer: Some("fd00::1".parse().unwrap()),
        peer_port: 50_000,
        leader_pid: 99,
        binding: monitor_model::session::Binding::Certificate,
        way: Vec::new(),
        audit_session: Some(3),
        opened_at: AT,
        ended_at: Some(UnixNs(AT.0 + 1)),
        adopted: true,
        state: SessionState::Ended,
        frozen: Some(Frozen {
            order: OrderId::from_parts(AT, 1),
            since: AT,
        }),
    }
}

fn destination(address: &str) -> Destination {
    Destination {
        address: address.parse().unwrap(),
        port: 65_535,
        protocol: Protocol::Other(132),
        interface: Some("va".into()),
        interface_index: 4,
        net_ns: 4_026_531_840,
        net_ns_name: Some("acme".into()),
        mark: 1,
    }
}

fn receipt() -> Receipt {
    Receipt {
        order: OrderId::from_parts(AT, 1),
        session: session_id(),
        mode: ContainMode::Freeze,
        killed: 5,
        left: 0,
        frozen: 4,
        asleep: 6,
        released: 3,
        sockets_closed: 2,
        told: 1,
        received_at: AT,
        denied_at: AT,
        frozen_at: Some(AT),
        gone_at: Some(AT),
        released_at: Some(AT),
        expired: Some(GrantId::new("01JG").unwrap()),
        foreign: Some("globex".parse().unwrap()),
        unstored: true,
    }
}

fn local_addresses() -> Vec<LocalAddress> {
    let name = ByteText(b"/run/\xff".to_vec());
    vec![
        LocalAddress::Unix { path: name.clone() },
        LocalAddress::Unix {
            path: ByteText::default(),
        },
        LocalAddress::Fifo {
            name: name.clone(),
            reads: true,
            writes: false,
        },
        LocalAddress::Fifo {
            name: ByteText::default(),
            reads: false,
            writes: true,
        },
        LocalAddress::Terminal { name: name.clone() },
        LocalAddress::Abstract { name },
        LocalAddress::Vsock { cid: 2, port: 22 },
        LocalAddress::Other { number: 38 },
    ]
}

fn process_ref() -> ProcessRef {
    ProcessRef {
        pid: 7,
        start_boot_ns: Some(8),
        session: Some(session_id()),
        holds_credentials: true,
        exe: Some(object().path),
    }
}

fn local_actions() -> Vec<Action> {
    let process = |start_boot_ns| ProcessRef {
        start_boot_ns,
        ..process_ref()
    };
    let mut actions: Vec<_> = local_addresses()
        .into_iter()
        .map(|socket| Action::LocalConnect {
            socket,
            object: Some(object()),
            peer: Some(process(None)),
            denied: true,
        })
        .collect();
    let at = |address: &str| SocketAddress {
        address: address.parse().unwrap(),
        port: 80,
    };
    actions.extend(SocketOperation::ALL.map(|operation| Action::Socket {
        operation,
        family: 10,
        socket_type: 1,
        protocol: 6,
        local: Some(at("fe80::1")),
        peer: Some(at("10.0.0.1")),
        net_ns: 4,
        denied: false,
    }));
    actions.extend(MemoryAccess::ALL.map(|access| Action::Memory {
        target: process(Some(9)),
        access,
        syscall: Some(0),
        denied: true,
    }));
    let ids = |uid| Ids {
        uid,
        euid: 0,
        gid: uid,
    };
    actions.push(Action::Identity {
        before: ids(1000),
        after: ids(0),
        by_exec: true,
    });
    actions.push(Action::Signal {
        target: process(Some(9)),
        number: 6,
    });
    actions.extend(HostChange::ALL.iter().map(|change| Action::Host {
        change: *change,
        number: 5,
        detail: "ext4".into(),
        path: Some(object().path),
        target: Some(process(Some(1))),
        denied: false,
    }));
    actions
}

#[expect(clippy::too_many_lines, reason = "one literal a kind of event")]
fn actions() -> Vec<Action> {
    let argv = vec![ByteText(b"cat".to_vec()), ByteText(vec![0xff, 0x0a])];
    let hook = HookState {
        family: "exec".into(),
        tier: None,
        unseen: "all".into(),
    };
    let mut actions = vec![
        Action::Exec {
            exe: object(),
            argv,
            argv_bytes: 9_999,
            argv_truncated: true,
            redacted: 2,
            argv_digest: Some(0),
            script: Some(object()),
            given: "./k".into(),
            interpreter: "/bin/sh".into(),
        },
        Action::Fork {
            child_pid: 3,
            child_start_boot_ns: 4,
        },
        Action::Exit { status: 256 },
        Action::Connect {
            destination: destination("10.0.0.1"),
            denied: true,
            scope: Some(u64::MAX),
        },
        Action::Connect {
            destination: destination("fd00::1"),
            denied: false,
            scope: None,
        },
        Action::SessionOpened {
            session: Box::new(session()),
        },
        Action::SessionEnded {
            session: session_id(),
        },
        Action::LoginRefused {
            account: "ops".into(),
            principal: Some(PrincipalId::new("alice").unwrap()),
            serial: Some(0),
            reason: "revoked".into(),
        },
        Action::Contained { receipt: receipt() },
        Action::Impaired {
            reason: "not_run".into(),
            program: Some("task_exec".into()),
            times: 2,
            total: 5,
        },
        Action::Impaired {
            reason: "learned_full".into(),
            program: None,
            times: 1,
            total: 1,
        },
        Action::Contradiction {
            process: process_ref(),
            evidence: Evidence::ControlGroup,
            value: "/system.slice/cron.service".into(),
            says: Some(session_id()),
        },
        Action::Contradiction {
            process: process_ref(),
            evidence: Evidence::Terminal,
            value: "/dev/pts/3".into(),
            says: None,
        },
        Action::Survivors {
            session: session_id(),
            processes: vec![process_ref()],
            total: 20,
        },
        Action::AgentStarted {
            version: "1".into(),
            kernel: "6.18".into(),
            resumed: true,
            hooks: vec![
                hook.clone(),
                HookState {
                    tier: Some("tracepoint".into()),
                    ..hook
                },
            ],
        },
    ];
    for operation in Operation::ALL {
        let (tenant, tier) = (Some(TenantId::new("acme").unwrap()), Some(Tier::Backup));
        actions.push(Action::Credential {
            object: object(),
            class: "key".into(),
            tenant,
            tier,
            technique: Some("T1552.004".into()),
            operation: *operation,
            flags: 1,
            other: Some(object().path),
            denied: true,
            expected: None,
            injected: false,
            key: None,
            counted: None,
        });
    }
    for expected in Expected::ALL {
        actions.push(Action::Credential {
            object: object(),
            class: "key".into(),
            tenant: None,
            tier: None,
            technique: None,
            operation: Operation::Read,
            flags: 0,
            other: None,
            denied: false,
            expected: Some(*expected),
            injected: true,
            key: Some("SHA256:x".into()),
            counted: Some(Counted {
                acts: 59_744,
                first_at: UnixNs(7),
            }),
        });
    }
    actions.extend(local_actions());
    for cause in [
        GapCause::RingFull,
        GapCause::Undecodable,
        GapCause::SpoolDamaged,
        GapCause::SpoolFull,
        GapCause::Unexplained,
    ] {
        actions.push(Action::Gap {
            source: Source::Agent,
            first: 1,
            last: 2,
            cause,
        });
    }
    actions.push(Action::JobEnded { job: session_id() });
    actions.extend(collector_actions());
    actions
}

fn collector_actions() -> Vec<Action> {
    let acme: Vec<TenantId> = vec!["acme".parse().unwrap()];
    let read = |tenants: &[TenantId], question: &str, items: Option<u64>| Action::Read {
        by: Caller {
            role: "auditor".into(),
            name: "eve".parse().unwrap(),
            tenants: tenants.to_vec(),
        },
        call: "Search".into(),
        question: question.into(),
        question_truncated: items.is_some(),
        tenants: tenants.to_vec(),
        first_at: AT,
        last_at: UnixNs(AT.0 + 1),
        times: 12,
        items,
    };
    vec![
        read(&acme, r#"{"kinds":["exec"]}"#, None),
        read(&[], "", Some(0)),
        Action::Removed {
            first: 1,
            last: u64::MAX,
            reason: RemovalReason::Retention,
            contract: "kept for 400 days".into(),
            held_back: 3,
        },
        Action::Order {
            entry: Box::new(order_entry()),
        },
        Action::Order {
            entry: Box::new(OrderEntry {
                target: None,
                alert: None,
                step: None,
                ..order_entry()
            }),
        },
    ]
}

#[test]
fn every_action_survives_its_encoding() {
    let attributions = [
        Attribution::none(NoSession::UnknownMark),
        Attribution {
            session: Some(session_id()),
            principal: Some(PrincipalId::new("alice").unwrap()),
            tenant: Some(TenantId::new("acme").unwrap()),
            grants: vec!["g1".parse().unwrap()],
            lineage: Lineage::Linked,
            reason: None,
            way: Carrier::ALL
                .into_iter()
                .map(|carrier| Step {
                    carrier,
                    name: ByteText(b"/etc/cron.d/\xff".to_vec()),
                    at: (carrier == Carrier::JobFile).then_some(UnixNs(7)),
                    session: (carrier == Carrier::JobFile).then(session_id),
                })
                .collect(),
        },
    ];
    let process = Process {
        pid: 1,
        login_uid: Some(1000),
        comm: ByteText(b"\xffx".to_vec()),
        exe: Some(object().path),
        ..Process::default()
    };
    for action in actions() {
        for attribution in &attributions {
            for process in [None, Some(process.clone())] {
                let event = Event {
                    id: id(),
                    at: AT,
                    boot_ns: 5,
                    process,
                    attribution: attribution.clone(),
                    action: action.clone(),
                };
                assert_eq!(decode_event(&encode_event(&event)).unwrap(), event);
            }
        }
    }
}

#[test]
fn every_source_survives() {
    for source in [
        Source::Priority { cpu: 3 },
        Source::Bulk { cpu: u16::MAX },
        Source::Agent,
        Source::Collector,
    ] {
        assert_eq!(Source::try_from(v1::Source::from(source)).unwrap(), source);
        assert_eq!(source.to_string().parse::<Source>().unwrap(), source);
    }
}

#[test]
fn judgements_survive() {
    let acme = || TenantId::new("acme").unwrap();
    let mut verdicts = vec![
        Verdict::InScope {
            grant: "g1".parse().unwrap(),
        },
        Verdict::Unattributed {
            reason: NoSession::NoMark,
        },
        Verdict::Exempt {
            reason: ExemptReason::HostLocal,
        },
        Verdict::Exempt {
            reason: ExemptReason::ExpectedProgram,
        },
        Verdict::Exempt {
            reason: ExemptReason::Lifecycle,
        },
    ];
    verdicts.extend(OutReason::ALL.map(|reason| Verdict::OutOfScope {
        reason,
        grant: None,
    }));
    for verdict in verdicts {
        for owner in [
            Owner::Host,
            Owner::Unknown,
            Owner::Tenant(acme()),
            Owner::Ambiguous(vec![acme(), acme()]),
        ] {
            let against = Some(OutReason::WrongTier);
            let judgement = Judgement {
                verdict: verdict.clone(),
                owner,
                ledger: acme(),
                considered: vec![
                    Considered {
                        grant: "g1".parse().unwrap(),
                        against,
                    },
                    Considered {
                        grant: "g2".parse().unwrap(),
                        against: None,
                    },
                ],
                custodian: Some(PrincipalId::new("carol").unwrap()),
                facts: vec![monitor_model::event::Fact::PersonUsesWorkload],
                policy_version: "v".into(),
            };
            assert_eq!(
                Judgement::try_from(v1::Judgement::from(&judgement)).unwrap(),
                judgement
            );
        }
    }
}

#[test]
fn grants_survive() {
    for state in [
        GrantState::Standing,
        GrantState::Ended {
            at: AT,
            reason: "left".into(),
        },
    ] {
        let grant = Grant {
            id: "g1".parse().unwrap(),
            principal: PrincipalId::new("alice").unwrap(),
            holder: Holder::Subcontractor,
            tenant: TenantId::new("acme").unwrap(),
            ticket: "INC-1".into(),
            task: "2".into(),
            purpose: "disk full".into(),
            approved_by: PrincipalId::new("carol").unwrap(),
            tier: Tier::Endpoint,
            kind: GrantKind::BreakGlass,
            not_before: AT,
            expires: UnixNs(AT.0 + 1),
            scope: Scope {
                destinations: vec!["10.0.0.0/8:443".parse().unwrap()],
                credentials: PathPatterns::new(vec!["/srv/**".into()]).unwrap(),
                programs: PathPatterns::new(vec!["/usr/bin/*".into()]).unwrap(),
            },
            state,
            review: Some(Review {
                by: PrincipalId::new("dora").unwrap(),
                at: AT,
                note: "as it should be".into(),
            }),
        };
        assert_eq!(Grant::try_from(v1::Grant::from(&grant)).unwrap(), grant);
        let mut empty = v1::Grant::from(&grant);
        empty.expires_unix_ns = empty.not_before_unix_ns;
        assert!(
            Grant::try_from(empty)
                .unwrap_err()
                .to_string()
                .contains("window")
        );
    }
}

#[test]
fn a_policy_survives_and_its_bytes_are_always_the_same() {
    let zone = |admits| Zone {
        name: "lan".into(),
        networks: vec![
            "10.20.0.0/24".parse().unwrap(),
            "fd00::/64".parse().unwrap(),
        ],
        ports: vec!["443".parse().unwrap(), "8000-8999".parse().unwrap()],
        interface: Some("va".into()),
        net_ns: None,
        mark: Some(0),
        jump_host: Some(AgentName::new("jump-acme").unwrap()),
        hosts: vec![NamedHost {
            name: "db.acme.example".into(),
            addresses: vec!["10.20.0.7".parse().unwrap(), "fd00::7".parse().unwrap()],
            resolved_at: UnixNs(7),
        }],
        tier: Some(Tier::Backup),
        admits,
    };
    let tenant = |name: &str, admits| Tenant {
        id: TenantId::new(name).unwrap(),
        zones: vec![zone(admits)],
    };
    let item = |template: &str, tenant| Item {
        template: Template::new(template).unwrap(),
        tenant,
        owner: Some(PrincipalId::new("carol").unwrap()),
        tier: None,
        workload: Some(PrincipalId::new("backup-job").unwrap()),
        admits: Some(Admission::AnyGrant),
    };
    let terms = Terms {
        tenants: vec![
            tenant("acme", None),
            tenant("provider", Some(Admission::Everybody)),
        ],
        inventory: vec![
            item("/srv/{tenant}/kubeconfig", None),
            item("/etc/ssl/**", Some(TenantId::provider())),
        ],
        provider: Admission::AnyGrant,
        unknown: Admission::OwnerGrant,
    };
    let bytes = v1::Policy::from(&terms).encode_to_vec();
    let again = Terms::try_from(v1::Policy::decode(bytes.as_slice()).unwrap()).unwrap();
    assert_eq!(again, terms);
    assert_eq!(v1::Policy::from(&again).encode_to_vec(), bytes);
    let mut wrong = v1::Policy::from(&terms);
    wrong.tenants[0].zones[0].networks[0] = "10.0.0.0/33".into();
    let error = Terms::try_from(wrong).unwrap_err().to_string();
    assert!(
        error.contains("zone.networks") && error.contains("/33"),
        "{error}"
    );
}

#[test]
fn alerts_survive() {
    let alert = Alert {
        id: AlertId::from_parts(AT, 1),
        rule: "out-of-scope".into(),
        technique: "T1078".into(),
        rule_version: 1,
        title: "Something out of scope".into(),
        attack_version: "19".into(),
        controls: vec!["NIST 800-53 AC-6".into()],
        severity: Severity::Critical,
        at: AT,
        event_at: AT,
        event: id(),
        host: AgentName::new("jump-1").unwrap(),
        session: Some(session_id()),
        principal: None,
        tenant: None,
        ledger: TenantId::provider(),
        sentence: "x".into(),
        response: Response::Revoke,
        observed: true,
        order: Some(OrderId::from_parts(AT, 1)),
        count: 3,
        events: vec![id()],
        tenants: vec![TenantId::provider()],
        state: AlertState::Acknowledged,
        steps: vec![AlertStep {
            state: AlertState::Acknowledged,
            author: "soc/eve".into(),
            note: "mine".into(),
            at: AT,
        }],
    };
    assert_eq!(Alert::try_from(v1::Alert::from(&alert)).unwrap(), alert);
    let mut stateless = v1::Alert::from(&alert);
    stateless.state = 0;
    assert_eq!(Alert::try_from(stateless).unwrap().state, AlertState::Open);
    let mut endless = v1::Alert::from(&alert);
    endless.events = vec![(&id()).into(); 17];
    let error = Alert::try_from(endless).unwrap_err().to_string();
    assert!(error.contains("alert.events is 17; at most 16"), "{error}");
}

fn affected() -> Affected {
    Affected {
        session: session_id(),
        host: AgentName::new("jump-1").unwrap(),
        principal: None,
        tenant: Some(TenantId::new("acme").unwrap()),
        serial: Some(4),
        grants: vec![],
        gone_at: Some(AT),
        killed: 2,
        frozen_at: Some(UnixNs(3)),
        frozen: 5,
        closed: 6,
        left: 7,
        released_at: Some(UnixNs(8)),
    }
}

fn proposed() -> OrderStep {
    OrderStep {
        to: Standing::Proposed,
        by: "soc/eve".into(),
        note: "x".into(),
        at: AT,
    }
}

fn revoked() -> Revoked {
    Revoked {
        serial: Some(4),
        grant: None,
        outcome: Outcome::Revoked,
        at: AT,
    }
}

fn order_entry() -> OrderEntry {
    OrderEntry {
        order: OrderId::from_parts(AT, 1),
        target: Some(Target::Serial(4)),
        mode: Mode::Freeze,
        state: State::Failed,
        initiator: "rule x".into(),
        reason: "y".into(),
        alert: Some(AlertId::from_parts(AT, 1)),
        step: Some(proposed()),
        sessions: vec![affected()],
        more_sessions: 3,
        revoked: vec![revoked()],
        more_revoked: u64::MAX,
    }
}

#[test]
fn orders_survive() {
    let targets = [
        Target::Engineer(PrincipalId::new("alice").unwrap()),
        Target::Session(session_id()),
        Target::Grant("g1".parse().unwrap()),
        Target::Tenant(TenantId::new("acme").unwrap()),
        Target::Serial(0),
        Target::Host(AgentName::new("jump-1").unwrap()),
    ];
    for target in targets {
        let order = Order {
            id: OrderId::from_parts(AT, 1),
            target,
            cause: Cause {
                text: "x".into(),
                alert: Some(AlertId::from_parts(AT, 1)),
                event: Some(id()),
                initiator: "policy".into(),
            },
            sessions: vec![affected()],
            mode: Mode::Freeze,
            asks: Some(Asks::Bulk),
            steps: vec![proposed()],
            not_after: Some(AT),
            due: Some(UnixNs(11)),
            supersedes: vec![OrderId::from_parts(AT, 2)],
            refused: vec![Refused {
                host: AgentName::new("jump-1").unwrap(),
                at: AT,
            }],
            list: Some(9),
            published: vec![Published {
                host: AgentName::new("jump-1").unwrap(),
                at: AT,
            }],
            revoked: vec![revoked()],
            attempts: 2,
            last_error: "x".into(),
            times: Times {
                kernel_event: Some(AT),
                krl_published: Some(UnixNs(1)),
                ..Times::default()
            },
        };
        assert_eq!(Order::try_from(v1::Order::from(&order)).unwrap(), order);
    }
}

#[test]
fn an_order_of_before_there_were_modes_ends_what_it_reaches() {
    let before = v1::Order {
        id: OrderId::from_parts(AT, 1).to_bytes().to_vec(),
        target: Some((&Target::Serial(1)).into()),
        times: Some(v1::OrderTimes {
            ordered_unix_ns: Some(AT.0),
            ..v1::OrderTimes::default()
        }),
        ..v1::Order::default()
    };
    let order = Order::try_from(before).unwrap();
    assert_eq!(
        (order.mode, order.state()),
        (Mode::Kill, State::HostsEnforced)
    );
    assert!(order.is_in_force() && order.asks.is_none());
    assert_eq!(order.given_at(), AT);
}

#[test]
fn wrong_fields_are_named() {
    let event = Event {
        id: id(),
        at: AT,
        boot_ns: 1,
        process: None,
        attribution: Attribution::none(NoSession::NoMark),
        action: Action::Connect {
            destination: destination("10.0.0.1"),
            denied: false,
            scope: None,
        },
    };
    let mut message = v1::Event::from(&event);
    message.id.as_mut().unwrap().boot = vec![1, 2];
    let text = Event::try_from(message.clone()).unwrap_err().to_string();
    assert!(text.contains("id.boot") && text.contains("16"), "{text}");
    message.id = None;
    assert!(
        Event::try_from(message)
            .unwrap_err()
            .to_string()
            .contains("event.id")
    );
    let mut message = v1::Event::from(&event);
    message.attribution.as_mut().unwrap().lineage = 99;
    assert!(
        Event::try_from(message)
            .unwrap_err()
            .to_string()
            .contains("99")
    );
}

proptest! {
    #[test]
    fn any_bytes_give_an_event_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode_event(&bytes);
    }

    #[test]
    fn a_damaged_event_gives_an_event_or_an_error(
        which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let action = which.get(&actions()).clone();
        let attribution = Attribution::none(NoSession::NoMark);
        let event = Event { id: id(), at: AT, boot_ns: 1, process: None, attribution, action };
        let mut bytes = encode_event(&event);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(event) = decode_event(&bytes) {
            prop_assert_eq!(decode_event(&encode_event(&event)).unwrap(), event);
        }
    }
}

#[test]
fn scopes_survive_and_ranges_that_are_none_are_refused() {
    let block = |network: &str| Block::of(network.parse().unwrap()).unwrap();
    let range = |first, says| Range { first, says };
    let ranges = vec![range(0, Says::Refused), range(443, Says::Granted)];
    let cells = vec![
        Cell {
            block: block("::/0"),
            ranges: vec![range(0, Says::Open)],
        },
        Cell {
            block: block("10.20.0.0/16"),
            ranges,
        },
    ];
    let table = ScopeTable {
        version: 7,
        lease: Duration::from_millis(1_500),
        when_away: Away::Tighten,
        grants: vec![
            Scoped::Compiled(CompiledGrant {
                grant: "g1".parse().unwrap(),
                from: AT,
                until: UnixNs::MAX,
                over: EnforceMode::Observe,
                cells,
            }),
            Scoped::Unfit {
                grant: "g2".parse().unwrap(),
                why: "too much".to_owned(),
            },
        ],
    };
    let message = v1::ScopeTable::from(&table);
    assert_eq!(ScopeTable::try_from(message.clone()).unwrap(), table);
    let wrong = |change: &dyn Fn(&mut v1::ScopeCell), wanted: &str| {
        let mut message = message.clone();
        change(&mut message.grants[0].cells[1]);
        let error = ScopeTable::try_from(message).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    };
    wrong(&|cell| cell.bits = 129, "cell.bits is 129; at most 128");
    wrong(
        &|cell| cell.address = vec![1; 4],
        "cell.address has 4 bytes",
    );
    wrong(&|cell| cell.ranges.clear(), "ranges of ports begin at 0");
    wrong(&|cell| cell.ranges.reverse(), "ranges of ports begin at 0");
    wrong(
        &|cell| cell.ranges[1].first_port = 65_536,
        "range.first_port",
    );
    wrong(&|cell| cell.ranges[0].answer = 0, "range.answer");
}
