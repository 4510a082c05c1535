//! What sshd's own reader of lists says of one: ssh-keygen, of this host's version.

use std::{
    io::Read as _,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// Longest wait for ssh-keygen.
const CHECK_MAX: Duration = Duration::from_secs(10);
/// Pause between two looks whether it has ended.
const LOOK: Duration = Duration::from_millis(2);
/// Most that is repeated of what it said, in bytes.
const SAID_BYTES_MAX: u64 = 200;

/// Has ssh-keygen read a list, as sshd will; what it said, where it could not.
pub(super) fn check(list: &Path) -> Result<(), String> {
    let started = Command::new("ssh-keygen")
        .args(["-Q", "-f"])
        .arg(list)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = started.map_err(|error| format!("it cannot be started: {error}"))?;
    let began = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(_)) => break,
            Ok(None) if began.elapsed() < CHECK_MAX => std::thread::sleep(LOOK),
            Ok(None) => {
                // It is waited for either way.
                _ = child.kill();
                _ = child.wait();
                return Err(format!("no answer within {} s", CHECK_MAX.as_secs()));
            }
            Err(error) => return Err(error.to_string()),
        }
    }
    let mut said = Vec::new();
    if let Some(stderr) = child.stderr {
        let read = stderr.take(SAID_BYTES_MAX).read_to_end(&mut said);
        read.map_err(|error| error.to_string())?;
    }
    Err(String::from_utf8_lossy(&said).trim().to_owned())
}
