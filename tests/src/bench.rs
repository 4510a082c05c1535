//! The loop from kernel event to refused login, many times, one after another.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::facts::Facts;
use crate::scene::Scene;
use crate::stage::Stage;
use crate::steps::{Times, in_words};
use crate::timeline::Timeline;

/// One part of the loop over all runs, in milliseconds from the kernel event.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct Part {
    /// What had happened then.
    pub name: String,
    /// Runs in which it did.
    pub runs: usize,
    /// Half of the runs were at most this.
    pub p50_ms: f64,
    /// 99 of 100 runs were at most this.
    pub p99_ms: f64,
    /// No run was more.
    pub max_ms: f64,
}

/// All runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Loop {
    /// Version of this shape.
    pub schema_version: u32,
    /// The kernel's release.
    pub kernel: String,
    /// Processors.
    pub processors: usize,
    /// What the processors are called.
    #[serde(default)]
    pub machine: String,
    /// The best tier of hooks that the agent had.
    #[serde(default)]
    pub tier: String,
    /// The parts, in the order they should happen.
    pub parts: Vec<Part>,
    /// Every run.
    pub runs: Vec<Times>,
}

impl Loop {
    /// Writes it as JSON.
    ///
    /// # Errors
    /// The disk refused.
    pub fn write(&self, file: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        std::fs::write(file, text + "\n").with_context(|| format!("writing {}", file.display()))
    }

    /// Milliseconds from the kernel event of one part; none where it did not
    /// happen in any run.
    #[must_use]
    pub fn part(&self, name: &str) -> Option<&Part> {
        self.parts.iter().find(|part| part.name == name)
    }

    /// Refuses what is not a whole loop, however long it took.
    ///
    /// # Errors
    /// A part did not happen in each run, or happened before the kernel's event.
    pub fn check(&self) -> Result<()> {
        ensure!(!self.runs.is_empty(), "there is no run");
        for (number, times) in self.runs.iter().enumerate() {
            let event = times.kernel_event_unix_ns;
            let event = event.with_context(|| format!("run {number}: no kernel event"))?;
            for (name, at) in times.later() {
                let at = at.with_context(|| format!("run {number}: {name} did not happen"))?;
                ensure!(
                    at >= event,
                    "run {number}: {name} is {} ns before the kernel's event",
                    event - at
                );
            }
        }
        Ok(())
    }
}

/// Plays the cut-off as many times: an engineer, a grant and a certificate each.
///
/// # Errors
/// A run did not happen as written.
pub fn run(
    stage: &mut Stage,
    facts: &Arc<Facts>,
    timeline: &Timeline,
    runs: usize,
) -> Result<Loop> {
    ensure!(runs > 0, "0 runs measure nothing: give at least 1");
    let silent = Arc::new(Timeline::new(crate::timeline::Show::Nothing));
    let mut all = Vec::new();
    for number in 1..=runs {
        let mut scene = Scene::open(stage, facts, &silent, &format!("engineer-{number}"))?;
        let cut_off = scene
            .arrives()
            .and_then(|()| scene.leaves_something_running())
            .and_then(|()| scene.strays(stage))
            .and_then(|()| scene.is_cut_off(stage))
            .and_then(|()| stage.services.check());
        cut_off.with_context(|| format!("run {number} of {runs}"))?;
        let times = scene.report.times;
        let gone = times.since_event_ms(times.last_process_gone_unix_ns);
        timeline.says(&format!(
            "run {number:>3}: session gone after {:.1} ms",
            gone.unwrap_or(f64::NAN)
        ));
        all.push(times);
    }
    Ok(Loop {
        schema_version: 1,
        kernel: std::fs::read_to_string("/proc/sys/kernel/osrelease")?
            .trim()
            .to_owned(),
        processors: std::thread::available_parallelism()?.get(),
        machine: machine(),
        tier: tier(facts),
        parts: parts(&all),
        runs: all,
    })
}

