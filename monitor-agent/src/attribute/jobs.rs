//! Whose work a process does that carries no mark: daemons start work that a
//! session left to them, and nothing of it descends from the session.
//!
//! In: events in the order of their records. Out: for each unmarked process an
//! attribution (a job of a session, a workload, or why neither), and the
//! processes that are to be marked. A job gets a mark of its own, so that the
//! kernel spreads it, refuses for it, and ends it, as with a session.
//!
//! Found are jobs of cron and at, and units of systemd that a session wrote.
//! Units that were asked for by a request (`systemd-run`) are told as workloads.
//! What fits several sessions is told so, with each of them; a name is never
//! guessed.
//!
//! - [`table`]: the jobs that live. [`written`]: who wrote what daemons act on.
//!   [`cron`]: which table holds a command. [`groups`]: control groups and units.
//!
//! Bound: [`PROCESSES_MAX`], [`JOBS_MAX`], and those of the parts; what is
//! forgotten to make room is attributed as a workload.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use monitor_model::{
    bytes::ByteText,
    clock::UnixNs,
    event::{Action, Attribution, Carrier, Event, Lineage, NoSession, Process, Step},
    id::SessionId,
};

use super::Host;
use crate::directory::Directory;

pub mod cron;
pub mod groups;
pub mod table;
pub mod written;

use groups::{Group, Groups};
pub use table::{JOBS_MAX, Job, SharedJobs};
use written::{Writing, Written};

/// Most processes of jobs that are remembered.
pub const PROCESSES_MAX: usize = 65_536;
/// What is to be done about a process that was found to work for somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// A job began with this process.
    Began {
        /// The job.
        job: Job,
        /// Its first process.
        process: (u32, u64),
    },
    /// One more process of a job has no mark yet.
    Joined {
        /// The job.
        job: SessionId,
        /// The process.
        process: (u32, u64),
    },
}

/// The table of everything that is known of work outside of sessions.
#[derive(Debug, Default)]
pub struct Jobs {
    living: SharedJobs,
    written: Written,
    groups: Groups,
    directory: Arc<Directory>,
    /// By process id: its start, and its job.
    processes: HashMap<u32, (u64, SessionId)>,
    /// The job of a unit, while it lives.
    of_group: HashMap<u64, SessionId>,
    deeds: Vec<Deed>,
}

/// What is known of an unmarked process.
enum Found {
    /// A job that goes on.
    Job(SessionId),
    /// Work that begins.
    Handed(Attribution, Option<u64>),
    /// Nobody's that is known.
    Nobody(Attribution),
}

impl Jobs {
    /// Over the jobs that containment ends.
    #[must_use]
    pub fn new(living: SharedJobs, directory: Arc<Directory>) -> Self {
        Self {
            living,
            directory,
            ..Self::default()
        }
    }

    /// Goes on with what was known before a restart.
    pub fn resume(&mut self, jobs: Vec<Job>, writings: Vec<Writing>) {
        for job in jobs {
            // As many as were there before: there is room.
            let _ = self.living.put(job);
        }
        for writing in writings {
            self.written.put(writing);
        }
    }

    /// What is to be done, since this was last asked.
    pub fn take_deeds(&mut self) -> Vec<Deed> {
        std::mem::take(&mut self.deeds)
    }

    /// What was written since this was last asked, to be kept.
    pub fn take_writings(&mut self) -> Vec<Writing> {
        self.written.take_new()
    }

    /// A control group by its number; `pid` is a process that was in it.
    pub(super) fn group(&mut self, id: u64, pid: u32, host: &mut dyn Host) -> Option<Group> {
        self.groups.get(id, pid, host)
    }

    /// The attribution of a job's mark.
    #[must_use]
    pub fn of_mark(&self, mark: SessionId) -> Option<Attribution> {
        self.living.get(mark).map(|job| job.attribution)
    }

    /// The living jobs.
    #[must_use]
    pub fn living(&self) -> Vec<SessionId> {
        self.living.living()
    }

