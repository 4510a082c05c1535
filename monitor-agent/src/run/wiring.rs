//! Hands every part what it needs.

use std::{os::fd::OwnedFd, path::PathBuf, sync::Arc};

use monitor_model::{
    clock::Clock,
    event::{HookState, Receipt},
};
use monitor_proto::v1;
use monitor_transport::tls::Follower;
use tokio::{
    sync::{mpsc, watch as channel},
    task::JoinSet,
};

use super::{RunError, ground::Ground, probes};
use crate::{
    attribute::{Attributor, Jobs, Origin, SharedJobs, SharedSessions, ThisHost},
    config::Config,
    contain::{
        Containment, Receipts,
        foreign::{CarryOut, Foreign},
        keeper::Keeper,
        unstored::{Storing, Unstored},
    },
    counters::Counters,
    directory::Directory,
    enforce::{Enforcer, marks::ScopedMarks},
    expiry::{AtExpiry, Expiry},
    inspect::Inspector,
    kernel::{ArmReport, Probes, Rings, Started},
    krl::{ListKeeper, Lists, file::ListFile},
    login::{Authorities, Desk, Door, adopt::Adoption, desk::LastRefusal},
    marks::Marks,
    note::{Note, Notes},
    pipeline::{Pipeline, Taken, Worker, worker::Parts},
    redact::Redactor,
    sight::Seen,
    spool::Spool,
    standing::Standing,
    uplink::{BEAT_MS, Life, Uplink},
    watch::{SharedLabels, SharedPrograms, resolve::Look},
};

/// What attribution knows of watched files and programs.
type Watched = (SharedLabels, SharedPrograms, Arc<dyn Look>);

/// What most parts share.
struct Shared {
    origin: Origin,
    standing: Standing,
    sessions: SharedSessions,
    jobs: SharedJobs,
    directory: Arc<Directory>,
    marks: Arc<dyn Marks>,
    notes: Notes,
    counters: Arc<Counters>,
    clock: Arc<dyn Clock>,
}

impl Shared {
    /// Nobody is logged in yet. Also who holds sessions to their grants, and the end
    /// of the way to the spool.
    fn over(
        (origin, standing, directory): (Origin, Standing, Arc<Directory>),
        probes: &Arc<Probes>,
        (counters, clock): (Arc<Counters>, Arc<dyn Clock>),
    ) -> Result<(Self, Arc<Enforcer>, mpsc::Receiver<Note>), RunError> {
        let (notes, told) = Notes::channel();
        let (sessions, jobs) = (SharedSessions::default(), SharedJobs::default());
        let enforcer = Arc::new(Enforcer::resume(
            (standing.clone(), sessions.clone(), jobs.clone()),
            probes.clone(),
            notes.clone(),
            Arc::clone(&clock),
        )?);
        let marks = Arc::new(ScopedMarks {
            marks: probes.clone(),
            enforcer: Arc::clone(&enforcer),
        });
        let shared = Self {
            origin,
            standing,
            sessions,
            jobs,
            directory,
            marks,
            notes,
            counters,
            clock,
        };
        Ok((shared, enforcer, told))
    }

    fn containment(&self, receipts: &[Receipt], contact: &str) -> Arc<Containment> {
        Arc::new(Containment {
            contact: contact.to_owned(),
            standing: self.standing.clone(),
            sessions: self.sessions.clone(),
            jobs: self.jobs.clone(),
            marks: Arc::clone(&self.marks),
            notes: self.notes.clone(),
            counters: Arc::clone(&self.counters),
            clock: Arc::clone(&self.clock),
            receipts: Receipts::resume(receipts),
            turns: Arc::default(),
        })
    }

    fn expiry(&self, at: AtExpiry, containment: &Arc<Containment>) -> Option<Expiry> {
        let tables = (self.standing.clone(), self.sessions.clone());
        let ends = || Expiry::new(tables, Arc::clone(containment), Arc::clone(&self.clock));
        (at == AtExpiry::End).then(ends)
    }

    /// Who ends and holds sessions; the look at events by which one is told, and
    /// the pipeline's end of another.
    fn enders(
        &self,
        config: &Config,
        containment: &Arc<Containment>,
    ) -> (Enders, Option<Foreign>, channel::Sender<Storing>) {
        let (tells, storing) = Storing::channel();
        let answers = Foreign::new(config.contain.on_foreign_credential, containment);
        let (foreign, carries_out) = answers.unzip();
        let enders = Enders {
            expiry: self.expiry(config.at_expiry, containment),
            keeper: Keeper::new(Arc::clone(containment)),
            carries_out,
            unstored: Unstored::new(config.on_unstored.clone(), storing, Arc::clone(containment)),
        };
        (enders, foreign, tells)
    }

