//! The thread that owns the core, and group commit.
//!
//! In: batches of all agents, and requests of people, brokers and tasks. Out:
//! acks (after disk), answers, [`Tables`], and groups of items for readers.
//! Whatever waits is stored together, up to [`GROUP_EVENTS_MAX`] events;
//! requests go before batches. Bound: [`BATCHES_MAX`] batches and
//! [`REQUESTS_MAX`] requests; who comes then waits. Loss: none: when a store
//! fails nothing of it is acked, and the core is opened anew from what is on disk;
//! what the collector says is kept until then, and no room is given for more.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use monitor_model::clock::{Clock, UnixNs};
use tokio::sync::{OwnedSemaphorePermit, broadcast, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error};

use crate::{
    config::Config,
    core::{Batch, Core, CoreError, Stored, voice::Said},
    ledger::{CHECKPOINT_EVERY, Entry},
    state::{QUARANTINED_MAX, Raised},
    tables::Tables,
};

mod request;
mod turn;

use request::Reply;
pub use request::{Denied, Request, Review};
use turn::{Answer, Waiting, ack, admitted, fail, fail_waiting, serve};

/// Most batches that wait.
pub const BATCHES_MAX: usize = 256;
/// Most requests that wait.
pub const REQUESTS_MAX: usize = 1_024;
/// Most events that are stored together; one batch may go beyond.
pub const GROUP_EVENTS_MAX: usize = 16_384;
/// Most items that readers are handed together: a slow one holds up to
/// [`GROUPS_MAX`] times as many in memory.
pub const GROUP_ITEMS_MAX: usize = 2_048;
/// Groups that a following reader may lag before it reads the ledgers again.
pub const GROUPS_MAX: usize = 256;
/// Pause before a core that failed is opened anew.
const REOPEN_PAUSE: Duration = Duration::from_secs(1);

/// How far an agent's batches came.
#[derive(Clone, Debug, Default)]
pub struct Fate {
    /// Everything up to and with this batch is on disk.
    pub acked: u64,
    /// Why a batch was not taken; the stream ends.
    pub failed: Option<Failed>,
}

/// Why a batch was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failed {
    /// The disk.
    #[error("the events could not be put on disk; send them again")]
    Disk,
    /// Too many events of this agent cannot be decoded.
    #[error(
        "{QUARANTINED_MAX} events of this agent that cannot be decoded are set aside already; an operator must look at the collector's quarantine"
    )]
    Quarantine,
}

/// A batch on its way to disk.
#[derive(Debug)]
pub struct Job {
    /// The batch.
    pub batch: Batch,
    /// Its number in the agent's spool.
    pub number: u64,
    /// Where its fate is told.
    pub fate: watch::Sender<Fate>,
    /// The agent's share of what may wait.
    pub permit: OwnedSemaphorePermit,
}

/// One item of the stream that readers follow.
#[derive(Clone, Debug)]
pub enum Item {
    /// A stored event.
    Event(Arc<Entry>),
    /// A raised alert.
    Alert(Arc<Raised>),
}

impl Item {
    /// Its place among events and alerts.
    #[must_use]
    pub fn stamp(&self) -> UnixNs {
        match self {
            Self::Event(entry) => entry.stored_at,
            Self::Alert(raised) => raised.stamp,
        }
    }
}

/// What was put on disk together, or a part of it.
#[derive(Debug)]
pub struct Group {
    /// The newest place before it.
    pub after: UnixNs,
    /// The newest place in it.
    pub up_to: UnixNs,
    /// Its items, in order.
    pub items: Vec<Item>,
}

/// How others reach the writer.
#[derive(Clone, Debug)]
pub struct Writer {
    batches: mpsc::Sender<Job>,
    requests: mpsc::Sender<Request>,
    tables: watch::Receiver<Tables>,
    groups: broadcast::Sender<Arc<Group>>,
    /// Whether the last group could not be stored.
    stuck: Arc<AtomicBool>,
}

/// The writer's thread.
#[derive(Debug)]
pub struct Thread {
    handle: std::thread::JoinHandle<()>,
}

impl Thread {
    fn of(work: Work) -> Result<Self, CoreError> {
        let no_thread = |source| CoreError::Folder {
            path: "thread".into(),
            source,
        };
        // Of its own: a timer of one that is going away panics.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(no_thread)?;
        let handle = std::thread::Builder::new()
            .name("writer".to_owned())
            .spawn(move || runtime.block_on(work.run()))
            .map_err(no_thread)?;
        Ok(Self { handle })
    }