/// The table of the parts.
pub fn print(result: &Loop, timeline: &Timeline) {
    timeline.says("");
    timeline.says("milliseconds from the kernel event to        runs     p50     p99     max");
    for part in &result.parts {
        timeline.says(&format!(
            "  {:<40} {:>6} {:>7.1} {:>7.1} {:>7.1}",
            in_words(&part.name),
            part.runs,
            part.p50_ms,
            part.p99_ms,
            part.max_ms
        ));
    }
}

/// What the first processor is called.
pub(crate) fn machine() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let name = line.and_then(|line| line.split_once(':'));
    name.map_or("unknown", |(_, name)| name.trim()).to_owned()
}

/// The tiers of hooks, the best first.
const TIERS: [&str; 3] = ["lsm", "fentry", "tracepoint"];

/// The best that the agent has.
fn tier(facts: &Facts) -> String {
    let started = facts.all(|fact| fact.is_event("agent_started"));
    let hooks = started
        .first()
        .and_then(|fact| fact.value.pointer("/event/action/hooks")?.as_array());
    let has = |tier: &&&str| {
        let mut hooks = hooks.into_iter().flatten();
        hooks.any(|hook| hook.get("tier").and_then(serde_json::Value::as_str) == Some(**tier))
    };
    let best = TIERS.iter().find(has).copied();
    best.unwrap_or("unknown").to_owned()
}

fn parts(runs: &[Times]) -> Vec<Part> {
    let names = Times::default().later().map(|(name, _)| name);
    let part_of = |(at, name): (usize, &'static str)| {
        let mut figures: Vec<f64> = runs
            .iter()
            .filter_map(|times| times.since_event_ms(times.later().get(at)?.1))
            .collect();
        figures.sort_by(f64::total_cmp);
        let rank = |percent: usize| {
            let rank = figures.len().saturating_mul(percent).div_ceil(100).max(1);
            figures.get(rank.saturating_sub(1)).copied()
        };
        Some(Part {
            name: name.to_owned(),
            runs: figures.len(),
            p50_ms: rank(50)?,
            p99_ms: rank(99)?,
            max_ms: figures.last().copied()?,
        })
    };
    names.into_iter().enumerate().filter_map(part_of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_figures_that_were_measured() {
        let runs: Vec<Times> = (1..=50_u64)
            .map(|ms| Times {
                kernel_event_unix_ns: Some(1_000_000),
                alert_unix_ns: Some(1_000_000 + ms * 1_000_000),
                ..Times::default()
            })
            .collect();
        let parts = parts(&runs);
        assert_eq!(parts.len(), 1);
        let alert = &parts[0];
        assert_eq!(
            (alert.p50_ms, alert.p99_ms, alert.max_ms),
            (25.0, 50.0, 50.0)
        );
        assert_eq!(alert.runs, 50);
    }

    #[test]
    fn a_loop_that_is_not_whole_or_runs_backwards_is_refused() {
        let whole = Times {
            kernel_event_unix_ns: Some(10),
            alert_unix_ns: Some(11),
            ordered_unix_ns: Some(12),
            broker_asked_unix_ns: Some(13),
            host_told_unix_ns: Some(13),
            held_unix_ns: Some(14),
            broker_answered_unix_ns: Some(17),
            krl_published_unix_ns: Some(16),
            last_process_gone_unix_ns: Some(15),
            login_refused_unix_ns: Some(18),
        };
        let of = |runs: Vec<Times>| Loop {
            schema_version: 1,
            kernel: "6".to_owned(),
            processors: 2,
            machine: "m".to_owned(),
            tier: "lsm".to_owned(),
            parts: parts(&runs),
            runs,
        };
        let good = of(vec![whole]);
        good.check().unwrap();
        assert_eq!(good.parts.len(), 9);
        assert_eq!(good.part("held").unwrap().runs, 1);
        let backwards = Times {
            alert_unix_ns: Some(9),
            ..whole
        };
        let said = of(vec![whole, backwards]).check().unwrap_err().to_string();
        assert_eq!(said, "run 1: alert is 1 ns before the kernel's event");
        let cut = Times {
            broker_answered_unix_ns: None,
            ..whole
        };
        assert!(of(vec![cut]).check().is_err() && of(Vec::new()).check().is_err());
    }
}