    /// Who keeps the revocation list, and the uplink's end of it.
    fn lists(&self, config: &Config) -> Result<(Option<ListKeeper>, Option<Lists>), RunError> {
        let Some(path) = &config.krl else {
            return Ok((None, None));
        };
        let file = ListFile::open(path.clone(), config.state_dir.clone())?;
        let kept = ListKeeper::new(file, self.notes.clone(), Arc::clone(&self.clock));
        Ok((Some(kept.0), Some(kept.1)))
    }

    fn inspector(
        &self,
        probes: &Arc<Probes>,
        labels: &SharedLabels,
        redactor: &Arc<Redactor>,
    ) -> Inspector {
        Inspector {
            sessions: self.sessions.clone(),
            jobs: self.jobs.clone(),
            marks: Arc::clone(&self.marks),
            objects: probes.clone(),
            labels: labels.clone(),
            redactor: Arc::clone(redactor),
            clock: Arc::clone(&self.clock),
            places: Inspector::places(),
        }
    }

    fn adoption(&self) -> Adoption<'_> {
        Adoption {
            origin: &self.origin,
            sessions: &self.sessions,
            directory: &self.directory,
            marks: &*self.marks,
            now: self.clock.now(),
        }
    }

    fn desk(&self, config: &Config) -> Result<Desk, RunError> {
        Ok(Desk {
            authorities: Authorities::read(config.user_ca.as_deref())?,
            origin: self.origin.clone(),
            standing: self.standing.clone(),
            sessions: self.sessions.clone(),
            directory: Arc::clone(&self.directory),
            marks: Arc::clone(&self.marks),
            notes: self.notes.clone(),
            counters: Arc::clone(&self.counters),
            clock: Arc::clone(&self.clock),
            last_refusal: LastRefusal::default(),
        })
    }

    fn parts(
        &self,
        spool: Spool,
        (labels, programs, look): Watched,
        redactor: Arc<Redactor>,
    ) -> Result<Parts<ThisHost>, RunError> {
        let host = ThisHost::open(look).map_err(|source| RunError::File {
            path: PathBuf::from("/proc"),
            source,
        })?;
        let (origin, sessions) = (self.origin.clone(), self.sessions.clone());
        Ok(Parts {
            attributor: Attributor::new(origin.clone(), sessions.clone(), labels, host)
                .expecting(programs)
                .with_jobs(Jobs::new(self.jobs.clone(), Arc::clone(&self.directory))),
            origin,
            spool: spool.into(),
            redactor,
            sessions,
            marks: Arc::clone(&self.marks),
            counters: Arc::clone(&self.counters),
            clock: Arc::clone(&self.clock),
        })
    }
}

/// What the start of the probes gave.
pub(super) struct Armed {
    pub(super) probes: Arc<Probes>,
    pub(super) rings: Rings,
    pub(super) report: ArmReport,
    /// Names this loading of the probes.
    pub(super) epoch: String,
    /// Told of everything that comes through the rings.
    pub(super) seen: Arc<Seen>,
    /// What is said of the agent's own life.
    pub(super) life: Life,
}

/// The pipeline, to be run; the other parts run already.
pub(super) type Built = (Pipeline<ThisHost>, JoinSet<()>);

