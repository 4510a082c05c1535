//! Probes that follow others: side by side with them, by one switch.

use std::{collections::BTreeMap, fs, path::PathBuf, process::Child};

use monitor_agent::kernel::{
    FileIdentity, KernelError, Probes, Rings, SessionMark, WatchEntry, forget,
};
use monitor_common::ABI_VERSION;

use crate::{
    actor::Actor,
    rig::{Folder, Rig, Seen, drain, until},
};

/// How often others follow.
const ROUNDS: u32 = 4;
/// Processes that come and go all the time.
const WORKERS: usize = 3;

/// What is told of one process.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    forks: u32,
    execs: u32,
    opens: u32,
    exits: u32,
}

/// Processes that each are born, start two programs, open a watched file and end,
/// one after the other until a file is there; each writes down its id.
struct Work {
    folder: tempfile::TempDir,
    workers: Vec<Child>,
}

impl Work {
    fn begin(rig: &Rig) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (watched, log) = (folder.path().join("key"), folder.path().join("log"));
        fs::write(&watched, "secret").unwrap();
        fs::write(&log, "").unwrap();
        let entry = WatchEntry::all(FileIdentity::of(&watched).unwrap(), 42);
        rig.probes.watch_set(&[entry]).unwrap();
        let (end, key, log) = (end(&folder), watched.display(), log.display());
        let script = format!(
            "while [ ! -e {} ]; do /bin/sh -c 'echo $$ >>{log}; exec /bin/cat {key}' >/dev/null; done",
            end.display()
        );
        let mark = |_| {
            let actor = Actor::shell(&script);
            let marked = rig.probes.mark(actor.child.id(), rig.mark);
            marked.unwrap();
            actor.go()
        };
        Self {
            workers: (0..WORKERS).map(mark).collect(),
            folder,
        }
    }

    /// How many processes there were so far.
    fn done(&self) -> usize {
        self.pids().len()
    }

    fn pids(&self) -> Vec<u32> {
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap();
        log.lines().map(|line| line.parse().unwrap()).collect()
    }

    fn goes_on(&self) {
        let done = self.done();
        until("more work", || self.done() > done + 40);
    }

    /// Ends it; everybody who was there.
    fn end(mut self) -> Vec<u32> {
        fs::write(end(&self.folder), "").unwrap();
        for worker in &mut self.workers {
            worker.wait().unwrap();
        }
        self.pids()
    }
}

fn end(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("end")
}

#[derive(Default)]
struct Ledger(BTreeMap<u32, Told>);

impl Ledger {
    fn take(&mut self, rings: &mut Rings, mark: SessionMark) {
        let mut seen = drain(&mut rings.priority);
        seen.extend(drain(&mut rings.bulk));
        for seen in seen.iter().filter(|seen| seen.header().session == mark) {
            let pid = match seen {
                Seen::Fork(fork) => fork.child_pid,
                // With the last worker.
                Seen::SessionEnded(_) => continue,
                _ => seen.header().pid,
            };
            let told = self.0.entry(pid).or_default();
            match seen {
                Seen::Fork(_) => told.forks += 1,
                Seen::Exec { .. } => told.execs += 1,
                Seen::Credential { .. } => told.opens += 1,
                Seen::Exit(_) => told.exits += 1,
                other => panic!("{other:#?}"),
            }
        }
    }
}

#[test]
fn each_act_of_a_flood_is_told_or_counted_while_others_follow() {
    let Some(rig) = Rig::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (key, end) = (folder.path().join("key"), end(&folder));
    fs::write(&key, "secret").unwrap();
    let entry = WatchEntry::all(FileIdentity::of(&key).unwrap(), 42);
    rig.probes.watch_set(&[entry]).unwrap();
    let (key, stop) = (key.display(), end.display());
    // Shells open by themselves, and look for the end now and then.
    let script = format!(
        "n=0; while [ ! -e {stop} ]; do i=0; while [ $i -lt 200 ]; do i=$((i+1)); : <{key}; done; \
         n=$((n+200)); done; echo $n"
    );
    let actor = Actor::shell(&script).marked(&rig.probes, rig.mark);
    let acts = std::thread::spawn(move || actor.act());
    let Rig {
        config,
        mut probes,
        mut rings,
        mark,
        pins,
        ..
    } = rig;
    let mut told = 0;
    let mut take = |rings: &mut Rings| {
        // The first of a second are on one ring, the next on the other.
        for seen in [&mut rings.priority, &mut rings.bulk]
            .into_iter()
            .flat_map(drain)
        {
            if let Seen::Credential { credential, .. } = seen
                && credential.header.session == mark
            {
                told += u64::from(credential.count);
            }
        }
    };
    for round in 0..2 {
        let counted = probes
            .counters()
            .unwrap()
            .produced(monitor_common::Ring::Priority);
        until("a sum is open and told", || {
            probes.tell_sums().unwrap() > 0
                && probes
                    .counters()
                    .unwrap()
                    .produced(monitor_common::Ring::Priority)
                    > counted
        });
        drop((probes, rings));
        let name = as_of_before(&pins, round);
        let mut started = Probes::start(&config).unwrap();
        let mut old = Probes::open_before(&pins.0, &name).unwrap();
        while old.probes.tell_sums().unwrap() > 0 {
            take(&mut old.rings);
        }
        take(&mut old.rings);
        drop(old);
        started.probes.forget_before().unwrap();
        (probes, rings) = (started.probes.into(), started.rings);
    }
    fs::write(&end, "").unwrap();
    let acts: u64 = acts.join().unwrap().trim().parse().unwrap();
    while probes.tell_sums().unwrap() > 0 {
        take(&mut rings);
    }
    take(&mut rings);
    println!("{acts} opens while others followed twice");
    assert_eq!(told, acts);
    drop((probes, rings));
}

