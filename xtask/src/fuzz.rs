//! `cargo xtask fuzz`: every decoder under libFuzzer, one after another.
//!
//! The targets are `monitor-fuzz`, which the tests of every day run over the
//! corpus; here the crates of this workspace are compiled once more, with counters
//! in every branch, by the compiler that compiles everything else, and linked with
//! the other crates as every build has them. It needs a C++ compiler for libFuzzer
//! itself, and nothing else. What it finds lies in the cache folder.

mod keep;
mod report;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::cache::Project;
use crate::{artifacts, document, needs, process, setup, test_run};
use report::{Report, Row};

/// The corpus of the repository, a folder for each target.
const CORPUS: &str = "fuzz/corpus";
/// What cargo calls in the compiler's place.
const COMPILER: &str = "fuzz/libfuzzer/rustc";
/// The program, an example of the crate of the targets.
const PROGRAM: &str = "monitor-libfuzzer";
const FEATURE: &str = "monitor-fuzz/libfuzzer";
/// What tells it the target.
const VARIABLE: &str = "MONITOR_FUZZ_TARGET";
/// How far the crates of the workspace are optimised: more takes longer to compile
/// than it saves.
const OPTIMISED: (&str, &str) = ("CARGO_PROFILE_DEV_OPT_LEVEL", "1");
/// Most bytes of an input, seconds for one, and megabytes of memory.
const LIMITS: [&str; 4] = [
    "-max_len=16384",
    "-timeout=30",
    "-report_slow_units=30",
    "-rss_limit_mb=2048",
];
/// How much longer a target may take than it was told to.
const SPARE: Duration = Duration::from_secs(120);
const PAGE: &str = "docs/reference/reliability.md";
/// The marks of the table on the page.
const TABLE: &str = "fuzzed";

/// What is tried, and how long.
#[derive(Debug, clap::Args)]
pub(crate) struct FuzzArgs {
    /// Only this target; may be repeated. They are the folders of `fuzz/corpus`.
    #[arg(long, value_name = "TARGET")]
    only: Vec<String>,
    /// How long for each target.
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Put the smallest inputs that reach what no seed does into `fuzz/corpus`.
    #[arg(long)]
    keep: bool,
    /// Write the results here.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Put the table into `docs/reference/reliability.md`, of all targets.
    #[arg(long)]
    document: bool,
    /// Tries nothing: takes the results that `--json` wrote, and adds up several.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["only", "seconds", "keep", "json"])]
    results: Vec<PathBuf>,
}

