//! Rings -> decode -> attribute -> redact -> spool -> uplink. Wiring only.
//!
//! In: records of both rings, notes of the agent itself. Out: batches on disk,
//! for the uplink to read. One reading is what lies in the rings at one
//! moment; it is on disk before the rings are freed. While one is written the
//! next is taken: attributed, and answered by the agent alone where that is
//! configured; it is written when the first is on disk. Between the first event
//! after a pause and the disk there is no timer; under load readings wait for
//! each other ([`pace`]). Bound: [`LIMITS`] for each ring and reading,
//! [`AHEAD_MAX`] taken ahead, and the spool. Loss: when the spool is full the rings are left alone; the
//! kernel counts what they cannot hold.

use std::{future::Future, sync::Arc, time::Duration};

use monitor_common::Ring;
use monitor_model::id::Source;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, Interval, MissedTickBehavior},
};
use tracing::{error, info, warn};

use crate::{
    attribute::Host,
    contain::unstored::Storing,
    counters::Counters,
    kernel::{
        Batch, BatchLimits, Counters as KernelCounters, Cursor, KernelError, Probes, Rings,
        TimeOffset,
    },
    note::Note,
    sequence::Counted,
    sight::Seen,
    spool::{Room, SpoolError},
};

mod logouts;
pub mod pace;
mod told;
pub mod worker;

use pace::Pace;
use told::Told;
pub use worker::{Closed, Worker};

/// Most of one reading from one ring.
pub const LIMITS: BatchLimits = BatchLimits {
    records_max: 4_096,
    bytes_max: 2 << 20,
};
/// Most records of the priority ring that are taken while the disk is written.
const AHEAD_MAX: usize = LIMITS.records_max;
/// How often counters are compared, the kernel tells what it counted, and the bulk
/// ring is read though it is not half full.
const LOOK: Duration = Duration::from_secs(1);
/// Pause after a write that failed.
const DISK_PAUSE: Duration = Duration::from_secs(1);
/// Longest time to empty the rings when the agent stops.
const DRAIN: Duration = Duration::from_secs(3);

/// Why the pipeline cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The rings.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The thread that writes to disk ended by a panic.
    #[error(
        "the thread that writes the spool ended badly; what was read comes again at the next start"
    )]
    Writer,
    /// The disk failed when the agent stopped; what was read comes again.
    #[error("the last events could not be written, and are read again at the next start: {0}")]
    Disk(#[from] SpoolError),
}

/// The pipeline with both its ends.
#[derive(Debug)]
pub struct Pipeline<H> {
    /// The stages.
    pub worker: Worker<H>,
    /// Where records come from.
    pub rings: Rings,
    /// Counters of the kernel.
    pub probes: Arc<Probes>,
    /// What the agent itself has to tell.
    pub notes: mpsc::Receiver<Note>,
    /// The newest batch that the collector has.
    pub acked: watch::Receiver<u64>,
    /// The newest batch on disk.
    pub newest: watch::Sender<u64>,
    /// Who is told whether events are stored.
    pub storing: watch::Sender<Storing>,
    /// What is counted.
    pub counters: Arc<Counters>,
    /// Up to where the rings were taken; nothing at first.
    pub taken: Taken,
    /// Told of everything that comes.
    pub seen: Arc<Seen>,
}

/// Up to where the rings were taken, and not freed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Taken {
    priority: Option<Cursor>,
    bulk: Option<Cursor>,
}

/// What there is to do.
enum Wake {
    Stop,
    Note(Box<Note>),
    Read,
    Acked,
    Look,
}

impl<H: Host> Pipeline<H> {
    /// Runs until `stop`, then empties the rings to disk.
    ///
    /// # Errors
    /// [`PipelineError`].
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> Result<(), PipelineError> {
        let mut stop = std::pin::pin!(stop);
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = Told::default();
        let mut pace = Pace::default();
        let mut counted = None;
        // What lies in the rings is of before this start.
        self.read(&mut stop, &mut pace).await?;
        self.worker.begin();
        loop {
            match self.wake(&mut stop, &mut look, pace).await? {
                Wake::Stop => break,
                Wake::Note(note) => self.worker.take_note(*note),
                Wake::Acked => {
                    self.forget_acked();
                    continue;
                }
                Wake::Look => {
                    // What is told is read with the rest, and waits for no counter.
                    self.probes.tell_sums()?;
                    let kernel = self.probes.counters()?;
                    for impaired in told.tell(&kernel, &self.counters) {
                        self.worker.take_note(Note::about_nobody(impaired));
                    }
                    self.worker.tell_survivors();
                    self.worker.look_for_dead();
                    counted = Some(streams(&kernel));
                }
                Wake::Read => {}
            }
            self.read(&mut stop, &mut pace).await?;
            if !self.has_records()
                && let Some(counted) = counted.take()
            {
                self.worker.settle(&counted);
                self.worker.close_dead();
                self.commit(&mut stop, &mut pace).await?;
            }
        }
        self.probes.tell_sums()?;
        self.drain(&mut pace).await
    }

