//! Runs test binaries and counts what they say.
//!
//! In: what cargo built. Out: counts, failures and skips, in order. Bound: a
//! time limit a binary, after which it and its descendants are ended. Loss:
//! none; the full output of each is in a log file.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::process;

/// How often a running program is asked whether it ended.
const POLL: Duration = Duration::from_millis(20);
/// What a test prints when it cannot run here, followed by the reason.
const SKIP_MARK: &str = "SKIPPED:";
/// How the reason begins when it is not for us to change: no machine with this
/// kernel, or on this network, can run the test.
const GIVEN: [&str; 2] = ["this kernel", "this network"];

/// What a step found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
    /// Why each skipped test was skipped.
    pub(crate) skips: Vec<String>,
}

impl Counts {
    /// One check that passed.
    pub(crate) fn one_passed() -> Self {
        Self {
            passed: 1,
            ..Self::default()
        }
    }

    /// One check that cannot be made here.
    pub(crate) fn one_skipped(reason: &str) -> Self {
        Self {
            skipped: 1,
            skips: vec![reason.to_owned()],
            ..Self::default()
        }
    }

    /// Adds another's counts.
    pub(crate) fn add(&mut self, other: Self) {
        self.passed = self.passed.saturating_add(other.passed);
        self.failed = self.failed.saturating_add(other.failed);
        self.skipped = self.skipped.saturating_add(other.skipped);
        self.skips.extend(other.skips);
    }

    /// Skips of things that a machine of this class could do: in CI they fail.
    pub(crate) fn avoidable_skips(&self) -> Vec<&str> {
        self.skips
            .iter()
            .map(String::as_str)
            .filter(|reason| !GIVEN.iter().any(|given| reason.starts_with(given)))
            .collect()
    }
}

/// Runs one test binary (or doc tests) and reads its closing lines. Prints its
/// failures and skips.
pub(crate) fn run_tests(
    name: &str,
    command: &mut Command,
    log: &Path,
    limit: Duration,
) -> Result<Counts> {
    let start = Instant::now();
    let status = run_limited(command, log, limit)?;
    let text = String::from_utf8_lossy(&fs::read(log)?).into_owned();
    let Some(status) = status else {
        eprint!("{}", process::last_lines(&text));
        bail!("{name} did not end within {}", process::time_text(limit));
    };
    let mut counts = parse(&text);
    for reason in &counts.skips {
        eprintln!("  {SKIP_MARK} {reason} ({name})");
    }
    if counts.failed > 0 || !status.success() {
        eprintln!("{text}");
        // It ended without saying so: a crash, or no test harness.
        counts.failed = counts.failed.max(1);
    }
    let (passed, failed, skipped) = (counts.passed, counts.failed, counts.skipped);
    let time = process::time_text(start.elapsed());
    eprintln!("  {name}: {passed} passed, {failed} failed, {skipped} skipped ({time})");
    Ok(counts)
}

/// Runs with all output in a file; nothing if it had to be ended at the limit.
pub(crate) fn run_limited(
    command: &mut Command,
    log: &Path,
    limit: Duration,
) -> Result<Option<ExitStatus>> {
    if let Some(folder) = log.parent() {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    let file = fs::File::create(log).with_context(|| format!("writing {}", log.display()))?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .spawn()
        .with_context(|| format!("`{}` could not be started", process::shown(command)))?;
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if start.elapsed() > limit {
            end_family(&mut child);
            return Ok(None);
        }
        thread::sleep(POLL);
    }
}

/// Ends a program and its descendants. It has no process group of its own, so
/// that Ctrl-C reaches it.
fn end_family(child: &mut Child) {
    let mut family = vec![child.id().to_string()];
    let mut next = 0;
    while let Some(parent) = family.get(next) {
        let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"))
            .unwrap_or_default();
        family.extend(children.split_whitespace().map(str::to_owned));
        next = next.saturating_add(1);
    }
    let _ = Command::new("kill")
        .arg("-KILL")
        .args(&family)
        .stderr(Stdio::null())
        .status();
    let _ = child.wait();
}

/// Reads the closing lines and the skips of a test binary's output.
fn parse(text: &str) -> Counts {
    let mut counts = Counts::default();
    for line in text.lines() {
        if let Some(result) = line.trim().strip_prefix("test result:") {
            counts.passed = counts
                .passed
                .saturating_add(number_before(result, "passed"));
            counts.failed = counts
                .failed
                .saturating_add(number_before(result, "failed"));
            let ignored = number_before(result, "ignored");
            counts.skipped = counts.skipped.saturating_add(ignored);
        } else if let Some((_, reason)) = line.split_once(SKIP_MARK) {
            counts.skips.push(reason.trim().to_owned());
        }
    }
    // The harness counted as passed what only said why it did not run.
    let said = u64::try_from(counts.skips.len()).unwrap_or(u64::MAX);
    counts.passed = counts.passed.saturating_sub(said);
    counts.skipped = counts.skipped.saturating_add(said);
    counts
}

/// `41` of ` ok. 41 passed; 0 failed; ...` for the word `passed`.
fn number_before(text: &str, word: &str) -> u64 {
    text.split([';', '.'])
        .find_map(|part| part.trim().strip_suffix(word)?.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\nrunning 3 tests\ntest a ... ok\ntest b ... ok\ntest c ... ignored\n\nsuccesses:\n\n\
        ---- b stdout ----\nSKIPPED: not root: run `cargo xtask test`\n\n\
        test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n";

    #[test]
    fn test_that_says_it_was_skipped_does_not_count_as_passed() {
        let counts = parse(OUTPUT);
        assert_eq!((counts.passed, counts.failed, counts.skipped), (1, 0, 2));
        assert_eq!(counts.skips, ["not root: run `cargo xtask test`"]);
    }

    #[test]
    fn failures_are_counted_over_several_closing_lines() {
        let text = "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out\n\
                    test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n";
        let counts = parse(text);
        assert_eq!((counts.passed, counts.failed, counts.skipped), (4, 2, 0));
    }

    #[test]
    fn only_what_kernel_or_network_lack_may_be_skipped_in_ci() {
        let mut counts = Counts::one_skipped("this kernel refuses LSM programs");
        counts.add(Counts::one_skipped(
            "this network does not reach the database",
        ));
        counts.add(Counts::one_skipped("not root"));
        assert_eq!(counts.avoidable_skips(), ["not root"]);
        assert_eq!(counts.skipped, 3);
    }

    #[test]
    fn program_that_never_ends_is_ended_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 600 & echo $!; wait"]);
        let log = folder.path().join("log");
        let status = run_limited(&mut command, &log, Duration::from_millis(300)).unwrap();
        assert_eq!(status, None);
        let child = fs::read_to_string(log).unwrap();
        let cmdline = format!("/proc/{}/cmdline", child.trim());
        let deadline = Instant::now() + Duration::from_secs(5);
        while fs::read(&cmdline).is_ok_and(|text| !text.is_empty()) {
            assert!(Instant::now() < deadline, "the child still runs");
            thread::yield_now();
        }
    }

    #[test]
    fn crash_without_closing_line_counts_as_a_failure() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "exit 101"]);
        let counts = run_tests(
            "x",
            &mut command,
            &folder.path().join("log"),
            Duration::from_secs(10),
        )
        .unwrap();
        assert_eq!(counts.failed, 1);
    }
}