/// `cargo xtask fuzz`.
///
/// # Errors
/// The targets could not be built or run, or what was found not be written.
pub(crate) fn run(project: &Project, args: &FuzzArgs) -> Result<ExitCode> {
    let report = if args.results.is_empty() {
        play(project, args)?
    } else {
        Report::kept(&args.results)?
    };
    let table = report.table(|target| mended(project, target))?;
    process::say(&table);
    if let Some(file) = &args.json {
        report.write(file)?;
    }
    let harmed = report.rows.iter().filter(|row| !row.found.is_empty());
    let harmed: Vec<String> = harmed.map(Row::text).collect();
    if !harmed.is_empty() {
        process::say(&format!("Inputs did harm:\n{}", harmed.join("\n")));
        return Ok(ExitCode::FAILURE);
    }
    if args.document {
        report.check_is_of(&chosen(project, &[])?)?;
        document::put(project, PAGE, TABLE, &table)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn play(project: &Project, args: &FuzzArgs) -> Result<Report> {
    let targets = chosen(project, &args.only)?;
    let program = build(project)?;
    let mut report = Report::default();
    for target in targets {
        let row = fuzz(project, &program, &target, args.seconds)?;
        process::say(&row.text());
        for file in &row.found {
            process::say(&format!(
                "  keep it: cp {} {CORPUS}/{target}/found-NAME; then `cargo test -p monitor-fuzz` \
                 fails until it is mended; what it said is in {}",
                file.display(),
                log(project, &target).display()
            ));
        }
        let is_good = row.found.is_empty();
        report.rows.push(row);
        if args.keep && is_good {
            keep::keep(project, &program, &target)?;
        }
    }
    Ok(report)
}

/// How many inputs a target has that once did harm.
fn mended(project: &Project, target: &str) -> Result<usize> {
    let files = keep::files(&project.root().join(CORPUS).join(target))?;
    let is_mended = |(name, _): &&(String, PathBuf)| name.starts_with("found-");
    Ok(files.iter().filter(is_mended).count())
}

/// The targets, by the folders of the corpus.
fn chosen(project: &Project, only: &[String]) -> Result<Vec<String>> {
    let corpus = project.root().join(CORPUS);
    let entries = fs::read_dir(&corpus).with_context(|| format!("reading {}", corpus.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry?.file_name().into_string());
    }
    names.sort();
    if let Some(unknown) = only.iter().find(|name| !names.contains(name)) {
        bail!(
            "there is no target `{unknown}`; the targets are: {}",
            names.join(", ")
        );
    }
    names.retain(|name| only.is_empty() || only.contains(name));
    Ok(names)
}

/// Builds the program in the shape of every other build, so that only the crates of
/// this workspace are compiled anew.
fn build(project: &Project) -> Result<PathBuf> {
    setup::ensure_these(project, &needs::FUZZ)?;
    let mut cargo = process::cargo();
    cargo
        .args(["build", "--workspace", "--example", PROGRAM])
        .args(["--features", FEATURE])
        .env("RUSTC_WORKSPACE_WRAPPER", project.root().join(COMPILER))
        .env(OPTIMISED.0, OPTIMISED.1)
        .env("CARGO_INCREMENTAL", "0")
        .current_dir(project.root());
    let built = artifacts::build(&mut cargo)?;
    let program = built.into_iter().find(|built| built.name == PROGRAM);
    let program = program.with_context(|| format!("cargo built no program named {PROGRAM}"))?;
    Ok(program.executable)
}

/// The program for a target; how it is asked is for the caller to add.
fn command(program: &Path, target: &str) -> Command {
    let mut command = Command::new(program);
    command.args(LIMITS).env(VARIABLE, target);
    command
}

/// The folder of a target in the cache: what it found, and the corpus as it grew.
fn own(project: &Project, target: &str) -> Result<(PathBuf, PathBuf)> {
    let own = project.cache().join("fuzz").join(target);
    let grown = own.join("corpus");
    fs::create_dir_all(&grown).with_context(|| format!("making {}", grown.display()))?;
    Ok((own, grown))
}

fn fuzz(project: &Project, program: &Path, target: &str, seconds: u32) -> Result<Row> {
    let (own, grown) = own(project, target)?;
    let mut command = command(program, target);
    command
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/", own.display()))
        .arg("-print_final_stats=1")
        .arg(&grown)
        .arg(project.root().join(CORPUS).join(target));
    let limit = Duration::from_secs(seconds.into()).saturating_add(SPARE);
    let start = Instant::now();
    let (is_success, text) = run_logged(project, target, &mut command, limit)?;
    let row = Row::read(target, start.elapsed(), &text);
    if !is_success && row.found.is_empty() {
        bail!(
            "{target} ended with an error and names no input that did harm; the end of what it said is:\n{}",
            process::last_lines(&text)
        );
    }
    Ok(row)
}

/// Where stands what the program said of a target.
fn log(project: &Project, target: &str) -> PathBuf {
    project.log(&format!("fuzz-{target}"))
}

/// Runs the program; whether it ended well, and what it said.
fn run_logged(
    project: &Project,
    target: &str,
    command: &mut Command,
    limit: Duration,
) -> Result<(bool, String)> {
    let log = log(project, target);
    let status = test_run::run_limited(command, &log, limit)?;
    let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    match status {
        Some(status) => Ok((status.success(), text)),
        None => bail!(
            "{target} did not end as it should; all it said is in {}, the end of it is:\n{}",
            log.display(),
            process::last_lines(&text)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_the_folders_of_the_corpus() {
        let project = Project::discover().unwrap();
        let all = chosen(&project, &[]).unwrap();
        assert!(all.contains(&"record".to_owned()), "{all:?}");
        assert_eq!(chosen(&project, &["krl".to_owned()]).unwrap(), ["krl"]);
        let text = chosen(&project, &["krk".to_owned()]).unwrap_err();
        assert!(text.to_string().contains("`krk`"), "{text}");
    }

    #[test]
    fn compiler_leaves_programs_of_the_build_alone() {
        let compiler = Project::discover().unwrap().root().join(COMPILER);
        let said = |name: &str| {
            let mut command = Command::new(&compiler);
            command.args(["echo", "--crate-name", name]);
            process::quiet_stdout_of(&mut command).unwrap()
        };
        assert_eq!(
            said("build_script_build"),
            "--crate-name build_script_build\n"
        );
        assert!(said("monitor_model").contains("-Cpasses=sancov-module"));
    }
}
