//! Running other programs: progress, logs, and errors that say which and why.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Lines of a failed command's output that its error repeats.
const ERROR_LINES_MAX: usize = 40;

/// Prints one line of result to standard output; progress goes to standard error.
#[expect(
    clippy::print_stdout,
    reason = "the results of this command are for standard output"
)]
pub(crate) fn say(line: &str) {
    println!("{line}");
}

/// The command as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        let argument = argument.to_string_lossy();
        if argument.is_empty() || argument.contains(char::is_whitespace) {
            let _ = write!(text, " '{argument}'");
        } else {
            let _ = write!(text, " {argument}");
        }
    }
    text
}

/// Runs with this terminal's output; an exit code other than 0 is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| not_started(command))?;
    if !status.success() {
        bail!("`{}` {}", shown(command), ended(status));
    }
    Ok(())
}

/// Runs and returns standard output; standard error goes to this terminal.
pub(crate) fn stdout_of(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| not_started(command))?;
    if !output.status.success() {
        bail!("`{}` {}", shown(command), ended(output.status));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs and returns standard output; standard error is repeated in the error only.
pub(crate) fn quiet_stdout_of(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| not_started(command))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        bail!(
            "`{}` {}:\n{}",
            shown(command),
            ended(output.status),
            last_lines(&text)
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs with all output in the file `log`; the error repeats the end of it.
pub(crate) fn run_logged(command: &mut Command, log: &Path) -> Result<()> {
    let (status, text) = logged_output(command, log)?;
    if !status.success() {
        bail!(
            "`{}` {}; all of its output is in {}, the end of it is:\n{}",
            shown(command),
            ended(status),
            log.display(),
            last_lines(&text)
        );
    }
    Ok(())
}

/// Runs with all output in the file `log`; returns how it ended and the text.
pub(crate) fn logged_output(command: &mut Command, log: &Path) -> Result<(ExitStatus, String)> {
    if let Some(folder) = log.parent() {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    let file = fs::File::create(log).with_context(|| format!("writing {}", log.display()))?;
    let status = command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .status()
        .with_context(|| not_started(command))?;
    let bytes = fs::read(log).with_context(|| format!("reading {}", log.display()))?;
    Ok((status, String::from_utf8_lossy(&bytes).into_owned()))
}

/// The last lines of a text, indented.
pub(crate) fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let skipped = lines.len().saturating_sub(ERROR_LINES_MAX);
    let mut text = String::new();
    for line in lines.iter().skip(skipped) {
        let _ = writeln!(text, "  {line}");
    }
    text
}

fn not_started(command: &Command) -> String {
    format!("`{}` could not be started", shown(command))
}

fn ended(status: ExitStatus) -> String {
    status.code().map_or_else(
        || format!("was ended: {status}"),
        |code| format!("failed with exit code {code}"),
    )
}

/// `12.3 s`, or `2 min 5 s`.
pub(crate) fn time_text(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 100 {
        format!("{:.1} s", time.as_secs_f64())
    } else {
        format!("{} min {} s", seconds / 60, seconds % 60)
    }
}

/// Numbered progress: `[2/5] building the BPF object ... 12.3 s`.
#[derive(Debug)]
pub(crate) struct Steps {
    total: usize,
    done: usize,
}

impl Steps {
    /// Progress over `total` steps.
    pub(crate) fn new(total: usize) -> Self {
        Self { total, done: 0 }
    }

    /// A step that prints nothing itself: name and time share a line.
    pub(crate) fn silent<T>(&mut self, name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.done = self.done.saturating_add(1);
        eprint!("[{}/{}] {name} ... ", self.done, self.total);
        let _ = std::io::stderr().flush();
        let start = Instant::now();
        let result = work();
        match &result {
            Ok(_) => eprintln!("{}", time_text(start.elapsed())),
            Err(_) => eprintln!("failed after {}", time_text(start.elapsed())),
        }
        result
    }

    /// A step that prints progress of its own between its name and its time.
    pub(crate) fn talking<T>(&mut self, name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.done = self.done.saturating_add(1);
        let label = format!("[{}/{}] {name}", self.done, self.total);
        eprintln!("{label} ...");
        let start = Instant::now();
        let result = work();
        let ending = if result.is_ok() { "" } else { "failed after " };
        eprintln!("{label} ... {ending}{}", time_text(start.elapsed()));
        result
    }
}

/// The cargo that started this command, without what it told us about ourselves.
pub(crate) fn cargo() -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    forget_own_package(&mut command);
    command
}

/// Removes the variables with which cargo described xtask to this process:
/// build scripts that read them would be rebuilt for nothing.
fn forget_own_package(command: &mut Command) {
    for (key, _) in std::env::vars_os() {
        if describes_a_package(&key) {
            command.env_remove(key);
        }
    }
}

fn describes_a_package(key: &OsStr) -> bool {
    key.to_str()
        .is_some_and(|key| key.starts_with("CARGO_PKG_") || key.starts_with("CARGO_MANIFEST_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_command_is_named_with_its_code_and_what_it_said() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo reason; exit 7"]);
        let text = run_logged(&mut command, &folder.path().join("x.log"))
            .unwrap_err()
            .to_string();
        assert!(text.contains("sh -c 'echo reason; exit 7'"), "{text}");
        assert!(
            text.contains("exit code 7") && text.contains("  reason"),
            "{text}"
        );
    }

    #[test]
    fn missing_program_is_named() {
        let text = format!(
            "{:#}",
            run(&mut Command::new("/no/such/program")).unwrap_err()
        );
        assert!(
            text.contains("/no/such/program") && text.contains("could not be started"),
            "{text}"
        );
    }

    #[test]
    fn error_repeats_only_the_end() {
        let long: Vec<String> = (0..100).map(|n| format!("line {n}")).collect();
        let text = last_lines(&long.join("\n"));
        assert!(text.contains("line 99") && text.contains("line 60") && !text.contains("line 59"));
    }

    #[test]
    fn long_times_are_in_minutes() {
        assert_eq!(time_text(Duration::from_millis(12_340)), "12.3 s");
        assert_eq!(time_text(Duration::from_secs(125)), "2 min 5 s");
    }
}
