//! Real sessions that play the scripts, and who opens them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::compare::Names;
use super::discover::Case;
use super::ground::{Ground, account_name};
use crate::command::{self, command};
use crate::engineer::{Engineer, Grant};
use crate::facts::Fact;
use crate::interrupt;
use crate::poll;
use crate::stage::services::last_lines;
use crate::stage::{ACCOUNT, Stage};

/// One script in one session.
#[derive(Debug)]
pub struct Play {
    client: Child,
    /// What it said.
    pub log: PathBuf,
}

impl Play {
    /// Logs in and plays a script, or without one the case's program.
    ///
    /// # Errors
    /// The client could not be started.
    pub fn start(engineer: &Engineer, case: &Case, ground: &Ground, script: &str) -> Result<Self> {
        let log = ground.environment.with_extension(format!("{script}.log"));
        let file = fs::File::create(&log).with_context(|| format!("writing {}", log.display()))?;
        let mut client = engineer.client(account_name(case.expectations.account));
        // The default would be slow where the processor is emulated.
        client.args(["-o", "KexAlgorithms=curve25519-sha256"]);
        if case.expectations.tty {
            client.arg("-tt");
        }
        let environment = ground.environment.display();
        let what = match case.file(script) {
            Some(_) => format!("bash '{}'", ground.place.join(script).display()),
            // A shell that sshd gives a command to looks at no BASH_ENV.
            None => format!(
                "bash -c '. \"{environment}\"; exec \"{}\"'",
                ground.place.join("case").display()
            ),
        };
        let client = client
            .arg(format!("BASH_ENV='{environment}' exec {what}"))
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .context("starting ssh")?;
        Ok(Self { client, log })
    }

    /// Waits until the client has ended.
    ///
    /// # Errors
    /// It still runs at the deadline: it is killed, and its last words told.
    pub fn ends(&mut self, deadline: Duration) -> Result<ExitStatus> {
        let start = Instant::now();
        let ended = poll::until("the end of the script", deadline, || {
            Ok(self.client.try_wait()?)
        });
        ended.map_err(|error| {
            self.kill();
            if error.is::<interrupt::Interrupted>() {
                return error;
            }
            anyhow::anyhow!(
                "the script did not end within {:.0} s; {}",
                start.elapsed().as_secs_f32(),
                last_lines(&self.log)
            )
        })
    }

    /// Waits until something is there, as long as the client lives.
    ///
    /// # Errors
    /// The client ended before, or the deadline passed.
    pub fn waits_for(&mut self, file: &Path, deadline: Duration) -> Result<()> {
        let what = file.display().to_string();
        poll::until(&what, deadline, || {
            if file.exists() {
                return Ok(Some(()));
            }
            if let Some(status) = self.client.try_wait()? {
                bail!(
                    "it ended before it made {what} ({status}); {}",
                    last_lines(&self.log)
                );
            }
            Ok(None)
        })
    }

    /// Ends the client.
    pub fn kill(&mut self) {
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

impl Drop for Play {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs `setup.sh`, `host.sh` or `cleanup.sh` as root, if the case has it.
///
/// # Errors
/// It failed, or did not end in time: with its last words.
pub fn run_as_root(case: &Case, ground: &Ground, script: &str, deadline: Duration) -> Result<()> {
    if case.file(script).is_none() {
        return Ok(());
    }
    let log = ground.environment.with_extension(format!("{script}.log"));
    let file = fs::File::create(&log).with_context(|| format!("writing {}", log.display()))?;
    let mut bash: Command = command("timeout", ["-k", "2"]);
    bash.arg(poll::allowed(deadline).as_secs().max(1).to_string())
        .arg("bash")
        .arg(ground.place.join(script))
        .env("BASH_ENV", &ground.environment)
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file);
    let status = bash
        .status()
        .with_context(|| format!("`{}` could not be started", command::shown(&bash)))?;
    if !status.success() {
        bail!("{script} failed ({status}); {}", last_lines(&log));
    }
    Ok(())
}

/// A person with a grant and a certificate, who can log in.
///
/// # Errors
/// The broker refused, or sshd did.
pub fn certified(stage: &Stage, name: &str, tenant: &str, deadline: Duration) -> Result<Engineer> {
    let engineer = Engineer::new(stage, name)?;
    let grant = Grant {
        id: format!("{name}-{tenant}-1"),
        tenant: tenant.to_owned(),
        ticket: "INC-4711".to_owned(),
        purpose: "cases".to_owned(),
        valid_seconds: 3600,
    };
    engineer.is_granted(&grant)?;
    engineer.gets_certificate(&grant)?;
    let mut last = String::new();
    let logged_in = poll::until(&format!("{name} being let in"), deadline, || {
        let attempt = engineer.tries_to_log_in(ACCOUNT)?;
        last.clone_from(&attempt.said);
        Ok(attempt.status.success().then_some(()))
    });
    logged_in.with_context(|| format!("the client said: {last}"))?;
    Ok(engineer)
}

/// The sessions that the person opened beside the own one, and those of which
/// nobody knows whose they are.
#[must_use]
pub fn inner_sessions(facts: &[Fact], names: &Names) -> Vec<String> {
    let opened = facts.iter().filter(|fact| {
        let principal = fact.text("/event/action/session/principal");
        fact.is_event("session_opened") && ["alice", ""].contains(&principal)
    });
    let sessions = opened.map(|fact| fact.text("/event/action/session/id").to_owned());
    sessions
        .filter(|session| *session != names.own && *session != names.other)
        .collect()
}
