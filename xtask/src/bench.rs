//! What watching and judging cost, and how fast sessions are cut off: `cargo xtask
//! bench kernel`, `bench judge`, `bench collector`, `bench revoke`,
//! `bench pipeline`.
//!
//! [`judge`]: events a second on one core, memory of live grants. [`collector`]:
//! ingest, recovery, questions, subscribers. [`revoke`]: from a kernel event to a
//! refused login. [`pipeline`]: kernel, agent and collector together, at a steady
//! rate. The rest is what watching costs:
//!
//! The same operations (`tests/cost/load.rs`) without the agent, with it, and
//! with the agent running but its probes detached. In a machine of QEMU whose
//! clock counts instructions, so that figures repeat, or natively in
//! nanoseconds. Out: a table, JSON, `docs/reference/overhead.md`.
//!
//! - [`programs`]: what runs; [`guest`], [`host`]: where; [`report`]: the result.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::cache::Project;
use crate::kernels::Series;
use crate::process;

mod collector;
mod guest;
mod host;
mod judge;
mod pipeline;
mod programs;
mod report;
mod revoke;

pub(crate) use collector::smoke as smoke_of_collector;
pub(crate) use pipeline::smoke as smoke_of_pipeline;
pub(crate) use programs::smoke;
pub(crate) use revoke::smoke as smoke_of_revoke;

/// What is measured.
#[derive(Debug, clap::Args)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    subject: Subject,
}

#[derive(Debug, clap::Subcommand)]
enum Subject {
    /// System calls and programs, with and without the agent.
    Kernel(KernelArgs),
    /// Events that the collector takes, what it answers, and who follows.
    Collector(collector::CollectorArgs),
    /// Events that the judge judges, and memory that live grants take.
    Judge(judge::JudgeArgs),
    /// From an event in the kernel to the end of its session, and to the broker.
    Revoke(revoke::RevokeArgs),
    /// Kernel, agent and collector together, at a steady rate.
    Pipeline(pipeline::PipelineArgs),
}

impl BenchArgs {
    /// The steps whose needs it has.
    pub(crate) fn steps(&self) -> &'static [&'static str] {
        match &self.subject {
            Subject::Revoke(args) => args.steps(),
            Subject::Pipeline(_) => &["cases-host"],
            Subject::Kernel(_) => &["vm-6.1", "vm-6.12"],
            Subject::Judge(_) | Subject::Collector(_) => &[],
        }
    }
}

#[derive(Debug, clap::Args)]
struct KernelArgs {
    /// The kernel of the virtual machine.
    #[arg(long, value_enum, default_value_t = Series::V6_12)]
    kernel: Series,
    /// On this machine's own kernel instead, in nanoseconds; needs root.
    #[arg(long)]
    host: bool,
    /// Write the figures here.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Measure this agent, with the `monitorctl` beside it; without it a release
    /// build is made.
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
    /// Only this operation.
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// Put the table into `docs/reference/overhead.md`.
    #[arg(long)]
    document: bool,
}

/// In which state the operations are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scenario {
    /// No agent.
    Without,
    /// The agent, its probes attached.
    With,
    /// The agent, its probes taken away.
    Detached,
}

impl Scenario {
    const fn name(self) -> &'static str {
        match self {
            Self::Without => "without",
            Self::With => "with",
            Self::Detached => "detached",
        }
    }
}

/// Measures, prints the table, writes what was asked for.
pub(crate) fn run(project: &Project, args: &BenchArgs) -> Result<ExitCode> {
    match &args.subject {
        Subject::Kernel(args) => kernel(project, args),
        Subject::Judge(args) => judge::run(project, args),
        Subject::Collector(args) => collector::run(project, args),
        Subject::Revoke(args) => revoke::run(project, args),
        Subject::Pipeline(args) => pipeline::run(project, args),
    }
}

fn kernel(project: &Project, args: &KernelArgs) -> Result<ExitCode> {
    let programs = programs::Programs::make(project, args.agent.as_deref())?;
    let measured = if args.host {
        host::measure(&programs, args.only.as_deref())?
    } else {
        guest::measure(project, &programs, args)?
    };
    let table = report::table(&measured);
    process::say(&table);
    if let Some(file) = &args.json {
        let text = serde_json::to_string_pretty(&report::json(&measured))? + "\n";
        fs::write(file, text).with_context(|| format!("writing {}", file.display()))?;
    }
    if args.document {
        let place = if args.host {
            "host"
        } else {
            args.kernel.name()
        };
        report::document(project, place, &table)?;
    }
    Ok(ExitCode::SUCCESS)
}
