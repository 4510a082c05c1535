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
    traffic::{self, Host},
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
    /// Hosts that speak at once.
    pub(crate) hosts: u64,
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

/// How far one host came.
#[derive(Debug)]
pub(crate) struct Reached {
    /// Sessions opened.
    pub(crate) sessions: u64,
    /// Files that were used once.
    pub(crate) rare: Vec<String>,
}

#[derive(Default)]
struct Progress {
    sent: AtomicU64,
    acked: AtomicU64,
    waits: Mutex<Vec<Duration>>,
}

/// Sends everything, and waits until it is acked.
pub(crate) async fn run(
    ground: &Ground,
    collector: &Collector,
    load: Load,
) -> anyhow::Result<(Ingested, Vec<Reached>)> {
    let progress = Arc::new(Progress::default());
    let (before, own) = (collector.used()?, used(std::process::id())?);
    let bytes_before = ground.bytes()?;
    let began = Instant::now();
    let mut hosts = JoinSet::new();
    for number in 0..load.hosts {
        let agent = format!("monitor://agent/{}", traffic::name(number)?);
        let channel = ground.dial(&agent, collector).await?;
        let client = AgentServiceClient::new(channel);
        let host = Host::new(number, SystemClock.now().0)?;
        hosts.spawn(speak(number, client, host, load, Arc::clone(&progress)));
    }
    let mut rates = Vec::new();
    let mut reached = Vec::new();
    let mut tick = tokio::time::interval_at((began + TICK).into(), TICK);
    let mut last = (began, 0);
    while !hosts.is_empty() {
        tokio::select! {
            done = hosts.join_next() => if let Some(done) = done {
                reached.push(done??);
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
    reached.sort_by_key(|(number, _)| *number);
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
    let ingested = Ingested {
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
    };
    Ok((
        ingested,
        reached.into_iter().map(|(_, reached)| reached).collect(),
    ))
}

fn slowest(rates: &[f64]) -> Option<f64> {
    let mean = |ticks: &[f64]| ticks.iter().sum::<f64>() / count_of(ticks.len());
    rates.windows(SLOWEST).map(mean).min_by(f64::total_cmp)
}

/// One host: batches up, acks down.
async fn speak(
    number: u64,
    mut client: AgentServiceClient<tonic::transport::Channel>,
    mut host: Host,
    load: Load,
    progress: Arc<Progress>,
) -> anyhow::Result<(u64, Reached)> {
    let (up, messages) = mpsc::channel(1);
    let hello = Up::Hello(Hello {
        version: "load".into(),
        boot: host.boot(),
        hooks: Vec::new(),
    });
    up.send(StreamRequest {
        message: Some(hello),
    })
    .await?;
    let mut down = client
        .stream(ReceiverStream::new(messages))
        .await?
        .into_inner();
    let share = load.events / load.hosts;
    let each = Duration::from_secs_f64(match load.rate {
        0 => 0.0,
        rate => count_of(load.batch) * count(load.hosts) / count(rate),
    });
    let mut due = tokio::time::Instant::now();
    let mut waiting: VecDeque<(u64, Instant, u64)> = VecDeque::new();
    let (mut batch, mut sent) = (0, 0);
    while sent < share || !waiting.is_empty() {
        if sent < share && waiting.len() < WINDOW {
            tokio::select! {
                () = tokio::time::sleep_until(due), if load.rate > 0 => {}
                acked = acked(&mut down), if load.rate > 0 && !waiting.is_empty() => {
                    settle(acked?, &mut waiting, &progress);
                    continue;
                }
                else => {}
            }
            due += each;
            batch += 1;
            let events = host.batch(load.batch, SystemClock.now())?;
            let many = u64::try_from(events.len())?;
            waiting.push_back((batch, Instant::now(), many));
            sent += many;
            progress.sent.fetch_add(many, Ordering::Relaxed);
            let message = Some(Up::Batch(Batch {
                number: batch,
                events,
            }));
            up.send(StreamRequest { message }).await?;
        } else {
            settle(acked(&mut down).await?, &mut waiting, &progress);
        }
    }
    let reached = Reached {
        sessions: host.opened,
        rare: host.rare,
    };
    Ok((number, reached))
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
            Some(Down::Grants(_) | Down::Deny(_) | Down::Contain(_)) => {}
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
