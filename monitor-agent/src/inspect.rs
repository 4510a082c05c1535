//! A look at a session: what lives in it now, and what that holds open.
//!
//! In: a session. Out: a snapshot, whether the session stands still or not. Whose
//! a process is says the kernel's mark alone, before and after it is read; a
//! process that is another's by then is left out. Paths and arguments pass the
//! redactor as those of events do. Bound: [`LOOKS_MAX`] at a time, further ones
//! are told to come again; of each, what [`monitor_model::inspect`] names. Loss:
//! what does not fit is counted.
//!
//! - `process`: what `/proc` says of one. `descriptors`: what it has open.
//! - `credentials`: which of that is watched. `sockets`: where connections go.

use std::{collections::BTreeSet, sync::Arc};

use monitor_model::{
    bytes::{ByteText, PathLabel},
    clock::{Clock, UnixNs},
    id::SessionId,
    inspect::{DESCRIPTORS_MAX, NotShown, PROCESSES_MAX, Snapshot, Stance, TEXT_BYTES_MAX},
};
use monitor_transport::blocking;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{error, info};

use crate::{
    attribute::{SharedJobs, SharedSessions, host::ProcessStat},
    kernel::{KernelError, SessionState, TimeOffset},
    marks::Marks,
    redact::Redactor,
    watch::SharedLabels,
};

mod credentials;
mod descriptors;
mod process;
mod sockets;

pub use credentials::Objects;
use process::Looked;

/// Most looks at a time.
pub const LOOKS_MAX: usize = 4;
/// Most bytes of one path that are shown: the last ones.
const PATH_BYTES_MAX: usize = 1_024;

/// Looks at sessions.
#[derive(Clone, Debug)]
pub struct Inspector {
    /// Sessions.
    pub sessions: SharedSessions,
    /// Work that sessions handed over.
    pub jobs: SharedJobs,
    /// Whose a process is, and what is done to it.
    pub marks: Arc<dyn Marks>,
    /// Who files are, and whether they are watched.
    pub objects: Arc<dyn Objects>,
    /// What watches mean.
    pub labels: SharedLabels,
    /// What takes secrets out.
    pub redactor: Arc<Redactor>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Places for looks.
    pub places: Arc<Semaphore>,
}

/// A place among those who look; given back when it is dropped.
pub type Place = Option<OwnedSemaphorePermit>;

impl Inspector {
    /// Places for looks of one agent.
    #[must_use]
    pub fn places() -> Arc<Semaphore> {
        Arc::new(Semaphore::new(LOOKS_MAX))
    }

    /// Looks at a session, away from the threads that must not wait. The place
    /// is to be held until the answer is on its way.
    ///
    /// # Errors
    /// [`NotShown`].
    pub async fn look(&self, session: SessionId) -> (Result<Snapshot, NotShown>, Place) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return (Err(NotShown::Busy), None);
        };
        let this = self.clone();
        let seen = blocking::aside(move || this.see(session)).await;
        let seen = match seen {
            Ok(Ok(Some(snapshot))) => Ok(snapshot),
            Ok(Ok(None)) => Err(NotShown::Unknown),
            Ok(Err(error)) => {
                error!(%error, %session, "A session could not be looked at.");
                Err(NotShown::Failed)
            }
            Err(_) => Err(NotShown::Failed),
        };
        if let Ok(snapshot) = &seen {
            info!(%session, processes = snapshot.processes.len(), more = snapshot.more_processes,
                "A session was looked at for the collector.");
        }
        (seen, Some(place))
    }

    /// None where nothing of it lives.
    fn see(&self, session: SessionId) -> Result<Option<Snapshot>, KernelError> {
        if self.sessions.lock().get(session).is_none() {
            return Ok(None);
        }
        let stance = self.stance(session)?;
        let mut living = self.living(session)?;
        let more = living.len().saturating_sub(PROCESSES_MAX);
        living.truncate(PROCESSES_MAX);
        let mut snapshot = Snapshot {
            session,
            taken_at: UnixNs(0),
            stance,
            processes: Vec::new(),
            more_processes: count(more),
        };
        let mut look = Look {
            inspector: self,
            room: Room::default(),
            since_boot: TimeOffset::now(),
            held: BTreeSet::new(),
        };
        for one in living {
            if look.room.is_full() {
                snapshot.more_processes = snapshot.more_processes.saturating_add(1);
                continue;
            }
            snapshot.processes.extend(look.process(&one)?);
        }
        let (pids, held) = (snapshot.processes.iter(), &look.held);
        let pids = pids.map(|process| process.key.pid).collect();
        let sockets = sockets::Sockets::of(&pids, held);
        for process in &mut snapshot.processes {
            sockets.tell(&mut process.descriptors, &self.redactor);
        }
        snapshot.taken_at = self.clock.now();
        let is_empty = snapshot.processes.is_empty() && snapshot.more_processes == 0;
        Ok((!is_empty).then_some(snapshot))
    }

    /// The living processes of a session and its jobs, the oldest first.
    fn living(&self, session: SessionId) -> Result<Vec<Looked>, KernelError> {
        let mut living = Vec::new();
        let jobs = self.jobs.of_session(session);
        for mark in std::iter::once(session).chain(jobs) {
            let is_held = self.stance(mark)? == Stance::Frozen;
            for pid in self.marks.processes(mark)? {
                // Gone meanwhile.
                let Ok(stat) = ProcessStat::read(pid) else {
                    continue;
                };
                living.push(Looked {
                    start_ticks: stat.start_ticks,
                    pid,
                    mark,
                    job: (mark != session).then_some(mark),
                    is_held,
                });
            }
        }
        living.sort_unstable_by_key(|one| (one.start_ticks, one.pid));
        Ok(living)
    }

    fn stance(&self, mark: SessionId) -> Result<Stance, KernelError> {
        Ok(match self.marks.state(mark)? {
            Some(SessionState::Frozen) => Stance::Frozen,
            Some(SessionState::Killed) => Stance::Killed,
            Some(SessionState::Contained) => Stance::Contained,
            Some(SessionState::Open) | None => Stance::Open,
        })
    }
}

/// One look, under way.
struct Look<'a> {
    inspector: &'a Inspector,
    room: Room,
    since_boot: TimeOffset,
    /// Inodes of the sockets that were found.
    held: BTreeSet<u64>,
}

impl Look<'_> {
    /// A path for the answer: secrets out, the beginning cut where it is long.
    fn path(&mut self, text: Vec<u8>) -> PathLabel {
        let mut path = PathLabel {
            text: ByteText(text),
            truncated: false,
        };
        self.inspector.redactor.path(&mut path);
        let beyond = path.text.0.len().saturating_sub(PATH_BYTES_MAX);
        if beyond > 0 {
            path.text.0.drain(..beyond);
            path.truncated = true;
        }
        self.room.take_text(path.text.0.len());
        path
    }
}

/// What of the answer is left.
struct Room {
    descriptors: usize,
    text_bytes: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            descriptors: DESCRIPTORS_MAX,
            text_bytes: TEXT_BYTES_MAX,
        }
    }
}

impl Room {
    fn take_text(&mut self, bytes: usize) {
        self.text_bytes = self.text_bytes.saturating_sub(bytes);
    }

    /// Whether there is room for a descriptor; taken, then.
    fn take_descriptor(&mut self) -> bool {
        let fits = self.descriptors > 0 && !self.is_full();
        self.descriptors -= usize::from(fits);
        fits
    }

    const fn is_full(&self) -> bool {
        self.text_bytes == 0
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
pub(crate) mod tests;
