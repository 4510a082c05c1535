//! Builds, formats and lints the BPF object: a workspace of its own, because
//! another compiler builds it for another target.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::artifacts;
use crate::cache::Project;
use crate::machine::Machine;
use crate::process;
use crate::toolchain::Toolchain;

const TARGET_ARGUMENTS: [&str; 5] = [
    "--release",
    "--target",
    "bpfel-unknown-none",
    "-Z",
    "build-std=core",
];

/// The folder of the BPF workspace.
pub(crate) fn folder(project: &Project) -> PathBuf {
    project.root().join("monitor-ebpf")
}

/// The feature by which records have another form: what an upgrade is tried with.
pub(crate) const NEXT_ABI: &str = "next-abi";

/// Builds the object and returns its file.
pub(crate) fn build(project: &Project) -> Result<PathBuf> {
    build_with(project, None)
}

/// Builds the object whose records have another form, and returns its file: a copy
/// that [`build`] does not replace.
pub(crate) fn build_next(project: &Project) -> Result<PathBuf> {
    let object = build_with(project, Some(NEXT_ABI))?;
    let kept = object.with_extension(NEXT_ABI);
    let new = fs::read(&object).with_context(|| format!("reading {}", object.display()))?;
    // One that is newer has the agent built again.
    if fs::read(&kept).is_ok_and(|old| old == new) {
        return Ok(kept);
    }
    fs::write(&kept, new).with_context(|| format!("writing {}", kept.display()))?;
    Ok(kept)
}

fn build_with(project: &Project, feature: Option<&str>) -> Result<PathBuf> {
    let toolchain = toolchain(project)?;
    let mut command = toolchain.cargo(project);
    command
        .arg("build")
        .args(TARGET_ARGUMENTS)
        .args(feature.map(|feature| format!("--features={feature}")))
        .current_dir(folder(project));
    let built = artifacts::build(&mut command)
        .with_context(|| format!("the BPF object was not built by {}", toolchain.name()))?;
    built
        .into_iter()
        .find(|artifact| artifact.kind == "bin")
        .map(|artifact| artifact.executable)
        .context("monitor-ebpf builds no program: its Cargo.toml should have one [[bin]]")
}

/// Lints the probes with the compiler that builds them.
pub(crate) fn clippy(project: &Project) -> Result<Command> {
    let toolchain = toolchain(project)?;
    let mut command = toolchain.clippy(project).with_context(|| {
        format!(
            "{} has no clippy: `cargo xtask setup` installs it",
            toolchain.name()
        )
    })?;
    command
        .args(TARGET_ARGUMENTS)
        .args(["--", "-D", "warnings"])
        .current_dir(folder(project));
    Ok(command)
}

/// Checks the probes' formatting with the host's rustfmt.
pub(crate) fn fmt(project: &Project) -> Command {
    let mut command = process::cargo();
    command
        .args(["fmt", "--check"])
        .current_dir(folder(project));
    command
}

fn toolchain(project: &Project) -> Result<Toolchain> {
    Toolchain::find(&Machine::here(project))
        .context("there is no compiler for the BPF target: `cargo xtask setup` installs one")
}
