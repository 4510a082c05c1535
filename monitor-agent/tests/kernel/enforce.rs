//! Connections that no grant opens: refused before the first packet, told, and
//! nobody else's.

use std::{
    io::Read,
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    num::NonZeroU32,
    os::fd::OwnedFd,
    time::Duration,
};

use monitor_agent::{
    enforce::kernel::Scopes,
    kernel::{SessionMark, SessionState},
};
use monitor_common::{
    Connect, Fault,
    scope::{
        GrantScope, SCOPE_GRANTED, SCOPE_OBSERVED, SCOPE_OPEN, SCOPE_RANGES_MAX, SCOPE_REFUSED,
        ScopeCell, ScopeKey, SessionScopes,
    },
};
use monitor_model::enforce::{Away, Block};
use rustix::net::{AddressFamily, RecvFlags, SocketType, netdevice, recv, socket_with};

use crate::{
    actor::Actor,
    rig::{Rig, Seen, until},
};

const VERSION: u64 = 0x1234_5678_9abc_def0;
pub(crate) const LEASE: Duration = Duration::from_secs(600);
const NOBODY_LISTENS: &str = "refused: Some(111)";
const NOT_PERMITTED: &str = "refused: Some(1)";

/// What is said of a network: ranges of ports from their first, and an answer.
pub(crate) type Said<'a> = (&'a str, &'a [(u16, u8)]);

