//! Wall clocks of programs that can be moved while they run, each for itself.
//!
//! `libfaketime` stands between a program and the C library: the program asks the
//! system for the time as ever, and gets it moved by what a file says at that
//! moment. Its monotonic clock, and the clock of everybody else, are the machine's.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use super::folder::write;
use super::program::Program;

/// The folder, at the root of a stage, with a file for each program whose clock can be moved.
const FOLDER: &str = "clocks";
/// The library, below the system's folders for libraries.
const LIBRARY: &str = "faketime/libfaketimeMT.so.1";

/// Gives each program a clock that can be moved, before it runs.
///
/// # Errors
/// The library is not there, or the disk refused.
pub fn lay(root: &Path) -> Result<()> {
    let clocks = root.join(FOLDER);
    fs::create_dir_all(&clocks).with_context(|| format!("making {}", clocks.display()))?;
    for program in Program::ALL {
        set(root, program, 0)?;
    }
    Ok(())
}

/// Refuses a process whose clock would stay as it is.
///
/// # Errors
/// The library is not in it.
pub fn is_movable(pid: u32) -> Result<()> {
    let file = format!("/proc/{pid}/maps");
    let maps = fs::read_to_string(&file).with_context(|| format!("reading {file}"))?;
    ensure!(
        maps.contains(LIBRARY),
        "process {pid} runs without {LIBRARY}: it is linked statically, or was started without it"
    );
    Ok(())
}

/// What a program is started with so that its clock is moved by a file; nothing
/// where there is no such file.
///
/// # Errors
/// The library is not there.
pub fn variables(root: &Path, name: &str) -> Result<Vec<(&'static str, PathBuf)>> {
    let file = root.join(FOLDER).join(name);
    if !file.exists() {
        return Ok(Vec::new());
    }
    Ok(vec![
        ("LD_PRELOAD", library()?),
        ("FAKETIME_TIMESTAMP_FILE", file),
        // The file is read each time that somebody asks.
        ("FAKETIME_NO_CACHE", "1".into()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
        ("NO_FAKE_STAT", "1".into()),
    ])
}

/// Where Debian puts it: by the machine's architecture.
fn library() -> Result<PathBuf> {
    let places = fs::read_dir("/usr/lib").context("reading /usr/lib")?;
    let places = places.filter_map(|place| Some(place.ok()?.path().join(LIBRARY)));
    let mut found = places.filter(|place| place.exists());
    found
        .next()
        .context("libfaketime is missing: apt-get install libfaketime")
}

/// Moves the clock of a program by so many seconds from what is right. In one
/// step: whoever reads the file gets the old or the new.
///
/// # Errors
/// The disk refused.
pub fn set(root: &Path, program: Program, seconds: i64) -> Result<()> {
    let file = root.join(FOLDER).join(program.name());
    let next = file.with_extension("next");
    write(&next, &format!("{seconds:+}s"), 0o644)?;
    fs::rename(&next, &file).with_context(|| format!("moving the clock in {}", file.display()))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_program_has_the_time_that_its_file_says_and_no_other_has() {
        let place = tempfile::tempdir().unwrap();
        lay(place.path()).unwrap();
        let now = |name: &str| {
            let mut date = Command::new("date");
            date.arg("+%s").envs(variables(place.path(), name).unwrap());
            let said = date.output().unwrap();
            let text = String::from_utf8(said.stdout).unwrap();
            text.trim().parse::<i64>().unwrap()
        };
        set(place.path(), Program::Agent, -3_600).unwrap();
        let (moved, right) = (now(Program::Agent.name()), now(Program::Broker.name()));
        assert!((3_590..3_610).contains(&(right - moved)), "{right} {moved}");
        assert!((now("somebody-else") - right).abs() < 10);
        assert!(is_movable(std::process::id()).is_err());
    }
}
