//! The whole pipeline at a steady rate: kernel, agent, collector, disk.
//!
//! An engineer's session works at a given pace while agent and collector are
//! looked at once a second. When it stops, a last read of a credential is waited
//! for: how far behind the pipeline was. At the end every number is in a ledger
//! or a named gap, or it is said how many are nowhere.
//!
//! - `usage`: memory and processor time of a program

mod usage;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

use self::usage::Watched;
use crate::bench::machine;
use crate::command;
use crate::engineer::{Engineer, Grant, Login};
use crate::equation::{self, Sum};
use crate::poll;
use crate::stage::program::Program;
use crate::stage::{ACCOUNT, Settings, Shape, Stage, TENANTS, config, network};

/// Version of the report's shape.
pub const SCHEMA_VERSION: u32 = 1;
/// The program that works.
const WORK: &str = "monitor-steady-work";
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How far behind the pipeline may be when the work stops.
const BEHIND_AT_MOST: Duration = Duration::from_secs(15 * 60);
/// A moment comes within this after its time.
const LATE: Duration = Duration::from_secs(60);
/// How long a grant holds beyond the work.
const AFTERWARDS_SECONDS: u64 = 1_800;

/// What is measured.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Connections a second, one run each.
    pub rates: Vec<u64>,
    /// How long each run is.
    pub seconds: u64,
}

/// All runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// Version of this shape.
    pub schema_version: u32,
    /// The kernel's release.
    pub kernel: String,
    /// Processors.
    pub processors: usize,
    /// What the processors are called.
    pub machine: String,
    /// In the order they were played.
    pub runs: Vec<Run>,
}

/// One run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Run {
    /// Connections a second that were asked for.
    pub rate: u64,
    /// What the work did.
    pub work: Work,
    /// Numbers that kernel and agent gave out while it worked and until all were
    /// stored; each is an event.
    pub produced: u64,
    /// Of them in a ledger.
    pub stored: u64,
    /// Of them named as missing.
    pub gaps: u64,
    /// Nowhere.
    pub lost: u64,
    /// Told twice.
    pub twice: u64,
    /// From a read of a credential, after the last act of the work, until people
    /// can find it, milliseconds: how far behind the pipeline is.
    pub behind_ms: f64,
    /// The largest that the agent's spool was, bytes of its files.
    pub spool_bytes_max: u64,
    /// The agent.
    pub agent: Usage,
    /// The collector.
    pub collector: Usage,
}

/// What the work did.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Work {
    /// Connections.
    pub connects: u64,
    /// Programs.
    pub programs: u64,
    /// How long it took, milliseconds.
    pub milliseconds: u64,
}

/// What a program used while the work went on.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Resident memory, bytes: before the work.
    pub memory_before: u64,
    /// After a tenth of it.
    pub memory_early: u64,
    /// The most.
    pub memory_max: u64,
    /// At its end.
    pub memory_end: u64,
    /// Processor time, milliseconds.
    pub processor_ms: u64,
}

impl Report {
    /// Writes it as JSON.
    ///
    /// # Errors
    /// The disk refused.
    pub fn write(&self, file: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        fs::write(file, text + "\n").with_context(|| format!("writing {}", file.display()))
    }

    /// Refuses what lost an event or told one twice, however fast it was.
    ///
    /// # Errors
    /// Which run did.
    pub fn check(&self) -> Result<()> {
        ensure!(!self.runs.is_empty(), "there is no run");
        for run in &self.runs {
            ensure!(
                run.lost == 0 && run.twice == 0,
                "at {} a second: {} numbers are nowhere, and {} were told twice",
                run.rate,
                run.lost,
                run.twice
            );
            let acts = run.work.connects + run.work.programs;
            ensure!(
                acts > 0 && run.produced >= acts,
                "at {} a second: {acts} acts, and {} numbers",
                run.rate,
                run.produced
            );
        }
        Ok(())
    }
}

impl Run {
    /// Events a second while the work went on.
    #[must_use]
    pub const fn events_per_second(&self) -> u64 {
        self.produced.saturating_mul(1_000) / at_least_one(self.work.milliseconds)
    }

    /// Processor time an event, nanoseconds.
    #[must_use]
    pub const fn processor_ns(&self, used: &Usage) -> u64 {
        used.processor_ms.saturating_mul(1_000_000) / at_least_one(self.produced)
    }
}

const fn at_least_one(number: u64) -> u64 {
    if number == 0 { 1 } else { number }
}

