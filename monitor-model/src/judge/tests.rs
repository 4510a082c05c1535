//! Whole events against a small world.

use super::*;
use crate::{
    bytes::PathLabel,
    clock::UnixNs,
    event::{Attribution, Destination, FileObject, Lineage, Operation, Protocol},
    grant::{GrantKind, GrantState, Scope},
    id::{AgentName, BootId, EventId, PrincipalId, SessionId, Source},
    tenant::Zone,
};

fn tenant(name: &str, interface: &str) -> Tenant {
    Tenant {
        id: name.parse().unwrap(),
        zones: vec![Zone {
            name: "lan".into(),
            networks: vec!["10.20.0.0/24".parse().unwrap()],
            ports: vec![],
            interface: Some(interface.into()),
            net_ns: None,
            mark: None,
            tier: None,
        }],
    }
}

fn world() -> World {
    let grant = Grant {
        id: "g1".parse().unwrap(),
        principal: PrincipalId::new("alice").unwrap(),
        tenant: "acme".parse().unwrap(),
        ticket: "INC-1".into(),
        purpose: "test".into(),
        approved_by: PrincipalId::new("bob").unwrap(),
        tier: Tier::Production,
        kind: GrantKind::JustInTime,
        not_before: UnixNs(100),
        expires: UnixNs(200),
        scope: Scope::default(),
        state: GrantState::Standing,
    };
    World {
        tenants: vec![tenant("acme", "va"), tenant("globex", "vg")],
        grants: HashMap::from([(grant.id.clone(), grant)]),
        version: "v".into(),
    }
}

fn event(action: Action) -> Event {
    Event {
        id: EventId {
            agent: AgentName::new("jump-1").unwrap(),
            boot: BootId::from_parts(UnixNs(0), 1),
            source: Source::Priority { cpu: 0 },
            sequence: 1,
        },
        at: UnixNs(150),
        boot_ns: 1,
        process: None,
        attribution: Attribution {
            session: Some(SessionId::from_parts(UnixNs(0), 1)),
            principal: Some(PrincipalId::new("alice").unwrap()),
            tenant: Some("acme".parse().unwrap()),
            grants: vec!["g1".parse().unwrap()],
            lineage: Lineage::Kernel,
            reason: None,
            way: Vec::new(),
        },
        action,
    }
}

fn connect(address: &str, interface: Option<&str>) -> Event {
    event(Action::Connect {
        destination: Destination {
            address: address.parse().unwrap(),
            port: 8080,
            protocol: Protocol::Tcp,
            interface: interface.map(Into::into),
            interface_index: 0,
            net_ns: 1,
            net_ns_name: None,
            mark: 0,
        },
        denied: false,
    })
}

fn credential(tenant: Option<&str>, tier: Option<Tier>) -> Event {
    event(Action::Credential {
        object: FileObject {
            device: 1,
            inode: 2,
            generation: 0,
            path: PathLabel {
                text: "/srv/x/kubeconfig".into(),
                truncated: false,
            },
        },
        class: "kubeconfig".into(),
        tenant: tenant.map(|name| name.parse().unwrap()),
        tier,
        technique: None,
        operation: Operation::Read,
        flags: 0,
        other: None,
        denied: false,
        expected: None,
    })
}

/// The same, expected by the watch list.
fn expected(tenant: Option<&str>, how: Expected) -> Event {
    let mut event = credential(tenant, None);
    let Action::Credential { expected, .. } = &mut event.action else {
        unreachable!()
    };
    *expected = Some(how);
    event
}

fn out(judgement: &Judgement) -> OutReason {
    let Verdict::OutOfScope { reason, .. } = judgement.verdict else {
        panic!("{:?}", judgement.verdict)
    };
    reason
}

