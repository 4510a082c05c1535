//! `monitor-verify`: whether anything of a stage was lost or told twice.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::command::{self, command};
use crate::stage::Folder;
use crate::stage::certificates::AGENT;

/// The exit code when it does not hold.
const BROKEN: i32 = 4;

/// What it says of all streams together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sum {
    /// All numbers that the kernel and the agent gave out.
    pub produced: u64,
    /// Of them, those in a ledger.
    pub stored: u64,
    /// Named as missing.
    pub gaps: u64,
    /// In the agent's spool.
    pub spool: u64,
    /// In the kernel's rings.
    pub ring: u64,
    /// Nowhere.
    pub lost: u64,
    /// Streams of which the kernel itself said how much there is.
    pub by_kernel: u64,
    /// Whether every number is in one place.
    pub holds: bool,
}

/// Counts what the host's kernel, its spool and the ledgers in a folder hold.
///
/// # Errors
/// `monitor-verify` could not say.
pub fn of(folder: &Folder, ledgers: &Path) -> Result<Sum> {
    let mut verify = command(folder.program("monitor-verify"), ["--agent", AGENT]);
    verify.args(["-o", "ndjson", "--ledgers"]).arg(ledgers);
    verify.arg("--spool").arg(folder.at("agent/spool.db"));
    verify.arg("--pins").arg(folder.at("bpf"));
    let output = command::output(&mut verify)?;
    let code = output.status.code();
    if code != Some(0) && code != Some(BROKEN) {
        bail!("monitor-verify: {}", command::said(&output));
    }
    let mut sum = Sum {
        holds: code == Some(0),
        ..Sum::default()
    };
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let row: Value = serde_json::from_str(line).context("reading monitor-verify")?;
        let number = |name: &str| row.get(name).and_then(Value::as_u64).unwrap_or_default();
        sum.produced += number("produced");
        sum.stored += number("stored");
        sum.gaps += number("gaps");
        sum.spool += number("spool");
        sum.ring += number("ring");
        sum.by_kernel += u64::from(row.get("by_kernel") == Some(&Value::Bool(true)));
        let ranges = row.get("lost").and_then(Value::as_array);
        for range in ranges.into_iter().flatten() {
            let end = |at: usize| range.get(at).and_then(Value::as_u64).unwrap_or_default();
            sum.lost += end(1) + 1 - end(0);
        }
    }
    Ok(sum)
}

/// The same, with the stage's own ledgers; it must hold.
///
/// # Errors
/// It does not: something was lost or told twice.
pub fn holds(folder: &Folder) -> Result<Sum> {
    let sum = of(folder, &folder.at("collector"))?;
    if !sum.holds {
        bail!("produced = stored + named gaps + on its way does not hold: {sum:?}");
    }
    Ok(sum)
}
