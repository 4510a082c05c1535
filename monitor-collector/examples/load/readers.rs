//! Many subscribers at once, each on a connection of its own, one of which
//! takes nothing.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use monitor_model::clock::{Clock as _, SystemClock};
use monitor_proto::v1::{
    EventFilter, SubscribeRequest, SubscribeResponse, event_service_client::EventServiceClient,
    subscribe_response::Item,
};
use prost::Message as _;
use serde::Serialize;
use tokio::{sync::oneshot, task::JoinSet};
use tonic::Streaming;

use crate::{
    ground::{Collector, Ground},
    ingest::{self, Ingested, Load, milliseconds},
    traffic::{self, Host},
};

/// What came of it.
#[derive(Debug, Serialize)]
pub(crate) struct Followed {
    readers: u64,
    /// Events that all readers together were sent.
    delivered: u64,
    /// From the time that an event carries, which is when its batch was made,
    /// to its reader, milliseconds.
    event_to_reader_ms_p50: f64,
    event_to_reader_ms_p99: f64,
    event_to_reader_ms_max: f64,
    /// Readers that were cut off before their time; the one that takes nothing is not among them.
    cut: usize,
    ingest: Ingested,
}

#[derive(Default)]
struct Seen {
    delivered: u64,
    waits: Vec<Duration>,
}

/// Subscribes them all, lets hosts speak, and says how long events took.
pub(crate) async fn run(
    ground: &Ground,
    collector: &Collector,
    hosts: &mut Vec<Host>,
    (readers, load): (u64, Load),
) -> anyhow::Result<Followed> {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let mut followed = JoinSet::new();
    let mut stops = Vec::new();
    for number in 0..readers {
        let stream = subscribe(ground, collector, filter(number)?).await?;
        let (stop, stopped) = oneshot::channel();
        stops.push(stop);
        followed.spawn(follow(stream, Arc::clone(&seen), stopped));
    }
    // Everything, and it takes nothing of it.
    let slow = subscribe(ground, collector, EventFilter::default()).await?;
    let ingest = ingest::run(ground, collector, hosts, load).await?;
    drop(stops);
    let mut cut = 0;
    while let Some(done) = followed.join_next().await {
        cut += usize::from(!done??);
    }
    drop(slow);
    let mut seen = std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner));
    seen.waits.sort();
    Ok(Followed {
        readers,
        delivered: seen.delivered,
        event_to_reader_ms_p50: milliseconds(&seen.waits, 50),
        event_to_reader_ms_p99: milliseconds(&seen.waits, 99),
        event_to_reader_ms_max: milliseconds(&seen.waits, 100),
        cut,
        ingest,
    })
}

/// Half of them follow an engineer, the others a tenant's credentials.
fn filter(number: u64) -> anyhow::Result<EventFilter> {
    Ok(if number.is_multiple_of(2) {
        EventFilter {
            principals: vec![traffic::engineer(number / 2 % traffic::ENGINEERS)?.to_string()],
            ..EventFilter::default()
        }
    } else {
        EventFilter {
            tenants: vec![traffic::tenant(number / 2 % traffic::TENANTS)?.to_string()],
            kinds: vec!["credential".into()],
            ..EventFilter::default()
        }
    })
}

async fn subscribe(
    ground: &Ground,
    collector: &Collector,
    filter: EventFilter,
) -> anyhow::Result<Streaming<SubscribeResponse>> {
    let channel = ground.dial("monitor://soc/load", collector).await?;
    let asked = SubscribeRequest {
        filter: Some(filter),
        ..SubscribeRequest::default()
    };
    let stream = EventServiceClient::new(channel).subscribe(asked).await?;
    Ok(stream.into_inner())
}

/// Takes what comes until it is stopped; whether it was let.
async fn follow(
    mut stream: Streaming<SubscribeResponse>,
    seen: Arc<Mutex<Seen>>,
    mut stopped: oneshot::Receiver<()>,
) -> anyhow::Result<bool> {
    loop {
        let message = tokio::select! {
            message = stream.message() => message?,
            _ = &mut stopped => return Ok(true),
        };
        match message.and_then(|message| message.item) {
            Some(Item::Event(judged)) => {
                let event = monitor_proto::v1::Event::decode(judged.event.as_slice())
                    .context("an event that cannot be decoded")?;
                let waited = SystemClock.now().0.saturating_sub(event.at_unix_ns);
                let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                seen.delivered += 1;
                seen.waits.push(Duration::from_nanos(waited));
            }
            Some(Item::Alert(_) | Item::Heartbeat(_)) => {}
            Some(Item::Cut(_)) | None => return Ok(false),
        }
    }
}
