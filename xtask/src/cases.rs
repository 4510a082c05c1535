//! `cargo xtask cases`: plays the cases of a folder, here and in whole jump
//! hosts in QEMU, and prints what was seen, attributed and judged.
//!
//! The format is `docs/reference/cases.md`; `monitor-cases`, a program of the
//! tests, plays. Here is what goes on around it: programs of the cases are
//! compiled, a machine is started, results of several kernels are put together.

mod attribution;
mod host;
mod quiet;
mod tables;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use monitor_tests::cases::discover::{self, Case};
use monitor_tests::cases::report::{CaseReport, Outcome, Report};

use crate::cache::Project;
use crate::errand::{self, Errand};
use crate::host_build::{self, Profile};
use crate::kernels::Series;
use crate::process;
use crate::test_run::Counts;

/// The program that plays.
const PLAYER: &str = "monitor-cases";
/// Most failed cases that are played once more: beyond it something is broken.
const AGAIN_MAX: usize = 12;
/// How long a case may take that does not say how long, natively.
const SECONDS_OF_A_CASE: u64 = 20;
/// For each case, on the average, in emulation, on a busy host: 36 s were
/// measured while up to five machines shared two cores. One that hangs is ended by
/// the player, long before.
const CASE_LIMIT: Duration = Duration::from_secs(40);
/// What is needed to play here, and there: steps of `test` with the same needs.
const NEEDS_HOST: &[&str] = &["cases-host"];
const NEEDS_VM: &[&str] = &["cases-6.1", "cases-6.12"];

/// What is played, and where.
#[derive(Debug, clap::Args)]
pub(crate) struct CasesArgs {
    /// Only in this kernel, in QEMU; without it and --host: in each, and here.
    #[arg(long, value_enum, conflicts_with = "host")]
    kernel: Option<Series>,
    /// Only in the running kernel.
    #[arg(long)]
    host: bool,
    /// A folder of cases; without it those of this repository.
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// Only these, by id or group (A), with commas between.
    #[arg(long, value_name = "ID")]
    only: Option<String>,
    /// The best tier of hooks that the agent may take; without it the best there is.
    #[arg(long, value_enum)]
    tier: Option<Tier>,
    /// Write the results to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the tables of whole groups that were played: of D the score of
    /// attribution (docs/reference/attribution.md), of G the alerts of quiet days
    /// (docs/reference/quiet.md).
    #[arg(long, conflicts_with_all = ["dir", "tier"])]
    document: bool,
    /// Plays nothing: takes the results that `--json` wrote.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["kernel", "host", "only", "json"])]
    results: Option<PathBuf>,
    /// The folder of programs that are built already.
    #[arg(long, hide = true, value_name = "FOLDER")]
    programs: Option<PathBuf>,
}

/// A tier of hooks, as the agent's configuration names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Tier {
    Lsm,
    Fentry,
    Tracepoint,
}

impl Tier {
    fn name(self) -> &'static str {
        match self {
            Self::Lsm => "lsm",
            Self::Fentry => "fentry",
            Self::Tracepoint => "tracepoint",
        }
    }
}

/// Where cases are played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the running kernel.
    Host,
    /// In a machine of its own.
    Vm(Series),
}

impl Place {
    fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Vm(series) => series.name(),
        }
    }
}

impl CasesArgs {
    /// The steps of `test` whose needs this run has.
    pub(crate) fn steps(&self) -> Vec<&'static str> {
        let places = match &self.results {
            Some(_) => Vec::new(),
            None => self.places(),
        };
        let mut steps = Vec::new();
        if places.contains(&Place::Host) {
            steps.extend(NEEDS_HOST);
        }
        if places.iter().any(|place| *place != Place::Host) {
            steps.extend(NEEDS_VM);
        }
        steps
    }

    fn places(&self) -> Vec<Place> {
        match (self.kernel, self.host) {
            (Some(series), _) => vec![Place::Vm(series)],
            (None, true) => vec![Place::Host],
            (None, false) => {
                let kernels = Series::ALL.into_iter().map(Place::Vm);
                kernels.chain([Place::Host]).collect()
            }
        }
    }
}

/// Which of the cases a step of `test` plays in a machine.
///
/// A machine in emulation takes most of the time of a whole run, and what
/// differs between stable kernels is tried by the `vm` steps. So each case is
/// played in one machine, the neighbours of a case in the other, and all of
/// them in the running kernel; `cargo xtask cases` plays all of them in each.
#[derive(Debug, Clone, Copy)]
enum Share {
    All,
    /// The first, third, fifth...
    Odd,
    /// The second, fourth, sixth...
    Even,
}

