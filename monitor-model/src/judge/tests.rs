//! Whole events against a small world.

use super::*;
use crate::{
    bytes::PathLabel,
    clock::UnixNs,
    event::{Attribution, Counted, Destination, FileObject, Lineage, Operation, Protocol},
    grant::{GrantKind, GrantState, Scope},
    id::{AgentName, BootId, EventId, PrincipalId, SessionId, Source},
    inventory::{Item, Template},
    policy::Terms,
    tenant::{Tenant, Zone},
};

fn tenant(name: &str, interface: &str) -> Tenant {
    Tenant {
        id: name.parse().unwrap(),
        zones: vec![Zone {
            name: "lan".into(),
            networks: vec!["10.20.0.0/24".parse().unwrap()],
            interface: Some(interface.into()),
            ..Zone::default()
        }],
    }
}

fn grant() -> Grant {
    Grant {
        id: "g1".parse().unwrap(),
        principal: PrincipalId::new("alice").unwrap(),
        holder: Holder::Staff,
        tenant: "acme".parse().unwrap(),
        ticket: "INC-1".into(),
        task: String::new(),
        purpose: "test".into(),
        approved_by: PrincipalId::new("bob").unwrap(),
        tier: Tier::Production,
        kind: GrantKind::JustInTime,
        not_before: UnixNs(100),
        expires: UnixNs(200),
        scope: Scope::default(),
        state: GrantState::Standing,
        review: None,
    }
}

fn terms() -> Terms {
    let provider = Tenant {
        id: TenantId::provider(),
        zones: vec![],
    };
    Terms {
        tenants: vec![tenant("acme", "va"), tenant("globex", "vg"), provider],
        ..Terms::default()
    }
}

fn under(terms: Terms) -> World {
    World {
        policy: Policy::new(terms, "v".into()).unwrap().into(),
        grants: HashMap::from([(grant().id, grant())]),
    }
}

