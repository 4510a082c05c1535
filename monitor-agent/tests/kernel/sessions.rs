//! Marks: how they spread, when sessions end, how they are killed.

use std::{
    collections::BTreeSet,
    io::Read,
    process::{Child, Command, Stdio},
};

use aya::{
    Pod,
    maps::{HashMap, Map, MapData},
};
use monitor_agent::kernel::{KernelError, Marked, SessionMark};
use monitor_common::{
    Fault,
    mark::{ProcessMark, SessionControl, SessionLive},
};

use crate::{
    actor::Actor,
    rig::{DEADLINE, Rig, Seen, drain, until},
};

#[test]
fn mark_spreads_through_fork_setsid_and_double_fork_and_ends_with_the_last() {
    let Some(mut rig) = Rig::new() else { return };
    // The shell ends at once; what it left ends when its input does.
    let script = "exec 9<&0; ( setsid sh -c '( ( /usr/bin/id -u; read never <&9 ) & ) &' & ); :";
    let mut actor = Actor::shell(script).marked(&rig.probes, rig.mark);
    let mut said = [0; 2];
    let pid = actor.child.id();
    actor.cue();
    actor
        .child
        .stdout
        .take()
        .unwrap()
        .read_exact(&mut said)
        .unwrap();
    assert_eq!(&said, b"0\n");
    actor.child.wait().unwrap();
    until("one process is left", || {
        rig.probes.processes_of(rig.mark).unwrap().len() == 1
    });
    let left = rig.probes.processes_of(rig.mark).unwrap();
    assert_ne!(left, [pid]);
    assert_eq!(rig.probes.session_live(rig.mark).unwrap(), Some(1));
    assert_eq!(rig.probes.mark_of(left[0]).unwrap(), Some(rig.mark));
    drop(actor);
    let seen = rig.collect_until_ended();
    assert!(
        seen.iter()
            .any(|seen| matches!(seen, Seen::Exec { path, .. } if path == "/usr/bin/id"))
    );
    let ended: Vec<_> = seen
        .iter()
        .filter(|seen| matches!(seen, Seen::SessionEnded(_)))
        .collect();
    assert_eq!(ended.len(), 1);
    assert_eq!(ended[0].header().pid, left[0]);
    assert_eq!(rig.probes.session_live(rig.mark).unwrap(), Some(0));
    assert!(rig.probes.processes_of(rig.mark).unwrap().is_empty());
}

#[test]
fn every_fork_has_one_exit() {
    let Some(mut rig) = Rig::new() else { return };
    let script = "i=0; while [ $i -lt 50 ]; do /bin/true; i=$((i+1)); done";
    Actor::shell(script).marked(&rig.probes, rig.mark).act();
    let mut seen = rig.collect_until_ended();
    seen.extend(crate::rig::drain(&mut rig.rings.bulk));
    let mut born = BTreeSet::new();
    let mut gone = BTreeSet::new();
    for seen in &seen {
        match seen {
            Seen::Fork(fork) => assert!(born.insert((fork.child_pid, fork.child_start_boot_ns))),
            Seen::Exit(exit) => {
                assert!(
                    gone.insert((exit.header.pid, exit.header.start_boot_ns)),
                    "{exit:?}"
                );
            }
            _ => {}
        }
    }
    assert_eq!(born.len(), 50);
    assert_eq!(gone.len(), 51, "the shell itself, too");
    assert!(born.is_subset(&gone));
}

#[test]
fn process_of_many_threads_ends_once() {
    let Some(mut rig) = Rig::new() else { return };
    for _ in 0..10 {
        let actor = Actor::new(&["threads"]).marked(&rig.probes, rig.mark);
        let pid = actor.child.id();
        actor.act();
        let seen = rig.collect(|seen| seen.iter().any(|seen| matches!(seen, Seen::Exit(_))));
        let exits = seen
            .iter()
            .filter(|seen| matches!(seen, Seen::Exit(exit) if exit.header.pid == pid));
        assert_eq!(exits.count(), 1);
        until("no task is left", || {
            rig.probes.session_live(rig.mark).unwrap() == Some(0)
        });
    }
}

#[test]
fn tasks_without_a_mark_are_not_counted_nor_told() {
    let Some(mut rig) = Rig::new() else { return };
    let quiet = Actor::shell("/bin/true; /bin/true");
    let pid = quiet.child.id();
    assert_eq!(rig.probes.mark_of(pid).unwrap(), None);
    quiet.act();
    Actor::shell(":").marked(&rig.probes, rig.mark).act();
    let seen = rig.collect_until_ended();
    assert!(
        seen.iter()
            .all(|seen| seen.header().pid != pid && seen.header().ppid != pid)
    );
}

