//! Which table of cron a command stands in.
//!
//! cron starts every job with `sh -c COMMAND`, as the account of the table or of
//! the line. Tables are read when a job starts; what they say stays here.

use std::path::{Path, PathBuf};

use super::super::Host;
use super::written::FileKey;

/// Tables that name the account in each line.
const SYSTEM: &str = "/etc/crontab";
/// More of them.
const SYSTEM_FOLDER: &str = "/etc/cron.d";
/// Tables of accounts, by Debian, and by others.
const SPOOLS: [&str; 2] = ["/var/spool/cron/crontabs", "/var/spool/cron"];
/// Most tables of a folder that are read.
const TABLES_MAX: usize = 256;

/// The tables that hold a command, for an account: path, and file.
pub fn tables_with(command: &[u8], uid: u32, host: &mut dyn Host) -> Vec<(Vec<u8>, FileKey)> {
    let mut places: Vec<PathBuf> = vec![PathBuf::from(SYSTEM)];
    places.extend(host.files_in(Path::new(SYSTEM_FOLDER), TABLES_MAX));
    if let Some(account) = host.account(uid) {
        places.extend(SPOOLS.iter().map(|spool| Path::new(spool).join(&account)));
    }
    places
        .into_iter()
        .filter_map(|path| {
            let text = host.text(&path)?;
            if !holds(&text, command) {
                return None;
            }
            let file = host.file(&path)?;
            Some((path.into_os_string().into_encoded_bytes(), file))
        })
        .collect()
}

/// Whether a line ends with the command. A `%` ends the command and begins its
/// input, unless a backslash stands before it, which cron removes.
fn holds(text: &[u8], command: &[u8]) -> bool {
    if command.is_empty() {
        return false;
    }
    text.split(|byte| *byte == b'\n').any(|line| {
        let line = line.trim_ascii();
        if line.first().is_none_or(|first| *first == b'#') {
            return false;
        }
        let said = without_input(line);
        said.strip_suffix(command)
            .is_some_and(|before| before.last().is_some_and(u8::is_ascii_whitespace))
    })
}

fn without_input(line: &[u8]) -> Vec<u8> {
    let mut said = Vec::with_capacity(line.len());
    let mut bytes = line.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' if bytes.peek() == Some(&b'%') => {
                said.push(b'%');
                bytes.next();
            }
            b'%' => break,
            other => said.push(other),
        }
    }
    said.trim_ascii_end().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_found_as_cron_cuts_it() {
        let table = b"# backup.sh\nSHELL=/bin/sh\n*/5 * * * * root  /usr/bin/backup.sh --all\n\
            @reboot root date +\\%F > /tmp/x %input\n";
        assert!(holds(table, b"/usr/bin/backup.sh --all"));
        assert!(holds(table, b"date +%F > /tmp/x"));
        assert!(!holds(table, b"backup.sh --all"), "only a part");
        assert!(!holds(table, b"backup.sh"), "a remark");
        assert!(!holds(table, b""));
    }
}
