//! What goes wrong, and when: all of it follows from the seed.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Result;
use turmoil::Sim;

use crate::{
    broker,
    chance::Chance,
    ground::{Ground, Host},
    keys::{AGENTS, BROKER, COLLECTOR, DESK},
    play::Sabotage,
    stores,
};

/// How long things go wrong.
pub const TROUBLE: Duration = Duration::from_secs(30);
/// How many things go wrong in that time.
const FAULTS: std::ops::Range<u64> = 6..16;
/// How long one of them lasts, in milliseconds.
const LASTS_MS: std::ops::Range<u64> = 50..9_000;

/// One thing that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A program is killed, and started again at the end.
    Crash(&'static str),
    /// A watched host loses its power.
    PowerLoss(usize),
    /// Nothing gets through between two hosts.
    Cut(&'static str, &'static str),
    /// Nothing gets through one way.
    CutOneWay(&'static str, &'static str),
    /// Everything waits on its way, and comes at the end.
    Held(&'static str, &'static str),
    /// The clock of a host is wrong by so many milliseconds: of a watched host by
    /// its place, then the collector's, then the broker's.
    Clock(usize, i64),
    /// An agent's queue takes nothing.
    SpoolRefuses(usize),
    /// The ledgers take nothing.
    LedgersRefuse,
    /// The collector's state takes nothing: the ledgers are ahead of it then.
    StateRefuses,
    /// The broker's store takes no order.
    BrokerRefuses,
    /// So many things happen on a host at once.
    Flood(usize, u64),
}

/// When.
#[derive(Clone, Copy, Debug)]
struct Planned {
    from: Duration,
    until: Duration,
    fault: Fault,
    stands: Stands,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stands {
    Ahead,
    Now,
    Over,
}

/// Everything that goes wrong in one play.
#[derive(Debug)]
pub struct Faults {
    planned: Vec<Planned>,
}

impl Faults {
    /// What follows from a seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let mut chance = Chance::of(seed, 70);
        let number = chance.within(FAULTS);
        let trouble = u64::try_from(TROUBLE.as_millis()).unwrap_or(u64::MAX);
        let planned = (0..number).map(|_| {
            let from = chance.ms(0..trouble);
            Planned {
                from,
                until: from + chance.ms(LASTS_MS),
                fault: Fault::any(&mut chance),
                stands: Stands::Ahead,
            }
        });
        Self {
            planned: planned.collect(),
        }
    }

    /// Whether a watched host loses its power at some time.
    pub fn lose_power(&self, host: &Host) -> bool {
        let place = usize::try_from(host.number - 1).unwrap_or(usize::MAX);
        let loss = Fault::PowerLoss(place);
        self.planned.iter().any(|planned| planned.fault == loss)
    }

    /// Lets begin and end what is due; `since` the beginning of the trouble.
    ///
    /// # Errors
    /// A store cannot be made to refuse.
    pub fn turn(&mut self, sim: &mut Sim<'_>, ground: &Arc<Ground>, since: Duration) -> Result<()> {
        for planned in &mut self.planned {
            if planned.stands == Stands::Ahead && planned.from <= since {
                planned.stands = Stands::Now;
                ground
                    .trace
                    .note("trouble", &format!("{:?}", planned.fault));
                planned.fault.begin(sim, ground)?;
            }
            if planned.stands == Stands::Now && planned.until <= since {
                planned.stands = Stands::Over;
                ground
                    .trace
                    .note("trouble over", &format!("{:?}", planned.fault));
                planned.fault.end(sim, ground)?;
            }
        }
        Ok(())
    }

    /// How many things went wrong.
    #[must_use]
    pub const fn number(&self) -> usize {
        self.planned.len()
    }
}

impl Fault {
    fn any(chance: &mut Chance) -> Self {
        let host = chance.index(AGENTS.len());
        let agent = AGENTS.get(host).copied().unwrap_or(AGENTS[0]);
        let (one, other) = Self::line(agent, chance);
        match chance.within(0..20) {
            0..=2 => Self::Crash(agent),
            3..=5 => Self::Crash(COLLECTOR.0),
            6..=7 => Self::Crash(BROKER.0),
            8..=9 => Self::PowerLoss(host),
            10 => Self::Cut(one, other),
            11 => Self::CutOneWay(one, other),
            12 => Self::Held(one, other),
            13 => Self::clock(chance),
            14 => Self::SpoolRefuses(host),
            15 => Self::LedgersRefuse,
            16 => Self::StateRefuses,
            17 => Self::BrokerRefuses,
            _ => Self::Flood(host, chance.within(30..400)),
        }
    }

