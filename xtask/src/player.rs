//! Has a player work in the running kernel, as root: what `errand` is to a
//! machine in QEMU.
//!
//! In: a program of `monitor-tests`, and the rest of its command line. Out: its
//! exit code, and the bytes that it left as its result.

use std::fs;
use std::path::Path;
use std::process::ExitStatus;

use anyhow::{Context as _, Result};

use crate::cache::Project;
use crate::machine::Machine;
use crate::process;

/// What is played.
pub(crate) struct Player<'a> {
    /// Its short name, for the file of its results.
    pub(crate) name: &'a str,
    /// The program; it takes `--programs`, `--sshd` and `--json`.
    pub(crate) program: &'a str,
    /// Where it and the programs of the stage are.
    pub(crate) programs: &'a Path,
    /// The rest of its command line.
    pub(crate) words: Vec<String>,
}

/// Plays it.
///
/// # Errors
/// It could not be started, or left no results.
pub(crate) fn run(project: &Project, player: Player<'_>) -> Result<(ExitStatus, Vec<u8>)> {
    let machine = Machine::here(project);
    let json = project.log(player.name).with_extension("json");
    if let Some(folder) = json.parent() {
        fs::create_dir_all(folder)?;
    }
    // What an earlier run left is not this one's.
    if json.exists() {
        fs::remove_file(&json).with_context(|| format!("removing {}", json.display()))?;
    }
    let mut words = vec![player.programs.join(player.program).display().to_string()];
    for (flag, value) in [
        ("--programs", player.programs),
        ("--sshd", machine.sshd().as_path()),
        ("--json", json.as_path()),
    ] {
        words.extend([flag.to_owned(), value.display().to_string()]);
    }
    words.extend(player.words);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut command = machine.as_root("env", &words)?;
    let status = command
        .status()
        .with_context(|| format!("`{}` could not be started", process::shown(&command)))?;
    let results = fs::read(&json).context("it left no results: its last words are above")?;
    Ok((status, results))
}