/// Everything, and what is said of networks in it.
pub(crate) fn compiled(
    number: u32,
    otherwise: u8,
    said: &[Said<'_>],
) -> Vec<(ScopeKey, ScopeCell)> {
    let everything: Said<'_> = ("::/0", &[(0, otherwise)]);
    let v4: Said<'_> = ("0.0.0.0/0", &[(0, otherwise)]);
    let all = [everything, v4].into_iter().chain(said.iter().copied());
    all.map(|(network, ranges)| {
        let block = Block::of(network.parse().unwrap()).unwrap();
        let mut cell = ScopeCell {
            first: [u16::MAX; SCOPE_RANGES_MAX],
            answer: [ranges.last().unwrap().1; SCOPE_RANGES_MAX],
        };
        for (at, (first, answer)) in ranges.iter().enumerate() {
            (cell.first[at], cell.answer[at]) = (*first, *answer);
        }
        let key = ScopeKey {
            prefix_bits: 32 + u32::from(block.bits()),
            scope: number,
            addr: block.address(),
        };
        (key, cell)
    })
    .collect()
}

/// A grant that holds, of this number.
pub(crate) fn holds(number: u32) -> GrantScope {
    GrantScope {
        from_unix_ns: 0,
        until_unix_ns: u64::MAX,
        scope: number,
        over: SCOPE_REFUSED.into(),
    }
}

pub(crate) fn stands(rig: &Rig, mark: SessionMark, grants: &[GrantScope]) {
    let mut row = SessionScopes {
        version: VERSION,
        count: u32::try_from(grants.len()).unwrap(),
        ..SessionScopes::default()
    };
    row.grants[..grants.len()].copy_from_slice(grants);
    rig.probes.scope_session(mark, &row).unwrap();
}

/// A rig whose session has one grant: this network, every port.
fn held_to(network: &str) -> Option<Rig> {
    let rig = Rig::new()?;
    rig.probes.lease(Some(LEASE), Away::Keep).unwrap();
    let cells = compiled(1, SCOPE_REFUSED, &[(network, &[(0, SCOPE_GRANTED)])]);
    rig.probes.put_scope(&cells).unwrap();
    stands(&rig, rig.mark, &[holds(1)]);
    Some(rig)
}

fn tcp(rig: &Rig, mark: SessionMark, address: &str) -> String {
    let actor = Actor::new(&["tcp", address]).marked(&rig.probes, mark);
    let said = actor.act();
    // The harness of the actor says more, on lines of its own.
    let mut lines = said.lines();
    let line = lines.find(|line| line.contains("connected") || line.contains("refused"));
    line.unwrap_or_default().to_owned()
}

fn connects(seen: &[Seen]) -> Vec<Connect> {
    let mut connects = Vec::new();
    for seen in seen {
        if let Seen::Connect(connect) = seen {
            connects.push(*connect);
        }
    }
    connects
}

/// Sees every packet of every interface.
fn packets() -> OwnedFd {
    let every = NonZeroU32::new(u32::from(3_u16.to_be())).unwrap();
    let every = rustix::net::Protocol::from_raw(every);
    let flags = rustix::net::SocketFlags::CLOEXEC;
    let seen = socket_with(AddressFamily::PACKET, SocketType::RAW, flags, Some(every)).unwrap();
    assert!(netdevice::name_to_index(&seen, "lo").is_ok());
    seen
}

/// Destinations of TCP and UDP packets over IPv4 on loopback, in their order,
/// until one goes to `marker`.
fn seen_until(packets: &OwnedFd, marker: SocketAddr) -> Vec<SocketAddr> {
    const ETHERNET: usize = 14;
    let mut seen = Vec::new();
    let mut bytes = vec![0; 65_536];
    while seen.last() != Some(&marker) {
        let (length, _) = recv(packets, &mut *bytes, RecvFlags::empty()).unwrap();
        let packet = &bytes[..length];
        let is_ipv4 = packet.get(12..14) == Some(&[8, 0]);
        if !is_ipv4 || length < ETHERNET + 24 {
            continue;
        }
        let ip = &packet[ETHERNET..];
        let address: [u8; 4] = ip[16..20].try_into().unwrap();
        let ports = &ip[usize::from(ip[0] & 15) * 4..];
        let port = u16::from_be_bytes([ports[2], ports[3]]);
        seen.push(SocketAddr::from((IpAddr::from(address), port)));
    }
    seen
}

fn listener(address: &str) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((address, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

#[test]
fn what_no_grant_opens_is_refused_before_its_first_packet() {
    let Some(mut rig) = held_to("127.0.0.7/32") else {
        return;
    };
    let (_opened, opened) = listener("127.0.0.7");
    let (_closed, closed) = listener("127.0.0.8");
    let packets = packets();
    assert_eq!(tcp(&rig, rig.mark, &closed.to_string()), NOT_PERMITTED);
    let told = connects(&rig.collect_until_ended());
    assert_eq!(tcp(&rig, rig.mark, &opened.to_string()), "connected");
    let seen = seen_until(&packets, opened);
    assert!(!seen.contains(&closed), "a packet left: {seen:?}");
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_eq!(
        (told[0].flags, told[0].scope_version),
        (Connect::DENIED, VERSION)
    );
    assert_eq!(told[0].port, closed.port());
    // The same eyes see such a packet where nobody is held to anything.
    drop(TcpStream::connect(closed).unwrap());
    assert!(seen_until(&packets, closed).contains(&closed));
    assert_eq!(rig.probes.counters().unwrap().fault(Fault::ScopeMissing), 0);
}

#[test]
fn a_neighbour_with_another_grant_is_held_to_that_one() {
    let Some(rig) = held_to("127.0.0.7/32") else {
        return;
    };
    let (neighbour, nobody) = (SessionMark([0x21; 16]), SessionMark([0x22; 16]));
    let cells = compiled(2, SCOPE_REFUSED, &[("127.0.0.8/32", &[(0, SCOPE_GRANTED)])]);
    rig.probes.put_scope(&cells).unwrap();
    stands(&rig, neighbour, &[holds(2)]);
    let (_ours, ours) = listener("127.0.0.7");
    let (_theirs, theirs) = listener("127.0.0.8");
    let goes = |mark, to: SocketAddr| tcp(&rig, mark, &to.to_string());
    assert_eq!(goes(rig.mark, ours), "connected");
    assert_eq!(goes(rig.mark, theirs), NOT_PERMITTED);
    assert_eq!(goes(neighbour, theirs), "connected");
    assert_eq!(goes(neighbour, ours), NOT_PERMITTED);
    assert_eq!(goes(nobody, ours), "connected");
    assert_eq!(goes(nobody, theirs), "connected");
    // Who has both grants may do both.
    stands(&rig, neighbour, &[holds(1), holds(2)]);
    assert_eq!(goes(neighbour, ours), "connected");
    assert_eq!(goes(neighbour, theirs), "connected");
    rig.probes.unscope_session(rig.mark).unwrap();
    assert_eq!(goes(rig.mark, theirs), "connected");
}

#[test]
fn ports_and_networks_are_told_apart_as_in_the_model() {
    let Some(rig) = Rig::new() else { return };
    rig.probes.lease(Some(LEASE), Away::Keep).unwrap();
    let (no, yes, open, told) = (SCOPE_REFUSED, SCOPE_GRANTED, SCOPE_OPEN, SCOPE_OBSERVED);
    let many: Vec<(u16, u8)> = (0..64)
        .map(|at| (at * 1_000, if at % 2 == 0 { no } else { yes }))
        .collect();
    let said: [Said<'_>; 5] = [
        ("127.0.0.0/8", &[(0, open)]),
        ("127.1.0.0/16", &[(0, no), (10, yes), (12, no)]),
        ("127.1.1.0/24", &many),
        ("127.1.1.1/32", &[(0, told)]),
        ("::1/128", &[(0, yes), (11, no)]),
    ];
    let cells = compiled(1, SCOPE_REFUSED, &said);
    rig.probes.put_scope(&cells).unwrap();
    stands(&rig, rig.mark, &[holds(1)]);
    let asked = [
        ("127.0.0.1", 10),
        ("127.1.0.1", 9),
        ("127.1.0.1", 10),
        ("127.1.0.1", 11),
        ("127.1.0.1", 12),
        ("127.1.1.2", 999),
        ("127.1.1.2", 1_000),
        ("127.1.1.2", 1_999),
        ("127.1.1.2", 2_000),
        ("127.1.1.2", 63_000),
        ("127.1.1.2", 62_999),
        ("127.1.1.2", 65_535),
        ("127.1.1.1", 5),
        ("::1", 10),
        ("::1", 11),
    ];
    for (address, port) in asked {
        let to = SocketAddr::from((address.parse::<IpAddr>().unwrap(), port));
        let blocks = cells.iter().filter(|(key, _)| {
            let bits = u8::try_from(key.prefix_bits - 32).unwrap();
            Block::new(u128::from_be_bytes(key.addr), bits)
                .unwrap()
                .has(to.ip())
        });
        let (_, cell) = blocks.max_by_key(|(key, _)| key.prefix_bits).unwrap();
        let refused = cell.of_port(port) == SCOPE_REFUSED;
        let wanted = if refused {
            NOT_PERMITTED
        } else {
            NOBODY_LISTENS
        };
        assert_eq!(tcp(&rig, rig.mark, &to.to_string()), wanted, "{to}");
    }
}

#[test]
fn a_grant_ends_by_the_kernels_own_clock() {
    let Some(rig) = held_to("127.0.0.7/32") else {
        return;
    };
    let (listening, opened) = listener("127.0.0.7");
    listening.set_nonblocking(true).unwrap();
    let offset = rig.probes.time_offset();
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let now = u64::try_from(now.tv_sec * 1_000_000_000 + now.tv_nsec).unwrap();
    let now = u64::try_from(offset.unix_ns(now)).unwrap();
    let goes = |from_unix_ns, until_unix_ns, over: u8| {
        let over = over.into();
        let scope = GrantScope {
            from_unix_ns,
            until_unix_ns,
            over,
            ..holds(1)
        };
        stands(&rig, rig.mark, &[scope]);
        tcp(&rig, rig.mark, &opened.to_string())
    };
    let hour = 3_600_000_000_000;
    assert_eq!(goes(now - hour, now + hour, SCOPE_REFUSED), "connected");
    assert_eq!(goes(now - hour, now, SCOPE_REFUSED), NOT_PERMITTED);
    assert_eq!(
        goes(now + hour, now + 2 * hour, SCOPE_REFUSED),
        NOT_PERMITTED
    );
    assert_eq!(goes(now - hour, now, SCOPE_OBSERVED), "connected");
    // It ends while nobody does anything.
    let soon = now + 2_000_000_000;
    if goes(now - hour, soon, SCOPE_REFUSED) == "connected" {
        until("the grant is over", || {
            // A full queue would not answer.
            while listening.accept().is_ok() {}
            tcp(&rig, rig.mark, &opened.to_string()) == NOT_PERMITTED
        });
    }
}

#[test]
fn what_holds_without_the_collector_is_as_declared() {
    let Some(rig) = held_to("127.0.0.7/32") else {
        return;
    };
    let cells = compiled(2, SCOPE_REFUSED, &[("127.0.0.0/24", &[(0, SCOPE_GRANTED)])]);
    rig.probes.put_scope(&cells).unwrap();
    stands(&rig, rig.mark, &[holds(1), holds(2)]);
    let (_both, both) = listener("127.0.0.7");
    let (_one, one) = listener("127.0.0.8");
    let (_none, none) = listener("127.0.1.1");
    let goes = || [both, one, none].map(|to| tcp(&rig, rig.mark, &to.to_string()));
    let lease = |lease, away| rig.probes.lease(lease, away).unwrap();
    let here = ["connected", "connected", NOT_PERMITTED];
    for away in Away::ALL {
        lease(Some(LEASE), away);
        assert_eq!(goes(), here, "{away}: while the lease runs");
    }
    lease(Some(Duration::ZERO), Away::Keep);
    assert_eq!(goes(), here);
    lease(None, Away::Tighten);
    assert_eq!(goes(), ["connected", NOT_PERMITTED, NOT_PERMITTED]);
    lease(None, Away::Release);
    assert_eq!(goes(), ["connected"; 3]);
    lease(Some(LEASE), Away::Release);
    assert_eq!(goes(), here, "the collector is back");
}

#[test]
fn an_agent_that_is_gone_refuses_on() {
    let Some(rig) = held_to("127.0.0.7/32") else {
        return;
    };
    let (_opened, opened) = listener("127.0.0.7");
    let (_closed, closed) = listener("127.0.0.8");
    let [first, second] = [opened, closed]
        .map(|to| Actor::new(&["tcp", &to.to_string()]).marked(&rig.probes, rig.mark));
    let rig = rig.restart(|| {
        assert!(first.act().contains("connected"));
        assert!(second.act().contains(NOT_PERMITTED));
    });
    let rows = rig.probes.scoped_sessions().unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].0, rows[0].1.version), (rig.mark, VERSION));
    assert_eq!(rig.probes.retain_scopes(|number| number == 1).unwrap(), 0);
    assert_eq!(rig.probes.retain_scopes(|_| false).unwrap(), 3);
}

