//! The main job, step by step: a real session is seen, judged and cut off.
//!
//! The engineer only types; every step is checked from what the collector
//! says (`facts`), from /proc, from the revocation list, and from the client.
//! Nothing is taken for granted because it was asked for.

mod checks;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

pub use self::checks::{alert_of, confirmed_times, curl, expect, goes_to};
use crate::command::{self, command};
use crate::engineer::{Certificate, Engineer, Grant, Login};
use crate::facts::Facts;
use crate::poll;
use crate::processes::Process;
use crate::stage::{ACCOUNT, Stage};
use crate::steps::Report;
use crate::timeline::Timeline;

/// How long any one thing may take to be seen.
pub const SEEN_WITHIN: Duration = Duration::from_secs(15);

/// The tenant that the engineer may work for.
const OWN: &str = "acme";
/// The tenant that the engineer may not touch.
const FOREIGN: &str = "globex";

/// One engineer's way through the main job.
#[derive(Debug)]
pub struct Scene {
    /// What the collector says.
    pub facts: Arc<Facts>,
    /// The screen.
    pub timeline: Arc<Timeline>,
    /// What happened.
    pub report: Report,
    /// The person.
    pub engineer: Engineer,
    /// Their grant.
    pub grant: Grant,
    /// Their certificate, once they have it.
    pub certificate: Option<Certificate>,
    /// Their shell, while they are logged in.
    pub login: Option<Login>,
    /// The session's name, once it is known.
    pub session: String,
    /// The child that outlives its shell, once it runs.
    pub detached: Option<Process>,
    /// The order that ended the session, once it was given.
    pub order: String,
}

/// Plays the whole scene.
///
/// # Errors
/// It could not begin. What went wrong later is in the report.
pub fn play(stage: &mut Stage, facts: &Arc<Facts>, timeline: &Arc<Timeline>) -> Result<Report> {
    let mut scene = Scene::open(stage, facts, timeline, "alice")?;
    let played = scene.play_all(stage);
    scene.report.close(&played);
    Ok(scene.report)
}

impl Scene {
    /// An engineer of this name, with a grant for acme in mind.
    ///
    /// # Errors
    /// There is no sshd on the stage, or a program could not be started.
    pub fn open(
        stage: &Stage,
        facts: &Arc<Facts>,
        timeline: &Arc<Timeline>,
        name: &str,
    ) -> Result<Self> {
        Ok(Self {
            facts: Arc::clone(facts),
            timeline: Arc::clone(timeline),
            report: Report::new(),
            engineer: Engineer::new(stage, name)?,
            grant: Grant {
                id: format!("{name}-acme-1"),
                tenant: OWN.to_owned(),
                ticket: "INC-4711".to_owned(),
                purpose: "restore the web shop".to_owned(),
                valid_seconds: 3600,
            },
            certificate: None,
            login: None,
            session: String::new(),
            detached: None,
            order: String::new(),
        })
    }

    fn play_all(&mut self, stage: &mut Stage) -> Result<()> {
        self.arrives()?;
        self.works(stage)?;
        self.leaves_something_running()?;
        self.strays(stage)?;
        self.is_cut_off(stage)?;
        stage.services.check()
    }

    /// The engineer gets a certificate and logs in.
    ///
    /// # Errors
    /// A step did not happen.
    pub fn arrives(&mut self) -> Result<()> {
        let facts = &self.facts;
        self.report.step(
            "agent_watches",
            "the agent's probes run in the kernel",
            || {
                let fact = facts.wait("an agent that watches", SEEN_WITHIN, |fact| {
                    fact.is_event("agent_started")
                })?;
                Ok(((), fact.text("/what").to_owned()))
            },
        )?;
        let (name, grant) = (&self.engineer.name, &self.grant);
        self.timeline.tells(&format!(
            "{name} asks the broker for a certificate: {}, {}, {:?}, tier production, one hour",
            grant.tenant, grant.ticket, grant.purpose
        ));
        let engineer = &self.engineer;
        let about = "the broker issues a certificate for a grant";
        let certificate = self.report.step("certificate_issued", about, || {
            engineer.is_granted(grant)?;
            let certificate = engineer.gets_certificate(grant)?;
            ensure!(
                certificate
                    .key_id
                    .contains(&format!("eng={};", engineer.name)),
                "the key id {:?} does not name the engineer",
                certificate.key_id
            );
            let seen = format!("serial {}, {}", certificate.serial, certificate.key_id);
            Ok((certificate, seen))
        })?;
        let serial = certificate.serial;
        self.certificate = Some(certificate);
        self.timeline.tells(&format!(
            "{name} logs in to the shared account {ACCOUNT} with ssh"
        ));
        let about = "a real ssh login is bound to engineer, tenant and grant";
        let (login, session) = self.report.step("login_bound", about, || {
            let login = engineer.logs_in(ACCOUNT)?;
            let fact = facts.wait("a bound login", SEEN_WITHIN, |fact| {
                fact.is_event("session_opened")
                    && fact.number("/event/action/session/credential/serial") == Some(serial)
            })?;
            let session = checks::bound_session(&fact, engineer, grant)?;
            Ok(((login, session.clone()), format!("session {session}")))
        })?;
        self.login = Some(login);
        self.session = session;
        Ok(())
    }

