//! Debian packages: installed with apt, or only unpacked into the cache.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::machine::Machine;
use crate::process;

/// Package lists older than this are fetched again before an installation.
const LISTS_AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Installs packages; fetches the package lists first if they are missing or old.
pub(crate) fn install(machine: &Machine, packages: &[&str]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    // Said before anything is tried: who cannot install learns what to ask for.
    let by_hand: Vec<&str> = ["install", "-y"].iter().chain(packages).copied().collect();
    machine.as_root("apt-get", &by_hand)?;
    let fresh = lists_are_fresh(machine);
    if !fresh {
        update(machine)?;
    }
    match try_install(machine, packages) {
        Err(_) if fresh => {
            eprintln!("  the installation failed; fetching the package lists and trying once more");
            update(machine)?;
            try_install(machine, packages)
        }
        result => result,
    }
}

/// Whether apt knows a version of the package that it could install.
pub(crate) fn is_available(package: &str) -> bool {
    let mut command = Command::new("apt-cache");
    command.args(["policy", package]).env("LC_ALL", "C");
    process::quiet_stdout_of(&mut command).is_ok_and(|text| has_candidate(&text))
}

/// Fetches the package lists if they are missing or old.
pub(crate) fn refresh_lists(machine: &Machine) -> Result<()> {
    if lists_are_fresh(machine) {
        Ok(())
    } else {
        update(machine)
    }
}

/// Downloads packages and unpacks them into `folder`, installing nothing: no
/// script of theirs runs and no service of theirs starts.
pub(crate) fn unpack(machine: &Machine, packages: &[&str], folder: &Path) -> Result<()> {
    refresh_lists(machine)?;
    let downloads = folder.join("downloads");
    fs::create_dir_all(&downloads).with_context(|| format!("making {}", downloads.display()))?;
    let mut download = Command::new("apt-get");
    download
        .args(["download", "-q"])
        .args(packages)
        .current_dir(&downloads);
    process::run_logged(&mut download, &machine.project().log("apt-download"))?;
    unpack_all(&downloads, folder)
}

/// Unpacks each package file of a folder into another one, and deletes it.
pub(crate) fn unpack_all(downloads: &Path, folder: &Path) -> Result<()> {
    let entries =
        fs::read_dir(downloads).with_context(|| format!("reading {}", downloads.display()))?;
    let mut unpacked = 0_usize;
    for entry in entries {
        let file = entry?.path();
        if file.extension().is_some_and(|extension| extension == "deb") {
            process::quiet_stdout_of(Command::new("dpkg").arg("-x").arg(&file).arg(folder))?;
            fs::remove_file(&file)?;
            unpacked = unpacked.saturating_add(1);
        }
    }
    if unpacked == 0 {
        bail!("apt-get left no package file in {}", downloads.display());
    }
    Ok(())
}

fn update(machine: &Machine) -> Result<()> {
    let mut command = machine.as_root(
        "apt-get",
        &["-q", "-o", "DPkg::Lock::Timeout=300", "update"],
    )?;
    // One unreachable source of a third party must not stop us: what is really
    // missing shows in the installation.
    if let Err(error) = process::run_logged(&mut command, &machine.project().log("apt-update")) {
        eprintln!("  warning: {error:#}");
    }
    Ok(())
}

fn try_install(machine: &Machine, packages: &[&str]) -> Result<()> {
    let mut arguments = vec![
        "DEBIAN_FRONTEND=noninteractive",
        "apt-get",
        "-q",
        "-y",
        "-o",
        "DPkg::Lock::Timeout=300",
        "--no-install-recommends",
        "install",
    ];
    arguments.extend_from_slice(packages);
    let mut command = machine.as_root("env", &arguments)?;
    process::run_logged(&mut command, &machine.project().log("apt-install"))
}

fn lists_are_fresh(machine: &Machine) -> bool {
    let Ok(entries) = fs::read_dir(machine.file("/var/lib/apt/lists")) else {
        return false;
    };
    entries.flatten().any(|entry| {
        let name = entry.file_name();
        let is_list = name.to_str().is_some_and(|name| name.contains("_Packages"));
        is_list && lists_folder_age(machine).is_some_and(|age| age < LISTS_AGE_MAX)
    })
}

/// Time since apt last wrote its lists (it keeps the server's dates on the files).
fn lists_folder_age(machine: &Machine) -> Option<Duration> {
    let changed = |path: &str| fs::metadata(machine.file(path)).ok()?.modified().ok();
    let newest = changed("/var/lib/apt/lists").max(changed("/var/lib/apt/lists/partial"))?;
    Some(newest.elapsed().unwrap_or_default())
}

fn has_candidate(policy: &str) -> bool {
    policy
        .lines()
        .find_map(|line| line.trim().strip_prefix("Candidate:"))
        .is_some_and(|version| version.trim() != "(none)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidate_is_read_from_the_policy() {
        assert!(has_candidate(
            "rustc-web:\n  Installed: (none)\n  Candidate: 1.96.0+dfsg1-1\n"
        ));
        assert!(!has_candidate(
            "rustc-web:\n  Installed: (none)\n  Candidate: (none)\n"
        ));
        assert!(!has_candidate(""), "an unknown package prints nothing");
    }

    #[test]
    fn who_cannot_install_is_told_what_to_ask_root_for() {
        let root = tempfile::tempdir().unwrap();
        let machine = Machine::made_up(root.path(), false);
        let text = install(&machine, &["curl", "iproute2"])
            .unwrap_err()
            .to_string();
        assert!(text.contains("apt-get install -y curl iproute2"), "{text}");
    }

    #[test]
    fn lists_are_fresh_only_if_there_are_any() {
        let root = tempfile::tempdir().unwrap();
        let machine = Machine::made_up(root.path(), true);
        assert!(!lists_are_fresh(&machine), "no folder");
        let lists = root.path().join("var/lib/apt/lists");
        fs::create_dir_all(lists.join("partial")).unwrap();
        assert!(
            !lists_are_fresh(&machine),
            "an empty folder, as in a container image"
        );
        fs::write(
            lists.join("mirror_dists_bookworm_main_binary-amd64_Packages"),
            "",
        )
        .unwrap();
        assert!(lists_are_fresh(&machine));
    }

    #[test]
    fn nothing_to_unpack_is_an_error_that_names_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let text = unpack_all(folder.path(), folder.path())
            .unwrap_err()
            .to_string();
        assert!(
            text.contains(&folder.path().display().to_string()),
            "{text}"
        );
    }
}
