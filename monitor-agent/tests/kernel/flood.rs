//! Floods on watched files: what is not told one by one is counted.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use monitor_agent::kernel::{FileIdentity, RING_BYTES_MIN, WatchEntry};
use monitor_common::{Credential, Ring, flood::SUMS_MAX};
use tempfile::TempDir;

use crate::{
    actor::Actor,
    rig::{Rig, Seen, drain, until},
};

const WATCH: u32 = 42;
/// Acts of a flood: some seconds of a slow test kernel.
const ACTS: u64 = 20_000;
/// Threads of a flood that goes on side by side.
const THREADS: u64 = 4;

/// What actors do in these tests.
pub(crate) fn perform(act: &[&str]) -> bool {
    match *act {
        ["flood", path, times] => open(path.as_ref(), times.parse().unwrap()),
        ["flood for writing too", path, times] => {
            for _ in 0..times.parse().unwrap() {
                drop(File::open(path).unwrap());
                drop(File::options().write(true).open(path).unwrap());
            }
        }
        ["flood together", path, times] => {
            let times = times.parse::<u64>().unwrap() / THREADS;
            thread::scope(|scope| {
                for _ in 0..THREADS {
                    scope.spawn(|| open(path.as_ref(), times));
                }
            });
        }
        ["flood each", folder, times] => {
            for entry in fs::read_dir(folder).unwrap() {
                open(&entry.unwrap().path(), times.parse().unwrap());
            }
        }
        _ => return false,
    }
    true
}

fn open(path: &Path, times: u64) {
    for _ in 0..times {
        drop(File::open(path).unwrap());
    }
}

fn scene() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("credential");
    fs::write(&file, "secret").unwrap();
    (folder, file)
}

fn entry(path: &Path) -> WatchEntry {
    WatchEntry::all(FileIdentity::of(path).unwrap(), WATCH)
}

/// What a rig saw of its session.
#[derive(Default)]
struct Told {
    records: Vec<(Credential, String)>,
}

impl Told {
    fn take(&mut self, rig: &mut Rig) {
        let mark = rig.mark;
        for ring in [&mut rig.rings.priority, &mut rig.rings.bulk] {
            for seen in drain(ring) {
                if let Seen::Credential { credential, path } = seen
                    && credential.header.session == mark
                {
                    self.records.push((credential, path));
                }
            }
        }
    }

    fn acts(&self) -> u64 {
        let counts = self.records.iter();
        counts.map(|(told, _)| u64::from(told.count)).sum()
    }

    fn sums(&self) -> impl Iterator<Item = &(Credential, String)> {
        self.records.iter().filter(|(told, _)| told.count > 1)
    }
}

fn dropped(rig: &Rig) -> u64 {
    let counters = rig.probes.counters().unwrap();
    Ring::ALL.map(|ring| counters.dropped(ring)).iter().sum()
}

/// Plays a flood while the kernel is asked for its sums all the time.
fn play(rig: &mut Rig, act: &[&str]) -> Told {
    let mut told = Told::default();
    let (probes, is_over) = (rig.probes.clone(), AtomicBool::new(false));
    let actor = Actor::new(act).marked(&rig.probes, rig.mark);
    thread::scope(|scope| {
        let asks = scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                probes.tell_sums().unwrap();
                thread::yield_now();
            }
        });
        let acts = scope.spawn(|| actor.act());
        while !acts.is_finished() {
            told.take(rig);
            thread::yield_now();
        }
        is_over.store(true, Ordering::Relaxed);
        asks.join().unwrap();
        acts.join().unwrap();
    });
    rig.probes.tell_sums().unwrap();
    told.take(rig);
    told
}

#[test]
fn acts_of_a_flood_are_told_or_counted_and_none_is_lost() {
    let Some(mut rig) = Rig::new() else { return };
    let (_folder, file) = scene();
    rig.probes.watch_set(&[entry(&file)]).unwrap();
    let (path, times) = (file.to_str().unwrap(), ACTS.to_string());
    let told = play(&mut rig, &["flood", path, &times]);
    assert_eq!((told.acts(), dropped(&rig)), (ACTS, 0));
    let identity = FileIdentity::of(&file).unwrap();
    assert!(told.sums().count() > 0);
    for (sum, label) in told.sums() {
        assert_eq!(label, path);
        assert_eq!(
            (sum.file.device, sum.file.inode),
            (identity.device, identity.inode)
        );
        assert_eq!((sum.watch_id, sum.open_mode & 3), (WATCH, 1));
        assert!(sum.first_boot_ns <= sum.header.boot_ns);
        assert!(sum.header.boot_ns > sum.header.start_boot_ns);
    }
}

#[test]
fn threads_that_flood_together_lose_no_act() {
    let Some(mut rig) = Rig::new() else { return };
    let (_folder, file) = scene();
    rig.probes.watch_set(&[entry(&file)]).unwrap();
    let act = ["flood together", file.to_str().unwrap(), &ACTS.to_string()];
    let told = play(&mut rig, &act);
    assert_eq!((told.acts(), dropped(&rig)), (ACTS, 0));
}

