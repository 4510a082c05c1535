//! Who is at the other end of a process's pipes.
//!
//! Bound: the table's processes.

use super::{Around, Key, PipeEnd, Pipes, Steering};

impl Steering {
    /// Who reads what a process writes into pipes: the rest of its pipeline.
    /// Where that cannot be seen any more, its parent, who made the pipeline.
    pub(super) fn fed(&self, key: Key, around: &mut impl Around) -> Vec<Key> {
        let own = around.pipes(key).filter(|own| own.has_output);
        let Some(Pipes { ends: own, .. }) = own else {
            return self.kin(key, around);
        };
        let mut fed = Vec::new();
        for end in own.iter().filter(|end| end.writes) {
            let readers = self.readers(end.pipe, key, around);
            if readers.is_empty() && !end.reads {
                fed.extend(self.kin(key, around));
            }
            let acting = readers
                .into_iter()
                .filter(|key| !self.is_sshd(*key, around));
            fed.extend(acting);
        }
        fed
    }

    /// Processes of the same session that read a pipe.
    fn readers(&self, pipe: (u64, u64), writer: Key, around: &mut impl Around) -> Vec<Key> {
        let session = self.known(writer).and_then(|known| known.session);
        let mut readers = Vec::new();
        for (pid, known) in &self.processes {
            let key = (*pid, known.start_boot_ns);
            if key == writer || known.session != session {
                continue;
            }
            let ends = around.pipes(key).unwrap_or_default().ends;
            if ends.iter().any(|end| end.reads && end.pipe == pipe) {
                readers.push(key);
            }
        }
        readers
    }

    /// The parent of a process; where that is sshd, which passes on what its
    /// children say and does not act on it, its siblings.
    fn kin(&self, key: Key, around: &mut impl Around) -> Vec<Key> {
        let Some(parent_pid) = self.known(key).map(|known| known.parent_pid) else {
            return Vec::new();
        };
        let Some(parent) = self.processes.get(&parent_pid) else {
            return Vec::new();
        };
        let parent = (parent_pid, parent.start_boot_ns);
        if parent.1 > key.1 {
            return Vec::new();
        }
        if !self.is_sshd(parent, around) {
            return vec![parent];
        }
        let siblings = self.processes.iter().filter(|(pid, known)| {
            known.parent_pid == parent_pid && known.start_boot_ns >= parent.1 && **pid != key.0
        });
        siblings
            .map(|(pid, known)| (*pid, known.start_boot_ns))
            .collect()
    }

    /// Whether a process is the first of its session, or that one's child and
    /// runs the same program.
    pub(super) fn is_sshd(&self, key: Key, around: &mut impl Around) -> bool {
        let Some(known) = self.known(key) else {
            return false;
        };
        let Some(leader) = known.session.and_then(|session| around.leader(session)) else {
            return false;
        };
        if key.0 == leader {
            return true;
        }
        if known.parent_pid != leader {
            return false;
        }
        let start = self.processes.get(&leader).map(|known| known.start_boot_ns);
        let of_leader = start.and_then(|start| around.program((leader, start)));
        of_leader.is_some() && around.program(key) == of_leader
    }

    /// Processes of other sessions that hold a pipe. A process that had it
    /// before it opened it again (`<(command)`) has it from its own.
    pub(super) fn others_at(
        &self,
        pipe: (u64, u64),
        key: Key,
        around: &mut impl Around,
    ) -> Vec<(Key, PipeEnd)> {
        let own = around.pipes(key).unwrap_or_default().ends;
        if own.iter().filter(|end| end.pipe == pipe).count() > 1 {
            return Vec::new();
        }
        let session = self.known(key).and_then(|known| known.session);
        let mut found = Vec::new();
        for (pid, known) in &self.processes {
            if known.session == session {
                continue;
            }
            let other = (*pid, known.start_boot_ns);
            let ends = around.pipes(other).unwrap_or_default().ends;
            found.extend(
                ends.into_iter()
                    .filter(|end| end.pipe == pipe)
                    .map(|end| (other, end)),
            );
        }
        found
    }
}
