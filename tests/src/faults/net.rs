//! The way from the agent to the collector fails: cut, silent, slow, half-open.

use std::time::Duration;

use anyhow::Result;

use super::ground::Ground;
use super::proxy::Way;

/// Most time that the way is as bad as it is.
const BAD: Duration = Duration::from_secs(2);
/// Most time between two faults.
const APART: Duration = Duration::from_millis(500);

/// The way fails in each manner once, in any order.
///
/// # Errors
/// There is no proxy on this ground.
pub(super) fn strike(ground: &mut Ground) -> Result<()> {
    for way in ground.chance.shuffled([Way::Cut, Way::Silent, Way::Slow]) {
        ground.waits(APART)?;
        half_opens(ground)?;
        ground.waits(APART)?;
        ground.proxy()?.leads(way);
        ground.counts(&format!("way {}", way.word()));
        let waited = ground.waits(BAD);
        ground.proxy()?.leads(Way::Open);
        waited?;
    }
    ground.proxy()?.forgets_halves();
    Ok(())
}

/// One of three times the agent's end is gone first, and the collector does not
/// hear of it.
fn half_opens(ground: &mut Ground) -> Result<()> {
    if ground.chance.below(3) == 0 {
        ground.proxy()?.half_opens();
        ground.counts("way half-open");
    }
    Ok(())
}
