//! Owners of destinations: against a slow, obvious search, and a million times.

use std::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::{event::Protocol, testing::cases};

fn tenant(name: &str, network: &str, interface: Option<&str>, net_ns: Option<&str>) -> Tenant {
    Tenant {
        id: TenantId::new(name).unwrap(),
        zones: vec![Zone {
            name: "lan".into(),
            networks: vec![network.parse().unwrap()],
            interface: interface.map(Into::into),
            net_ns: net_ns.map(Into::into),
            ..Zone::default()
        }],
    }
}

/// Owned, so that tests can ask of zones made on the spot.
fn locate(tenants: &[Tenant], to: &Destination) -> Located<'static> {
    locate_on(tenants, to, "jump-1")
}

fn locate_on(tenants: &[Tenant], to: &Destination, seen_on: &str) -> Located<'static> {
    let seen_on = seen_on.parse().unwrap();
    let owner = Zones::new(tenants.to_vec()).locate(to, &seen_on).owner;
    Located { owner, zone: None }
}

fn to(address: &str, interface: Option<&str>) -> Destination {
    Destination {
        address: address.parse().unwrap(),
        port: 443,
        protocol: Protocol::Tcp,
        interface: interface.map(Into::into),
        interface_index: 0,
        net_ns: 1,
        net_ns_name: None,
        mark: 0,
    }
}

fn owner(name: &str) -> Owner {
    Owner::Tenant(TenantId::new(name).unwrap())
}

#[test]
fn overlapping_ranges_are_told_apart_by_interface() {
    let tenants = [
        tenant("acme", "10.20.0.0/24", Some("va"), None),
        tenant("globex", "10.20.0.0/24", Some("vg"), None),
    ];
    assert_eq!(
        locate(&tenants, &to("10.20.0.10", Some("va"))).owner,
        owner("acme")
    );
    assert_eq!(
        locate(&tenants, &to("10.20.0.10", Some("vg"))).owner,
        owner("globex")
    );
    assert_eq!(
        locate(&tenants, &to("10.20.0.10", Some("eth0"))).owner,
        Owner::Unknown
    );
    assert!(
        matches!(locate(&tenants, &to("10.20.0.10", None)).owner, Owner::Ambiguous(both) if both.len() == 2)
    );
}

#[test]
fn overlapping_ranges_are_told_apart_by_namespace() {
    let tenants = [
        tenant("acme", "10.20.0.0/24", None, Some("a")),
        tenant("globex", "10.20.0.0/24", None, Some("g")),
    ];
    let mut destination = to("10.20.0.10", None);
    destination.net_ns_name = Some("g".into());
    assert_eq!(locate(&tenants, &destination).owner, owner("globex"));
    destination.net_ns_name = None;
    assert_eq!(locate(&tenants, &destination).owner, Owner::Unknown);
}

#[test]
fn overlapping_ranges_are_told_apart_by_the_jump_host_that_was_hopped_to() {
    let mut tenants = [
        tenant("acme", "10.20.0.0/24", None, None),
        tenant("globex", "10.20.0.0/24", None, None),
    ];
    tenants[0].zones[0].jump_host = Some("jump-acme".parse().unwrap());
    let to = to("10.20.0.10", None);
    assert_eq!(locate_on(&tenants, &to, "jump-acme").owner, owner("acme"));
    assert_eq!(locate_on(&tenants, &to, "jump-1").owner, owner("globex"));
    tenants[1].zones[0].jump_host = Some("jump-globex".parse().unwrap());
    assert_eq!(locate_on(&tenants, &to, "jump-1").owner, Owner::Unknown);
}

