//! What a bench runs: the load, the smallest program, the agent and its files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cache::Project;
use crate::host_build::{self, Profile};
use crate::process;

use super::report;

/// Every program, and the folder of the agent's certificate.
#[derive(Debug)]
pub(super) struct Programs {
    /// `tests/cost/load.rs`, static.
    pub(super) load: PathBuf,
    /// `tests/cost/nothing.rs`, static.
    pub(super) nothing: PathBuf,
    /// The agent.
    pub(super) agent: PathBuf,
    /// `ca.pem`, `agent.pem`, `agent.key`.
    pub(super) certificates: PathBuf,
    /// Where temporary files go.
    pub(super) folder: PathBuf,
}

impl Programs {
    /// Builds what is not given.
    pub(super) fn make(project: &Project, agent: Option<&Path>) -> Result<Self> {
        let folder = folder(project)?;
        let load = compile(project, &folder, "load")?;
        let nothing = compile(project, &folder, "nothing")?;
        let agent = match agent {
            Some(agent) => agent.to_path_buf(),
            None => host_build::build_all(project, Profile::Release)?
                .programs
                .join("monitor-agent"),
        };
        // A build makes both.
        let control = agent.with_file_name("monitorctl");
        let certificates = certificates(&folder, &control)?;
        Ok(Self {
            load,
            nothing,
            agent,
            certificates,
            folder,
        })
    }
}

fn folder(project: &Project) -> Result<PathBuf> {
    let folder = project.cache().join("bench");
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    Ok(folder)
}

/// The programs are one file each without dependencies: rustc alone makes them
/// static, and nothing of the workspace is built another way for it.
fn compile(project: &Project, folder: &Path, name: &str) -> Result<PathBuf> {
    let program = folder.join(name);
    let source = project.root().join("tests/cost").join(name);
    let mut command = Command::new("rustc");
    command
        .args(["--edition", "2024", "-O", "-D", "warnings"])
        .args(["-C", "target-feature=+crt-static", "-C", "panic=abort"])
        .args(["-C", "strip=symbols", "-o"])
        .arg(&program)
        .arg(source.with_extension("rs"));
    process::quiet_stdout_of(&mut command)?;
    Ok(program)
}

fn certificates(folder: &Path, control: &Path) -> Result<PathBuf> {
    let made = folder.join("pki");
    if made.exists() {
        fs::remove_dir_all(&made).with_context(|| format!("removing {}", made.display()))?;
    }
    let pki = |arguments: &[&str]| {
        let mut command = Command::new(control);
        command.arg("pki").args(arguments).arg("--dir").arg(&made);
        process::quiet_stdout_of(&mut command)
    };
    pki(&["init"])?;
    pki(&["issue", "--role", "agent", "--name", "agent"])?;
    Ok(made)
}

/// A short run of the load alone: it works, and what it says can be read.
pub(crate) fn smoke(project: &Project) -> Result<usize> {
    let folder = folder(project)?;
    let load = compile(project, &folder, "load")?;
    let nothing = compile(project, &folder, "nothing")?;
    let stage = folder.join("stage");
    process::quiet_stdout_of(Command::new(&load).arg("stage").arg(&stage))?;
    let mut command = Command::new(&load);
    command
        .args(["measure", "--share", "100", "--root"])
        .arg(&stage)
        .arg("--nothing")
        .arg(&nothing);
    let costs = report::read(&process::quiet_stdout_of(&mut command)?)?;
    if costs.len() < report::OPERATIONS.len() {
        bail!(
            "the load measured {} of {} operations",
            costs.len(),
            report::OPERATIONS.len()
        );
    }
    Ok(costs.len())
}
