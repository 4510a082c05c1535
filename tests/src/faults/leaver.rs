//! Somebody whose access is withdrawn while parts fail: the order is given once
//! somebody takes it, and carried out once.

use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::Value;

use crate::command::{self, command};
use crate::engineer::{Certificate, Engineer, Grant, Login};
use crate::poll;
use crate::processes::Process;
use crate::stage::{ACCOUNT, Folder, TENANTS, config};

/// Who it is.
pub(super) const ENGINEER: &str = "bob";

/// How long anything may take once all parts are well again.
const SOON: Duration = Duration::from_secs(60);
/// How long an order may wait for somebody who takes it.
const TAKEN_WITHIN: Duration = Duration::from_secs(120);
/// How far back a login of this round may lie.
const SINCE: &str = "10m";

/// A session that is to end.
#[derive(Debug)]
pub struct Leaver {
    folder: Folder,
    certificate: Certificate,
    login: Login,
    detached: Process,
    session: String,
}

/// An order on its way to the collector.
#[derive(Debug)]
pub struct Ordered(JoinHandle<Result<String>>);

impl Leaver {
    /// Logs in with a grant of their own, and leaves a child behind; the
    /// collector knows the session when this returns.
    ///
    /// # Errors
    /// They were not let in, or nobody told of it.
    pub fn arrives(folder: &Folder, engineer: &Engineer, round: u64) -> Result<Self> {
        let [own, _] = TENANTS;
        let grant = Grant {
            id: format!("{}-{own}-{round}", engineer.name),
            tenant: own.to_owned(),
            ticket: "INC-4715".to_owned(),
            purpose: "work until told to leave".to_owned(),
            valid_seconds: 3_600,
        };
        engineer.is_granted(&grant)?;
        let certificate = engineer.gets_certificate(&grant)?;
        let mut login = engineer.logs_in(ACCOUNT)?;
        let said = login.types("(setsid nohup sleep 600 </dev/null >/dev/null 2>&1 & echo $!)")?;
        let pid = said.text.trim().parse();
        let pid = pid.with_context(|| format!("a pid from {said:?}"))?;
        let opened = patiently("the login in a ledger", || {
            session_of(folder, &engineer.name, certificate.serial)
        });
        Ok(Self {
            folder: folder.clone(),
            certificate,
            login,
            detached: Process::of(pid).context("the detached child is gone")?,
            session: opened?,
        })
    }

    /// Has the order given, again and again until the collector has taken it.
    #[must_use]
    pub fn is_ordered_off(&self) -> Ordered {
        let (folder, session) = (self.folder.clone(), self.session.clone());
        Ordered(thread::spawn(move || give(&folder, &session)))
    }

    /// Broker and host have confirmed, the login and what it left are over, the
    /// certificate is on the revocation list, and the session ended once.
    ///
    /// # Errors
    /// One of them is not so.
    pub fn is_gone(mut self, ordered: Ordered) -> Result<()> {
        let order = ordered.0.join();
        let order = order.map_err(|_| anyhow!("who gave the order panicked"))??;
        let mut state = Value::Null;
        let enforced = patiently("the order carried out", || {
            let arguments = ["orders", "show", &order, "-o", "json"];
            let mut show = config::monitorctl(&self.folder, arguments)?;
            let shown: Value = serde_json::from_str(&command::stdout(&mut show)?)?;
            state = shown.get("state").cloned().unwrap_or_default();
            Ok((state == "enforced").then_some(()))
        });
        enforced.with_context(|| format!("order {order} stands at {state}"))?;
        self.login.ends(SOON)?;
        poll::until_true("the end of the detached child", SOON, || {
            !self.detached.lives()
        })?;
        self.is_on_list()?;
        self.ended_once()
    }

    fn is_on_list(&self) -> Result<()> {
        let mut query = command("ssh-keygen", ["-Q", "-f"]);
        query.arg(self.folder.krl()).arg(&self.certificate.file);
        let output = command::output(&mut query)?;
        let said = command::said(&output);
        ensure!(
            output.status.code() == Some(1) && said.contains("REVOKED"),
            "serial {} is not on the revocation list: {said}",
            self.certificate.serial
        );
        Ok(())
    }

    fn ended_once(&self) -> Result<()> {
        let arguments = ["--session", &self.session, "--kind", "session_ended"];
        let times = patiently("the session's end in a ledger", || {
            let told = events(&self.folder, &arguments)?.len();
            Ok((told > 0).then_some(told))
        })?;
        ensure!(times == 1, "session {} ended {times} times", self.session);
        Ok(())
    }
}

/// Asks until there is an answer, also of a collector that is still coming back;
/// with the last thing that went wrong where there is none.
fn patiently<T>(what: &str, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let mut last = None;
    let answer = poll::until(what, SOON, || {
        Ok(ask().unwrap_or_else(|error| {
            last = Some(error);
            None
        }))
    });
    answer.map_err(|late| match last {
        Some(error) => error.context(format!("{late:#}")),
        None => late,
    })
}

/// Gives the order until somebody takes it; its id.
fn give(folder: &Folder, session: &str) -> Result<String> {
    let mut last = String::new();
    let given = poll::until("somebody who takes the order", TAKEN_WITHIN, || {
        let arguments = [
            "revoke",
            "--session",
            session,
            "--reason",
            "leaves while parts fail",
            "--yes",
            "--wait",
            "none",
            "-o",
            "json",
        ];
        let mut revoke = config::monitorctl(folder, arguments)?;
        let output = command::output(&mut revoke)?;
        if !output.status.success() {
            last = command::said(&output);
            return Ok(None);
        }
        let said: Value = serde_json::from_slice(&output.stdout)
            .with_context(|| format!("reading {}", command::said(&output)))?;
        let id = said.pointer("/order/id").and_then(Value::as_str);
        Ok(Some(id.context("an order without an id")?.to_owned()))
    });
    given.with_context(|| format!("the last answer was: {last}"))
}

/// The session that a certificate of somebody opened, once a ledger has it.
fn session_of(folder: &Folder, name: &str, serial: u64) -> Result<Option<String>> {
    let opened = events(folder, &["--principal", name, "--kind", "session_opened"])?;
    let of_serial = |event: &&Value| {
        let found = event.pointer("/event/action/session/credential/serial");
        found.and_then(Value::as_u64) == Some(serial)
    };
    let found = opened.iter().find(of_serial);
    let session = found.and_then(|event| event.pointer("/event/attribution/session")?.as_str());
    Ok(session.map(str::to_owned))
}

/// The events of the last minutes that fit.
fn events(folder: &Folder, which: &[&str]) -> Result<Vec<Value>> {
    let mut tail = config::monitorctl(
        folder,
        ["tail", "--since", SINCE, "--until-now", "-o", "ndjson"],
    )?;
    let text = command::stdout(tail.args(which))?;
    let lines = text.lines().map(serde_json::from_str::<Value>);
    let lines: Vec<Value> = lines.collect::<Result<_, _>>().context("reading tail")?;
    let is_event = |line: &Value| line.get("type").is_some_and(|kind| kind == "event");
    Ok(lines.into_iter().filter(is_event).collect())
}
