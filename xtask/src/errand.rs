//! In a whole jump host in QEMU.
//!
//! In: the disks of `jump_host`, and one made for this run, with the programs
//! and the cases. Out: the table line by line from the console, the results
//! from a disk of their own. Bound: a time limit, after which QEMU is killed.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use monitor_tests::cases::report::Report;
use monitor_tests::stage::folder::PROGRAMS;

use super::{PLAYER, Play, arguments, read_report, system};
use crate::cache::Project;
use crate::jump_host::{self, pack};
use crate::kernels::{self, Kernel, Series};
use crate::machine::Machine;
use crate::process::{self, time_text};
use crate::vm::{COMMAND_LINE, started_again};

/// From power-on until the stage is set, in emulation, on a busy host.
const START_LIMIT: Duration = Duration::from_secs(10 * 60);
/// For each case, on the average, in emulation, on a busy host: 36 s were
/// measured while up to five machines shared two cores. One that hangs is ended by
/// the player, long before.
const CASE_LIMIT: Duration = Duration::from_secs(40);
/// How much slower things may be there.
const SLOWNESS: u32 = 12;
const MEMORY_MIB: &str = "2048";
/// How much the results may be.
const RESULT_BYTES: u64 = 16 << 20;
/// What the lines of the player begin with, on the serial console.
const MARK: &str = "CASES| ";
/// Lines of the console that wait to be read.
const LINES_MAX: usize = 1_000;

pub(super) fn play(project: &Project, play: &Play, series: Series) -> Result<Report> {
    let start = Instant::now();
    let kernel = kernels::fetch(&Machine::here(project), series)?;
    let disks = Disks::make(project, play, &kernel)?;
    process::say(&format!(
        "{} boots ({} for its disks)",
        kernel.release,
        time_text(start.elapsed())
    ));
    let log = project.log(&format!("cases-{}", series.name()));
    let ended = started_again(&log, MARK, || {
        let mut machine = boot(project, &kernel, &disks)?;
        let ended = follow(
            &mut machine,
            &log,
            time_limit(play.cases, play.seconds_more),
        );
        let _ = machine.kill();
        let _ = machine.wait();
        ended
    });
    ended.with_context(|| format!("the console is in {}", log.display()))?;
    process::say(&format!("{} in all", time_text(start.elapsed())));
    read_report(&disks.result)
}

/// The files that are the machine's disks; those of this run alone are removed
/// with it.
struct Disks {
    root: PathBuf,
    content: PathBuf,
    modules: PathBuf,
    result: PathBuf,
    initrd: PathBuf,
}

impl Disks {
    fn make(project: &Project, play: &Play, kernel: &Kernel) -> Result<Self> {
        let root = jump_host::root(project)?;
        let modules = jump_host::modules(project, kernel)?;
        sweep(&project.jump_host());
        // Two runs on one kernel may go on at a time.
        let run = std::process::id();
        let at = |name: &str| {
            project
                .jump_host()
                .join(format!("{}-{run}-{name}", kernel.release))
        };
        let disks = Self {
            root,
            modules,
            content: at("cases.ext4"),
            result: at("result"),
            initrd: at("initrd"),
        };
        jump_host::write_initrd(project, kernel, &disks.initrd)?;
        let tree = at("tree");
        let _ = fs::remove_dir_all(&tree);
        fill(&tree, play)?;
        pack(&tree, &disks.content)?;
        fs::remove_dir_all(&tree)?;
        fs::File::create(&disks.result)?.set_len(RESULT_BYTES)?;
        Ok(disks)
    }
}

impl Drop for Disks {
    fn drop(&mut self) {
        for file in [&self.content, &self.result, &self.initrd] {
            let _ = fs::remove_file(file);
        }
    }
}

/// Removes the files of runs that were ended before they could.
fn sweep(folder: &Path) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_left = run_of(&name).is_some_and(|run| !Path::new("/proc").join(run).exists());
        if is_left {
            let path = entry.path();
            let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
        }
    }
}

/// The process that a file of a run belongs to: `6.1.0-56-cloud-amd64-4711-initrd`.
fn run_of(name: &str) -> Option<&str> {
    let (before, last) = name.rsplit_once('-')?;
    let (_, run) = before.rsplit_once('-')?;
    let is_own = matches!(last, "cases.ext4" | "result" | "initrd" | "tree");
    let is_number = !run.is_empty() && run.bytes().all(|byte| byte.is_ascii_digit());
    (is_own && is_number).then_some(run)
}

/// What the machine sees as `/monitor`.
fn fill(tree: &Path, play: &Play) -> Result<()> {
    let programs = tree.join("programs");
    fs::create_dir_all(&programs)?;
    for name in PROGRAMS.into_iter().chain([PLAYER]) {
        let mut strip = Command::new("strip");
        strip
            .args(["--strip-debug", "-o"])
            .arg(programs.join(name))
            .arg(play.programs.join(name));
        process::quiet_stdout_of(&mut strip)?;
    }
    for (from, name) in [(&play.folder, "cases"), (&play.built, "built")] {
        if from.is_dir() {
            let mut copy = Command::new("cp");
            process::quiet_stdout_of(copy.arg("-rL").arg(from).arg(tree.join(name)))?;
        }
    }
    fs::write(tree.join("is-a-test-machine"), "")?;
    // Ids are checked: nothing of it means anything to a shell.
    let more = format!("--slowness {SLOWNESS} {}", arguments(play).join(" "));
    system::write(tree, &more)
}

