//! The stages between the rings and the disk, without either: bytes of records
//! in, one reading of the spool out.

use std::{collections::BTreeSet, sync::Arc};

use monitor_common::{Header, Pulse, Record, Ring, decode};
use monitor_model::{
    clock::Clock,
    event::{Action, Event, GapCause, ProcessRef},
    id::{EventId, SessionId, Source},
};
use tokio::sync::oneshot;
use tracing::{debug, warn};
use zerocopy::FromBytes as _;

use super::{logouts::Logouts, source};
use crate::{
    attribute::{
        Attributor, Host, Origin, Place, SharedSessions,
        jobs::{Deed, Job},
    },
    contain::foreign::Foreign,
    counters::Counters,
    kernel::{SessionState, TimeOffset},
    marks::{self, Marks},
    note::{Keep, Note},
    redact::Redactor,
    sequence::{Counted, Gap, Seen, Sequences},
    spool::{Reading, Recovered, Room, SharedSpool, SpoolError, Spooled},
};

/// What the stages are made of.
#[derive(Debug)]
pub struct Parts<H> {
    /// Under which name events go out.
    pub origin: Origin,
    /// The queue; written while the next reading is made.
    pub spool: SharedSpool,
    /// Attribution.
    pub attributor: Attributor<H>,
    /// Secrets out.
    pub redactor: Arc<Redactor>,
    /// Sessions.
    pub sessions: SharedSessions,
    /// The kernel's side of sessions.
    pub marks: Arc<dyn Marks>,
    /// What is counted.
    pub counters: Arc<Counters>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// The stages, and the reading that is being made.
#[derive(Debug)]
pub struct Worker<H> {
    parts: Parts<H>,
    sequences: Sequences,
    reading: Reading,
    own_sequence: u64,
    /// Who waits for the reading to be on disk.
    waiting: Vec<oneshot::Sender<()>>,
    /// Sessions whose end the reading tells.
    ended: Vec<SessionId>,
    /// Sessions without a process at the last look, and those of them that had
    /// none at the one before either.
    dead: BTreeSet<SessionId>,
    closing: BTreeSet<SessionId>,
    logouts: Logouts,
    full: bool,
    /// What the agent decides alone.
    foreign: Option<Foreign>,
}

impl<H: Host> Worker<H> {
    /// Goes on from what was on disk. `epoch` names the loading of the probes:
    /// when it is another one than before, their numbers begin again.
    pub fn new(parts: Parts<H>, recovered: Recovered, epoch: String) -> Self {
        let mut worker = Self {
            parts,
            sequences: Sequences::resume(recovered.streams),
            reading: Reading::default(),
            own_sequence: recovered.own_sequence,
            waiting: Vec::new(),
            ended: Vec::new(),
            dead: BTreeSet::new(),
            closing: BTreeSet::new(),
            logouts: Logouts::default(),
            full: false,
            foreign: None,
        };
        worker
            .parts
            .attributor
            .jobs()
            .resume(recovered.jobs, recovered.writings);
        for session in recovered.sessions {
            if let Err(error) = worker.parts.sessions.lock().put(session) {
                warn!(%error, "A session of before the start was forgotten.");
            }
        }
        for earlier in recovered.earlier {
            worker.name_earlier(earlier);
        }
        if recovered.epoch.as_ref() != Some(&epoch) {
            let gaps = worker.sequences.restart();
            worker.take_gaps(&gaps);
            worker.reading.epoch = Some(epoch);
        }
        worker
    }

    /// Answers what the agent answers alone.
    #[must_use]
    pub fn answering(mut self, foreign: Option<Foreign>) -> Self {
        self.foreign = foreign;
        self
    }

    /// What may still be written; told when it begins to be less than all.
    pub fn room(&mut self) -> Room {
        let room = self.parts.spool.lock().room();
        if room == Room::All {
            self.full = false;
        } else if !std::mem::replace(&mut self.full, true) {
            self.parts.counters.spool_full.add(1);
            warn!(
                bytes = self.spool_bytes(),
                "The spool is full: the rings are left alone, and the kernel drops what they cannot hold, until the collector takes events again."
            );
        }
        room
    }

    /// Bytes that wait for the collector.
    #[must_use]
    pub fn spool_bytes(&self) -> u64 {
        self.parts.spool.lock().bytes()
    }

    /// Learns of births from records that are taken later in this reading.
    pub fn foresee<'a>(&mut self, records: impl Iterator<Item = &'a [u8]>) {
        for bytes in records {
            // What is none is told when it is taken.
            if let Ok(record) = decode(bytes) {
                self.parts.attributor.foresee(&record);
            }
        }
    }

