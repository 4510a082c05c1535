//! A small world to show: alice works for acme and reaches for globex.

use monitor_model::{
    alert::{Alert, AlertState, Response, Severity},
    bytes::PathLabel,
    clock::UnixNs,
    event::{
        Action, Attribution, Caller, Event, FileObject, GapCause, HookState, Lineage, NoSession,
        Operation, Process,
    },
    grant::{Grant, GrantKind, GrantState, Holder, Scope, Tier},
    host::Host,
    id::{EventId, Source},
    revocation::{Affected, Cause, Order, Outcome, Revoked, Target, Times},
    session::{Credential, Session, SessionState},
    tenant::Owner,
    verdict::{Considered, ExemptReason, Judgement, OutReason, Verdict},
};
use monitor_proto::v1;

/// 2026-01-02 12:00:00 UTC.
pub(crate) const NOON: u64 = 1_767_355_200;
pub(crate) const SESSION: &str = "01JG3Y2E8QW0X9V5T4R3S2A1B0";
pub(crate) const ORDER: &str = "01JG3Y2E8QW0X9V5T4R3S2D4E5";
pub(crate) const ALERT: &str = "01JG3Y2E8QW0X9V5T4R3S2F6G7";
pub(crate) const BOOT: &str = "01JG3Y2E8QW0X9V5T4R3S2H8J9";

pub(crate) fn at(millis: u64) -> UnixNs {
    UnixNs(UnixNs::from_seconds(NOON).0 + millis * 1_000_000)
}

pub(crate) fn event_id(sequence: u64) -> EventId {
    format!("jump-1/{BOOT}/p0/{sequence}").parse().unwrap()
}

fn label(text: &str) -> PathLabel {
    PathLabel {
        text: text.into(),
        truncated: false,
    }
}

fn event(sequence: u64, action: Action) -> Event {
    Event {
        id: event_id(sequence),
        at: at(sequence),
        boot_ns: sequence,
        process: Some(Process {
            pid: 4711,
            parent_pid: 4700,
            uid: 1000,
            euid: 1000,
            comm: "cat".into(),
            exe: Some(label("/usr/bin/cat")),
            ..Process::default()
        }),
        attribution: Attribution {
            session: Some(SESSION.parse().unwrap()),
            principal: Some("alice".parse().unwrap()),
            tenant: Some("acme".parse().unwrap()),
            grants: vec!["g-acme".parse().unwrap()],
            lineage: Lineage::Kernel,
            reason: None,
            way: Vec::new(),
        },
        action,
    }
}

/// Reading a credential of a tenant.
pub(crate) fn credential(sequence: u64, path: &str, tenant: &str) -> Event {
    event(
        sequence,
        Action::Credential {
            object: FileObject {
                device: 1,
                inode: 2,
                generation: 3,
                path: label(path),
            },
            class: "kubeconfig".into(),
            tenant: Some(tenant.parse().unwrap()),
            tier: None,
            technique: None,
            operation: Operation::Read,
            other: None,
            denied: false,
            flags: 0,
            expected: None,
            injected: false,
            key: None,
            counted: None,
        },
    )
}

/// A host whose agent is blind for memory.
pub(crate) fn host() -> Host {
    let hook = |family: &str, tier: Option<&str>, unseen: &str| HookState {
        family: family.into(),
        tier: tier.map(Into::into),
        unseen: unseen.into(),
    };
    Host {
        host: "jump-1".parse().unwrap(),
        boot: BOOT.parse().unwrap(),
        started_at: at(0),
        version: "0.1.0".into(),
        kernel: "6.12.1".into(),
        resumed: false,
        hooks: vec![
            hook("exec", Some("tracepoint"), "scripts"),
            hook("life", Some("tracepoint"), ""),
            hook("memory", None, "everything"),
        ],
    }
}

pub(crate) fn gap(sequence: u64) -> Event {
    let mut gap = event(
        sequence,
        Action::Gap {
            source: Source::Bulk { cpu: 1 },
            first: 5,
            last: 9,
            cause: GapCause::RingFull,
        },
    );
    gap.process = None;
    gap.attribution.session = None;
    gap.attribution.principal = None;
    gap.attribution.tenant = None;
    gap
}

