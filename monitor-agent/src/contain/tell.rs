//! Tells the person at the terminal why. Best effort, and never waits.

use std::{collections::BTreeSet, io::Write as _, os::unix::fs::OpenOptionsExt as _};

use monitor_model::bytes::ByteText;

use crate::attribute::host::ProcessStat;

/// Most terminals that are told.
const TERMINALS_MAX: usize = 64;
/// First and last major number of pseudo terminals.
const PTS_MAJOR: std::ops::RangeInclusive<u32> = 136..=143;

/// Writes to every terminal of some processes.
pub fn people(processes: &[u32], reason: &str) {
    let terminals: BTreeSet<String> = processes
        .iter()
        .filter_map(|pid| terminal(ProcessStat::read(*pid).ok()?.tty))
        .collect();
    // The reason comes from outside: nothing in it may drive a terminal.
    let reason = ByteText::from(reason);
    for path in terminals.into_iter().take(TERMINALS_MAX) {
        let flags = rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::NONBLOCK;
        let flags = flags.bits().cast_signed();
        let opened = std::fs::OpenOptions::new()
            .write(true)
            .custom_flags(flags)
            .open(path);
        if let Ok(mut terminal) = opened {
            // A terminal that takes nothing now is no reason to wait.
            let _ = write!(
                terminal,
                "\r\n*** monitor: your session was ended: {reason}\r\n"
            );
        }
    }
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
    fn terminal_numbers_are_devices() {
        assert_eq!(terminal(136 << 8 | 3).as_deref(), Some("/dev/pts/3"));
        assert_eq!(terminal(137 << 8).as_deref(), Some("/dev/pts/256"));
        assert_eq!(terminal(0), None);
        assert_eq!(terminal(4 << 8 | 1), None);
    }
}
