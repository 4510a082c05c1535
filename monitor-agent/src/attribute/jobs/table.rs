//! The jobs that live, shared by attribution and containment.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use monitor_model::{event::Attribution, id::SessionId};

/// Most jobs at a time.
pub const JOBS_MAX: usize = 4_096;

/// One job: work outside of its session's own processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its name, and the mark of its processes.
    pub id: SessionId,
    /// Whose it is, and how that is known.
    pub attribution: Attribution,
}

/// The living jobs, shared with containment. Held for moments.
#[derive(Clone, Debug, Default)]
pub struct SharedJobs(Arc<Mutex<HashMap<SessionId, Job>>>);

impl SharedJobs {
    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Job>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A job by its mark.
    #[must_use]
    pub fn get(&self, id: SessionId) -> Option<Job> {
        self.lock().get(&id).cloned()
    }

    /// The living jobs of a session.
    #[must_use]
    pub fn of_session(&self, session: SessionId) -> Vec<SessionId> {
        let jobs = self.lock();
        let of_it = jobs
            .values()
            .filter(|job| job.attribution.session == Some(session));
        of_it.map(|job| job.id).collect()
    }

    /// All living jobs.
    #[must_use]
    pub fn living(&self) -> Vec<SessionId> {
        self.lock().keys().copied().collect()
    }

    /// Adds one; `false` where there are too many.
    #[must_use]
    pub fn put(&self, job: Job) -> bool {
        let mut jobs = self.lock();
        if jobs.len() >= JOBS_MAX && !jobs.contains_key(&job.id) {
            return false;
        }
        jobs.insert(job.id, job);
        true
    }

    /// Its last process is gone.
    #[must_use]
    pub fn remove(&self, id: SessionId) -> Option<Job> {
        self.lock().remove(&id)
    }
}
