//! Messages as the programs write them, and rows that are made of them.

use monitor_model::{
    contain::ContainMode,
    id::{AlertId, OrderId},
    krl::RevocationList,
};
use monitor_proto::v1::{self, stream_response::Message};
use prost::Message as _;

use super::{AT, Seeds, event, events, judgement, seeds, session, session_id};

fn bytes_of(id: OrderId) -> Vec<u8> {
    id.to_bytes().to_vec()
}

fn order_id() -> OrderId {
    OrderId::from_parts(AT, 1)
}

fn grant() -> v1::Grant {
    v1::Grant {
        id: "g1".to_owned(),
        principal: "alice".to_owned(),
        tenant: "acme".to_owned(),
        ticket: "INC-1".to_owned(),
        purpose: "replace a disk".to_owned(),
        approved_by: "bob".to_owned(),
        tier: v1::Tier::Production.into(),
        kind: v1::GrantKind::JustInTime.into(),
        not_before_unix_ns: AT.0,
        expires_unix_ns: AT.0 + 3_600_000_000_000,
        scope: Some(v1::Scope {
            destinations: vec!["10.20.0.0/24:443".to_owned(), "[fd00::/64]:*".to_owned()],
            credentials: vec!["/srv/acme/**".to_owned()],
            programs: vec!["/usr/bin/ssh".to_owned()],
        }),
        review: Some(review()),
        ..v1::Grant::default()
    }
}

fn review() -> v1::GrantReview {
    v1::GrantReview {
        by: "carol".to_owned(),
        at_unix_ns: AT.0,
        note: "as asked".to_owned(),
    }
}

fn target() -> v1::RevocationTarget {
    let target = v1::revocation_target::Target::Engineer("alice".to_owned());
    v1::RevocationTarget {
        target: Some(target),
    }
}

fn step() -> v1::OrderStep {
    v1::OrderStep {
        to: v1::OrderStanding::InForce.into(),
        by: "bob".to_owned(),
        note: "seen".to_owned(),
        at_unix_ns: AT.0,
    }
}

fn affected() -> v1::AffectedSession {
    v1::AffectedSession {
        session: session_id().to_bytes().to_vec(),
        host: "jump-1".to_owned(),
        principal: "alice".to_owned(),
        serial: Some(12),
        grants: vec!["g1".to_owned()],
        killed: 2,
        ..v1::AffectedSession::default()
    }
}

fn revoked() -> v1::Revoked {
    v1::Revoked {
        serial: Some(12),
        grant: "g1".to_owned(),
        outcome: v1::RevocationOutcome::Revoked.into(),
        at_unix_ns: AT.0,
    }
}

fn order() -> v1::Order {
    v1::Order {
        id: bytes_of(order_id()),
        target: Some(target()),
        mode: v1::OrderMode::Kill.into(),
        steps: vec![step()],
        reason: "left".to_owned(),
        initiator: "bob".to_owned(),
        sessions: vec![affected()],
        revoked: vec![revoked()],
        times: Some(v1::OrderTimes::default()),
        ..v1::Order::default()
    }
}

fn entry() -> v1::OrderEntry {
    v1::OrderEntry {
        order: bytes_of(order_id()),
        target: Some(target()),
        mode: v1::OrderMode::Kill.into(),
        state: v1::OrderState::InForce.into(),
        initiator: "bob".to_owned(),
        step: Some(step()),
        sessions: vec![affected()],
        revoked: vec![revoked()],
        ..v1::OrderEntry::default()
    }
}

fn alert() -> v1::Alert {
    let (_, first) = super::all_events().remove(0);
    v1::Alert {
        id: AlertId::from_parts(AT, 2).to_bytes().to_vec(),
        rule: "r1".to_owned(),
        severity: v1::Severity::High.into(),
        at_unix_ns: AT.0,
        event: Some(v1::EventId::from(&first.id)),
        host: "jump-1".to_owned(),
        ledger: "acme".to_owned(),
        response: v1::AlertResponse::Revoke.into(),
        sentence: "alice ran cat".to_owned(),
        count: 1,
        ..v1::Alert::default()
    }
}

