//! `cargo xtask faults`: parts fail for real while people work, and nothing is
//! lost by it. Out: a table, JSON, `docs/reference/reliability.md`.
//!
//! `monitor-faults`, a program of the tests, injects and counts; here it is built,
//! started as root or in a machine of its own, and what it found is shown.

mod herd;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use monitor_tests::faults::Family;
use monitor_tests::faults::report::{Report, Row, SCHEMA_VERSION};

use crate::cache::Project;
use crate::errand::{self, Errand};
use crate::host_build;
use crate::kernels::Series;
use crate::player::{self, Player};
use crate::test_run::Counts;
use crate::{document, process};

const PLAYER: &str = "monitor-faults";
const PAGE: &str = "docs/reference/reliability.md";
/// Of a short run in CI, for each family.
const ROUNDS_OF_A_STEP: u64 = 2;
/// For each round in emulation, on a busy host, the stage's share included.
const ROUND_LIMIT: Duration = Duration::from_secs(10 * 60);

/// What fails, and how often.
#[derive(Debug, clap::Args)]
pub(crate) struct FaultsArgs {
    /// Rounds of each family of faults.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    rounds: u64,
    /// Only this family; may be repeated: kill, stop, disk, net, packets, write, certs, clock, torn, readers, rot, herd.
    #[arg(long, value_name = "FAMILY", value_parser = chosen)]
    only: Vec<Chosen>,
    /// Play the moments of an earlier run again; each run prints its own.
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,
    /// On a jump host in QEMU with this kernel instead of here.
    #[arg(long, value_enum)]
    kernel: Option<Series>,
    /// Write the results here.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Put the table into `docs/reference/reliability.md`; of all families, since it
    /// is one table.
    #[arg(long, conflicts_with_all = ["only", "kernel"])]
    document: bool,
    /// Plays nothing: takes the results that `--json` wrote, of one run or of several
    /// with families of their own.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["rounds", "only", "seed", "kernel", "json"])]
    results: Vec<PathBuf>,
    /// The folder of programs that are built already.
    #[arg(long, hide = true, value_name = "FOLDER")]
    programs: Option<PathBuf>,
}

/// What may be played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chosen {
    /// On a stage.
    Family(Family),
    /// Many agents.
    Herd,
}

impl Chosen {
    fn all() -> Vec<Self> {
        let families = Family::ALL.into_iter().map(Self::Family);
        families.chain([Self::Herd]).collect()
    }
}

fn chosen(name: &str) -> Result<Chosen, String> {
    if name == herd::NAME {
        return Ok(Chosen::Herd);
    }
    let family = Family::named(name);
    let family = family.map_err(|error| format!("{error}, {}", herd::NAME))?;
    Ok(Chosen::Family(family))
}

impl FaultsArgs {
    /// The steps of `test` with the same needs.
    pub(crate) fn steps(&self) -> &'static [&'static str] {
        if !self.results.is_empty() {
            &[]
        } else if self.kernel.is_some() {
            &["cases-6.1", "cases-6.12"]
        } else {
            &["faults"]
        }
    }
}

/// What one run plays.
#[derive(Debug)]
struct Run<'a> {
    programs: &'a Path,
    rounds: u64,
    only: Vec<Chosen>,
    seed: u64,
}