#[test]
fn what_is_observed_is_told_and_goes_on() {
    let Some(mut rig) = Rig::new() else { return };
    rig.probes.lease(Some(LEASE), Away::Keep).unwrap();
    rig.probes
        .put_scope(&compiled(1, SCOPE_OBSERVED, &[]))
        .unwrap();
    stands(&rig, rig.mark, &[holds(1)]);
    let (_listener, peer) = listener("127.0.0.7");
    assert_eq!(tcp(&rig, rig.mark, &peer.to_string()), "connected");
    let told = connects(&rig.collect_until_ended());
    let told: Vec<_> = told
        .iter()
        .map(|told| (told.flags, told.scope_version))
        .collect();
    assert_eq!(told, [(0, VERSION)]);
}

#[test]
fn a_session_without_cells_is_let_through_and_counted() {
    let Some(rig) = held_to("127.0.0.7/32") else {
        return;
    };
    stands(&rig, rig.mark, &[holds(9)]);
    let (_listener, peer) = listener("127.0.0.8");
    assert_eq!(tcp(&rig, rig.mark, &peer.to_string()), "connected");
    assert_eq!(rig.probes.counters().unwrap().fault(Fault::ScopeMissing), 1);
}

/// Sends a datagram to each address; says how that went.
pub(crate) fn send_each(addresses: &[&str]) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut cue = [0; 3];
    let mut cues = 0;
    loop {
        for address in addresses {
            match socket.send_to(b"x", address) {
                Ok(_) => println!("sent"),
                Err(error) => println!("refused: {:?}", error.raw_os_error()),
            }
        }
        cues += 1;
        if cues == 2 || std::io::stdin().read_exact(&mut cue).is_err() {
            return;
        }
    }
}