#[test]
fn a_host_is_found_by_the_addresses_that_its_name_had() {
    let mut tenants = [
        tenant("acme", "10.0.0.0/8", None, None),
        tenant("globex", "192.0.2.0/24", None, None),
    ];
    let named = |addresses: [&str; 2]| NamedHost {
        name: "db.globex.example".into(),
        addresses: addresses.map(|text| text.parse().unwrap()).to_vec(),
        resolved_at: UnixNs(7),
    };
    tenants[1].zones[0].networks.clear();
    tenants[1].zones[0].hosts = vec![named(["10.1.2.3", "2001:db8::7"])];
    for (address, expected) in [
        ("10.1.2.3", owner("globex")),
        ("2001:db8::7", owner("globex")),
        ("10.1.2.4", owner("acme")),
        ("2001:db8::8", Owner::Unknown),
    ] {
        assert_eq!(locate(&tenants, &to(address, None)).owner, expected);
    }
}

#[test]
fn the_longest_prefix_wins_where_nothing_else_tells() {
    let tenants = [
        tenant("acme", "10.0.0.0/8", None, None),
        tenant("globex", "10.20.0.0/24", None, None),
    ];
    assert_eq!(
        locate(&tenants, &to("10.20.0.1", None)).owner,
        owner("globex")
    );
    assert_eq!(
        locate(&tenants, &to("10.21.0.1", None)).owner,
        owner("acme")
    );
    assert_eq!(
        locate(&tenants, &to("192.0.2.1", None)).owner,
        Owner::Unknown
    );
    assert_eq!(locate(&tenants, &to("127.0.0.1", None)).owner, Owner::Host);
}

/// The search spelt out: every zone of every tenant, the best of each, then the
/// best of all.
fn plainly(tenants: &[Tenant], to: &Destination, seen_on: &AgentName) -> Owner {
    if to.address.is_loopback() || to.address.is_unspecified() {
        return Owner::Host;
    }
    let rank = |zone: &Zone| -> Option<(bool, u8)> {
        let holding = zone.networks.iter().filter(|net| net.contains(&to.address));
        let longest = holding.map(IpNet::prefix_len).max()?;
        let ports = &zone.ports;
        let contradicted = (!ports.is_empty()
            && !ports.iter().any(|range| range.contains(to.port)))
            || (zone.interface.is_some()
                && to.interface.is_some()
                && zone.interface != to.interface)
            || (zone.net_ns.is_some() && zone.net_ns != to.net_ns_name)
            || zone.mark.is_some_and(|mark| mark != to.mark)
            || (zone.jump_host.is_some() && zone.jump_host.as_ref() != Some(seen_on));
        let stated = zone.interface.is_some()
            || zone.net_ns.is_some()
            || zone.mark.is_some()
            || zone.jump_host.is_some();
        let unknown = zone.interface.is_some() && to.interface.is_none();
        (!contradicted).then_some((stated && !unknown, longest))
    };
    let best_of = |tenant: &Tenant| tenant.zones.iter().filter_map(rank).max();
    let Some(best) = tenants.iter().filter_map(best_of).max() else {
        return Owner::Unknown;
    };
    let fitting = tenants
        .iter()
        .filter(|tenant| best_of(tenant) == Some(best));
    let fitting: Vec<TenantId> = fitting.map(|tenant| tenant.id.clone()).collect();
    match fitting.as_slice() {
        [one] => Owner::Tenant(one.clone()),
        _ => Owner::Ambiguous(fitting),
    }
}

fn few(number: u8) -> Option<String> {
    (number > 0).then(|| format!("n{number}"))
}

prop_compose! {
    fn any_zone()(
        networks in proptest::collection::vec((0u8..3, 0usize..6), 1..3),
        port in proptest::option::of(0u16..3),
        interface in 0u8..3,
        net_ns in 0u8..3,
        mark in proptest::option::of(0u32..3),
        jump_host in 0u8..3,
    ) -> Zone {
        let network = |(third, length): &(u8, usize)| {
            let length = [8, 16, 23, 24, 31, 32][*length];
            format!("10.20.{third}.0/{length}").parse().unwrap()
        };
        Zone {
            networks: networks.iter().map(network).collect(),
            ports: port.map(|port| PortRange { first: port, last: port + 1 }).into_iter().collect(),
            interface: few(interface),
            net_ns: few(net_ns),
            mark,
            jump_host: few(jump_host).map(|name| name.parse().unwrap()),
            ..zone("10.0.0.0/8")
        }
    }
}

