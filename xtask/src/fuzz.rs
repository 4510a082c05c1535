//! `cargo xtask fuzz`: every decoder under libFuzzer, one after another.
//!
//! The targets are `monitor-fuzz`, which the tests of every day run over the
//! corpus; here they are compiled once more, with counters in every branch, by
//! the compiler that compiles everything else. It needs a C++ compiler for
//! libFuzzer itself, and nothing else. What it finds lies in the cache folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::cache::Project;
use crate::process;
use crate::test_run;

/// The crate, a workspace of its own.
const FOLDER: &str = "fuzz/libfuzzer";
/// The corpus of the repository, a folder for each target.
const CORPUS: &str = "fuzz/corpus";
/// Its program, and what tells it the target.
const PROGRAM: &str = "monitor-libfuzzer";
const VARIABLE: &str = "MONITOR_FUZZ_TARGET";
/// Counters for libFuzzer in every branch, and what is compared.
const FLAGS: [&str; 5] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];
/// Most bytes of an input, seconds for one, and megabytes of memory.
const LIMITS: [&str; 3] = ["-max_len=16384", "-timeout=10", "-rss_limit_mb=2048"];
/// How much longer a target may take than it was told to.
const SPARE: Duration = Duration::from_secs(120);

/// What is tried, and how long.
#[derive(Debug, clap::Args)]
pub(crate) struct FuzzArgs {
    /// Only this target; may be repeated. They are the folders of `fuzz/corpus`.
    #[arg(long, value_name = "TARGET")]
    only: Vec<String>,
    /// How long for each target.
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
}

/// `cargo xtask fuzz`.
///
/// # Errors
/// The targets could not be built or run.
pub(crate) fn run(project: &Project, args: &FuzzArgs) -> Result<ExitCode> {
    let targets = chosen(project, &args.only)?;
    let program = build(project)?;
    let mut found = false;
    process::say("target         tries   edges  result");
    for target in targets {
        let tried = fuzz(project, &program, &target, args.seconds)?;
        let result = match &tried.found {
            None => "nothing found".to_owned(),
            Some(file) => format!("FOUND: {}", file.display()),
        };
        process::say(&format!(
            "{target:13} {:>6} {:>7}  {result}",
            tried.tries, tried.edges
        ));
        if let Some(file) = tried.found {
            found = true;
            process::say(&format!(
                "  keep it: cp {} {CORPUS}/{target}/found-NAME; then cargo test -p monitor-fuzz",
                file.display()
            ));
        }
    }
    Ok(if found {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
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

/// Builds the program; build scripts and macros of this machine have no counters,
/// since a target is named.
fn build(project: &Project) -> Result<PathBuf> {
    let host = host()?;
    let folder = project.cache().join("fuzz-target");
    let manifest = project.root().join(FOLDER).join("Cargo.toml");
    let mut cargo = process::cargo();
    cargo
        .args(["build", "--release", "--target", &host, "--manifest-path"])
        .arg(&manifest)
        .env("CARGO_TARGET_DIR", &folder)
        .env("RUSTFLAGS", FLAGS.join(" "))
        .current_dir(project.root());
    process::run(&mut cargo).context(
        "building the targets with libFuzzer (it wants a C++ compiler: apt-get install g++)",
    )?;
    Ok(folder.join(host).join("release").join(PROGRAM))
}

/// The target that this machine's compiler compiles for by itself.
fn host() -> Result<String> {
    let text = process::stdout_of(Command::new("rustc").arg("-vV"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(line.context("`rustc -vV` names no host")?.to_owned())
}

/// What became of one target.
#[derive(Debug, PartialEq, Eq)]
struct Tried {
    /// How many inputs were tried.
    tries: u64,
    /// How many branches they reached.
    edges: u64,
    /// The input that did harm.
    found: Option<PathBuf>,
}

fn fuzz(project: &Project, program: &Path, target: &str, seconds: u32) -> Result<Tried> {
    let own = project.cache().join("fuzz").join(target);
    let grown = own.join("corpus");
    fs::create_dir_all(&grown).with_context(|| format!("making {}", grown.display()))?;
    let log = project.log(&format!("fuzz-{target}"));
    let mut command = Command::new(program);
    command
        .args(LIMITS)
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/", own.display()))
        .arg("-print_final_stats=1")
        .arg(&grown)
        .arg(project.root().join(CORPUS).join(target))
        .env(VARIABLE, target);
    let limit = Duration::from_secs(seconds.into()).saturating_add(SPARE);
    let status = test_run::run_limited(&mut command, &log, limit)?;
    let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    let tried = read(&text);
    match status {
        Some(status) if status.success() || tried.found.is_some() => Ok(tried),
        Some(_) | None => bail!(
            "{target} did not end as it should; all it said is in {}, the end of it is:\n{}",
            log.display(),
            process::last_lines(&text)
        ),
    }
}

/// Reads what libFuzzer said.
fn read(text: &str) -> Tried {
    let last_after = |mark: &str| {
        let mut found = text.lines().filter_map(|line| line.split_once(mark));
        let (_, rest) = found.next_back()?;
        rest.split_whitespace().next()
    };
    let number = |mark| last_after(mark).and_then(|word| word.parse().ok());
    Tried {
        tries: number("stat::number_of_executed_units:").unwrap_or(0),
        edges: number(" cov:").unwrap_or(0),
        found: last_after("Test unit written to ").map(PathBuf::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libfuzzer_says_is_read() {
        let calm = "#2\tINITED cov: 41 ft: 42 corp: 1/1b\n#900\tDONE   cov: 57 ft: 60\n\
                    stat::number_of_executed_units: 900\n";
        let tried = read(calm);
        assert_eq!((tried.tries, tried.edges, tried.found), (900, 57, None));
        let harm = "artifact_prefix='/c/'; Test unit written to /c/crash-1\nBase64: AA==\n";
        assert_eq!(read(harm).found, Some(PathBuf::from("/c/crash-1")));
    }

    #[test]
    fn targets_are_the_folders_of_the_corpus() {
        let project = Project::discover().unwrap();
        let all = chosen(&project, &[]).unwrap();
        assert!(all.contains(&"record".to_owned()), "{all:?}");
        assert_eq!(chosen(&project, &["krl".to_owned()]).unwrap(), ["krl"]);
        let text = chosen(&project, &["krk".to_owned()]).unwrap_err();
        assert!(text.to_string().contains("`krk`"), "{text}");
    }
}