/// A login of somebody who sends escape sequences as an account's name.
/// Carol read of acme, as the collector tells it.
pub(crate) fn read(sequence: u64, times: u64) -> Event {
    let mut read = event(
        sequence,
        Action::Read {
            by: Caller {
                role: "soc".into(),
                name: "carol".parse().unwrap(),
                tenants: Vec::new(),
            },
            call: "Search".into(),
            question: r#"{"kinds":["exec"]}"#.into(),
            question_truncated: false,
            tenants: vec!["acme".parse().unwrap()],
            first_at: at(0),
            last_at: at(59_000),
            times,
            items: None,
        },
    );
    read.id = format!("main/{BOOT}/c/{sequence}").parse().unwrap();
    read.process = None;
    read.attribution = Attribution {
        tenant: Some("acme".parse().unwrap()),
        reason: None,
        ..Attribution::none(NoSession::NoPrincipal)
    };
    read
}

pub(crate) fn hostile(sequence: u64) -> Event {
    event(
        sequence,
        Action::LoginRefused {
            account: "root\x1b[2J\u{9b}31m\n".into(),
            principal: None,
            serial: None,
            reason: "no".into(),
        },
    )
}

pub(crate) fn in_scope() -> Judgement {
    Judgement {
        verdict: Verdict::InScope {
            grant: "g-acme".parse().unwrap(),
        },
        owner: Owner::Tenant("acme".parse().unwrap()),
        ledger: "acme".parse().unwrap(),
        considered: vec![Considered {
            grant: "g-acme".parse().unwrap(),
            against: None,
        }],
        custodian: None,
        facts: Vec::new(),
        policy_version: "v1".into(),
    }
}

pub(crate) fn wrong_tenant() -> Judgement {
    Judgement {
        verdict: Verdict::OutOfScope {
            reason: OutReason::WrongTenant,
            grant: Some("g-acme".parse().unwrap()),
        },
        owner: Owner::Tenant("globex".parse().unwrap()),
        ledger: "globex".parse().unwrap(),
        considered: vec![Considered {
            grant: "g-acme".parse().unwrap(),
            against: Some(OutReason::WrongTenant),
        }],
        custodian: None,
        facts: Vec::new(),
        policy_version: "v1".into(),
    }
}

pub(crate) fn lifecycle() -> Judgement {
    Judgement {
        verdict: Verdict::Exempt {
            reason: ExemptReason::Lifecycle,
        },
        owner: Owner::Host,
        ledger: "provider".parse().unwrap(),
        considered: Vec::new(),
        custodian: None,
        facts: Vec::new(),
        policy_version: "v1".into(),
    }
}

pub(crate) fn judged(event: &Event, judgement: &Judgement, position: u64) -> v1::JudgedEvent {
    v1::JudgedEvent {
        event: monitor_proto::encode_event(event),
        judgement: Some(judgement.into()),
        position,
        hash: vec![0xab; 32],
        stored_at_unix_ns: event.at.0 + 1,
    }
}

/// An item of a stream, with its cursor.
pub(crate) fn item(cursor: &str, item: v1::subscribe_response::Item) -> v1::SubscribeResponse {
    v1::SubscribeResponse {
        cursor: cursor.into(),
        item: Some(item),
    }
}

pub(crate) fn event_item(
    cursor: &str,
    event: &Event,
    judgement: &Judgement,
) -> v1::SubscribeResponse {
    let position = event.id.sequence;
    item(
        cursor,
        v1::subscribe_response::Item::Event(judged(event, judgement, position)),
    )
}

