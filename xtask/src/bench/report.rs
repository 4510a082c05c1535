//! Figures: read from the load, compared, shown.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cache::Project;

use super::Scenario;

const MARK: &str = "COST ";
const DOCUMENT: &str = "docs/reference/overhead.md";

/// One operation of the load.
#[derive(Debug)]
pub(super) struct Operation {
    name: &'static str,
    about: &'static str,
    /// How much more it may take, percent of without.
    bar: Option<f64>,
}

/// All, in the order of the table.
pub(super) const OPERATIONS: &[Operation] = &[
    operation("getppid", "getppid: a call that nobody watches", Some(0.0)),
    operation(
        "open_elsewhere",
        "open + read + close, on a device without watches",
        Some(5.0),
    ),
    operation(
        "open_same_device",
        "the same, on a device with watches",
        Some(5.0),
    ),
    operation(
        "open_beside_a_name",
        "the same, in a directory in which names are watched",
        Some(5.0),
    ),
    operation(
        "open_credential",
        "the same, of a watched file",
        Some(100.0),
    ),
    operation("fork", "fork + exit + wait", None),
    operation(
        "exec",
        "fork + exec + wait, smallest static program",
        Some(5.0),
    ),
    operation("tcp", "TCP connect + accept + close, loopback", Some(5.0)),
    operation("udp", "UDP sendto, loopback, one peer", Some(5.0)),
    operation("build", "one step of a build", Some(2.0)),
];

const fn operation(name: &'static str, about: &'static str, bar: Option<f64>) -> Operation {
    Operation { name, about, bar }
}

/// What the load says of one operation.
#[derive(Debug, Deserialize)]
pub(super) struct Cost {
    operation: String,
    count: u64,
    rounds: Vec<Round>,
}

#[derive(Debug, Deserialize)]
struct Round {
    elapsed: u64,
    beside: u64,
    beside_afterwards: u64,
}

impl Cost {
    /// Of one operation, everything until it is dealt with: on one processor
    /// what others do meanwhile is in the elapsed time.
    fn whole(&self, clock: Clock) -> f64 {
        self.median(|round| match clock {
            Clock::Instructions => round.elapsed.saturating_add(round.beside_afterwards),
            Clock::Nanoseconds => round.elapsed,
        })
    }

    /// Of that, the agent's part.
    fn beside(&self) -> f64 {
        self.median(|round| round.beside)
    }

    /// How far the rounds lie apart, percent of the median.
    fn spread(&self) -> f64 {
        let each = |pick: fn(u64, u64) -> u64, first| {
            float(
                self.rounds
                    .iter()
                    .map(|round| round.elapsed.saturating_add(round.beside_afterwards))
                    .fold(first, pick),
            )
        };
        let (least, most) = (each(u64::min, u64::MAX), each(u64::max, 0));
        percent(most, least)
    }

    fn median(&self, value: impl Fn(&Round) -> u64) -> f64 {
        let mut values: Vec<u64> = self.rounds.iter().map(value).collect();
        values.sort_unstable();
        let middle = values.get(values.len() / 2).copied().unwrap_or(0);
        float(middle) / float(self.count.max(1))
    }
}

/// Unit of the figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clock {
    /// Guest instructions, the whole machine counted.
    Instructions,
    /// The caller's time.
    Nanoseconds,
}

impl Clock {
    const fn name(self) -> &'static str {
        match self {
            Self::Instructions => "instructions",
            Self::Nanoseconds => "nanoseconds",
        }
    }
}

/// All scenarios on one kernel.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) kernel: String,
    pub(super) clock: Clock,
    pub(super) costs: Vec<(Scenario, Vec<Cost>)>,
}

impl Measured {
    fn cost(&self, scenario: Scenario, operation: &str) -> Option<&Cost> {
        let (_, costs) = self.costs.iter().find(|(which, _)| *which == scenario)?;
        costs.iter().find(|cost| cost.operation == operation)
    }
}

/// One line of the table.
struct Line {
    without: f64,
    with: f64,
    agent: f64,
    detached: f64,
    spread: f64,
}

impl Line {
    /// Percent more than with the probes detached: the same machine with the
    /// same memory, where another start differs by a few percent of its own.
    fn more(&self) -> f64 {
        percent(self.with, self.detached)
    }
}

fn line(measured: &Measured, operation: &str) -> Option<Line> {
    let without = measured.cost(Scenario::Without, operation)?;
    let with = measured.cost(Scenario::With, operation)?;
    Some(Line {
        without: without.whole(measured.clock),
        with: with.whole(measured.clock),
        agent: with.beside(),
        detached: measured
            .cost(Scenario::Detached, operation)?
            .whole(measured.clock),
        spread: with.spread(),
    })
}

