//! How long is waited between attempts. Pure: chance comes in.

use std::time::Duration;

use super::way::Unanswered;

/// How many times the longest pause is waited after a refusal, and at most where
/// the broker says how long.
pub const SLOWLY: u32 = 10;

/// The pauses of one order: each twice the one before, up to the longest.
#[derive(Clone, Copy, Debug)]
pub struct Pauses {
    most: Duration,
    next: Duration,
}

impl Pauses {
    /// From `least` to `most`.
    #[must_use]
    pub const fn new(least: Duration, most: Duration) -> Self {
        Self { most, next: least }
    }

    /// The next pause: between half of it and the whole.
    pub fn usual(&mut self, chance: u8) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.most);
        jittered(pause, chance)
    }

    /// The pause after an attempt that brought no answer. What the broker asks
    /// for is at least the usual pause and at most [`SLOWLY`] times the longest.
    pub fn after(&mut self, why: &Unanswered, chance: u8) -> Duration {
        let usual = self.usual(chance);
        let slow = self.most * SLOWLY;
        match why {
            Unanswered::Soon { .. } => usual,
            Unanswered::After { wait, .. } => (*wait).max(usual).min(slow),
            Unanswered::Refused { .. } => jittered(slow, chance),
        }
    }
}

/// Between half of a pause and the whole.
fn jittered(pause: Duration, chance: u8) -> Duration {
    pause / 2 + (pause / 2) * u32::from(chance) / 255
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    fn after(wait: Duration) -> Unanswered {
        let text = String::new();
        Unanswered::After { text, wait }
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let mut pauses = Pauses::new(ms(250), ms(1_500));
        let all: Vec<_> = (0..5).map(|_| pauses.usual(255)).collect();
        assert_eq!(all, [ms(250), ms(500), ms(1_000), ms(1_500), ms(1_500)]);
        assert_eq!(pauses.usual(0), ms(750));
    }

    #[test]
    fn what_the_broker_asks_for_is_waited_within_bounds() {
        let mut pauses = Pauses::new(ms(250), ms(1_000));
        assert_eq!(pauses.after(&after(ms(700)), 255), ms(700));
        assert_eq!(pauses.after(&after(ms(1)), 255), ms(500));
        assert_eq!(pauses.after(&after(ms(86_400_000)), 255), ms(10_000));
        let refused = Unanswered::Refused {
            text: String::new(),
        };
        assert_eq!(pauses.after(&refused, 255), ms(10_000));
        assert_eq!(pauses.after(&refused, 0), ms(5_000));
    }
}