#[test]
fn datagrams_that_no_grant_opens_never_leave_and_are_told_once() {
    let Some(mut rig) = held_to("127.0.0.7/32") else {
        return;
    };
    let [opened, closed] = ["127.0.0.7:0", "127.0.0.8:0"].map(|at| UdpSocket::bind(at).unwrap());
    let [to, not] = [&opened, &closed].map(|socket| socket.local_addr().unwrap());
    let packets = packets();
    let (yes, no) = (to.to_string(), not.to_string());
    let mut actor = Actor::new(&["send each", &no, &no, &no, &yes]).marked(&rig.probes, rig.mark);
    let mut said: Vec<String> = (0..4)
        .map(|at| if at == 0 { actor.again() } else { actor.line() })
        .collect();
    assert_eq!(said, [NOT_PERMITTED, NOT_PERMITTED, NOT_PERMITTED, "sent"]);
    // What was let through ends with its grant, at once, in the same socket.
    let over = GrantScope {
        until_unix_ns: 1,
        ..holds(1)
    };
    stands(&rig, rig.mark, &[over]);
    said = (0..4)
        .map(|at| if at == 0 { actor.again() } else { actor.line() })
        .collect();
    assert_eq!(said, [NOT_PERMITTED; 4]);
    actor.child.wait().unwrap();
    let seen = connects(&rig.collect_until_ended());
    let told: Vec<_> = seen.iter().map(|told| (told.port, told.flags)).collect();
    let denied = Connect::DENIED;
    assert_eq!(
        told,
        [(not.port(), denied), (to.port(), 0), (to.port(), denied)]
    );
    let marker = UdpSocket::bind("127.0.0.1:0").unwrap();
    let marker_at = marker.local_addr().unwrap();
    opened.send_to(b"end", marker_at).unwrap();
    let left = seen_until(&packets, marker_at);
    assert!(!left.contains(&not), "a packet left: {left:?}");
    // One datagram, on its way out and in.
    let passed = left.iter().filter(|peer| **peer == to).count();
    assert_eq!(passed, 2, "{left:?}");
}

#[test]
fn a_contained_session_is_refused_what_its_grants_open() {
    let Some(rig) = held_to("127.0.0.7/32") else {
        return;
    };
    let (_opened, opened) = listener("127.0.0.7");
    let actor = Actor::new(&["tcp", &opened.to_string()]).marked(&rig.probes, rig.mark);
    let contained = SessionState::Contained;
    rig.probes.set_session_state(rig.mark, contained).unwrap();
    assert!(actor.act().contains(NOT_PERMITTED));
}
