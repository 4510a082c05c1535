//! Agents by the thousand that come back at once: one JSON object.
//!
//! `cargo xtask faults` runs it. A real collector, killed and started again; each
//! agent has a connection of its own over mutual TLS, and sends again what was
//! acked last, as one does whose ack was lost, and then something new. What the
//! ledgers hold in the end `monitor-verify` says.

#![expect(clippy::print_stdout, reason = "its result")]

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use clap::Parser;
use monitor_model::clock::{Clock as _, SystemClock};
use monitor_proto::v1::{
    Batch, Hello, StreamRequest, agent_service_client::AgentServiceClient,
    stream_request::Message as Up, stream_response::Message as Down,
};
use serde::Serialize;
use tokio::{sync::mpsc, task::JoinSet};
use tokio_stream::wrappers::ReceiverStream;

use self::{
    ground::{Collector, Ground},
    traffic::Host,
};

#[allow(dead_code, reason = "the load measures with more of it")]
#[path = "../load/ground.rs"]
mod ground;
#[allow(dead_code, reason = "the load asks for more of what it said")]
#[path = "../load/traffic.rs"]
mod traffic;

/// How long all of them may take to be back.
const BACK_WITHIN: Duration = Duration::from_secs(300);
/// The longest that one try may take: nobody waits for ever on a collector that is
/// busy with the others.
const TRY_MAX: Duration = Duration::from_secs(60);
/// The first and the longest pause between two tries.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Agents by the thousand that come back at once.
#[derive(Debug, Parser)]
struct Arguments {
    /// The collector's program.
    #[arg(long)]
    collector: PathBuf,
    /// Where everything is kept; empty.
    #[arg(long)]
    folder: PathBuf,
    /// How many agents.
    #[arg(long, default_value_t = 1_000)]
    agents: u64,
    /// How often the collector is killed.
    #[arg(long, default_value_t = 2)]
    rounds: u64,
    /// Events of one batch.
    #[arg(long, default_value_t = 20)]
    batch: usize,
}

/// What came of it.
#[derive(Debug, Default, Serialize)]
struct Herd {
    /// Agents.
    agents: u64,
    /// Times that the collector was killed.
    rounds: u64,
    /// Events that were made.
    sent: u64,
    /// Batches that were sent again though they had been acked.
    again: u64,
    /// Connections that had to be tried again.
    tries_more: u64,
    /// The longest time from the start of the collector until each agent's newest
    /// batch was acked, milliseconds.
    back_ms_max: u64,
}

/// One agent.
struct Animal {
    host: Host,
    /// The batch that was acked last, and the one that was not.
    batches: Vec<Batch>,
    tries_more: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    // One connection an agent.
    _ = monitor_transport::descriptors::raise();
    let ground = Arc::new(Ground::open(&arguments.folder, false)?);
    let (collector, _) = ground.start(&arguments.collector).await?;
    ground.put_grants(&collector).await?;
    let mut collector = Arc::new(collector);
    let boot = SystemClock.now().0;
    let mut animals: Vec<Animal> = (0..arguments.agents)
        .map(|number| {
            Ok(Animal {
                host: Host::new(number, boot)?,
                batches: Vec::new(),
                tries_more: 0,
            })
        })
        .collect::<anyhow::Result<_>>()?;
    let mut herd = Herd {
        agents: arguments.agents,
        rounds: arguments.rounds,
        ..Herd::default()
    };
    for round in 0..=arguments.rounds {
        let mut began = Instant::now();
        if round > 0 {
            let running = Arc::into_inner(collector).context("somebody still talks to it")?;
            running.kill()?;
            began = Instant::now();
            collector = Arc::new(ground.start(&arguments.collector).await?.0);
        }
        for animal in &mut animals {
            animal.has_more(arguments.batch, &mut herd)?;
        }
        animals = all_come_back(&ground, &collector, animals).await?;
        let took = u64::try_from(began.elapsed().as_millis())?;
        herd.back_ms_max = herd.back_ms_max.max(took);
    }
    herd.tries_more = animals.iter().map(|animal| animal.tries_more).sum();
    println!("{}", serde_json::to_string_pretty(&herd)?);
    Ok(())
}

impl Animal {
    /// Makes its next batch; what was acked last is kept.
    fn has_more(&mut self, size: usize, herd: &mut Herd) -> anyhow::Result<()> {
        if let Some(acked) = self.batches.pop() {
            self.batches = vec![acked];
            herd.again += 1;
        }
        let number = self.batches.last().map_or(1, |batch| batch.number + 1);
        let events = self.host.batch(size, SystemClock.now())?;
        herd.sent += u64::try_from(events.len())?;
        self.batches.push(Batch { number, events });
        Ok(())
    }

    /// Connects, says who it is, sends what it has, and waits for the newest ack.
    async fn speaks(&self, ground: &Ground, collector: &Collector) -> anyhow::Result<()> {
        let agent = format!("monitor://agent/{}", self.host.name());
        let channel = ground.dial(&agent, collector).await?;
        let (up, messages) = mpsc::channel(self.batches.len() + 1);
        let hello = Up::Hello(Hello {
            version: "herd".into(),
            boot: self.host.boot(),
            hooks: Vec::new(),
            instance: Vec::new(),
            keeps_list: false,
            inspects: false,
            beat_ms: 0,
        });
        let batches = self.batches.iter().cloned().map(Up::Batch);
        for message in std::iter::once(hello).chain(batches) {
            let message = Some(message);
            up.send(StreamRequest { message }).await?;
        }
        let mut client = AgentServiceClient::new(channel);
        let mut down = client
            .stream(ReceiverStream::new(messages))
            .await?
            .into_inner();
        let newest = self.batches.last().map_or(0, |batch| batch.number);
        loop {
            let message = down.message().await?.context("the stream ended")?;
            if let Some(Down::Ack(ack)) = message.message
                && ack.number >= newest
            {
                return Ok(());
            }
        }
    }
}

/// All of them at once, each until it is heard.
async fn all_come_back(
    ground: &Arc<Ground>,
    collector: &Arc<Collector>,
    animals: Vec<Animal>,
) -> anyhow::Result<Vec<Animal>> {
    let mut coming = JoinSet::new();
    for animal in animals {
        coming.spawn(comes_back(
            Arc::clone(ground),
            Arc::clone(collector),
            animal,
        ));
    }
    let mut back = Vec::new();
    while let Some(animal) = coming.join_next().await {
        back.push(animal??);
    }
    Ok(back)
}

async fn comes_back(
    ground: Arc<Ground>,
    collector: Arc<Collector>,
    mut animal: Animal,
) -> anyhow::Result<Animal> {
    let (began, (mut pause, longest)) = (Instant::now(), PAUSE);
    loop {
        let spoken = tokio::time::timeout(TRY_MAX, animal.speaks(&ground, &collector)).await;
        let error = match spoken {
            Ok(Ok(())) => return Ok(animal),
            Ok(Err(error)) => error,
            Err(_) => anyhow::anyhow!("nothing was acked within {TRY_MAX:?}"),
        };
        if began.elapsed() > BACK_WITHIN {
            bail!("{} does not come back: {error:#}", animal.host.name());
        }
        animal.tries_more += 1;
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(longest);
    }
}
