//! Agents' streams: batches and receipts up; acks, tables and commands down.
//!
//! In: messages of one agent, whose name is its certificate's. Out: batches to
//! the writer. Bound: [`WAITING_MAX`] batches of one agent wait, so that one
//! flood cannot starve the others; then its stream is not read. Batches of more
//! than [`BATCH_EVENTS_MAX`] events or [`BATCH_BYTES_MAX`] bytes are refused.
//! Loss: none; what cannot be decoded is set aside in the quarantine, counted
//! and told, and the stream goes on.

use std::{sync::Arc, time::Duration};

use monitor_model::{
    clock::Clock,
    id::{AgentName, BootId},
};
use monitor_proto::v1::{
    Hello, Leaving, SourceKind, StreamRequest, StreamResponse, agent_service_server::AgentService,
    stream_request, stream_response,
};
use monitor_transport::identity::{Identity, Role};
use prost::Message as _;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};
use tracing::{info, warn};

use crate::{
    admission::Lasts,
    core::{Batch, aside::is_collectors},
    scopes::Scopes,
    state::SetAside,
    writer::{Fate, Job, Request as Ask, Writer},
};

pub mod agents;
pub mod attention;
mod downlink;
pub mod inspections;
pub mod life;
pub mod looking;

use agents::{Agents, Arrival};
use inspections::{ANSWER_TIMEOUT, Inspections};
use life::Life;

/// Most events of one batch.
pub const BATCH_EVENTS_MAX: usize = 10_000;
/// Most bytes of one batch.
pub const BATCH_BYTES_MAX: usize = 8 << 20;
/// Most batches of one agent that wait for the disk.
pub const WAITING_MAX: usize = 16;
/// Most messages that wait to go down to one agent.
pub const DOWN_MAX: usize = 64;
/// Longest text with which an agent says why a list is not in place.
const PROBLEM_BYTES_MAX: usize = 4_096;
/// Longest wait for the first message.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves agents.
#[derive(Debug)]
pub struct Ingest {
    writer: Writer,
    agents: Arc<Agents>,
    clock: Arc<dyn Clock>,
    scopes: Arc<Scopes>,
    stop: CancellationToken,
}

type Down = mpsc::Sender<Result<StreamResponse, Status>>;

impl Ingest {
    /// Serves agents until `stop`.
    #[must_use]
    pub fn new(
        writer: Writer,
        agents: Arc<Agents>,
        clock: Arc<dyn Clock>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            writer,
            agents,
            clock,
            scopes: Arc::default(),
            stop,
        }
    }
}

#[tonic::async_trait]
impl AgentService for Ingest {
    type StreamStream = ReceiverStream<Result<StreamResponse, Status>>;

    async fn stream(
        &self,
        request: Request<Streaming<StreamRequest>>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        let (identity, lasts) = (Identity::of(&request)?, Lasts::of(&request)?);
        identity.require(&[Role::Agent])?;
        let agent: AgentName = identity
            .name
            .as_str()
            .parse()
            .map_err(|error| Status::unauthenticated(format!("{error}")))?;
        let (down, responses) = mpsc::channel(DOWN_MAX);
        let uplink = Uplink {
            agent,
            writer: self.writer.clone(),
            agents: Arc::clone(&self.agents),
            clock: Arc::clone(&self.clock),
            scopes: Arc::clone(&self.scopes),
            stop: self.stop.child_token(),
            waiting: Arc::new(Semaphore::new(WAITING_MAX)),
            inspections: None,
            last: 0,
        };
        tokio::spawn(uplink.run(request.into_inner(), down, lasts));
        Ok(Response::new(ReceiverStream::new(responses)))
    }
}

/// One agent's stream, the way up.
struct Uplink {
    agent: AgentName,
    writer: Writer,
    agents: Arc<Agents>,
    clock: Arc<dyn Clock>,
    scopes: Arc<Scopes>,
    stop: CancellationToken,
    waiting: Arc<Semaphore>,
    /// Where answers to what was asked of the agent belong; none where it was
    /// not asked anything.
    inspections: Option<Inspections>,
    /// Number of the last batch.
    last: u64,
}

impl Uplink {
    async fn run(mut self, mut messages: Streaming<StreamRequest>, down: Down, lasts: Lasts) {
        let agent = self.agent.clone();
        let ended = tokio::select! {
            ended = self.serve(&mut messages, &down) => ended,
            status = lasts.over() => Err(status),
        };
        self.stop.cancel();
        match ended {
            Ok(()) => info!(%agent, "Agent gone."),
            Err(status) => {
                warn!(%agent, code = ?status.code(), reason = status.message(), "Agent's stream ended.");
                // Whoever is gone needs no reason.
                _ = down.send(Err(status)).await;
            }
        }
    }