/// The only folder of pins, as if it were of another version; its name.
fn as_of_before(pins: &Folder, number: u32) -> String {
    let mut folders = fs::read_dir(&pins.0).unwrap();
    let folder = folders.next().unwrap().unwrap().path();
    assert!(folders.next().is_none(), "one version at a time");
    let name = format!("v{ABI_VERSION}-{number:08x}");
    fs::rename(folder, pins.0.join(&name)).unwrap();
    name
}

#[test]
fn each_act_is_told_by_one_version_while_others_follow_under_load() {
    let Some(rig) = Rig::with(|config| config.bulk_ring_bytes = 16 << 20) else {
        return;
    };
    let work = Work::begin(&rig);
    let mut ledger = Ledger::default();
    let Rig {
        config,
        mut probes,
        mut rings,
        mark,
        report,
        pins,
    } = rig;
    for round in 0..ROUNDS {
        work.goes_on();
        drop((probes, rings));
        let name = as_of_before(&pins, round);
        let mut started = Probes::start(&config).unwrap();
        assert!(
            started.report.resumed,
            "records since then are in the rings"
        );
        assert_eq!(
            started.report.families, report.families,
            "the same is armed"
        );
        let before = started.probes.before();
        assert_eq!(before.len(), 1);
        assert_eq!((&before[0].version, before[0].is_readable), (&name, true));
        work.goes_on();
        let mut old = Probes::open_before(&pins.0, &name).unwrap();
        ledger.take(&mut old.rings, mark);
        work.goes_on();
        assert!(!old.rings.priority.has_records(), "they tell nothing more");
        drop(old);
        started.probes.forget_before().unwrap();
        assert_eq!(started.probes.unhooked(), []);
        assert_eq!(
            started
                .probes
                .counters()
                .unwrap()
                .dropped(monitor_common::Ring::Priority),
            0
        );
        (probes, rings) = (started.probes.into(), started.rings);
        ledger.take(&mut rings, mark);
    }
    let pids = work.end();
    ledger.take(&mut rings, mark);
    let wrong: Vec<_> = pids
        .iter()
        .map(|pid| (pid, ledger.0.get(pid)))
        .filter(|(_, told)| {
            *told
                != Some(&Told {
                    forks: 1,
                    execs: 2,
                    opens: 1,
                    exits: 1,
                })
        })
        .collect();
    assert!(wrong.is_empty(), "of {}: {wrong:?}", pids.len());
    println!(
        "{} processes while others followed {ROUNDS} times",
        pids.len()
    );
    drop((probes, rings));
}

#[test]
fn one_who_comes_back_is_read_first() {
    let Some(rig) = Rig::new() else { return };
    Actor::shell("/bin/true")
        .marked(&rig.probes, rig.mark)
        .act();
    let Rig {
        config,
        probes,
        rings,
        mark,
        pins,
        ..
    } = rig;
    let own = probes.version();
    drop((probes, rings));
    // Others followed, and this version is to follow them again.
    let name = as_of_before(&pins, 1);
    let followed = Probes::start(&config).unwrap();
    drop(followed);
    let other = format!("v{ABI_VERSION}-0ddba11d");
    fs::rename(pins.0.join(&own), pins.0.join(&other)).unwrap();
    fs::rename(pins.0.join(&name), pins.0.join(&own)).unwrap();
    let error = Probes::start(&config).unwrap_err();
    assert!(
        matches!(&error, KernelError::Followed { version } if *version == own),
        "{error}"
    );
    let mut old = Probes::open_before(&pins.0, &own).unwrap();
    let seen = drain(&mut old.rings.priority);
    let is_exec = |seen: &&Seen| matches!(seen, Seen::Exec { .. }) && seen.header().session == mark;
    assert_eq!(seen.iter().filter(is_exec).count(), 1);
    assert!(matches!(
        forget(&pins.0, &own),
        Err(KernelError::Locked { .. })
    ));
    drop(old);
    forget(&pins.0, &own).unwrap();
    let again = Probes::start(&config).unwrap();
    let versions: Vec<_> = again
        .probes
        .before()
        .into_iter()
        .map(|before| before.version)
        .collect();
    assert_eq!(versions, [other]);
}

#[test]
fn probes_that_run_are_nobodys_to_read_or_forget() {
    let Some(rig) = Rig::new() else { return };
    let version = rig.probes.version();
    let error = Probes::open_before(&rig.pins.0, &version).unwrap_err();
    assert!(matches!(error, KernelError::NotOver { .. }), "{error}");
    let error = forget(&rig.pins.0, &version).unwrap_err();
    assert!(matches!(error, KernelError::NotOver { .. }), "{error}");
    assert!(rig.pins.0.join(version).exists());
}