pub(crate) fn alert() -> Alert {
    Alert {
        id: ALERT.parse().unwrap(),
        rule: "out-of-scope".into(),
        technique: "T1078".into(),
        rule_version: 1,
        title: "Something out of scope".into(),
        attack_version: "19".into(),
        controls: vec!["NIST 800-53 AC-6".into()],
        severity: Severity::High,
        at: at(2_001),
        event_at: at(2_000),
        event: event_id(2),
        host: "jump-1".parse().unwrap(),
        session: Some(SESSION.parse().unwrap()),
        principal: Some("alice".parse().unwrap()),
        tenant: Some("acme".parse().unwrap()),
        ledger: "globex".parse().unwrap(),
        sentence: "alice (acme, INC-4711, production) read globex credential /srv/globex/kubeconfig with cat on jump-1"
            .into(),
        response: Response::Revoke,
        observed: false,
        order: Some(ORDER.parse().unwrap()),
        count: 1,
        events: vec![event_id(2)],
        tenants: vec![],
        state: AlertState::Open,
        steps: vec![],
    }
}

pub(crate) fn session() -> Session {
    Session {
        id: SESSION.parse().unwrap(),
        host: "jump-1".parse().unwrap(),
        account: "ops".into(),
        principal: Some("alice".parse().unwrap()),
        tenant: Some("acme".parse().unwrap()),
        grants: vec!["g-acme".parse().unwrap()],
        ticket: "INC-4711".into(),
        tier: Some(Tier::Production),
        credential: Credential::SshCertificate {
            serial: 7,
            key_id: "v1;eng=alice".into(),
            ca_fingerprint: "SHA256:ca".into(),
            key_fingerprint: "SHA256:key".into(),
        },
        peer: Some("192.0.2.7".parse().unwrap()),
        peer_port: 50_000,
        leader_pid: 4700,
        binding: monitor_model::session::Binding::Certificate,
        way: Vec::new(),
        audit_session: Some(3),
        opened_at: at(0),
        ended_at: None,
        adopted: false,
        state: SessionState::Live,
        frozen: None,
    }
}

pub(crate) fn grant(id: &str) -> Grant {
    Grant {
        id: id.parse().unwrap(),
        principal: "alice".parse().unwrap(),
        tenant: "acme".parse().unwrap(),
        ticket: "INC-4711".into(),
        purpose: "patch the cluster".into(),
        approved_by: "bob".parse().unwrap(),
        tier: Tier::Production,
        kind: GrantKind::JustInTime,
        not_before: at(0),
        expires: UnixNs::MAX,
        scope: Scope {
            destinations: vec!["10.20.0.0/24:443".parse().unwrap()],
            ..Scope::default()
        },
        state: GrantState::Standing,
        holder: Holder::Staff,
        task: String::new(),
        review: None,
    }
}

pub(crate) fn affected() -> Affected {
    Affected {
        principal: Some("alice".parse().unwrap()),
        serial: Some(7),
        grants: vec!["g-acme".parse().unwrap()],
        ..Affected::new(SESSION.parse().unwrap(), "jump-1".parse().unwrap())
    }
}

/// An order just given: nobody has confirmed anything.
pub(crate) fn order(target: Target) -> Order {
    let cause = Cause {
        text: "offboarding".into(),
        alert: None,
        event: None,
        initiator: "soc/carol".into(),
    };
    Order {
        sessions: vec![affected()],
        times: Times {
            ordered: Some(at(2_003)),
            ..Times::default()
        },
        ..Order::new(ORDER.parse().unwrap(), target, cause)
    }
}

/// The same when the broker and the host have done their part.
pub(crate) fn enforced(target: Target) -> Order {
    let mut order = order(target);
    order.sessions[0].gone_at = Some(at(2_044));
    order.sessions[0].killed = 3;
    order.revoked = vec![Revoked {
        serial: Some(7),
        grant: Some("g-acme".parse().unwrap()),
        outcome: Outcome::Revoked,
        at: at(2_180),
    }];
    order.attempts = 1;
    order.times = Times {
        kernel_event: Some(at(2_000)),
        alert: Some(at(2_001)),
        ordered: Some(at(2_003)),
        delivered: Some(at(2_004)),
        broker_answered: Some(at(2_180)),
        krl_published: Some(at(2_179)),
        last_process_gone: Some(at(2_044)),
        first_refused_login: None,
    };
    order
}
