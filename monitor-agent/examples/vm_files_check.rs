//! Does to watched files what people do to credentials, on every tier that this
//! kernel has, and says in one line whether each act was told exactly once, of
//! the right object. Made to run as root in a bare virtual machine.
//!
//! `VM-CHECK ok kernel=... acts=...`, exit code 0, or `VM-CHECK failed: ...`,
//! exit code 1.

#![expect(clippy::as_conversions, reason = "functions become entries of a table")]
#![expect(clippy::print_stdout, reason = "the line is its product")]

use std::{
    error::Error,
    fs,
    os::{
        fd::{AsFd, AsRawFd},
        unix::fs::{PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use monitor_agent::kernel::{
    ArmReport, BatchLimits, Family, FileIdentity, Operations, ProbeConfig, Probes, RingReader,
    SessionMark, Started, Tier, WatchEntry, WatchName, detach, ensure_bpffs,
};
use monitor_common::{Credential, Operation, Record, decode};
use rustix::fs::{Mode, OFlags};

const PINS: &str = "/sys/fs/bpf/monitor-files-check";
const FOLDER: &str = "/tmp/monitor-files-check";
const MARK: SessionMark = SessionMark([9; 16]);
const FILE: u32 = 1;
const DIRECTORY: u32 = 2;
const NAME: u32 = 3;
/// How long after an act nothing more is expected.
const QUIET: Duration = Duration::from_millis(100);
const LIMITS: BatchLimits = BatchLimits {
    records_max: 1_000,
    bytes_max: 1 << 20,
};

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    match check() {
        Ok(line) => {
            println!("VM-CHECK ok {line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("VM-CHECK failed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn check() -> Outcome<String> {
    ensure_bpffs(Path::new("/sys/fs/bpf"))?;
    fs::create_dir_all(PINS)?;
    let started = Probes::start(&ProbeConfig::new(PINS))?;
    let result = observe(started);
    detach(Path::new(PINS))?;
    let _ = fs::remove_dir_all(FOLDER);
    result
}

/// An act, and what is to be told of it: operation, watch, and the object.
struct Expected {
    what: &'static str,
    told: Vec<(Operation, u32, Option<FileIdentity>)>,
}

fn observe(started: Started) -> Outcome<String> {
    let Started {
        probes,
        mut rings,
        report,
    } = started;
    let tiers = tiers(&report);
    probes.mark(std::process::id(), MARK)?;
    let scene = Scene::new(&probes)?;
    let mut failures = Vec::new();
    let mut acts = 0;
    for step in steps(&report) {
        let _ = drain(&mut rings.priority)?;
        let expected = step(&scene, &probes)?;
        acts += 1;
        let told = settle(&mut rings.priority)?;
        if let Some(failure) = compare(&expected, &told) {
            failures.push(failure);
        }
    }
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let line = format!("kernel={} acts={acts} {tiers}", kernel.trim());
    if failures.is_empty() {
        return Ok(line);
    }
    Err(format!("{line}: {}", failures.join("; ")).into())
}

fn tiers(report: &ArmReport) -> String {
    let of = |family: Family| {
        let found = report.families.iter().find(|other| other.family == family);
        let armed = found.and_then(|found| found.armed);
        format!("{}={}", family.name(), armed.map_or("blind", Tier::name))
    };
    [
        Family::Credential,
        Family::Received,
        Family::UsedElsewhere,
        Family::Change,
    ]
    .map(of)
    .join(" ")
}

fn compare(expected: &Expected, told: &[Credential]) -> Option<String> {
    let fits = told.len() == expected.told.len()
        && told
            .iter()
            .zip(&expected.told)
            .all(|(told, (operation, watch, file))| {
                let object = file.is_none_or(|file| {
                    file.device == told.file.device
                        && file.inode == told.file.inode
                        && file.generation == Some(told.file.generation)
                });
                told.operation == *operation && told.watch_id == *watch && object
            });
    let told: Vec<_> = told
        .iter()
        .map(|told| (told.operation.0, told.watch_id, told.file.inode))
        .collect();
    (!fits).then(|| format!("{}: {told:?}, expected {:?}", expected.what, expected.told))
}

/// What comes until nothing does.
fn settle(ring: &mut RingReader) -> Outcome<Vec<Credential>> {
    let mut told = Vec::new();
    let mut last = Instant::now();
    while last.elapsed() < QUIET {
        ring.wait(Duration::from_millis(10))?;
        let more = drain(ring)?;
        if !more.is_empty() {
            last = Instant::now();
        }
        told.extend(more);
    }
    Ok(told)
}

fn drain(ring: &mut RingReader) -> Outcome<Vec<Credential>> {
    let mut told = Vec::new();
    loop {
        let batch = ring.read_batch(LIMITS);
        for bytes in batch.records() {
            if let Record::Credential { credential, .. } = decode(bytes)?
                && credential.header.session == MARK
            {
                told.push(*credential);
            }
        }
        ring.commit(batch.cursor());
        if batch.is_empty() {
            return Ok(told);
        }
    }
}

/// A watched file, a watched directory with a file in it, and a watched name.
struct Scene {
    file: PathBuf,
    directory: PathBuf,
    inner: PathBuf,
    named: PathBuf,
}

impl Scene {
    fn new(probes: &Probes) -> Outcome<Self> {
        let folder = Path::new(FOLDER);
        let _ = fs::remove_dir_all(folder);
        let directory = folder.join("watched");
        fs::create_dir_all(directory.join("deep/er"))?;
        fs::create_dir(folder.join("plain"))?;
        let file = folder.join("credential");
        let inner = directory.join("deep/er/key");
        let named = folder.join("plain/token");
        for path in [&file, &inner] {
            fs::write(path, "secret")?;
        }
        let entries = [
            WatchEntry::all(probes.identify(&file)?, FILE),
            WatchEntry::all(probes.identify(&directory)?, DIRECTORY),
        ];
        let plain = probes.identify(&folder.join("plain"))?;
        let name = WatchName::new(plain, b"token", NAME, Operations::All).ok_or("no name")?;
        probes.watch(&entries, &[name])?;
        Ok(Self {
            file,
            directory,
            inner,
            named,
        })
    }
}

type Step = fn(&Scene, &Probes) -> Outcome<Expected>;

fn steps(report: &ArmReport) -> Vec<Step> {
    let armed = |family: Family| {
        let mut families = report.families.iter();
        families.any(|other| {
            other.family == family && other.armed.is_some_and(|tier| tier != Tier::Tracepoint)
        })
    };
    let mut steps: Vec<Step> = vec![
        open_by_name,
        open_by_links,
        open_through_proc,
        open_by_path_only,
        open_below,
        open_unlinked,
        open_unwatched,
    ];
    if armed(Family::Change) {
        steps.extend([
            name_is_made as Step,
            name_is_replaced,
            mode_owner_size,
            linked_out,
            moved_out,
            made_and_removed,
        ]);
    }
    steps
}

fn one(what: &'static str, operation: Operation, watch: u32, file: FileIdentity) -> Expected {
    let told = vec![(operation, watch, Some(file))];
    Expected { what, told }
}

fn open_by_name(scene: &Scene, probes: &Probes) -> Outcome<Expected> {
    fs::read(&scene.file)?;
    let file = probes.identify(&scene.file)?;
    Ok(one("open", Operation::OPENED, FILE, file))
}

fn open_by_links(scene: &Scene, probes: &Probes) -> Outcome<Expected> {
    let soft = scene.file.with_file_name("soft");
    symlink(&scene.file, &soft)?;
    fs::read(&soft)?;
    fs::remove_file(&soft)?;
    let file = probes.identify(&scene.file)?;
    Ok(one("symbolic link", Operation::OPENED, FILE, file))
}

fn open_through_proc(scene: &Scene, probes: &Probes) -> Outcome<Expected> {
    fs::read(format!("/proc/self/root{}", scene.file.display()))?;
    let file = probes.identify(&scene.file)?;
    Ok(one("/proc/self/root", Operation::OPENED, FILE, file))
}

fn open_by_path_only(scene: &Scene, probes: &Probes) -> Outcome<Expected> {
    let path = rustix::fs::open(&scene.file, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let file = probes.identify_file(path.as_fd())?;
    fs::read(format!("/proc/self/fd/{}", path.as_raw_fd()))?;
    Ok(one("reopened path", Operation::OPENED, FILE, file))
}

fn open_below(scene: &Scene, probes: &Probes) -> Outcome<Expected> {
    fs::read(&scene.inner)?;
    let file = probes.identify(&scene.inner)?;
    Ok(one("below a directory", Operation::OPENED, DIRECTORY, file))
}

fn open_unlinked(scene: &Scene, probes: &Probes) -> Outcome<Expected> {
    let outside = scene.file.with_file_name("gone");
    fs::write(&outside, "")?;
    fs::read(&outside)?;
    fs::remove_file(&outside)?;
    fs::read(&scene.inner)?;
    let file = probes.identify(&scene.inner)?;
    Ok(one("beside others", Operation::OPENED, DIRECTORY, file))
}

fn open_unwatched(scene: &Scene, _: &Probes) -> Outcome<Expected> {
    let other = scene.named.with_file_name("other");
    fs::write(&other, "")?;
    fs::read(&other)?;
    let (what, told) = ("not watched", Vec::new());
    Ok(Expected { what, told })
}

fn name_is_made(scene: &Scene, probes: &Probes) -> Outcome<Expected> {
    fs::write(&scene.named, "secret")?;
    let file = probes.identify(&scene.named)?;
    Ok(one("made at a name", Operation::CREATED, NAME, file))
}

fn name_is_replaced(scene: &Scene, probes: &Probes) -> Outcome<Expected> {
    let new = scene.named.with_file_name("new");
    fs::write(&new, "other secret")?;
    fs::rename(&new, &scene.named)?;
    fs::read(&scene.named)?;
    let file = probes.identify(&scene.named)?;
    let told = [Operation::RENAMED, Operation::OPENED].map(|act| (act, NAME, Some(file)));
    let what = "renamed over a name, then read";
    Ok(Expected {
        what,
        told: told.to_vec(),
    })
}

fn mode_owner_size(scene: &Scene, probes: &Probes) -> Outcome<Expected> {
    fs::set_permissions(&scene.file, fs::Permissions::from_mode(0o640))?;
    std::os::unix::fs::chown(&scene.file, Some(1), None)?;
    let opened = fs::File::options().write(true).open(&scene.file)?;
    opened.set_len(3)?;
    let file = probes.identify(&scene.file)?;
    let told = [
        Operation::MODE_CHANGED,
        Operation::OWNER_CHANGED,
        Operation::OPENED,
        Operation::TRUNCATED,
    ]
    .map(|act| (act, FILE, Some(file)));
    let what = "mode, owner, size";
    Ok(Expected {
        what,
        told: told.to_vec(),
    })
}

fn linked_out(scene: &Scene, probes: &Probes) -> Outcome<Expected> {
    let outside = scene.file.with_file_name("hard");
    fs::hard_link(&scene.inner, &outside)?;
    fs::read(&outside)?;
    let file = probes.identify(&outside)?;
    let told = [Operation::LINKED, Operation::OPENED].map(|act| (act, DIRECTORY, Some(file)));
    let what = "linked out, then read";
    Ok(Expected {
        what,
        told: told.to_vec(),
    })
}

fn moved_out(scene: &Scene, probes: &Probes) -> Outcome<Expected> {
    let outside = scene.file.with_file_name("moved");
    fs::rename(scene.directory.join("deep"), &outside)?;
    let folder = probes.identify(&outside)?;
    fs::read(outside.join("er/key"))?;
    let file = probes.identify(&outside.join("er/key"))?;
    let told = vec![
        (Operation::RENAMED, DIRECTORY, Some(folder)),
        (Operation::OPENED, DIRECTORY, Some(file)),
    ];
    let what = "directory moved out, then read";
    Ok(Expected { what, told })
}

fn made_and_removed(scene: &Scene, probes: &Probes) -> Outcome<Expected> {
    let directory = probes.identify(&scene.directory)?;
    let made = scene.directory.join("made");
    fs::create_dir(&made)?;
    let folder = probes.identify(&made)?;
    fs::remove_dir(&made)?;
    let told = vec![
        (Operation::CREATED, DIRECTORY, Some(directory)),
        (Operation::REMOVED, DIRECTORY, Some(folder)),
    ];
    let what = "directory made and removed";
    Ok(Expected { what, told })
}