    /// The engineer works for the tenant of the grant: all of it in scope.
    ///
    /// # Errors
    /// A step did not happen.
    pub fn works(&mut self, stage: &Stage) -> Result<()> {
        let (facts, session) = (&self.facts, &self.session);
        let login = self.login.as_mut().context("nobody is logged in")?;
        let place = stage.folder.at("srv").join(OWN);
        self.timeline.tells("works for acme: looks around");
        self.report.step(
            "commands_in_scope",
            "commands are seen and in scope",
            || {
                for line in ["uname -r".to_owned(), format!("ls -l {}", place.display())] {
                    ensure!(login.types(&line)?.code == 0, "`{line}` failed");
                }
                for program in ["/uname", "/ls"] {
                    expect(facts, session, "in_scope", "exec", |fact| {
                        fact.text("/event/action/exe/path/text").ends_with(program)
                    })?;
                }
                Ok(((), "uname and ls, in scope".to_owned()))
            },
        )?;
        let file = stage.folder.credential(OWN);
        self.timeline
            .tells(&format!("reads acme's credential: cat {}", file.display()));
        let about = "the tenant's own credential is in scope";
        self.report.step("own_credential_in_scope", about, || {
            let said = login.types(&format!("cat {}", file.display()))?;
            ensure!(
                said.code == 0 && said.text.contains("acme-admin"),
                "cat said {said:?}"
            );
            let fact = expect(facts, session, "in_scope", "credential", |fact| {
                fact.text("/event/action/object/path/text") == file.to_string_lossy()
            })?;
            Ok(((), fact.text("/what").to_owned()))
        })?;
        self.timeline
            .tells(&format!("connects to acme: {}", curl(OWN)));
        let about = "a connection to the tenant is in scope";
        self.report.step("own_connection_in_scope", about, || {
            let said = login.types(&curl(OWN))?;
            ensure!(said.text.trim() == OWN, "acme did not answer: {said:?}");
            let fact = expect(facts, session, "in_scope", "connect", |fact| {
                goes_to(fact, OWN)
            })?;
            Ok(((), fact.text("/what").to_owned()))
        })
    }

    /// The engineer starts a child that no end of the shell would end.
    ///
    /// # Errors
    /// The step did not happen.
    pub fn leaves_something_running(&mut self) -> Result<()> {
        let login = self.login.as_mut().context("nobody is logged in")?;
        let detach = "(setsid nohup sleep 600 </dev/null >/dev/null 2>&1 & echo $!)";
        self.timeline
            .tells(&format!("leaves something running: {detach}"));
        let about = "a detached child runs, with no tie to the shell";
        self.detached = Some(self.report.step("detached_child_runs", about, || {
            let said = login.types(detach)?;
            let pid = said
                .text
                .trim()
                .parse()
                .with_context(|| format!("a pid from {said:?}"))?;
            let process = poll::until("the detached child", SEEN_WITHIN, || {
                Ok(Process::of(pid).filter(|process| process.arguments() == "sleep 600"))
            })?;
            Ok((
                process,
                format!("pid {pid}, started at tick {}", process.started),
            ))
        })?);
        Ok(())
    }

