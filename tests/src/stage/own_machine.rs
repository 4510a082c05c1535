//! A machine that is the stage's own: a jump host that is thrown away.
//!
//! A private stage lays changed copies over the machine's files where sshd
//! alone sees them. Here they are written into /etc, so that cron, at, su,
//! systemd and its user managers know the accounts too; PAM stays the machine's
//! own, with the agent's hook in the place that the README names.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use super::accounts::hook;
use super::folder::{SSHD, write};
use super::{ACCOUNT, Folder};
use crate::command::{self, command};

/// One more account: keys in its `authorized_keys` let in.
pub const SECOND_ACCOUNT: &str = "dev";
/// What a machine has that is thrown away.
pub const MARK: &str = "/monitor/is-a-test-machine";
/// The module after which the hook stands.
const AFTER: &str = "pam_loginuid.so";
/// Whose user managers run from the start.
const LINGERING: [&str; 2] = ["root", ACCOUNT];

/// Makes the machine's files those of the stage; the copies are written.
///
/// # Errors
/// A file is not as expected, or the disk refused.
pub fn settle_in(folder: &Folder) -> Result<()> {
    if !Path::new(MARK).exists() {
        bail!("{MARK} is not there: this machine may be somebody's, and its /etc stays as it is");
    }
    for (name, mode) in [("passwd", 0o644), ("group", 0o644), ("shadow", 0o640)] {
        let text = fs::read_to_string(folder.at("accounts").join(name))?;
        write(&Path::new("/etc").join(name), &text, mode)?;
    }
    let sshd = with_hook(folder, &read("/etc/pam.d/sshd")?)?;
    for name in ["sshd", SSHD] {
        write(&Path::new("/etc/pam.d").join(name), &sshd, 0o644)?;
    }
    let su = read("/etc/pam.d/su")?;
    let trusted = format!("auth sufficient pam_wheel.so trust use_uid group={ACCOUNT}\n{su}");
    write(Path::new("/etc/pam.d/su"), &trusted, 0o644)?;
    let may_all = format!("{ACCOUNT} ALL=(ALL:ALL) NOPASSWD: ALL\n");
    write(Path::new("/etc/sudoers.d/monitor-cases"), &may_all, 0o440)?;
    fs::create_dir_all("/run/sshd").context("making /run/sshd")?;
    command::stdout(&mut command(
        "loginctl",
        ["enable-linger"].into_iter().chain(LINGERING),
    ))?;
    Ok(())
}

fn read(file: &str) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("reading {file}"))
}

/// The service with the hook straight after the login's audit id is set.
fn with_hook(folder: &Folder, service: &str) -> Result<String> {
    let mut text = String::new();
    let mut is_in = false;
    for line in service.lines() {
        text.push_str(line);
        text.push('\n');
        if !is_in && !line.starts_with('#') && line.contains(AFTER) {
            text.push_str(&hook(folder));
            is_in = true;
        }
    }
    if !is_in {
        bail!("the machine's PAM service of sshd has no {AFTER}");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::Settings;
    use crate::stage::lock::Patience;

    fn folder() -> Folder {
        let settings = Settings {
            programs: "/".into(),
            sshd: "/".into(),
            name: "monitor-demo-x".to_owned(),
            patience: Patience::Refuse,
            best_tier: None,
        };
        Folder::new(&settings).unwrap()
    }

    #[test]
    fn hook_stands_between_audit_id_and_the_session_of_systemd() {
        let service =
            "# pam_loginuid.so\nsession required pam_loginuid.so\n@include common-session\n";
        let text = with_hook(&folder(), service).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(lines[2].contains("pam-session"), "{text}");
        assert!(with_hook(&folder(), "session required pam_unix.so\n").is_err());
    }
}
