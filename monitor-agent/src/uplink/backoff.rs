//! How long to wait before the next try.

use std::time::Duration;

/// Doubles from the least to the most, with jitter, so that many agents do not
/// come back in one instant.
#[derive(Debug)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    /// From the least to the most.
    #[must_use]
    pub const fn new(min: Duration, max: Duration) -> Self {
        Self {
            min,
            max,
            next: min,
        }
    }

    /// The next pause: between half of the present step and all of it.
    pub fn step(&mut self) -> Duration {
        let mut random = [0; 4];
        // Without randomness the pause is just half.
        let _ = getrandom::fill(&mut random);
        self.pause(u32::from_ne_bytes(random))
    }

    fn pause(&mut self, random: u32) -> Duration {
        let half = self.next / 2;
        self.next = (self.next * 2).min(self.max);
        half + half.mul_f64(f64::from(random) / f64::from(u32::MAX))
    }

    /// Short again.
    pub const fn reset(&mut self) {
        self.next = self.min;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_most_and_vary() {
        let ms = Duration::from_millis;
        let mut backoff = Backoff::new(ms(100), ms(1_000));
        let pauses: Vec<_> = (0..5).map(|_| backoff.pause(0)).collect();
        assert_eq!(pauses, [ms(50), ms(100), ms(200), ms(400), ms(500)]);
        assert_eq!(backoff.pause(u32::MAX), ms(1_000));
        backoff.reset();
        assert_eq!(backoff.pause(u32::MAX), ms(100));
    }
}