fn policy() -> v1::Policy {
    let zone = v1::Zone {
        name: "lan".to_owned(),
        networks: vec!["10.20.0.0/24".to_owned()],
        ports: vec!["443".to_owned(), "8000-8080".to_owned()],
        hosts: vec![v1::NamedHost {
            name: "db.acme.example".to_owned(),
            addresses: vec!["10.21.0.1".to_owned()],
            resolved_unix_ns: AT.0,
        }],
        tier: v1::Tier::Production.into(),
        ..v1::Zone::default()
    };
    v1::Policy {
        tenants: vec![v1::Tenant {
            id: "acme".to_owned(),
            zones: vec![zone],
        }],
        inventory: vec![v1::InventoryItem {
            template: "/srv/{tenant}/kubeconfig".to_owned(),
            ..v1::InventoryItem::default()
        }],
        provider: v1::Admission::OwnerGrant.into(),
        unknown: v1::Admission::AnyGrant.into(),
    }
}

fn host() -> v1::Host {
    v1::Host {
        host: "jump-1".to_owned(),
        boot: monitor_model::id::BootId::from_parts(AT, 9)
            .to_bytes()
            .to_vec(),
        started_at_unix_ns: AT.0,
        version: "0.1.0".to_owned(),
        kernel: "6.12".to_owned(),
        ..v1::Host::default()
    }
}

fn process() -> v1::LiveProcess {
    v1::LiveProcess {
        pid: 7,
        start_boot_ns: 70,
        parent_pid: 1,
        lineage: v1::Lineage::Kernel.into(),
        arguments: Some(v1::Arguments {
            argv: vec![b"cat".to_vec(), b"\xff".to_vec()],
            ..v1::Arguments::default()
        }),
        ..v1::LiveProcess::default()
    }
}

fn job() -> v1::LiveJob {
    v1::LiveJob {
        id: session_id().to_bytes().to_vec(),
        leader_pid: 7,
        started_at_unix_ns: AT.0,
        ..v1::LiveJob::default()
    }
}

fn live() -> v1::LiveSession {
    v1::LiveSession {
        session: Some(v1::Session::from(&session())),
        jobs: vec![job()],
        processes: vec![process()],
        missing: Some(v1::Missing::default()),
    }
}

fn list() -> v1::RevocationList {
    v1::RevocationList::from(&RevocationList {
        number: 7,
        bytes: b"SSHKRL\n\0".to_vec(),
        sha256: [4; 32],
        published_at: AT,
    })
}

fn scopes() -> v1::ScopeTable {
    let cell = v1::ScopeCell {
        address: vec![0; 16],
        bits: 96,
        ranges: vec![v1::ScopeRange {
            first_port: 0,
            answer: v1::ScopeAnswer::Refused.into(),
        }],
    };
    v1::ScopeTable {
        version: 3,
        lease_ms: 30_000,
        grants: vec![v1::CompiledGrant {
            grant: "g1".to_owned(),
            from_unix_ns: AT.0,
            until_unix_ns: AT.0 + 5,
            over: v1::EnforceMode::Enforce.into(),
            cells: vec![cell],
            ..v1::CompiledGrant::default()
        }],
        ..v1::ScopeTable::default()
    }
}

fn snapshot() -> v1::SessionSnapshot {
    let seen = match super::inspected().answer.unwrap() {
        v1::inspect_answer::Answer::Snapshot(snapshot) => Some(snapshot),
        v1::inspect_answer::Answer::NotShown(_) => None,
    };
    seen.unwrap()
}

