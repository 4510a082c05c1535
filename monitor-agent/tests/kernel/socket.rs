//! Sockets that are made, listen, accept and send.

use std::net::{Ipv6Addr, SocketAddr, UdpSocket};

use monitor_agent::kernel::{Marked, SessionMark, SessionState};
use monitor_common::{Connect, Socket, SocketOperation};

use crate::{
    actor::Actor,
    rig::{Rig, Seen},
};

fn sockets(rig: &mut Rig, act: &[&str]) -> (Vec<Socket>, String) {
    let said = Actor::new(act).marked(&rig.probes, rig.mark).act();
    let seen = rig.collect_until_ended();
    let socket = |seen| match seen {
        Seen::Socket(socket) => Some(socket),
        _ => None,
    };
    (seen.into_iter().filter_map(socket).collect(), said)
}

fn address(bytes: [u8; 16], port: u16) -> SocketAddr {
    SocketAddr::from((Ipv6Addr::from(bytes).to_canonical(), port))
}

#[test]
fn listener_and_accepted_connection_are_told_with_their_addresses() {
    let Some(mut rig) = Rig::new() else { return };
    let (told, said) = sockets(&mut rig, &["serve"]);
    let line = said.lines().find(|line| line.starts_with("127.")).unwrap();
    let (local, peer) = line.split_once(' ').unwrap();
    let of = |operation| {
        let mut found = told.iter().filter(|told| told.operation == operation);
        let socket = *found.next().unwrap_or_else(|| panic!("{told:#?}"));
        assert!(found.next().is_none(), "{told:#?}");
        socket
    };
    let listening = of(SocketOperation::LISTENING);
    assert_eq!(
        address(listening.local_addr, listening.local_port).to_string(),
        local
    );
    let accepted = of(SocketOperation::ACCEPTED);
    assert_eq!(
        address(accepted.local_addr, accepted.local_port).to_string(),
        local
    );
    assert_eq!(
        address(accepted.peer_addr, accepted.peer_port).to_string(),
        peer
    );
    assert_eq!(accepted.netns, accepted.header.netns);
}

#[test]
fn unix_connection_is_told_to_who_accepts_it_where_another_session_made_it() {
    let Some(mut rig) = Rig::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    for (client_mark, is_told) in [(SessionMark([0x78; 16]), true), (rig.mark, false)] {
        let path = folder.path().join(if is_told { "other" } else { "own" });
        let path = path.to_str().unwrap();
        let mut server = Actor::new(&["accept unix", path]).marked(&rig.probes, rig.mark);
        assert_eq!(server.again(), "bound");
        let client = Actor::new(&["unix", path]).marked(&rig.probes, client_mark);
        let client_pid = client.child.id();
        client.act();
        assert!(server.child.wait().unwrap().success());
        let told: Vec<_> = rig
            .collect_until_ended()
            .into_iter()
            .filter_map(|seen| match seen {
                Seen::Socket(socket) => Some(socket),
                _ => None,
            })
            .collect();
        assert_eq!(told.len(), usize::from(is_told), "{told:#?}");
        for told in told {
            assert_eq!(
                (told.family, told.operation),
                (1, SocketOperation::ACCEPTED)
            );
            assert_eq!(told.client.session, client_mark);
            assert_eq!(told.client.pid, client_pid);
        }
    }
}

#[test]
fn raw_and_packet_sockets_are_told_and_netlink_is_not() {
    let Some(mut rig) = Rig::new() else { return };
    let (told, _) = sockets(&mut rig, &["raw"]);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_eq!(
        (told[0].family, told[0].socket_type, told[0].protocol),
        (2, 3, 1)
    );
    let Some(mut rig) = Rig::new() else { return };
    let (told, _) = sockets(&mut rig, &["packet"]);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_eq!(told[0].family, 17);
    let Some(mut rig) = Rig::new() else { return };
    let (told, _) = sockets(&mut rig, &["netlink"]);
    assert!(told.is_empty(), "{told:#?}");
}

fn sent(rig: &mut Rig, act: &[&str]) -> Vec<Connect> {
    Actor::new(act).marked(&rig.probes, rig.mark).act();
    let seen = rig.collect_until_ended();
    let connect = |seen| match seen {
        Seen::Connect(connect) => Some(connect),
        _ => None,
    };
    seen.into_iter().filter_map(connect).collect()
}

#[test]
fn first_datagram_to_each_peer_is_told_and_no_other() {
    let Some(mut rig) = Rig::new() else { return };
    let receivers = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
    let peers = receivers.map(|socket| socket.local_addr().unwrap());
    let told = sent(
        &mut rig,
        &["send", &peers[0].to_string(), &peers[1].to_string()],
    );
    let found: Vec<_> = told
        .iter()
        .map(|connect| address(connect.addr, connect.port))
        .collect();
    assert_eq!(found, peers);
    assert!(told.iter().all(|connect| connect.protocol == 17));
}

/// What the socket remembers of its last peer must not outlive what it was told
/// under.
#[test]
fn datagram_to_a_known_peer_is_refused_once_its_session_is_contained() {
    let Some(mut rig) = Rig::new() else { return };
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let peer = receiver.local_addr().unwrap();
    let mut actor = Actor::new(&["send on cue", &peer.to_string()]).marked(&rig.probes, rig.mark);
    actor.cue();
    assert_eq!([actor.again(), actor.again()], ["sent", "sent"]);
    rig.probes
        .set_session_state(rig.mark, SessionState::Contained)
        .unwrap();
    assert_eq!(actor.again(), "refused: Some(1)");
    rig.probes
        .set_session_state(rig.mark, SessionState::Open)
        .unwrap();
    assert_eq!([actor.again(), actor.again()], ["sent", "sent"]);
    actor.act();
    let told: Vec<_> = rig
        .collect_until_ended()
        .into_iter()
        .filter_map(|seen| match seen {
            Seen::Connect(connect) => Some(connect.flags & Connect::DENIED != 0),
            _ => None,
        })
        .collect();
    assert_eq!(told, [false, true], "once, and once that it was refused");
}

/// A socket whose process changes its session is told under the new one.
#[test]
fn datagram_to_a_known_peer_is_told_again_under_another_session() {
    let Some(mut rig) = Rig::new() else { return };
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let peer = receiver.local_addr().unwrap();
    let mut actor = Actor::new(&["send on cue", &peer.to_string()]).marked(&rig.probes, rig.mark);
    actor.cue();
    assert_eq!([actor.again(), actor.again()], ["sent", "sent"]);
    let other = SessionMark([0x77; 16]);
    let moved = rig.probes.mark(actor.child.id(), other).unwrap();
    assert!(matches!(moved, Marked::Moved { .. }), "{moved:?}");
    assert_eq!([actor.again(), actor.again()], ["sent", "sent"]);
    actor.act();
    let told = rig.collect_of(other, |seen| {
        seen.iter().any(|seen| matches!(seen, Seen::Exit(_)))
    });
    let told = told.iter().filter(|seen| matches!(seen, Seen::Connect(_)));
    assert_eq!(told.count(), 1, "under the other session, once");
}

#[test]
fn raw_socket_that_is_connected_is_told_as_a_connection() {
    let Some(mut rig) = Rig::new() else { return };
    let told = sent(&mut rig, &["raw to", "127.0.0.9"]);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_eq!(address(told[0].addr, 0).to_string(), "127.0.0.9:0");
    assert_eq!((told[0].protocol, told[0].socket_type), (1, 3));
}
