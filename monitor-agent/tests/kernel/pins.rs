//! What outlives the agent, and what does not outlive `detach`.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::{Command, Stdio},
};

use aya::{
    maps::MapData,
    programs::{ProgramInfo, links::PinnedLink},
};
use monitor_agent::config::DEFAULT;
use monitor_agent::kernel::{
    ArmReport, Family, KernelError, ProbeConfig, Probes, Tier, detach, ensure_bpffs, trial,
};

use crate::{
    actor::Actor,
    rig::{DEADLINE, LIMITS, Rig, Seen, folder, until},
};

/// Families that are armed, and on which tier.
fn armed(report: &ArmReport) -> Vec<(Family, Tier)> {
    let families = report.families.iter();
    families
        .filter_map(|family| Some((family.family, family.armed?)))
        .collect()
}

/// The program behind a pin: of a link, or of a slot of the dispatcher. aya opens
/// either as whatever it is asked for, so what is not there was not meant.
fn program_id(pin: &Path) -> u32 {
    let link: aya::programs::links::FdLink = PinnedLink::from_pin(pin).unwrap().into();
    let of_link = link.info().unwrap().program_id();
    let ids = [of_link, ProgramInfo::from_pin(pin).unwrap().id()];
    let found = ids.into_iter().find(|id| Listed::Programs.is_there(*id));
    found.unwrap_or_else(|| panic!("{}: no program behind it", pin.display()))
}

fn entries(folder: &Path) -> Vec<std::path::PathBuf> {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect()
}

#[test]
fn what_happens_without_an_agent_is_told_once_by_the_next() {
    let Some(rig) = Rig::new() else { return };
    let actors: Vec<_> = (0..20)
        .map(|_| Actor::shell("/bin/true").marked(&rig.probes, rig.mark))
        .collect();
    let before = armed(&rig.report);
    let mut rig = rig.restart(move || {
        for actor in actors {
            actor.act();
        }
    });
    assert!(rig.report.resumed);
    assert_eq!(armed(&rig.report), before);
    let seen = rig.collect_until_ended();
    let execs: Vec<_> = seen
        .iter()
        .filter(|seen| matches!(seen, Seen::Exec { .. }))
        .collect();
    assert_eq!(execs.len(), 20);
    let pids: BTreeSet<_> = execs.iter().map(|seen| seen.header().pid).collect();
    assert_eq!(pids.len(), 20);
    // A third agent has nothing left to tell.
    let mut rig = rig.restart(|| ());
    let mark = rig.mark;
    let again = crate::rig::drain(&mut rig.rings.priority);
    assert!(
        again.iter().all(|seen| seen.header().session != mark),
        "{again:#?}"
    );
}

#[test]
fn agent_killed_again_and_again_loses_nothing() {
    const KILLS: usize = 30;
    let Some(rig) = Rig::new() else { return };
    let spool = tempfile::NamedTempFile::new().unwrap();
    let pin_dir = rig.pins.0.to_str().unwrap().to_owned();
    let written = || spool.as_file().metadata().unwrap().len();
    let mut workload = None;
    let mut rig = rig.restart(|| {
        workload = Some(Actor::shell("while :; do /bin/true; done").go());
        for _ in 0..KILLS {
            let before = written();
            let act = ["consume", &pin_dir, spool.path().to_str().unwrap()];
            let mut agent = Actor::new(&act).go();
            until("it spools", || written() > before + 100);
            agent.kill().unwrap();
            agent.wait().unwrap();
        }
    });
    let mut workload = workload.unwrap();
    workload.kill().unwrap();
    workload.wait().unwrap();
    let text = std::fs::read_to_string(spool.path()).unwrap();
    let mut told: BTreeMap<u16, BTreeSet<u64>> = BTreeMap::new();
    let mut lines = 0;
    for line in text.lines() {
        let (cpu, sequence) = line.split_once(' ').unwrap();
        told.entry(cpu.parse().unwrap())
            .or_default()
            .insert(sequence.parse().unwrap());
        lines += 1;
    }
    for seen in crate::rig::drain(&mut rig.rings.priority) {
        let header = seen.header();
        told.entry(header.cpu).or_default().insert(header.sequence);
        lines += 1;
    }
    let mut distinct = 0;
    for (cpu, sequences) in &told {
        // The kernel goes on meanwhile: whole up to the last one told.
        let last = sequences.last().copied().unwrap();
        assert_eq!(sequences.len() as u64, last, "processor {cpu} has holes");
        distinct += last;
    }
    assert_eq!(
        rig.probes
            .counters()
            .unwrap()
            .dropped(monitor_common::Ring::Priority),
        0
    );
    // Only a batch whose commit was cut off comes twice.
    assert!(
        lines - distinct <= 10 * KILLS as u64,
        "{lines} lines, {distinct} records"
    );
    eprintln!(
        "{distinct} records, {} told twice, {KILLS} kills",
        lines - distinct
    );
}

