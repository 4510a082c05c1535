//! Waits for a condition, with a deadline, and never for time alone.

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::interrupt;

/// How often a condition is looked at.
const EVERY: Duration = Duration::from_millis(5);

/// How many times longer everything may take here.
static SLOWNESS: AtomicU32 = AtomicU32::new(1);

/// From now on every deadline is so many times longer: this machine is emulated.
pub fn allow_slowness(times: u32) {
    SLOWNESS.store(times.max(1), Ordering::Relaxed);
}

/// A deadline for this machine, from one for a machine that is not emulated.
#[must_use]
pub fn allowed(natively: Duration) -> Duration {
    natively.saturating_mul(SLOWNESS.load(Ordering::Relaxed))
}

/// Asks until there is an answer.
///
/// # Errors
/// The condition failed for good, nothing came before the deadline (the error
/// says `what` was waited for), or somebody asked to stop.
pub fn until<T>(
    what: &str,
    deadline: Duration,
    mut condition: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let (start, deadline) = (Instant::now(), allowed(deadline));
    loop {
        if let Some(answer) = condition()? {
            return Ok(answer);
        }
        interrupt::check()?;
        if start.elapsed() > deadline {
            bail!("{what} did not happen within {} s", deadline.as_secs_f32());
        }
        thread::sleep(EVERY);
    }
}

/// Like [`until`], for a condition that is only true or false.
///
/// # Errors
/// As [`until`].
pub fn until_true(what: &str, deadline: Duration, condition: impl Fn() -> bool) -> Result<()> {
    until(what, deadline, || Ok(condition().then_some(())))
}

/// Asks until there is an answer or the deadline has passed; goes on when
/// somebody asks to stop, since this is how stopping is done.
///
/// # Errors
/// The condition failed for good.
pub fn until_ignoring_interrupts<T>(
    deadline: Duration,
    mut condition: impl FnMut() -> Result<Option<T>>,
) -> Result<Option<T>> {
    let (start, deadline) = (Instant::now(), allowed(deadline));
    loop {
        let answer = condition()?;
        if answer.is_some() || start.elapsed() > deadline {
            return Ok(answer);
        }
        thread::sleep(EVERY);
    }
}
