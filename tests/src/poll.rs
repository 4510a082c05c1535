//! Waits for a condition, with a deadline, and never for time alone.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::interrupt;

/// How often a condition is looked at.
const EVERY: Duration = Duration::from_millis(5);

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
    let start = Instant::now();
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
    let start = Instant::now();
    loop {
        let answer = condition()?;
        if answer.is_some() || start.elapsed() > deadline {
            return Ok(answer);
        }
        thread::sleep(EVERY);
    }
}