fn world() -> World {
    under(terms())
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
        scope: None,
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
        injected: false,
        key: None,
        counted: None,
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
    assert_eq!(out(&judgement), OutReason::ProviderOwned);
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

/// The provider's resolvers, for whom a zone admits.
fn with_resolvers(admits: Option<Admission>, by_policy: Admission) -> World {
    let mut terms = terms();
    terms.provider = by_policy;
    let resolvers = Zone {
        name: "resolvers".into(),
        networks: vec!["192.0.2.53/32".parse().unwrap()],
        ports: vec!["8080".parse().unwrap()],
        admits,
        ..Zone::default()
    };
    terms.tenants[2].zones.push(resolvers);
    under(terms)
}

#[test]
fn the_providers_own_services_admit_whom_zone_or_policy_say() {
    let to = connect("192.0.2.53", None);
    let mut listed = with_resolvers(Some(Admission::AnyGrant), Admission::OwnerGrant);
    // A grant that lists destinations lists no resolver.
    let mut narrow = grant();
    narrow.scope.destinations = vec!["10.20.0.0/24:*".parse().unwrap()];
    listed.grants.insert(narrow.id.clone(), narrow);
    let open = Verdict::Exempt {
        reason: ExemptReason::OpenToAll,
    };
    let granted = Verdict::InScope {
        grant: "g1".parse().unwrap(),
    };
    let closed = Verdict::OutOfScope {
        reason: OutReason::ProviderOwned,
        grant: Some("g1".parse().unwrap()),
    };
    for (world, verdict) in [
        (with_resolvers(None, Admission::OwnerGrant), &closed),
        (listed, &granted),
        (with_resolvers(None, Admission::AnyGrant), &granted),
        (
            with_resolvers(Some(Admission::OwnerGrant), Admission::Everybody),
            &closed,
        ),
        (
            with_resolvers(Some(Admission::Everybody), Admission::OwnerGrant),
            &open,
        ),
    ] {
        let judgement = judge(&world, &to);
        assert_eq!(judgement.verdict, *verdict);
        assert!(judgement.ledger.is_provider());
    }
}

#[test]
fn what_any_grant_opens_is_closed_once_the_grants_are_over_and_to_nobody() {
    let world = with_resolvers(Some(Admission::AnyGrant), Admission::OwnerGrant);
    let mut late = connect("192.0.2.53", None);
    late.at = UnixNs(200);
    assert_eq!(out(&judge(&world, &late)), OutReason::Expired);
    let mut lost = connect("192.0.2.53", None);
    lost.attribution = Attribution::none(NoSession::NoMark);
    let verdict = judge(&world, &lost).verdict;
    assert!(matches!(verdict, Verdict::Unattributed { .. }), "{verdict}");
    let world = with_resolvers(Some(Admission::Everybody), Admission::OwnerGrant);
    let verdict = judge(&world, &lost).verdict;
    assert!(matches!(verdict, Verdict::Exempt { .. }), "{verdict}");
}

#[test]
fn policy_says_who_may_connect_to_what_is_in_nobodys_zone() {
    let verdict = |unknown| {
        let world = under(Terms { unknown, ..terms() });
        judge(&world, &connect("192.0.2.1", None)).verdict
    };
    assert_eq!(
        verdict(Admission::OwnerGrant),
        Verdict::OutOfScope {
            reason: OutReason::UnknownDestination,
            grant: Some("g1".parse().unwrap()),
        }
    );
    assert_eq!(
        verdict(Admission::AnyGrant),
        Verdict::InScope {
            grant: "g1".parse().unwrap()
        }
    );
    assert_eq!(
        verdict(Admission::Everybody),
        Verdict::Exempt {
            reason: ExemptReason::OpenToAll
        }
    );
}

fn item(template: &str) -> Item {
    Item {
        template: Template::new(template).unwrap(),
        tenant: None,
        owner: Some("carol".parse().unwrap()),
        tier: None,
        workload: None,
        admits: None,
    }
}

/// The credential of these tests lies at /srv/x/kubeconfig.
fn with_item(item: Item) -> World {
    let inventory = vec![item];
    under(Terms {
        inventory,
        ..terms()
    })
}

#[test]
fn the_inventory_gives_a_credential_its_tenant_tier_and_custodian() {
    let of = |name: &str| Item {
        tenant: Some(name.parse().unwrap()),
        ..item("/srv/*/kubeconfig")
    };
    let judgement = judge(&with_item(of("globex")), &credential(None, None));
    assert_eq!(out(&judgement), OutReason::WrongTenant);
    assert_eq!(judgement.ledger.as_str(), "globex");
    assert_eq!(judgement.custodian, Some("carol".parse().unwrap()));
    let judgement = judge(&with_item(of("acme")), &credential(None, None));
    assert!(matches!(judgement.verdict, Verdict::InScope { .. }));
    let identity = Item {
        tier: Some(Tier::Identity),
        ..of("acme")
    };
    let judgement = judge(&with_item(identity), &credential(None, None));
    assert_eq!(out(&judgement), OutReason::WrongTier);
    let program = expected(None, Expected::Program);
    assert_eq!(
        out(&judge(&with_item(of("globex")), &program)),
        OutReason::WrongTenant,
        "what is a client's is judged whoever uses it"
    );
}

#[test]
fn where_inventory_and_watch_list_name_different_tenants_neither_is_believed() {
    let of_acme = Item {
        tenant: Some("acme".parse().unwrap()),
        ..item("/srv/**")
    };
    let judgement = judge(
        &with_item(of_acme.clone()),
        &credential(Some("globex"), None),
    );
    assert_eq!(out(&judgement), OutReason::AmbiguousCredential);
    assert_eq!(judgement.ledger.as_str(), "acme", "that of the session");
    let judgement = judge(&with_item(of_acme), &credential(Some("acme"), None));
    assert!(matches!(judgement.verdict, Verdict::InScope { .. }));
}

#[test]
fn a_person_who_uses_a_workloads_credential_stands_out_and_the_workload_does_not() {
    let mut world = with_item(Item {
        tenant: Some("acme".parse().unwrap()),
        workload: Some("backup-job".parse().unwrap()),
        ..item("/srv/**")
    });
    let by_alice = credential(None, None);
    assert_eq!(
        judge(&world, &by_alice).facts,
        [Fact::PersonUsesWorkload],
        "in scope all the same"
    );
    let mut by_job = by_alice.clone();
    by_job.attribution.principal = Some("backup-job".parse().unwrap());
    assert!(judge(&world, &by_job).facts.is_empty());
    for grant in world.grants.values_mut() {
        grant.holder = Holder::Workload;
    }
    assert!(
        judge(&world, &by_alice).facts.is_empty(),
        "another workload is no person"
    );
}

#[test]
fn acts_that_were_counted_are_out_of_scope_where_the_first_or_the_last_is() {
    let grant = grant();
    let (begin, end) = (grant.not_before.0, grant.expires.0);
    let judged = |first: u64, last: u64| {
        let mut event = credential(Some("acme"), Some(Tier::Production));
        event.at = UnixNs(last);
        if let Action::Credential { counted, .. } = &mut event.action {
            *counted = Some(Counted {
                acts: 59_744,
                first_at: UnixNs(first),
            });
        }
        judge(&world(), &event)
    };
    let granted = Verdict::InScope {
        grant: grant.id.clone(),
    };
    assert_eq!(judged(begin, end - 1).verdict, granted);
    assert_eq!(out(&judged(begin - 1, begin)), OutReason::NotStarted);
    assert_eq!(out(&judged(end - 1, end + 1)), OutReason::Expired);
}
