//! Rings -> decode -> attribute -> redact -> spool -> uplink. Wiring only.
//!
//! In: records of both rings, notes of the agent itself. Out: batches on disk,
//! for the uplink to read. One reading is what lies in the rings at one
//! moment; it is on disk before the rings are freed. Between the first event
//! after a pause and the disk there is no timer; under load readings wait for
//! each other ([`pace`]). Bound: [`LIMITS`] for each ring and reading,
//! and the spool. Loss: when the spool is full the rings are left alone; the
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
    counters::Counters,
    kernel::{
        Batch, BatchLimits, Counters as KernelCounters, KernelError, Probes, Rings, TimeOffset,
    },
    note::Note,
    sequence::Counted,
    spool::{Room, SpoolError},
};

mod logouts;
pub mod pace;
mod told;
pub mod worker;

use pace::Pace;
use told::Told;
pub use worker::Worker;

/// Most of one reading from one ring.
pub const LIMITS: BatchLimits = BatchLimits {
    records_max: 4_096,
    bytes_max: 2 << 20,
};
/// How often counters are compared, and the bulk ring is read though it is
/// not half full.
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
    /// What is counted.
    pub counters: Arc<Counters>,
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
        // What lies in the rings is of before this start: sessions that ended
        // meanwhile tell it there. The others are looked for afterwards.
        self.read(&mut stop).await?;
        self.worker.close_dead_sessions();
        loop {
            match self.wake(&mut stop, &mut look, pace).await? {
                Wake::Stop => break,
                Wake::Note(note) => self.worker.take_note(*note),
                Wake::Acked => {
                    self.forget_acked();
                    continue;
                }
                Wake::Look => {
                    let kernel = self.probes.counters()?;
                    for impaired in told.tell(&kernel, &self.counters) {
                        self.worker.take_note(Note::about_nobody(impaired));
                    }
                    self.worker.tell_survivors();
                    counted = Some(streams(&kernel));
                }
                Wake::Read => {}
            }
            let records = self.read(&mut stop).await?;
            pace.read(records, Instant::now());
            if !self.rings.priority.has_records()
                && !self.rings.bulk.has_records()
                && let Some(counted) = counted.take()
            {
                self.worker.settle(&counted);
                self.commit(&mut stop).await?;
            }
        }
        self.drain().await
    }

    async fn wake(
        &mut self,
        stop: &mut (impl Future<Output = ()> + Unpin),
        look: &mut Interval,
        pace: Pace,
    ) -> Result<Wake, KernelError> {
        let room = self.worker.room();
        tokio::select! {
            biased;
            () = stop => Ok(Wake::Stop),
            Some(note) = self.notes.recv() => Ok(Wake::Note(Box::new(note))),
            // Before the rings: a flood keeps those ready for ever.
            _ = look.tick() => Ok(Wake::Look),
            Ok(()) = self.acked.changed() => Ok(Wake::Acked),
            ready = self.rings.priority.ready(pace.pause()), if room != Room::Own => ready.map(|()| Wake::Read),
            ready = self.rings.bulk.ready(None), if room == Room::All => ready.map(|()| Wake::Read),
        }
    }

    /// One reading: everything that is there now, to disk, then free. How many
    /// records of the priority ring it had.
    async fn read(
        &mut self,
        stop: &mut (impl Future<Output = ()> + Unpin),
    ) -> Result<usize, PipelineError> {
        while let Ok(note) = self.notes.try_recv() {
            self.worker.take_note(note);
        }
        let offset = TimeOffset::now();
        let room = self.worker.room();
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
        if self.worker.is_overdue() {
            let kernel = self.probes.counters()?;
            self.worker.overdue(&streams(&kernel));
        }
        self.commit(stop).await?;
        let records = priority.as_ref().map_or(0, Batch::len);
        if let Some(batch) = priority {
            self.rings.priority.commit(batch.cursor());
        }
        if let Some(batch) = bulk {
            self.rings.bulk.commit(batch.cursor());
        }
        Ok(records)
    }

    /// Writes until it is written or the agent is to stop: while the disk fails
    /// the kernel's rings hold what comes, and count what they cannot hold.
    async fn commit(
        &mut self,
        stop: &mut (impl Future<Output = ()> + Unpin),
    ) -> Result<(), PipelineError> {
        let mut failed = false;
        loop {
            match tokio::task::block_in_place(|| self.worker.commit()) {
                Ok(newest) => {
                    if failed {
                        info!("The spool can be written again.");
                    }
                    self.newest
                        .send_if_modified(|known| std::mem::replace(known, newest) != newest);
                    return Ok(());
                }
                Err(error) => {
                    self.counters.spool_errors.add(1);
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

    async fn drain(mut self) -> Result<(), PipelineError> {
        let began = tokio::time::Instant::now();
        let mut enough = std::pin::pin!(tokio::time::sleep(DRAIN));
        while began.elapsed() < DRAIN && self.worker.room() == Room::All {
            self.read(&mut enough).await?;
            if !self.rings.priority.has_records() && !self.rings.bulk.has_records() {
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