    /// The engineer touches another tenant, twice.
    ///
    /// # Errors
    /// A step did not happen.
    pub fn strays(&mut self, stage: &Stage) -> Result<()> {
        let (facts, session) = (&self.facts, &self.session);
        let login = self.login.as_mut().context("nobody is logged in")?;
        let file = stage.folder.credential(FOREIGN);
        self.timeline.tells(&format!(
            "strays: reads globex's credential: cat {}",
            file.display()
        ));
        let about = "another tenant's credential is out of scope, and an alert";
        self.report.step("foreign_credential_alert", about, || {
            let said = login.types(&format!("cat {}", file.display()))?;
            ensure!(said.code == 0, "cat said {said:?}");
            let fact = expect(facts, session, "out_of_scope", "credential", |fact| {
                fact.text("/event/action/object/path/text") == file.to_string_lossy()
            })?;
            ensure!(
                fact.reason() == "wrong_tenant",
                "the reason is {:?}",
                fact.reason()
            );
            let alert = alert_of(facts, session, "notify", &fact)?;
            ensure!(login.types("true")?.code == 0, "the session does not go on");
            Ok(((), alert.text("/alert/sentence").to_owned()))
        })?;
        self.timeline
            .tells(&format!("connects to globex: {}", curl(FOREIGN)));
        let about = "the second access out of scope revokes";
        let alert = self.report.step("foreign_connection_revoked", about, || {
            // It may be cut off before it hears an answer.
            login.sends(&curl(FOREIGN))?;
            let fact = expect(facts, session, "out_of_scope", "connect", |fact| {
                goes_to(fact, FOREIGN)
            })?;
            ensure!(
                fact.reason() == "wrong_tenant",
                "the reason is {:?}",
                fact.reason()
            );
            let alert = alert_of(facts, session, "revoke", &fact)?;
            ensure!(
                !alert.text("/alert/order").is_empty(),
                "the alert names no order"
            );
            Ok((alert.clone(), alert.text("/alert/sentence").to_owned()))
        })?;
        alert.text("/alert/order").clone_into(&mut self.order);
        self.report.times.kernel_event_unix_ns = alert.number("/alert/event_at");
        self.report.times.alert_unix_ns = alert.number("/alert/at");
        Ok(())
    }

    /// The session is gone, the credential is revoked, the next login refused.
    ///
    /// # Errors
    /// A step did not happen.
    pub fn is_cut_off(&mut self, stage: &Stage) -> Result<()> {
        let detached = self.detached.context("no detached child ran")?;
        let login = self.login.as_mut().context("nobody is logged in")?;
        let about = "every process of the session is gone, the detached one included";
        self.report.step("session_gone", about, || {
            let (status, _) = login.ends(SEEN_WITHIN)?;
            poll::until_true("the end of the detached child", SEEN_WITHIN, || {
                !detached.lives()
            })?;
            Ok((
                (),
                format!("the client ended ({status}), pid {} is gone", detached.pid),
            ))
        })?;
        self.login = None;
        self.timeline
            .tells(&format!("{} tries to log in again", self.engineer.name));
        let engineer = &self.engineer;
        let refused = self
            .report
            .step("login_refused", "the next login is refused", || {
                let attempt = engineer.tries_to_log_in(ACCOUNT)?;
                ensure!(attempt.was_refused(), "it was not refused: {attempt:?}");
                Ok((attempt.clone(), attempt.said))
            })?;
        self.report.times.login_refused_unix_ns = Some(refused.over_unix_ns);
        self.timeline
            .tells(&format!("the next login is refused: {}", refused.said));
        let (facts, session, order) = (&self.facts, &self.session, &self.order);
        let about = "broker and host have both confirmed the order";
        let (times, receipt) = self.report.step("order_confirmed", about, || {
            let times = confirmed_times(stage, order)?;
            let receipt = facts.wait("the agent's receipt", SEEN_WITHIN, |fact| {
                fact.is_event("contained") && fact.text("/event/action/receipt/session") == session
            })?;
            ensure!(
                receipt.number("/event/action/receipt/left") == Some(0),
                "processes are left: {}",
                receipt.text("/what")
            );
            let what = receipt.text("/what").to_owned();
            Ok(((times, receipt), what))
        })?;
        let time = |name: &str| times.get(name).and_then(Value::as_u64);
        let of_host = |name: &str| receipt.number(&format!("/event/action/receipt/{name}"));
        self.report.times.ordered_unix_ns = time("ordered");
        self.report.times.broker_asked_unix_ns = time("delivered");
        self.report.times.host_told_unix_ns = of_host("received_at");
        self.report.times.held_unix_ns = of_host("denied_at");
        self.report.times.broker_answered_unix_ns = time("broker_answered");
        self.report.times.krl_published_unix_ns = time("krl_published");
        self.report.times.last_process_gone_unix_ns = time("last_process_gone");
        let certificate = self
            .certificate
            .as_ref()
            .context("there is no certificate")?;
        self.report.step(
            "serial_on_krl",
            "the certificate is on the revocation list",
            || {
                let mut query = command("ssh-keygen", ["-Q", "-f"]);
                let output = command::output(query.arg(stage.folder.krl()).arg(&certificate.file))?;
                let said = command::said(&output);
                ensure!(
                    output.status.code() == Some(1) && said.contains("REVOKED"),
                    "it says: {said}"
                );
                Ok(((), format!("serial {}: REVOKED", certificate.serial)))
            },
        )
    }
}
