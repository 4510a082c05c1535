//! What was removed from a ledger, and what its entries say of that.
//!
//! Who removes content writes an entry about it, in the same commit. Content
//! that is gone without one was not removed by the collector.

use monitor_model::event::{Action, Event};

use super::Fault;

/// Ranges of positions.
#[derive(Debug, Default)]
pub(crate) struct Removals {
    /// Whose content is gone.
    found: Vec<(u64, u64)>,
    /// Of which an entry says so.
    said: Vec<(u64, u64)>,
}

impl Removals {
    /// Takes an entry.
    pub(crate) fn take(&mut self, event: &Event) {
        if let Action::Removed { first, last, .. } = &event.action {
            self.said.push((*first, *last));
        }
    }

    /// Takes positions whose content is gone.
    pub(crate) fn found(&mut self, first: u64, last: u64) {
        match self.found.last_mut() {
            Some((_, end)) if *end + 1 == first => *end = last,
            _ => self.found.push((first, last)),
        }
    }

    /// Every position whose content is gone is one that an entry speaks of.
    pub(crate) fn check(&mut self) -> Result<(), Fault> {
        self.said.sort_unstable();
        for (first, last) in &self.found {
            let mut next = *first;
            for (from, to) in &self.said {
                if *from <= next {
                    next = next.max(to.saturating_add(1));
                }
            }
            if next <= *last {
                return Err(Fault {
                    first: next,
                    last: *last,
                    cause: "their content is gone, and no entry says that it was removed"
                        .to_owned(),
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(found: &[(u64, u64)], said: &[(u64, u64)]) -> Result<(), (u64, u64)> {
        let mut removals = Removals {
            said: said.to_vec(),
            ..Removals::default()
        };
        for (first, last) in found {
            removals.found(*first, *last);
        }
        removals.check().map_err(|fault| (fault.first, fault.last))
    }

    #[test]
    fn what_is_gone_must_have_been_said_to_be_removed_all_of_it() {
        assert_eq!(checked(&[(1, 5), (6, 9)], &[(1, 9)]), Ok(()));
        assert_eq!(checked(&[(1, 9)], &[(4, 9), (1, 3)]), Ok(()));
        assert_eq!(checked(&[(1, 9)], &[(5, 9), (1, 3)]), Err((4, 9)));
        assert_eq!(checked(&[(1, 3), (7, 9)], &[(1, 8)]), Err((9, 9)));
        assert_eq!(checked(&[(1, 1)], &[]), Err((1, 1)));
        assert_eq!(checked(&[], &[(1, 9)]), Ok(()));
    }
}