fn numbered(rows: impl IntoIterator<Item = (&'static str, u8, Vec<u8>)>) -> Seeds {
    let of = |(name, number, bytes): (&str, u8, Vec<u8>)| {
        (name.to_owned(), [vec![number], bytes].concat())
    };
    rows.into_iter().map(of).collect()
}

pub(crate) fn message() -> Seeds {
    numbered([
        ("grant", 0, grant().encode_to_vec()),
        ("review", 1, review().encode_to_vec()),
        ("order", 2, order().encode_to_vec()),
        ("entry", 3, entry().encode_to_vec()),
        ("alert", 4, alert().encode_to_vec()),
        ("session", 5, v1::Session::from(&session()).encode_to_vec()),
        ("policy", 6, policy().encode_to_vec()),
        ("host", 7, host().encode_to_vec()),
        ("live-session", 8, live().encode_to_vec()),
        ("live-process", 9, process().encode_to_vec()),
        ("live-job", 10, job().encode_to_vec()),
        ("judgement", 11, judgement()),
        ("list", 12, list().encode_to_vec()),
        ("scopes", 13, scopes().encode_to_vec()),
        ("snapshot", 14, snapshot().encode_to_vec()),
    ])
}

pub(crate) fn downward() -> Seeds {
    let sent = |message| {
        let message = Some(message);
        v1::StreamResponse { message }.encode_to_vec()
    };
    let command = v1::ContainCommand {
        order: bytes_of(order_id()),
        session: session_id().to_bytes().to_vec(),
        mode: v1::ContainMode::from(ContainMode::Kill).into(),
        reason: "left".to_owned(),
    };
    let denied = v1::DenyTable {
        serials: vec![12, u64::MAX],
        principals: vec!["alice".to_owned()],
    };
    let asked = v1::InspectCommand {
        question: 5,
        session: session_id().to_bytes().to_vec(),
    };
    let grants = v1::GrantTable {
        grants: vec![grant()],
    };
    seeds([
        ("ack", sent(Message::Ack(v1::Ack { number: 3 }))),
        ("grants", sent(Message::Grants(grants))),
        ("deny", sent(Message::Deny(denied))),
        ("scopes", sent(Message::Scopes(scopes()))),
        ("lease", sent(Message::ScopeLease(v1::ScopeLease {}))),
        ("list", sent(Message::List(list()))),
        ("contain", sent(Message::Contain(command))),
        ("inspect", sent(Message::Inspect(asked))),
    ])
}

pub(crate) fn mask() -> Seeds {
    let judged = v1::JudgedEvent {
        event: events().into_values().next().unwrap(),
        hash: vec![5; 32],
        ..v1::JudgedEvent::default()
    };
    let paths = b"event.process.pid\nevent.exec.argv\njudgement\n\n".to_vec();
    seeds([
        ("some", [paths, judged.encode_to_vec()].concat()),
        ("one", b"event".to_vec()),
    ])
}

/// The text that the alerter remembers is chosen by the length.
pub(crate) fn state() -> Seeds {
    let entry = monitor_model::event::Action::Order {
        entry: Box::new(monitor_model::event::OrderEntry::try_from(entry()).unwrap()),
    };
    let said = v1::Event::from(&event(1, entry));
    let exit = monitor_model::event::Action::Exit { status: 256 };
    let held = super::terms().remove("numbers").unwrap();
    let place = v1::ListInPlace {
        number: Some(7),
        at_unix_ns: AT.0,
        problem: String::new(),
    };
    numbered([
        ("grant", 0, grant().encode_to_vec()),
        ("session", 1, v1::Session::from(&session()).encode_to_vec()),
        ("order", 2, order().encode_to_vec()),
        ("alert", 3, alert().encode_to_vec()),
        ("host", 5, host().encode_to_vec()),
        ("policy", 6, policy().encode_to_vec()),
        ("process", 7, process().encode_to_vec()),
        ("job", 8, job().encode_to_vec()),
        ("kept-count", 9, b"1 2 3 4 ".to_vec()),
        ("kept-host", 9, b"{\"boot\":1}   ".to_vec()),
        ("list", 10, list().encode_to_vec()),
        ("in-place", 11, place.encode_to_vec()),
        ("said", 12, said.encode_to_vec()),
        ("held", 13, held),
        ("form", 14, grant().encode_to_vec()),
        ("aside", 15, monitor_proto::encode_event(&event(2, exit))),
    ])
}
