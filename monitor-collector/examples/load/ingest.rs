//! Agents' streams, as fast as the collector acks or at a rate.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use monitor_model::clock::{Clock as _, SystemClock};
use monitor_proto::v1::{
    Batch, Hello, StreamRequest, StreamResponse, agent_service_client::AgentServiceClient,
    stream_request::Message as Up, stream_response::Message as Down,
};
use serde::Serialize;
use tokio::{sync::mpsc, task::JoinSet};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::{
    ground::{Collector, Ground, used},
    traffic::Host,
};

/// Most batches of a host that are on their way.
const WINDOW: usize = 16;
/// How often the rate is looked at.
const TICK: Duration = Duration::from_secs(1);
/// Of so many ticks together the slowest is told.
const SLOWEST: usize = 10;

/// How much, and how fast.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// Events of one batch.
    pub(crate) batch: usize,
    /// Ends after so many events.
    pub(crate) events: u64,
    /// Events a second, of all hosts; 0: as fast as they are acked.
    pub(crate) rate: u64,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub(crate) struct Ingested {
    events: u64,
    seconds: f64,
    events_per_second: f64,
    /// Of any ten seconds on end.
    slowest_ten_seconds: f64,
    /// From a batch handed to the stream to its ack, milliseconds.
    ack_ms_p50: f64,
    ack_ms_p99: f64,
    ack_ms_max: f64,
    collector_cpu_seconds: f64,
    load_cpu_seconds: f64,
    collector_peak_bytes: u64,
    /// Of the ledgers, and of everything; one event.
    ledger_bytes_per_event: f64,
    bytes_per_event: f64,
}

#[derive(Default)]
struct Progress {
    acked: AtomicU64,
    waits: Mutex<Vec<Duration>>,
}

