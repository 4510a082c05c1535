//! One case after another, each in a session of its own, on one stage.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::alerts::{self, Tally};
use super::compare::{self, Found, Names, Object};
use super::discover::Case;
use super::end::Ends;
use super::expect::Interruption;
use super::ground::{self, Ground};
use super::needs;
use super::report::{CaseReport, Outcome, Report, head};
use super::sensing::Sensing;
use super::session::{Play, certified, inner_sessions, run_as_root};
use crate::clock::now_unix_ns;
use crate::engineer::Engineer;
use crate::facts::{Fact, Facts};
use crate::interrupt;
use crate::poll;
use crate::stage::cleanup;
use crate::stage::{Settings, Shape, Stage, TENANTS};

/// How long anything may take to be told, natively.
const TOLD_WITHIN: Duration = Duration::from_secs(15);
/// How long what a script leaves may outlive it, natively.
const LEFT_WITHIN: Duration = Duration::from_secs(5);

/// How many cases in a row may end without their last event.
const SILENT_MAX: u32 = 2;

/// What is run, and how.
#[derive(Debug, Clone)]
pub struct Run {
    /// The stage.
    pub settings: Settings,
    /// The cases.
    pub cases: Vec<Case>,
    /// Where their built programs are: a folder for each case that has some.
    pub built: Option<PathBuf>,
    /// [`Shape::Cases`], or [`Shape::OwnMachine`].
    pub shape: Shape,
    /// How much slower this machine is than one that does not emulate.
    pub slowness: u32,
}

/// Who plays, on what.
struct Theatre {
    stage: Stage,
    facts: Facts,
    ends: Ends,
    sensing: Sensing,
    own: Engineer,
    other: Engineer,
    /// How many cases in a row ended without their last event.
    silent: u32,
}

/// Plays every case; `tell` is given each line as it comes.
///
/// # Errors
/// The stage could not be set. What went wrong later is in the report.
pub fn run(run: &Run, mut tell: impl FnMut(&str)) -> Result<Report> {
    poll::allow_slowness(run.slowness);
    let stage = Stage::set_prepared(&run.settings, run.shape, |folder| {
        ground::prepare(folder, &run.cases, run.built.as_deref())
    })?;
    tell("the stage is set");
    let theatre = Theatre::open(stage)?;
    let mut report = Report {
        release: theatre.sensing.release.clone(),
        sensing: Some(theatre.sensing.clone()),
        cases: Vec::new(),
        error: None,
    };
    tell(&head());
    let mut theatre = theatre;
    for case in &run.cases {
        match theatre.play(case) {
            Ok(done) => {
                tell(&done.line());
                report.cases.push(done);
            }
            Err(error) => {
                report.error = Some(format!("{}: {error:#}", case.id));
                break;
            }
        }
    }
    if report.error.is_some() {
        theatre
            .stage
            .services
            .last_words()
            .iter()
            .for_each(|words| tell(words));
    }
    drop(theatre.facts);
    theatre.stage.take_down()?;
    Ok(report)
}

/// What a case did, before it is compared.
#[derive(Default)]
struct Done {
    /// How many facts there were, and when it was, before it began.
    from: usize,
    began_unix_ns: u64,
    names: Names,
    facts: Vec<Fact>,
    wrong: Vec<String>,
    tally: Tally,
}

impl Theatre {
    fn open(stage: Stage) -> Result<Self> {
        let facts = Facts::read(&stage.folder, Box::new(|_| {}))?;
        let started = facts.wait("an agent that watches", TOLD_WITHIN, |fact| {
            fact.is_event("agent_started")
        })?;
        let sensing = Sensing::of(&started, &stage.folder)?;
        let [own, other] = [("alice", 0), ("bob", 1)].map(|(name, tenant)| {
            let tenant = TENANTS.get(tenant).copied().unwrap_or_default();
            certified(&stage, name, tenant, TOLD_WITHIN)
        });
        let (own, other) = (own?, other?);
        let port = stage.sshd()?.port;
        ground::write_ssh(&stage.folder, &own, port)?;
        Ok(Self {
            ends: Ends::of(&stage.folder)?,
            stage,
            facts,
            sensing,
            own,
            other,
            silent: 0,
        })
    }

