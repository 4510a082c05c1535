//! When each agent was heard last, and what it says of its probes.
//!
//! In: messages of streams. Out: signs of life, as of a moment. Bound: one a
//! name, [`LIVES_MAX`] names; of those that are not connected the longest
//! unheard is forgotten. Loss: none; one that is forgotten counts as not heard
//! since the collector listens.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use monitor_proto::v1;
use tonic::Status;

use crate::alert::hosts::{HOSTS_MAX, Sight};

/// Most names that are remembered.
pub const LIVES_MAX: usize = HOSTS_MAX;
/// Most families that one sign of life names.
pub const UNHOOKED_MAX: usize = 64;
/// Longest name of a family.
const FAMILY_BYTES_MAX: usize = 64;
/// Probes that show nothing for as long are blind: the agent has them see
/// something twice a second.
pub const UNSEEN_MAX: Duration = Duration::from_millis(1_500);

/// One agent's life, as its newest stream shows it.
#[derive(Debug)]
pub struct Life {
    /// Whether it says that it lives; without, its stream is its life.
    beats: bool,
    /// When it was heard last, in nanoseconds of the collector's attention.
    heard_ns: AtomicU64,
    /// A message of it is being taken: what comes behind waits unread, and it
    /// counts as heard.
    is_taken: AtomicBool,
    is_leaving: AtomicBool,
    sight: Mutex<Sight>,
}

impl Life {
    pub(super) fn new(beats: bool, now: Duration) -> Self {
        Self {
            beats,
            heard_ns: AtomicU64::new(nanoseconds(now)),
            is_taken: AtomicBool::new(false),
            is_leaving: AtomicBool::new(false),
            sight: Mutex::default(),
        }
    }

    /// Something of it begins to be taken, or is.
    pub(super) fn heard(&self, now: Duration, is_taken: bool) {
        self.heard_ns.fetch_max(nanoseconds(now), Ordering::AcqRel);
        self.is_taken.store(is_taken, Ordering::Release);
    }

    /// It says that it stops.
    pub(super) fn leaves(&self) {
        self.is_leaving.store(true, Ordering::Release);
    }

    /// Its stream is over.
    pub(super) fn parted(&self, now: Duration) {
        self.is_taken.store(false, Ordering::Release);
        if !self.beats {
            self.heard_ns.fetch_max(nanoseconds(now), Ordering::AcqRel);
        }
    }

    /// Notes what its probes see.
    ///
    /// # Errors
    /// A [`Status`] for one that says more than there can be.
    pub(super) fn sees(&self, alive: v1::Alive) -> Result<(), Status> {
        let v1::Alive {
            unseen_ms,
            unhooked,
        } = alive;
        let is_long = |family: &String| family.len() > FAMILY_BYTES_MAX;
        if unhooked.len() > UNHOOKED_MAX || unhooked.iter().any(is_long) {
            return Err(Status::invalid_argument(format!(
                "alive.unhooked: {} families; at most {UNHOOKED_MAX} of at most {FAMILY_BYTES_MAX} bytes are allowed",
                unhooked.len()
            )));
        }
        let unseen = Duration::from_millis(unseen_ms);
        *self.sight.lock().unwrap_or_else(PoisonError::into_inner) = if !unhooked.is_empty() {
            Sight::Unhooked(unhooked)
        } else if unseen >= UNSEEN_MAX {
            Sight::Nothing(unseen)
        } else {
            Sight::Clear
        };
        Ok(())
    }

    /// For how long it was not heard.
    pub(super) fn unheard(&self, now: Duration, is_connected: bool) -> Duration {
        let is_heard = is_connected && (!self.beats || self.is_taken.load(Ordering::Acquire));
        if is_heard {
            return Duration::ZERO;
        }
        now.saturating_sub(Duration::from_nanos(self.heard_ns.load(Ordering::Acquire)))
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.is_leaving.load(Ordering::Acquire)
    }

    pub(super) fn sight(&self) -> Sight {
        let sight = self.sight.lock().unwrap_or_else(PoisonError::into_inner);
        sight.clone()
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_agent_is_alive_while_it_is_read_and_for_as_long_as_it_was_heard() {
        let life = Life::new(true, s(1));
        assert_eq!(
            life.unheard(s(4), true),
            s(3),
            "its stream alone is no life"
        );
        life.heard(s(4), true);
        assert_eq!(
            life.unheard(s(9), true),
            s(0),
            "its batch waits for the disk"
        );
        life.heard(s(9), false);
        life.heard(s(5), false);
        assert_eq!(life.unheard(s(10), true), s(1));
        life.parted(s(10));
        assert_eq!(life.unheard(s(12), false), s(3));
    }

    #[test]
    fn an_agent_of_before_there_were_beats_is_alive_with_its_stream() {
        let life = Life::new(false, s(1));
        assert_eq!(life.unheard(s(99), true), s(0));
        life.parted(s(99));
        assert_eq!(life.unheard(s(101), false), s(2));
    }

    #[test]
    fn blind_is_who_misses_a_hook_or_sees_nothing_for_long() {
        let life = Life::new(true, s(1));
        let alive = |unseen_ms, unhooked: &[&str]| v1::Alive {
            unseen_ms,
            unhooked: unhooked.iter().map(ToString::to_string).collect(),
        };
        let seen = |alive| life.sees(alive).map(|()| life.sight());
        assert_eq!(seen(alive(1_499, &[])).unwrap(), Sight::Clear);
        let nothing = Sight::Nothing(UNSEEN_MAX);
        assert_eq!(seen(alive(1_500, &[])).unwrap(), nothing);
        let unhooked = Sight::Unhooked(vec!["exec".to_owned()]);
        assert_eq!(seen(alive(0, &["exec"])).unwrap(), unhooked);
        assert_eq!(seen(alive(0, &[])).unwrap(), Sight::Clear);
        assert!(seen(alive(0, &["x"; UNHOOKED_MAX])).is_ok());
        let many = seen(alive(0, &["x"; UNHOOKED_MAX + 1])).unwrap_err();
        assert!(many.message().contains("at most 64"), "{many}");
        assert!(seen(alive(0, &["x".repeat(65).as_str()])).is_err());
    }
}