/// `cargo xtask faults`.
///
/// # Errors
/// It could not be played, or what was found not be written.
pub(crate) fn run(project: &Project, args: &FaultsArgs) -> Result<ExitCode> {
    let (place, report) = if args.results.is_empty() {
        play(project, args)?
    } else {
        ("host", kept(&args.results)?)
    };
    let table = table(&report);
    process::say(&table);
    process::say(&format!("again: --seed {}", report.seed));
    if let Some(file) = &args.json {
        report.write(file)?;
    }
    if !report.is_good() {
        return Ok(ExitCode::FAILURE);
    }
    if args.document {
        document::put(project, PAGE, &format!("faults {place}"), &table)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Where it was played, and what came of it.
fn play(project: &Project, args: &FaultsArgs) -> Result<(&'static str, Report)> {
    let programs = match &args.programs {
        Some(programs) => programs.clone(),
        None => host_build::build_with_tests(project)?.0.programs,
    };
    let run = Run {
        programs: &programs,
        rounds: args.rounds,
        only: if args.only.is_empty() {
            Chosen::all()
        } else {
            args.only.clone()
        },
        seed: args.seed.map_or_else(fresh_seed, Ok)?,
    };
    match args.kernel {
        Some(series) => Ok((series.name(), in_machine(project, &run, series)?)),
        None => Ok(("host", here(project, &run)?)),
    }
}

/// The results of earlier runs, put together.
fn kept(files: &[PathBuf]) -> Result<Report> {
    let mut all: Option<Report> = None;
    for file in files {
        let text = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
        let report = read(&text).with_context(|| format!("{}", file.display()))?;
        let Some(all) = &mut all else {
            all = Some(report);
            continue;
        };
        if all.kernel != report.kernel {
            bail!(
                "{} is of kernel {}, and the first of {}",
                file.display(),
                report.kernel,
                all.kernel
            );
        }
        all.families.extend(report.families);
    }
    all.context("no results were given")
}

/// A step of `test`: each family is one check, with a fresh seed each time.
///
/// # Errors
/// They could not be played at all.
pub(crate) fn step(project: &Project, programs: &Path) -> Result<Counts> {
    let run = Run {
        programs,
        rounds: ROUNDS_OF_A_STEP,
        only: Chosen::all(),
        seed: fresh_seed()?,
    };
    let report = here(project, &run)?;
    process::say(&table(&report));
    let count = |is_good: bool| {
        let rows = report.families.iter();
        let rows = rows.filter(|row| row.is_good() == is_good);
        u64::try_from(rows.count()).unwrap_or(u64::MAX)
    };
    if count(false) > 0 {
        let seed = report.seed;
        process::say(&format!(
            "again: cargo xtask faults --rounds {ROUNDS_OF_A_STEP} --seed {seed}"
        ));
    }
    Ok(Counts {
        passed: count(true),
        failed: count(false),
        ..Counts::default()
    })
}

fn fresh_seed() -> Result<u64> {
    #[expect(
        clippy::disallowed_methods,
        reason = "any number does that is another the next time"
    )]
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("the clock is before 1970")?;
    // Few digits, to be typed again.
    Ok(u64::from(since.subsec_nanos()))
}

fn here(project: &Project, run: &Run<'_>) -> Result<Report> {
    let mut report = if families(run).next().is_some() {
        on_stage(project, run)?
    } else {
        Report {
            schema_version: SCHEMA_VERSION,
            kernel: kernel()?,
            seed: run.seed,
            families: Vec::new(),
        }
    };
    if run.only.contains(&Chosen::Herd) {
        process::say(&format!("{}: {} rounds", herd::NAME, run.rounds));
        let row = herd::play(project, run.programs, run.rounds);
        report.families.push(row);
    }
    Ok(report)
}

fn kernel() -> Result<String> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    Ok(release.trim().to_owned())
}

/// The families that want a stage.
fn families<'a>(run: &'a Run<'_>) -> impl Iterator<Item = Family> + 'a {
    run.only.iter().filter_map(|chosen| match chosen {
        Chosen::Family(family) => Some(*family),
        Chosen::Herd => None,
    })
}

fn on_stage(project: &Project, run: &Run<'_>) -> Result<Report> {
    let player = Player {
        name: "faults",
        program: PLAYER,
        programs: run.programs,
        words: arguments(run),
    };
    // Its exit code says that a family failed, which the results say too.
    let (_, results) = player::run(project, player)?;
    read(&results)
}

fn in_machine(project: &Project, run: &Run<'_>, series: Series) -> Result<Report> {
    let families = families(run).count();
    if families == 0 {
        bail!("herd is about the collector, and is played without --kernel");
    }
    if families < run.only.len() {
        process::say("herd is left out: it is about the collector, and is played without --kernel");
    }
    let rounds = u32::try_from(run.rounds).unwrap_or(u32::MAX);
    let rounds = rounds.saturating_mul(u32::try_from(families).unwrap_or(u32::MAX));
    let errand = Errand {
        name: "faults",
        player: PLAYER,
        programs: run.programs,
        folders: &[],
        words: format!(
            "{} --slowness {}",
            arguments(run).join(" "),
            errand::SLOWNESS
        ),
        limit: ROUND_LIMIT.saturating_mul(rounds),
    };
    read(&errand::run(project, &errand, series)?)
}