    /// An error means that no later case could be played either.
    fn play(&mut self, case: &Case) -> Result<CaseReport> {
        let start = Instant::now();
        let unmet: Vec<String> = case
            .expectations
            .needs
            .iter()
            .filter_map(|need| needs::unmet(need))
            .collect();
        if !unmet.is_empty() {
            return Ok(CaseReport::of(
                case,
                start,
                Outcome::CannotRun,
                unmet,
                Vec::new(),
            ));
        }
        let ground = Ground::of(&self.stage.folder, case, self.stage.sshd()?.port)?;
        let mut done = Done::default();
        let played = self.perform(case, &ground, &mut done);
        if played.is_err() {
            // What broke off in the middle must not reach into the next case.
            self.end_all_sessions()?;
        }
        let cleaned = run_as_root(case, &ground, "cleanup.sh", TOLD_WITHIN);
        for result in [played, cleaned] {
            match result {
                Err(error) if error.is::<interrupt::Interrupted>() => return Err(error),
                Err(error) => done.wrong.push(format!("{error:#}")),
                Ok(()) => {}
            }
        }
        self.stage.services.check()?;
        if self.silent >= SILENT_MAX {
            bail!("nothing is told any more: {}", done.wrong.join("; "));
        }
        Ok(self.judge(case, done, start))
    }

    fn perform(&mut self, case: &Case, ground: &Ground, done: &mut Done) -> Result<()> {
        for (source, name) in case.sources()? {
            if !ground.place.join(&name).is_file() {
                bail!("{} was not built: it did not compile", source.display());
            }
        }
        run_as_root(case, ground, "setup.sh", TOLD_WITHIN)?;
        let before = ground.objects(&case.expectations);
        (done.from, done.began_unix_ns) = (self.facts.count(), now_unix_ns());
        let seconds = Duration::from_secs(case.expectations.seconds);
        run_as_root(case, ground, "host.sh", seconds)?;
        let mut other = None;
        if case.file("other.sh").is_some() {
            let mut play = Play::start(&self.other, case, ground, "other.sh")?;
            play.waits_for(&ground.work.join("ready"), TOLD_WITHIN)?;
            done.names.other = self.session_of("bob", done)?;
            other = Some(play);
        }
        let played = self.play_script(case, ground, done);
        if let Some(mut other) = other {
            std::fs::write(ground.work.join("over"), "")?;
            if other.ends(LEFT_WITHIN).is_err() {
                self.end_all_sessions()?;
            }
        }
        self.settle(case, done)?;
        self.collect(case, ground, &before, done)?;
        played
    }

    fn play_script(&mut self, case: &Case, ground: &Ground, done: &mut Done) -> Result<()> {
        let mut play = Play::start(&self.own, case, ground, "script.sh")?;
        let session = self.session_of("alice", done);
        let deadline = Duration::from_secs(case.expectations.seconds);
        if let Some(interruption) = case.expectations.agent {
            play.waits_for(&ground.work.join("restart-agent"), deadline)?;
            self.stage.services.kill("monitor-agent")?;
            if interruption == Interruption::Detached {
                cleanup::detach(self.stage.folder.root())?;
            }
            self.stage.services.start_agent()?;
            self.stage.services.agent_is_ready()?;
            std::fs::write(ground.work.join("agent-restarted"), "")?;
        }
        let ended = play.ends(deadline);
        done.names.own = session?;
        let code = ended?.code().unwrap_or(-1);
        if !case.expectations.exit.contains(&code) {
            let words = crate::stage::services::last_lines(&play.log);
            done.wrong
                .push(format!("the script ended with {code}; {words}"));
        }
        Ok(())
    }

    /// The first session that a person opened since.
    fn session_of(&self, principal: &str, done: &Done) -> Result<String> {
        let (from, at) = (done.from, done.began_unix_ns);
        let what = format!("{principal}'s login");
        let fact = self.facts.wait_after(from, &what, TOLD_WITHIN, |fact| {
            fact.is_event("session_opened")
                && fact.text("/event/action/session/principal") == principal
                && fact.number("/event/at").is_some_and(|opened| opened >= at)
        })?;
        Ok(fact.text("/event/action/session/id").to_owned())
    }