    /// Waits until everything taken is on disk.
    pub fn join(self) {
        if self.handle.join().is_err() {
            error!("Writer ended by a panic.");
        }
    }
}

impl Writer {
    /// Opens the core and starts its thread; it ends after `stop`, with
    /// everything that it has taken on disk.
    ///
    /// # Errors
    /// [`CoreError`] when the core cannot be opened.
    pub fn start(
        config: Arc<Config>,
        clock: Arc<dyn Clock>,
        stop: CancellationToken,
    ) -> Result<(Self, Thread), CoreError> {
        let (writer, work) = Self::open(config, clock, stop)?;
        Ok((writer, Thread::of(work)?))
    }

    /// Opens the core. Nothing is stored or answered before the work is run:
    /// whoever has a thread to spare calls [`Writer::start`].
    ///
    /// # Errors
    /// [`CoreError`] when the core cannot be opened.
    pub fn open(
        config: Arc<Config>,
        clock: Arc<dyn Clock>,
        stop: CancellationToken,
    ) -> Result<(Self, Work), CoreError> {
        let core = Core::open(&config, Arc::clone(&clock))?;
        let (batches, batches_in) = mpsc::channel(BATCHES_MAX);
        let (requests, requests_in) = mpsc::channel(REQUESTS_MAX);
        let (tables_out, tables) = watch::channel(core.tables().clone());
        let (groups, _) = broadcast::channel(GROUPS_MAX);
        let stuck = Arc::new(AtomicBool::new(false));
        let worker = Worker {
            unsaid: Vec::new(),
            stuck: Arc::clone(&stuck),
            config,
            clock,
            batches: batches_in,
            requests: requests_in,
            tables: tables_out,
            groups: groups.clone(),
            stop,
        };
        let writer = Self {
            batches,
            requests,
            tables,
            groups,
            stuck,
        };
        Ok((writer, Work { worker, core }))
    }

    /// Hands over a batch; waits while too many do.
    ///
    /// # Errors
    /// [`Denied::Unavailable`] when the collector is stopping.
    pub async fn store(&self, job: Job) -> Result<(), Denied> {
        self.batches
            .send(job)
            .await
            .map_err(|_| Denied::Unavailable)
    }

    /// Hands over what needs no answer; waits while too many do.
    ///
    /// # Errors
    /// [`Denied::Unavailable`] when the collector is stopping.
    pub async fn tell(&self, request: Request) -> Result<(), Denied> {
        self.requests
            .send(request)
            .await
            .map_err(|_| Denied::Unavailable)
    }

    /// Room for one request; waits while there is none. What is sent then is
    /// sure to be heard.
    ///
    /// # Errors
    /// [`Denied::Unavailable`] when the collector is stopping, or the last group
    /// could not be stored.
    pub async fn room(&self) -> Result<mpsc::Permit<'_, Request>, Denied> {
        if self.stuck.load(Ordering::Relaxed) {
            return Err(Denied::Unavailable);
        }
        let room = self.requests.reserve().await;
        room.map_err(|_| Denied::Unavailable)
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// [`Denied`].
    pub async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, Denied> {
        let (reply, answer) = oneshot::channel();
        self.tell(request(reply)).await?;
        answer.await.map_err(|_| Denied::Unavailable)?
    }

    /// What is true now, and every change of it.
    #[must_use]
    pub fn tables(&self) -> watch::Receiver<Tables> {
        self.tables.clone()
    }

    /// Groups from now on.
    #[must_use]
    pub fn groups(&self) -> broadcast::Receiver<Arc<Group>> {
        self.groups.subscribe()
    }
}

/// Items in their order, as many groups as they take; none where there are none.
fn groups(items: Vec<Item>, mut after: UnixNs, watermark: UnixNs) -> Vec<Group> {
    let (mut groups, mut items) = (Vec::new(), items.into_iter().peekable());
    while items.peek().is_some() {
        let items_of_one: Vec<Item> = items.by_ref().take(GROUP_ITEMS_MAX).collect();
        let last = items_of_one.last().map_or(after, Item::stamp);
        let up_to = if items.peek().is_some() {
            last
        } else {
            watermark
        };
        groups.push(Group {
            after,
            up_to,
            items: items_of_one,
        });
        after = up_to;
    }
    groups
}

/// What the writer's thread does. It blocks for as long as disks take, so it is
/// run where nobody else waits.
#[derive(Debug)]
pub struct Work {
    worker: Worker,
    core: Core,
}

