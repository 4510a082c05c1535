//! Whether the probes see: the agent does something that they must, and looks
//! whether it comes back.
//!
//! In: every reading of the rings. Out: [`Alive`], for the uplink to tell.
//! Every [`PULSE`] the agent sends itself a signal that nobody catches; the probe
//! on signals tells it on the priority ring, without a number, and the pipeline
//! reads it with everything else. So the kernel's programs, the ring and its
//! reader are tried together. Every other time it is looked whether each hook that
//! was armed is still in its place, since one signal tries one probe. Nothing of
//! this is an event. Bound: one number, and one name a family.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use monitor_proto::v1::Alive;
use tokio::{sync::watch, time::MissedTickBehavior};
use tracing::{error, info, warn};

use crate::kernel::{Family, Probes};

/// From one pulse to the next.
pub const PULSE: Duration = Duration::from_millis(500);

/// What came through the rings so far.
#[derive(Debug, Default)]
pub struct Seen(AtomicU64);

impl Seen {
    /// Something came: a pulse, or what anybody did.
    pub fn note(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// What must come back through the probes, and their places.
pub trait Tried: Send + Sync + 'static {
    /// Does what the probes must see.
    ///
    /// # Errors
    /// What the system says.
    fn pulse(&self) -> std::io::Result<()>;

    /// Families of which a hook is not in its place any more.
    fn unhooked(&self) -> Vec<Family>;
}

impl Tried for Probes {
    fn pulse(&self) -> std::io::Result<()> {
        Self::pulse(self)
    }

    fn unhooked(&self) -> Vec<Family> {
        Self::unhooked(self)
    }
}

/// Tries the probes for as long as the agent runs.
#[derive(Debug)]
pub struct Sight<T> {
    tried: Arc<T>,
    seen: Arc<Seen>,
    /// Whether the probe on signals is armed: without it no pulse comes back.
    has_pulse: bool,
    told: watch::Sender<Alive>,
    before: u64,
    unanswered: u32,
    is_even: bool,
}

impl<T: Tried> Sight<T> {
    /// Tries these probes; and where it is told what they see.
    #[must_use]
    pub fn new(tried: Arc<T>, seen: Arc<Seen>, has_pulse: bool) -> (Self, watch::Receiver<Alive>) {
        let (told, alive) = watch::channel(Alive::default());
        if !has_pulse {
            warn!(
                "The probe on signals is not armed: that probes are blind is told only where a hook leaves its place."
            );
        }
        let sight = Self {
            tried,
            seen,
            has_pulse,
            told,
            before: 0,
            unanswered: 0,
            is_even: false,
        };
        (sight, alive)
    }

    /// Tries until the task is ended.
    pub async fn run(mut self) {
        let mut pulse = tokio::time::interval(PULSE);
        // One that stood still has not waited for an answer meanwhile.
        pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            pulse.tick().await;
            self.look();
        }
    }

    /// Looks what became of the last pulse, and sends the next.
    fn look(&mut self) {
        let seen = self.seen.0.load(Ordering::Relaxed);
        let is_answered = std::mem::replace(&mut self.before, seen) != seen;
        if is_answered || !self.has_pulse {
            self.unanswered = 0;
        } else {
            self.unanswered = self.unanswered.saturating_add(1);
        }
        if let Err(error) = self.tried.pulse() {
            error!(%error, "The agent cannot try its probes.");
        }
        let before = self.told.borrow().clone();
        let mut now = Alive {
            unseen_ms: u64::from(self.unanswered) * 500,
            unhooked: before.unhooked.clone(),
        };
        self.is_even = !self.is_even;
        if self.is_even {
            let unhooked = tokio::task::block_in_place(|| self.tried.unhooked());
            now.unhooked = unhooked.iter().map(|one| one.name().to_owned()).collect();
        }
        log(&before, &now);
        self.told.send_replace(now);
    }
}

/// Tells once what changed.
fn log(before: &Alive, now: &Alive) {
    if now.unhooked != before.unhooked {
        if now.unhooked.is_empty() {
            info!("Every hook is in its place again.");
        } else {
            error!(families = ?now.unhooked, "Hooks are gone from their places: the agent sees nothing of these families. A new start arms them after `detach`.");
        }
    }
    match (is_blind(before), is_blind(now)) {
        (false, true) if now.unhooked.is_empty() => {
            error!(
                unseen_ms = now.unseen_ms,
                "Nothing comes through the probes, not even what the agent does itself."
            );
        }
        (true, false) => info!("The probes see again."),
        (true, true) | (false, _) => {}
    }
}

/// Whether the collector must hear of it at once.
#[must_use]
pub fn is_blind(alive: &Alive) -> bool {
    alive.unseen_ms >= UNSEEN_MS || !alive.unhooked.is_empty()
}

/// Unanswered for so long is blind: three pulses.
const UNSEEN_MS: u64 = 1_500;

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Fake {
        pulses: AtomicU64,
        unhooked: Mutex<Vec<Family>>,
    }

    impl Tried for Fake {
        fn pulse(&self) -> std::io::Result<()> {
            self.pulses.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }

        fn unhooked(&self) -> Vec<Family> {
            self.unhooked.lock().unwrap().clone()
        }
    }

    #[test]
    fn three_pulses_that_do_not_come_back_are_blindness_and_one_that_does_ends_it() {
        let (fake, seen) = (Arc::new(Fake::default()), Arc::<Seen>::default());
        let (mut sight, alive) = Sight::new(Arc::clone(&fake), Arc::clone(&seen), true);
        seen.note();
        let mut looks = |comes_back: bool| {
            if comes_back {
                seen.note();
            }
            sight.look();
            (alive.borrow().unseen_ms, is_blind(&alive.borrow()))
        };
        assert_eq!(looks(true), (0, false));
        assert_eq!(looks(false), (500, false));
        assert_eq!(looks(false), (1_000, false));
        assert_eq!(looks(false), (1_500, true));
        assert_eq!(looks(true), (0, false));
        assert_eq!(fake.pulses.load(Ordering::Relaxed), 5);
    }

    #[test]
    fn a_hook_that_is_gone_is_named_within_two_looks_and_not_when_it_is_back() {
        let (fake, seen) = (Arc::new(Fake::default()), Arc::<Seen>::default());
        let (mut sight, alive) = Sight::new(Arc::clone(&fake), seen, false);
        for (families, names) in [(vec![Family::Exec], vec!["exec"]), (vec![], vec![])] {
            *fake.unhooked.lock().unwrap() = families;
            sight.look();
            sight.look();
            assert_eq!(alive.borrow().unhooked, names);
            assert_eq!(alive.borrow().unseen_ms, 0, "no pulse can come back");
        }
    }
}