/// Sends everything, and waits until it is acked.
pub(crate) async fn run(
    ground: &Ground,
    collector: &Collector,
    hosts: &mut Vec<Host>,
    load: Load,
) -> anyhow::Result<Ingested> {
    let progress = Arc::new(Progress::default());
    let (before, own) = (collector.used()?, used(std::process::id())?);
    let bytes_before = ground.bytes()?;
    let began = Instant::now();
    let share = load.events / u64::try_from(hosts.len())?;
    let every = Duration::from_secs_f64(match load.rate {
        0 => 0.0,
        rate => count_of(load.batch * hosts.len()) / count(rate),
    });
    let mut speaking = JoinSet::new();
    for host in hosts.drain(..) {
        let agent = format!("monitor://agent/{}", host.name());
        let channel = ground.dial(&agent, collector).await?;
        let stream = Stream {
            client: AgentServiceClient::new(channel),
            share,
            every,
            batch: load.batch,
        };
        speaking.spawn(speak(stream, host, Arc::clone(&progress)));
    }
    let mut rates = Vec::new();
    let mut tick = tokio::time::interval_at((began + TICK).into(), TICK);
    let mut last = (began, 0);
    while !speaking.is_empty() {
        tokio::select! {
            done = speaking.join_next() => if let Some(done) = done {
                hosts.push(done??);
            },
            _ = tick.tick() => {
                let acked = progress.acked.load(Ordering::Relaxed);
                rates.push(count(acked - last.1) / last.0.elapsed().as_secs_f64());
                last = (Instant::now(), acked);
                eprintln!("{acked} events, {:.0}/s", rates.last().unwrap_or(&0.0));
            }
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    hosts.sort_by_key(|host| host.number);
    let events = progress.acked.load(Ordering::Relaxed);
    let after = collector.used()?;
    let bytes = ground.bytes()?;
    let mut waits = std::mem::take(
        &mut *progress
            .waits
            .lock()
            .unwrap_or_else(PoisonError::into_inner),
    );
    waits.sort();
    Ok(Ingested {
        events,
        seconds,
        events_per_second: count(events) / seconds,
        slowest_ten_seconds: slowest(&rates).unwrap_or(count(events) / seconds),
        ack_ms_p50: milliseconds(&waits, 50),
        ack_ms_p99: milliseconds(&waits, 99),
        ack_ms_max: milliseconds(&waits, 100),
        collector_cpu_seconds: after.cpu_seconds - before.cpu_seconds,
        load_cpu_seconds: used(std::process::id())?.cpu_seconds - own.cpu_seconds,
        collector_peak_bytes: after.peak_bytes,
        ledger_bytes_per_event: count(bytes.0.saturating_sub(bytes_before.0)) / count(events),
        bytes_per_event: count(bytes.1.saturating_sub(bytes_before.1)) / count(events),
    })
}

fn slowest(rates: &[f64]) -> Option<f64> {
    let mean = |ticks: &[f64]| ticks.iter().sum::<f64>() / count_of(ticks.len());
    rates.windows(SLOWEST).map(mean).min_by(f64::total_cmp)
}

/// One host's stream.
struct Stream {
    client: AgentServiceClient<tonic::transport::Channel>,
    /// Events it sends.
    share: u64,
    /// Pause between batches; none: as they are acked.
    every: Duration,
    /// Events of one batch.
    batch: usize,
}

/// One host: batches up, acks down.
async fn speak(stream: Stream, mut host: Host, progress: Arc<Progress>) -> anyhow::Result<Host> {
    let Stream {
        mut client,
        share,
        every,
        batch: size,
    } = stream;
    let (up, messages) = mpsc::channel(1);
    let hello = Up::Hello(Hello {
        version: "load".into(),
        boot: host.boot(),
        hooks: Vec::new(),
        instance: Vec::new(),
        keeps_list: false,
        inspects: false,
        beat_ms: 0,
    });
    up.send(StreamRequest {
        message: Some(hello),
    })
    .await?;
    let mut down = client
        .stream(ReceiverStream::new(messages))
        .await?
        .into_inner();
    let mut due = tokio::time::Instant::now();
    let mut waiting: VecDeque<(u64, Instant, u64)> = VecDeque::new();
    let (mut batch, mut sent) = (0, 0);
    while sent < share || !waiting.is_empty() {
        if sent < share && waiting.len() < WINDOW {
            tokio::select! {
                () = tokio::time::sleep_until(due), if !every.is_zero() => {}
                acked = acked(&mut down), if !every.is_zero() && !waiting.is_empty() => {
                    settle(acked?, &mut waiting, &progress);
                    continue;
                }
                else => {}
            }
            due += every;
            batch += 1;
            let events = host.batch(size, SystemClock.now())?;
            let many = u64::try_from(events.len())?;
            waiting.push_back((batch, Instant::now(), many));
            sent += many;
            let message = Some(Up::Batch(Batch {
                number: batch,
                events,
            }));
            up.send(StreamRequest { message }).await?;
        } else {
            settle(acked(&mut down).await?, &mut waiting, &progress);
        }
    }
    Ok(host)
}

fn settle(up_to: u64, waiting: &mut VecDeque<(u64, Instant, u64)>, progress: &Progress) {
    while let Some((number, at, many)) = waiting.front().copied()
        && number <= up_to
    {
        waiting.pop_front();
        progress.acked.fetch_add(many, Ordering::Relaxed);
        let mut waits = progress
            .waits
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        waits.push(at.elapsed());
    }
}

/// The next ack; what else comes down is not for it.
async fn acked(down: &mut Streaming<StreamResponse>) -> anyhow::Result<u64> {
    loop {
        let message = down
            .message()
            .await?
            .context("the collector ended the stream")?;
        match message.message {
            Some(Down::Ack(ack)) => return Ok(ack.number),
            Some(
                Down::Grants(_)
                | Down::Deny(_)
                | Down::Contain(_)
                | Down::Scopes(_)
                | Down::ScopeLease(_)
                | Down::List(_)
                | Down::Inspect(_),
            ) => {}
            None => bail!("an empty message came down"),
        }
    }
}

/// A quantile, in milliseconds.
pub(crate) fn milliseconds(sorted: &[Duration], percent: usize) -> f64 {
    let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).map_or(0.0, |wait| wait.as_secs_f64() * 1e3)
}

#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "below 2^52 in any run"
)]
pub(crate) fn count(number: u64) -> f64 {
    number as f64
}

/// The same of a length.
pub(crate) fn count_of(number: usize) -> f64 {
    count(u64::try_from(number).unwrap_or(u64::MAX))
}
