//! One agent, from its start to its crash.
//!
//! What `monitor-agent`'s `run` and `pipeline` do with threads and real rings, in
//! one task: records are read, stored, freed, in this order and with pauses in
//! between, so that a crash comes between any two. Everything else is the agent's
//! own: worker, spool, uplink, containment, standing tables.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use monitor_agent::{
    attribute::{Attributor, Host as Answers, Origin, SharedJobs, SharedSessions},
    config::Collector,
    contain::{Containment, Receipts, keeper::Keeper},
    counters::Counters,
    enforce::Enforcer,
    inspect::Inspector,
    kernel::{FileIdentity, TimeOffset},
    note::{Note, Notes},
    pipeline::{Closed, Worker, worker::Parts},
    redact::Redactor,
    sequence::Counted,
    spool::{Recovered, Room, SharedSpool, Spool},
    standing::Standing,
    uplink::{BEAT_MS, Life, Uplink},
    watch::SharedLabels,
};
use monitor_common::Ring;
use monitor_model::{bytes::PathLabel, clock::Clock};
use monitor_proto::v1;
use monitor_transport::tls::Follower;
use tokio::{
    sync::{mpsc, watch},
    time::{Interval, sleep},
};

use crate::{
    chance::Chance,
    clock::EPOCH,
    ground::{Ground, Host},
    kernel::{Boot, Taken},
    keys::COLLECTOR,
    network::Network,
    play::Sabotage,
    stores,
};

mod asked;
mod door;

use asked::{NoObjects, NoScopes};

/// Most records of one reading and ring.
const READ_MAX: usize = 32;
/// How often the rings are looked at, and the counters.
const READ: Duration = Duration::from_millis(40);
const LOOK: Duration = Duration::from_secs(1);
/// Pause after a write that failed.
const DISK_PAUSE: Duration = Duration::from_secs(1);
/// Longest time that a disk takes, in milliseconds.
const DISK_MS_MAX: u64 = 12;
/// Bytes of events in the queue.
const SPOOL_BYTES_MAX: u64 = 1 << 30;

/// A running agent.
struct Agent {
    ground: Arc<Ground>,
    host: Arc<Host>,
    chance: Chance,
    worker: Worker<Simulated>,
    notes: mpsc::Receiver<Note>,
    acked: watch::Receiver<u64>,
    newest: watch::Sender<u64>,
    counters: Arc<Counters>,
    /// Held while the agent lives.
    _life: (watch::Sender<v1::Alive>, watch::Sender<bool>),
}

/// What most parts share.
struct Shared {
    standing: Standing,
    sessions: SharedSessions,
    jobs: SharedJobs,
    notes: Notes,
    counters: Arc<Counters>,
    clock: Arc<dyn Clock>,
    containment: Arc<Containment>,
}

/// Runs the agent of a host until it crashes.
///
/// # Errors
/// It cannot start, or its queue is damaged.
pub async fn run(ground: Arc<Ground>, host: Arc<Host>) -> turmoil::Result {
    host.is_at_rest.store(false, Ordering::Relaxed);
    host.kernel.end_unanswered();
    let starts = ground.trace.since().as_millis();
    let chance = Chance::of(ground.seed, (u64::try_from(starts)? << 8) | host.number);
    let mut agent = Agent::start(ground, host, chance)?;
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut counted = None;
    agent.read().await?;
    agent.worker.begin();
    loop {
        if let Some(new) = agent.wake(&mut look).await {
            counted = Some(new);
        }
        agent.read().await?;
        if !agent.host.kernel.has_records()
            && let Some(counted) = counted.take()
        {
            agent.worker.settle(&counted);
            agent.worker.close_dead();
            agent.commit(None).await?;
            let is_done = agent.worker.spool_bytes() == 0 && agent.notes.is_empty();
            agent.host.is_at_rest.store(is_done, Ordering::Relaxed);
        }
    }
}

