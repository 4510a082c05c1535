//! Goes on as root: the build belongs to the user, the stage to root.

use std::env;
use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Context, Result};

use super::DemoArgs;
use crate::cache::Project;
use crate::machine::Machine;
use crate::process;

/// The flags that a demo was started with, again.
pub(super) fn arguments_of(args: &DemoArgs) -> Vec<OsString> {
    let mut again: Vec<OsString> = Vec::new();
    if args.once {
        again.push("--once".into());
    }
    if args.host {
        again.push("--host".into());
    }
    if let Some(file) = &args.json {
        again.extend(["--json".into(), file.clone().into_os_string()]);
    }
    if let Some(runs) = args.runs {
        again.extend(["--runs".into(), runs.to_string().into()]);
    }
    again
}

/// Runs this program again through sudo, with other arguments.
pub(super) fn run_again(project: &Project, arguments: &[OsString]) -> Result<ExitCode> {
    let own = env::current_exe().context("finding this program's own file")?;
    let cache = format!("MONITOR_CACHE={}", project.cache().display());
    let mut line = vec![cache, own.to_string_lossy().into_owned()];
    line.extend(
        arguments
            .iter()
            .map(|part| part.to_string_lossy().into_owned()),
    );
    let line: Vec<&str> = line.iter().map(String::as_str).collect();
    // `env` sets what sudo would drop: root has another home and another cache.
    let mut command = Machine::here(project).as_root("env", &line)?;
    eprintln!(
        "Root is needed: probes are loaded into the kernel, and network namespaces and a private sshd are made. Going on with sudo:"
    );
    eprintln!("  {}", process::shown(&command));
    let status = command
        .status()
        .with_context(|| format!("`{}` could not be started", process::shown(&command)))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(code.unwrap_or(1)))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: DemoArgs,
    }

    #[test]
    fn flags_survive_the_way_through_sudo() {
        for line in [
            vec!["x", "--once", "--json", "a b.json"],
            vec!["x", "--host"],
            vec!["x", "--json", "f", "--runs", "50"],
        ] {
            let args = Line::try_parse_from(&line).unwrap().args;
            let again = arguments_of(&args);
            let expected: Vec<OsString> = line[1..].iter().map(OsString::from).collect();
            assert_eq!(again, expected);
        }
    }

    #[test]
    fn watching_the_host_plays_no_scene() {
        assert!(Line::try_parse_from(["x", "--host", "--once"]).is_err());
        assert!(Line::try_parse_from(["x", "--runs", "0"]).is_err());
    }
}
