//! The stream to the collector.
//!
//! In: batches of the spool, receipts. Out: acks to the spool; grants, denials
//! and orders to those who need them. Bound: [`IN_FLIGHT_MAX`] batches without
//! an ack. Loss: none; after a loss of the stream everything that is not acked
//! is sent again, oldest first, and the collector knows what it has.

use std::{path::PathBuf, sync::Arc, time::Duration};

use monitor_model::{
    clock::Clock,
    event::{Action, GapCause},
};
use monitor_proto::v1::{
    self, agent_service_client::AgentServiceClient, stream_request, stream_response,
};
use monitor_transport::{
    blocking::{self, Unfinished},
    causes,
    tls::{Follower, TlsError},
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tonic::Streaming;
use tracing::{debug, error, info, warn};

use crate::{
    config::Collector,
    contain::Containment,
    counters::Counters,
    enforce::Enforcer,
    inspect::Inspector,
    krl::Lists,
    note::{Keep, Note, Notes, Stopping},
    sequence::Gap,
    spool::{Damaged, SpoolError, SpoolReader},
    standing::{Standing, StandingError},
};

mod asked;
mod backoff;
mod beat;

pub use backoff::Backoff;
pub use beat::{BEAT_MS, Life};

/// Most batches without an ack.
pub const IN_FLIGHT_MAX: usize = 32;
/// Most receipts that wait for the stream; who has one more waits with it.
const RECEIPTS_WAITING_MAX: usize = 64;
/// Room for tellings of the list in place, which are rare.
const LISTS_WAITING_MAX: usize = 4;
/// Largest message that is read: a table of many thousand grants.
const MESSAGE_BYTES_MAX: usize = 64 << 20;
/// A stream that lived so long makes the next pause short again.
const STEADY: Duration = Duration::from_secs(10);

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error(transparent)]
    Connect(#[from] TlsError),
    #[error("the collector refused: {}", status.message())]
    Refused { status: tonic::Status },
    #[error("{cause}")]
    Broken { cause: String },
    #[error("the collector ended the stream")]
    Ended,
    #[error(transparent)]
    Spool(#[from] SpoolError),
    #[error(transparent)]
    Standing(#[from] StandingError),
}

impl From<tonic::Status> for Lost {
    fn from(status: tonic::Status) -> Self {
        use tonic::Code;
        let refusals = [
            Code::PermissionDenied,
            Code::Unauthenticated,
            Code::InvalidArgument,
        ];
        if refusals.contains(&status.code()) {
            Self::Refused { status }
        } else {
            let said = status.message();
            let cause = if said.is_empty() {
                causes(&status)
            } else {
                said.to_owned()
            };
            Self::Broken { cause }
        }
    }
}

/// What the uplink works with.
#[derive(Debug)]
pub struct Uplink {
    /// Where to.
    pub collector: Collector,
    /// Who the agent is.
    pub tls: Follower,
    /// First message of each stream.
    pub hello: v1::Hello,
    /// The database that the spool writes.
    pub spool: PathBuf,
    /// The newest batch on disk.
    pub newest: watch::Receiver<u64>,
    /// The newest batch that the collector has.
    pub acked: watch::Sender<u64>,
    /// Grants and denials.
    pub standing: Standing,
    /// Who carries orders out.
    pub containment: Arc<Containment>,
    /// Who holds sessions to their grants.
    pub enforcer: Arc<Enforcer>,
    /// Who looks at sessions.
    pub inspector: Inspector,
    /// What is counted.
    pub counters: Arc<Counters>,
    /// Revocation lists, where the agent keeps one.
    pub lists: Option<Lists>,
    /// What is said of the agent's own life.
    pub life: Life,
    /// The way to the disk.
    pub notes: Notes,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Where one stream stands.
struct Flight {
    up: mpsc::Sender<v1::StreamRequest>,
    down: Streaming<v1::StreamResponse>,
    reader: SpoolReader,
    sent: u64,
    acked: u64,
    /// Receipts, on a way of their own: they never take the room of batches.
    receipts: mpsc::Sender<v1::StreamRequest>,
    /// Tables on their way to disk.
    keeping: JoinSet<Result<Result<(), StandingError>, Unfinished>>,
}

impl Flight {
    /// Numbers have holes where batches were acked before; so this is at most
    /// what is under way.
    const fn in_flight(&self) -> u64 {
        self.sent.saturating_sub(self.acked)
    }
}

impl Uplink {
    /// Keeps a stream up until the task is ended.
    pub async fn run(mut self) {
        let mut backoff = Backoff::new(self.collector.retry_min, self.collector.retry_max);
        let mut lost = false;
        loop {
            let started = tokio::time::Instant::now();
            let error = match self.connect().await {
                Ok(flight) => {
                    if std::mem::take(&mut lost) {
                        info!(collector = self.collector.address, "The collector is back.");
                    } else {
                        info!(
                            collector = self.collector.address,
                            "The collector is connected."
                        );
                    }
                    self.counters.uplinks.add(1);
                    self.fly(flight).await
                }
                Err(error) => error,
            };
            if started.elapsed() >= STEADY {
                backoff.reset();
            }
            if std::mem::replace(&mut lost, true) {
                debug!(%error, "The collector is still away.");
            } else {
                tell_lost(&error, &self.collector.address);
            }
            tokio::time::sleep(backoff.step()).await;
        }
    }

    async fn connect(&mut self) -> Result<Flight, Lost> {
        // A new certificate needs no start.
        blocking::in_place(|| self.tls.look());
        let channel = self.tls.current().connect(&self.collector.address).await?;
        let mut client =
            AgentServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        // Room for all batches that may be under way, and what is told of lists:
        // sending them never waits.
        let (up, requests) = mpsc::channel(IN_FLIGHT_MAX + LISTS_WAITING_MAX + 1);
        let (receipts, told) = mpsc::channel(RECEIPTS_WAITING_MAX);
        let hello = stream_request::Message::Hello(self.hello.clone());
        up.try_send(request(hello)).map_err(|_| Lost::Ended)?;
        let beats = self.life.beats();
        let events = ReceiverStream::new(requests).merge(ReceiverStream::new(told));
        let down = client.stream(events.merge(beats)).await?.into_inner();
        let reader = blocking::in_place(|| SpoolReader::open(&self.spool))?;
        let acked = *self.acked.borrow();
        Ok(Flight {
            up,
            down,
            reader,
            sent: acked,
            acked,
            receipts,
            keeping: JoinSet::new(),
        })
    }

    /// Sends and receives until the stream is lost.
    async fn fly(&mut self, mut flight: Flight) -> Lost {
        if let Some(lists) = &mut self.lists {
            lists.again();
        }
        loop {
            match self.send(&mut flight) {
                Ok(None) => {}
                // Named and put aside; behind it the next ones wait.
                Ok(Some(damaged)) => match self.name(damaged).await {
                    Ok(()) => continue,
                    Err(Stopping) => return Lost::Ended,
                },
                Err(lost) => return lost,
            }
            tokio::select! {
                message = flight.down.message() => match message {
                    Ok(Some(message)) => {
                        if let Err(lost) = self.receive(message, &mut flight) {
                            return lost;
                        }
                    }
                    Ok(None) => return Lost::Ended,
                    Err(status) => return status.into(),
                },
                Some(kept) = flight.keeping.join_next() => {
                    // One that panicked has kept nothing: it is logged where it did.
                    if let Ok(Ok(Err(error))) = kept {
                        return error.into();
                    }
                }
                place = in_place(&mut self.lists) => {
                    // No room: the stream is taken up anew, and begins with it.
                    if flight.up.try_send(request(stream_request::Message::List(place))).is_err() {
                        return Lost::Ended;
                    }
                }
                changed = self.newest.changed() => {
                    if changed.is_err() {
                        return Lost::Ended;
                    }
                }
            }
        }
    }

    /// Names what a batch held that is not what was written, and has it put aside.
    /// Before that nothing behind it is sent: an ack would delete it unnamed.
    async fn name(&self, damaged: Damaged) -> Result<(), Stopping> {
        let Damaged { number, held } = damaged;
        let (here, gone): (Vec<_>, Vec<_>) = held
            .iter()
            .flatten()
            .partition(|held| held.boot.to_bytes().as_slice() == self.hello.boot);
        error!(batch = number, ranges = here.len(), is_known = held.is_some(), earlier_boot = ?gone,
            "A batch on this host's disk is not what was written: it is not sent, and what it held in this boot is named as missing.");
        for held in here {
            let gap = Gap {
                source: held.source,
                first: held.first,
                last: held.last,
                cause: GapCause::SpoolDamaged,
            };
            self.counters.records_missing.add(gap.numbers());
            self.notes.tell(Note::about_nobody(gap.into())).await?;
        }
        let damage = Action::Impaired {
            reason: "spool_damaged".to_owned(),
            program: None,
            times: 1,
            total: 1,
        };
        let mut note = Note::about_nobody(damage);
        note.keep = Some(Keep::Damaged(number));
        self.notes.keep(note).await
    }

    /// Sends what is on disk, as far as may be under way, up to what is not what was
    /// written.
    fn send(&mut self, flight: &mut Flight) -> Result<Option<Damaged>, Lost> {
        let most = u64::try_from(IN_FLIGHT_MAX).unwrap_or(u64::MAX);
        let newest = *self.newest.borrow_and_update();
        while flight.sent < newest && flight.in_flight() < most {
            let next = match blocking::in_place(|| flight.reader.next(flight.sent)) {
                Err(SpoolError::Damaged(damaged)) => return Ok(Some(damaged)),
                next => next?,
            };
            let Some(batch) = next else {
                // Everything up to the newest is acked and deleted; were only
                // one of the two moved on, it would count as under way.
                if flight.in_flight() == 0 {
                    flight.sent = newest;
                    flight.acked = newest;
                }
                break;
            };
            if flight.in_flight() == 0 {
                flight.acked = batch.number - 1;
            }
            flight.sent = batch.number;
            self.counters.events_sent.add_len(batch.events.len());
            flight
                .up
                .try_send(request(stream_request::Message::Batch(batch)))
                .map_err(|_| Lost::Ended)?;
        }
        Ok(None)
    }

    fn receive(&self, message: v1::StreamResponse, flight: &mut Flight) -> Result<(), Lost> {
        match message.message {
            Some(stream_response::Message::Ack(v1::Ack { number })) => {
                // What was not sent cannot be acked: nothing unsent is ever deleted.
                let number = number.min(flight.sent);
                if number > flight.acked {
                    self.counters.batches_acked.add(number - flight.acked);
                    flight.acked = number;
                    self.acked.send_replace(number);
                }
            }
            Some(stream_response::Message::Grants(grants)) => {
                let unreadable = blocking::in_place(|| self.standing.replace_grants(grants))?;
                if unreadable > 0 {
                    self.counters.grants_unreadable.add_len(unreadable);
                    warn!(
                        unreadable,
                        "Grants from the collector make no sense to this agent; they open nothing here."
                    );
                }
            }
            Some(stream_response::Message::Deny(denied)) => {
                self.standing.replace_denied(&denied);
                // Orders that follow do not wait for the disk.
                let standing = self.standing.clone();
                flight
                    .keeping
                    .spawn(async move { blocking::aside(move || standing.keep_denials()).await });
            }
            Some(stream_response::Message::Scopes(scopes)) => {
                blocking::in_place(|| self.enforcer.replace(scopes))?;
            }
            Some(stream_response::Message::ScopeLease(v1::ScopeLease {})) => self.enforcer.renew(),
            Some(stream_response::Message::List(list)) => match &self.lists {
                Some(lists) => lists.take(list),
                None => {
                    debug!(
                        "A revocation list came, and no [krl] path is configured to keep it at."
                    );
                }
            },
            Some(stream_response::Message::Contain(command)) => self.contain(&command, flight),
            Some(stream_response::Message::Inspect(asked)) => self.inspect(&asked, flight),
            None => debug!("The collector sent a message of a kind that this agent does not know."),
        }
        Ok(())
    }
}

/// The list in place when that is to be told; never where none is kept.
async fn in_place(lists: &mut Option<Lists>) -> v1::ListInPlace {
    match lists {
        Some(lists) => lists.changed().await,
        None => std::future::pending().await,
    }
}

const fn request(message: stream_request::Message) -> v1::StreamRequest {
    v1::StreamRequest {
        message: Some(message),
    }
}

/// Told once at a loss, not once a try.
fn tell_lost(error: &Lost, collector: &str) {
    match error {
        Lost::Refused { .. } => {
            error!(%error, collector, "The collector does not take this agent's events; they wait on disk.");
        }
        Lost::Connect(_) | Lost::Broken { .. } | Lost::Ended => {
            warn!(%error, collector, "The collector is away; events wait on disk, and logins are decided by what is known.");
        }
        Lost::Spool(_) | Lost::Standing(_) => {
            error!(%error, collector, "The agent's own disk fails.");
        }
    }
}

#[cfg(test)]
mod tests;