    /// Waits until the sessions are over, makes them be, and until all is told.
    fn settle(&mut self, case: &Case, done: &mut Done) -> Result<()> {
        let from = done.from;
        let sessions = [done.names.own.clone(), done.names.other.clone()];
        for (place, session) in sessions
            .iter()
            .enumerate()
            .filter(|(_, session)| !session.is_empty())
        {
            let is_over = |fact: &Fact| {
                fact.is_event("session_ended") && fact.text("/event/action/session") == session
            };
            let what = format!("the end of session {session}");
            if case.expectations.leaves {
                self.end_all_sessions()?;
            }
            if self
                .facts
                .wait_after(from, &what, LEFT_WITHIN, is_over)
                .is_ok()
            {
                continue;
            }
            interrupt::check()?;
            if place == 0 {
                done.wrong.push(self.what_is_left()?);
            }
            self.end_all_sessions()?;
            if let Err(error) = self.facts.wait_after(from, &what, LEFT_WITHIN, is_over) {
                done.wrong.push(format!("{error:#}"));
            }
        }
        self.end_all_sessions()?;
        let told = self.ends.wait(&self.facts, TOLD_WITHIN);
        self.silent = if told.is_ok() {
            0
        } else {
            self.silent.saturating_add(1)
        };
        told
    }

    fn what_is_left(&self) -> Result<String> {
        let left = self.stage.sshd()?.login_processes()?;
        let names: Vec<String> = left.iter().map(|process| process.arguments()).collect();
        Ok(format!(
            "processes outlive the script: {}",
            names.join("; ")
        ))
    }

    fn end_all_sessions(&self) -> Result<()> {
        let sshd = self.stage.sshd()?;
        crate::processes::kill_until_none(|| sshd.login_processes()).map(drop)
    }

    fn collect(
        &self,
        case: &Case,
        ground: &Ground,
        before: &BTreeMap<String, Object>,
        done: &mut Done,
    ) -> Result<()> {
        done.names.objects = ground.names(before, &case.expectations)?;
        done.names.variables.clone_from(&ground.variables);
        done.facts = self.facts.since(done.from);
        let at = done.began_unix_ns;
        done.tally = Tally::of(&done.facts, at, |fact| self.ends.has(fact));
        let is_of_case = |fact: &Fact| fact.number("/event/at").is_some_and(|when| when >= at);
        done.facts
            .retain(|fact| is_of_case(fact) && !self.ends.has(fact));
        done.names.inner = inner_sessions(&done.facts, &done.names);
        Ok(())
    }

    fn judge(&self, case: &Case, done: Done, start: Instant) -> CaseReport {
        let Done {
            names,
            facts,
            mut wrong,
            tally,
            ..
        } = done;
        let mut expects: Vec<Found> = Vec::new();
        let mut blind_for = Vec::new();
        for sight in &case.expectations.expect {
            let mut found = compare::look_for(sight, &facts, &names);
            match self.blindness(case, &sight.name, &found) {
                Ok(None) => wrong.extend(found.differs.iter().cloned()),
                Ok(Some(reason)) => {
                    found.differs = vec![reason.clone()];
                    blind_for.push(reason);
                }
                Err(error) => wrong.push(format!("{}: {error:#}", sight.name)),
            }
            expects.push(found);
        }
        for sight in &case.expectations.never {
            wrong.extend(compare::look_for_forbidden(sight, &facts, &names));
        }
        if let Some(most) = &case.expectations.alerts {
            wrong.extend(alerts::beyond(most, &tally.alerts));
        }
        wrong.dedup();
        blind_for.dedup();
        let (outcome, reasons) = match (wrong.is_empty(), blind_for.is_empty()) {
            (false, _) => (Outcome::Failed, wrong),
            (true, false) => (Outcome::Blind, blind_for),
            (true, true) => (Outcome::Ok, Vec::new()),
        };
        CaseReport {
            events: tally.events,
            alerts: tally.alerts,
            ..CaseReport::of(case, start, outcome, reasons, expects)
        }
    }

    /// Why something is not seen, if it need not be; an error where that is
    /// said and not so, or so and not said by the agent.
    fn blindness(&self, case: &Case, name: &str, found: &Found) -> Result<Option<String>> {
        for blind in &case.expectations.blind {
            let is_meant = blind.expect.is_empty() || blind.expect.iter().any(|one| one == name);
            if !is_meant || !self.sensing.concerns(blind)? {
                continue;
            }
            if found.found > 0 {
                bail!(
                    "said not to be seen ({}), and seen {} times",
                    blind.reason,
                    found.found
                );
            }
            if !self.sensing.admits(blind) {
                bail!("not seen ({}), and doctor does not say so", blind.reason);
            }
            return Ok(Some(blind.reason.clone()));
        }
        Ok(None)
    }
}