prop_compose! {
    fn any_destination()(
        third in 0u8..4,
        last in 0u8..3,
        port in 0u16..4,
        interface in 0u8..3,
        net_ns in 0u8..3,
        mark in 0u32..3,
    ) -> Destination {
        Destination {
            address: IpAddr::from([10, 20, third, last]),
            port,
            net_ns_name: few(net_ns),
            mark,
            ..to("10.20.0.1", few(interface).as_deref())
        }
    }
}

fn zone(network: &str) -> Zone {
    let mut zones = tenant("any", network, None, None).zones;
    zones.remove(0)
}

/// Destinations that are asked for in each world.
const ASKED: usize = 50;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases() / 50))]

    #[test]
    fn the_index_finds_whom_the_plain_search_finds(
        zones in proptest::collection::vec(proptest::collection::vec(any_zone(), 0..4), 1..4),
        asked in proptest::collection::vec((any_destination(), 1u8..4), ASKED),
    ) {
        let named = |(number, zones)| Tenant { id: format!("t{number}").parse().unwrap(), zones };
        let tenants: Vec<Tenant> = zones.into_iter().enumerate().map(named).collect();
        let index = Zones::new(tenants.clone());
        for (to, seen_on) in &asked {
            let seen_on = few(*seen_on).unwrap_or_default().parse().unwrap();
            let plain = plainly(&tenants, to, &seen_on);
            prop_assert_eq!(index.locate(to, &seen_on).owner, plain, "{:?} on {}", to, seen_on);
        }
    }
}

/// Clients in the same ranges, each told apart by one fact or several.
fn sharing() -> Vec<Tenant> {
    (0..300)
        .map(|number| {
            let name = format!("n{number}");
            let mut zone = Zone {
                networks: vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()],
                ..zone("192.168.0.0/16")
            };
            match number % 4 {
                0 => zone.interface = Some(name),
                1 => zone.net_ns = Some(name),
                2 => zone.jump_host = Some(name.parse().unwrap()),
                _ => (zone.mark, zone.net_ns) = (Some(number), Some(name)),
            }
            Tenant {
                id: format!("t{number}").parse().unwrap(),
                zones: vec![zone],
            }
        })
        .collect()
}

#[test]
fn overlapping_ranges_are_never_confused() {
    let tenants = sharing();
    let index = Zones::new(tenants.clone());
    // SplitMix64: the same numbers every time.
    let mut state = 0_u64;
    let mut random = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let mut known = 0;
    for _ in 0..cases() {
        let bits = random();
        let tenant = &tenants[usize::try_from(bits % 300).unwrap()];
        let zone = &tenant.zones[0];
        let [.., high, middle, low] = random().to_be_bytes();
        let mut at = to("10.0.0.1", None);
        at.address = match (bits >> 60) & 1 {
            0 => IpAddr::from([10, high, middle, low]),
            _ => format!("fd00::{high:x}:{middle:x}:{low:x}")
                .parse()
                .unwrap(),
        };
        (at.net_ns_name, at.mark) = (zone.net_ns.clone(), zone.mark.unwrap_or_default());
        let is_told = (bits >> 61) & 1 == 0 || zone.interface.is_none();
        if is_told {
            at.interface.clone_from(&zone.interface);
        }
        let elsewhere = || "jump-1".parse().unwrap();
        let seen_on = zone.jump_host.clone().unwrap_or_else(elsewhere);
        match index.locate(&at, &seen_on).owner {
            Owner::Tenant(found) => {
                assert_eq!(found, tenant.id, "{at:?}");
                known += 1;
            }
            Owner::Ambiguous(all) => assert!(!is_told && all.contains(&tenant.id), "{at:?}"),
            other @ (Owner::Host | Owner::Unknown) => panic!("{other:?} of {at:?}"),
        }
    }
    assert!(known > cases() / 2, "{known}");
}