#[test]
fn records_that_were_not_committed_come_again() {
    let Some(mut rig) = Rig::new() else { return };
    Actor::shell("/bin/true; /bin/false; :")
        .marked(&rig.probes, rig.mark)
        .act();
    until("records are there", || {
        rig.rings.priority.waiting_bytes() > 0
    });
    let first = rig.rings.priority.read_batch(LIMITS);
    let first: Vec<_> = first.records().map(<[u8]>::to_vec).collect();
    assert!(first.len() >= 3, "two execs and the end");
    assert!(
        rig.rings.priority.read_batch(LIMITS).is_empty(),
        "given out once"
    );
    let mut rig = rig.restart(|| ());
    let second = rig.rings.priority.read_batch(LIMITS);
    let second_bytes: Vec<_> = second
        .records()
        .take(first.len())
        .map(<[u8]>::to_vec)
        .collect();
    assert_eq!(first, second_bytes);
    rig.rings.priority.commit(second.cursor());
    let mut rig = rig.restart(|| ());
    let third = rig.rings.priority.read_batch(LIMITS);
    assert!(
        third
            .records()
            .all(|bytes| !first.contains(&bytes.to_vec()))
    );
}

#[test]
fn marks_states_and_watches_outlive_the_agent() {
    let Some(rig) = Rig::new() else { return };
    let actor = Actor::shell(":").marked(&rig.probes, rig.mark);
    let pid = actor.child.id();
    let rig = rig.restart(|| ());
    assert_eq!(rig.probes.mark_of(pid).unwrap(), Some(rig.mark));
    assert_eq!(rig.probes.session_live(rig.mark).unwrap(), Some(1));
    actor.act();
}

#[test]
fn detach_leaves_no_program_no_map_and_no_pin() {
    let Some(rig) = Rig::new() else { return };
    let version = entries(&rig.pins.0).pop().unwrap();
    let links = entries(&version.join("links"));
    let programs: BTreeSet<u32> = links.iter().map(|path| program_id(path)).collect();
    let maps: BTreeSet<u32> = entries(&version.join("maps"))
        .iter()
        .map(|path| MapData::from_pin(path).unwrap().info().unwrap().id())
        .collect();
    assert!(!programs.is_empty() && !maps.is_empty());
    assert!(maps.iter().all(|map| Listed::Maps.is_there(*map)));
    assert!(
        programs
            .iter()
            .all(|program| Listed::Programs.is_there(*program))
    );
    let Rig {
        pins,
        probes,
        rings,
        ..
    } = rig;
    assert!(matches!(detach(&pins.0), Err(KernelError::Locked { .. })));
    drop((probes, rings));
    let removed = detach(&pins.0).unwrap();
    assert_eq!((removed.links, removed.maps), (links.len(), maps.len()));
    assert!(!pins.0.exists());
    until_gone(Listed::Programs, &programs);
    until_gone(Listed::Maps, &maps);
    assert_eq!(
        detach(&pins.0).unwrap(),
        monitor_agent::kernel::Detached::default()
    );
}

