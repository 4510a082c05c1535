//! Loads the probes in Debian's kernels, in QEMU, and reads what they saw.
//!
//! In: the program `vm_probe_check` of this workspace, or the agent's kernel
//! tests, with the libraries it needs. Out: the `VM-CHECK ok` or `VM-CHECK failed`
//! line of the serial console. Bound: a time limit, after which QEMU is killed.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::artifacts;
use crate::cache::Project;
use crate::emulator::{Threads, started_again};
use crate::host_build::OBJECT_VARIABLE;
use crate::initramfs::Initramfs;
use crate::kernels::{self, Kernel, Series};
use crate::machine::Machine;
use crate::process::{self, time_text};
use crate::{bpf, modules, test_run, verified};

/// The program that loads every probe and checks an exec, a connect and an open.
const CHECK_PROGRAM: &str = "vm_probe_check";
/// The program that acts on watched files in all ways that a tier sees.
const FILES_PROGRAM: &str = "vm_files_check";
/// The agent's tests that load probes, and whose they are.
const KERNEL_TESTS: (&str, &str) = ("monitor-agent", "kernel");
/// From power-on to power-off, in emulation: 56 s were measured in 7.2.
const TIME_LIMIT: Duration = Duration::from_secs(5 * 60);
/// The same of kernel tests, each of which loads probes of its own: 10 took
/// 4 min 24 s.
const TESTS_LIMIT: Duration = Duration::from_secs(40 * 60);
/// What closing other programs' sockets takes, each after what it needs: their
/// machine has no program that the kernel could ask for them.
const MODULES: [&str; 3] = ["inet_diag", "tcp_diag", "udp_diag"];
const MEMORY_MIB: &str = "1024";
/// Without the timer check: on a busy host the emulated timer does not tick as
/// often as the kernel wants while it counts, and it would panic.
pub(crate) const COMMAND_LINE: &str = "console=ttyS0 panic=-1 quiet mitigations=off no_timer_check lsm=landlock,lockdown,yama,integrity,apparmor,bpf";
/// What the check's last line begins with, on the serial console.
const MARK: &str = "VM-CHECK ";
/// What the machine says when its first program starts.
const STARTED: &str = "VM-INIT";

