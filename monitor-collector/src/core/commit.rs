//! Ledgers side by side.
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

/// Puts everything that was added to some ledgers on disk.
///
/// # Errors
/// [`LedgerError`] of one that could not be; others may be on disk.
pub(super) fn all<'a>(
    pool: &ThreadPool,
    ledgers: impl Iterator<Item = &'a mut Ledger>,
    now: UnixNs,
) -> Result<(), LedgerError> {
    let mut waiting: Vec<&mut Ledger> = ledgers.filter(|ledger| ledger.waits(now)).collect();
    match waiting.as_mut_slice() {
        [] => Ok(()),
        [ledger] => ledger.commit(now),
        [..] => pool.install(|| {
            let waiting = waiting.into_par_iter();
            waiting.try_for_each(|ledger| ledger.commit(now))
        }),
    }
}