/// The load's lines in a program's output or a console.
pub(super) fn read(text: &str) -> Result<Vec<Cost>> {
    text.lines()
        .filter_map(|line| line.split_once(MARK))
        .map(|(_, json)| {
            serde_json::from_str(json.trim()).with_context(|| format!("the load said {json}"))
        })
        .collect()
}

/// Markdown.
pub(super) fn table(measured: &Measured) -> String {
    let mut text = format!(
        "Linux {}, {} an operation:\n\n\
         | operation | no agent | probes detached | probes attached | more | of it the agent's own | rounds apart | bar | |\n\
         |---|---|---|---|---|---|---|---|---|\n",
        measured.kernel,
        measured.clock.name()
    );
    for operation in OPERATIONS {
        let Some(line) = line(measured, operation.name) else {
            continue;
        };
        let more = line.more();
        let (bar, kept) = operation.bar.map_or(("-".to_owned(), ""), |bar| {
            (format!("+{bar:.0} %"), verdict(more, bar))
        });
        let _ = writeln!(
            text,
            "| {} | {:.0} | {:.0} | {:.0} | {more:+.1} % | {:.0} | {:.2} % | {bar} | {kept} |",
            operation.about, line.without, line.detached, line.with, line.agent, line.spread
        );
    }
    text
}

/// Ticks of the timer fall into one measurement and not into the other.
const NOISE_PERCENT: f64 = 0.25;

fn verdict(more: f64, bar: f64) -> &'static str {
    if more <= bar + NOISE_PERCENT {
        "kept"
    } else {
        "**missed**"
    }
}

/// The same for programs.
pub(super) fn json(measured: &Measured) -> Value {
    let operations: Vec<Value> = OPERATIONS
        .iter()
        .filter_map(|operation| {
            let line = line(measured, operation.name)?;
            let more = line.more();
            Some(json!({
                "operation": operation.name,
                "without": line.without,
                "with": line.with,
                "agent": line.agent,
                "detached": line.detached,
                "more_percent": more,
                "bar_percent": operation.bar,
                "kept": operation.bar.map(|bar| verdict(more, bar) == "kept"),
                "rounds_apart_percent": line.spread,
            }))
        })
        .collect();
    json!({
        "schema_version": 1,
        "kernel": measured.kernel,
        "unit": measured.clock.name(),
        "operations": operations,
    })
}

/// Puts the table between the marks of its place.
pub(super) fn document(project: &Project, place: &str, table: &str) -> Result<()> {
    crate::document::put(project, DOCUMENT, &format!("bench {place}"), table)
}

fn percent(value: f64, of: f64) -> f64 {
    if of > 0.0 {
        (value / of - 1.0) * 100.0
    } else {
        0.0
    }
}

#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "no conversion is offered otherwise, and counts are far below 2^53"
)]
const fn float(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "[ 1.2] noise\n\
        COST {\"operation\":\"udp\",\"count\":10,\"rounds\":[{\"elapsed\":1000,\"beside\":30,\"beside_afterwards\":10},\
        {\"elapsed\":1010,\"beside\":20,\"beside_afterwards\":0},{\"elapsed\":990,\"beside\":25,\"beside_afterwards\":5}]}\n";

    fn measured(with: &str) -> Measured {
        Measured {
            kernel: "6.0".to_owned(),
            clock: Clock::Instructions,
            costs: vec![
                (Scenario::Without, read(SAID).unwrap()),
                (Scenario::With, read(with).unwrap()),
                (Scenario::Detached, read(SAID).unwrap()),
            ],
        }
    }

    #[test]
    fn what_is_done_afterwards_is_counted_too() {
        let costs = read(SAID).unwrap();
        let whole = costs[0].whole(Clock::Instructions);
        assert!((whole - 101.0).abs() < 1e-9, "{whole}");
        assert!((costs[0].beside() - 2.5).abs() < 1e-9);
    }

    #[test]
    fn bars_are_judged_by_the_whole() {
        let dear = SAID.replace("\"elapsed\":1", "\"elapsed\":11");
        let dear = dear.replace("\"elapsed\":990", "\"elapsed\":1990");
        assert!(table(&measured(&dear)).contains("**missed**"));
        assert!(table(&measured(SAID)).contains("| kept |"));
        assert_eq!(json(&measured(SAID))["operations"][0]["kept"], true);
    }

    #[test]
    fn half_a_line_is_an_error() {
        assert!(read("COST {\"operation\":").is_err());
    }
}