#[test]
fn an_access_of_ones_own_tenant_is_in_scope_and_in_its_ledger() {
    for event in [
        connect("10.20.0.10", Some("va")),
        credential(Some("acme"), Some(Tier::Production)),
    ] {
        let judgement = judge(&world(), &event);
        assert_eq!(
            judgement.verdict,
            Verdict::InScope {
                grant: "g1".parse().unwrap()
            }
        );
        assert_eq!(judgement.ledger.as_str(), "acme");
    }
}

#[test]
fn an_access_of_another_tenant_is_out_of_scope_and_in_that_tenants_ledger() {
    for event in [
        connect("10.20.0.10", Some("vg")),
        credential(Some("globex"), None),
    ] {
        let judgement = judge(&world(), &event);
        assert_eq!(out(&judgement), OutReason::WrongTenant);
        assert_eq!(judgement.ledger.as_str(), "globex");
    }
}

#[test]
fn destinations_of_nobody_or_of_several_have_their_own_reasons() {
    assert_eq!(
        out(&judge(&world(), &connect("10.20.0.10", None))),
        OutReason::AmbiguousDestination
    );
    assert_eq!(
        out(&judge(&world(), &connect("192.0.2.1", None))),
        OutReason::UnknownDestination
    );
    let local = judge(&world(), &connect("127.0.0.1", None));
    assert_eq!(
        local.verdict,
        Verdict::Exempt {
            reason: ExemptReason::HostLocal
        }
    );
}

#[test]
fn another_tier_is_out_of_scope() {
    assert_eq!(
        out(&judge(
            &world(),
            &credential(Some("acme"), Some(Tier::Identity))
        )),
        OutReason::WrongTier
    );
}

#[test]
fn what_belongs_to_no_tenant_is_kept_by_the_provider() {
    let judgement = judge(&world(), &credential(None, None));
    assert_eq!(out(&judgement), OutReason::WrongTenant);
    assert!(judgement.ledger.is_provider());
    let unknown = judge(&world(), &credential(Some("nobody"), None));
    assert!(
        unknown.ledger.is_provider(),
        "a tenant that does not exist has no ledger"
    );
}

#[test]
fn what_is_a_programs_business_is_not_judged_in_a_session_or_outside() {
    let mut event = expected(None, Expected::Program);
    let exempt = Verdict::Exempt {
        reason: ExemptReason::ExpectedProgram,
    };
    assert_eq!(judge(&world(), &event).verdict, exempt);
    event.attribution = Attribution::none(NoSession::NoMark);
    assert_eq!(judge(&world(), &event).verdict, exempt);
    let of_tenant = expected(Some("globex"), Expected::Program);
    assert_eq!(
        out(&judge(&world(), &of_tenant)),
        OutReason::WrongTenant,
        "what is a tenant's by name is judged whoever uses it"
    );
}

#[test]
fn what_is_a_persons_own_is_covered_by_any_live_grant_of_theirs() {
    let own = expected(None, Expected::Person);
    let judgement = judge(&world(), &own);
    let in_scope = Verdict::InScope {
        grant: "g1".parse().unwrap(),
    };
    assert_eq!(judgement.verdict, in_scope);
    assert_eq!(judgement.ledger.as_str(), "acme");
    let mut late = own;
    late.at = UnixNs(201);
    assert_eq!(out(&judge(&world(), &late)), OutReason::Expired);
    let of_tenant = expected(Some("globex"), Expected::Person);
    assert_eq!(out(&judge(&world(), &of_tenant)), OutReason::WrongTenant);
}

#[test]
fn without_a_session_or_a_person_nothing_is_in_scope() {
    let mut lost = credential(Some("acme"), None);
    lost.attribution = Attribution::none(NoSession::NoMark);
    assert_eq!(
        judge(&world(), &lost).verdict,
        Verdict::Unattributed {
            reason: NoSession::NoMark
        }
    );
    let mut nobody = credential(Some("acme"), None);
    nobody.attribution.principal = None;
    assert_eq!(
        judge(&world(), &nobody).verdict,
        Verdict::Unattributed {
            reason: NoSession::NoPrincipal
        }
    );
}
