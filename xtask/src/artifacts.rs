//! What cargo says it built: outputs are located by its messages, never guessed.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::process;

/// A program or test that cargo built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Artifact {
    /// The name of the target: of a program, or of the test's file.
    pub(crate) name: String,
    /// `lib`, `bin`, `test`, `example`, ...
    pub(crate) kind: String,
    /// The folder of the package.
    pub(crate) package_dir: PathBuf,
    /// Whether it is a test binary.
    pub(crate) is_test: bool,
    /// The file to run.
    pub(crate) executable: PathBuf,
}

#[derive(Deserialize)]
struct Message {
    reason: String,
    manifest_path: Option<PathBuf>,
    target: Option<Target>,
    profile: Option<BuildProfile>,
    executable: Option<PathBuf>,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

#[derive(Deserialize)]
struct BuildProfile {
    test: bool,
}

/// Runs a cargo command that builds, and returns what can be run afterwards.
/// Its progress and diagnostics go to the terminal.
pub(crate) fn build(command: &mut Command) -> Result<Vec<Artifact>> {
    command.arg("--message-format=json-render-diagnostics");
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("`{}` could not be started", process::shown(command)))?;
    if !output.status.success() {
        bail!(
            "`{}` failed: its messages are above",
            process::shown(command)
        );
    }
    Ok(parse(&String::from_utf8_lossy(&output.stdout)))
}

fn parse(messages: &str) -> Vec<Artifact> {
    messages
        .lines()
        .filter_map(|line| artifact(serde_json::from_str(line).ok()?))
        .collect()
}

fn artifact(message: Message) -> Option<Artifact> {
    if message.reason != "compiler-artifact" {
        return None;
    }
    let target = message.target?;
    let kind = target.kind.into_iter().next()?;
    // For a target without an operating system cargo names the file only.
    let executable = message.executable.or_else(|| {
        if kind == "bin" {
            message.filenames.into_iter().next()
        } else {
            None
        }
    })?;
    Some(Artifact {
        name: target.name,
        kind,
        package_dir: message.manifest_path?.parent()?.to_path_buf(),
        is_test: message.profile.is_some_and(|profile| profile.test),
        executable,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_and_tests_are_found_among_other_messages() {
        let messages = r#"{"reason":"compiler-artifact","manifest_path":"/w/a/Cargo.toml","target":{"kind":["lib"],"name":"a"},"profile":{"test":false},"filenames":["/t/liba.rlib"],"executable":null}
{"reason":"build-script-executed","package_id":"x"}
not json
{"reason":"compiler-artifact","manifest_path":"/w/a/Cargo.toml","target":{"kind":["bin"],"name":"a"},"profile":{"test":false},"filenames":["/t/a"],"executable":"/t/a"}
{"reason":"compiler-artifact","manifest_path":"/w/b/Cargo.toml","target":{"kind":["test"],"name":"kernel"},"profile":{"test":true},"filenames":["/t/k"],"executable":"/t/k"}
{"reason":"build-finished","success":true}"#;
        let found = parse(messages);
        let short: Vec<_> = found
            .iter()
            .map(|a| (a.name.as_str(), a.kind.as_str(), a.is_test))
            .collect();
        assert_eq!(short, [("a", "bin", false), ("kernel", "test", true)]);
        assert_eq!(found[1].package_dir, PathBuf::from("/w/b"));
    }

    #[test]
    fn program_for_a_bare_target_is_found_by_its_file() {
        let message = r#"{"reason":"compiler-artifact","manifest_path":"/w/e/Cargo.toml","target":{"kind":["bin"],"name":"monitor-ebpf"},"profile":{"test":false},"filenames":["/t/bpfel-unknown-none/release/monitor-ebpf"],"executable":null}"#;
        let found = parse(message);
        assert_eq!(
            found[0].executable,
            PathBuf::from("/t/bpfel-unknown-none/release/monitor-ebpf")
        );
    }
}