impl Share {
    /// All kernels' shares together are all cases.
    fn of(place: Place) -> Self {
        match place {
            Place::Host | Place::Vm(Series::Sid) => Self::All,
            Place::Vm(Series::V6_1) => Self::Odd,
            Place::Vm(Series::V6_12) => Self::Even,
        }
    }

    /// The ids of the share, for `--only`; nothing for all.
    fn ids(self, cases: &[Case]) -> Option<String> {
        let skipped = match self {
            Self::All => return None,
            Self::Odd => 0,
            Self::Even => 1,
        };
        let ids = cases.iter().skip(skipped).step_by(2);
        Some(
            ids.map(|case| case.id.as_str())
                .collect::<Vec<_>>()
                .join(","),
        )
    }
}

/// Cases, and the programs that play them.
pub(crate) struct Play {
    folder: PathBuf,
    only: Option<String>,
    tier: Option<Tier>,
    programs: PathBuf,
    built: PathBuf,
    /// How many there are.
    cases: usize,
    /// How many seconds they may take beyond what one takes as a rule, natively.
    seconds_more: u64,
}

impl Play {
    /// The same, with nothing better than a tier.
    pub(crate) fn on(self, tier: Option<Tier>) -> Self {
        Self { tier, ..self }
    }

    /// Reads the cases, and compiles what is to be compiled.
    ///
    /// # Errors
    /// A case cannot be read, or the disk refused.
    fn of(
        project: &Project,
        folder: PathBuf,
        only: Option<String>,
        programs: &Path,
    ) -> Result<Self> {
        let cases = discover::cases(&folder, only.as_deref())?;
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.,".contains(c);
        if let Some(only) = only.as_deref().filter(|only| !only.chars().all(is_plain)) {
            bail!("--only {only:?}: ids have letters and digits, with commas between");
        }
        let built = project.cache().join("cases-built");
        compile(&cases, &built)?;
        let more = |case: &Case| case.expectations.seconds.saturating_sub(SECONDS_OF_A_CASE);
        Ok(Self {
            seconds_more: cases.iter().map(more).sum(),
            folder,
            only,
            tier: None,
            programs: programs.to_path_buf(),
            built,
            cases: cases.len(),
        })
    }

    /// Plays them at a place.
    ///
    /// # Errors
    /// They could not be played at all.
    pub(crate) fn at(&self, project: &Project, place: Place) -> Result<Report> {
        match place {
            Place::Host => host::play(project, self),
            Place::Vm(series) => self.on_a_jump_host(project, series),
        }
    }

    fn on_a_jump_host(&self, project: &Project, series: Series) -> Result<Report> {
        // Ids are checked: nothing of them means anything to a shell.
        let words = format!(
            "--cases /monitor/cases --built /monitor/built --own-machine --slowness {} {}",
            errand::SLOWNESS,
            arguments(self).join(" ")
        );
        let errand = Errand {
            name: "cases",
            player: PLAYER,
            programs: &self.programs,
            folders: &[(&self.folder, "cases"), (&self.built, "built")],
            words,
            limit: time_limit(self.cases, self.seconds_more),
        };
        report_of(&errand::run(project, &errand, series)?)
    }
}

