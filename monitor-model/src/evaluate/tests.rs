//! The judgement against a slow, obvious oracle, and its borders.

use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;

use super::*;
use crate::{
    event::Protocol,
    grant::{GrantKind, GrantState, Holder, PathPatterns, Scope},
    id::PrincipalId,
    testing::cases,
};

const TENANTS: [&str; 3] = ["acme", "globex", "provider"];

fn path(text: &str) -> PathLabel {
    PathLabel {
        text: text.into(),
        truncated: false,
    }
}

fn destination(last: u8, port: u16) -> Destination {
    Destination {
        address: IpAddr::V4(Ipv4Addr::new(10, 20, 0, last)),
        port,
        protocol: Protocol::Tcp,
        interface: None,
        interface_index: 0,
        net_ns: 1,
        net_ns_name: None,
        mark: 0,
    }
}

fn grant(number: u8) -> Grant {
    Grant {
        id: GrantId::new(format!("g{number}")).unwrap(),
        principal: PrincipalId::new("alice").unwrap(),
        holder: Holder::Staff,
        tenant: TenantId::new("acme").unwrap(),
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

prop_compose! {
    fn any_grant(number: u8)(
        tenant in 0usize..3,
        tier in 0usize..5,
        not_before in 0u64..20,
        length in 1u64..20,
        ended in proptest::option::of(0u64..30),
        destinations in proptest::collection::vec((0u8..4, 0u16..4), 0..3),
        credentials in proptest::collection::vec(0u8..3, 0..3),
        programs in proptest::collection::vec(0u8..3, 0..3),
    ) -> Grant {
        Grant {
            tenant: TenantId::new(TENANTS[tenant]).unwrap(),
            tier: Tier::ALL[tier],
            not_before: UnixNs(not_before),
            expires: UnixNs(not_before + length),
            state: ended.map_or(GrantState::Standing, |at| GrantState::Ended { at: UnixNs(at), reason: "x".into() }),
            scope: Scope {
                destinations: destinations.iter().map(|(host, port)| format!("10.20.0.{host}:{port}").parse().unwrap()).collect(),
                credentials: PathPatterns::new(credentials.iter().map(|n| format!("/srv/{n}")).collect()).unwrap(),
                programs: PathPatterns::new(programs.iter().map(|n| format!("/bin/{n}")).collect()).unwrap(),
            },
            ..grant(number)
        }
    }
}

#[expect(
    clippy::too_many_lines,
    reason = "every rule is spelt out in one place"
)]
/// Who says the same in the plainest words: every rule spelt out, no order relied on.
fn oracle(grants: &[Grant], session: &[GrantId], access: &Access<'_>, at: UnixNs) -> Verdict {
    let covers = |grant: &Grant| {
        let tenant = access.tenant.is_none() || access.tenant == Some(&grant.tenant);
        let time = grant.not_before <= at && at < grant.expires;
        let ended = matches!(grant.state, GrantState::Ended { at: end, .. } if end <= at);
        let tier = access.tier.is_none() || access.tier == Some(grant.tier);
        let listed = match access.target {
            Target::Shared => true,
            Target::Program(p) => {
                grant.scope.programs.texts().is_empty()
                    || grant
                        .scope
                        .programs
                        .texts()
                        .iter()
                        .any(|t| t.as_bytes() == p.text.0)
            }
            Target::Credential(p) => {
                grant.scope.credentials.texts().is_empty()
                    || grant
                        .scope
                        .credentials
                        .texts()
                        .iter()
                        .any(|t| t.as_bytes() == p.text.0)
            }
            Target::Destination(d) => {
                grant.scope.destinations.is_empty()
                    || grant
                        .scope
                        .destinations
                        .iter()
                        .any(|r| r.to_string() == format!("{}/32:{}", d.address, d.port))
            }
        };
        (tenant, time, ended, tier, listed)
    };
    let known: Vec<(&GrantId, Option<&Grant>)> = session
        .iter()
        .map(|id| (id, grants.iter().find(|grant| grant.id == *id)))
        .collect();
    for (id, grant) in &known {
        if grant.is_some_and(|grant| covers(grant) == (true, true, false, true, true)) {
            return Verdict::InScope {
                grant: (*id).clone(),
            };
        }
    }
    let reason_of = |grant: Option<&Grant>| {
        let Some(grant) = grant else {
            return OutReason::NoGrant;
        };
        match covers(grant) {
            (false, ..) if access.tenant.unwrap().as_str() == "provider" => {
                OutReason::ProviderOwned
            }
            (false, ..) => OutReason::WrongTenant,
            (_, _, true, ..) => OutReason::Revoked,
            (_, false, ..) if at < grant.not_before => OutReason::NotStarted,
            (_, false, ..) => OutReason::Expired,
            (_, _, _, false, _) => OutReason::WrongTier,
            _ => OutReason::NotGranted,
        }
    };
    let reasons: Vec<OutReason> = known.iter().map(|(_, grant)| reason_of(*grant)).collect();
    match reasons.iter().max() {
        None => Verdict::OutOfScope {
            reason: OutReason::NoGrant,
            grant: None,
        },
        Some(worst) => {
            let first = reasons.iter().position(|reason| reason == worst).unwrap();
            Verdict::OutOfScope {
                reason: *worst,
                grant: Some(known[first].0.clone()),
            }
        }
    }
}

