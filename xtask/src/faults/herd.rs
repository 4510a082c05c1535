//! Agents by the thousand come back at once: a family of faults without a stage,
//! since their events are made up, and the collector, their connections and what
//! `monitor-verify` finds are not.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use monitor_tests::equation::Sum;
use monitor_tests::faults::report::Row;
use serde::Deserialize;
use serde_json::Value;

use crate::cache::Project;
use crate::process;

/// Its name on the command line.
pub(super) const NAME: &str = "herd";
/// The program: an example of the collector.
const PROGRAM: &str = "examples/herd";
/// What an answer of `monitor-verify` ends with that counts, whether or not it holds.
const COUNTED: [i32; 2] = [0, 4];

/// What the program says.
#[derive(Debug, Deserialize)]
struct Herd {
    agents: u64,
    rounds: u64,
    sent: u64,
    again: u64,
    back_ms_max: u64,
}

/// Plays it; what went wrong is in the row.
pub(super) fn play(project: &Project, programs: &Path, rounds: u64) -> Row {
    let mut row = Row::of(NAME, rounds);
    if let Err(error) = play_all(project, programs, &mut row) {
        row.failed = Some(format!("{error:#}"));
    }
    row
}

fn play_all(project: &Project, programs: &Path, row: &mut Row) -> Result<()> {
    let folder = project.cache().join("herd");
    remove(&folder)?;
    let mut command = Command::new(programs.join(PROGRAM));
    command.arg("--collector");
    command.arg(programs.join("monitor-collector"));
    command.arg("--folder").arg(&folder);
    command.args(["--rounds", &row.wanted.to_string()]);
    let said = process::quiet_stdout_of(&mut command)?;
    let herd: Herd = serde_json::from_str(&said).context("reading what the herd says")?;
    let sum = counted(&programs.join("monitor-verify"), &folder.join("data"))?;
    remove(&folder)?;
    take(row, &herd, &sum);
    ensure!(
        sum.holds && sum.produced == herd.sent && sum.stored == herd.sent,
        "{} events were sent, and the ledgers say {sum:?}",
        herd.sent
    );
    Ok(())
}

fn take(row: &mut Row, herd: &Herd, sum: &Sum) {
    row.faults = BTreeMap::from([
        ("collector killed".to_owned(), herd.rounds),
        ("agents back at once".to_owned(), herd.rounds * herd.agents),
        ("acked batches sent again".to_owned(), herd.again),
    ]);
    row.rounds = herd.rounds;
    row.produced = sum.produced;
    row.stored = sum.stored;
    row.gaps = sum.gaps;
    row.lost = sum.lost;
    row.twice = sum.twice;
    row.settled_ms_max = herd.back_ms_max;
}

fn counted(verify: &Path, ledgers: &Path) -> Result<Sum> {
    let mut command = Command::new(verify);
    let output = command
        .args(["-o", "ndjson", "--ledgers"])
        .arg(ledgers)
        .output()
        .context("starting monitor-verify")?;
    let code = output.status.code();
    ensure!(
        code.is_some_and(|code| COUNTED.contains(&code)),
        "monitor-verify: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8_lossy(&output.stdout);
    let rows = text.lines().map(serde_json::from_str::<Value>);
    let rows: Vec<Value> = rows.collect::<Result<_, _>>()?;
    let mut sum = Sum::of_rows(&rows);
    sum.holds = code == Some(0);
    Ok(sum)
}

fn remove(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("removing {}", folder.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_herd_says_becomes_a_row() {
        let said = r#"{"agents":1000,"rounds":2,"sent":60000,"again":2000,"tries_more":3,"back_ms_max":4000}"#;
        let herd: Herd = serde_json::from_str(said).unwrap();
        let sum = Sum {
            produced: 60_000,
            stored: 60_000,
            ..Sum::default()
        };
        let mut row = Row::of(NAME, 2);
        take(&mut row, &herd, &sum);
        assert!(row.is_good());
        assert_eq!(row.faults["agents back at once"], 2_000);
        assert_eq!((row.stored, row.settled_ms_max), (60_000, 4_000));
    }
}
