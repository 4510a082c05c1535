//! What the collector does under load: one JSON object.
//!
//! `cargo xtask bench collector` builds and runs it. A real collector, started
//! as people start it; agents, subscribers and people over mutual TLS, from
//! this process.
//!
//! - [`ground`]: folder, certificates, the collector; [`traffic`]: what hosts say.
//! - [`ingest`]: agents' streams; [`questions`]: searches; [`readers`]: subscribers.

#![expect(clippy::print_stdout, reason = "its result")]

use std::{path::PathBuf, time::Duration};

use clap::Parser;
use serde::Serialize;

use self::{
    ground::Ground,
    ingest::{Ingested, Load},
    questions::Answered,
    readers::Followed,
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
}

/// Everything that was measured.
#[derive(Serialize)]
struct Measured {
    ingest: Ingested,
    /// Bytes of all ledgers at the end.
    ledger_bytes: u64,
    /// From the start of the program to the first answer that it serves, after
    /// `kill -9`, seconds.
    recovery_seconds: Vec<f64>,
    questions: Vec<Answered>,
    /// The same rate without subscribers, and with them.
    alone: Option<Ingested>,
    readers: Option<Followed>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    // One connection a subscriber.
    _ = monitor_transport::descriptors::raise();
    let ground = Ground::open(&arguments.folder)?;
    let (collector, _) = ground.start(&arguments.collector).await?;
    ground.put_grants(&collector).await?;
    let load = Load {
        hosts: arguments.hosts,
        batch: arguments.batch,
        events: arguments.events,
        rate: 0,
    };
    let from = questions::now();
    let (ingest, reached) = ingest::run(&ground, &collector, load).await?;
    let to = questions::now();
    let (mut collector, mut recovery_seconds) = (collector, Vec::new());
    for _ in 0..arguments.restarts {
        collector.kill()?;
        let (started, took) = ground.start(&arguments.collector).await?;
        collector = started;
        recovery_seconds.push(took.as_secs_f64());
    }
    let questions = questions::run(&ground, &collector, &reached, (from, to)).await?;
    let (mut alone, mut followed) = (None, None);
    if arguments.readers > 0 {
        let paced = Load {
            batch: 100,
            events: arguments.reader_rate * arguments.reader_seconds,
            rate: arguments.reader_rate,
            ..load
        };
        alone = Some(ingest::run(&ground, &collector, paced).await?.0);
        // What was stored last is told of before anybody follows.
        tokio::time::sleep(Duration::from_secs(1)).await;
        followed = Some(readers::run(&ground, &collector, (arguments.readers, paced)).await?);
    }
    let measured = Measured {
        ingest,
        ledger_bytes: ground.bytes()?.0,
        recovery_seconds,
        questions,
        alone,
        readers: followed,
    };
    println!("{}", serde_json::to_string_pretty(&measured)?);
    Ok(())
}
