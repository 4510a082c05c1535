//! Tables against the judge, over random policies, grants, sockets and times.

use proptest::{prelude::*, strategy::ValueTree as _};

use super::*;
use crate::{
    grant::{DestinationRule, GrantKind, Holder, PortRange, Scope, Tier},
    id::PrincipalId,
    policy::Terms,
    testing::cases,
};

const TENANTS: [&str; 3] = ["acme", "globex", "provider"];
const NETWORKS: [&str; 8] = [
    "10.0.0.0/30",
    "10.0.0.0/31",
    "10.0.0.2/32",
    "10.0.0.0/8",
    "0.0.0.0/0",
    "fd00::/126",
    "fd00::1/128",
    "::/0",
];
const ADDRESSES: [&str; 9] = [
    "10.0.0.0",
    "10.0.0.1",
    "10.0.0.2",
    "10.0.0.9",
    "192.0.2.1",
    "127.0.0.1",
    "fd00::",
    "fd00::1",
    "2001:db8::1",
];

fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

fn jump_host() -> AgentName {
    name("jump-1")
}

prop_compose! {
    fn any_ports()(first in 0u16..5, length in 0u16..3) -> PortRange {
        PortRange { first, last: first + length }
    }
}

prop_compose! {
    fn any_zone(with_sockets: bool)(
        network in prop::sample::select(&NETWORKS[..]),
        ports in prop::collection::vec(any_ports(), 0..2),
        facts in (0u8..4, 0u8..3, 0u8..4),
        jump_host in 0u8..4,
        tier in prop::option::of(prop::sample::select(&Tier::ALL[..2])),
        admits in prop::option::of(prop::sample::select(&Admission::ALL[..])),
    ) -> Zone {
        let (interface, net_ns, mark) = if with_sockets { facts } else { (0, 0, 0) };
        Zone {
            networks: vec![name(network)],
            ports,
            interface: (interface > 1).then(|| format!("i{interface}")),
            net_ns: (net_ns > 1).then(|| "n".to_owned()),
            mark: (mark > 1).then_some(mark.into()),
            jump_host: (jump_host > 1).then(|| name(&format!("jump-{}", jump_host - 1))),
            tier,
            admits,
            ..Zone::default()
        }
    }
}

fn any_policy(with_sockets: bool) -> impl Strategy<Value = Policy> {
    let zones = || prop::collection::vec(any_zone(with_sockets), 0..4);
    let admission = || prop::sample::select(&Admission::ALL[..]);
    (zones(), zones(), zones(), admission(), admission()).prop_map(
        |(acme, globex, provider, of_provider, unknown)| {
            let tenants = TENANTS.into_iter().zip([acme, globex, provider]);
            let tenants = tenants.map(|(id, zones)| Tenant {
                id: name(id),
                zones,
            });
            let terms = Terms {
                tenants: tenants.collect(),
                provider: of_provider,
                unknown,
                ..Terms::default()
            };
            Policy::new(terms, "v".into()).unwrap()
        },
    )
}

prop_compose! {
    fn any_grant()(
        tenant in prop::sample::select(&TENANTS[..]),
        tier in prop::sample::select(&Tier::ALL[..2]),
        window in (0u64..6, 1u64..6),
        ended in prop::option::of(0u64..12),
        rules in prop::collection::vec((prop::sample::select(&NETWORKS[..]), any_ports()), 0..3),
    ) -> Grant {
        let destinations = rules.into_iter().map(|(network, ports)| DestinationRule {
            network: name(network),
            ports,
        });
        Grant {
            id: name("g"),
            principal: PrincipalId::new("alice").unwrap(),
            holder: Holder::Staff,
            tenant: name(tenant),
            ticket: "INC-1".into(),
            task: String::new(),
            purpose: "test".into(),
            approved_by: PrincipalId::new("bob").unwrap(),
            tier,
            kind: GrantKind::JustInTime,
            not_before: UnixNs(window.0),
            expires: UnixNs(window.0 + window.1),
            scope: Scope {
                destinations: destinations.collect(),
                ..Scope::default()
            },
            state: ended.map_or(GrantState::Standing, |at| GrantState::Ended {
                at: UnixNs(at),
                reason: "x".into(),
            }),
            review: None,
        }
    }
}

fn any_grants() -> impl Strategy<Value = Vec<Grant>> {
    prop::collection::vec(any_grant(), 1..4).prop_map(|mut grants| {
        for (number, grant) in grants.iter_mut().enumerate() {
            grant.id = name(&format!("g{number}"));
        }
        grants
    })
}

