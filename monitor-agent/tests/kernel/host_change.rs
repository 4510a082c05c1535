//! Changes of the ground that the monitor stands on.

use monitor_common::{Change, HostChange};

use crate::{
    actor::Actor,
    rig::{Rig, Seen},
};

fn changes(rig: &mut Rig, act: &[&str]) -> Vec<(HostChange, String)> {
    Actor::new(act).marked(&rig.probes, rig.mark).act();
    let seen = rig.collect_until_ended();
    let mark = rig.mark;
    let change = |seen| match seen {
        Seen::HostChange { change, path } if change.header.session == mark => Some((change, path)),
        _ => None,
    };
    seen.into_iter().filter_map(change).collect()
}

#[test]
fn mount_and_unmount_are_told_once_each() {
    let Some(mut rig) = Rig::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let told = changes(&mut rig, &["mount", folder.path().to_str().unwrap()]);
    let count = |wanted, detail: &str| {
        let is_it = |change: &HostChange| {
            let bytes = change.detail_bytes as usize;
            change.change == wanted
                && (detail.is_empty() || bytes == 0 || &change.detail[..bytes] == detail.as_bytes())
        };
        told.iter().filter(|(change, _)| is_it(change)).count()
    };
    assert_eq!(count(Change::UNMOUNTED, ""), 1, "{told:#?}");
    // One makes the namespace's mounts private, one mounts.
    assert_eq!(count(Change::MOUNTED, ""), 2, "{told:#?}");
    if rig.can_refuse(monitor_agent::kernel::Family::Mount) {
        let expected = folder.path().to_str().unwrap();
        assert!(told.iter().any(|(_, path)| path == expected), "{told:#?}");
    }
}

#[test]
fn use_of_bpf_by_others_is_told_and_the_agents_own_is_not() {
    let Some(mut rig) = Rig::new() else { return };
    // This process is the agent here, and has just loaded programs.
    let told = changes(&mut rig, &["bpf"]);
    let [(change, _)] = told.as_slice() else {
        panic!("{told:#?}")
    };
    assert_eq!((change.change, change.number), (Change::BPF, 14));
}