    async fn serve(
        &mut self,
        messages: &mut Streaming<StreamRequest>,
        down: &Down,
    ) -> Result<(), Status> {
        let hello = tokio::time::timeout(HELLO_TIMEOUT, messages.message())
            .await
            .map_err(|_| {
                Status::deadline_exceeded("no Hello within 10 s; it must be the first message")
            })??;
        let Some(stream_request::Message::Hello(hello)) = hello.and_then(|request| request.message)
        else {
            return Err(Status::invalid_argument(
                "message: the first must be a Hello",
            ));
        };
        self.greet(&hello)?;
        if !hello.keeps_list {
            self.keeps_no_list().await?;
        }
        let (fate, told) = watch::channel(Fate::default());
        let (inspections, questions) = hello
            .inspects
            .then(|| inspections::channel(ANSWER_TIMEOUT))
            .unzip();
        self.inspections.clone_from(&inspections);
        let arrival = Arrival {
            instance: hello.instance,
            beats: hello.beat_ms != 0,
            inspections,
        };
        let place = self.agents.enter(&self.agent, arrival, &self.stop);
        let life = place.life();
        let downlink = downlink::Downlink {
            agent: self.agent.clone(),
            tables: self.writer.tables(),
            fate: told,
            place,
            clock: Arc::clone(&self.clock),
            scopes: Arc::clone(&self.scopes),
            keeps_list: hello.keeps_list,
            questions,
            down: down.clone(),
            stop: self.stop.clone(),
        };
        let mut downlink = tokio::spawn(downlink.run());
        loop {
            let message = tokio::select! {
                message = messages.message() => message?,
                ended = &mut downlink => {
                    return ended.unwrap_or_else(|_| Err(Status::internal("the way down failed")));
                }
            };
            let Some(message) = message.and_then(|request| request.message) else {
                // The agent says no more, and may wait for what it has sent.
                drop(fate);
                return downlink
                    .await
                    .unwrap_or_else(|_| Err(Status::internal("the way down failed")));
            };
            self.take_heard(message, &fate, &life).await?;
        }
    }

    /// Takes a message; what waits behind it meanwhile is no silence.
    async fn take_heard(
        &mut self,
        message: stream_request::Message,
        fate: &watch::Sender<Fate>,
        life: &Life,
    ) -> Result<(), Status> {
        life.heard(self.agents.now(), true);
        let taken = self.take(message, fate, life).await;
        life.heard(self.agents.now(), false);
        taken
    }

    fn greet(&self, hello: &Hello) -> Result<(), Status> {
        let boot = BootId::from_slice(&hello.boot)
            .map_err(|error| Status::invalid_argument(format!("hello.boot: {error}")))?;
        let blind: Vec<&str> = hello
            .hooks
            .iter()
            .filter(|hook| hook.tier.is_empty())
            .map(|hook| hook.family.as_str())
            .collect();
        info!(agent = %self.agent, version = %hello.version, %boot, hooks = hello.hooks.len(), ?blind, "Agent here.");
        Ok(())
    }

    /// What it told before of a list is not true any more.
    async fn keeps_no_list(&self) -> Result<(), Status> {
        let lists = self.writer.tables().borrow().lists.clone();
        if !lists.in_place.contains_key(&self.agent) {
            return Ok(());
        }
        let ask = Ask::ListInPlace(self.agent.clone(), None);
        let tell = self.writer.tell(ask).await;
        tell.map_err(|denied| Status::unavailable(denied.to_string()))
    }