impl Agent {
    fn start(ground: Arc<Ground>, host: Arc<Host>, chance: Chance) -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(host.clock.clone());
        let boot = host.kernel.boot();
        let (spool, recovered) = Spool::open(&host.spool(), boot, SPOOL_BYTES_MAX)?;
        let (newest, newest_out) = watch::channel(spool.newest());
        let (acked, acked_out) = watch::channel(0);
        let (notes, told) = Notes::channel();
        let forgets = ground.sabotage == Sabotage::ReceiptsForgotten;
        let known = if forgets { 0 } else { recovered.receipts.len() };
        let receipts = recovered.receipts.get(..known).unwrap_or_default();
        let shared = Shared::new(&host, (notes, clock), Receipts::resume(receipts))?;
        let (alive, alive_out) = watch::channel(v1::Alive::default());
        let (leaving, leaving_out) = watch::channel(false);
        let life = Life {
            alive: alive_out,
            leaving: leaving_out,
        };
        let uplink = shared.uplink(&host, (newest_out, acked), life)?;
        let worker = shared.worker(&host, spool.into(), recovered)?;
        shared.containment.recall();
        tokio::spawn(uplink.run());
        tokio::spawn(Keeper::new(Arc::clone(&shared.containment)).run());
        let counters = Arc::clone(&shared.counters);
        let agent = host.name.parse()?;
        tokio::spawn(door::open(door::Door {
            host: Arc::clone(&host),
            people: Arc::clone(&ground.people),
            sessions: shared.sessions,
            standing: shared.standing,
            notes: shared.notes,
            chance: chance.clone(),
            agent,
        }));
        Ok(Self {
            ground,
            host,
            chance,
            worker,
            notes: told,
            acked: acked_out,
            newest,
            counters,
            _life: (alive, leaving),
        })
    }

    /// Waits for something to do; the counters, where it is time to look at them.
    async fn wake(&mut self, look: &mut Interval) -> Option<Vec<Counted>> {
        tokio::select! {
            biased;
            Some(note) = self.notes.recv() => self.worker.take_note(note),
            _ = look.tick() => {
                let counted = self.host.kernel.counted();
                self.worker.tell_survivors();
                self.worker.look_for_dead();
                return Some(counted);
            }
            Ok(()) = self.acked.changed() => {
                let number = *self.acked.borrow_and_update();
                // What cannot be deleted now is sent again, and known there.
                let deleted = self.worker.acked(number);
                self.ground.trace.note(self.host.name, &format!("acked {number} {}", deleted.is_ok()));
            }
            () = sleep(READ) => {}
        }
        None
    }

    /// One reading: what is there now, to disk, then free.
    async fn read(&mut self) -> anyhow::Result<()> {
        while let Ok(note) = self.notes.try_recv() {
            self.worker.take_note(note);
        }
        let room = self.worker.room();
        let kernel = Arc::clone(&self.host.kernel);
        let of = |ring, may: bool| {
            if may {
                kernel.read(ring, READ_MAX)
            } else {
                Taken::default()
            }
        };
        let priority = of(Ring::Priority, room != Room::Own);
        let bulk = of(Ring::Bulk, room == Room::All);
        self.worker.foresee(bulk.records());
        for taken in [&priority, &bulk] {
            self.worker.take_records(taken.records(), offset());
        }
        if self.worker.is_overdue() {
            self.worker.overdue(&kernel.counted());
        }
        self.commit(Some((priority.len(), bulk.len()))).await
    }

    /// Writes until it is written, then frees what was read.
    async fn commit(&mut self, read: Option<(usize, usize)>) -> anyhow::Result<()> {
        let mut closed = self.worker.close();
        let hasty = self.ground.sabotage == Sabotage::FreedBeforeStored;
        if hasty {
            self.free(read);
        }
        if !closed.is_empty() {
            self.takes_time().await;
            self.write(&mut closed).await;
            self.takes_time().await;
        }
        self.worker.finish(closed);
        if !hasty {
            self.free(read);
        }
        Ok(())
    }

    async fn write(&mut self, closed: &mut Closed) {
        loop {
            if let Ok(newest) = closed.write() {
                self.ground
                    .trace
                    .note(self.host.name, &format!("stores {newest}"));
                stores::synced(&self.ground, &self.host);
                self.newest.send_replace(newest);
                return;
            }
            self.counters.spool_errors.add(1);
            self.ground.trace.note(self.host.name, "cannot store");
            sleep(DISK_PAUSE).await;
        }
    }

    fn free(&self, read: Option<(usize, usize)>) {
        if let Some((priority, bulk)) = read {
            self.host.kernel.free(Ring::Priority, priority);
            self.host.kernel.free(Ring::Bulk, bulk);
        }
    }

    async fn takes_time(&mut self) {
        sleep(self.chance.ms(0..DISK_MS_MAX)).await;
    }
}

