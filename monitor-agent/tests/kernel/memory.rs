//! Reaching into other processes: memory, signals; and into oneself: identity.

use monitor_common::{Identity, Memory, MemoryAccess, Signal, mark::TaskMark};

use crate::{
    actor::Actor,
    rig::{Rig, Seen},
};

fn reaches(rig: &mut Rig, act: &[&str]) -> Vec<Memory> {
    Actor::new(act).marked(&rig.probes, rig.mark).act();
    let seen = rig.collect_until_ended();
    let memory = |seen| match seen {
        Seen::Memory(memory) => Some(memory),
        _ => None,
    };
    seen.into_iter().filter_map(memory).collect()
}

/// Somebody else, outside of any session.
fn target() -> Actor {
    Actor::shell(":")
}

#[test]
fn reading_and_attaching_are_told_once_each_with_the_target() {
    for act in ["read memory", "attach"] {
        let Some(mut rig) = Rig::new() else { return };
        let target = target();
        let pid = target.child.id();
        let told = reaches(&mut rig, &[act, &pid.to_string()]);
        let [memory] = told.as_slice() else {
            panic!("{act}: {told:#?}")
        };
        assert_eq!(memory.access, MemoryAccess::ATTACHED);
        assert_eq!((memory.target.pid, memory.target.flags), (pid, 0));
        target.act();
    }
}

#[test]
fn target_of_a_session_is_named_with_it() {
    let Some(mut rig) = Rig::new() else { return };
    let mut other = rig.mark;
    other.0[15] ^= 0xff;
    let target = target().marked(&rig.probes, other);
    let told = reaches(&mut rig, &["attach", &target.child.id().to_string()]);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_eq!(told[0].target.session, other);
    assert_eq!(told[0].target.flags & TaskMark::HOLDS, 0);
    target.act();
}

#[test]
fn listing_processes_is_no_reach() {
    let Some(mut rig) = Rig::new() else { return };
    let target = target();
    let told = reaches(&mut rig, &["look", &target.child.id().to_string()]);
    assert!(told.is_empty(), "{told:#?}");
    target.act();
}

fn signals(rig: &mut Rig, act: &[&str]) -> Vec<Signal> {
    Actor::new(act).marked(&rig.probes, rig.mark).act();
    let seen = rig.collect_until_ended();
    let signal = |seen| match seen {
        Seen::Signal(signal) => Some(signal),
        _ => None,
    };
    seen.into_iter().filter_map(signal).collect()
}

#[test]
fn signal_that_dumps_memory_is_told_and_one_that_does_not_is_not() {
    for (number, times) in [(libc::SIGABRT, 1), (libc::SIGTERM, 0)] {
        let Some(mut rig) = Rig::new() else { return };
        let mut target = target();
        let pid = target.child.id();
        let told = signals(&mut rig, &["signal", &pid.to_string(), &number.to_string()]);
        target.child.wait().unwrap();
        assert_eq!(told.len(), times, "{told:#?}");
        assert!(told.iter().all(|signal| signal.target.pid == pid));
    }
}

#[test]
fn any_signal_to_another_session_is_told() {
    let Some(mut rig) = Rig::new() else { return };
    let mut other = rig.mark;
    other.0[15] ^= 0xff;
    let mut target = target().marked(&rig.probes, other);
    let pid = target.child.id().to_string();
    let told = signals(&mut rig, &["signal", &pid, &libc::SIGTERM.to_string()]);
    target.child.wait().unwrap();
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_eq!((told[0].target.session, told[0].signal), (other, 15));
}

#[test]
fn change_of_user_is_told_once_with_before_and_after() {
    let Some(mut rig) = Rig::new() else { return };
    Actor::new(&["become", "12345"])
        .marked(&rig.probes, rig.mark)
        .act();
    let seen = rig.collect_until_ended();
    let changes: Vec<&Identity> = seen
        .iter()
        .filter_map(|seen| match seen {
            Seen::Identity(identity) => Some(identity),
            _ => None,
        })
        .collect();
    let [change] = changes.as_slice() else {
        panic!("{changes:#?}")
    };
    assert_eq!((change.uid_before, change.euid_before), (0, 0));
    assert_eq!((change.uid_after, change.euid_after), (12_345, 12_345));
    assert_eq!(change.flags, 0);
}
