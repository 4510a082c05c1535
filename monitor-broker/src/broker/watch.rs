//! What becomes of the list's file after it was put in place.
//!
//! In: a look every [`LOOK`]. Out: the list as this broker put it in place, back
//! again where somebody else changed, replaced or removed it, and that in the
//! log and, by what the store keeps, to the collector. What the file holds is read only when its inode says that it changed.
//! Bound: one list. Loss: what was changed and changed back between two looks.

use std::{
    fmt, fs, io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
    sync::{Arc, PoisonError},
    time::Duration,
};

use monitor_model::krl;
use tokio::time::{MissedTickBehavior, interval};
use tracing::error;

use super::{Broker, RevokeError};
use crate::{
    courier::blocking,
    krl::{
        FILE_BYTES_MAX, HEADER_BYTES,
        file::{self, MODE},
    },
    store::{CHANGES_MAX, ListChange, StoreError},
};

/// Most bytes of words that the collector takes about a change.
const FOUND_BYTES_MAX: usize = 256;
/// How often it is looked.
pub const LOOK: Duration = Duration::from_secs(1);

/// What tells that a file is the one that was looked at, and was not changed:
/// its change time cannot be set back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
}

impl Stamp {
    fn of(found: &fs::Metadata) -> Self {
        Self {
            device: found.dev(),
            inode: found.ino(),
            bytes: found.len(),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }
}

/// What was found in the list's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing: sshd refuses everybody.
    Nothing,
    /// No file: a link, a folder, a device.
    NoFile,
    /// So few bytes that it is no list: with none at all, sshd lets everybody in.
    Short {
        /// How many.
        bytes: u64,
    },
    /// Another list.
    Other {
        /// Its number.
        number: u64,
    },
    /// What is no list: sshd refuses everybody.
    NoList,
    /// The list, with other permissions or another owner.
    Rights {
        /// The permissions.
        mode: u32,
    },
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing: sshd refused everybody"),
            Self::NoFile => f.write_str("no file"),
            Self::Short { bytes } => {
                write!(f, "{bytes} bytes: under an empty list sshd revokes nobody")
            }
            Self::Other { number } => write!(f, "another list, number {number}"),
            Self::NoList => f.write_str("no list: sshd refused everybody"),
            Self::Rights { mode } => {
                write!(f, "the list, with permissions {mode:o} or another owner")
            }
        }
    }
}

impl Broker {
    /// Looks whether the list is in place as this broker put it there, and puts
    /// it there again where it is not; what was found instead.
    ///
    /// # Errors
    /// [`RevokeError`]: it could not be put in place; it is tried again at the
    /// next look.
    pub fn look_at_list(&self) -> Result<Option<Found>, RevokeError> {
        let found = {
            // Nobody puts another one there meanwhile.
            let _one_at_a_time = self
                .publishing
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let Some(list) = self.list() else {
                return Ok(None);
            };
            let mut right = self.right.lock().unwrap_or_else(PoisonError::into_inner);
            let stated = fs::symlink_metadata(&self.krl);
            let stamp = stated.as_ref().ok().map(Stamp::of);
            if stamp.is_some() && stamp == *right {
                return Ok(None);
            }
            let Some(found) = wrong(&self.krl, stated, &list.bytes)? else {
                *right = stamp;
                return Ok(None);
            };
            *right = None;
            error!(path = %self.krl.display(), %found, number = list.number,
                "Somebody else changed the revocation list; it is put in place again.");
            // Kept first: whoever kills this broker now is known as well.
            let noted = self.note_found(list.number, found);
            let put = file::put(&self.krl, &list.bytes);
            self.note_put(list.number, found, put.as_ref().err())?;
            noted?;
            put?;
            found
        };
        // Where a newer one is due, it follows at once.
        self.publish_pending()?;
        Ok(Some(found))
    }

    /// Keeps for the collector what was found in the list's place; what cannot be
    /// put right once, not at each look.
    fn note_found(&self, number: u64, found: Found) -> Result<(), StoreError> {
        let stuck = *self.stuck.lock().unwrap_or_else(PoisonError::into_inner);
        if stuck == Some(found) {
            return Ok(());
        }
        self.note_change(number, format!("{found}; it is being put right"))
    }

    /// Keeps that it could not be put right, once.
    fn note_put(
        &self,
        number: u64,
        found: Found,
        failed: Option<&file::FileError>,
    ) -> Result<(), StoreError> {
        let mut stuck = self.stuck.lock().unwrap_or_else(PoisonError::into_inner);
        let was = std::mem::replace(&mut *stuck, failed.map(|_| found));
        match failed {
            Some(error) if was != Some(found) => {
                let words = format!("{found}; it could not be put right: {error}");
                self.note_change(number, shortened(words))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Keeps for the collector what became of the list's file, in words; where too
    /// much waits for it, the log alone has it.
    pub(super) fn note_change(&self, number: u64, found: String) -> Result<(), StoreError> {
        let change = ListChange {
            at: self.clock.now(),
            number,
            found,
        };
        if !self.store.note_change(&change)? {
            error!(found = %change.found, most = CHANGES_MAX, "Too many changes of the revocation list wait for the collector: this one is told here alone.");
        }
        Ok(())
    }
}

/// What is wrong with the file; none where it is the list.
fn wrong(
    path: &Path,
    stated: io::Result<fs::Metadata>,
    list: &[u8],
) -> Result<Option<Found>, file::FileError> {
    let failed = |source| file::FileError::Io {
        path: path.to_owned(),
        source,
    };
    let stated = match stated {
        Ok(stated) => stated,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some(Found::Nothing)),
        Err(error) => return Err(failed(error)),
    };
    if !stated.is_file() {
        return Ok(Some(Found::NoFile));
    }
    let bytes = stated.len();
    if usize::try_from(bytes).is_ok_and(|bytes| bytes < HEADER_BYTES) {
        return Ok(Some(Found::Short { bytes }));
    }
    // What is longer than any list is not read.
    let is_list = usize::try_from(bytes).is_ok_and(|bytes| bytes <= FILE_BYTES_MAX);
    let read = if is_list {
        fs::read(path).map_err(failed)?
    } else {
        Vec::new()
    };
    if read != list {
        return Ok(Some(match krl::number(&read) {
            Ok(number) => Found::Other { number },
            Err(_) => Found::NoList,
        }));
    }
    let mode = stated.permissions().mode() & 0o7777;
    let own = fs::metadata("/proc/self").map_err(failed)?.uid();
    let is_right = mode == MODE && stated.uid() == own;
    Ok((!is_right).then_some(Found::Rights { mode }))
}

/// The first [`FOUND_BYTES_MAX`] bytes, or some fewer.
fn shortened(mut words: String) -> String {
    let mut fits = FOUND_BYTES_MAX.min(words.len());
    while !words.is_char_boundary(fits) {
        fits -= 1;
    }
    words.truncate(fits);
    words
}

/// Looks until the task is ended; `told` is called when something is kept for the
/// collector.
pub async fn run(broker: &Arc<Broker>, told: impl Fn()) {
    let mut every = interval(LOOK);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        every.tick().await;
        let broker = Arc::clone(broker);
        let looked = blocking(move || broker.look_at_list()).await;
        // It stopped, or panicked and is in the log.
        let Ok(looked) = looked else { continue };
        if let Err(error) = &looked
            && !failing
        {
            error!(%error, "The revocation list cannot be looked after; it is tried every second.");
        }
        failing = looked.is_err();
        if !matches!(looked, Ok(None)) {
            told();
        }
    }
}

#[cfg(test)]
mod tests;
