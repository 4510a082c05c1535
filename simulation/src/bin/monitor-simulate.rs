//! Plays seeds: `docs/reference/reliability.md`.

use std::{
    io::{Write as _, stdout},
    process::ExitCode,
    time::Instant,
};

use anyhow::{Context as _, Result};
use clap::Parser;
use monitor_simulation::{
    Sabotage, play,
    series::{Played, play_all},
};

/// Seeds of the night lie above those of every day, in so wide a range.
const BY_NIGHT: u64 = 1_000_000;
const BY_NIGHT_WIDTH: u64 = 1 << 40;

/// Three agents, a collector and a broker in one thread, played by seeds.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Args {
    /// How many seeds are played, one after another.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first of them; without it one is drawn, and told.
    #[arg(long, value_name = "S")]
    first: Option<u64>,
    /// Only this one, with everything that happens on standard error.
    #[arg(long, value_name = "S", conflicts_with_all = ["seeds", "first"])]
    seed: Option<u64>,
    /// What is broken on purpose, to see that it is found.
    #[arg(long, value_name = "WHAT", default_value = "none", requires = "seed")]
    sabotage: Sabotage,
    /// Say what came of one seed as a line of JSON, and nothing else.
    #[arg(long, requires = "seed")]
    machine: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let holds = match args.seed {
        Some(seed) => one(seed, &args),
        None => series(&args),
    };
    match holds {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn one(seed: u64, args: &Args) -> Result<bool> {
    if !args.machine {
        let filter = std::env::var("RUST_LOG");
        let filter = filter.unwrap_or_else(|_| "warn,monitor_simulation=debug".to_owned());
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .init();
    }
    let played = Played::from(&play(seed, args.sabotage)?);
    if args.machine {
        let line = serde_json::to_string(&played)?;
        writeln!(stdout(), "{line}")?;
    } else {
        eprintln!("{}", played.told());
    }
    Ok(played.books.is_some())
}

fn series(args: &Args) -> Result<bool> {
    let first = match args.first {
        Some(first) => first,
        None => drawn()?,
    };
    let last = first.saturating_add(args.seeds - 1);
    eprintln!("seeds {first} to {last}");
    let began = Instant::now();
    let program = std::env::current_exe().context("where this program is")?;
    let say = |played: &Played| eprintln!("{}", played.told());
    let series = play_all(&program, (first, args.seeds), say)?;
    let (books, seconds) = (series.books, began.elapsed().as_secs());
    eprintln!(
        "{} seeds in {seconds} s, {} do not hold: {} things went wrong; {} numbers given out, {} stored once, \
         {} named as missing, {} died with their host; {} orders against {} sessions",
        series.played,
        series.broken.len(),
        books.faults,
        books.produced,
        books.stored,
        books.gaps,
        books.died,
        books.orders,
        books.sessions,
    );
    Ok(series.broken.is_empty())
}

fn drawn() -> Result<u64> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)?;
    Ok(BY_NIGHT + u64::from_le_bytes(bytes) % BY_NIGHT_WIDTH)
}
