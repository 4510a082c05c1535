//! How much of the verifier's patience each kernel program takes.
//!
//! In: the lines `verified NAME COUNT` of a check. Compared with the record in
//! `docs/reference/verified-instructions.toml`: one that grew by more than a
//! tenth, or is not recorded, is an error until somebody looks and records it
//! (`cargo xtask vm --record`). The kernel allows a million.
//!
//! A series that moves by itself is recorded by its release: another one's
//! verifier goes other ways, so a release without a record is told, fails
//! nothing, and leaves its counts in the log of its console.

use std::{collections::BTreeMap, fs, path::PathBuf};

use anyhow::{Context, Result, bail};

use crate::{cache::Project, kernels::Series, process};

/// By kernel series, then by program (the kernel keeps 15 bytes of a name).
type Record = BTreeMap<String, BTreeMap<String, u64>>;

const HEAD: &str = "\
# Instructions that the verifier went through for each program, by kernel; it allows a million.
# Written by `cargo xtask vm --record`; `cargo xtask vm` fails when one grew by more than a tenth.
# Debian unstable's stands by its release: growth is judged within one; another one is told, and fails nothing.
";

/// The counts that a check said.
pub(crate) fn said(console: &str) -> BTreeMap<String, u64> {
    let line = |line: &str| {
        let rest = line.split_once("verified ")?.1;
        let (name, count) = rest.trim().split_once(' ')?;
        Some((name.to_owned(), count.parse().ok()?))
    };
    console.lines().filter_map(line).collect()
}

/// Compares what a kernel's verifier did with the record.
pub(crate) fn compare(
    project: &Project,
    series: Series,
    release: &str,
    found: &BTreeMap<String, u64>,
) -> Result<()> {
    let record = read(project)?;
    let key = key(series, release);
    let Some(known) = record.get(key) else {
        if series.moves() {
            process::say(&format!(
                "no counts of {key} are recorded, so growth is not judged: they are in {}, \
                 and `cargo xtask vm --kernel {} --record` records them",
                project.log(&format!("vm-{}", series.name())).display(),
                series.name()
            ));
            return Ok(());
        }
        bail!("no counts of {key} are recorded: look at them and run `cargo xtask vm --record`");
    };
    let grown = grown(known, found);
    if grown.is_empty() {
        return Ok(());
    }
    bail!(
        "the verifier goes through more than before: {}; if that is as it should be: \
         `cargo xtask vm --record`",
        grown.join(", ")
    )
}

/// Under which name a kernel's counts stand.
fn key(series: Series, release: &str) -> &str {
    if series.moves() {
        release
    } else {
        series.name()
    }
}

/// Programs that grew by more than a tenth, or are new.
fn grown(known: &BTreeMap<String, u64>, found: &BTreeMap<String, u64>) -> Vec<String> {
    found
        .iter()
        .filter_map(|(name, count)| match known.get(name) {
            Some(before) if *count <= before.saturating_add(before / 10) => None,
            Some(before) => Some(format!("{name} {before} -> {count}")),
            None => Some(format!("{name} (new) {count}")),
        })
        .collect()
}

/// Writes what a kernel's verifier did down.
pub(crate) fn record(
    project: &Project,
    series: Series,
    release: &str,
    found: BTreeMap<String, u64>,
) -> Result<()> {
    let mut record = read(project)?;
    if series.moves() {
        // Of releases that nobody can fetch any more nothing is kept.
        record.retain(|known, _| Series::ALL.iter().any(|series| series.name() == known));
    }
    record.insert(key(series, release).to_owned(), found);
    let text = toml::to_string(&record).context("the counts as TOML")?;
    let path = file(project);
    fs::write(&path, format!("{HEAD}\n{text}")).with_context(|| path.display().to_string())
}

fn read(project: &Project) -> Result<Record> {
    let path = file(project);
    if !path.exists() {
        return Ok(Record::new());
    }
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    toml::from_str(&text).with_context(|| path.display().to_string())
}

fn file(project: &Project) -> PathBuf {
    project
        .root()
        .join("docs/reference/verified-instructions.toml")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(count: u64) -> BTreeMap<String, u64> {
        BTreeMap::from([("a".to_owned(), count)])
    }

    #[test]
    fn unstable_is_judged_within_a_release_and_told_in_the_next() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("docs/reference")).unwrap();
        let project = Project::at(folder.path(), &folder.path().join("cache"));
        let compare = |series, release, count| compare(&project, series, release, &counts(count));
        assert!(
            compare(Series::V6_12, "6.12.1", 1_000).is_err(),
            "no record"
        );
        record(&project, Series::V6_12, "6.12.1", counts(1_000)).unwrap();
        assert!(compare(Series::V6_12, "6.12.2", 1_200).is_err());

        compare(Series::Sid, "7.2.13", 1_000).unwrap();
        record(&project, Series::Sid, "7.2.13", counts(1_000)).unwrap();
        compare(Series::Sid, "7.2.13", 1_100).unwrap();
        assert!(compare(Series::Sid, "7.2.13", 1_101).is_err());
        compare(Series::Sid, "7.3.1", 1_101).unwrap();
    }

    #[test]
    fn record_keeps_the_last_release_of_unstable_only() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("docs/reference")).unwrap();
        let project = Project::at(folder.path(), &folder.path().join("cache"));
        for (series, release) in [
            (Series::V6_1, "6.1.0"),
            (Series::Sid, "7.2.13"),
            (Series::Sid, "7.3.1"),
        ] {
            record(&project, series, release, counts(1)).unwrap();
        }
        let known: Vec<String> = read(&project).unwrap().into_keys().collect();
        assert_eq!(known, ["6.1", "7.3.1"]);
    }

    #[test]
    fn growth_beyond_a_tenth_and_new_programs_are_named() {
        let known = BTreeMap::from([("a".to_owned(), 1_000), ("b".to_owned(), 1_000)]);
        let found = said("x\nverified a 1100\r\nverified b 1101\nverified c 5\nnot verified\n");
        assert_eq!(grown(&known, &found), ["b 1000 -> 1101", "c (new) 5"]);
    }
}