    /// Reads to their end the rings of probes that others have followed, and names
    /// what never came.
    ///
    /// # Errors
    /// [`PipelineError`].
    pub async fn finish(mut self) -> Result<(), PipelineError> {
        let mut pace = Pace::default();
        loop {
            let open = self.probes.tell_sums()?;
            self.read(&mut std::pin::pin!(tokio::time::sleep(DRAIN)), &mut pace)
                .await?;
            let is_empty = !self.worker.has_taken() && !self.has_records();
            if is_empty && open == 0 {
                break;
            }
            if self.worker.room() != Room::All {
                error!(
                    open_sums = open,
                    "The spool is full: what the probes of before told last is named as missing; acts that they only counted are not told."
                );
                break;
            }
        }
        let counted = streams(&self.probes.counters()?);
        // They tell nothing more: what is not there by now never comes.
        self.worker.settle(&counted);
        self.worker.settle(&counted);
        let mut enough = std::pin::pin!(tokio::time::sleep(DRAIN));
        self.commit(&mut enough, &mut pace).await?;
        info!(counters = %self.counters, "What the probes of before told is on disk.");
        Ok(())
    }

    fn has_records(&self) -> bool {
        self.rings.priority.has_records() || self.rings.bulk.has_records()
    }

    async fn wake(
        &mut self,
        stop: &mut (impl Future<Output = ()> + Unpin),
        look: &mut Interval,
        pace: Pace,
    ) -> Result<Wake, KernelError> {
        let room = self.worker.room();
        // What was read ahead waits for nothing more.
        let has_taken = self.worker.has_taken();
        tokio::select! {
            biased;
            () = stop => Ok(Wake::Stop),
            Some(note) = self.notes.recv() => Ok(Wake::Note(Box::new(note))),
            // Before the rings: a flood keeps those ready for ever.
            _ = look.tick() => Ok(Wake::Look),
            Ok(()) = self.acked.changed() => Ok(Wake::Acked),
            () = std::future::ready(()), if has_taken => Ok(Wake::Read),
            ready = self.rings.priority.ready(pace.pause()), if room != Room::Own => ready.map(|()| Wake::Read),
            ready = self.rings.bulk.ready(None), if room == Room::All => ready.map(|()| Wake::Read),
        }
    }

    /// One reading: everything that is there now, to disk, then free.
    async fn read(
        &mut self,
        stop: &mut (impl Future<Output = ()> + Unpin),
        pace: &mut Pace,
    ) -> Result<(), PipelineError> {
        while let Ok(note) = self.notes.try_recv() {
            self.worker.take_note(note);
        }
        let room = self.worker.room();
        let records = self.take(room)?;
        pace.read(records, Instant::now());
        self.commit(stop, pace).await?;
        Storing::tell(&self.storing, self.worker.room() == Room::All);
        Ok(())
    }

    /// Takes what lies in the rings; how many records of the priority ring.
    fn take(&mut self, room: Room) -> Result<usize, KernelError> {
        let offset = TimeOffset::now();
        // The priority ring first: then all births before its records are there.
        let priority = (room != Room::Own).then(|| self.rings.priority.read_batch(LIMITS));
        let bulk = (room == Room::All).then(|| self.rings.bulk.read_batch(LIMITS));
        tokio::task::block_in_place(|| {
            if let Some(bulk) = &bulk {
                self.worker.foresee(bulk.records());
            }
            for batch in [&priority, &bulk].into_iter().flatten() {
                self.worker.take_records(batch.records(), offset);
            }
        });
        let is_something =
            |batch: &Option<Batch>| batch.as_ref().is_some_and(|one| !one.is_empty());
        if is_something(&priority) || is_something(&bulk) {
            self.seen.note();
        }
        let taken = &mut self.taken;
        taken.priority = priority.as_ref().map(Batch::cursor).or(taken.priority);
        taken.bulk = bulk.as_ref().map(Batch::cursor).or(taken.bulk);
        if self.worker.is_overdue() {
            let kernel = self.probes.counters()?;
            self.worker.overdue(&streams(&kernel));
        }
        Ok(priority.as_ref().map_or(0, Batch::len))
    }