    async fn take(
        &mut self,
        message: stream_request::Message,
        fate: &watch::Sender<Fate>,
        life: &Life,
    ) -> Result<(), Status> {
        match message {
            stream_request::Message::Hello(_) => Err(Status::invalid_argument(
                "message: a second Hello; it is the first message, once",
            )),
            stream_request::Message::Alive(alive) => life.sees(alive),
            stream_request::Message::Leaving(Leaving {}) => {
                life.leaves();
                Ok(())
            }
            stream_request::Message::Batch(batch) => {
                let permit = Arc::clone(&self.waiting).acquire_owned().await;
                let permit =
                    permit.map_err(|_| Status::unavailable("the collector is stopping"))?;
                self.check(batch.number, &batch.events)?;
                let number = batch.number;
                let batch = self.decode(number, batch.events)?;
                self.last = number;
                let job = Job {
                    batch,
                    number,
                    fate: fate.clone(),
                    permit,
                };
                self.writer
                    .store(job)
                    .await
                    .map_err(|denied| Status::unavailable(denied.to_string()))
            }
            stream_request::Message::List(place) => {
                if place.problem.len() > PROBLEM_BYTES_MAX {
                    return Err(Status::invalid_argument(format!(
                        "list.problem: {} bytes; at most {PROBLEM_BYTES_MAX} are allowed",
                        place.problem.len()
                    )));
                }
                let ask = Ask::ListInPlace(self.agent.clone(), Some(place.into()));
                let tell = self.writer.tell(ask).await;
                tell.map_err(|denied| Status::unavailable(denied.to_string()))
            }
            stream_request::Message::Inspected(answer) => {
                let (question, seen) = answer
                    .try_into()
                    .map_err(|error| Status::invalid_argument(format!("inspected: {error}")))?;
                if let Some(inspections) = &self.inspections {
                    inspections.answer(question, seen);
                }
                Ok(())
            }
            stream_request::Message::Receipt(receipt) => {
                let receipt = receipt
                    .try_into()
                    .map_err(|error| Status::invalid_argument(format!("receipt: {error}")))?;
                let tell = self
                    .writer
                    .tell(Ask::Receipt(self.agent.clone(), receipt))
                    .await;
                tell.map_err(|denied| Status::unavailable(denied.to_string()))
            }
        }
    }

    fn check(&self, number: u64, events: &[Vec<u8>]) -> Result<(), Status> {
        if number <= self.last {
            return Err(Status::invalid_argument(format!(
                "batch.number: {number} after {}; numbers ascend from 1",
                self.last
            )));
        }
        let bytes: usize = events.iter().map(Vec::len).sum();
        if events.len() > BATCH_EVENTS_MAX || bytes > BATCH_BYTES_MAX {
            return Err(Status::invalid_argument(format!(
                "batch.events: {} events of {bytes} bytes; at most {BATCH_EVENTS_MAX} and {BATCH_BYTES_MAX} are allowed",
                events.len()
            )));
        }
        Ok(())
    }

    /// Decodes a batch; an event in another agent's name, or the collector's,
    /// refuses all of it.
    fn decode(&self, number: u64, bytes: Vec<Vec<u8>>) -> Result<Batch, Status> {
        let mut batch = Batch {
            agent: self.agent.clone(),
            events: Vec::with_capacity(bytes.len()),
            aside: Vec::new(),
        };
        for event_bytes in bytes {
            let reason = match monitor_proto::decode_event(&event_bytes) {
                Ok(event) if event.id.agent != self.agent => {
                    return Err(Status::permission_denied(format!(
                        "batch {number}: event {} is not of {}, whose certificate this is; nothing of the batch is stored",
                        event.id, self.agent
                    )));
                }
                Ok(event) if is_collectors(&event) => {
                    return Err(Status::permission_denied(format!(
                        "batch {number}: event {} is of a kind or source that only the collector has; nothing of the batch is stored",
                        event.id
                    )));
                }
                Ok(event)
                    if event.id.sequence == 0 || i64::try_from(event.id.sequence).is_err() =>
                {
                    format!(
                        "sequence {} is not within 1 to {}",
                        event.id.sequence,
                        i64::MAX
                    )
                }
                Ok(event) => {
                    batch.events.push((event, event_bytes));
                    continue;
                }
                Err(error) => error.to_string(),
            };
            self.refuse_foreign(number, &event_bytes)?;
            let (agent, at) = (self.agent.clone(), self.clock.now());
            batch.aside.push(SetAside {
                agent,
                batch: number,
                at,
                reason,
                event: event_bytes,
            });
        }
        Ok(batch)
    }

    /// What cannot be decoded as a whole may still name another agent.
    fn refuse_foreign(&self, number: u64, event_bytes: &[u8]) -> Result<(), Status> {
        let named = monitor_proto::v1::Event::decode(event_bytes)
            .ok()
            .and_then(|event| event.id);
        match named {
            Some(id)
                if id
                    .source
                    .is_some_and(|source| source.kind() == SourceKind::Collector) =>
            {
                Err(Status::permission_denied(format!(
                    "batch {number}: an event of the collector's own source"
                )))
            }
            Some(id) if !id.agent.is_empty() && id.agent != self.agent.as_str() => {
                Err(Status::permission_denied(format!(
                    "batch {number}: an event in the name of another agent than {}",
                    self.agent
                )))
            }
            _ => Ok(()),
        }
    }
}

/// A message down.
fn response(message: stream_response::Message) -> StreamResponse {
    StreamResponse {
        message: Some(message),
    }
}
