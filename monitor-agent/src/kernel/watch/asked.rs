//! What the tables of watches say of one object or name.

use monitor_common::watch::WatchValue;

use super::{FileIdentity, WatchName, WatchTables, failed};
use crate::kernel::KernelError;

impl WatchTables {
    /// The watch on an object itself, whether it was told to be watched or found
    /// by the kernel.
    pub(in crate::kernel) fn of_object(
        &self,
        file: &FileIdentity,
    ) -> Result<Option<u32>, KernelError> {
        let told = self.files.get(&file.key());
        let told = told.map_err(failed("read", "WATCH"))?;
        // An entry may be there for the names in a directory alone.
        let told = told.filter(|value| value.flags & WatchValue::OBJECT != 0);
        if let Some(value) = told {
            return Ok(secret(&value, file));
        }
        let learned = self.learned.get(&file.key());
        let learned = learned.map_err(failed("read", "LEARNED"))?;
        Ok(learned.and_then(|value| secret(&value, file)))
    }

    /// The watch on whatever has a name in a directory.
    pub(in crate::kernel) fn of_name(&self, name: &WatchName) -> Result<Option<u32>, KernelError> {
        let value = self.names.get(&name.key());
        let value = value.map_err(failed("read", "WATCH_NAMES"))?;
        let value = value.filter(|value| value.flags & WatchValue::CHANGES_ONLY == 0);
        Ok(value.map(|value| value.watch_id))
    }
}

/// The number of a watch on everything that is done to this file.
fn secret(value: &WatchValue, file: &FileIdentity) -> Option<u32> {
    let is_other = value.flags & WatchValue::GENERATION_KNOWN != 0
        && file
            .generation
            .is_some_and(|generation| generation != value.generation);
    let is_secret = value.flags & WatchValue::CHANGES_ONLY == 0 && !is_other;
    is_secret.then_some(value.watch_id)
}
