//! What of a grown corpus goes into the repository: little, since it is read often.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::{CORPUS, command, own, run_logged};
use crate::cache::Project;
use crate::process;

/// Most bytes that are kept for one target, besides its seeds and what was found.
const BYTES_MAX: u64 = 4 << 10;
/// Most files of them.
const FILES_MAX: usize = 24;
/// As few as reach the same branches, however often they go through each.
const CHOOSING: [&str; 2] = ["-set_cover_merge=1", "-use_counters=0"];
/// What their names begin with.
const PREFIX: &str = "reach-";
/// Longest time for choosing.
const LIMIT: Duration = Duration::from_secs(600);

/// The files of a folder: name and path, in order.
pub(super) fn files(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry?;
        if let Ok(name) = entry.file_name().into_string() {
            files.push((name, entry.path()));
        }
    }
    files.sort();
    Ok(files)
}

/// Replaces what was kept for a target: the smallest inputs that reach what its
/// seeds, and what was found, do not.
pub(super) fn keep(project: &Project, program: &Path, target: &str) -> Result<()> {
    let corpus = project.root().join(CORPUS).join(target);
    let (own, grown) = own(project, target)?;
    let chosen = own.join("chosen");
    if chosen.exists() {
        fs::remove_dir_all(&chosen)?;
    }
    fs::create_dir_all(&chosen)?;
    for (name, path) in files(&corpus)? {
        let to = if name.starts_with(PREFIX) {
            &grown
        } else {
            &chosen
        };
        fs::copy(&path, to.join(&name))?;
    }
    let before: Vec<String> = names(&chosen)?;
    let mut merge = command(program, target);
    merge.args(CHOOSING).arg(&chosen).arg(&grown);
    let (is_success, text) = run_logged(project, target, &mut merge, LIMIT)?;
    if !is_success {
        bail!(
            "choosing inputs of {target} failed:\n{}",
            process::last_lines(&text)
        );
    }
    let mut added = Vec::new();
    for (name, path) in files(&chosen)? {
        if !before.contains(&name) {
            added.push((fs::metadata(&path)?.len(), name, path));
        }
    }
    for (name, path) in files(&corpus)? {
        if name.starts_with(PREFIX) {
            fs::remove_file(path)?;
        }
    }
    for (name, path) in smallest(added) {
        let name = name.strip_prefix(PREFIX).unwrap_or(&name);
        let short: String = name.chars().take(12).collect();
        fs::copy(path, corpus.join(format!("{PREFIX}{short}")))?;
    }
    Ok(())
}

fn names(folder: &Path) -> Result<Vec<String>> {
    Ok(files(folder)?.into_iter().map(|(name, _)| name).collect())
}

/// The smallest of them, as many as there is room for.
fn smallest(mut files: Vec<(u64, String, PathBuf)>) -> Vec<(String, PathBuf)> {
    files.sort();
    let mut bytes = 0_u64;
    let fits = |(length, name, path): (u64, String, PathBuf)| {
        bytes = bytes.saturating_add(length);
        (bytes <= BYTES_MAX).then_some((name, path))
    };
    files.into_iter().map_while(fits).take(FILES_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_are_kept_as_long_as_there_is_room() {
        let file = |length, name: &str| (length, name.to_owned(), PathBuf::from(name));
        let kept = smallest(vec![
            file(3_000, "c"),
            file(10, "b"),
            file(2_000, "a"),
            file(2_500, "d"),
        ]);
        let kept: Vec<String> = kept.into_iter().map(|(name, _)| name).collect();
        assert_eq!(kept, ["b", "a"]);
        let many = (0..100).map(|number| file(1, &format!("{number:02}")));
        assert_eq!(smallest(many.collect()).len(), FILES_MAX);
    }
}