#[test]
fn what_is_read_and_what_is_written_are_two_sums() {
    let Some(mut rig) = Rig::new() else { return };
    let (_folder, file) = scene();
    rig.probes.watch_set(&[entry(&file)]).unwrap();
    let half = ACTS / 2;
    let act = [
        "flood for writing too",
        file.to_str().unwrap(),
        &half.to_string(),
    ];
    Actor::new(&act).marked(&rig.probes, rig.mark).act();
    rig.probes.tell_sums().unwrap();
    let mut told = Told::default();
    told.take(&mut rig);
    for mode in [1, 2] {
        let of_mode = told.records.iter();
        let of_mode = of_mode.filter(|(told, _)| told.open_mode & 3 == mode);
        let acts: u64 = of_mode.map(|(told, _)| u64::from(told.count)).sum();
        assert_eq!(acts, half, "{mode}");
        let sums = told.sums().filter(|(told, _)| told.open_mode & 3 == mode);
        assert_eq!(sums.count(), 1, "until somebody asks it goes on");
    }
    assert_eq!(dropped(&rig), 0);
}

#[test]
fn a_flood_without_an_agent_is_told_by_the_next_one() {
    let Some(rig) = Rig::new() else { return };
    let (_folder, file) = scene();
    rig.probes.watch_set(&[entry(&file)]).unwrap();
    let actor = Actor::new(&["flood", file.to_str().unwrap(), &ACTS.to_string()]);
    let actor = actor.marked(&rig.probes, rig.mark);
    let mut rig = rig.restart(|| {
        actor.act();
    });
    assert_eq!(rig.probes.tell_sums().unwrap(), 1);
    assert_eq!(rig.probes.tell_sums().unwrap(), 0, "told once");
    let mut told = Told::default();
    told.take(&mut rig);
    assert_eq!((told.acts(), dropped(&rig)), (ACTS, 0));
}

#[test]
fn a_sum_that_finds_no_room_in_the_ring_is_told_later() {
    let small = |config: &mut monitor_agent::kernel::ProbeConfig| {
        config.priority_ring_bytes = RING_BYTES_MIN;
    };
    let Some(mut rig) = Rig::with(small) else {
        return;
    };
    let (_folder, file) = scene();
    rig.probes.watch_set(&[entry(&file)]).unwrap();
    let act = ["flood", file.to_str().unwrap(), &ACTS.to_string()];
    Actor::new(&act).marked(&rig.probes, rig.mark).act();
    until("the ring is full", || {
        Actor::shell("for i in 1 2 3 4 5 6 7 8 9; do /bin/true; done").act();
        dropped(&rig) > 0
    });
    let lost = dropped(&rig);
    rig.probes.tell_sums().unwrap();
    let mut told = Told::default();
    told.take(&mut rig);
    assert_eq!(told.sums().count(), 0, "it found no room");
    rig.probes.tell_sums().unwrap();
    told.take(&mut rig);
    assert_eq!(told.sums().count(), 1);
    assert!(told.acts() + lost >= ACTS, "{} and {lost}", told.acts());
}

#[test]
fn more_floods_than_there_are_places_for_are_a_gap() {
    /// Sums are found by a number made of what they have in common, and some of
    /// these are alike.
    const FILES: usize = SUMS_MAX * 2;
    /// One for each: 32 are told at once, and the bulk ring is half full soon.
    const TIMES: u64 = 40;
    let small = |config: &mut monitor_agent::kernel::ProbeConfig| {
        config.bulk_ring_bytes = RING_BYTES_MIN;
        config.priority_ring_bytes = 64 << 20;
    };
    let Some(mut rig) = Rig::with(small) else {
        return;
    };
    let (folder, file) = scene();
    fs::remove_file(file).unwrap();
    for number in 0..FILES {
        fs::write(folder.path().join(number.to_string()), "secret").unwrap();
    }
    rig.probes.watch_set(&[entry(folder.path())]).unwrap();
    let act = [
        "flood each",
        folder.path().to_str().unwrap(),
        &TIMES.to_string(),
    ];
    Actor::new(&act).marked(&rig.probes, rig.mark).act();
    let sums = rig.probes.tell_sums().unwrap();
    assert!((SUMS_MAX / 2..=SUMS_MAX).contains(&sums), "{sums}");
    let mut told = Told::default();
    told.take(&mut rig);
    let acts = FILES as u64 * TIMES;
    // The folder itself was opened as well.
    let opened = told.records.iter().filter(|(told, _)| told.levels == 0);
    let opened: u64 = opened.map(|(told, _)| u64::from(told.count)).sum();
    let lost = dropped(&rig);
    assert!(lost > 0);
    assert_eq!(told.acts() - opened + lost, acts);
}
