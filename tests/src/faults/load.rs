//! Somebody at work while parts fail: programs and a credential, as fast as a
//! shell can.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

use crate::engineer::{Engineer, Grant, Login};
use crate::stage::folder::write;
use crate::stage::{ACCOUNT, Stage, TENANTS};

/// How long the grant holds; a stage stands for less.
const VALID_SECONDS: u64 = 3_600;

/// One session that works when it is told to.
#[derive(Debug)]
pub struct Load {
    login: Login,
    /// While this file is there, it works.
    go: PathBuf,
    line: String,
    /// What its shell says when it is done, while it works.
    works: Option<String>,
}

impl Load {
    /// An engineer who is logged in, and does nothing yet.
    ///
    /// # Errors
    /// They were not let in.
    pub fn new(stage: &Stage) -> Result<Self> {
        let [own, _] = TENANTS;
        let alice = Engineer::new(stage, "alice")?;
        let grant = Grant {
            id: format!("alice-{own}"),
            tenant: own.to_owned(),
            ticket: "INC-4711".to_owned(),
            purpose: "work while parts fail".to_owned(),
            valid_seconds: VALID_SECONDS,
        };
        alice.is_granted(&grant)?;
        alice.gets_certificate(&grant)?;
        let go = stage.folder.at("run/load");
        let line = format!(
            "n=0; while [ -e {go} ]; do /bin/true; cat {credential} >/dev/null || exit 1; n=$((n+1)); done; echo $n",
            go = go.display(),
            credential = stage.folder.credential(own).display(),
        );
        Ok(Self {
            login: alice.logs_in(ACCOUNT)?,
            go,
            line,
            works: None,
        })
    }

    /// Begins to work.
    ///
    /// # Errors
    /// The session has ended.
    pub fn begins(&mut self) -> Result<()> {
        write(&self.go, "", 0o644)?;
        self.works = Some(self.login.sends(&self.line)?);
        Ok(())
    }

    /// Stops working; how often it ran both programs.
    ///
    /// # Errors
    /// The session has ended, or a program failed.
    pub fn ends(&mut self) -> Result<u64> {
        let mark = self.works.take().context("nobody works")?;
        fs::remove_file(&self.go).with_context(|| format!("removing {}", self.go.display()))?;
        let said = self.login.hears(&self.line, &mark)?;
        ensure!(said.code == 0, "the work failed: {said:?}");
        let turns = said.text.trim().parse();
        turns.with_context(|| format!("reading {said:?}"))
    }
}
