//! Ledgers side by side, and beside what follows from their entries.
//!
//! Each ledger is a file of its own, and the disk takes several at once better
//! than one after the other: what is waited for is the disk, not the processor.

use monitor_model::clock::UnixNs;
use rayon::{
    ThreadPool, ThreadPoolBuilder,
    iter::{IntoParallelIterator as _, ParallelIterator as _},
};

use super::CoreError;
use crate::ledger::{Ledger, LedgerError};

/// Most ledgers that are worked on at the same time.
const AT_ONCE_MAX: usize = 16;

/// The threads for so many ledgers.
///
/// # Errors
/// [`CoreError::Folder`] when the system gives no threads.
pub(super) fn pool(ledgers: usize) -> Result<ThreadPool, CoreError> {
    ThreadPoolBuilder::new()
        .num_threads(ledgers.clamp(1, AT_ONCE_MAX))
        .thread_name(|number| format!("ledger-{number}"))
        .build()
        .map_err(|error| CoreError::Folder {
            path: "thread".into(),
            source: std::io::Error::other(error),
        })
}

/// Puts everything that was added to some ledgers on disk, and does something
/// else meanwhile: what came of both.
pub(super) fn beside<'a, T>(
    pool: &ThreadPool,
    ledgers: impl Iterator<Item = &'a mut Ledger>,
    now: UnixNs,
    meanwhile: impl FnOnce() -> T,
) -> (Result<(), LedgerError>, T) {
    let waiting: Vec<&mut Ledger> = ledgers.filter(|ledger| ledger.waits(now)).collect();
    let mut committed = Ok(());
    if waiting.is_empty() {
        return (committed, meanwhile());
    }
    let done = pool.in_place_scope(|scope| {
        scope.spawn(|_| {
            let waiting = waiting.into_par_iter();
            committed = waiting.try_for_each(|ledger| ledger.commit(now));
        });
        meanwhile()
    });
    (committed, done)
}