#[test]
fn exit_code_is_told() {
    let Some(mut rig) = Rig::new() else { return };
    let mut child = Actor::shell("exit 7").marked(&rig.probes, rig.mark).go();
    assert_eq!(child.wait().unwrap().code(), Some(7));
    let seen = rig.collect(|seen| seen.iter().any(|seen| matches!(seen, Seen::Exit(_))));
    let codes: Vec<_> = seen
        .iter()
        .filter_map(|seen| {
            if let Seen::Exit(exit) = seen {
                Some(exit.exit_code)
            } else {
                None
            }
        })
        .collect();
    assert_eq!(codes, [7 << 8]);
}

#[test]
fn kill_ends_a_detached_child_too() {
    let Some(mut rig) = Rig::new() else { return };
    let script = "setsid nohup sleep 1000 >/dev/null 2>&1 & setsid -f sleep 1001 & sleep 1002";
    let mut child = Actor::shell(script).marked(&rig.probes, rig.mark).go();
    // Who is about to start a program when the kill begins is killed by the
    // kernel's hook, and not found: all three must have come to rest.
    let sleeps = |pid: &u32| {
        let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        words.starts_with(b"sleep\0")
    };
    until("all sleep", || {
        let processes = rig.probes.processes_of(rig.mark).unwrap();
        processes.iter().filter(|pid| sleeps(pid)).count() == 3
    });
    let killed = rig.probes.kill_session(rig.mark).unwrap();
    assert_eq!(killed.left, 0, "{killed:?}");
    assert!(killed.signalled >= 3, "{killed:?}");
    child.wait().unwrap();
    let seen = rig.collect_until_ended();
    assert!(!seen.is_empty());
    assert_eq!(rig.probes.session_live(rig.mark).unwrap(), Some(0));
    eprintln!("killed: {killed:?}");
}

#[test]
fn kill_ends_a_session_that_forks_without_pause() {
    let Some(rig) = Rig::new() else { return };
    // Each generation makes two and ends: no process lives long enough to be
    // found by looking.
    let script = "f() { ( f ) & ( f ) & }; \
                  g() { while :; do ( ( : ) & ) & done; }; g & g & g & wait";
    let mut child = Actor::shell(script).marked(&rig.probes, rig.mark).go();
    until("it forks", || {
        rig.probes.session_live(rig.mark).unwrap() > Some(3)
    });
    let killed = rig.probes.kill_session(rig.mark).unwrap();
    assert_eq!(killed.left, 0, "{killed:?}");
    child.wait().unwrap();
    until("no task is left", || {
        rig.probes.session_live(rig.mark).unwrap() == Some(0)
    });
    assert_eq!(
        rig.probes.counters().unwrap().fault(Fault::MarkCopyFailed),
        0
    );
    eprintln!("killed: {killed:?}");
}

#[test]
fn marking_says_what_it_did() {
    let Some(rig) = Rig::new() else { return };
    let actor = Actor::shell(":").marked(&rig.probes, rig.mark);
    let pid = actor.child.id();
    assert_eq!(rig.probes.mark(pid, rig.mark).unwrap(), Marked::Already);
    let other = SessionMark([0x22; 16]);
    assert_eq!(
        rig.probes.mark(pid, other).unwrap(),
        Marked::Moved {
            from: rig.mark,
            left: 0
        }
    );
    assert_eq!(rig.probes.session_live(other).unwrap(), Some(1));
    let rows: Vec<_> = rig
        .probes
        .sessions()
        .unwrap()
        .iter()
        .map(|row| row.mark)
        .collect();
    assert_eq!(rows, [other, rig.mark]);
    actor.act();
    until("it is gone", || {
        rig.probes.session_live(other).unwrap() == Some(0)
    });
    rig.probes.forget_session(other).unwrap();
    assert_eq!(rig.probes.session_live(other).unwrap(), None);
    assert!(matches!(
        rig.probes.mark(pid, other),
        Err(KernelError::NoProcess { .. })
    ));
}