const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
mount -t securityfs security /sys/kernel/security
mount -t tracefs tracing /sys/kernel/tracing
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup /sys/fs/cgroup
ip link set lo up
for module in /modules/*.ko; do insmod "$module"; done
echo VM-INIT
/check/program $(cat /check/arguments)
CODE=$?
echo "VM-EXIT $CODE"
# Tests say by their exit code alone whether they passed.
if grep -q -- --test-threads /check/arguments; then
    if [ $CODE = 0 ]; then echo "VM-CHECK ok: tests passed"; else echo "VM-CHECK failed: tests, exit code $CODE"; fi
fi
sync
poweroff -f
"#;

/// What is run in a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What<'a> {
    /// The workspace's own check.
    Check,
    /// The same, and what the verifier went through is written down.
    Record,
    /// Another program.
    Program(&'a Path),
    /// Of the agent's tests that load probes those whose name holds this.
    Tests(&'a str),
}

/// A program and what it is given.
#[derive(Debug)]
struct Program {
    file: PathBuf,
    arguments: String,
    limit: Duration,
}

impl Program {
    const fn of(file: PathBuf) -> Self {
        Self {
            file,
            arguments: String::new(),
            limit: TIME_LIMIT,
        }
    }
}

/// The agent's tests in the kernel of a machine, and which of them.
fn kernel_tests(project: &Project, object: &Path, filter: &str) -> Result<Program> {
    if filter.is_empty()
        || !filter
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_:".contains(c))
    {
        bail!("--tests {filter:?}: give (a part of) the name of tests, such as enforce::");
    }
    let (package, target) = KERNEL_TESTS;
    let mut build = process::cargo();
    // The whole workspace is chosen, as for the tests: see `example`.
    build
        .args(["test", "--workspace", "--no-run"])
        .env(OBJECT_VARIABLE, object)
        .current_dir(project.root());
    let folder = project.root().join(package);
    let mut artifacts = artifacts::build(&mut build)?.into_iter();
    let found = artifacts.find(|found| found.name == target && found.package_dir == folder);
    let found = found.with_context(|| format!("cargo built no tests {target} of {package}"))?;
    Ok(Program {
        file: found.executable,
        arguments: format!("{filter} --test-threads=1"),
        limit: TESTS_LIMIT,
    })
}

/// `cargo xtask vm`: the workspace's own check, or another program, in one
/// series or in all.
pub(crate) fn run_command(
    project: &Project,
    only: Option<Series>,
    what: &What<'_>,
) -> Result<ExitCode> {
    let counts = match what {
        What::Program(_) | What::Tests(_) => Counts::Ignore,
        What::Record => Counts::Record,
        What::Check => Counts::Compare,
    };
    let program = match what {
        What::Program(file) => Program::of(file.to_path_buf()),
        What::Tests(filter) => kernel_tests(project, &bpf::build(project)?, filter)?,
        What::Record | What::Check => {
            Program::of(example(project, &bpf::build(project)?, CHECK_PROGRAM)?)
        }
    };
    let mut failed = 0_u32;
    for series in Series::ALL
        .into_iter()
        .filter(|series| only.is_none_or(|only| only == *series))
    {
        let start = Instant::now();
        match run_in(project, &program, series, counts) {
            Ok(said) => process::say(&format!(
                "{}: {said} ({})",
                series.name(),
                time_text(start.elapsed())
            )),
            Err(error) => {
                failed = failed.saturating_add(1);
                eprintln!("error: kernel {}: {error:#}", series.name());
            }
        }
    }
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What is done with the verifier's counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counts {
    /// Another program: it may say none.
    Ignore,
    Compare,
    Record,
}

/// Boots a kernel of the series and runs both checks in it; returns their
/// closing lines.
pub(crate) fn check(project: &Project, object: &Path, series: Series) -> Result<String> {
    let probes = Program::of(example(project, object, CHECK_PROGRAM)?);
    let files = Program::of(example(project, object, FILES_PROGRAM)?);
    let said = run_in(project, &probes, series, Counts::Compare)?;
    let of_files = run_in(project, &files, series, Counts::Ignore)?;
    Ok(format!("{said}; {of_files}"))
}

fn run_in(project: &Project, program: &Program, series: Series, counts: Counts) -> Result<String> {
    let kernel = kernels::fetch(&Machine::here(project), series)?;
    let log = project.log(&format!("vm-{}", series.name()));
    let (said, console) = started_again(&log, STARTED, |threads| {
        boot(project, (&kernel, series), program, threads)
    })?;
    let found = verified::said(&console);
    match counts {
        Counts::Ignore => {}
        Counts::Compare => verified::compare(project, series, &kernel.release, &found)?,
        Counts::Record => verified::record(project, series, &kernel.release, found)?,
    }
    Ok(said)
}

/// The check's closing line, and all that the console said.
fn boot(
    project: &Project,
    (kernel, series): (&Kernel, Series),
    program: &Program,
    threads: Threads,
) -> Result<(String, String)> {
    let machine = Machine::here(project);
    let qemu = machine
        .program("qemu-system-x86_64")
        .context("qemu-system-x86_64 is not there: `cargo xtask setup` installs it")?;
    let initrd = project.kernels().join(format!("{}.cpio", series.name()));
    write_initrd(&initrd, kernel, program)?;
    let console = project.log(&format!("vm-{}", series.name()));
    let mut command = Command::new(qemu);
    command
        .args([
            "-accel",
            threads.accelerator(),
            "-cpu",
            "max",
            "-smp",
            "2",
            "-m",
            MEMORY_MIB,
        ])
        .args([
            "-nographic",
            "-no-reboot",
            "-nic",
            "none",
            "-append",
            COMMAND_LINE,
            "-kernel",
        ])
        .arg(&kernel.image)
        .arg("-initrd")
        .arg(&initrd);
    let ended = test_run::run_limited(&mut command, &console, program.limit)?;
    let text = without_escapes(&String::from_utf8_lossy(&fs::read(&console)?));
    let verdict = verdict(&text);
    match verdict {
        Verdict::Ok(said) => Ok((format!("{said} [{}]", kernel.release), text)),
        Verdict::Failed(said) => {
            bail!(
                "{said} [{}]; the console:\n{}",
                kernel.release,
                process::last_lines(&text)
            )
        }
        Verdict::Nothing if ended.is_none() => bail!(
            "nothing from the check within {}: QEMU was killed; the console:\n{}",
            time_text(program.limit),
            process::last_lines(&text)
        ),
        Verdict::Nothing => {
            bail!(
                "the machine stopped without a `{MARK}` line; the console:\n{}",
                process::last_lines(&text)
            )
        }
    }
}

/// busybox, modules, the check with its libraries, and `/init`.
fn write_initrd(file: &Path, kernel: &Kernel, program: &Program) -> Result<()> {
    let out = fs::File::create(file).with_context(|| format!("writing {}", file.display()))?;
    let mut archive = Initramfs::new(BufWriter::new(out));
    for folder in [
        "bin", "dev", "proc", "sys", "tmp", "check", "etc", "modules", "root", "run", "var",
    ] {
        archive.folder(folder)?;
    }
    archive.console()?;
    archive.program("bin/busybox", &read(&kernel.busybox)?)?;
    archive.program("init", INIT.as_bytes())?;
    archive.program("check/program", &stripped(&program.file, file)?)?;
    add_modules(&mut archive, kernel)?;
    archive.program("check/arguments", program.arguments.as_bytes())?;
    add_libraries(&mut archive, &program.file)?;
    archive.finish()?;
    Ok(())
}

/// Adds [`MODULES`], but for those that are built in.
fn add_modules<W: Write>(archive: &mut Initramfs<W>, kernel: &Kernel) -> Result<()> {
    let tree = kernel.modules()?;
    for (number, name) in MODULES.iter().enumerate() {
        let place = |end| tree.join(format!("kernel/net/ipv4/{name}.{end}"));
        let packed = ["ko", "ko.xz", "ko.zst"].map(place);
        if let Some(file) = packed.iter().find(|file| file.is_file()) {
            archive.program(&format!("modules/{number}.ko"), &modules::plain(file)?)?;
        }
    }
    Ok(())
}

/// Adds what a program is linked with, and the loader.
pub(crate) fn add_libraries<W: Write>(archive: &mut Initramfs<W>, program: &Path) -> Result<()> {
    let mut made: Vec<String> = Vec::new();
    for library in libraries_of(program)? {
        let path = library.trim_start_matches('/').to_owned();
        for folder in folders_of(&path) {
            if !made.contains(&folder) {
                archive.folder(&folder)?;
                made.push(folder);
            }
        }
        archive.program(&path, &read(Path::new(&library))?)?;
    }
    Ok(())
}

/// The program without debug information: less to load in emulation.
pub(crate) fn stripped(program: &Path, beside: &Path) -> Result<Vec<u8>> {
    let copy = beside.with_extension("program");
    process::quiet_stdout_of(Command::new("strip").arg("-o").arg(&copy).arg(program))?;
    read(&copy)
}

/// The content of a file; an error names it.
pub(crate) fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("reading {}", file.display()))
}

/// Shared libraries and the loader of a program; none for a static one.
fn libraries_of(program: &Path) -> Result<Vec<String>> {
    let output = Command::new("ldd")
        .arg(program)
        .env("LC_ALL", "C")
        .output()
        .context("`ldd` could not be started")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if let Some(line) = text.lines().find(|line| line.contains("not found")) {
        bail!(
            "a library of {} is missing: {}",
            program.display(),
            line.trim()
        );
    }
    Ok(paths_in_ldd(&text))
}

fn paths_in_ldd(text: &str) -> Vec<String> {
    let path = |line: &str| {
        line.split_whitespace()
            .find(|word| word.starts_with('/'))
            .map(str::to_owned)
    };
    text.lines().filter_map(path).collect()
}

/// `a`, `a/b` of `a/b/file`.
fn folders_of(path: &str) -> Vec<String> {
    path.match_indices('/')
        .filter_map(|(at, _)| path.get(..at))
        .map(str::to_owned)
        .collect()
}

/// Builds a check, wherever in the workspace it is.
fn example(project: &Project, object: &Path, name: &str) -> Result<PathBuf> {
    let mut metadata = process::cargo();
    metadata
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(project.root());
    let metadata: Metadata = serde_json::from_str(&process::quiet_stdout_of(&mut metadata)?)?;
    let kind = metadata
        .kind_of(name)
        .with_context(|| format!("no package of the workspace has a program named {name}"))?;
    let mut build = process::cargo();
    // The whole workspace is chosen, as for the tests: another choice could
    // mean other features, and everything below would be built again.
    build
        .args(["build", "--workspace", &format!("--{kind}"), name])
        .env(OBJECT_VARIABLE, object)
        .current_dir(project.root());
    artifacts::build(&mut build)?
        .into_iter()
        .find(|artifact| artifact.name == name)
        .map(|artifact| artifact.executable)
        .with_context(|| format!("cargo did not say where it put {CHECK_PROGRAM}"))
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

impl Metadata {
    /// Whether a program is a `bin` or an `example`, if there is one of the name.
    fn kind_of(&self, program: &str) -> Option<&str> {
        let mut targets = self.packages.iter().flat_map(|package| &package.targets);
        let target = targets.find(|target| target.name == program)?;
        target
            .kind
            .iter()
            .map(String::as_str)
            .find(|kind| ["bin", "example"].contains(kind))
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Ok(String),
    Failed(String),
    Nothing,
}

/// The last verdict on a serial console, which mixes in kernel messages and
/// carriage returns.
fn verdict(console: &str) -> Verdict {
    let said = console
        .lines()
        .rev()
        .find_map(|line| Some(line.split_once(MARK)?.1.trim().to_owned()));
    match said {
        Some(said) if said.split(|c: char| !c.is_alphanumeric()).next() == Some("ok") => {
            Verdict::Ok(said)
        }
        Some(said) => Verdict::Failed(said),
        None => Verdict::Nothing,
    }
}

/// A console's text without what moves the cursor: the firmware would clear
/// the screen of whoever reads an error.
pub(crate) fn without_escapes(console: &str) -> String {
    let mut text = String::with_capacity(console.len());
    let mut rest = console.chars();
    while let Some(c) = rest.next() {
        match c {
            '\u{1b}' if rest.next() == Some('[') => {
                let _ = rest.find(char::is_ascii_alphabetic);
            }
            '\u{1b}' | '\r' => {}
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdict_is_read_from_a_noisy_console() {
        let console = "SeaBIOS\r\n[    1.2] random: crng init done\r\n[    3.1] VM-CHECK ok 7 hooks\r\nVM-EXIT 0\r\n";
        assert_eq!(verdict(console), Verdict::Ok("ok 7 hooks".to_owned()));
    }

    #[test]
    fn failure_silence_and_unknown_words_are_not_ok() {
        assert_eq!(
            verdict("VM-CHECK failed: no exec seen\r\n"),
            Verdict::Failed("failed: no exec seen".to_owned())
        );
        assert_eq!(
            verdict("VM-CHECK okay\n"),
            Verdict::Failed("okay".to_owned())
        );
        assert_eq!(verdict("Kernel panic - not syncing\n"), Verdict::Nothing);
    }

    #[test]
    fn later_verdict_wins() {
        assert_eq!(
            verdict("VM-CHECK ok\nVM-CHECK failed: detach\n"),
            Verdict::Failed("failed: detach".to_owned())
        );
    }

    #[test]
    fn console_escapes_do_not_reach_the_terminal() {
        let console = "\u{1b}c\u{1b}[?7l\u{1b}[2J\u{1b}[0mSeaBIOS\r\nok\r\n";
        assert_eq!(without_escapes(console), "SeaBIOS\nok\n");
    }

    #[test]
    fn libraries_and_loader_are_read_from_ldd() {
        let text = "\tlinux-vdso.so.1 (0x00007f5c21d32000)\n\
            \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f5c1861e000)\n\
            \t/lib64/ld-linux-x86-64.so.2 (0x00007f5c21a34000)\n";
        assert_eq!(
            paths_in_ldd(text),
            [
                "/lib/x86_64-linux-gnu/libc.so.6",
                "/lib64/ld-linux-x86-64.so.2"
            ]
        );
        assert_eq!(paths_in_ldd("\tstatically linked\n"), Vec::<String>::new());
    }

    #[test]
    fn parents_of_a_file_come_in_order() {
        assert_eq!(
            folders_of("lib/x86_64-linux-gnu/libc.so.6"),
            ["lib", "lib/x86_64-linux-gnu"]
        );
    }
}
