//! Connections that are not TCP or UDP.

use std::os::{
    linux::{fs::MetadataExt as _, net::SocketAddrExt as _},
    unix::net::{SocketAddr, UnixDatagram, UnixListener},
};

use monitor_agent::kernel::SessionState;
use monitor_common::{LocalConnect, file::device_from_stat};

use crate::{
    actor::Actor,
    rig::{Rig, Seen},
};

fn connects(rig: &mut Rig, act: &[&str]) -> Vec<LocalConnect> {
    Actor::new(act).marked(&rig.probes, rig.mark).act();
    let seen = rig.collect_until_ended();
    let connect = |seen| match seen {
        Seen::LocalConnect(connect) => Some(connect),
        _ => None,
    };
    seen.into_iter().filter_map(connect).collect()
}

fn name(connect: &LocalConnect) -> &[u8] {
    &connect.name[..connect.name_bytes.into()]
}

#[test]
fn unix_stream_is_told_with_the_sockets_file_and_who_listens() {
    let Some(mut rig) = Rig::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let _listener = UnixListener::bind(&path).unwrap();
    let found = std::fs::metadata(&path).unwrap();
    let told = connects(&mut rig, &["unix", path.to_str().unwrap()]);
    let [connect] = told.as_slice() else {
        panic!("{told:#?}")
    };
    assert_eq!(name(connect), path.to_str().unwrap().as_bytes());
    assert_eq!(
        (connect.family, connect.socket_type, connect.flags),
        (1, 1, 0)
    );
    assert_eq!(connect.socket.inode, found.st_ino());
    assert_eq!(connect.socket.device, device_from_stat(found.st_dev()));
    assert_eq!(connect.peer.pid, std::process::id());
}

#[test]
fn abstract_name_may_hold_any_byte() {
    let Some(mut rig) = Rig::new() else { return };
    let unique = format!("monitor-test-{}\n\"", std::process::id());
    let address = SocketAddr::from_abstract_name(&unique).unwrap();
    let _listener = UnixListener::bind_addr(&address).unwrap();
    let told = connects(&mut rig, &["abstract", &unique]);
    let [connect] = told.as_slice() else {
        panic!("{told:#?}")
    };
    assert_eq!(name(connect), unique.as_bytes());
    assert_eq!(
        connect.flags & LocalConnect::ABSTRACT,
        LocalConnect::ABSTRACT
    );
    assert_eq!(connect.socket.inode, 0);
}

#[test]
fn unix_datagram_socket_is_told_by_the_name_that_it_connects_to() {
    let Some(mut rig) = Rig::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("d");
    let _receiver = UnixDatagram::bind(&path).unwrap();
    let told = connects(&mut rig, &["unix datagram", path.to_str().unwrap()]);
    let [connect] = told.as_slice() else {
        panic!("{told:#?}")
    };
    assert_eq!((connect.family, connect.socket_type), (1, 2));
    assert_eq!(name(connect), path.to_str().unwrap().as_bytes());
}

#[test]
fn connection_that_finds_nobody_is_not_told() {
    let Some(mut rig) = Rig::new() else { return };
    let told = connects(&mut rig, &["unix absent", "/nowhere/at/all"]);
    assert!(told.is_empty(), "{told:#?}");
}

#[test]
fn contained_session_is_refused_where_the_tier_can() {
    let Some(mut rig) = Rig::new() else { return };
    if !rig.can_refuse(monitor_agent::kernel::Family::ConnectOther) {
        eprintln!("SKIPPED: this kernel lets nobody refuse such connections");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let _listener = UnixListener::bind(&path).unwrap();
    let actor = Actor::new(&["unix refused", path.to_str().unwrap()]);
    let actor = actor.marked(&rig.probes, rig.mark);
    rig.probes
        .set_session_state(rig.mark, SessionState::Contained)
        .unwrap();
    assert!(actor.act().contains("Some(1)"));
    let seen = rig.collect_until_ended();
    let denied = seen.iter().any(|seen| {
        matches!(seen, Seen::LocalConnect(connect) if connect.flags & LocalConnect::DENIED != 0)
    });
    assert!(denied, "{seen:#?}");
}
