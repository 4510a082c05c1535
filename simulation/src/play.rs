//! One seed, from its beginning to rest.
//!
//! Set-up (everybody gets a certificate), trouble ([`crate::faults`], while
//! engineers work), rest: nothing goes wrong any more, and everything must come to
//! where it belongs in [`REST_MAX`] of simulated time. Then it is judged.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
    thread,
    time::Duration,
};

use anyhow::{Result, anyhow, bail, ensure};
use clap::{ValueEnum, builder::PossibleValue};
use turmoil::{Builder, Sim};

use crate::{
    agent, broker,
    chance::Chance,
    collector, desk, entropy,
    faults::{Faults, TROUBLE},
    ground::Ground,
    keys::{BROKER, COLLECTOR, DESK},
    panics,
    verdict::{self, Books},
};

/// One step of simulated time.
const TICK: Duration = Duration::from_millis(10);
/// Longest time until everybody has a certificate.
const SET_UP_MAX: Duration = Duration::from_secs(60);
/// Longest time from the last trouble to rest: half-open connections are found
/// by keep-alives after half a minute, and pauses between tries are as long.
const REST_MAX: Duration = Duration::from_secs(240);
/// How long it is waited for what follows from the last thing that people did.
const QUIET: Duration = Duration::from_secs(5);
/// The stack of a play: unoptimised code of many layers.
const STACK_BYTES: usize = 16 << 20;
/// How often engineers of a host do something, of a hundred steps, and how much.
const WORK_PERCENT: u64 = 8;
const ACTS: std::ops::Range<u64> = 1..4;

/// What is broken on purpose, to see that it is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Sabotage {
    /// Nothing.
    #[default]
    None,
    /// Agents free the rings before what was read is stored.
    FreedBeforeStored,
    /// The collector's disk loses what it said it had: acks came before it.
    DiskForgets,
    /// Agents forget with a crash which orders they carried out, and the sessions
    /// that these ended are taken for living ones.
    ReceiptsForgotten,
}

impl fmt::Display for Sabotage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("none", PossibleValue::get_name))
    }
}

/// What became of a play.
#[derive(Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// The hash of what happened, and how much it was.
    pub trace: (String, u64),
    /// What was counted; or what does not hold.
    pub books: Result<Books>,
}

/// Plays a seed on a thread of its own.
///
/// # Errors
/// The folder or the keys cannot be made. What goes wrong in the play is in its
/// outcome.
pub fn play(seed: u64, sabotage: Sabotage) -> Result<Outcome> {
    panics::count();
    // Its keys are made before anything follows from the seed.
    let ground = Arc::new(Ground::new(seed, sabotage)?);
    let played = Arc::clone(&ground);
    let thread = thread::Builder::new()
        .name(format!("seed {seed}"))
        .stack_size(STACK_BYTES);
    let thread = thread.spawn(move || {
        entropy::follow(seed);
        let books = to_rest(&played);
        books.and_then(|faults| verdict::judge(&played, faults))
    })?;
    let books = thread.join();
    let books = books.unwrap_or_else(|panic| Err(anyhow!("panicked: {}", words(&*panic))));
    Ok(Outcome {
        seed,
        trace: ground.trace.end(),
        books,
    })
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
    text.unwrap_or_else(|| "without words".to_owned())
}

/// Where a play stands, and since when.
#[derive(Clone, Copy, Debug)]
enum Stage {
    SetUp,
    Trouble(Duration),
    Rest(Duration),
}

/// Plays until everything is at rest; how many things went wrong.
fn to_rest(ground: &Arc<Ground>) -> Result<usize> {
    let mut chance = Chance::of(ground.seed, 60);
    let mut faults = Faults::of(ground.seed);
    ground.expect_power_loss(|host| faults.lose_power(host));
    let mut sim = cast(ground, &mut chance);
    let (mut stage, mut quiet) = (Stage::SetUp, None);
    loop {
        let now = sim.elapsed();
        ground.time.set(now);
        match stage {
            Stage::SetUp if !ground.people.engineers().is_empty() => stage = Stage::Trouble(now),
            Stage::SetUp if now > SET_UP_MAX => bail!("nobody has a certificate after {now:?}"),
            Stage::Trouble(from) if now >= from + TROUBLE => {
                // What lasts longer ends now.
                faults.turn(&mut sim, ground, Duration::MAX)?;
                ground.people.is_over.store(true, Ordering::Relaxed);
                ground.trace.note("trouble", "is over");
                stage = Stage::Rest(now);
            }
            Stage::Trouble(from) => {
                faults.turn(&mut sim, ground, now.saturating_sub(from))?;
                work(ground, &mut chance);
            }
            Stage::Rest(from) if now >= from + REST_MAX => {
                bail!(
                    "no rest {REST_MAX:?} after the last trouble: {}",
                    ground.stands()
                );
            }
            Stage::SetUp | Stage::Rest(_) => {}
        }
        let people_are_done = sim.step().map_err(|error| anyhow!("{error}"))?;
        if people_are_done && now >= *quiet.get_or_insert(now) + QUIET && ground.is_at_rest() {
            break;
        }
    }
    ground.trace.note("all", "is at rest");
    ensure!(panics::here() == 0, "{} tasks panicked", panics::here());
    Ok(faults.number())
}

/// Everybody at their places.
fn cast<'a>(ground: &Arc<Ground>, chance: &mut Chance) -> Sim<'a> {
    let mut builder = Builder::new();
    builder
        .rng_seed(ground.seed)
        .tick_duration(TICK)
        .simulation_duration(SET_UP_MAX + TROUBLE + REST_MAX + REST_MAX)
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(chance.ms(5..120))
        .tcp_capacity(4_096)
        .enable_random_order();
    let mut sim = builder.build();
    for host in &ground.hosts {
        let (ground, host) = (Arc::clone(ground), Arc::clone(host));
        let name = host.name;
        sim.host(name, move || {
            agent::run(Arc::clone(&ground), Arc::clone(&host))
        });
    }
    let its = Arc::clone(ground);
    sim.host(COLLECTOR.0, move || collector::run(Arc::clone(&its)));
    let its = Arc::clone(ground);
    sim.host(BROKER.0, move || broker::run(Arc::clone(&its)));
    sim.client(DESK, desk::run(Arc::clone(ground)));
    sim
}

fn work(ground: &Ground, chance: &mut Chance) {
    for host in &ground.hosts {
        if chance.happens(WORK_PERCENT) {
            host.kernel.work(chance.within(ACTS));
        }
    }
    if ground.sabotage == Sabotage::DiskForgets && chance.happens(1) {
        ground.remember_collector();
    }
}
