//! Builds the host programs, with the BPF object inside the agent.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::artifacts::{self, Artifact};
use crate::bpf;
use crate::cache::Project;
use crate::process::{self, Steps};

/// Tells the agent's build script where the BPF object is.
pub(crate) const OBJECT_VARIABLE: &str = "MONITOR_BPF_OBJECT";

/// Beside the programs, for tests: the agent of a version whose records have another
/// form.
const NEXT_AGENT: &str = "monitor-agent-next";

/// How far the compiler optimises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Lightly; what the demo and the tests use.
    Dev,
    /// Fully; what is installed.
    Release,
}

impl Profile {
    /// From the flag `--release`.
    pub(crate) fn from_flag(release: bool) -> Self {
        if release { Self::Release } else { Self::Dev }
    }
}

/// What a build made.
#[derive(Debug)]
pub(crate) struct Built {
    /// The BPF object.
    pub(crate) object: PathBuf,
    /// The folder of `monitor-agent`, `monitor-collector`, `monitor-broker`, `monitor-witness`,
    /// `monitor-verify` and `monitorctl`.
    pub(crate) programs: PathBuf,
}

/// Builds the BPF object, then the host programs; says how long each took.
pub(crate) fn build_all(project: &Project, profile: Profile) -> Result<Built> {
    let mut steps = Steps::new(2);
    let object = steps.talking("building the BPF object", || bpf::build(project))?;
    let programs = steps.talking("building the host programs", || {
        programs(project, &object, profile)
    })?;
    eprintln!("The programs are in {}", programs.display());
    Ok(Built { object, programs })
}

/// Builds the BPF object, then the host programs and all test binaries and
/// examples of the workspace, this crate's own included.
///
/// Programs and tests are built together: tests ask more of some dependencies,
/// and two builds would compile most of those twice.
pub(crate) fn build_with_tests(project: &Project) -> Result<(Built, Vec<Artifact>)> {
    let mut steps = Steps::new(3);
    // First: what is built last stands in its place.
    let next = steps.talking("building an agent with another form of records", || {
        build_next(project)
    })?;
    let object = steps.talking("building the BPF object", || bpf::build(project))?;
    let artifacts = steps.talking("building the host programs and the tests", || {
        let mut command = process::cargo();
        command
            .args(["build", "--workspace", "--all-targets"])
            .env(OBJECT_VARIABLE, &object)
            .current_dir(project.root());
        artifacts::build(&mut command)
    })?;
    let programs = folder_of_programs(&artifacts)?;
    let upgrade = programs.join(NEXT_AGENT);
    fs::copy(&next, &upgrade).with_context(|| format!("copying to {}", upgrade.display()))?;
    let run_later = |artifact: &Artifact| artifact.is_test || artifact.kind == "example";
    let artifacts = artifacts.into_iter().filter(run_later).collect();
    Ok((Built { object, programs }, artifacts))
}

/// Builds the agent that an upgrade is tried with; its file.
fn build_next(project: &Project) -> Result<PathBuf> {
    let object = bpf::build_next(project)?;
    let mut command = process::cargo();
    command
        .args(["build", "--workspace", "--bin", "monitor-agent"])
        .arg(format!("--features=monitor-agent/{}", bpf::NEXT_ABI))
        // An example asks for what tests ask for, so that what both are made of is
        // built once.
        .args(["--example", "vm_probe_check"])
        .env(OBJECT_VARIABLE, &object)
        .current_dir(project.root());
    let agent = folder_of_programs(&artifacts::build(&mut command)?)?.join("monitor-agent");
    let kept = agent.with_extension(bpf::NEXT_ABI);
    fs::copy(&agent, &kept).with_context(|| format!("copying {}", agent.display()))?;
    Ok(kept)
}

fn programs(project: &Project, object: &Path, profile: Profile) -> Result<PathBuf> {
    let mut command = process::cargo();
    command
        .args(["build", "--workspace", "--bins", "--exclude", "xtask"])
        // Its dependencies ask for what only tests should have.
        .args(["--exclude", "monitor-simulation"])
        .env(OBJECT_VARIABLE, object)
        .current_dir(project.root());
    if profile == Profile::Release {
        command.arg("--release");
    }
    folder_of_programs(&artifacts::build(&mut command)?)
}

fn folder_of_programs(built: &[Artifact]) -> Result<PathBuf> {
    let agent = built
        .iter()
        .find(|artifact| {
            artifact.name == "monitor-agent" && artifact.kind == "bin" && !artifact.is_test
        })
        .context("cargo built no program named monitor-agent")?;
    let folder = agent
        .executable
        .parent()
        .context("the agent's file has no folder")?;
    Ok(folder.to_path_buf())
}