impl Work {
    /// Stores and answers until the stop that was given at the opening.
    pub async fn run(self) {
        self.worker.run(self.core).await;
    }
}

/// The core with every ledger signed; none when it must be opened anew.
fn sealed(mut core: Core) -> Option<Core> {
    match core.seal() {
        Ok(()) => Some(core),
        Err(error) => {
            error!(%error, "Ledgers could not be signed, opening anew.");
            None
        }
    }
}

#[derive(Debug)]
struct Worker {
    config: Arc<Config>,
    clock: Arc<dyn Clock>,
    batches: mpsc::Receiver<Job>,
    requests: mpsc::Receiver<Request>,
    tables: watch::Sender<Tables>,
    groups: broadcast::Sender<Arc<Group>>,
    stop: CancellationToken,
    /// What the collector says and is not on disk; what waits in the queue when
    /// a store fails, since no room is given then.
    unsaid: Vec<Said>,
    stuck: Arc<AtomicBool>,
}

impl Worker {
    async fn run(mut self, core: Core) {
        let mut open = Some(core);
        loop {
            let mut jobs = Vec::new();
            let mut requests = Vec::new();
            let stop = self.stop.clone();
            let is_unsealed = open.as_ref().is_some_and(Core::is_unsealed);
            let has_to_say = open.as_ref().is_some_and(Core::has_to_say);
            tokio::select! {
                biased;
                Some(request) = self.requests.recv() => requests.push(request),
                Some(job) = self.batches.recv() => jobs.push(job),
                () = stop.cancelled() => {
                    self.requests.close();
                    self.batches.close();
                }
                // What followed from the last group is to be said.
                () = std::future::ready(()), if has_to_say => {}
                // Nothing came for as long: the last entries are signed, too.
                () = tokio::time::sleep(CHECKPOINT_EVERY), if is_unsealed => {
                    open = open.and_then(sealed);
                    continue;
                }
                () = tokio::time::sleep(REOPEN_PAUSE), if !self.unsaid.is_empty() => {}
                else => return,
            }
            self.collect(&mut jobs, &mut requests);
            open = self.reload(open, &mut requests);
            let has_to_say = open.as_ref().is_some_and(Core::has_to_say);
            if jobs.is_empty() && requests.is_empty() && !has_to_say && self.is_done() {
                drop(open.and_then(sealed));
                return;
            }
            let Some(mut core) = open.take().or_else(|| self.reopen()) else {
                fail(&jobs, Failed::Disk);
                drop((jobs, requests));
                self.fell_stuck();
                tokio::time::sleep(REOPEN_PAUSE).await;
                continue;
            };
            match self.turn(&mut core, jobs, requests) {
                Ok(()) => {
                    open = Some(core);
                    self.stuck.store(false, Ordering::Relaxed);
                }
                Err(error) => {
                    error!(%error, "Store failed, nothing of it is acked; opening anew.");
                    self.fell_stuck();
                }
            }
        }
    }

    /// Whether it may end: nothing is left to say.
    fn is_done(&self) -> bool {
        self.stop.is_cancelled() && self.unsaid.is_empty()
    }

    /// Gives no more room; at the stop there is no other try.
    fn fell_stuck(&mut self) {
        self.stuck.store(true, Ordering::Relaxed);
        let entries = self.unsaid.len();
        if self.stop.is_cancelled() && entries > 0 {
            error!(
                entries,
                "What the collector says is not entered, the disk takes nothing."
            );
            self.unsaid.clear();
        }
    }

    /// Takes what else waits, and what is said of the requests.
    fn collect(&mut self, jobs: &mut Vec<Job>, requests: &mut Vec<Request>) {
        while requests.len() < REQUESTS_MAX {
            let Ok(request) = self.requests.try_recv() else {
                break;
            };
            requests.push(request);
        }
        for request in requests.extract_if(.., |request| matches!(request, Request::Say(_))) {
            if let Request::Say(said) = request {
                self.unsaid.extend(said);
            }
        }
        let mut events: usize = jobs.iter().map(|job| job.batch.events.len()).sum();
        while events < GROUP_EVENTS_MAX {
            let Ok(job) = self.batches.try_recv() else {
                break;
            };
            events += job.batch.events.len();
            jobs.push(job);
        }
    }