fn any_modes() -> impl Strategy<Value = Modes> {
    let mode = || prop::sample::select(&Mode::ALL[..]);
    let tenant = prop::option::of(prop::sample::select(&TENANTS[..]));
    let reason = prop::option::of(prop::sample::select(&OutReason::ALL[..]));
    let rule = (tenant, reason, mode()).prop_map(|(tenant, reason, mode)| ModeRule {
        tenant: tenant.map(name),
        reason,
        mode,
    });
    (mode(), prop::collection::vec(rule, 0..3))
        .prop_map(|(otherwise, rules)| Modes { otherwise, rules })
}

prop_compose! {
    fn any_destination()(
        address in prop::sample::select(&ADDRESSES[..]),
        port in prop::sample::select(&[0, 1, 2, 3, 4, 5, 6, 7, 65535][..]),
        interface in 0u8..4,
        net_ns in 0u8..3,
        mark in 0u32..4,
    ) -> Destination {
        Destination {
            address: name(address),
            port,
            protocol: Protocol::Tcp,
            interface: (interface > 0).then(|| format!("i{interface}")),
            interface_index: 0,
            net_ns: 0,
            net_ns_name: (net_ns > 1).then(|| "n".to_owned()),
            mark,
        }
    }
}

/// What the judge says of a session that stands on these grants.
fn judged(policy: &Policy, grants: &[Grant], to: &Destination, at: u64) -> Verdict {
    let modes = Modes::default();
    let mut event = Compiler::new(policy, &grants[0], &jump_host(), &modes).event;
    event.at = UnixNs(at);
    event.attribution.grants = grants.iter().map(|grant| grant.id.clone()).collect();
    event.action = Action::Connect {
        destination: to.clone(),
        denied: false,
        scope: None,
    };
    judge_under(policy, grants, &event).verdict
}

fn compiled(policy: &Policy, grants: &[Grant], modes: &Modes) -> Vec<CompiledGrant> {
    let one = |grant: &Grant| compile(policy, grant, &jump_host(), modes).unwrap();
    grants.iter().map(one).collect()
}

fn said(tables: &[CompiledGrant], to: &Destination, at: u64) -> Vec<Says> {
    let said = tables.iter();
    said.map(|table| table.says(to.address, to.port, UnixNs(at)))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases() / 100))]

    #[test]
    fn nothing_that_the_judge_finds_in_scope_is_refused_or_told(
        policy in any_policy(true),
        grants in any_grants(),
        modes in any_modes(),
        asked in prop::collection::vec((any_destination(), 0u64..14), 24),
    ) {
        let tables = compiled(&policy, &grants, &modes);
        for (to, at) in asked {
            if ruling(&said(&tables, &to, at), false) != Says::Open {
                let verdict = judged(&policy, &grants, &to, at);
                let is_out = matches!(verdict, Verdict::OutOfScope { .. });
                prop_assert!(is_out, "{to:?} at {at}: {verdict:?}");
            }
        }
    }

    #[test]
    fn where_no_zone_asks_for_the_socket_tables_and_judge_agree(
        policy in any_policy(false),
        grants in any_grants(),
        asked in prop::collection::vec((any_destination(), 0u64..14), 24),
    ) {
        let modes = Modes { otherwise: Mode::Enforce, rules: Vec::new() };
        let tables = compiled(&policy, &grants, &modes);
        let is_out = |grants: &[Grant], to: &Destination, at| {
            matches!(judged(&policy, grants, to, at), Verdict::OutOfScope { .. })
        };
        for (to, at) in asked {
            let said = said(&tables, &to, at);
            let refused = ruling(&said, false) == Says::Refused;
            prop_assert_eq!(refused, is_out(&grants, &to, at), "{:?} at {}", &to, at);
            let any_without = grants.iter().any(|one| is_out(std::slice::from_ref(one), &to, at));
            prop_assert_eq!(ruling(&said, true) == Says::Refused, any_without);
        }
    }
}

fn lan() -> Policy {
    let zone = |networks: &[&str]| Zone {
        networks: networks.iter().map(|network| name(network)).collect(),
        ..Zone::default()
    };
    let tenant = |id: &str, zones| Tenant {
        id: name(id),
        zones,
    };
    let terms = Terms {
        tenants: vec![
            tenant("acme", vec![zone(&["10.20.0.0/16"])]),
            tenant("globex", vec![zone(&["10.30.0.0/16"])]),
            tenant("provider", vec![]),
        ],
        ..Terms::default()
    };
    Policy::new(terms, "v".into()).unwrap()
}

