//! Work that waits for a disk or the kernel, in services that must not wait.
//!
//! A runtime of several threads goes on with other tasks meanwhile. A runtime of
//! one thread has nobody to go on: there the work is done at once and in place,
//! so that everything that happens has one order ([`aside`] stays the only place
//! where that is decided).

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task,
};

/// The work was not done: it panicked, or the runtime is going away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("work beside the runtime's threads did not come to its end")]
pub struct Unfinished;

/// Does work that blocks; other tasks go on where there is a thread for them.
pub fn in_place<T>(work: impl FnOnce() -> T) -> T {
    if is_alone() {
        work()
    } else {
        task::block_in_place(work)
    }
}

/// Does work that blocks on a thread of its own, where there is one.
///
/// # Errors
/// [`Unfinished`].
pub async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Unfinished> {
    if is_alone() {
        return Ok(work());
    }
    task::spawn_blocking(work).await.map_err(|_| Unfinished)
}

/// Whether the runtime, if any, has one thread only.
fn is_alone() -> bool {
    Handle::try_current().map_or(true, |runtime| {
        runtime.runtime_flavor() == RuntimeFlavor::CurrentThread
    })
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    async fn threads() -> [bool; 2] {
        let here = thread::current().id();
        let in_place = in_place(|| thread::current().id());
        let aside = aside(|| thread::current().id()).await.unwrap();
        [in_place == here, aside == here]
    }

    #[tokio::test]
    async fn one_thread_does_everything_itself() {
        assert_eq!(threads().await, [true, true]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn several_threads_leave_what_waits_to_others() {
        assert_eq!(threads().await, [true, false]);
        let panics = aside(|| panic!("meant")).await;
        assert_eq!(panics, Err::<(), _>(Unfinished));
    }

    #[test]
    fn without_a_runtime_work_is_done_in_place() {
        assert_eq!(in_place(|| 7), 7);
    }
}
