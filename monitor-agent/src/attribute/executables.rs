//! Which program a process runs, by (pid, start): its path for people, its file
//! for decisions.
//!
//! Exec records fill it, forks copy, exits remove. Bound: [`EXECUTABLES_MAX`];
//! the oldest start is forgotten, and found again in /proc while it lives.

use std::collections::{BTreeMap, HashMap};

use monitor_model::bytes::PathLabel;

use crate::kernel::FileIdentity;

/// Most processes whose program is kept.
pub const EXECUTABLES_MAX: usize = 32_768;

/// What a process runs.
#[derive(Clone, Debug)]
struct Program {
    path: PathLabel,
    /// As the kernel saw it at exec; none where it was not seen.
    file: Option<FileIdentity>,
}

/// Programs of processes.
#[derive(Debug, Default)]
pub struct Executables {
    /// By start first: the oldest stands first.
    programs: BTreeMap<(u64, u32), Program>,
    /// The latest start of a process id.
    latest: HashMap<u32, u64>,
    evicted: u64,
}

impl Executables {
    /// The process runs this program now.
    pub fn set(&mut self, process: (u32, u64), path: PathLabel) {
        self.insert(process, Program { path, file: None });
    }

    /// The file of the program that a process runs, where its path is known.
    pub fn set_file(&mut self, (pid, start_boot_ns): (u32, u64), file: FileIdentity) {
        if let Some(program) = self.programs.get_mut(&(start_boot_ns, pid)) {
            program.file = Some(file);
        }
    }

    fn insert(&mut self, (pid, start_boot_ns): (u32, u64), program: Program) {
        self.programs.insert((start_boot_ns, pid), program);
        let latest = self.latest.entry(pid).or_default();
        *latest = (*latest).max(start_boot_ns);
        if self.programs.len() > EXECUTABLES_MAX
            && let Some(((start, pid), _)) = self.programs.pop_first()
        {
            self.forget_latest((pid, start));
            self.evicted += 1;
        }
    }

    fn forget_latest(&mut self, (pid, start_boot_ns): (u32, u64)) {
        if self.latest.get(&pid) == Some(&start_boot_ns) {
            self.latest.remove(&pid);
        }
    }

    /// A child that was born while starts of programs are told, and of which
    /// none was, runs its parent's: its birth may be told later than what it
    /// does. Whether that is known.
    pub fn inherit(&mut self, parent_pid: u32, child: (u32, u64)) -> bool {
        let Some(start) = self.latest.get(&parent_pid).copied() else {
            return false;
        };
        if start <= child.1 {
            self.copy((parent_pid, start), child);
        }
        self.get(child).is_some()
    }

    /// A child begins with its parent's program, unless it has run one since:
    /// forks arrive later than what the child did.
    pub fn copy(&mut self, parent: (u32, u64), child: (u32, u64)) {
        let Some(program) = self.programs.get(&(parent.1, parent.0)).cloned() else {
            return;
        };
        if self.get(child).is_none() {
            self.insert(child, program);
        }
    }

    /// The program of a process.
    #[must_use]
    pub fn get(&self, (pid, start_boot_ns): (u32, u64)) -> Option<&PathLabel> {
        let program = self.programs.get(&(start_boot_ns, pid));
        program.map(|program| &program.path)
    }

    /// The file of the program of a process, where it is known.
    #[must_use]
    pub fn file(&self, (pid, start_boot_ns): (u32, u64)) -> Option<FileIdentity> {
        self.programs.get(&(start_boot_ns, pid))?.file
    }

    /// The process ended so long ago that nothing of it comes any more.
    pub fn remove(&mut self, (pid, start_boot_ns): (u32, u64)) {
        self.programs.remove(&(start_boot_ns, pid));
        self.forget_latest((pid, start_boot_ns));
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
        let bash = FileIdentity {
            device: 1,
            inode: 2,
            generation: Some(3),
            is_directory: false,
        };
        table.set_file((1, 10), bash);
        table.copy((1, 10), (3, 30));
        assert_eq!(table.get((2, 20)), Some(&path("/bin/cat")));
        assert_eq!(table.get((3, 30)), Some(&path("/bin/bash")));
        assert_eq!(table.file((2, 20)), None);
        assert_eq!(table.file((3, 30)), Some(bash));
        table.set((3, 30), path("/bin/cat"));
        assert_eq!(table.file((3, 30)), None, "another program");
    }

    #[test]
    fn a_child_whose_birth_was_not_told_yet_runs_its_parents_program() {
        let mut table = Executables::default();
        table.set((1, 10), path("/bin/bash"));
        assert!(table.inherit(1, (2, 20)));
        assert_eq!(table.get((2, 20)), Some(&path("/bin/bash")));
        assert!(!table.inherit(5, (3, 30)), "nothing is known of the parent");
        assert!(
            !table.inherit(1, (4, 5)),
            "older than who has that number now"
        );
    }

    #[test]
    fn the_program_of_a_process_that_is_forgotten_is_inherited_no_more() {
        let mut table = Executables::default();
        table.set((1, 10), path("/bin/cp"));
        assert!(table.inherit(1, (2, 20)));
        table.remove((1, 10));
        assert_eq!(table.get((1, 10)), None);
        assert!(!table.inherit(1, (3, 30)), "the parent is gone");
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
