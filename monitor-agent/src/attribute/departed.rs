//! Processes that ended, for as long as something that they did may still come:
//! ends are told by another ring than most deeds, and may be read first.
//!
//! Bound: [`DEPARTED_MAX`].

use std::collections::VecDeque;

/// Most processes that are remembered beyond their end.
pub(super) const DEPARTED_MAX: usize = 8_192;

/// The latest that ended.
#[derive(Debug, Default)]
pub(super) struct Departed(VecDeque<(u32, u64)>);

impl Departed {
    /// One more has ended; gives the one that may be forgotten now.
    pub(super) fn push(&mut self, process: (u32, u64)) -> Option<(u32, u64)> {
        self.0.push_back(process);
        (self.0.len() > DEPARTED_MAX)
            .then(|| self.0.pop_front())
            .flatten()
    }
}