fn grant_of(rules: &[&str]) -> Grant {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let grant = any_grant().new_tree(&mut runner).unwrap().current();
    Grant {
        tenant: name("acme"),
        not_before: UnixNs(100),
        expires: UnixNs(200),
        state: GrantState::Standing,
        scope: Scope {
            destinations: rules.iter().map(|rule| name(rule)).collect(),
            ..Scope::default()
        },
        ..grant
    }
}

fn enforced() -> Modes {
    Modes {
        otherwise: Mode::Enforce,
        rules: Vec::new(),
    }
}

#[test]
fn a_table_is_as_short_as_what_it_says() {
    let table = compile(
        &lan(),
        &grant_of(&["10.20.1.0/24:443"]),
        &jump_host(),
        &enforced(),
    );
    let table = table.unwrap();
    let said: Vec<_> = table
        .cells
        .iter()
        .map(|cell| (cell.block.to_string(), cell.ranges.len()))
        .collect();
    let said: Vec<_> = said
        .iter()
        .map(|(block, ranges)| (&**block, *ranges))
        .collect();
    let own = [
        ("::/0", 1),
        ("::/128", 1),
        ("::1/128", 1),
        ("0.0.0.0/32", 1),
    ];
    let rest = [("10.20.1.0/24", 3), ("127.0.0.0/8", 1)];
    assert_eq!(said, [&own[..], &rest[..]].concat());
    let says = |address: &str, port, at| table.says(name(address), port, UnixNs(at));
    assert_eq!(says("10.20.1.7", 443, 100), Says::Granted);
    assert_eq!(says("10.20.1.7", 443, 200), Says::Refused);
    assert_eq!(says("10.20.1.7", 444, 100), Says::Refused);
    assert_eq!(says("10.30.0.1", 443, 100), Says::Refused);
    assert_eq!(says("127.0.0.53", 53, 100), Says::Open);
}

#[test]
fn of_the_modes_that_fit_the_weakest_holds() {
    let rule = |tenant: Option<&str>, reason, mode| ModeRule {
        tenant: tenant.map(name),
        reason,
        mode,
    };
    let unknown = OutReason::UnknownDestination;
    let modes = Modes {
        otherwise: Mode::Observe,
        rules: vec![
            rule(Some("acme"), None, Mode::Enforce),
            rule(None, Some(unknown), Mode::Off),
        ],
    };
    let of = |tenant: &str, reason| modes.of(&name(tenant), reason);
    assert_eq!(of("acme", OutReason::WrongTenant), Mode::Enforce);
    assert_eq!(of("acme", unknown), Mode::Off);
    assert_eq!(of("globex", OutReason::WrongTenant), Mode::Observe);
    let table = compile(&lan(), &grant_of(&[]), &jump_host(), &modes).unwrap();
    let says = |address: &str| table.says(name(address), 443, UnixNs(150));
    assert_eq!(says("10.30.0.1"), Says::Refused);
    assert_eq!(says("192.0.2.1"), Says::Open);
    assert!(
        compile(&lan(), &grant_of(&[]), &jump_host(), &Modes::default())
            .unwrap()
            .is_open()
    );
}

#[test]
fn what_does_not_fit_says_how_much_it_is() {
    let ports: Vec<String> = (0..40)
        .map(|port| format!("10.20.0.1:{}", port * 2))
        .collect();
    let ports: Vec<&str> = ports.iter().map(String::as_str).collect();
    let unfit = compile(&lan(), &grant_of(&ports), &jump_host(), &enforced()).unwrap_err();
    let Unfit::Ranges { network, ranges } = &unfit else {
        panic!("{unfit}")
    };
    assert_eq!(
        (network.to_string().as_str(), *ranges),
        ("10.20.0.1/32", 80)
    );
    let mut terms = lan().terms();
    let hosts = (0..=CELLS_MAX).map(|host| {
        let host = u32::try_from(host * 2).unwrap();
        let address = std::net::Ipv4Addr::from(0x0a1e_0000 + host);
        ipnet::IpNet::from(IpAddr::V4(address))
    });
    terms.tenants[1].zones[0].networks = hosts.collect();
    terms.unknown = Admission::Everybody;
    let policy = Policy::new(terms, "v".into()).unwrap();
    let unfit = compile(&policy, &grant_of(&[]), &jump_host(), &enforced()).unwrap_err();
    assert!(matches!(unfit, Unfit::Cells { .. }), "{unfit}");
}
