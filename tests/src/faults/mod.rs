//! Parts fail for real while people work, and nothing is lost by it.
//!
//! A round: somebody works, somebody else is ordered off, parts fail at moments
//! that chance takes, and are well again. It ends when the order is carried out,
//! once, and `monitor-verify` finds every number of kernel and agent in one place:
//! stored once, or named as missing. The moments follow from a seed; what the
//! kernel and the programs do between them does not.
//!
//! # Layout
//! - `chance`: moments from a seed; `ground`: the stage and the round
//! - `load`: who works; `leaver`: who is ordered off
//! - `kill`, `torn`, `rot`, `stop`, `disk`, `net`, `packets`, `write`, `certs`, `clock`, `readers`: a
//!   family of faults each
//! - `proxy`: the way that fails; `link`: the packets on it, and `lane`: what becomes of them
//! - `report`: what was injected, and what became of it

mod certs;
pub mod chance;
mod clock;
pub mod disk;
pub mod ground;
mod kill;
pub mod lane;
pub mod leaver;
pub mod link;
pub mod load;
mod net;
mod packets;
pub mod proxy;
mod readers;
pub mod report;
mod rot;
mod stop;
mod torn;
mod write;

use anyhow::{Result, bail};

use self::chance::Chance;
use self::ground::Ground;
use self::report::{Report, Row, SCHEMA_VERSION};
use crate::interrupt;
use crate::stage::Settings;

/// Rounds on one stage; then another one is set: counting stays short.
const ROUNDS_OF_A_STAGE: u64 = 25;

/// What fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Programs are killed.
    Kill,
    /// Programs stand still.
    Stop,
    /// Disks fill.
    Disk,
    /// The way between agent and collector fails.
    Net,
    /// Packets between them are lost, doubled, late and out of order.
    Packets,
    /// Single calls that put something on disk fail.
    Write,
    /// Certificates are replaced.
    Certs,
    /// Clocks jump.
    Clock,
    /// Programs are killed, and their last writes are there in part.
    Torn,
    /// Subscribers take nothing, and the collector fails.
    Readers,
    /// A disk gives back something else than what was written.
    Rot,
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Kill,
        Self::Stop,
        Self::Disk,
        Self::Net,
        Self::Packets,
        Self::Write,
        Self::Certs,
        Self::Clock,
        Self::Torn,
        Self::Readers,
        Self::Rot,
    ];

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Stop => "stop",
            Self::Disk => "disk",
            Self::Net => "net",
            Self::Packets => "packets",
            Self::Write => "write",
            Self::Certs => "certs",
            Self::Clock => "clock",
            Self::Torn => "torn",
            Self::Readers => "readers",
            Self::Rot => "rot",
        }
    }

    /// The one of a name.
    ///
    /// # Errors
    /// There is none: the names that there are.
    pub fn named(name: &str) -> Result<Self> {
        if let Some(family) = Self::ALL.into_iter().find(|family| family.name() == name) {
            return Ok(family);
        }
        let names = Self::ALL.map(Self::name).join(", ");
        bail!("there is no family of faults `{name}`; the families are: {names}")
    }

    /// Injects its faults, and mends them.
    ///
    /// # Errors
    /// One could not be injected or mended.
    fn strike(self, ground: &mut Ground) -> Result<()> {
        match self {
            Self::Kill => kill::strike(ground),
            Self::Stop => stop::strike(ground),
            Self::Disk => disk::strike(ground),
            Self::Net => net::strike(ground),
            Self::Packets => packets::strike(ground),
            Self::Write => write::strike(ground),
            Self::Certs => certs::strike(ground),
            Self::Clock => clock::strike(ground),
            Self::Torn => torn::strike(ground),
            Self::Readers => readers::strike(ground),
            Self::Rot => rot::strike(ground),
        }
    }

    /// Which row of the seed's chances is its own: the same whatever else is played.
    const fn row(self) -> u64 {
        match self {
            Self::Kill => 0,
            Self::Stop => 1,
            Self::Disk => 2,
            Self::Net => 3,
            Self::Write => 4,
            Self::Certs => 5,
            Self::Clock => 6,
            Self::Torn => 7,
            Self::Readers => 8,
            Self::Rot => 9,
            Self::Packets => 10,
        }
    }
}

/// What is played.
#[derive(Debug, Clone)]
pub struct Plan {
    /// In this order.
    pub families: Vec<Family>,
    /// Of each family.
    pub rounds: u64,
    /// Where chance begins.
    pub seed: u64,
}

/// Plays all of it, whatever fails; `says` is told how it goes on. When somebody
/// asks to stop, the report has what was played by then.
///
/// # Errors
/// The kernel does not say its release. What failed is in the report.
pub fn run(settings: &Settings, plan: &Plan, says: impl Fn(&str)) -> Result<Report> {
    let mut families = Vec::new();
    for family in &plan.families {
        let mut row = Row::of(family.name(), plan.rounds);
        says(&format!(
            "{}: {} rounds with seed {}",
            family.name(),
            plan.rounds,
            plan.seed
        ));
        let played = play(settings, *family, plan.seed, &mut row, &says);
        if interrupt::asked() {
            says(&format!(
                "{}: stopped after {} rounds",
                row.family, row.rounds
            ));
            families.push(row);
            break;
        }
        if let Err(error) = played {
            says(&format!("{}: FAILED: {error:#}", family.name()));
            row.failed = Some(format!("{error:#}"));
        }
        families.push(row);
    }
    Ok(Report {
        schema_version: SCHEMA_VERSION,
        kernel: kernel()?,
        seed: plan.seed,
        families,
    })
}

fn play(
    settings: &Settings,
    family: Family,
    seed: u64,
    row: &mut Row,
    says: &impl Fn(&str),
) -> Result<()> {
    let mut chance = Chance::row(seed, family.row());
    while row.rounds < row.wanted {
        let turn = seed.wrapping_add(row.rounds);
        let mut ground = Ground::set(settings, family, chance, turn)?;
        let until = (row.rounds + ROUNDS_OF_A_STAGE).min(row.wanted);
        while row.rounds < until {
            let played = ground.plays(family, row);
            if let Err(error) = played {
                for words in ground.stage.services.last_words() {
                    says(&words);
                }
                let round = row.rounds + 1;
                return Err(error.context(format!("round {round} with seed {seed}")));
            }
        }
        says(&format!(
            "{}: {} of {} rounds, {} produced, {} lost, {} twice",
            family.name(),
            row.rounds,
            row.wanted,
            row.produced,
            row.lost,
            row.twice
        ));
        chance = ground.chance.clone();
        ground.stage.take_down()?;
    }
    Ok(())
}

fn kernel() -> Result<String> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    Ok(release.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn family_is_known_by_its_name_and_has_chances_of_its_own() {
        for family in Family::ALL {
            assert_eq!(Family::named(family.name()).unwrap(), family);
        }
        let rows: BTreeSet<u64> = Family::ALL.into_iter().map(Family::row).collect();
        assert_eq!(rows.len(), Family::ALL.len());
        let text = Family::named("kil").unwrap_err().to_string();
        assert!(
            text.contains("`kil`") && text.contains("kill, stop, disk"),
            "{text}"
        );
    }
}