fn boot(project: &Project, kernel: &Kernel, disks: &Disks) -> Result<Child> {
    let qemu = Machine::here(project)
        .program("qemu-system-x86_64")
        .context("qemu-system-x86_64 is not there: `cargo xtask setup` installs it")?;
    let mut command = Command::new(qemu);
    command.args([
        "-accel",
        "tcg,thread=multi",
        "-cpu",
        "max",
        "-smp",
        "2",
        "-m",
        MEMORY_MIB,
    ]);
    command.args([
        "-nographic",
        "-no-reboot",
        "-nic",
        "none",
        "-device",
        "virtio-rng-pci",
    ]);
    for (file, how) in [
        (&disks.root, "snapshot=on"),
        (&disks.content, "readonly=on"),
        (&disks.modules, "readonly=on"),
        (&disks.result, "snapshot=off"),
    ] {
        let drive = format!(
            "file={},format=raw,if=virtio,cache=unsafe,{how}",
            file.display()
        );
        command.args(["-drive", &drive]);
    }
    let words = format!("{COMMAND_LINE}{}", system::COMMAND_LINE);
    command
        .args(["-append", &words, "-kernel"])
        .arg(&kernel.image)
        .arg("-initrd")
        .arg(&disks.initrd)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit());
    command
        .spawn()
        .with_context(|| format!("`{}` could not be started", process::shown(&command)))
}

/// From power-on to the last line of so many cases, some of which may take
/// longer than others.
fn time_limit(cases: usize, seconds_more: u64) -> Duration {
    let cases = u32::try_from(cases).unwrap_or(u32::MAX);
    START_LIMIT
        .saturating_add(CASE_LIMIT.saturating_mul(cases))
        .saturating_add(Duration::from_secs(seconds_more).saturating_mul(SLOWNESS))
}

/// Shows the player's lines as they come, until the machine is over.
fn follow(machine: &mut Child, log: &Path, limit: Duration) -> Result<()> {
    if let Some(folder) = log.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = fs::File::create(log).with_context(|| format!("writing {}", log.display()))?;
    let lines = lines_of(machine)?;
    let start = Instant::now();
    let mut last: Vec<String> = Vec::new();
    loop {
        match lines.recv_timeout(Duration::from_millis(200)) {
            Ok(line) => {
                let line = line.trim_end().to_owned();
                writeln!(file, "{line}")?;
                if let Some((_, said)) = line.split_once(MARK) {
                    process::say(said);
                } else if line.ends_with("CASES-OVER") {
                    return Ok(());
                }
                last.push(line);
            }
            Err(RecvTimeoutError::Disconnected) => bail!(
                "the machine stopped before the cases were over; its last words:\n{}",
                process::last_lines(&last.join("\n"))
            ),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if start.elapsed() > limit {
            bail!(
                "the cases were not over within {}; the last words of the machine:\n{}",
                time_text(limit),
                process::last_lines(&last.join("\n"))
            );
        }
    }
}

fn lines_of(machine: &mut Child) -> Result<Receiver<String>> {
    let console = machine.stdout.take().context("QEMU has no output")?;
    let (sender, lines) = sync_channel(LINES_MAX);
    thread::spawn(move || {
        let mut reader = BufReader::new(console);
        let mut bytes = Vec::new();
        while reader
            .read_until(b'\n', &mut bytes)
            .is_ok_and(|read| read > 0)
        {
            if sender
                .send(String::from_utf8_lossy(&bytes).into_owned())
                .is_err()
            {
                break;
            }
            bytes.clear();
        }
    });
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_cases_have_more_time() {
        let minutes = |cases| time_limit(cases, 0).as_secs() / 60;
        assert_eq!((minutes(0), minutes(3), minutes(150)), (10, 12, 110));
        assert!(time_limit(usize::MAX, 0) > time_limit(150, 0));
        assert_eq!(time_limit(3, 10), time_limit(6, 0));
    }

    #[test]
    fn files_of_a_run_are_told_from_those_that_stay() {
        assert_eq!(run_of("6.1.0-56-cloud-amd64-4711-cases.ext4"), Some("4711"));
        assert_eq!(run_of("7.2.13+deb14-cloud-amd64-9-initrd"), Some("9"));
        assert_eq!(run_of("modules-2-6.1.0-56-cloud-amd64.ext4"), None);
        assert_eq!(run_of("root-bookworm-2-19f5ad2c320fe6eb.ext4"), None);
        assert_eq!(run_of("6.1.0-56-cloud-amd64-initrd"), None);
    }

    #[test]
    fn files_of_a_run_that_is_gone_are_removed_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let own = format!("6.1.0-{}-result", std::process::id());
        // Beyond the largest number of a process.
        for name in ["6.1.0-4194305-result", own.as_str(), "root-bookworm-2.ext4"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        fs::create_dir(folder.path().join("6.1.0-4194305-tree")).unwrap();
        sweep(folder.path());
        let left = fs::read_dir(folder.path()).unwrap().flatten();
        let mut left: Vec<_> = left
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        left.sort();
        let mut wanted = vec![own, "root-bookworm-2.ext4".to_owned()];
        wanted.sort();
        assert_eq!(left, wanted);
    }
}
