//! Tells the person at the terminal why. Best effort, and never waits.

use std::{collections::BTreeSet, io::Write as _, os::unix::fs::OpenOptionsExt as _};

use monitor_model::{bytes::ByteText, contain::ContainMode};

use crate::attribute::host::ProcessStat;

/// Most terminals that are told.
const TERMINALS_MAX: usize = 64;
/// First and last major number of pseudo terminals.
const PTS_MAJOR: std::ops::RangeInclusive<u32> = 136..=143;

/// What a person is told.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a> {
    /// What is done to the session.
    pub mode: ContainMode,
    /// Why.
    pub reason: &'a str,
    /// Whom to call; empty where nobody is configured.
    pub contact: &'a str,
}

impl Words<'_> {
    /// Reason and contact come from outside: nothing in them may drive a
    /// terminal.
    fn spell(&self) -> String {
        let reason = ByteText::from(self.reason);
        let what = match self.mode {
            ContainMode::Kill => format!("your session was ended: {reason}"),
            ContainMode::Freeze => format!("your session was frozen, nothing in it runs: {reason}"),
            ContainMode::Release => format!("your session goes on: {reason}"),
        };
        let mut text = format!("\r\n*** monitor: {what}\r\n");
        if !self.contact.is_empty() {
            let contact = ByteText::from(self.contact);
            text = format!("{text}*** Whom to call: {contact}\r\n");
        }
        text
    }
}

/// Writes to every terminal of some processes; how many took it.
#[must_use]
pub fn people(processes: &[u32], words: Words<'_>) -> usize {
    let terminals: BTreeSet<String> = processes
        .iter()
        .filter_map(|pid| terminal(ProcessStat::read(*pid).ok()?.tty))
        .collect();
    let text = words.spell();
    let mut told = 0;
    for path in terminals.into_iter().take(TERMINALS_MAX) {
        let flags = rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::NONBLOCK;
        let flags = flags.bits().cast_signed();
        let opened = std::fs::OpenOptions::new()
            .write(true)
            .custom_flags(flags)
            .open(path);
        if let Ok(mut terminal) = opened {
            // A terminal that takes nothing now is no reason to wait.
            told += usize::from(terminal.write_all(text.as_bytes()).is_ok());
        }
    }
    told
}

/// The device of a terminal number, as /proc/PID/stat gives it.
fn terminal(number: u32) -> Option<String> {
    let major = (number >> 8) & 0xfff;
    let minor = (number & 0xff) | ((number >> 12) & 0xf_ff00);
    PTS_MAJOR
        .contains(&major)
        .then(|| format!("/dev/pts/{}", (major - PTS_MAJOR.start()) * 256 + minor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_say_what_why_and_whom_to_call_and_drive_no_terminal() {
        let words = Words {
            mode: ContainMode::Freeze,
            reason: "globex's key\x1b[2J",
            contact: "the desk, 4711",
        };
        let text = words.spell();
        assert!(text.starts_with("\r\n*** monitor: your session was frozen"));
        assert!(text.ends_with("*** Whom to call: the desk, 4711\r\n"));
        assert!(!text.contains('\x1b'), "{text:?}");
        let words = Words {
            mode: ContainMode::Kill,
            contact: "",
            ..words
        };
        assert!(!words.spell().contains("call"));
    }

    #[test]
    fn terminal_numbers_are_devices() {
        assert_eq!(terminal(136 << 8 | 3).as_deref(), Some("/dev/pts/3"));
        assert_eq!(terminal(137 << 8).as_deref(), Some("/dev/pts/256"));
        assert_eq!(terminal(0), None);
        assert_eq!(terminal(4 << 8 | 1), None);
    }
}
