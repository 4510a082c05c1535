//! Acts that one event stands for.

use serde::Serialize;

use super::{Action, Event};
use crate::clock::UnixNs;

/// Acts of a flood that the kernel counted instead of telling them one by one: the
/// same process did the same to the same file. The event's time is that of the last
/// act; thread, name, system call and the paths' spelling are those of the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Counted {
    /// How many; 2 or more.
    pub acts: u32,
    /// When the first was done, by the host's real-time clock.
    pub first_at: UnixNs,
}

impl Event {
    /// What the event stands for, where that is more than one act.
    #[must_use]
    pub const fn counted(&self) -> Option<Counted> {
        let Action::Credential { counted, .. } = &self.action else {
            return None;
        };
        *counted
    }

    /// How many acts the event stands for.
    #[must_use]
    pub const fn acts(&self) -> u32 {
        match self.counted() {
            Some(counted) => counted.acts,
            None => 1,
        }
    }
}