#[test]
fn unknown_session_and_process_are_errors() {
    let Some(rig) = Rig::new() else { return };
    assert!(matches!(
        rig.probes.kill_session(rig.mark),
        Err(KernelError::NoSession)
    ));
    assert!(matches!(
        rig.probes.mark(4_194_305, rig.mark),
        Err(KernelError::NoProcess { .. })
    ));
    assert!(matches!(
        rig.probes.mark(0, rig.mark),
        Err(KernelError::NoProcess { .. })
    ));
    assert!(matches!(
        rig.probes.mark(u32::MAX, rig.mark),
        Err(KernelError::NoProcess { .. })
    ));
}

#[test]
fn full_session_table_is_an_error_that_says_its_size() {
    let Some(rig) = Rig::new() else { return };
    let actor = Actor::shell(":");
    let pid = actor.child.id();
    let mark = |number: u32| {
        let mut mark = [9; 16];
        mark[..4].copy_from_slice(&number.to_ne_bytes());
        SessionMark(mark)
    };
    for number in 0..4_096 {
        rig.probes.mark(pid, mark(number)).unwrap();
    }
    let error = rig.probes.mark(pid, mark(4_096)).unwrap_err();
    assert!(
        matches!(
            error,
            KernelError::SessionsFull {
                sessions_max: 4_096
            }
        ),
        "{error}"
    );
    rig.probes.forget_session(mark(0)).unwrap();
    rig.probes.mark(pid, mark(4_096)).unwrap();
    actor.act();
}

/// How many sessions come and go; `MONITOR_TEST_SESSIONS` gives another number.
const SESSIONS: u32 = 2_000;
/// How many live at a time.
const AT_A_TIME: u32 = 50;

/// Entries of a table of this rig.
fn entries<K: Pod, V: Pod>(rig: &Rig, table: &str) -> usize {
    let mut versions = std::fs::read_dir(&rig.pins.0).unwrap();
    let version = versions.next().unwrap().unwrap().path();
    let map = MapData::from_pin(version.join("maps").join(table)).unwrap();
    let map = HashMap::<_, K, V>::try_from(Map::HashMap(map)).unwrap();
    map.keys().count()
}

/// What a rig keeps of sessions and their processes.
fn kept(rig: &Rig) -> [usize; 3] {
    [
        entries::<[u8; 16], [u8; size_of::<SessionControl>()]>(rig, "SESSION_CONTROL"),
        entries::<[u8; 16], [u8; size_of::<SessionLive>()]>(rig, "SESSION_LIVE"),
        entries::<u32, [u8; size_of::<ProcessMark>()]>(rig, "PROCESS_MARKS"),
    ]
}

/// A process that lives until its input ends, in a session of its own.
fn session(rig: &Rig, number: u32) -> (SessionMark, Child) {
    let mut mark = [0x5b; 16];
    mark[..4].copy_from_slice(&number.to_ne_bytes());
    let mark = SessionMark(mark);
    let mut cat = Command::new("cat");
    let child = cat.stdin(Stdio::piped()).stdout(Stdio::null());
    let child = child.spawn().unwrap();
    rig.probes.mark(child.id(), mark).unwrap();
    (mark, child)
}

#[test]
fn sessions_that_come_and_go_leave_nothing_in_the_tables() {
    let Some(mut rig) = Rig::new() else { return };
    let wanted = std::env::var("MONITOR_TEST_SESSIONS");
    let wanted = wanted.map_or(SESSIONS, |number| number.parse().unwrap());
    assert_eq!(kept(&rig), [0; 3]);
    let mut number = 0;
    while number < wanted {
        let until_number = wanted.min(number + AT_A_TIME);
        let mut living: Vec<_> = (number..until_number)
            .map(|number| session(&rig, number))
            .collect();
        number = until_number;
        assert_eq!(kept(&rig), [living.len(); 3]);
        for (_, child) in &mut living {
            drop(child.stdin.take());
            assert!(child.wait().unwrap().success());
        }
        let mut open: BTreeSet<_> = living.iter().map(|(mark, _)| *mark).collect();
        let started = std::time::Instant::now();
        while !open.is_empty() {
            assert!(started.elapsed() < DEADLINE, "not ended: {open:?}");
            rig.rings
                .priority
                .wait(std::time::Duration::from_millis(20))
                .unwrap();
            for seen in drain(&mut rig.rings.priority) {
                if matches!(seen, Seen::SessionEnded(_)) {
                    open.remove(&seen.header().session);
                }
            }
        }
        drain(&mut rig.rings.bulk);
        for (mark, _) in &living {
            rig.probes.forget_session(*mark).unwrap();
        }
        assert_eq!(kept(&rig), [0; 3], "after {number} sessions");
    }
    eprintln!("{number} sessions, nothing kept");
}