    /// A job's last process is gone; `false` where it is no job.
    pub fn end(&mut self, id: SessionId) -> bool {
        self.of_group.retain(|_, job| *job != id);
        self.living.remove(id).is_some()
    }

    /// Learns from an event what it says of work that is left to others.
    pub fn learn(&mut self, event: &Event) {
        self.written.learn(event);
    }

    /// A process ended so long ago that nothing of it comes any more.
    pub(super) fn forget(&mut self, (pid, start): (u32, u64)) {
        let found = self.processes.get(&pid);
        if found.is_some_and(|(known, _)| *known == start) {
            self.processes.remove(&pid);
        }
    }

    /// To whom an unmarked process belongs.
    pub fn of_unmarked(
        &mut self,
        process: &Process,
        action: &Action,
        at: UnixNs,
        host: &mut dyn Host,
    ) -> Attribution {
        let key = (process.pid, process.start_boot_ns);
        match self.find(process, action, at, host) {
            Found::Nobody(attribution) => attribution,
            Found::Job(id) => self.join(key, id),
            Found::Handed(attribution, group) => self.begin(key, attribution, group, (at, host)),
        }
    }

    /// One more process of a job.
    fn join(&mut self, process: (u32, u64), id: SessionId) -> Attribution {
        let Some(job) = self.living.get(id) else {
            self.processes.remove(&process.0);
            return Attribution::none(NoSession::NoMark);
        };
        if self.remember(process, id) {
            self.deeds.push(Deed::Joined { job: id, process });
        }
        job.attribution
    }

    /// Work begins.
    fn begin(
        &mut self,
        process: (u32, u64),
        attribution: Attribution,
        group: Option<u64>,
        (at, host): (UnixNs, &mut dyn Host),
    ) -> Attribution {
        let Some(id) = host.new_id(at) else {
            return attribution;
        };
        let job = Job {
            id,
            attribution: attribution.clone(),
        };
        if self.living.put(job.clone()) {
            self.remember(process, id);
            if let Some(group) = group {
                self.of_group
                    .retain(|_, job| self.living.get(*job).is_some());
                self.of_group.insert(group, id);
            }
            self.deeds.push(Deed::Began { job, process });
        }
        attribution
    }

    /// Whether it is new.
    fn remember(&mut self, (pid, start): (u32, u64), id: SessionId) -> bool {
        if self.processes.len() >= PROCESSES_MAX && !self.processes.contains_key(&pid) {
            let living = &self.living;
            self.processes
                .retain(|_, (_, job)| living.get(*job).is_some());
            if self.processes.len() >= PROCESSES_MAX {
                return false;
            }
        }
        self.processes.insert(pid, (start, id)) != Some((start, id))
    }

    fn find(
        &mut self,
        process: &Process,
        action: &Action,
        at: UnixNs,
        host: &mut dyn Host,
    ) -> Found {
        if let Some((start, id)) = self.processes.get(&process.pid)
            && *start == process.start_boot_ns
        {
            return Found::Job(*id);
        }
        if let Some((start, id)) = self.processes.get(&process.parent_pid)
            && *start <= process.start_boot_ns
        {
            return Found::Job(*id);
        }
        let Some(group) = self.groups.get(process.cgroup_id, process.pid, host) else {
            return Found::Nobody(Attribution::none(NoSession::NoMark));
        };
        if let Some(id) = self.of_group.get(&process.cgroup_id)
            && self.living.get(*id).is_some()
        {
            return Found::Job(*id);
        }
        if let Action::Exec { argv, .. } = action {
            let handed = match group.scheduler() {
                Some(groups::Scheduler::Cron) => self.of_cron(process, argv, host),
                Some(groups::Scheduler::At) => self.of_at(process, at),
                None => self.of_unit(&group, process.cgroup_id, host),
            };
            if let Some(found) = handed {
                return found;
            }
        }
        Found::Nobody(self.workload(&group, at))
    }

