//! Every file of the corpus goes through its target, as under libFuzzer.
//!
//! `seed-*` are real encodings, which the encoders make anew with
//! `MONITOR_WRITE_CORPUS=1`; each must be accepted. The others were found: they
//! once did harm, or reach what no seed does.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod seeds;

use std::{collections::BTreeSet, env, fs, path::PathBuf};

use monitor_fuzz::{TARGETS, named};

/// Most bytes of one file: a corpus is read often.
const FILE_BYTES_MAX: usize = 16 << 10;

fn folder(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target)
}

/// A target's files: name and content.
fn files(target: &str) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder(target)).unwrap();
    let mut files: Vec<(String, Vec<u8>)> = entries
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read(entry.path()).unwrap())
        })
        .collect();
    files.sort();
    files
}

#[test]
fn every_file_of_the_corpus_is_read_without_harm() {
    let mut refused = Vec::new();
    for target in TARGETS {
        for (name, bytes) in files(target.name) {
            assert!(bytes.len() <= FILE_BYTES_MAX, "{}/{name}", target.name);
            // What is being read is in the output of a test that fails.
            eprintln!("{}/{name}", target.name);
            if !target.is_accepted(&bytes) && name.starts_with("seed-") {
                refused.push(format!("{}/{name}", target.name));
            }
        }
    }
    assert!(
        refused.is_empty(),
        "real encodings, and refused: {refused:?}"
    );
}

#[test]
fn seeds_are_what_the_encoders_write_today() {
    for target in TARGETS {
        let made = seeds::of(target.name);
        assert!(!made.is_empty(), "{} has no seed", target.name);
        if env::var_os("MONITOR_WRITE_CORPUS").is_some() {
            fs::create_dir_all(folder(target.name)).unwrap();
            for (name, _) in files(target.name) {
                if name.starts_with("seed-") {
                    fs::remove_file(folder(target.name).join(name)).unwrap();
                }
            }
            for (name, bytes) in &made {
                fs::write(folder(target.name).join(format!("seed-{name}")), bytes).unwrap();
            }
        }
        let is_seed = |(name, _): &(String, Vec<u8>)| name.starts_with("seed-");
        let kept: BTreeSet<_> = files(target.name).into_iter().filter(is_seed).collect();
        let made: BTreeSet<_> = made
            .into_iter()
            .map(|(name, bytes)| (format!("seed-{name}"), bytes))
            .collect();
        assert!(
            kept == made,
            "the seeds of {} are not those that the encoders write; write them with MONITOR_WRITE_CORPUS=1",
            target.name
        );
    }
}

#[test]
fn noise_and_cut_seeds_are_read_without_harm() {
    for target in TARGETS {
        for (_, seed) in seeds::of(target.name) {
            let step = seed.len().div_ceil(64).max(1);
            for at in (0..seed.len()).step_by(step) {
                let cut = seed.get(..at).unwrap();
                let _ = target.is_accepted(cut);
                let mut changed = seed.clone();
                if let Some(byte) = changed.get_mut(at) {
                    *byte = !*byte;
                }
                let _ = target.is_accepted(&changed);
            }
        }
    }
}

#[test]
fn each_target_has_its_own_name_and_unknown_ones_are_refused() {
    let names: BTreeSet<&str> = TARGETS.into_iter().map(|target| target.name).collect();
    assert_eq!(names.len(), TARGETS.len());
    let text = named("recrod").unwrap_err();
    assert!(
        text.contains("`recrod`") && text.contains("record"),
        "{text}"
    );
}
