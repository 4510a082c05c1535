//! Connections, and their refusal.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};

use monitor_agent::kernel::{SessionMark, SessionState};
use monitor_common::Connect;

use crate::{
    actor::Actor,
    rig::{Rig, Seen},
};

fn connects(seen: &[Seen]) -> Vec<&Connect> {
    let mut connects = Vec::new();
    for seen in seen {
        if let Seen::Connect(connect) = seen {
            connects.push(connect);
        }
    }
    connects
}

fn address(connect: &Connect) -> SocketAddr {
    SocketAddr::from((Ipv6Addr::from(connect.addr).to_canonical(), connect.port))
}

fn one(rig: &mut Rig, act: &[&str]) -> Connect {
    Actor::new(act).marked(&rig.probes, rig.mark).act();
    let seen = rig.collect_until_ended();
    let connects = connects(&seen);
    assert_eq!(connects.len(), 1, "{connects:#?}");
    *connects[0]
}

#[test]
fn tcp_over_ipv4_is_told_once() {
    let Some(mut rig) = Rig::new() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = listener.local_addr().unwrap();
    let connect = one(&mut rig, &["tcp", &peer.to_string()]);
    assert_eq!(address(&connect), peer);
    assert_eq!(
        (connect.family, connect.protocol, connect.socket_type),
        (2, 6, 1)
    );
    assert_eq!((connect.flags, connect.bound_ifindex), (0, 0));
    assert_eq!(connect.netns, connect.header.netns);
    assert!(connect.netns_cookie > 0);
}

#[test]
fn tcp_over_ipv6_is_told_once() {
    let Some(mut rig) = Rig::new() else { return };
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        eprintln!("SKIPPED: no IPv6 on loopback");
        return;
    };
    let peer = listener.local_addr().unwrap();
    let connect = one(&mut rig, &["tcp", &peer.to_string()]);
    assert_eq!(address(&connect), peer);
    assert_eq!((connect.family, connect.protocol), (10, 6));
}

#[test]
fn ipv4_through_an_ipv6_socket_has_the_same_address_as_through_an_ipv4_one() {
    let Some(mut rig) = Rig::new() else { return };
    if TcpListener::bind("[::1]:0").is_err() {
        eprintln!("SKIPPED: no IPv6 on loopback");
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let connect = one(&mut rig, &["tcp", &format!("[::ffff:127.0.0.1]:{port}")]);
    assert_eq!(
        address(&connect),
        SocketAddr::from((Ipv4Addr::LOCALHOST, port))
    );
    assert_eq!(connect.family, 10);
}

#[test]
fn connected_udp_is_told_once() {
    let Some(mut rig) = Rig::new() else { return };
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let peer = socket.local_addr().unwrap();
    let connect = one(&mut rig, &["udp", &peer.to_string()]);
    assert_eq!(address(&connect), peer);
    assert_eq!((connect.protocol, connect.socket_type), (17, 2));
}

#[test]
fn interface_that_a_socket_is_bound_to_is_told() {
    let Some(mut rig) = Rig::new() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = listener.local_addr().unwrap().to_string();
    let connect = one(&mut rig, &["tcp bound", &peer, "lo"]);
    assert_eq!(connect.bound_ifindex, 1);
}

#[test]
fn contained_session_is_refused_and_its_neighbour_is_not() {
    let Some(mut rig) = Rig::new() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = listener.local_addr().unwrap().to_string();
    let neighbour = SessionMark([0x11; 16]);
    let theirs = Actor::new(&["tcp", &peer]).marked(&rig.probes, neighbour);
    let ours = Actor::new(&["tcp", &peer]).marked(&rig.probes, rig.mark);
    rig.probes
        .set_session_state(rig.mark, SessionState::Contained)
        .unwrap();
    assert!(theirs.act().contains("connected"));
    assert!(ours.act().contains("refused: Some(1)"));
    let seen = rig.collect_until_ended();
    let refused: Vec<_> = connects(&seen)
        .iter()
        .map(|connect| connect.flags)
        .collect();
    assert_eq!(refused, [Connect::DENIED]);
    assert_eq!(
        rig.probes.session(rig.mark).unwrap().unwrap().state,
        SessionState::Contained
    );
}

#[test]
fn session_that_is_open_again_may_connect() {
    let Some(rig) = Rig::new() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = listener.local_addr().unwrap().to_string();
    let actor = Actor::new(&["tcp", &peer]).marked(&rig.probes, rig.mark);
    rig.probes
        .set_session_state(rig.mark, SessionState::Contained)
        .unwrap();
    rig.probes
        .set_session_state(rig.mark, SessionState::Open)
        .unwrap();
    assert!(actor.act().contains("connected"));
}