/// Plays all runs, each on a stage of its own; `says` is told of each.
///
/// # Errors
/// One could not be played.
pub fn run(settings: &Settings, plan: &Plan, says: impl Fn(&str)) -> Result<Report> {
    let mut runs = Vec::new();
    for rate in &plan.rates {
        let mut stage = Stage::set(settings, Shape::Cases)?;
        let played = play(&mut stage, *rate, plan.seconds);
        if played.is_err() {
            for words in stage.services.last_words() {
                eprintln!("{words}");
            }
        }
        let down = stage.take_down();
        let run = played.with_context(|| format!("at {rate} a second"))?;
        down?;
        says(&format!(
            "{rate} a second: {} events/s, {} gaps, {:.0} ms behind at the end",
            run.events_per_second(),
            run.gaps,
            run.behind_ms
        ));
        runs.push(run);
    }
    Ok(Report {
        schema_version: SCHEMA_VERSION,
        kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?
            .trim()
            .to_owned(),
        processors: std::thread::available_parallelism()?.get(),
        machine: machine(),
        runs,
    })
}

fn play(stage: &mut Stage, rate: u64, seconds: u64) -> Result<Run> {
    let mut login = arrives(stage, seconds)?;
    let before = settles(stage)?;
    let mut agent = Watched::new(stage.services.pid(Program::Agent.name())?)?;
    let mut collector = Watched::new(stage.services.pid(Program::Collector.name())?)?;
    let [own, _] = network::OWN;
    let line = format!(
        "{} {}:{} {rate} {seconds}",
        stage.folder.program(WORK).display(),
        own.v4,
        network::OWN_PORT
    );
    let mark = login.sends(&line)?;
    let (start, length) = (Instant::now(), Duration::from_secs(seconds));
    let mut spool_bytes_max = 0;
    while start.elapsed() < length {
        let next = start.elapsed().saturating_add(LOOK_EVERY).min(length);
        poll::until_true("the next look", LATE, || start.elapsed() >= next)?;
        let is_early = start.elapsed() * 10 <= length;
        agent.look(is_early)?;
        collector.look(is_early)?;
        spool_bytes_max = spool_bytes_max.max(spool_bytes(stage));
    }
    stage.services.check()?;
    let said = login.hears(&line, &mark)?;
    ensure!(said.code == 0, "the work failed: {said:?}");
    let work = serde_json::from_str(said.text.trim());
    let work = work.with_context(|| format!("reading {said:?}"))?;
    let (agent, collector) = (agent.used()?, collector.used()?);
    let behind_ms = behind(stage, &mut login)?;
    let sum = settles(stage)?;
    Ok(Run {
        rate,
        work,
        produced: sum.produced.saturating_sub(before.produced),
        stored: sum.stored.saturating_sub(before.stored),
        gaps: sum.gaps.saturating_sub(before.gaps),
        lost: sum.lost,
        twice: sum.twice,
        behind_ms,
        spool_bytes_max,
        agent,
        collector,
    })
}

/// An engineer of the first tenant, logged in.
fn arrives(stage: &Stage, seconds: u64) -> Result<Login> {
    let [own, _] = TENANTS;
    let alice = Engineer::new(stage, "alice")?;
    let grant = Grant {
        id: format!("alice-{own}"),
        tenant: own.to_owned(),
        ticket: "INC-4716".to_owned(),
        purpose: "work at a steady pace".to_owned(),
        valid_seconds: seconds.saturating_add(AFTERWARDS_SECONDS),
    };
    alice.is_granted(&grant)?;
    alice.gets_certificate(&grant)?;
    alice.logs_in(ACCOUNT)
}

/// How long a read of a credential takes to come to people, now.
fn behind(stage: &Stage, login: &mut Login) -> Result<f64> {
    let [own, _] = TENANTS;
    let credential = stage.folder.credential(own);
    let begun = Instant::now();
    let said = login.types(&format!("cat {} > /dev/null", credential.display()))?;
    ensure!(said.code == 0, "reading the credential failed: {said:?}");
    let words = ["search", "--principal", "alice", "--kind", "credential"];
    poll::until("the read among the events", BEHIND_AT_MOST, || {
        let mut search = config::monitorctl(&stage.folder, words)?;
        let found = command::stdout(search.args(["--limit", "1", "-o", "ndjson"]))?;
        Ok((!found.trim().is_empty()).then_some(()))
    })?;
    Ok(begun.elapsed().as_secs_f64() * 1_000.0)
}

/// Everything that was produced by now, once it is stored or named as missing.
fn settles(stage: &Stage) -> Result<Sum> {
    let bound = equation::of(&stage.folder, &stage.folder.at("collector"))?;
    ensure!(bound.by_kernel > 0, "the kernel counts nothing: {bound:?}");
    let mut last = bound.clone();
    let settled = poll::until("every number in a ledger", BEHIND_AT_MOST, || {
        let is_settled = last.stored + last.gaps + last.lost >= bound.produced;
        if !is_settled {
            last = equation::of(&stage.folder, &stage.folder.at("collector"))?;
        }
        Ok(is_settled.then(|| last.clone()))
    });
    settled.with_context(|| format!("{last:?}"))
}

/// What the files of the agent's spool take.
fn spool_bytes(stage: &Stage) -> u64 {
    let file = |name: &str| fs::metadata(stage.folder.at("agent").join(name));
    let files = ["spool.db", "spool.db-wal"].map(|name| file(name).map_or(0, |found| found.len()));
    files.iter().sum()
}
