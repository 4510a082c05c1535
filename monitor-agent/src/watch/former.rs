//! Files that were watched at a place that something else has now.
//!
//! A secret stays one when it is renamed, or replaced while a link or a mount
//! keeps it. So the identity goes on being watched. Only one with a generation:
//! a bare inode number may be anybody's soon. Bound: [`FORMER_MAX`]; the oldest
//! is let go, counted and told. Loss: they are kept in memory; after a restart of
//! the agent only those go on that the kernel learned itself.

use std::collections::{BTreeMap, VecDeque};

use super::Label;
use crate::kernel::FileIdentity;

/// Most former identities.
pub const FORMER_MAX: usize = 2_048;

/// What was watched.
#[derive(Debug, Default)]
pub struct Former {
    /// At the last look.
    last: BTreeMap<FileIdentity, Label>,
    kept: VecDeque<(FileIdentity, Label)>,
}

impl Former {
    /// Takes what fits the patterns now; how many former identities were let
    /// go to make room.
    pub fn bring(&mut self, now: &BTreeMap<FileIdentity, Label>) -> usize {
        let last = std::mem::replace(&mut self.last, now.clone());
        self.kept.retain(|(file, _)| !now.contains_key(file));
        let gone = last.into_iter().filter(|(file, _)| !now.contains_key(file));
        self.kept
            .extend(gone.filter(|(file, _)| file.generation.is_some()));
        let beyond = self.kept.len().saturating_sub(FORMER_MAX);
        self.kept.drain(..beyond);
        beyond
    }

    /// The former identities with what they are, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (&FileIdentity, &Label)> {
        self.kept.iter().map(|(file, label)| (file, label))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(inode: u64, generation: Option<u32>) -> FileIdentity {
        FileIdentity {
            device: 1,
            inode,
            generation,
            is_directory: false,
        }
    }

    fn of(files: impl IntoIterator<Item = FileIdentity>) -> BTreeMap<FileIdentity, Label> {
        let label = Label::of_class("key");
        files
            .into_iter()
            .map(|file| (file, label.clone()))
            .collect()
    }

    #[test]
    fn a_replaced_file_is_kept_until_it_is_back_and_one_without_generation_is_not() {
        let mut former = Former::default();
        let (old, bare, new) = (file(1, Some(7)), file(2, None), file(3, Some(8)));
        assert_eq!(former.bring(&of([old, bare])), 0);
        assert_eq!(former.iter().count(), 0);
        former.bring(&of([new]));
        assert_eq!(
            former.iter().map(|(file, _)| *file).collect::<Vec<_>>(),
            [old]
        );
        former.bring(&of([new, old]));
        assert_eq!(former.iter().count(), 0);
    }

    #[test]
    fn the_oldest_are_let_go_and_counted() {
        let mut former = Former::default();
        let most = u64::try_from(FORMER_MAX).unwrap();
        for inode in 0..=most {
            assert_eq!(former.bring(&of([file(inode, Some(1))])), 0);
        }
        assert_eq!(former.bring(&of([])), 1);
        let oldest = former.iter().next().unwrap().0.inode;
        assert_eq!((former.iter().count(), oldest), (FORMER_MAX, 1));
    }
}