/// A step of `test`: each case is one check. Those that fail are played once
/// more, by themselves, and told: a machine that was too busy is one thing, a
/// case that is never seen another.
///
/// # Errors
/// They could not be played at all.
pub(crate) fn step(project: &Project, programs: &Path, place: Place) -> Result<Counts> {
    let folder = own_folder(project);
    let all = discover::cases(&folder, None)?;
    let play = Play::of(project, folder, Share::of(place).ids(&all), programs)?;
    if play.cases < all.len() {
        process::say(&format!(
            "{} of {} cases; the others are played in the other machine, and all of them in each by `cargo xtask cases`",
            play.cases,
            all.len()
        ));
    }
    let mut report = whole(play.at(project, place)?)?;
    let failed: Vec<String> = report
        .cases
        .iter()
        .filter(|case| case.result == Outcome::Failed)
        .map(|case| case.id.clone())
        .collect();
    if !failed.is_empty() && failed.len() <= AGAIN_MAX {
        process::say(&format!("played once more: {}", failed.join(", ")));
        let again = Play::of(
            project,
            own_folder(project),
            Some(failed.join(",")),
            programs,
        )?;
        let again = whole(again.at(project, place)?)?;
        for case in &mut report.cases {
            if let Some(second) = again.cases.iter().find(|second| second.id == case.id) {
                if second.result != Outcome::Failed {
                    process::say(&format!(
                        "UNSTEADY: {} failed, and did not the second time: {}",
                        case.id,
                        case.reasons.join("; ")
                    ));
                }
                case.clone_from(second);
            }
        }
    }
    let count = |outcome| u64::try_from(report.count(outcome)).unwrap_or(u64::MAX);
    let mut counts = Counts {
        passed: count(Outcome::Ok).saturating_add(count(Outcome::Blind)),
        failed: count(Outcome::Failed),
        ..Counts::default()
    };
    let cannot_run = |case: &&CaseReport| case.result == Outcome::CannotRun;
    if place == Place::Host {
        let elsewhere = report.cases.iter().filter(cannot_run).count();
        if elsewhere > 0 {
            process::say(&format!(
                "{elsewhere} cases are played on jump hosts in QEMU alone: they need a machine of their own, or what this one lacks"
            ));
        }
        return Ok(counts);
    }
    for case in report.cases.iter().filter(cannot_run) {
        counts.add(Counts::one_skipped(&format!(
            "{} ({})",
            case.reasons.join("; "),
            case.id
        )));
    }
    Ok(counts)
}

/// A report of all that was to be played.
fn whole(report: Report) -> Result<Report> {
    match &report.error {
        Some(error) => bail!("broken off at {error}"),
        None => Ok(report),
    }
}

/// From the set stage to the last line of so many cases, some of which may take
/// longer than others.
fn time_limit(cases: usize, seconds_more: u64) -> Duration {
    let cases = u32::try_from(cases).unwrap_or(u32::MAX);
    CASE_LIMIT
        .saturating_mul(cases)
        .saturating_add(Duration::from_secs(seconds_more).saturating_mul(errand::SLOWNESS))
}

