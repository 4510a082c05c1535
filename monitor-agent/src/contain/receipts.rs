//! What was done for which order: so that a repeated one gets the same answer.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use monitor_model::{
    contain::{ContainMode, Receipt},
    id::{OrderId, SessionId},
};

use super::Command;
use crate::spool::RECEIPTS_MAX;

type Key = (OrderId, SessionId, ContainMode);

/// Receipts by order, session and mode.
#[derive(Debug, Default)]
pub struct Receipts {
    given: Mutex<Given>,
}

#[derive(Debug, Default)]
struct Given {
    receipts: HashMap<Key, Receipt>,
    /// The last thing that was done to each session.
    newest: HashMap<SessionId, Key>,
}

impl Receipts {
    /// Those of before a restart, in the order of their making.
    #[must_use]
    pub fn resume(receipts: &[Receipt]) -> Self {
        let resumed = Self::default();
        for receipt in receipts {
            resumed.put(receipt);
        }
        resumed
    }

    pub(super) fn get(&self, command: &Command) -> Option<Receipt> {
        let key = (command.order, command.session, command.mode);
        self.lock().receipts.get(&key).cloned()
    }

    pub(super) fn put(&self, receipt: &Receipt) {
        let key = (receipt.order, receipt.session, receipt.mode);
        let mut given = self.lock();
        given.receipts.insert(key, receipt.clone());
        given.newest.insert(receipt.session, key);
        if given.receipts.len() > RECEIPTS_MAX {
            // The order that is oldest; ids begin with their time.
            if let Some(oldest) = given.receipts.keys().min().copied() {
                given.receipts.remove(&oldest);
                given.newest.retain(|_, key| *key != oldest);
            }
        }
    }

    /// The last thing that was done to each session.
    #[must_use]
    pub fn newest(&self) -> Vec<Receipt> {
        let given = self.lock();
        let newest = given.newest.values();
        newest
            .filter_map(|key| given.receipts.get(key).cloned())
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Given> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
