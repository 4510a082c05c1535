//! The scene: a real ssh session is seen, judged and cut off.
//!
//! The stage and the scene are `monitor-tests`; here is what a person at a
//! terminal needs around them: the build, root, the end, and the screen.
//! `play` runs as root and builds nothing; `elevate` gets there.

mod elevate;
mod play;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use monitor_tests::stage::{self, cleanup, lock};

use crate::cache::Project;
use crate::host_build::{self, Profile};
use crate::process;

/// How the demo is played.
#[derive(Debug, clap::Args)]
pub(crate) struct DemoArgs {
    /// End when the scene has been played; exit code 0 only if every step happened as written.
    #[arg(long)]
    pub(crate) once: bool,
    /// Write the steps and times to this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Watch the real sessions of this machine instead of playing a scene.
    #[arg(long, conflicts_with_all = ["once", "json", "runs"])]
    pub(crate) host: bool,
    /// Measure instead: cut off this many sessions, one after another, and print percentiles.
    #[arg(long, value_name = "N", conflicts_with = "once", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) runs: Option<u16>,
    /// The folder of programs that are built already; set when root goes on.
    #[arg(long, hide = true, value_name = "FOLDER")]
    pub(crate) programs: Option<PathBuf>,
}

impl DemoArgs {
    /// Whether everything was set up and built by the command that called this one.
    pub(crate) fn is_prepared(&self) -> bool {
        self.programs.is_some()
    }
}

/// Plays it.
pub(crate) fn run(project: &Project, args: &DemoArgs) -> Result<ExitCode> {
    let programs = match &args.programs {
        Some(programs) => programs.clone(),
        None => host_build::build_all(project, Profile::Dev)?.programs,
    };
    if !stage::is_root() {
        let mut again = vec![
            "demo".into(),
            "--programs".into(),
            programs.into_os_string(),
        ];
        again.extend(elevate::arguments_of(args));
        return elevate::run_again(project, &again);
    }
    play::play(project, args, programs)
}

/// Removes whatever an interrupted demo left behind.
pub(crate) fn clean(project: &Project) -> Result<()> {
    if !stage::is_root() {
        elevate::run_again(project, &["clean".into()])?;
        return Ok(());
    }
    let _lock = lock::Lock::take(lock::Patience::Refuse)?;
    let found = cleanup::sweep()?;
    if found.is_empty() {
        process::say("No demo left anything behind.");
    }
    for folder in found {
        process::say(&format!(
            "Removed {} and all that belonged to it.",
            folder.display()
        ));
    }
    Ok(())
}