/// `cargo xtask cases`.
///
/// # Errors
/// They could not be played at all, or the results not be written.
pub(crate) fn run(project: &Project, args: &CasesArgs) -> Result<ExitCode> {
    let (reports, could_play) = match &args.results {
        Some(file) => (read(file)?, true),
        None => play(project, args)?,
    };
    if reports.len() > 1 {
        for line in matrix(&reports) {
            process::say(&line);
        }
    }
    if let Some(file) = &args.json {
        write(file, &reports)?;
    }
    if args.document {
        for Run { kernel, report } in &reports {
            tables::write(project, kernel, report)?;
        }
    }
    let is_good = could_play && reports.iter().all(|run| run.report.is_good());
    Ok(if is_good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What was played at one place.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Run {
    /// The place's name.
    kernel: String,
    report: Report,
}

/// The results of several places, as a file.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Results<Runs> {
    schema_version: u32,
    runs: Runs,
}

const SCHEMA_VERSION: u32 = 1;

/// Plays at every place; whether it could be played everywhere.
fn play(project: &Project, args: &CasesArgs) -> Result<(Vec<Run>, bool)> {
    let programs = match &args.programs {
        Some(programs) => programs.clone(),
        None => host_build::build_all(project, Profile::Dev)?.programs,
    };
    let folder = args.dir.clone().unwrap_or_else(|| own_folder(project));
    let folder = fs::canonicalize(&folder).with_context(|| format!("{}", folder.display()))?;
    let play = Play::of(project, folder, args.only.clone(), &programs)?.on(args.tier);
    let mut runs = Vec::new();
    let mut could_play = true;
    for place in args.places() {
        process::say(&format!("== {}", place.name()));
        match play.at(project, place) {
            Ok(report) => runs.push(Run {
                kernel: place.name().to_owned(),
                report,
            }),
            Err(error) => {
                could_play = false;
                eprintln!("error: {}: {error:#}", place.name());
            }
        }
    }
    Ok((runs, could_play))
}

fn own_folder(project: &Project) -> PathBuf {
    project.root().join("tests/cases")
}

fn write(file: &Path, runs: &[Run]) -> Result<()> {
    let results = Results {
        schema_version: SCHEMA_VERSION,
        runs,
    };
    let text = serde_json::to_string_pretty(&results)?;
    fs::write(file, text + "\n").with_context(|| format!("writing {}", file.display()))
}

fn read(file: &Path) -> Result<Vec<Run>> {
    let bytes = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    let results: Results<Vec<Run>> = serde_json::from_slice(&bytes)
        .with_context(|| format!("{} is no file of `--json`", file.display()))?;
    let version = results.schema_version;
    if version != SCHEMA_VERSION {
        bail!(
            "{}: schema version {version}, and this program knows {SCHEMA_VERSION}",
            file.display()
        );
    }
    Ok(results.runs)
}

/// Case by kernel.
fn matrix(runs: &[Run]) -> Vec<String> {
    let mut rows: BTreeMap<usize, (String, BTreeMap<&str, &str>)> = BTreeMap::new();
    for run in runs {
        for (place, case) in run.report.cases.iter().enumerate() {
            let word = match case.result {
                Outcome::Ok => "ok",
                Outcome::Failed => "FAILED",
                Outcome::Blind => "blind",
                Outcome::CannotRun => "cannot run",
            };
            let row = rows
                .entry(place)
                .or_insert_with(|| (case.id.clone(), BTreeMap::new()));
            row.1.insert(&run.kernel, word);
        }
    }
    let names: Vec<&str> = runs.iter().map(|run| run.kernel.as_str()).collect();
    let line = |first: &str, words: Vec<&str>| {
        let mut line = format!("{first:<8}");
        for word in words {
            let _ = write!(line, " {word:<12}");
        }
        line.trim_end().to_owned()
    };
    let mut lines = vec![line("case", names.clone())];
    for (id, words) in rows.values() {
        let words = names
            .iter()
            .map(|name| words.get(name).copied().unwrap_or("-"));
        lines.push(line(id, words.collect()));
    }
    lines
}

/// Compiles every C program that has changed, statically: they run wherever
/// the cases do. Libraries run there with the C library that is there.
fn compile(cases: &[Case], built: &Path) -> Result<()> {
    for case in cases {
        for (source, name) in case.sources()? {
            let place = built.join(&case.name);
            fs::create_dir_all(&place).with_context(|| format!("making {}", place.display()))?;
            let program = place.join(&name);
            if is_newer(&program, &source) {
                continue;
            }
            let mut cc = Command::new("cc");
            let kind: &[&str] = if program.extension().is_some() {
                &["-shared", "-fPIC"]
            } else {
                &["-static"]
            };
            cc.args(["-O1", "-pthread", "-Wall"])
                .args(kind)
                .arg("-o")
                .arg(&program)
                .arg(&source);
            // Its case fails, and tells of this; the others are played.
            if let Err(error) = process::quiet_stdout_of(&mut cc) {
                let _ = fs::remove_file(&program);
                eprintln!("error: {} does not compile: {error:#}", source.display());
            }
        }
    }
    Ok(())
}

fn is_newer(program: &Path, source: &Path) -> bool {
    let changed = |file: &Path| fs::metadata(file).and_then(|meta| meta.modified()).ok();
    changed(program).is_some_and(|program| Some(program) > changed(source))
}

/// What is played, for the command line of the player.
fn arguments(play: &Play) -> Vec<String> {
    let mut arguments = Vec::new();
    if let Some(only) = &play.only {
        arguments.extend(["--only".to_owned(), only.clone()]);
    }
    if let Some(tier) = play.tier {
        arguments.extend(["--tier".to_owned(), tier.name().to_owned()]);
    }
    arguments
}

/// Reads what the player wrote.
fn report_of(text: &[u8]) -> Result<Report> {
    serde_json::from_slice(text).context("the player left no results: its last words are above")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn more_cases_have_more_time() {
        let seconds = |cases| time_limit(cases, 0).as_secs();
        assert_eq!((seconds(0), seconds(3), seconds(150)), (0, 120, 6_000));
        assert!(time_limit(usize::MAX, 0) > time_limit(150, 0));
        assert_eq!(time_limit(3, 10), time_limit(6, 0));
    }

    #[test]
    fn each_case_is_played_in_one_machine_and_here() {
        let project = Project::discover().unwrap();
        let all = discover::cases(&own_folder(&project), None).unwrap();
        let share = |place| Share::of(place).ids(&all);
        assert_eq!(share(Place::Host), None);
        let [odd, even] =
            [Series::V6_1, Series::V6_12].map(|series| share(Place::Vm(series)).unwrap());
        let ids: BTreeSet<&str> = odd.split(',').chain(even.split(',')).collect();
        assert_eq!(ids, all.iter().map(|case| case.id.as_str()).collect());
        let count = odd.split(',').count().abs_diff(even.split(',').count());
        assert!(count <= 1, "{count} more in one machine than in the other");
    }
}
