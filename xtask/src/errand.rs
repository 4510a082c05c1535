//! Something played in a whole jump host in QEMU, by one program of ours.
//!
//! In: the disks of `jump_host`, and one made for this run, with the programs
//! and what they play. Out: the player's words line by line from the console,
//! its results from a disk of their own. Bound: a time limit, after which QEMU
//! is killed.

mod system;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use monitor_tests::stage::folder::PROGRAMS;

use crate::cache::Project;
use crate::emulator::{Threads, is_stuck, started_again};
use crate::jump_host::{self, pack};
use crate::kernels::{self, Kernel, Series};
use crate::machine::Machine;
use crate::process::{self, time_text};
use crate::vm::COMMAND_LINE;

/// From power-on until the stage is set, in emulation, on a busy host.
const START_LIMIT: Duration = Duration::from_secs(10 * 60);
/// How much slower things may be there.
pub(crate) const SLOWNESS: u32 = 12;
const MEMORY_MIB: &str = "2048";
/// How much the results may be.
const RESULT_BYTES: u64 = 16 << 20;
/// What the lines of the player begin with, on the serial console.
const MARK: &str = "PLAYER| ";
/// Lines of the console that wait to be read.
const LINES_MAX: usize = 1_000;

/// What is played.
pub(crate) struct Errand<'a> {
    /// Its short name, for the log of the console.
    pub(crate) name: &'static str,
    /// The program; it takes `--programs`, `--sshd` and `--json`.
    pub(crate) player: &'a str,
    /// Where it and the programs of the stage are.
    pub(crate) programs: &'a Path,
    /// Folders that it finds below `/monitor`, by name, as far as they are there.
    pub(crate) folders: &'a [(&'a Path, &'a str)],
    /// The rest of its command line: words that mean nothing to a shell.
    pub(crate) words: String,
    /// From the set stage to its end.
    pub(crate) limit: Duration,
}

/// Plays it; the bytes that it left as its result.
///
/// # Errors
/// It could not be played to its end.
pub(crate) fn run(project: &Project, errand: &Errand<'_>, series: Series) -> Result<Vec<u8>> {
    let start = Instant::now();
    let kernel = kernels::fetch(&Machine::here(project), series)?;
    let disks = Disks::make(project, errand, &kernel)?;
    process::say(&format!(
        "{} boots ({} for its disks)",
        kernel.release,
        time_text(start.elapsed())
    ));
    let log = project.log(&format!("{}-{}", errand.name, series.name()));
    let ended = started_again(&log, MARK, |threads| {
        let mut machine = boot(project, &kernel, &disks, threads)?;
        let limit = START_LIMIT.saturating_add(errand.limit);
        let ended = follow(&mut machine, &log, limit);
        let _ = machine.kill();
        let _ = machine.wait();
        ended
    });
    ended.with_context(|| format!("the console is in {}", log.display()))?;
    process::say(&format!("{} in all", time_text(start.elapsed())));
    let mut bytes = fs::read(&disks.result).context("reading the results")?;
    // A disk is filled with zeros behind what was written.
    let end = bytes.iter().position(|byte| *byte == 0);
    bytes.truncate(end.unwrap_or(bytes.len()));
    Ok(bytes)
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
    fn make(project: &Project, errand: &Errand<'_>, kernel: &Kernel) -> Result<Self> {
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
            content: at("errand.ext4"),
            result: at("result"),
            initrd: at("initrd"),
        };
        jump_host::write_initrd(project, kernel, &disks.initrd)?;
        let tree = at("tree");
        let _ = fs::remove_dir_all(&tree);
        fill(&tree, errand)?;
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
    let is_own = matches!(last, "errand.ext4" | "result" | "initrd" | "tree");
    let is_number = !run.is_empty() && run.bytes().all(|byte| byte.is_ascii_digit());
    (is_own && is_number).then_some(run)
}

/// What the machine sees as `/monitor`.
fn fill(tree: &Path, errand: &Errand<'_>) -> Result<()> {
    let programs = tree.join("programs");
    fs::create_dir_all(&programs)?;
    for name in PROGRAMS.into_iter().chain([errand.player]) {
        let mut strip = Command::new("strip");
        strip
            .args(["--strip-debug", "-o"])
            .arg(programs.join(name))
            .arg(errand.programs.join(name));
        process::quiet_stdout_of(&mut strip)?;
    }
    for (from, name) in errand.folders {
        if from.is_dir() {
            let mut copy = Command::new("cp");
            process::quiet_stdout_of(copy.arg("-rL").arg(from).arg(tree.join(name)))?;
        }
    }
    fs::write(tree.join("is-a-test-machine"), "")?;
    system::write(tree, errand.player, &errand.words)
}

fn boot(project: &Project, kernel: &Kernel, disks: &Disks, threads: Threads) -> Result<Child> {
    let qemu = Machine::here(project)
        .program("qemu-system-x86_64")
        .context("qemu-system-x86_64 is not there: `cargo xtask setup` installs it")?;
    let mut command = Command::new(qemu);
    command.args([
        "-accel",
        threads.accelerator(),
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
                } else if line.ends_with("PLAYER-OVER") {
                    return Ok(());
                } else if is_stuck(&line) {
                    bail!("a processor of the machine stands still: {line}");
                }
                last.push(line);
            }
            Err(RecvTimeoutError::Disconnected) => bail!(
                "the machine stopped before what it plays was over; its last words:\n{}",
                process::last_lines(&last.join("\n"))
            ),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if start.elapsed() > limit {
            bail!(
                "what it plays was not over within {}; the last words of the machine:\n{}",
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
    fn files_of_a_run_are_told_from_those_that_stay() {
        assert_eq!(
            run_of("6.1.0-56-cloud-amd64-4711-errand.ext4"),
            Some("4711")
        );
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
