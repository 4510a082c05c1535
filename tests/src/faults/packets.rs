//! Packets between agent and collector fare badly: lost, doubled, late, and out of
//! their order.

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::ground::Ground;
use super::lane::{Tally, Weather};
use crate::poll;

/// Most time that it goes on once enough packets fared so.
const BAD: Duration = Duration::from_secs(1);
/// Most time between two faults.
const APART: Duration = Duration::from_millis(500);
/// So many packets fare badly each time, of each kind that there is.
const ENOUGH: u64 = 5;
/// Most time until they did: a connection that loses packets sends few.
const ENOUGH_WITHIN: Duration = Duration::from_secs(60);

const OUT_OF_ORDER: Weather = Weather {
    late: 40,
    by: Duration::from_millis(20),
    ..Weather::FAIR
};
const DOUBLED: Weather = Weather {
    doubled: 30,
    late: 10,
    by: Duration::from_millis(5),
    ..Weather::FAIR
};
const LOSSY: Weather = Weather {
    lost: 10,
    ..Weather::FAIR
};
const STORM: Weather = Weather {
    lost: 3,
    doubled: 10,
    late: 50,
    by: Duration::from_millis(200),
};

/// Each weather once, in any order.
///
/// # Errors
/// There is no link on this ground, or too few packets go by it.
pub(super) fn strike(ground: &mut Ground) -> Result<()> {
    for weather in ground
        .chance
        .shuffled([OUT_OF_ORDER, DOUBLED, LOSSY, STORM])
    {
        ground.waits(APART)?;
        let link = ground.link()?;
        let before = link.tally();
        link.has(weather);
        let suffered = poll::until_true("packets that fare badly", ENOUGH_WITHIN, || {
            is_enough(weather, link.tally().since(before))
        });
        let waited = ground.waits(BAD);
        let link = ground.link()?;
        link.has(Weather::FAIR);
        let tally = link.tally().since(before);
        suffered.with_context(|| format!("in {weather:?} {tally:?}"))?;
        waited?;
        for (fault, times) in [
            ("packets lost", tally.lost),
            ("packets doubled", tally.doubled),
            ("packets out of order", tally.overtaken),
        ] {
            ground.counts_times(fault, times);
        }
    }
    Ok(())
}

/// Whether enough packets fared as this weather has them fare.
fn is_enough(weather: Weather, tally: Tally) -> bool {
    [
        (weather.lost, tally.lost),
        (weather.doubled, tally.doubled),
        (weather.late, tally.overtaken),
    ]
    .into_iter()
    .all(|(percent, suffered)| percent == 0 || suffered >= ENOUGH)
}
