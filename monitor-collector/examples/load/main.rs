//! What the collector does under load: one JSON object.
//!
//! `cargo xtask bench collector` builds and runs it. A real collector, started
//! as people start it; agents, subscribers and people over mutual TLS, from
//! this process.
//!
//! - [`ground`]: folder, certificates, the collector; [`traffic`]: what hosts say.
//! - [`ingest`]: agents' streams; [`questions`]: searches; [`readers`]: subscribers.

#![expect(clippy::print_stdout, reason = "its result")]

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::Parser;
use monitor_model::clock::{Clock as _, SystemClock};
use serde::Serialize;

use self::{
    ground::Ground,
    ingest::{Ingested, Load},
    questions::Answered,
    readers::Followed,
    traffic::Host,
};

mod ground;
mod ingest;
mod questions;
mod readers;
mod traffic;

/// What the collector does under load.
#[derive(Debug, Parser)]
struct Arguments {
    /// The collector's program.
    #[arg(long)]
    collector: PathBuf,
    /// Where everything is kept; empty, on the disk that is measured.
    #[arg(long)]
    folder: PathBuf,
    /// Events that are sent, acked and asked for.
    #[arg(long, default_value_t = 10_000_000)]
    events: u64,
    /// Hosts that send them.
    #[arg(long, default_value_t = 4)]
    hosts: u64,
    /// Events of one batch.
    #[arg(long, default_value_t = 1_000)]
    batch: usize,
    /// Subscribers at once.
    #[arg(long, default_value_t = 1_000)]
    readers: u64,
    /// Events a second while they follow.
    #[arg(long, default_value_t = 2_000)]
    reader_rate: u64,
    /// How long they follow, seconds.
    #[arg(long, default_value_t = 30)]
    reader_seconds: u64,
    /// How often the full collector is killed and started anew.
    #[arg(long, default_value_t = 5)]
    restarts: u32,
    /// How often after that with nothing of its files in memory, as when its host
    /// starts; only root can do that.
    #[arg(long, default_value_t = 0)]
    cold_restarts: u32,
    /// With ledgers and state sealed.
    #[arg(long)]
    seal: bool,
}

/// Everything that was measured.
#[derive(Serialize)]
struct Measured {
    ingest: Ingested,
    /// Bytes of all ledgers at the end.
    ledger_bytes: u64,
    /// After `kill -9`, each time.
    recoveries: Vec<Recovery>,
    /// The same with nothing of the files in memory.
    cold_recoveries: Vec<Recovery>,
    questions: Vec<Answered>,
    /// The same rate without subscribers, and with them.
    alone: Option<Ingested>,
    readers: Option<Followed>,
}

/// A start after `kill -9`, seconds from the start of the program.
#[derive(Serialize)]
struct Recovery {
    /// To the first answer that it serves.
    served: f64,
    /// To the ack of a batch of each host, of streams that it held before.
    acked: f64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    // One connection a subscriber.
    _ = monitor_transport::descriptors::raise();
    let ground = Ground::open(&arguments.folder, arguments.seal)?;
    let (collector, _) = ground.start(&arguments.collector).await?;
    ground.put_grants(&collector).await?;
    let load = Load {
        batch: arguments.batch,
        events: arguments.events,
        rate: 0,
    };
    let boot = SystemClock.now().0;
    let mut hosts: Vec<Host> = (0..arguments.hosts)
        .map(|number| Host::new(number, boot))
        .collect::<Result<_, _>>()?;
    let ingest = ingest::run(&ground, &collector, &mut hosts, load).await?;
    let to = SystemClock.now().0;
    let (mut collector, mut recoveries) = (collector, Vec::new());
    let mut cold_recoveries = Vec::new();
    for number in 0..arguments.restarts + arguments.cold_restarts {
        collector.kill()?;
        let is_cold = number >= arguments.restarts;
        if is_cold {
            forget_files()?;
        }
        let began = Instant::now();
        let (started, took) = ground.start(&arguments.collector).await?;
        collector = started;
        let few = Load {
            batch: 10,
            events: 10 * arguments.hosts,
            rate: 0,
        };
        ingest::run(&ground, &collector, &mut hosts, few).await?;
        let kind = if is_cold {
            &mut cold_recoveries
        } else {
            &mut recoveries
        };
        kind.push(Recovery {
            served: took.as_secs_f64(),
            acked: began.elapsed().as_secs_f64(),
        });
    }
    let questions = questions::run(&ground, &collector, &hosts, (boot, to)).await?;
    let (mut alone, mut followed) = (None, None);
    if arguments.readers > 0 {
        let paced = Load {
            batch: 100,
            events: arguments.reader_rate * arguments.reader_seconds,
            rate: arguments.reader_rate,
        };
        alone = Some(ingest::run(&ground, &collector, &mut hosts, paced).await?);
        // What was stored last is told of before anybody follows.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let readers = (arguments.readers, paced);
        followed = Some(readers::run(&ground, &collector, &mut hosts, readers).await?);
    }
    let measured = Measured {
        ingest,
        ledger_bytes: ground.bytes()?.0,
        recoveries,
        cold_recoveries,
        questions,
        alone,
        readers: followed,
    };
    println!("{}", serde_json::to_string_pretty(&measured)?);
    Ok(())
}

/// Has the kernel keep nothing of any file in memory.
fn forget_files() -> anyhow::Result<()> {
    // What is not on disk yet would stay.
    let synced = std::process::Command::new("sync").status()?;
    anyhow::ensure!(synced.success(), "`sync` failed");
    let file = "/proc/sys/vm/drop_caches";
    std::fs::write(file, "3").with_context(|| format!("writing {file}, which only root can"))
}