    /// Two who speak with each other, either way round.
    fn line(agent: &'static str, chance: &mut Chance) -> (&'static str, &'static str) {
        let (one, other) = match chance.within(0..6) {
            0..=3 => (agent, COLLECTOR.0),
            4 => (BROKER.0, COLLECTOR.0),
            _ => (DESK, COLLECTOR.0),
        };
        if chance.happens(50) {
            (one, other)
        } else {
            (other, one)
        }
    }

    /// A watched host's clock may be wrong by a day, the others' by a minute: they
    /// are looked after, and certificates of an hour depend on them.
    fn clock(chance: &mut Chance) -> Self {
        let whom = chance.index(AGENTS.len() + 2);
        let most = if whom < AGENTS.len() {
            86_400_000
        } else {
            60_000
        };
        let wrong = i64::try_from(chance.within(0..most)).unwrap_or(0);
        let wrong = if chance.happens(50) { wrong } else { -wrong };
        Self::Clock(whom, wrong)
    }

    fn begin(self, sim: &mut Sim<'_>, ground: &Arc<Ground>) -> Result<()> {
        match self {
            Self::Crash(host) => {
                sim.crash(host);
                if host == COLLECTOR.0 && ground.sabotage == Sabotage::DiskForgets {
                    ground.forget_collector()?;
                }
            }
            Self::PowerLoss(place) => {
                if let Some(host) = ground.hosts.get(place) {
                    // Nobody is told that the connection is over.
                    sim.partition(host.name, COLLECTOR.0);
                    sim.crash(host.name);
                    sim.repair(host.name, COLLECTOR.0);
                    host.kernel.power_cycle();
                    stores::lose_power(ground, host)?;
                }
            }
            Self::Cut(one, other) => sim.partition(one, other),
            Self::CutOneWay(from, to) => sim.partition_oneway(from, to),
            Self::Held(one, other) => sim.hold(one, other),
            Self::Clock(whom, wrong_ms) => set_clock(ground, whom, wrong_ms),
            Self::Flood(place, acts) => {
                if let Some(host) = ground.hosts.get(place) {
                    host.kernel.work(acts);
                }
            }
            Self::SpoolRefuses(_)
            | Self::LedgersRefuse
            | Self::StateRefuses
            | Self::BrokerRefuses => self.set_refusing(ground, true)?,
        }
        Ok(())
    }

    fn end(self, sim: &mut Sim<'_>, ground: &Arc<Ground>) -> Result<()> {
        match self {
            Self::Crash(host) => sim.bounce(host),
            Self::PowerLoss(place) => {
                if let Some(host) = ground.hosts.get(place) {
                    sim.bounce(host.name);
                }
            }
            Self::Cut(one, other) => sim.repair(one, other),
            Self::CutOneWay(from, to) => sim.repair_oneway(from, to),
            Self::Held(one, other) => sim.release(one, other),
            Self::Clock(whom, _) => set_clock(ground, whom, 0),
            Self::Flood(_, _) => {}
            Self::SpoolRefuses(_)
            | Self::LedgersRefuse
            | Self::StateRefuses
            | Self::BrokerRefuses => self.set_refusing(ground, false)?,
        }
        Ok(())
    }

    fn set_refusing(self, ground: &Ground, refuses: bool) -> Result<()> {
        for (database, table) in self.stores(ground) {
            stores::set_refusing(&database, table, refuses)?;
        }
        Ok(())
    }

    /// The stores that refuse, and what.
    fn stores(self, ground: &Ground) -> Vec<(PathBuf, &'static str)> {
        match self {
            Self::SpoolRefuses(place) => {
                let host = ground.hosts.get(place);
                host.map(|host| (host.spool(), "batches"))
                    .into_iter()
                    .collect()
            }
            Self::LedgersRefuse => {
                let of = |name: &str| (ground.collector().join("ledger").join(name), "block");
                ["acme.db", "globex.db", "provider.db"].map(of).to_vec()
            }
            Self::StateRefuses => vec![(ground.collector().join("state.db"), "meta")],
            Self::BrokerRefuses => {
                vec![(broker::places(ground).data_dir.join("state.db"), "orders")]
            }
            Self::Crash(_)
            | Self::PowerLoss(_)
            | Self::Cut(_, _)
            | Self::CutOneWay(_, _)
            | Self::Held(_, _)
            | Self::Clock(_, _)
            | Self::Flood(_, _) => Vec::new(),
        }
    }
}

fn set_clock(ground: &Ground, whom: usize, wrong_ms: i64) {
    let hosts = ground.hosts.iter().map(|host| &host.clock);
    if let Some(clock) = hosts.chain(&ground.clocks).nth(whom) {
        clock.jump(wrong_ms);
    }
}
