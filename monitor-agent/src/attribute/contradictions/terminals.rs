//! Who works at which terminal, by the processes that it controls.
//!
//! Bound: [`TERMINALS_MAX`], all forgotten when there are more; [`PROCESSES_MAX`]
//! of each.

use std::collections::HashMap;

use monitor_model::id::SessionId;

use crate::attribute::{Host, device_as_stat};

/// Most terminals that are remembered.
pub(super) const TERMINALS_MAX: usize = 4_096;
/// Most processes of one terminal that are remembered: the first, as a rule a
/// shell, and the latest.
const PROCESSES_MAX: usize = 32;
/// Major number of pseudo terminals.
const PTS_MAJOR: u64 = 136;
/// Major number of the console's terminals, and the first minor of others.
const TTY_MAJOR: u64 = 4;
const SERIAL_MINOR: u64 = 64;

/// The name of a terminal by its number, as the kernel counts devices.
pub(crate) fn name(terminal: u64) -> String {
    let (major, minor) = (terminal >> 20, terminal & 0xf_ffff);
    match major {
        PTS_MAJOR => format!("/dev/pts/{minor}"),
        TTY_MAJOR if minor < SERIAL_MINOR => format!("/dev/tty{minor}"),
        _ => format!("{major}:{minor}"),
    }
}

/// Whose a terminal is.
#[derive(Debug)]
struct Used {
    by: Option<SessionId>,
    processes: Vec<(u32, u64)>,
}

/// The table.
#[derive(Debug, Default)]
pub(super) struct Terminals(HashMap<u64, Used>);

impl Terminals {
    /// A process of `by` is controlled by a terminal. Comes back with whose it
    /// is otherwise: a session that still has it open. Numbers are given again
    /// when nobody has a terminal open any more.
    pub(super) fn used(
        &mut self,
        terminal: u64,
        process: (u32, u64),
        by: Option<SessionId>,
        host: &mut dyn Host,
    ) -> Option<SessionId> {
        if self.0.len() >= TERMINALS_MAX && !self.0.contains_key(&terminal) {
            self.0.clear();
        }
        let used = self.0.entry(terminal).or_insert_with(|| Used {
            by,
            processes: Vec::new(),
        });
        if used.by != by {
            let device = device_as_stat(terminal);
            let is_open = |other: &(u32, u64)| host.has_open(*other, device);
            let other = used.by.filter(|_| used.processes.iter().any(is_open));
            if other.is_some() {
                return other;
            }
            used.by = by;
            used.processes.clear();
        }
        if !used.processes.contains(&process) {
            if used.processes.len() >= PROCESSES_MAX {
                used.processes.remove(1);
            }
            used.processes.push(process);
        }
        None
    }
}