/// A program goes when nothing runs it any more, a map when the kernel has freed
/// the last program that used it, which on a busy machine waits for every
/// processor; what stays is told by its id.
fn until_gone(kind: Listed, ids: &BTreeSet<u32>) {
    let left = || -> Vec<&u32> { ids.iter().filter(|id| kind.is_there(**id)).collect() };
    let started = std::time::Instant::now();
    while !left().is_empty() {
        let waited = started.elapsed();
        let left = left();
        assert!(waited < 3 * DEADLINE, "{kind:?} after {waited:?}: {left:?}");
        std::thread::yield_now();
    }
}

/// What the kernel lists by ids.
#[derive(Clone, Copy, Debug)]
enum Listed {
    Programs,
    Maps,
}

impl Listed {
    /// Whether there is one of this id. It is not opened: that is told by the
    /// probes of the tests beside this one, as often as it is asked; and the
    /// last descriptor of a table of programs that is closed makes the kernel
    /// empty the table, and where that happens twice in short order (Linux 6.18)
    /// it loses count and keeps it.
    #[expect(unsafe_code, reason = "aya opens what it lists")]
    fn is_there(self, id: u32) -> bool {
        // BPF_PROG_GET_NEXT_ID and BPF_MAP_GET_NEXT_ID.
        let command: libc::c_long = match self {
            Self::Programs => 11,
            Self::Maps => 12,
        };
        // The id to start behind, the next one, flags.
        let mut attributes: [u32; 3] = [id.saturating_sub(1), 0, 0];
        let (at, size) = (attributes.as_mut_ptr(), size_of_val(&attributes));
        // SAFETY: the kernel reads and writes as many bytes as it is told.
        let result = unsafe { libc::syscall(libc::SYS_bpf, command, at, size) };
        result == 0 && attributes[1] == id
    }
}

#[test]
fn hundred_rounds_of_attaching_and_detaching_leave_nothing_behind() {
    let Some(pins) = folder() else { return };
    let config = ProbeConfig::new(&pins.0);
    let (mut programs, mut maps) = (BTreeSet::new(), BTreeSet::new());
    let mut early_kib = 0;
    for round in 0..100 {
        let started = match Probes::start(&config) {
            Err(KernelError::NoObject) => {
                eprintln!("SKIPPED: this agent was built without probes");
                return;
            }
            started => started.unwrap(),
        };
        // While something happens that the probes see.
        std::process::Command::new("/bin/true").status().unwrap();
        let version = entries(&pins.0).pop().unwrap();
        programs.extend(
            entries(&version.join("links"))
                .iter()
                .map(|pin| program_id(pin)),
        );
        let map = |path: &std::path::PathBuf| MapData::from_pin(path).unwrap().info().unwrap().id();
        maps.extend(entries(&version.join("maps")).iter().map(map));
        drop(started);
        detach(&pins.0).unwrap();
        ensure_bpffs(&pins.0).unwrap();
        if round == 10 {
            early_kib = resident_kib();
        }
    }
    until_gone(Listed::Programs, &programs);
    until_gone(Listed::Maps, &maps);
    let late_kib = resident_kib();
    // Other tests of this program run beside it.
    assert!(
        late_kib < early_kib + 65_536,
        "{early_kib} KiB, then {late_kib}"
    );
}

/// Memory of this process, KiB.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap()
}

#[test]
fn second_agent_is_refused_while_the_first_runs() {
    let Some(rig) = Rig::new() else { return };
    let error = Probes::start(&rig.config).unwrap_err();
    assert!(matches!(error, KernelError::Locked { .. }), "{error}");
}

