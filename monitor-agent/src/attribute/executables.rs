//! Which program a process runs, by (pid, start).
//!
//! Exec records fill it, forks copy, exits remove. Bound: [`EXECUTABLES_MAX`];
//! the oldest start is forgotten, and found again in /proc while it lives.

use std::collections::BTreeMap;

use monitor_model::bytes::PathLabel;

/// Most processes whose program is kept.
pub const EXECUTABLES_MAX: usize = 32_768;

/// Programs of processes.
#[derive(Debug, Default)]
pub struct Executables {
    /// By start first: the oldest stands first.
    paths: BTreeMap<(u64, u32), PathLabel>,
    evicted: u64,
}

impl Executables {
    /// The process runs this program now.
    pub fn set(&mut self, (pid, start_boot_ns): (u32, u64), path: PathLabel) {
        self.paths.insert((start_boot_ns, pid), path);
        if self.paths.len() > EXECUTABLES_MAX {
            self.paths.pop_first();
            self.evicted += 1;
        }
    }

    /// A child begins with its parent's program, unless it has run one since:
    /// forks arrive later than what the child did.
    pub fn copy(&mut self, parent: (u32, u64), child: (u32, u64)) {
        let Some(path) = self.get(parent).cloned() else {
            return;
        };
        if self.get(child).is_none() {
            self.set(child, path);
        }
    }

    /// The program of a process.
    #[must_use]
    pub fn get(&self, (pid, start_boot_ns): (u32, u64)) -> Option<&PathLabel> {
        self.paths.get(&(start_boot_ns, pid))
    }

    /// The process is gone.
    pub fn remove(&mut self, (pid, start_boot_ns): (u32, u64)) {
        self.paths.remove(&(start_boot_ns, pid));
    }

    /// How many were forgotten to make room, since this was last asked.
    pub fn take_evicted(&mut self) -> u64 {
        std::mem::take(&mut self.evicted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> PathLabel {
        PathLabel {
            text: text.into(),
            truncated: false,
        }
    }

    #[test]
    fn a_late_fork_does_not_undo_an_exec() {
        let mut table = Executables::default();
        table.set((1, 10), path("/bin/bash"));
        table.set((2, 20), path("/bin/cat"));
        table.copy((1, 10), (2, 20));
        table.copy((1, 10), (3, 30));
        assert_eq!(table.get((2, 20)), Some(&path("/bin/cat")));
        assert_eq!(table.get((3, 30)), Some(&path("/bin/bash")));
    }

    #[test]
    fn a_full_table_forgets_the_oldest_and_counts_it() {
        let mut table = Executables::default();
        for start in 0..=u64::try_from(EXECUTABLES_MAX).unwrap() {
            table.set((7, start), path("/bin/x"));
        }
        assert_eq!(table.get((7, 0)), None);
        assert!(table.get((7, 1)).is_some());
        assert_eq!((table.take_evicted(), table.take_evicted()), (1, 0));
    }
}
