//! Two accounts that only the private sshd knows.
//!
//! Changed copies of the account and PAM files; sshd sees them in place of the
//! machine's own, in a mount namespace of its own. Nothing in /etc changes.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::folder::{SSHD, write};
use super::own_machine::{self, SECOND_ACCOUNT};
use super::{ACCOUNT, BREAK_GLASS_ACCOUNT, Folder, Shape};
use crate::command::{self, command};

/// The first user id that is tried for the accounts.
const UID_FIRST: u32 = 54_711;

/// Writes the copies.
///
/// # Errors
/// The machine's own cannot be read, or the disk refused.
pub fn write_all(folder: &Folder, shape: Shape) -> Result<()> {
    let place = folder.at("accounts");
    fs::create_dir_all(place.join("pam.d"))
        .with_context(|| format!("making {}", place.display()))?;
    let mut passwd = machine_file("passwd")?;
    let mut group = machine_file("group")?;
    let mut shadow = machine_file("shadow").unwrap_or_default();
    let mut free = FreeIds::of(&[&passwd, &group]);
    let mut names = vec![ACCOUNT, BREAK_GLASS_ACCOUNT];
    if shape == Shape::OwnMachine {
        names.push(SECOND_ACCOUNT);
    }
    for name in names {
        let id = free.take();
        let home = make_home(folder, name, id)?;
        for text in [&mut passwd, &mut group, &mut shadow] {
            drop_line_of(text, name);
        }
        writeln!(
            passwd,
            "{name}:x:{id}:{id}:shared account of the demo:{home}:/bin/sh"
        )?;
        writeln!(group, "{name}:x:{id}:")?;
        writeln!(shadow, "{name}:*:19000:0:99999:7:::")?;
    }
    if !passwd.lines().any(|line| line.starts_with("sshd:")) {
        let id = free.take();
        writeln!(passwd, "sshd:x:{id}:65534::/run/sshd:/usr/sbin/nologin")?;
    }
    write(&place.join("passwd"), &passwd, 0o644)?;
    write(&place.join("group"), &group, 0o644)?;
    write(&place.join("shadow"), &shadow, 0o600)?;
    if shape == Shape::OwnMachine {
        return own_machine::settle_in(folder);
    }
    write_pam(folder, &place.join("pam.d"))?;
    if shape == Shape::Cases {
        let sudoers =
            format!("root ALL=(ALL:ALL) NOPASSWD: ALL\n{ACCOUNT} ALL=(ALL:ALL) NOPASSWD: ALL\n");
        write(&place.join("sudoers"), &sudoers, 0o440)?;
        let all = "auth sufficient pam_permit.so\naccount sufficient pam_permit.so\nsession sufficient pam_permit.so\n";
        for service in ["su", "su-l", "sudo", "sudo-i", "runuser", "runuser-l"] {
            write(&place.join("pam.d").join(service), all, 0o644)?;
        }
    }
    Ok(())
}

/// The number of the shared account, of user and group.
///
/// # Errors
/// The accounts are not written yet.
pub fn id_of_account(folder: &Folder) -> Result<u32> {
    let text = fs::read_to_string(folder.at("accounts/passwd"))?;
    let start = format!("{ACCOUNT}:");
    let line = text.lines().find_map(|line| line.strip_prefix(&start));
    line.and_then(|line| line.split(':').nth(1)?.parse().ok())
        .with_context(|| format!("{ACCOUNT} has no number"))
}

/// PAM services of the private sshd only. Newer versions of sshd are always
/// `sshd`, older ones are called as their file.
fn write_pam(folder: &Folder, place: &Path) -> Result<()> {
    let service = format!(
        "# The private sshd of the demo.\n\
         auth     required  pam_deny.so\n\
         account  required  pam_permit.so\n\
         session  required  pam_loginuid.so\n\
         {hook}\
         session  required  pam_permit.so\n\
         password required  pam_deny.so\n",
        hook = hook(folder),
    );
    write(&place.join(SSHD), &service, 0o644)?;
    write(&place.join("sshd"), &service, 0o644)?;
    let deny = "auth required pam_deny.so\naccount required pam_deny.so\nsession required pam_deny.so\npassword required pam_deny.so\n";
    write(&place.join("other"), deny, 0o644)
}

/// The agent's line in the PAM service of an sshd.
pub(super) fn hook(folder: &Folder) -> String {
    format!(
        "session  required  pam_exec.so quiet {agent} pam-session --socket {socket} --break-glass {glass}\n",
        agent = folder.program("monitor-agent").display(),
        socket = folder.agent_socket().display(),
        glass = BREAK_GLASS_ACCOUNT,
    )
}

fn machine_file(name: &str) -> Result<String> {
    let file = Path::new("/etc").join(name);
    let mut text =
        fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

fn make_home(folder: &Folder, name: &str, id: u32) -> Result<String> {
    let home = folder.at("home").join(name);
    fs::create_dir_all(&home).with_context(|| format!("making {}", home.display()))?;
    let owner = format!("{id}:{id}");
    command::stdout(&mut command("chown", [owner.as_ref(), home.as_os_str()]))?;
    Ok(home.display().to_string())
}

fn drop_line_of(text: &mut String, name: &str) {
    let start = format!("{name}:");
    *text = text
        .split_inclusive('\n')
        .filter(|line| !line.starts_with(&start))
        .collect();
}

/// Numbers that no account and no group of this machine has.
struct FreeIds {
    used: HashSet<u32>,
    next: u32,
}

impl FreeIds {
    fn of(files: &[&str]) -> Self {
        let lines = files.iter().flat_map(|file| file.lines());
        let used = lines
            .filter_map(|line| line.split(':').nth(2)?.parse().ok())
            .collect();
        Self {
            used,
            next: UID_FIRST,
        }
    }

    fn take(&mut self) -> u32 {
        while self.used.contains(&self.next) {
            self.next = self.next.saturating_add(1);
        }
        self.used.insert(self.next);
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_of_an_account_or_group_is_not_taken_again() {
        let mut free = FreeIds::of(&["a:x:54711:1::/:/bin/sh\n", "g:x:54712:\n"]);
        assert_eq!((free.take(), free.take()), (54_713, 54_714));
    }

    #[test]
    fn account_of_the_same_name_is_replaced_in_the_copy() {
        let mut text = "ops:x:1:1::/:/bin/sh\nopsy:x:2:2::/:/bin/sh\n".to_owned();
        drop_line_of(&mut text, "ops");
        assert_eq!(text, "opsy:x:2:2::/:/bin/sh\n");
    }
}
