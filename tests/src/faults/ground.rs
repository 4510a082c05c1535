//! A stage on which parts fail: people at work, somebody who is to leave, and the
//! equation at the end of each round.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::chance::Chance;
use super::leaver::{ENGINEER, Leaver};
use super::link::Link;
use super::load::Load;
use super::proxy::Proxy;
use super::readers::Readers;
use super::report::Row;
use super::{Family, disk};
use crate::engineer::Engineer;
use crate::equation::{self, Sum};
use crate::poll;
use crate::stage::clocks;
use crate::stage::folder::write;
use crate::stage::program::Program;
use crate::stage::{Settings, Shape, Stage};

/// How long it may take until everything is stored once all parts are well.
const SETTLED_WITHIN: Duration = Duration::from_secs(120);
/// A moment comes within this after its time.
const LATE: Duration = Duration::from_secs(60);
/// Most time of work before the first fault.
const WARM: Duration = Duration::from_millis(200);
/// The agent comes back to the collector at least this often: a round is no
/// longer than it must be.
const RETRY_MS_MAX: u32 = 1_000;

/// The stage, and who is on it.
#[derive(Debug)]
pub struct Ground {
    /// When what fails; the seed's.
    pub(super) chance: Chance,
    /// Which round of its family this is, from one that the seed begins with: for
    /// what is gone through in turn.
    pub(super) turn: u64,
    /// The programs.
    pub(super) stage: Stage,
    proxy: Option<Proxy>,
    link: Option<Link>,
    readers: Option<Readers>,
    load: Load,
    leaver: Engineer,
    rounds: u64,
    faults: BTreeMap<String, u64>,
    newest: Sum,
    /// What a row has of this stage.
    counted: Sum,
}

impl Ground {
    /// Sets the stage for a family of faults.
    ///
    /// # Errors
    /// It could not be set.
    pub fn set(settings: &Settings, family: Family, mut chance: Chance, turn: u64) -> Result<Self> {
        let mut stage = Stage::set_prepared(settings, Shape::Scene, |folder| match family {
            Family::Disk => disk::lay(folder),
            Family::Clock => clocks::lay(folder.root()),
            Family::Kill
            | Family::Stop
            | Family::Net
            | Family::Packets
            | Family::Write
            | Family::Certs
            | Family::Torn
            | Family::Readers
            | Family::Rot => Ok(()),
        })?;
        let straight = stage.services.ports()?.collector;
        let proxy = (family == Family::Net)
            .then(|| Proxy::to(straight))
            .transpose()?;
        let link = (family == Family::Packets)
            .then(|| Link::to(straight, &mut chance))
            .transpose()?;
        let port = proxy.as_ref().map_or(straight, Proxy::port);
        let way = match &link {
            Some(link) => link.far_end().to_string(),
            None => format!("localhost:{port}"),
        };
        agent_comes_back_soon(&mut stage, &way)?;
        let readers = (family == Family::Readers)
            .then(|| Readers::begin(&stage.folder))
            .transpose()?;
        Ok(Self {
            chance,
            turn,
            load: Load::new(&stage)?,
            leaver: Engineer::new(&stage, ENGINEER)?,
            newest: equation::holds(&stage.folder)?,
            counted: Sum::default(),
            stage,
            proxy,
            link,
            readers,
            rounds: 0,
            faults: BTreeMap::new(),
        })
    }