    /// Carries out what of the requests is a reload: the core is opened anew, as
    /// at a start, so that everything follows as it would from a restart. When
    /// that fails, it is opened under the configuration before.
    fn reload(&mut self, mut open: Option<Core>, requests: &mut Vec<Request>) -> Option<Core> {
        let all = std::mem::take(requests);
        for request in all {
            let Request::Reload(config, reply) = request else {
                requests.push(request);
                continue;
            };
            drop(open.take());
            let answer = match Core::open(&config, Arc::clone(&self.clock)) {
                Ok(core) => {
                    self.config = config;
                    self.tables.send_replace(core.tables().clone());
                    let version = core.tables().policy.version().to_owned();
                    open = Some(core);
                    Ok(version)
                }
                Err(error) => {
                    open = self.reopen();
                    let cause = error.to_string();
                    Err(Denied::Reload { cause })
                }
            };
            _ = reply.send(answer);
        }
        open
    }

    fn reopen(&self) -> Option<Core> {
        match Core::open(&self.config, Arc::clone(&self.clock)) {
            Ok(core) => {
                // What was made good may give orders.
                self.tables.send_replace(core.tables().clone());
                Some(core)
            }
            Err(error) => {
                error!(%error, "Store cannot be opened, agents keep spooling.");
                None
            }
        }
    }

    /// One group: requests first, then batches; everything on disk at its end.
    fn turn(
        &mut self,
        core: &mut Core,
        jobs: Vec<Job>,
        requests: Vec<Request>,
    ) -> Result<(), CoreError> {
        let after = core.tables().watermark;
        let mut answers: Vec<Answer> = Vec::new();
        for request in requests {
            answers.extend(serve(core, request)?);
        }
        let (batches, waiting) = admitted(core, jobs)?;
        let early_alerts = core.take_raised();
        core.name(&mut self.unsaid)?;
        core.say(self.unsaid.iter().cloned());
        let (stored, raised) = match Self::settled(core, batches, &waiting) {
            Ok(settled) => settled,
            Err(error) => {
                fail_waiting(&waiting);
                return Err(error);
            }
        };
        self.unsaid.clear();
        let tables = core.tables();
        self.tables.send_replace(tables.clone());
        // By their places: what was looked for before what was stored.
        let mut items: Vec<Item> = early_alerts.into_iter().map(Item::Alert).collect();
        items.extend(stored.entries.into_iter().map(Item::Event));
        items.extend(raised.into_iter().map(Item::Alert));
        for group in groups(items, after, tables.watermark) {
            // No reader is no failure: who comes later reads the ledgers.
            _ = self.groups.send(Arc::new(group));
        }
        for answer in answers {
            answer(tables);
        }
        Ok(())
    }

    /// Everything on disk, and who may be acked acked.
    fn settled(
        core: &mut Core,
        batches: Vec<Batch>,
        waiting: &[Waiting],
    ) -> Result<(Stored, Vec<Arc<Raised>>), CoreError> {
        let stored = core.take_in(batches)?;
        // Events alone are safe in the ledgers; what was set aside is in the state.
        let in_ledgers = !core.ack_waits_for_state();
        let raised = core.settle(&stored.entries)?;
        if in_ledgers {
            ack(waiting);
        }
        debug!(
            events = stored.entries.len(),
            duplicates = stored.duplicates,
            "Stored."
        );
        core.publish()?;
        if !in_ledgers {
            ack(waiting);
        }
        Ok((stored, raised))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{at_seconds, credential, entry_of, event_id};

    #[test]
    fn readers_get_all_of_a_large_group_in_parts_that_join() {
        let source = monitor_model::id::Source::Bulk { cpu: 0 };
        let entry = |n: u64| {
            let event = credential(event_id("jump-1", source, n), "acme", "/srv/acme/k");
            Item::Event(Arc::new(entry_of(event, n)))
        };
        let many = u64::try_from(GROUP_ITEMS_MAX).unwrap() * 2 + 1;
        let items: Vec<Item> = (1..=many).map(entry).collect();
        let stamps: Vec<UnixNs> = items.iter().map(Item::stamp).collect();
        let (before, end) = (UnixNs(1), at_seconds(1_000));
        let parts = groups(items, before, end);
        assert_eq!(parts.len(), 3);
        let mut at = before;
        let mut seen = Vec::new();
        for part in &parts {
            assert_eq!(part.after, at);
            seen.extend(part.items.iter().map(Item::stamp));
            at = part.up_to;
            assert!(seen.last().is_some_and(|last| *last <= at));
        }
        assert_eq!((at, seen), (end, stamps));
        assert!(groups(Vec::new(), before, end).is_empty());
    }
}