    /// A command that cron starts: by the tables that hold it.
    fn of_cron(&self, process: &Process, argv: &[ByteText], host: &mut dyn Host) -> Option<Found> {
        let [_, flag, command] = argv else {
            return None;
        };
        if flag.0 != b"-c" {
            return None;
        }
        let tables = cron::tables_with(&command.0, process.uid, host);
        if tables.is_empty() {
            return None;
        }
        let steps: Vec<_> = tables
            .iter()
            .map(|table| self.written.step(table, Carrier::JobFile))
            .collect();
        handed(steps, "cron").map(|attribution| Found::Handed(attribution, None))
    }

    /// A job of at: the files that are due, of this account.
    fn of_at(&self, process: &Process, at: UnixNs) -> Option<Found> {
        let due = self.written.jobs_of_at(process.uid, at);
        let steps = due.into_iter().map(|writing| {
            (
                Some(writing.attribution.clone()),
                writing.step(Carrier::JobFile),
            )
        });
        handed(steps.collect(), "atd").map(|attribution| Found::Handed(attribution, None))
    }

    /// A unit: by who wrote its files, or asked for it.
    fn of_unit(&self, group: &Group, id: u64, host: &mut dyn Host) -> Option<Found> {
        let unit = group.unit()?;
        let manager = unit.manager();
        let files = unit.files(host);
        let written: Vec<_> = files
            .iter()
            .map(|file| self.written.step(file, Carrier::Unit))
            .filter(|(who, _)| who.is_some())
            .collect();
        // One that was made by a request has no such file, and is nobody's: of
        // processes outside of sessions it is not seen who asked the manager.
        if written.is_empty() {
            return None;
        }
        handed(written, manager).map(|attribution| Found::Handed(attribution, Some(id)))
    }

    /// What the directory says of work outside of any login.
    fn workload(&self, group: &Group, at: UnixNs) -> Attribution {
        let Some(name) = group.workload() else {
            return Attribution::none(NoSession::NoMark);
        };
        let way = vec![Step {
            carrier: Carrier::Daemon,
            name: ByteText(name.to_vec()),
            at: None,
            session: None,
        }];
        match self.directory.workload(name, at) {
            Some(workload) => Attribution {
                principal: Some(workload.id.clone()),
                lineage: Lineage::Linked,
                reason: Some(NoSession::Workload),
                way,
                ..Attribution::none(NoSession::Workload)
            },
            None => Attribution {
                way,
                ..Attribution::none(NoSession::UnregisteredWorkload)
            },
        }
    }
}

/// The attribution of work by those who may have handed it over, each with the
/// step that says so. One session alone: it is its work. Several, or one beside
/// somebody unknown: nobody's, and each is named. Nobody known: none.
fn handed(steps: Vec<(Option<Attribution>, Step)>, daemon: &str) -> Option<Attribution> {
    let by = Step {
        carrier: Carrier::Daemon,
        name: ByteText(daemon.into()),
        at: None,
        session: None,
    };
    let sessions: BTreeSet<Option<SessionId>> = steps
        .iter()
        .map(|(who, _)| who.as_ref().and_then(|who| who.session))
        .collect();
    if !sessions.iter().any(Option::is_some) {
        return None;
    }
    let one = sessions.len() == 1;
    let who = steps.iter().find_map(|(who, _)| who.clone());
    let mut way: Vec<Step> = Vec::new();
    for (_, step) in steps {
        if !way.contains(&step) && way.len() + 1 < monitor_model::event::handover::STEPS_MAX {
            way.push(step);
        }
    }
    way.push(by);
    match who {
        // The writer's own way comes first: work that work handed on.
        Some(who) if one => {
            let mut whole = who.way.clone();
            whole.extend(way);
            let extra = whole
                .len()
                .saturating_sub(monitor_model::event::handover::STEPS_MAX);
            Some(Attribution {
                lineage: match who.lineage {
                    Lineage::Kernel => Lineage::Linked,
                    known @ (Lineage::Linked | Lineage::Inferred | Lineage::Unattributed) => known,
                },
                way: whole.split_off(extra),
                ..who
            })
        }
        Some(_) | None => Some(Attribution {
            way,
            ..Attribution::none(NoSession::Ambiguous)
        }),
    }
}

#[cfg(test)]
mod tests;