/// What is played, for the command line of the player.
fn arguments(run: &Run<'_>) -> Vec<String> {
    let numbers = [("--rounds", run.rounds), ("--seed", run.seed)];
    let numbers = numbers.map(|(flag, number)| [flag.to_owned(), number.to_string()]);
    let only = families(run).map(|family| ["--only".to_owned(), family.name().to_owned()]);
    numbers.into_iter().chain(only).flatten().collect()
}

fn read(text: &[u8]) -> Result<Report> {
    let report: Report = serde_json::from_slice(text)
        .context("the player left no results: its last words are above")?;
    if report.schema_version != SCHEMA_VERSION {
        bail!(
            "results of version {}, and this program knows {SCHEMA_VERSION}",
            report.schema_version
        );
    }
    Ok(report)
}

/// Writing to a string cannot fail.
fn table(report: &Report) -> String {
    let mut text = format!(
        "Linux {}, seed {}; numbers on their way were in spool and rings at the last count:\n\n\
         | family | rounds | injected | orders, each once | produced | stored | named gaps | on their way | lost | twice | whole again within | |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|\n",
        report.kernel, report.seed
    );
    for row in &report.families {
        let Row {
            family,
            wanted,
            rounds,
            faults,
            orders,
            produced,
            stored,
            gaps,
            lost,
            twice,
            settled_ms_max,
            failed,
        } = row;
        let faults = faults.iter();
        let faults: Vec<String> = faults
            .map(|(what, times)| format!("{what} {times}"))
            .collect();
        let of = if rounds == wanted {
            rounds.to_string()
        } else {
            format!("{rounds} of {wanted}")
        };
        let result = match failed {
            None if (*lost, *twice) == (0, 0) => "holds".to_owned(),
            None => "DOES NOT HOLD".to_owned(),
            Some(why) => format!("FAILED: {}", why.lines().next().unwrap_or_default()),
        };
        let seconds = settled_ms_max.div_ceil(100);
        _ = writeln!(
            text,
            "| {family} | {of} | {} | {orders} | {produced} | {stored} | {gaps} | {} | {lost} | {twice} | {}.{} s | {result} |",
            faults.join(", "),
            produced.saturating_sub(stored + gaps + lost),
            seconds / 10,
            seconds % 10
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(only: Vec<Chosen>) -> Run<'static> {
        Run {
            programs: Path::new("/programs"),
            rounds: 3,
            only,
            seed: 7,
        }
    }

    #[test]
    fn player_is_told_what_was_asked_for() {
        let words = arguments(&run(vec![chosen("kill").unwrap(), Chosen::Herd]));
        assert_eq!(words, ["--rounds", "3", "--seed", "7", "--only", "kill"]);
        assert_eq!(Chosen::all().len(), Family::ALL.len() + 1);
        let text = chosen("nothing").unwrap_err();
        assert!(
            text.contains("kill, stop") && text.ends_with("herd"),
            "{text}"
        );
    }

    #[test]
    fn results_become_a_table_that_says_what_held() {
        let text = r#"{"schema_version":1,"kernel":"6.12.1","seed":7,"families":[
            {"family":"kill","wanted":2,"rounds":2,"faults":{"agent killed":2,"broker killed":2},
             "orders":2,"produced":900,"stored":880,"gaps":10,"lost":0,"twice":0,
             "settled_ms_max":1234,"failed":null},
            {"family":"net","wanted":2,"rounds":1,"faults":{"way cut":1},"orders":1,"produced":9,
             "stored":9,"gaps":0,"lost":0,"twice":0,"settled_ms_max":1,"failed":"round 2\nmore"}]}"#;
        let report = read(text.as_bytes()).unwrap();
        assert!(!report.is_good());
        let table = table(&report);
        for line in [
            "Linux 6.12.1, seed 7; numbers on their way were in spool and rings at the last count:",
            "| kill | 2 | agent killed 2, broker killed 2 | 2 | 900 | 880 | 10 | 10 | 0 | 0 | 1.3 s | holds |",
            "| net | 1 of 2 | way cut 1 | 1 | 9 | 9 | 0 | 0 | 0 | 0 | 0.1 s | FAILED: round 2 |",
        ] {
            assert!(table.lines().any(|found| found == line), "{table}");
        }
        assert!(read(b"").is_err());
        let other = text.replace("\"schema_version\":1", "\"schema_version\":2");
        assert!(read(other.as_bytes()).is_err());
    }
}
