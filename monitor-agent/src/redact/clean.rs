//! Names in which no secret was found: the names of a process and of its program
//! come with each of its events, and are looked through once.
//!
//! Bound: [`NAMES_MAX`] names of [`BYTES_MAX`] bytes, then it begins anew. Loss:
//! none; what is not known is looked through again.

use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::Cut;

/// Most names that are kept, of those that are whole and of those that are cut.
const NAMES_MAX: usize = 1_024;
/// Longer names are not kept.
const BYTES_MAX: usize = 256;

/// The names.
#[derive(Debug, Default)]
pub(super) struct Clean {
    whole: Mutex<HashSet<Box<[u8]>>>,
    cut: Mutex<HashSet<Box<[u8]>>>,
}

impl Clean {
    fn names(&self, cut: Cut) -> MutexGuard<'_, HashSet<Box<[u8]>>> {
        let names = match cut {
            Cut::No => &self.whole,
            Cut::Yes => &self.cut,
        };
        names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a name is known to hold no secret.
    pub(super) fn has(&self, name: &[u8], cut: Cut) -> bool {
        name.len() <= BYTES_MAX && self.names(cut).contains(name)
    }

    /// A name holds no secret.
    pub(super) fn keep(&self, name: &[u8], cut: Cut) {
        if name.len() > BYTES_MAX {
            return;
        }
        let mut names = self.names(cut);
        if names.len() >= NAMES_MAX {
            names.clear();
        }
        names.insert(name.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_whole_says_nothing_of_what_is_cut() {
        let clean = Clean::default();
        clean.keep(b"/usr/bin/true", Cut::No);
        assert!(clean.has(b"/usr/bin/true", Cut::No));
        assert!(!clean.has(b"/usr/bin/true", Cut::Yes));
        assert!(!clean.has(b"/usr/bin/tru", Cut::No));
    }

    #[test]
    fn who_has_new_names_without_end_takes_no_more_room() {
        let clean = Clean::default();
        for number in 0..3 * NAMES_MAX {
            clean.keep(format!("/tmp/{number}").as_bytes(), Cut::No);
            assert!(clean.names(Cut::No).len() <= NAMES_MAX);
        }
        let long = [b'a'; BYTES_MAX + 1];
        clean.keep(&long, Cut::No);
        assert!(!clean.has(&long, Cut::No));
    }
}