impl Shared {
    fn new(
        host: &Host,
        (notes, clock): (Notes, Arc<dyn Clock>),
        receipts: Receipts,
    ) -> anyhow::Result<Self> {
        let standing = Standing::open(&host.folder.join("state.db"))?;
        let (sessions, jobs) = (SharedSessions::default(), SharedJobs::default());
        let counters = Arc::<Counters>::default();
        let containment = Arc::new(Containment {
            standing: standing.clone(),
            sessions: sessions.clone(),
            jobs: jobs.clone(),
            marks: Arc::<crate::kernel::Kernel>::clone(&host.kernel),
            notes: notes.clone(),
            counters: Arc::clone(&counters),
            clock: Arc::clone(&clock),
            receipts,
            turns: Arc::default(),
            contact: String::new(),
        });
        Ok(Self {
            standing,
            sessions,
            jobs,
            notes,
            counters,
            clock,
            containment,
        })
    }

    fn uplink(
        &self,
        host: &Host,
        (newest, acked): (watch::Receiver<u64>, watch::Sender<u64>),
        life: Life,
    ) -> anyhow::Result<Uplink> {
        let labels = SharedLabels::open(&host.folder.join("labels.db"))?;
        let tables = (
            self.standing.clone(),
            self.sessions.clone(),
            self.jobs.clone(),
        );
        let clock = Arc::clone(&self.clock);
        let enforcer = Enforcer::resume(tables, Arc::new(NoScopes), self.notes.clone(), clock)?;
        let inspector = Inspector {
            sessions: self.sessions.clone(),
            jobs: self.jobs.clone(),
            marks: Arc::<crate::kernel::Kernel>::clone(&host.kernel),
            objects: Arc::new(NoObjects),
            labels,
            redactor: Arc::new(Redactor::new(&[7; 32])?),
            clock: Arc::clone(&self.clock),
            places: Inspector::places(),
        };
        let tls = host.tls.load(self.clock.now())?;
        let tls = tls.within(Arc::new(Network));
        Ok(Uplink {
            collector: Collector {
                address: format!("https://{}:{}", COLLECTOR.0, COLLECTOR.1),
                retry_min: Duration::from_millis(250),
                retry_max: Duration::from_secs(4),
            },
            tls: Follower::new(tls, Arc::clone(&self.clock)).0,
            hello: v1::Hello {
                version: "simulated".to_owned(),
                boot: host.kernel.boot().to_bytes().to_vec(),
                beat_ms: BEAT_MS,
                ..v1::Hello::default()
            },
            spool: host.spool(),
            newest,
            acked,
            standing: self.standing.clone(),
            containment: Arc::clone(&self.containment),
            enforcer: Arc::new(enforcer),
            inspector,
            counters: Arc::clone(&self.counters),
            lists: None,
            life,
            notes: self.notes.clone(),
            clock: Arc::clone(&self.clock),
        })
    }

    fn worker(
        &self,
        host: &Host,
        spool: SharedSpool,
        recovered: Recovered,
    ) -> anyhow::Result<Worker<Simulated>> {
        let origin = Origin {
            agent: host.name.parse()?,
            boot: host.kernel.boot(),
        };
        let labels = SharedLabels::open(&host.folder.join("labels.db"))?;
        let sessions = self.sessions.clone();
        let parts = Parts {
            attributor: Attributor::new(origin.clone(), sessions.clone(), labels, Simulated),
            origin,
            spool,
            redactor: Arc::new(Redactor::new(&[7; 32])?),
            sessions,
            marks: Arc::<crate::kernel::Kernel>::clone(&host.kernel),
            counters: Arc::clone(&self.counters),
            clock: Arc::clone(&self.clock),
        };
        let epoch = Boot::epoch(host.kernel.boot());
        Ok(Worker::new(parts, recovered, epoch))
    }
}

/// Records tell time since the beginning.
fn offset() -> TimeOffset {
    TimeOffset {
        unix_minus_boot_ns: i64::try_from(EPOCH.0).unwrap_or(i64::MAX),
        uncertainty_ns: 0,
    }
}

/// A host of which nothing but the records is known.
#[derive(Debug)]
struct Simulated;

impl Answers for Simulated {
    fn executable(&mut self, _: (u32, u64)) -> Option<PathLabel> {
        None
    }
    fn executable_file(&mut self, _: (u32, u64)) -> Option<FileIdentity> {
        None
    }
    fn interface(&mut self, _: u32) -> Option<String> {
        None
    }
    fn is_own_net_ns(&self, _: u32) -> bool {
        true
    }
    fn net_ns(&mut self, _: u32, _: u64) -> Option<String> {
        None
    }
    fn mounted(&mut self, _: u64, _: &[u8]) -> Option<Vec<u8>> {
        None
    }
}