#[test]
fn pins_with_tables_of_another_version_are_refused_with_the_way_out() {
    let Some(rig) = Rig::new() else { return };
    let Rig {
        pins,
        config,
        probes,
        rings,
        ..
    } = rig;
    drop((probes, rings));
    let version = entries(&pins.0).pop().unwrap();
    let links = entries(&version.join("links")).len();
    let state = entries(&version)
        .into_iter()
        .find(|path| path.to_string_lossy().contains("/state-"));
    std::fs::remove_dir(state.unwrap()).unwrap();
    std::fs::rename(&version, pins.0.join("v1-00000000")).unwrap();
    let error = Probes::start(&config).unwrap_err();
    assert!(matches!(error, KernelError::OtherVersion { .. }), "{error}");
    assert!(
        error.to_string().contains("monitor-agent detach"),
        "{error}"
    );
    assert_eq!(detach(&pins.0).unwrap().links, links);
}

#[test]
fn unfinished_start_is_taken_up_from_the_beginning() {
    let Some(rig) = Rig::new() else { return };
    let before = armed(&rig.report);
    let Rig {
        pins,
        config,
        probes,
        rings,
        ..
    } = rig;
    drop((probes, rings));
    let version = entries(&pins.0).pop().unwrap();
    std::fs::remove_dir(version.join("complete")).unwrap();
    std::fs::remove_file(version.join("maps/WATCH")).unwrap();
    let started = Probes::start(&config).unwrap();
    assert!(!started.report.resumed);
    assert_eq!(armed(&started.report), before);
}

#[test]
fn folder_on_another_file_system_is_refused() {
    let plain = tempfile::tempdir().unwrap();
    match Probes::start(&ProbeConfig::new(plain.path())) {
        Err(KernelError::NotBpffs { .. }) => {}
        Err(KernelError::NoObject) => eprintln!("SKIPPED: this agent was built without probes"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn ring_of_an_odd_size_is_refused() {
    let config = ProbeConfig {
        priority_ring_bytes: 100_000,
        ..ProbeConfig::new("/nowhere")
    };
    let error = Probes::start(&config).unwrap_err();
    assert!(error.to_string().contains("power of two"), "{error}");
}

#[test]
fn trial_arms_everything_and_leaves_nothing() {
    let Some(pins) = folder() else { return };
    match trial(&ProbeConfig::new(&pins.0)) {
        Ok(report) => assert!(!armed(&report).is_empty()),
        Err(KernelError::NoObject) => eprintln!("SKIPPED: this agent was built without probes"),
        Err(error) => panic!("{error}"),
    }
    assert!(!pins.0.exists());
}

#[test]
fn own_file_system_for_pins_is_mounted_and_taken_away() {
    if folder().is_none() {
        return;
    }
    let plain = tempfile::tempdir().unwrap();
    let pins = plain.path().join("pins");
    match trial(&ProbeConfig::new(&pins)) {
        Ok(report) => assert!(!armed(&report).is_empty()),
        Err(KernelError::NoObject) => eprintln!("SKIPPED: this agent was built without probes"),
        Err(error) => panic!("{error}"),
    }
    assert!(!pins.exists());
}

#[test]
fn doctor_beside_an_agent_names_its_tiers_and_is_no_use_of_bpf() {
    let Some(mut rig) = Rig::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("agent.toml");
    let pins = rig.pins.0.to_str().unwrap();
    let config = DEFAULT.replace("\"/sys/fs/bpf/monitor\"", &format!("{pins:?}"));
    assert!(config.contains(pins), "{config}");
    std::fs::write(&file, config).unwrap();
    let doctor = Command::new(env!("CARGO_BIN_EXE_monitor-agent"))
        .args(["doctor", "--config"])
        .arg(&file)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = doctor.id();
    let said = doctor.wait_with_output().unwrap().stdout;
    let said = String::from_utf8(said).unwrap();
    for (family, tier) in armed(&rig.report) {
        let wanted = format!("hook {}: {}", family.name(), tier.name());
        assert!(said.contains(&wanted), "no {wanted:?} in {said}");
    }
    let told = crate::rig::drain(&mut rig.rings.priority);
    let of_doctor = told
        .iter()
        .filter(|seen| matches!(seen, Seen::HostChange { .. }) && seen.header().pid == pid);
    assert_eq!(of_doctor.count(), 0);
}
