//! FIFOs that are opened, and input pushed into terminals.

use std::os::linux::fs::MetadataExt as _;

use monitor_common::{LocalConnect, file::device_from_stat};

use crate::{
    actor::Actor,
    rig::{Rig, Seen},
};

fn told(rig: &mut Rig, act: &[&str]) -> (Vec<LocalConnect>, u32) {
    let actor = Actor::new(act).marked(&rig.probes, rig.mark);
    let pid = actor.child.id();
    actor.act();
    let seen = rig.collect_until_ended();
    let connect = |seen| match seen {
        Seen::LocalConnect(connect) => Some(connect),
        _ => None,
    };
    (seen.into_iter().filter_map(connect).collect(), pid)
}

fn name(connect: &LocalConnect) -> &[u8] {
    &connect.name[..connect.name_bytes.into()]
}

#[test]
fn fifo_is_told_with_its_file_and_what_it_was_opened_for() {
    let Some(mut rig) = Rig::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("door");
    let path = path.to_str().unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, path, rustix::fs::Mode::RWXU).unwrap();
    let found = std::fs::metadata(path).unwrap();
    let (told, _) = told(&mut rig, &["fifo", path]);
    let uses: Vec<_> = told.iter().map(|told| told.flags).collect();
    let (reads, writes) = (LocalConnect::READS, LocalConnect::WRITES);
    let uses_expected = [reads | writes, reads, writes].map(|uses| uses | LocalConnect::FIFO);
    assert_eq!(uses, uses_expected, "{told:#?}");
    for told in &told {
        assert_eq!(name(told), b"door");
        assert_eq!(told.socket.inode, found.st_ino());
        assert_eq!(told.socket.device, device_from_stat(found.st_dev()));
        assert_eq!((told.family, told.peer.pid), (0, 0));
    }
}

#[test]
fn pipe_that_is_opened_by_its_name_is_told_and_its_making_is_not() {
    let Some(mut rig) = Rig::new() else { return };
    let (told, _) = told(&mut rig, &["pipe by name"]);
    let [told] = told.as_slice() else {
        panic!("{told:#?}")
    };
    assert_eq!(told.flags, LocalConnect::FIFO | LocalConnect::WRITES);
    assert_ne!(told.socket.inode, 0);
}

#[test]
fn input_pushed_into_a_terminal_is_told_with_who_leads_there() {
    let Some(mut rig) = Rig::new() else { return };
    let (told, pid) = told(&mut rig, &["push input"]);
    let [told] = told.as_slice() else {
        panic!("{told:#?}")
    };
    assert_eq!(told.flags, LocalConnect::TERMINAL);
    assert!(name(told).starts_with(b"pts"), "{told:#?}");
    assert_eq!((told.peer.pid, told.peer.session), (pid, rig.mark));
}
