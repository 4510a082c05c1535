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
    /// Told twice, or told and named as missing.
    pub twice: u64,
    /// Streams of which the kernel itself said how much there is.
    pub by_kernel: u64,
    /// Whether every number is in one place.
    pub holds: bool,
}

impl Sum {
    /// Adds up what it said of each stream, one object each; whether it holds its
    /// exit code says.
    #[must_use]
    pub fn of_rows(rows: &[Value]) -> Self {
        let mut sum = Self::default();
        for row in rows {
            let number = |name: &str| row.get(name).and_then(Value::as_u64).unwrap_or_default();
            sum.produced += number("produced");
            sum.stored += number("stored");
            sum.gaps += number("gaps");
            sum.spool += number("spool");
            sum.ring += number("ring");
            sum.twice += number("twice") + number("contradicted");
            sum.by_kernel += u64::from(row.get("by_kernel") == Some(&Value::Bool(true)));
            let ranges = row.get("lost").and_then(Value::as_array);
            for range in ranges.into_iter().flatten() {
                let end = |at: usize| range.get(at).and_then(Value::as_u64).unwrap_or_default();
                sum.lost += end(1).saturating_sub(end(0)).saturating_add(1);
            }
        }
        sum
    }
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
    let text = String::from_utf8_lossy(&output.stdout);
    let rows = text.lines().map(serde_json::from_str::<Value>);
    let rows: Vec<Value> = rows
        .collect::<Result<_, _>>()
        .context("reading monitor-verify")?;
    Ok(Sum {
        holds: code == Some(0),
        ..Sum::of_rows(&rows)
    })
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn streams_add_up_and_ranges_count_by_their_numbers() {
        let row = json!({"produced": 10, "stored": 5, "gaps": 1, "spool": 0, "ring": 1,
            "lost": [[3, 4], [7, 7]], "twice": 1, "contradicted": 2, "by_kernel": true});
        let sum = Sum::of_rows(&[row.clone(), row]);
        assert_eq!(
            (sum.produced, sum.stored, sum.gaps, sum.ring),
            (20, 10, 2, 2)
        );
        assert_eq!((sum.lost, sum.twice, sum.by_kernel), (6, 6, 2));
    }
}
