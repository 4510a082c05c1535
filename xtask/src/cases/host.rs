//! In the running kernel, as root.

use std::fs;

use anyhow::{Context as _, Result};
use monitor_tests::cases::report::Report;

use super::{PLAYER, Play, arguments, read_report};
use crate::cache::Project;
use crate::machine::Machine;
use crate::process;

pub(super) fn play(project: &Project, play: &Play) -> Result<Report> {
    let machine = Machine::here(project);
    let json = project.log("cases-host").with_extension("json");
    if let Some(folder) = json.parent() {
        fs::create_dir_all(folder)?;
    }
    let _ = fs::remove_file(&json);
    let installed = machine.file("/usr/sbin/sshd");
    let sshd = if installed.is_file() {
        installed
    } else {
        project.unpacked_sshd()
    };
    let mut words: Vec<String> = vec![play.programs.join(PLAYER).display().to_string()];
    for (flag, value) in [
        ("--cases", &play.folder),
        ("--programs", &play.programs),
        ("--sshd", &sshd),
        ("--built", &play.built),
        ("--json", &json),
    ] {
        words.extend([flag.to_owned(), value.display().to_string()]);
    }
    words.extend(arguments(play));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut command = machine.as_root("env", &words)?;
    // Its exit code says that a case failed, which the results say too.
    command
        .status()
        .with_context(|| format!("`{}` could not be started", process::shown(&command)))?;
    read_report(&json)
}
