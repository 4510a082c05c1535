//! Agent, collector and broker are killed while they write: the last write of each
//! of their databases is there in part, or is what the disk had there before.
//!
//! A kill alone leaves what the program has written, whole. So half a frame is put
//! behind the log of each database before the program comes back.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::chance::Chance;
use super::ground::Ground;
use crate::stage::program::Program;

/// Most time between two kills.
const APART: Duration = Duration::from_millis(250);
/// What a log begins with, and each frame of it, before the page.
const LOG_HEAD: u64 = 32;
const FRAME_HEAD: u64 = 24;
/// Where the head of a log says how large a page is.
const PAGE_AT: u64 = 8;
/// The pages that a frame may have.
const PAGES: std::ops::RangeInclusive<u64> = 512..=65_536;
/// A log's name ends so.
const LOG: &str = "-wal";

/// Each is killed once, finds its logs torn, and comes back.
///
/// # Errors
/// A program could not be killed or started, or has no log.
pub(super) fn strike(ground: &mut Ground) -> Result<()> {
    for program in ground.chance.shuffled(Program::ALL) {
        ground.waits(APART)?;
        ground.stage.services.kill(program.name())?;
        let logs = logs(&ground.stage.folder.at(program.word()))?;
        ensure!(!logs.is_empty(), "{} has no log", program.word());
        for log in &logs {
            tear(log, &mut ground.chance).with_context(|| format!("tearing {}", log.display()))?;
            ground.counts(&format!("log of the {} torn", program.word()));
        }
        ground.stage.services.start_program(program)?;
    }
    Ok(())
}

/// The logs below a folder, in order.
fn logs(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.extend(logs(&entry.path())?);
        } else if entry.file_name().to_string_lossy().ends_with(LOG) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// Puts a part of a frame behind a log: of its last one, or of anything.
fn tear(log: &Path, chance: &mut Chance) -> Result<()> {
    let mut file = File::options().read(true).append(true).open(log)?;
    let length = file.metadata()?.len();
    let frame = frame(&file, length)?;
    let part = 1 + chance.below(frame - 1);
    let mut bytes = vec![0; usize::try_from(part)?];
    let is_like_the_last = length >= LOG_HEAD + frame && chance.tosses();
    if is_like_the_last {
        let last = (length - LOG_HEAD) / frame;
        file.read_exact_at(&mut bytes, LOG_HEAD + (last - 1) * frame)?;
    } else {
        for byte in &mut bytes {
            *byte = u8::try_from(chance.below(256))?;
        }
    }
    file.write_all(&bytes)?;
    Ok(())
}

/// How long a frame of a log is; as of the usual page where the log is empty.
fn frame(file: &File, length: u64) -> Result<u64> {
    let mut page = [0; 4];
    if length >= LOG_HEAD {
        file.read_exact_at(&mut page, PAGE_AT)?;
    }
    let page = u64::from(u32::from_be_bytes(page));
    Ok(FRAME_HEAD + if PAGES.contains(&page) { page } else { 4_096 })
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    #[test]
    fn torn_log_has_half_a_frame_more_and_all_that_was_committed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a").join("x.db");
        fs::create_dir(path.parent().unwrap()).unwrap();
        let copy = folder.path().join("b.db");
        let database = Connection::open(&path).unwrap();
        database
            .execute_batch("PRAGMA journal_mode=WAL; CREATE TABLE t (n); INSERT INTO t VALUES (7);")
            .unwrap();
        let [log] = &logs(folder.path()).unwrap()[..] else {
            panic!("one log")
        };
        // As a kill leaves it: nobody has closed it.
        let left = folder.path().join("b.db-wal");
        for seed in 0..20 {
            fs::copy(&path, &copy).unwrap();
            fs::copy(log, &left).unwrap();
            let before = fs::metadata(&left).unwrap().len();
            tear(&left, &mut Chance::new(seed)).unwrap();
            let more = fs::metadata(&left).unwrap().len() - before;
            assert!(0 < more && more < 4_096 + FRAME_HEAD, "{more}");
            let found: i64 = Connection::open(&copy)
                .unwrap()
                .query_row("SELECT n FROM t", [], |row| row.get(0))
                .unwrap();
            assert_eq!(found, 7);
        }
    }
}
