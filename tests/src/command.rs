//! Runs other programs; errors say which, how it ended, and what it said.

use std::ffi::OsStr;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, bail};

/// A command from a program and its arguments.
pub fn command<I, A>(program: impl AsRef<OsStr>, arguments: I) -> Command
where
    I: IntoIterator<Item = A>,
    A: AsRef<OsStr>,
{
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

/// The command as a person would type it.
#[must_use]
pub fn shown(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        let argument = argument.to_string_lossy();
        let quote = argument.is_empty() || argument.contains(char::is_whitespace);
        text.push_str(if quote { " '" } else { " " });
        text.push_str(&argument);
        text.push_str(if quote { "'" } else { "" });
    }
    text
}

/// Runs to the end, whatever its exit code.
///
/// # Errors
/// It could not be started.
pub fn output(command: &mut Command) -> Result<Output> {
    command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("`{}` could not be started", shown(command)))
}

/// Runs to a good end; gives back standard output.
///
/// # Errors
/// It could not be started or failed: with what it said on standard error.
pub fn stdout(command: &mut Command) -> Result<String> {
    let output = output(command)?;
    if !output.status.success() {
        bail!(
            "`{}` failed ({}): {}",
            shown(command),
            output.status,
            said(&output)
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs to a good end with a text as standard input.
///
/// # Errors
/// As [`stdout`].
pub fn feed(command: &mut Command, input: &str) -> Result<()> {
    let name = shown(command);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("`{name}` could not be started"))?;
    // A program that ends early closes the pipe; its exit code says why.
    let fed = child
        .stdin
        .take()
        .map(|mut pipe| pipe.write_all(input.as_bytes()));
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("`{name}` failed ({}): {}", output.status, said(&output));
    }
    fed.transpose()
        .with_context(|| format!("writing to `{name}`"))?;
    Ok(())
}

/// What a program said: standard error, or else standard output.
#[must_use]
pub fn said(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    if error.trim().is_empty() {
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    } else {
        error.trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_program_is_named_with_what_it_said() {
        let mut failing = command("sh", ["-c", "echo reason >&2; exit 3"]);
        let text = stdout(&mut failing).unwrap_err().to_string();
        assert!(text.contains("sh -c") && text.contains("reason"), "{text}");
    }

    #[test]
    fn input_reaches_the_program() {
        feed(&mut command("grep", ["-q", "word"]), "a word\n").unwrap();
        assert!(feed(&mut command("grep", ["-q", "other"]), "a word\n").is_err());
    }
}
