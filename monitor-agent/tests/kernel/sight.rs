//! Whether the probes see, as the agent finds out.

use std::{env, fs, path::PathBuf, process::Command, time::Instant};

use aya::maps::{Array, Map, MapData, ProgramArray};
use monitor_agent::kernel::{Family, RingReader};
use monitor_common::Pulse;

use crate::rig::{DEADLINE, LIMITS, Rig};

/// Pulses go to the process, and so to the rings of every test in it: these tests
/// have one of their own. Whether this is it.
fn is_alone(test: &str) -> bool {
    const ALONE: &str = "MONITOR_TEST_ALONE";
    if env::var_os(ALONE).is_some() {
        return true;
    }
    let mut own = Command::new(env::current_exe().unwrap());
    own.args(["--exact", "--nocapture", test]).env(ALONE, "1");
    assert!(own.status().unwrap().success(), "{test}");
    false
}

/// Reads until a pulse came, or until nothing is there for a while.
fn pulse_comes(ring: &mut RingReader, patience: std::time::Duration) -> bool {
    let start = Instant::now();
    loop {
        let batch = ring.read_batch(LIMITS);
        ring.commit(batch.cursor());
        if let Some(pulse) = batch.records().find_map(Pulse::of) {
            assert_eq!(pulse.header.sequence, 0, "a pulse has no number");
            assert_eq!(pulse.header.pid, std::process::id());
            return true;
        }
        let left = patience.saturating_sub(start.elapsed());
        if left.is_zero() {
            return false;
        }
        ring.wait(left).unwrap();
    }
}

/// The pin of a program's link.
fn link(rig: &Rig, program: &str) -> PathBuf {
    let versions = fs::read_dir(rig.probes.pin_dir()).unwrap();
    let mut folders = versions.map(|version| version.unwrap().path().join("links"));
    let found = folders.find(|links| links.join(program).exists());
    found.unwrap().join(program)
}

#[test]
fn a_pulse_comes_back_and_what_is_taken_from_its_place_is_named() {
    if !is_alone("sight::a_pulse_comes_back_and_what_is_taken_from_its_place_is_named") {
        return;
    }
    let Some(mut rig) = Rig::new() else { return };
    assert_eq!(rig.probes.unhooked(), []);
    rig.probes.pulse().unwrap();
    assert!(pulse_comes(&mut rig.rings.priority, DEADLINE));
    fs::remove_file(link(&rig, "task_exec")).unwrap();
    assert_eq!(rig.probes.unhooked(), [Family::Exec]);
    fs::remove_file(link(&rig, "connect_v4")).unwrap();
    assert_eq!(
        rig.probes.unhooked(),
        [Family::Exec, Family::ConnectV4],
        "each is named"
    );
    fs::remove_file(link(&rig, "signal_sent")).unwrap();
    let unhooked = rig.probes.unhooked();
    assert!(unhooked.contains(&Family::Signal), "{unhooked:?}");
    let mut rig = rig.restart(|| ());
    assert_eq!(rig.probes.unhooked(), unhooked, "a start does not forget");
    let start = Instant::now();
    // The kernel lets go of a program a moment after its last holder.
    while start.elapsed() < DEADLINE {
        rig.probes.pulse().unwrap();
        if !pulse_comes(
            &mut rig.rings.priority,
            std::time::Duration::from_millis(200),
        ) {
            return;
        }
    }
    panic!("pulses come back though nobody sees signals");
}

#[test]
fn a_jump_that_leads_nowhere_is_named() {
    let Some(rig) = Rig::new() else { return };
    let map = |name: &str| {
        let path = rig
            .pins
            .0
            .join(rig.probes.version())
            .join("maps")
            .join(name);
        MapData::from_pin(path).unwrap()
    };
    let mut sides = ProgramArray::try_from(Map::ProgramArray(map("sides_task_exec"))).unwrap();
    sides.clear_index(&0).unwrap();
    assert_eq!(rig.probes.unhooked(), [Family::Exec]);
    let mut switch = Array::<_, u32>::try_from(Map::Array(map("SWITCH"))).unwrap();
    switch.set(0, 1, 0).unwrap();
    let armed = rig
        .report
        .families
        .iter()
        .filter(|family| family.armed.is_some());
    let all: Vec<_> = armed.map(|family| family.family).collect();
    assert_eq!(rig.probes.unhooked(), all, "nobody is called at that side");
}

#[test]
fn looking_at_every_place_is_cheap() {
    if !is_alone("sight::looking_at_every_place_is_cheap") {
        return;
    }
    let Some(rig) = Rig::new() else { return };
    let start = Instant::now();
    let times = 100;
    for _ in 0..times {
        assert_eq!(rig.probes.unhooked(), []);
    }
    let each = start.elapsed() / times;
    let start = Instant::now();
    for _ in 0..times {
        rig.probes.pulse().unwrap();
    }
    let pulse = start.elapsed() / times;
    println!("a look at every place: {each:?}, a pulse: {pulse:?}");
    // Once a second and twice a second: far below a hundredth of a processor.
    assert!(each.as_millis() < 50, "{each:?}");
}