    /// One round: people work, parts fail and are well again, and every number
    /// is in one place.
    ///
    /// # Errors
    /// A part did not come back, the order was not carried out, or the equation
    /// does not hold.
    pub fn plays(&mut self, family: Family, row: &mut Row) -> Result<()> {
        self.rounds += 1;
        let leaver = Leaver::arrives(&self.stage.folder, &self.leaver, self.rounds)?;
        self.load.begins()?;
        self.waits(WARM)?;
        let ordered = leaver.is_ordered_off();
        family.strike(self)?;
        self.turn = self.turn.wrapping_add(1);
        let well = Instant::now();
        self.stage.services.core_is_ready()?;
        leaver.is_gone(ordered)?;
        let turns = self.load.ends()?;
        let sum = self.settles()?;
        if let Some(readers) = &mut self.readers {
            readers.have_read()?;
        }
        self.stage.services.check()?;
        // Each turn starts two programs.
        let before = self.newest.produced;
        ensure!(
            turns > 0 && sum.produced >= before + 2 * turns,
            "{turns} turns of work, and numbers up to {}, with {before} before",
            sum.produced
        );
        row.add(&std::mem::take(&mut self.faults), &self.counted, &sum);
        row.settled_within(well.elapsed());
        (self.newest, self.counted) = (sum.clone(), sum);
        Ok(())
    }

    /// Until a moment that chance takes, below a bound.
    ///
    /// # Errors
    /// Somebody asked to stop.
    pub(super) fn waits(&mut self, bound: Duration) -> Result<()> {
        let (start, time) = (Instant::now(), self.chance.within(bound));
        let is_here = || start.elapsed() >= time;
        poll::until_true("a moment", time.saturating_add(LATE), is_here)
    }

    /// Counts a fault that was injected.
    pub(super) fn counts(&mut self, fault: &str) {
        self.counts_times(fault, 1);
    }

    /// Counts a fault that was injected several times.
    pub(super) fn counts_times(&mut self, fault: &str, times: u64) {
        *self.faults.entry(fault.to_owned()).or_default() += times;
    }

    /// How often a program said something, since the stage was set.
    ///
    /// # Errors
    /// Its log cannot be read.
    pub(super) fn said(&self, program: Program, words: &str) -> Result<usize> {
        let log = self.stage.folder.at("log");
        let log = log.join(format!("{}.log", program.name()));
        let text =
            fs::read_to_string(&log).with_context(|| format!("reading {}", log.display()))?;
        Ok(text.matches(words).count())
    }

    /// The way from the agent to the collector.
    ///
    /// # Errors
    /// It leads there straight.
    pub(super) fn proxy(&self) -> Result<&Proxy> {
        self.proxy.as_ref().context("no way of this stage can fail")
    }

    /// The link by which the agent's packets go.
    ///
    /// # Errors
    /// They stay on this machine.
    pub(super) fn link(&self) -> Result<&Link> {
        self.link
            .as_ref()
            .context("packets stay on this machine on this stage")
    }

    /// Who subscribes.
    ///
    /// # Errors
    /// Nobody does.
    pub(super) fn readers(&mut self) -> Result<&mut Readers> {
        self.readers
            .as_mut()
            .context("nobody subscribes on this stage")
    }

    /// Everything that was produced by now is stored, or named as missing.
    fn settles(&self) -> Result<Sum> {
        let folder = &self.stage.folder;
        let bound = equation::holds(folder)?;
        ensure!(bound.by_kernel > 0, "the kernel counts nothing: {bound:?}");
        let mut last = bound.clone();
        let settled = poll::until("every number in a ledger", SETTLED_WITHIN, || {
            last = equation::holds(folder)?;
            let is_settled = last.stored + last.gaps >= bound.produced;
            Ok(is_settled.then(|| last.clone()))
        });
        settled.with_context(|| format!("{last:?}"))
    }
}

/// Has the agent start with a short pause between its tries, and dial the collector
/// so.
fn agent_comes_back_soon(stage: &mut Stage, way: &str) -> Result<()> {
    let file = stage.folder.at(Program::Agent.config());
    let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    let line = |way: &str| format!("address = \"https://{way}\"\n");
    let straight = line(&format!("localhost:{}", stage.services.ports()?.collector));
    let changed = format!("{}retry_ms_max = {RETRY_MS_MAX}\n", line(way));
    ensure!(
        text.contains(&straight),
        "{} names no collector",
        file.display()
    );
    write(&file, &text.replace(&straight, &changed), 0o644)?;
    stage.services.kill(Program::Agent.name())?;
    stage.services.start_program(Program::Agent)?;
    stage.services.core_is_ready()
}
