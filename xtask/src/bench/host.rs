//! The bench on this machine's own kernel, in nanoseconds of the caller.
//!
//! The agent works on another processor meanwhile; its processor time is told
//! beside. Leaves nothing: the agent is ended and its probes are taken away.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::process;

use super::Scenario;
use super::programs::Programs;
use super::report::{self, Clock, Cost, Measured};

const PINS: &str = "/sys/fs/bpf/monitor-bench";
const START_LIMIT: Duration = Duration::from_secs(20);
const SETTLE: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(50);

/// Measures every scenario, one after another.
pub(super) fn measure(programs: &Programs, only: Option<&str>) -> Result<Measured> {
    let stage = programs.folder.join("stage");
    process::quiet_stdout_of(Command::new(&programs.load).arg("stage").arg(&stage))?;
    let without = load(programs, &stage, (None, only))?;
    let agent = Agent::start(programs, &stage)?;
    let with = load(programs, &stage, (Some(agent.child.id()), only))?;
    for folder in links()? {
        fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
    }
    let detached = load(programs, &stage, (Some(agent.child.id()), only))?;
    drop(agent);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    Ok(Measured {
        kernel: kernel.trim().to_owned(),
        clock: Clock::Nanoseconds,
        costs: vec![
            (Scenario::Without, without),
            (Scenario::With, with),
            (Scenario::Detached, detached),
        ],
    })
}

fn load(
    programs: &Programs,
    stage: &Path,
    (agent, only): (Option<u32>, Option<&str>),
) -> Result<Vec<Cost>> {
    let mut command = Command::new(&programs.load);
    command
        .args(["measure", "--root"])
        .arg(stage)
        .arg("--nothing")
        .arg(&programs.nothing);
    if let Some(agent) = agent {
        command.args(["--beside", &agent.to_string()]);
    }
    if let Some(only) = only {
        command.args(["--only", only]);
    }
    report::read(&process::quiet_stdout_of(&mut command)?)
}

/// Folders of the pinned links: each version of the probes has one.
fn links() -> Result<Vec<PathBuf>> {
    let Ok(versions) = fs::read_dir(PINS) else {
        return Ok(Vec::new());
    };
    let mut folders = Vec::new();
    for version in versions {
        let folder = version?.path().join("links");
        if folder.is_dir() {
            folders.push(folder);
        }
    }
    Ok(folders)
}

struct Agent<'a> {
    child: Child,
    program: &'a Path,
    configuration: PathBuf,
}

impl<'a> Agent<'a> {
    fn start(programs: &'a Programs, stage: &Path) -> Result<Self> {
        let kept = programs.folder.join("state");
        if kept.exists() {
            fs::remove_dir_all(&kept).with_context(|| format!("removing {}", kept.display()))?;
        }
        let configuration = programs.folder.join("agent.toml");
        let (pki, stage) = (programs.certificates.display(), stage.display());
        let text = format!(
            "state_dir = \"{state}\"\nsocket = \"{state}/agent.sock\"\npin_dir = \"{PINS}\"\n\
             [collector]\naddress = \"https://localhost:7443\"\n\
             [tls]\nca = \"{pki}/ca.pem\"\ncertificate = \"{pki}/agent.pem\"\nkey = \"{pki}/agent.key\"\n\
             [[watch]]\npattern = \"{stage}/srv/{{tenant}}/credentials/**\"\nclass = \"kubeconfig\"\n",
            state = kept.display(),
        );
        fs::write(&configuration, text)
            .with_context(|| format!("writing {}", configuration.display()))?;
        let log = fs::File::create(programs.folder.join("agent.log"))?;
        let child = Command::new(&programs.agent)
            .args(["run", "--config"])
            .arg(&configuration)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("{} could not be started", programs.agent.display()))?;
        let agent = Self {
            child,
            program: &programs.agent,
            configuration,
        };
        wait_for(&kept.join("agent.sock"))?;
        Ok(agent)
    }
}

impl Drop for Agent<'_> {
    fn drop(&mut self) {
        let _ = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        let _ = self.child.wait();
        let _ = Command::new(self.program)
            .args(["detach", "--config"])
            .arg(&self.configuration)
            .stdout(Stdio::null())
            .status();
    }
}

fn wait_for(socket: &Path) -> Result<()> {
    let start = Instant::now();
    while !socket.exists() {
        if start.elapsed() > START_LIMIT {
            bail!("the agent did not start; see agent.log beside its configuration");
        }
        thread::sleep(POLL);
    }
    thread::sleep(SETTLE);
    Ok(())
}
