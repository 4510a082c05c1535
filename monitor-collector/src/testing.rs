//! Events, grants and times that tests share.

use monitor_model::{
    bytes::PathLabel,
    clock::UnixNs,
    event::{Action, Attribution, Event, FileObject, Lineage, Operation, Process},
    grant::{Grant, GrantKind, GrantState, Holder, Scope, Tier},
    id::{AgentName, BootId, EventId, SessionId, Source, TenantId},
    judge::{World, judge},
    policy::{Policy, Terms},
    session::{Credential, Session, SessionState},
    tenant::Tenant,
};

use crate::ledger::{Entry, Judged};

pub(crate) const BASE: UnixNs = UnixNs::from_seconds(1_790_000_000);

pub(crate) fn at_seconds(seconds: u64) -> UnixNs {
    UnixNs(BASE.0 + seconds * 1_000_000_000)
}

pub(crate) fn session_id(number: u128) -> SessionId {
    SessionId::from_parts(BASE, number)
}

pub(crate) fn event_id(agent: &str, source: Source, sequence: u64) -> EventId {
    EventId {
        agent: AgentName::new(agent).unwrap(),
        boot: BootId::from_parts(UnixNs(0), 1),
        source,
        sequence,
    }
}

pub(crate) fn event(id: EventId, action: Action) -> Event {
    Event {
        id,
        at: BASE,
        boot_ns: 1,
        process: None,
        attribution: Attribution {
            session: Some(session_id(1)),
            principal: Some("alice".parse().unwrap()),
            tenant: Some("acme".parse().unwrap()),
            grants: vec!["01JG".parse().unwrap()],
            lineage: Lineage::Kernel,
            reason: None,
            way: Vec::new(),
        },
        action,
    }
}

pub(crate) fn label(text: &str) -> PathLabel {
    PathLabel {
        text: text.into(),
        truncated: false,
    }
}

/// A read of a tenant's credential by alice's session for acme.
pub(crate) fn credential(id: EventId, tenant: &str, path: &str) -> Event {
    let object = FileObject {
        device: 1,
        inode: 2,
        generation: 3,
        path: label(path),
    };
    let mut event = event(
        id,
        Action::Credential {
            object,
            class: "kubeconfig".into(),
            tenant: Some(TenantId::new(tenant).unwrap()),
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
    );
    event.process = Some(Process {
        pid: 7,
        exe: Some(label("/usr/bin/cat")),
        ..Process::default()
    });
    event
}

pub(crate) fn opened(id: EventId, session: SessionId, principal: &str, serial: u64) -> Event {
    let session = Session {
        id: session,
        host: id.agent.clone(),
        account: "ops".into(),
        principal: Some(principal.parse().unwrap()),
        tenant: Some("acme".parse().unwrap()),
        grants: vec!["01JG".parse().unwrap()],
        ticket: "INC-4711".into(),
        tier: Some(Tier::Production),
        credential: Credential::SshCertificate {
            serial,
            key_id: "v1;eng=alice".into(),
            ca_fingerprint: "SHA256:x".into(),
            key_fingerprint: "SHA256:y".into(),
        },
        peer: None,
        peer_port: 0,
        leader_pid: 7,
        binding: monitor_model::session::Binding::Certificate,
        way: Vec::new(),
        audit_session: None,
        opened_at: BASE,
        ended_at: None,
        adopted: false,
        state: SessionState::Live,
        frozen: None,
    };
    let mut event = event(
        id,
        Action::SessionOpened {
            session: Box::new(session.clone()),
        },
    );
    event.attribution.session = Some(session.id);
    event.attribution.principal = session.principal;
    event
}

pub(crate) fn grant(id: &str, principal: &str, tenant: &str) -> Grant {
    Grant {
        id: id.parse().unwrap(),
        principal: principal.parse().unwrap(),
        tenant: tenant.parse().unwrap(),
        ticket: "INC-4711".into(),
        purpose: "fix it".into(),
        approved_by: "bob".parse().unwrap(),
        tier: Tier::Production,
        kind: GrantKind::JustInTime,
        not_before: UnixNs(0),
        expires: UnixNs::MAX,
        scope: Scope::default(),
        state: GrantState::Standing,
        holder: Holder::Staff,
        task: String::new(),
        review: None,
    }
}

pub(crate) fn world() -> World {
    let grant = grant("01JG", "alice", "acme");
    let tenant = |name: &str| Tenant {
        id: TenantId::new(name).unwrap(),
        zones: vec![],
    };
    let terms = Terms {
        tenants: vec![tenant("acme"), tenant("globex"), tenant("provider")],
        ..Terms::default()
    };
    World {
        policy: Policy::new(terms, "test".into()).unwrap().into(),
        grants: [(grant.id.clone(), grant)].into(),
    }
}

pub(crate) fn judged(event: Event) -> Judged {
    let judgement = judge(&world(), &event);
    Judged {
        event_bytes: monitor_proto::encode_event(&event),
        event,
        judgement,
    }
}

pub(crate) fn entry_of(event: Event, position: u64) -> Entry {
    let judged = judged(event);
    Entry {
        ledger: judged.judgement.ledger.clone(),
        position,
        stored_at: UnixNs(BASE.0 + position * 1_000),
        hash: [0; 32],
        judged,
    }
}

/// Checks a tenant's whole ledger and says how many entries it has.
pub(crate) fn whole(data_dir: &std::path::Path, tenant: &str) -> u64 {
    let path = crate::ledger::Ledger::path(data_dir, &tenant.parse().unwrap());
    let trust = monitor_ledger::check::Trust::default();
    let report = monitor_ledger::check::file::check(&path, tenant, &trust);
    report.unwrap().records
}

/// The key file of a test's collector, made when it is not there.
pub(crate) fn ledger_key(folder: &std::path::Path) -> std::path::PathBuf {
    let path = folder.join("ledger.key");
    if !path.exists() {
        log_key().store(&path).unwrap();
    }
    path
}

/// The key in it.
pub(crate) fn log_key() -> monitor_ledger::key::LogKey {
    monitor_ledger::key::LogKey::new("monitor.test", &[7; 32]).unwrap()
}
