//! The scene: a real ssh session is seen, judged and cut off.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::cache::Project;

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
    #[arg(long)]
    pub(crate) host: bool,
}

/// Plays it.
pub(crate) fn run(_project: &Project, args: &DemoArgs) -> Result<ExitCode> {
    bail!("the scene is not part of this build ({args:?})")
}

/// Removes whatever an interrupted demo left behind.
pub(crate) fn clean(_project: &Project) -> Result<()> {
    bail!("the scene is not part of this build: nothing can be left behind")
}