    /// Writes until it is written or the agent is to stop: while the disk fails
    /// the kernel's rings hold what comes, and count what they cannot hold.
    /// Frees what is written.
    async fn commit(
        &mut self,
        stop: &mut (impl Future<Output = ()> + Unpin),
        pace: &mut Pace,
    ) -> Result<(), PipelineError> {
        let mut failed = false;
        let room = self.worker.room();
        let (mut closed, taken) = (self.worker.close(), std::mem::take(&mut self.taken));
        loop {
            let may_read = room == Room::All && !failed;
            let (back, newest) = self.write(closed, (may_read, pace)).await?;
            closed = back;
            match newest {
                Ok(newest) => {
                    if failed {
                        info!("The spool can be written again.");
                    }
                    self.newest
                        .send_if_modified(|known| std::mem::replace(known, newest) != newest);
                    break;
                }
                Err(error) => {
                    self.counters.spool_errors.add(1);
                    Storing::tell(&self.storing, false);
                    if !std::mem::replace(&mut failed, true) {
                        error!(%error, "The spool cannot be written; events wait in the kernel's rings.");
                    }
                    tokio::select! {
                        () = &mut *stop => return Err(error.into()),
                        () = tokio::time::sleep(DISK_PAUSE) => {}
                    }
                }
            }
        }
        self.worker.finish(closed);
        if let Some(cursor) = taken.priority {
            self.rings.priority.commit(cursor);
        }
        if let Some(cursor) = taken.bulk {
            self.rings.bulk.commit(cursor);
        }
        Ok(())
    }

    /// Writes one reading, and takes the next one meanwhile: who is to be held
    /// back does not wait for the disk. Once [`AHEAD_MAX`] records of the priority
    /// ring are taken ahead no more are; none with little room, or after a write
    /// that failed.
    async fn write(
        &mut self,
        mut closed: Closed,
        (may_read, pace): (bool, &mut Pace),
    ) -> Result<(Closed, Result<u64, SpoolError>), PipelineError> {
        if closed.is_empty() {
            let newest = closed.write();
            return Ok((closed, newest));
        }
        let mut writing = tokio::task::spawn_blocking(move || {
            let newest = closed.write();
            (closed, newest)
        });
        let mut ahead = 0;
        while may_read && ahead < AHEAD_MAX {
            tokio::select! {
                biased;
                written = &mut writing => return written.map_err(|_| PipelineError::Writer),
                ready = self.rings.priority.ready(pace.pause()) => {
                    ready?;
                    let records = self.take(Room::All)?;
                    pace.read(records, Instant::now());
                    ahead += records;
                }
            }
        }
        writing.await.map_err(|_| PipelineError::Writer)
    }

    fn forget_acked(&mut self) {
        let number = *self.acked.borrow_and_update();
        let full = self.worker.room();
        match tokio::task::block_in_place(|| self.worker.acked(number)) {
            Ok(()) if full != Room::All && self.worker.room() == Room::All => {
                info!("The spool has room again.");
            }
            Ok(()) => {}
            Err(error) => warn!(%error, "Batches that the collector has could not be deleted yet."),
        }
    }

    async fn drain(mut self, pace: &mut Pace) -> Result<(), PipelineError> {
        let began = tokio::time::Instant::now();
        let mut enough = std::pin::pin!(tokio::time::sleep(DRAIN));
        while began.elapsed() < DRAIN && self.worker.room() == Room::All {
            self.read(&mut enough, pace).await?;
            if !self.worker.has_taken() && !self.has_records() {
                break;
            }
        }
        info!(
            waiting_bytes = self.worker.spool_bytes(),
            "What the kernel told is on disk. The probes go on and their rings hold what comes; `detach` removes them."
        );
        Ok(())
    }
}

/// The kernel's counters of the streams that have any.
fn streams(kernel: &KernelCounters) -> Vec<Counted> {
    let used = kernel.rings.iter().filter(|count| count.produced > 0);
    used.map(|count| Counted {
        source: source(count.ring, count.cpu),
        produced: count.produced,
        dropped: count.dropped,
    })
    .collect()
}

/// The stream of a ring and processor.
#[must_use]
pub const fn source(ring: Ring, cpu: u16) -> Source {
    match ring {
        Ring::Priority => Source::Priority { cpu },
        Ring::Bulk => Source::Bulk { cpu },
    }
}