    /// Takes records in the order of a ring.
    pub fn take_records<'a>(
        &mut self,
        records: impl Iterator<Item = &'a [u8]>,
        offset: TimeOffset,
    ) {
        for bytes in records {
            // A sign of life is no record: it has no number, and is not stored.
            if Pulse::of(bytes).is_some() {
                continue;
            }
            self.parts.counters.records_read.add(1);
            match decode(bytes) {
                Ok(record) => self.take_record(&record, offset),
                Err(_) => self.take_undecodable(bytes),
            }
        }
        let (unknown, evicted) = self.parts.attributor.take_losses();
        self.parts.counters.watch_ids_unknown.add(unknown);
        self.parts.counters.executables_evicted.add(evicted);
        let untaken = self.parts.attributor.take_untaken();
        self.parts.counters.steering_untaken.add(untaken);
    }

    fn take_record(&mut self, record: &Record<'_>, offset: TimeOffset) {
        let header = record.header();
        // Decoding has refused other rings.
        let Some(ring) = Ring::from_number(header.ring) else {
            return;
        };
        let source = source(ring, header.cpu);
        let Seen::New(sequence) = self.sequences.observe(source, header.sequence) else {
            self.parts.counters.records_again.add(1);
            return;
        };
        let mut event = self
            .parts
            .attributor
            .event(record, Place { source, sequence }, offset);
        if let Some(foreign) = &self.foreign {
            foreign.look(&event, header.session);
        }
        self.take_deeds();
        self.take_contradictions();
        let secrets = self.parts.redactor.redact(&mut event);
        self.parts.counters.secrets_removed.add(secrets.into());
        if let Record::Exit(_) = record
            && let Some(id) = marks::session_of(header.session)
        {
            self.take_exit(id, header.pid, event.at);
        }
        if let Record::SessionEnded(ended) = record
            && let Some(id) = marks::session_of(ended.header.session)
        {
            if self.parts.attributor.jobs().end(id) {
                self.reading.keep.push(Keep::JobEnded(id));
                self.ended.push(id);
            } else {
                let row = self.parts.sessions.lock().ended(id, event.at);
                self.end(id, row);
            }
        }
        self.reading.events.push(Spooled::from(&event));
    }

    /// Marks the processes of jobs, and keeps what was found out.
    fn take_deeds(&mut self) {
        let jobs = self.parts.attributor.jobs();
        let (deeds, writings) = (jobs.take_deeds(), jobs.take_writings());
        let kept = writings
            .into_iter()
            .map(|writing| Keep::Writing(Box::new(writing)));
        self.reading.keep.extend(kept);
        for deed in deeds {
            let (job, (pid, start)) = match &deed {
                Deed::Began { job, process } => (job.id, *process),
                Deed::Joined { job, process } => (*job, *process),
            };
            // It may be gone by now: what it did is attributed all the same.
            if let Err(error) = self.parts.marks.mark(pid, job) {
                debug!(%error, pid, %job, "A process of a job could not be marked.");
            }
            if let Deed::Began { job, .. } = deed {
                self.hold_job(&job);
                let leader = ProcessRef {
                    pid,
                    start_boot_ns: Some(start),
                    session: Some(job.id),
                    holds_credentials: false,
                    exe: None,
                };
                self.take_note(Note {
                    attribution: job.attribution.clone(),
                    action: Action::JobStarted {
                        job: job.id,
                        leader,
                    },
                    keep: Some(Keep::Job(Box::new(job))),
                    kept: None,
                });
            }
        }
    }

    /// A job of a session that an order holds back is held back from its first
    /// moment on; the rest is the keeper's.
    fn hold_job(&self, job: &Job) {
        let session = job.attribution.session;
        let state = session.map(|session| self.parts.marks.state(session));
        let held = match state {
            Some(Ok(Some(SessionState::Frozen))) => self.parts.marks.hold(job.id),
            Some(Ok(Some(SessionState::Contained | SessionState::Killed))) => {
                self.parts.marks.contain(job.id)
            }
            Some(Ok(Some(SessionState::Open) | None) | Err(_)) | None => Ok(()),
        };
        if let Err(error) = held {
            warn!(%error, job = %job.id, "The kernel does not hold back a job of a contained session.");
        }
    }

    /// Tells what contradicts marks.
    fn take_contradictions(&mut self) {
        for (attribution, found) in self.parts.attributor.take_contradictions() {
            let process = self.parts.attributor.named(found.process, found.mark);
            self.take_note(Note {
                attribution,
                action: Action::Contradiction {
                    process,
                    evidence: found.evidence,
                    value: found.value,
                    says: found.says,
                },
                keep: None,
                kept: None,
            });
        }
    }

    /// A record of a known form has its number; it is named at once. Of any
    /// other the hole tells.
    fn take_undecodable(&mut self, bytes: &[u8]) {
        self.parts.counters.records_undecodable.add(1);
        let Ok((header, _)) = Header::ref_from_prefix(bytes) else {
            return;
        };
        if header.abi != monitor_common::ABI_VERSION {
            return;
        }
        let Some(ring) = Ring::from_number(header.ring) else {
            return;
        };
        let source = source(ring, header.cpu);
        if let Seen::New(number) = self.sequences.observe(source, header.sequence) {
            let cause = GapCause::Undecodable;
            self.take_gaps(&[Gap {
                source,
                first: number,
                last: number,
                cause,
            }]);
        }
    }

    /// Takes what the agent itself has to tell.
    pub fn take_note(&mut self, note: Note) {
        let Note {
            attribution,
            action,
            keep,
            kept,
        } = note;
        let at = self.parts.clock.now();
        let boot_ns = i128::from(at.0) - i128::from(TimeOffset::now().unix_minus_boot_ns);
        self.own_sequence += 1;
        let mut event = Event {
            id: EventId {
                agent: self.parts.origin.agent.clone(),
                boot: self.parts.origin.boot,
                source: Source::Agent,
                sequence: self.own_sequence,
            },
            at,
            boot_ns: u64::try_from(boot_ns).unwrap_or(0),
            process: None,
            attribution,
            action,
        };
        let secrets = self.parts.redactor.redact(&mut event);
        self.parts.counters.secrets_removed.add(secrets.into());
        self.reading.events.push(Spooled::from(&event));
        self.reading.keep.extend(keep);
        self.waiting.extend(kept);
    }

    fn take_gaps(&mut self, gaps: &[Gap]) {
        for gap in gaps {
            self.parts.counters.records_missing.add(gap.numbers());
            self.take_note(Note::about_nobody((*gap).into()));
        }
    }

    /// Whether holes are to be named; the kernel's counters explain them.
    #[must_use]
    pub fn is_overdue(&self) -> bool {
        self.sequences.is_overdue()
    }

    /// Names holes that too much has passed.
    pub fn overdue(&mut self, counted: &[Counted]) {
        self.sequences.counted(counted);
        let gaps = self.sequences.overdue();
        self.take_gaps(&gaps);
    }

    /// Names holes that stayed since the last look; the rings were empty after
    /// the counters were taken.
    pub fn settle(&mut self, counted: &[Counted]) {
        let gaps = self.sequences.settle(counted);
        self.take_gaps(&gaps);
    }

    /// Whether something was taken that is not closed.
    #[must_use]
    pub fn has_taken(&self) -> bool {
        !self.reading.events.is_empty()
    }

    /// Closes what was taken, to be written; what is taken from here on is the
    /// next reading.
    pub fn close(&mut self) -> Closed {
        self.reading.own_sequence = self.own_sequence;
        self.reading.streams.extend(self.sequences.take_changed());
        let mut reading = std::mem::take(&mut self.reading);
        for kept in &mut reading.keep {
            let secrets = self.parts.redactor.redact_kept(kept);
            self.parts.counters.secrets_removed.add(secrets.into());
        }
        Closed {
            reading,
            waiting: std::mem::take(&mut self.waiting),
            ended: std::mem::take(&mut self.ended),
            spool: self.parts.spool.clone(),
            counters: Arc::clone(&self.parts.counters),
        }
    }

    /// What follows once a reading is on disk.
    pub fn finish(&mut self, written: Closed) {
        for waiting in written.waiting {
            // Who waited may have gone.
            let _ = waiting.send(());
        }
        for id in written.ended {
            if let Err(error) = self.parts.marks.forget(id) {
                warn!(%error, session = %id, "The kernel keeps the row of a session that ended.");
            }
        }
    }

    /// Deletes what the collector has.
    ///
    /// # Errors
    /// [`SpoolError`].
    pub fn acked(&mut self, number: u64) -> Result<(), SpoolError> {
        self.parts.spool.lock().acked(number).map(drop)
    }
}

/// A reading that is complete, on its way to the disk.
#[derive(Debug)]
pub struct Closed {
    reading: Reading,
    /// Who waits for it to be on disk.
    waiting: Vec<oneshot::Sender<()>>,
    /// Sessions whose end it tells.
    ended: Vec<SessionId>,
    spool: SharedSpool,
    counters: Arc<Counters>,
}

impl Closed {
    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.reading.events.is_empty()
            && self.reading.streams.is_empty()
            && self.reading.epoch.is_none()
            && self.reading.over.is_empty()
    }

    /// Writes it; the newest batch. After an error it may be called again.
    ///
    /// # Errors
    /// [`SpoolError`].
    pub fn write(&mut self) -> Result<u64, SpoolError> {
        let mut spool = self.spool.lock();
        if !self.is_empty() {
            let before = spool.newest();
            spool.append(&self.reading)?;
            self.counters
                .events_spooled
                .add_len(self.reading.events.len());
            self.counters.batches_spooled.add(spool.newest() - before);
            self.reading = Reading::default();
        }
        Ok(spool.newest())
    }
}

mod earlier;
mod ends;
#[cfg(test)]
mod tests;