/// Wires the pipeline, the uplink and the login socket.
pub(super) fn build(config: &Config, ground: Ground, armed: Armed) -> Result<Built, RunError> {
    let Ground {
        tls,
        origin,
        askers,
        redactor,
        standing,
        labels,
        programs,
        directory,
        counters,
        clock,
        lock,
    } = ground;
    let Armed {
        probes,
        rings,
        report,
        epoch,
        seen,
        life,
    } = armed;
    let path = config.state_dir.join("spool.db");
    let (spool, recovered) = Spool::open(&path, origin.boot, config.spool_bytes_max)?;
    let (shared, enforcer, notes) =
        Shared::over((origin, standing, directory), &probes, (counters, clock))?;
    let (newest, newest_out) = channel::channel(spool.newest());
    let (acked, acked_out) = channel::channel(0);
    let containment = shared.containment(&recovered.receipts, &config.contain.contact);
    let (enders, foreign, storing) = shared.enders(config, &containment);
    let hooks = probes::hook_states(&report);
    let (list_keeper, lists) = shared.lists(config)?;
    let uplink = Uplink {
        collector: config.collector.clone(),
        tls: Follower::new(tls, Arc::clone(&shared.clock)).0,
        hello: hello(&shared.origin, &hooks, lists.as_ref())?,
        spool: path,
        newest: newest_out,
        acked,
        standing: shared.standing.clone(),
        containment: Arc::clone(&containment),
        enforcer: Arc::clone(&enforcer),
        inspector: shared.inspector(&probes, &labels, &redactor),
        counters: Arc::clone(&shared.counters),
        lists,
        life,
        notes: shared.notes.clone(),
        clock: Arc::clone(&shared.clock),
    };
    let parts = shared.parts(spool, (labels, programs, probes.clone()), redactor)?;
    let worker = Worker::new(parts, recovered, epoch).answering(foreign);
    let worker = begin(worker, probes::started_note(&report, hooks), &shared);
    containment.recall();
    let door = Door::open(&config.socket, askers, Arc::new(shared.desk(config)?))?;
    let others = spawn((door, uplink, enforcer), (enders, list_keeper), lock);
    let pipeline = Pipeline {
        worker,
        rings,
        probes,
        notes,
        acked: acked_out,
        newest,
        storing,
        counters: shared.counters,
        taken: Taken::default(),
        seen,
    };
    Ok((pipeline, others))
}

/// The pipeline of probes that others have followed: it only reads. Nobody logs in
/// meanwhile, and nothing is sent.
pub(super) fn reader(
    config: &Config,
    ground: Ground,
    started: Started,
) -> Result<Pipeline<ThisHost>, RunError> {
    let Started { probes, rings, .. } = started;
    let (epoch, probes) = (probes.epoch()?, Arc::new(probes));
    let path = config.state_dir.join("spool.db");
    let (spool, recovered) = Spool::open(&path, ground.origin.boot, config.spool_bytes_max)?;
    let (shared, _, notes) = Shared::over(
        (ground.origin, ground.standing, ground.directory),
        &probes,
        (ground.counters, ground.clock),
    )?;
    let newest = channel::channel(spool.newest()).0;
    let watched: Watched = (ground.labels, ground.programs, probes.clone());
    let parts = shared.parts(spool, watched, ground.redactor)?;
    Ok(Pipeline {
        worker: Worker::new(parts, recovered, epoch),
        rings,
        probes,
        notes,
        acked: channel::channel(0).1,
        newest,
        storing: Storing::channel().0,
        counters: shared.counters,
        taken: Taken::default(),
        seen: Arc::default(),
    })
}

/// What is told first: that the agent runs, and which logins are older.
fn begin(mut worker: Worker<ThisHost>, started: Note, shared: &Shared) -> Worker<ThisHost> {
    worker.take_note(started);
    for opened in shared.adoption().run() {
        worker.take_note(opened);
    }
    worker
}

/// Who ends and holds sessions without being told.
struct Enders {
    expiry: Option<Expiry>,
    keeper: Keeper,
    carries_out: Option<CarryOut>,
    unstored: Option<Unstored>,
}

fn spawn(
    (door, uplink, enforcer): (Door, Uplink, Arc<Enforcer>),
    (enders, list_keeper): (Enders, Option<ListKeeper>),
    lock: OwnedFd,
) -> JoinSet<()> {
    let mut others = JoinSet::new();
    others.spawn(async move {
        // Given back when the socket is gone.
        let _lock = lock;
        door.run().await;
    });
    others.spawn(uplink.run());
    others.spawn(enforcer.run());
    others.spawn(enders.keeper.run());
    if let Some(expiry) = enders.expiry {
        others.spawn(expiry.run());
    }
    if let Some(carries_out) = enders.carries_out {
        others.spawn(carries_out.run());
    }
    if let Some(unstored) = enders.unstored {
        others.spawn(unstored.run());
    }
    if let Some(keeper) = list_keeper {
        others.spawn(keeper.run());
    }
    others
}

fn hello(
    origin: &Origin,
    hooks: &[HookState],
    lists: Option<&Lists>,
) -> Result<v1::Hello, RunError> {
    let mut instance = [0; 16];
    let drawn = rustix::rand::getrandom(&mut instance, rustix::rand::GetRandomFlags::empty());
    drawn.map_err(|source| RunError::File {
        path: "/dev/urandom".into(),
        source: source.into(),
    })?;
    Ok(v1::Hello {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        boot: origin.boot.to_bytes().to_vec(),
        hooks: hooks.iter().map(Into::into).collect(),
        instance: instance.to_vec(),
        keeps_list: lists.is_some(),
        inspects: true,
        beat_ms: BEAT_MS,
    })
}