/// One access, in numbers.
#[derive(Clone, Copy, Debug)]
struct Numbers {
    tenant: Option<usize>,
    tier: Option<usize>,
    which: u8,
    number: u8,
    port: u16,
    at: u64,
}

prop_compose! {
    fn any_access()(
        tenant in proptest::option::of(0usize..3),
        tier in proptest::option::of(0usize..5),
        which in 0u8..4,
        number in 0u8..4,
        port in 0u16..4,
        at in 0u64..45,
    ) -> Numbers {
        Numbers { tenant, tier, which, number, port, at }
    }
}

/// Both verdicts on one access.
fn both(grants: &[Grant], session: &[GrantId], asked: Numbers) -> (Verdict, Verdict, usize) {
    let owner = asked.tenant.map(|at| TenantId::new(TENANTS[at]).unwrap());
    let to = destination(asked.number, asked.port);
    let file = path(&format!("/srv/{}", asked.number));
    let program = path(&format!("/bin/{}", asked.number));
    let target = match asked.which {
        0 => Target::Destination(&to),
        1 => Target::Credential(&file),
        2 => Target::Shared,
        _ => Target::Program(&program),
    };
    let access = Access {
        tenant: owner.as_ref(),
        tier: asked.tier.map(|at| Tier::ALL[at]),
        target,
    };
    let at = UnixNs(asked.at);
    let (verdict, considered) = evaluate(grants, session, &access, at);
    (
        verdict,
        oracle(grants, session, &access, at),
        considered.len(),
    )
}

/// Accesses that are tried on each set of grants.
const TRIED: usize = 50;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases() / 50))]

    #[test]
    fn agrees_with_the_oracle(
        grants in (any_grant(0), any_grant(1), any_grant(2)),
        session in proptest::collection::vec(0u8..4, 0..4),
        accesses in proptest::collection::vec(any_access(), TRIED),
    ) {
        let grants = [grants.0, grants.1, grants.2];
        let named = |n: &u8| GrantId::new(format!("g{n}")).unwrap();
        let session: Vec<GrantId> = session.iter().map(named).collect();
        for asked in accesses {
            let (verdict, expected, considered) = both(&grants, &session, asked);
            prop_assert_eq!(verdict, expected, "{:?}", asked);
            prop_assert!(considered <= session.len());
        }
    }
}

fn verdict_at(at: u64) -> Verdict {
    let file = path("/srv/acme/key");
    let acme = TenantId::new("acme").unwrap();
    let access = Access {
        tenant: Some(&acme),
        tier: None,
        target: Target::Credential(&file),
    };
    evaluate(
        [grant(1)].as_slice(),
        &[GrantId::new("g1").unwrap()],
        &access,
        UnixNs(at),
    )
    .0
}

#[test]
fn the_window_holds_from_its_first_instant_to_before_its_last() {
    let out = |reason| Verdict::OutOfScope {
        reason,
        grant: Some(GrantId::new("g1").unwrap()),
    };
    assert_eq!(verdict_at(99), out(OutReason::NotStarted));
    assert_eq!(
        verdict_at(100),
        Verdict::InScope {
            grant: GrantId::new("g1").unwrap()
        }
    );
    assert_eq!(
        verdict_at(199),
        Verdict::InScope {
            grant: GrantId::new("g1").unwrap()
        }
    );
    assert_eq!(verdict_at(200), out(OutReason::Expired));
}
