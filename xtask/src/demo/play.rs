//! Sets the stage, plays, stays up, and takes everything down.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use monitor_tests::facts::{self, Facts};
use monitor_tests::stage::lock::Patience;
use monitor_tests::stage::{Settings, Shape, Stage};
use monitor_tests::steps::Report;
use monitor_tests::timeline::{Show, Timeline};
use monitor_tests::{bench, interrupt, scene, watch};

use super::DemoArgs;
use crate::cache::Project;
use crate::machine::Machine;
use crate::process::time_text;

/// The stage's folder under /var/lib.
const STAGE: &str = "monitor-demo";
/// What shells report of a command that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

/// Plays as root, with programs that are built.
pub(super) fn play(project: &Project, args: &DemoArgs, programs: PathBuf) -> Result<ExitCode> {
    interrupt::listen()?;
    let settings = Settings {
        programs,
        sshd: Machine::here(project).sshd(),
        name: STAGE.to_owned(),
        patience: Patience::Refuse,
        best_tier: None,
    };
    let result = on_stage(args, &settings);
    if let (Err(error), Some(file)) = (&result, &args.json) {
        write_failure(file, error)?;
    }
    match result {
        Err(error) if error.is::<interrupt::Interrupted>() => {
            eprintln!("Interrupted; nothing is left behind.");
            Ok(ExitCode::from(INTERRUPTED))
        }
        result => result,
    }
}

fn on_stage(args: &DemoArgs, settings: &Settings) -> Result<ExitCode> {
    let shape = if args.host { Shape::Host } else { Shape::Scene };
    let show = if args.host {
        Show::Host
    } else {
        Show::Sessions
    };
    let timeline = Arc::new(Timeline::new(show));
    let start = Instant::now();
    let mut stage = Stage::set(settings, shape)?;
    let root = stage.folder.root().display().to_string();
    timeline.says(&format!(
        "The stage is set in {root} ({}).",
        time_text(start.elapsed())
    ));
    let played = perform(args, &mut stage, &timeline);
    if played
        .as_ref()
        .is_err_and(|error| !error.is::<interrupt::Interrupted>())
    {
        for words in stage.services.last_words() {
            eprintln!("{words}");
        }
    }
    let down = stage.take_down();
    let code = played?;
    down?;
    timeline.says("Everything is taken down; nothing is left behind.");
    Ok(code)
}

fn perform(args: &DemoArgs, stage: &mut Stage, timeline: &Arc<Timeline>) -> Result<ExitCode> {
    if args.host {
        watch::introduce(timeline);
        watch::explain(stage, timeline);
        timeline.says("");
        timeline.head();
        let _facts = facts::shown_on(&stage.folder, timeline)?;
        watch::until_interrupted(stage)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(runs) = args.runs {
        let facts = Arc::new(Facts::read(&stage.folder, Box::new(|_| {}))?);
        let result = bench::run(stage, &facts, timeline, usize::from(runs))?;
        bench::print(&result, timeline);
        if let Some(file) = &args.json {
            result.write(file)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    timeline.head();
    let facts = facts::shown_on(&stage.folder, timeline)?;
    let report = scene::play(stage, &facts, timeline)?;
    if let Some(file) = &args.json {
        report.write(file)?;
    }
    if !report.happened {
        interrupt::check()?;
    }
    let code = tell(&report, timeline);
    if !args.once && report.happened {
        watch::explain(stage, timeline);
        watch::until_interrupted(stage)?;
    }
    Ok(code)
}

/// The end of the scene: times, or which step did not happen.
fn tell(report: &Report, timeline: &Timeline) -> ExitCode {
    timeline.table(&report.times);
    timeline.says(&format!(
        "{} events of the host that belong to no session of the scene are in the provider's ledger, and not shown here.",
        timeline.hidden()
    ));
    if let Some(error) = &report.error {
        eprintln!("The scene was not played to its end: {error}");
        return ExitCode::FAILURE;
    }
    timeline.says(&format!(
        "All {} steps happened as written.",
        report.steps.len()
    ));
    ExitCode::SUCCESS
}

/// A report of a scene that did not even begin; one that did was written.
fn write_failure(file: &std::path::Path, error: &anyhow::Error) -> Result<()> {
    let mut report = Report::new();
    report.error = Some(format!("{error:#}"));
    report
        .write(file)
        .with_context(|| format!("while telling of: {error:#}"))
}
