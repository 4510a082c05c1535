//! What runs under libFuzzer gave: by target, as text, JSON and the page's table.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

/// The form of the JSON.
const SCHEMA_VERSION: u32 = 1;

/// What became of one target.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) target: String,
    /// How many inputs were tried.
    pub(super) tries: u64,
    /// For how long, in seconds.
    pub(super) seconds: u64,
    /// How many branches they reached.
    pub(super) edges: u64,
    /// Inputs that did harm.
    pub(super) found: Vec<PathBuf>,
}

impl Row {
    /// Reads what libFuzzer said; `took` is how long it was at it.
    pub(super) fn read(target: &str, took: Duration, text: &str) -> Self {
        let last_after = |mark: &str| {
            let mut found = text.lines().filter_map(|line| line.split_once(mark));
            let (_, rest) = found.next_back()?;
            rest.split_whitespace().next()
        };
        let number = |mark| last_after(mark).and_then(|word| word.parse().ok());
        Self {
            target: target.to_owned(),
            tries: number("stat::number_of_executed_units:").unwrap_or(0),
            seconds: took.as_secs(),
            edges: number(" cov:").unwrap_or(0),
            found: last_after("Test unit written to ")
                .map(PathBuf::from)
                .into_iter()
                .collect(),
        }
    }

    /// In one line.
    pub(super) fn text(&self) -> String {
        let result = match self.found.as_slice() {
            [] => "nothing found".to_owned(),
            [file, ..] => format!("FOUND: {}", file.display()),
        };
        format!(
            "{:13} {:>9} tries {:>5} s {:>6} edges  {result}",
            self.target, self.tries, self.seconds, self.edges
        )
    }

    fn add(&mut self, other: Self) {
        self.tries = self.tries.saturating_add(other.tries);
        self.seconds = self.seconds.saturating_add(other.seconds);
        self.edges = self.edges.max(other.edges);
        self.found.extend(other.found);
    }
}

/// What became of all.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Report {
    #[serde(default)]
    schema_version: u32,
    pub(super) rows: Vec<Row>,
}

impl Report {
    /// Adds up what `--json` wrote.
    pub(super) fn kept(files: &[PathBuf]) -> Result<Self> {
        let mut all = Self::default();
        for file in files {
            let text = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
            let report: Self =
                serde_json::from_slice(&text).with_context(|| format!("{}", file.display()))?;
            if report.schema_version != SCHEMA_VERSION {
                bail!(
                    "{} has schema_version {}; this command knows {SCHEMA_VERSION}",
                    file.display(),
                    report.schema_version
                );
            }
            report.rows.into_iter().for_each(|row| all.add(row));
        }
        Ok(all)
    }

    fn add(&mut self, row: Row) {
        match self
            .rows
            .iter_mut()
            .find(|known| known.target == row.target)
        {
            Some(known) => known.add(row),
            None => self.rows.push(row),
        }
    }

    /// Writes it as JSON.
    pub(super) fn write(&self, file: &Path) -> Result<()> {
        let report = serde_json::json!({"schema_version": SCHEMA_VERSION, "rows": self.rows});
        let text = serde_json::to_string_pretty(&report)?;
        fs::write(file, text).with_context(|| format!("writing {}", file.display()))
    }

    /// Fails where a target was not tried: the page's table is of all.
    pub(super) fn check_is_of(&self, targets: &[String]) -> Result<()> {
        let is_tried = |target: &&String| self.rows.iter().any(|row| row.target == **target);
        match targets.iter().find(|target| !is_tried(target)) {
            Some(target) => bail!("the table is of all targets, and {target} was not tried"),
            None => Ok(()),
        }
    }

    /// The page's table; `mended` says how many inputs of a target once did harm.
    pub(super) fn table(&self, mended: impl Fn(&str) -> Result<usize>) -> Result<String> {
        let mut table = "| target | executions | seconds | edges | found, and mended |\n|---|---|---|---|---|\n"
            .to_owned();
        let (mut tries, mut seconds, mut found) = (0_u64, 0_u64, 0_usize);
        for row in &self.rows {
            let of_target = mended(&row.target)?;
            writeln!(
                table,
                "| `{}` | {} | {} | {} | {of_target} |",
                row.target, row.tries, row.seconds, row.edges
            )?;
            tries = tries.saturating_add(row.tries);
            seconds = seconds.saturating_add(row.seconds);
            found = found.saturating_add(of_target);
        }
        writeln!(table, "| all | {tries} | {seconds} | | {found} |")?;
        Ok(table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(target: &str, tries: u64, edges: u64) -> Row {
        Row {
            target: target.to_owned(),
            tries,
            seconds: 60,
            edges,
            found: Vec::new(),
        }
    }

    #[test]
    fn what_libfuzzer_says_is_read() {
        let calm = "#2\tINITED cov: 41 ft: 42 corp: 1/1b\n#900\tDONE   cov: 57 ft: 60\n\
                    stat::number_of_executed_units: 900\n";
        let took = Duration::from_millis(61_400);
        let read = Row::read("krl", took, calm);
        assert_eq!((read.tries, read.edges, read.seconds), (900, 57, 61));
        assert!(read.found.is_empty());
        let harm = "artifact_prefix='/c/'; Test unit written to /c/crash-1\nBase64: AA==\n";
        let read = Row::read("krl", took, harm);
        assert_eq!(read.found, [PathBuf::from("/c/crash-1")]);
        assert!(read.text().contains("FOUND: /c/crash-1"));
    }

    #[test]
    fn runs_are_added_up_and_written_as_a_table() {
        let folder = tempfile::tempdir().unwrap();
        let files = ["a", "b"].map(|name| folder.path().join(name));
        for (file, edges) in files.iter().zip([50, 40]) {
            let mut report = Report::default();
            report.rows.push(row("krl", 900, edges));
            report.write(file).unwrap();
        }
        let all = Report::kept(&files).unwrap();
        let table = all.table(|_| Ok(2)).unwrap();
        assert!(table.contains("| `krl` | 1800 | 120 | 50 | 2 |"), "{table}");
        all.check_is_of(&["krl".to_owned()]).unwrap();
        let untried = all.check_is_of(&["krl".to_owned(), "note".to_owned()]);
        assert!(untried.unwrap_err().to_string().contains("note"));
    }

    #[test]
    fn results_of_another_form_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        fs::write(&file, r#"{"schema_version": 7, "rows": []}"#).unwrap();
        let error = Report::kept(&[file]).unwrap_err().to_string();
        assert!(error.contains("schema_version 7"), "{error}");
    }
}
