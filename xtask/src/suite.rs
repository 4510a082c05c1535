//! Runs the steps of `cargo xtask test` and reports.
//!
//! All of them run, whatever fails; the table at the end says how each went,
//! and the last line counts: `N passed, N failed, N skipped`.

use std::env;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::cache::Project;
use crate::process::{self, time_text};
use crate::setup;
use crate::steps::{STEPS, Step, Suite, names};
use crate::test_run::Counts;

/// Prints the steps.
pub(crate) fn list() {
    for step in STEPS {
        process::say(&format!("{:12} {}", step.name, step.about));
    }
}

/// Runs all steps, or only those named.
pub(crate) fn run(project: &Project, only: &[String]) -> Result<ExitCode> {
    let steps = chosen(only)?;
    let names: Vec<&str> = steps.iter().map(|step| step.name).collect();
    setup::ensure_steps(project, &names)?;
    let in_ci =
        env::var("CI").is_ok_and(|value| !value.is_empty() && value != "false" && value != "0");
    let suite = Suite::new(project);
    let mut outcomes = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        let label = format!(
            "[{}/{}] {}: {}",
            at.saturating_add(1),
            steps.len(),
            step.name,
            step.about
        );
        eprintln!("{label} ...");
        let start = Instant::now();
        let result = (step.run)(&suite);
        let outcome = Outcome::new(step.name, result, start.elapsed(), in_ci);
        eprintln!(
            "{label} ... {} in {}",
            outcome.word(),
            time_text(outcome.time)
        );
        outcomes.push(outcome);
    }
    Ok(report(&outcomes))
}

fn chosen(only: &[String]) -> Result<Vec<&'static Step>> {
    if let Some(unknown) = only
        .iter()
        .find(|name| STEPS.iter().all(|step| step.name != **name))
    {
        bail!(
            "there is no step `{unknown}`; the steps are: {}",
            names().join(", ")
        );
    }
    Ok(STEPS
        .iter()
        .filter(|step| only.is_empty() || only.iter().any(|name| name == step.name))
        .collect())
}

/// How a step went.
struct Outcome {
    name: &'static str,
    counts: Counts,
    time: Duration,
}

impl Outcome {
    fn new(name: &'static str, result: Result<Counts>, time: Duration, in_ci: bool) -> Self {
        let mut counts = result.unwrap_or_else(|error| {
            eprintln!("error: {error:#}");
            Counts {
                failed: 1,
                ..Counts::default()
            }
        });
        let avoidable = counts.avoidable_skips().len();
        if in_ci && avoidable > 0 {
            eprintln!(
                "error: {avoidable} skipped in CI, where nothing may be that this machine could run"
            );
            counts.failed = counts.failed.saturating_add(1);
        }
        Self { name, counts, time }
    }

    fn word(&self) -> &'static str {
        match (self.counts.failed, self.counts.passed, self.counts.skipped) {
            (1.., _, _) => "FAILED",
            (0, 0, 1..) => "SKIPPED",
            _ => "ok",
        }
    }
}

/// Prints the table and the closing line.
fn report(outcomes: &[Outcome]) -> ExitCode {
    process::say("");
    process::say("step         result   passed failed skipped  time");
    let mut total = Counts::default();
    for outcome in outcomes {
        let Counts {
            passed,
            failed,
            skipped,
            ..
        } = outcome.counts;
        let time = time_text(outcome.time);
        process::say(&format!(
            "{:12} {:8} {passed:6} {failed:6} {skipped:7}  {time}",
            outcome.name,
            outcome.word()
        ));
        total.add(outcome.counts.clone());
    }
    for reason in &total.skips {
        process::say(&format!("skipped: {reason}"));
    }
    process::say("");
    process::say(&format!(
        "{} passed, {} failed, {} skipped",
        total.passed, total.failed, total.skipped
    ));
    if total.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn unknown_step_is_refused_with_the_known_ones() {
        let text = chosen(&["clipy".to_owned()]).err().unwrap().to_string();
        assert!(
            text.contains("`clipy`") && text.contains("clippy-bpf"),
            "{text}"
        );
        assert_eq!(chosen(&["e2e".to_owned()]).unwrap().len(), 1);
        assert_eq!(chosen(&[]).unwrap().len(), STEPS.len());
    }

    #[test]
    fn failed_step_counts_as_one_failure_and_others_go_on() {
        let outcome = Outcome::new("x", Err(anyhow!("no")), Duration::ZERO, false);
        assert_eq!((outcome.counts.failed, outcome.word()), (1, "FAILED"));
    }

    #[test]
    fn avoidable_skip_fails_in_ci_only() {
        let skip = || Ok(Counts::one_skipped("not root"));
        assert_eq!(
            Outcome::new("x", skip(), Duration::ZERO, false).word(),
            "SKIPPED"
        );
        assert_eq!(
            Outcome::new("x", skip(), Duration::ZERO, true).word(),
            "FAILED"
        );
        let forced = || Ok(Counts::one_skipped("this kernel refuses LSM programs"));
        assert_eq!(
            Outcome::new("x", forced(), Duration::ZERO, true).word(),
            "SKIPPED"
        );
    }
}
