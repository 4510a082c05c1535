//! What happened, as one hash: the same seed gives the same.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sha2::{Digest as _, Sha256};

use crate::clock::Time;

/// What happened so far.
#[derive(Clone, Debug)]
pub struct Trace {
    time: Time,
    so_far: Arc<Mutex<(Sha256, u64)>>,
}

impl Trace {
    /// Nothing happened yet.
    #[must_use]
    pub fn new(time: Time) -> Self {
        Self {
            time,
            so_far: Arc::default(),
        }
    }

    /// Simulated time since the beginning.
    #[must_use]
    pub fn since(&self) -> Duration {
        self.time.since()
    }

    /// Something happens on a host, now.
    pub fn note(&self, host: &str, what: &str) {
        let ms = self.time.since().as_millis();
        tracing::debug!(ms, host, what, "Happened.");
        let mut so_far = self.so_far.lock().unwrap_or_else(PoisonError::into_inner);
        so_far.0.update(format!("{ms} {host} {what}\n"));
        so_far.1 += 1;
    }

    /// The hash of all of it, and how much it was.
    #[must_use]
    pub fn end(&self) -> (String, u64) {
        let so_far = self.so_far.lock().unwrap_or_else(PoisonError::into_inner);
        let digits = so_far.0.clone().finalize();
        let digits = digits.iter().take(16).map(|byte| format!("{byte:02x}"));
        (digits.collect(), so_far.1)
    }
}
