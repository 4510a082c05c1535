//! Which open files are watched as credentials, and whose they are.
//!
//! A file is watched itself, by a directory above it, or by its name. Above it
//! is where its path leads, where that leads to this very file; of a file that
//! was moved or removed only the watch on itself is told.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _, path::Path};

use monitor_common::watch::WATCH_LEVELS_MAX;
use monitor_model::inspect::OpenCredential;

use super::Inspector;
use crate::{
    kernel::{FileIdentity, KernelError, Operations, Probes, WatchName},
    watch::resolve::Look,
};

/// Who files are, and what the kernel's tables of watches say of them.
pub trait Objects: Look {
    /// The number of the watch on a file or directory itself.
    ///
    /// # Errors
    /// [`KernelError::Table`].
    fn watched(&self, file: &FileIdentity) -> Result<Option<u32>, KernelError>;

    /// The number of the watch on a name in a directory.
    ///
    /// # Errors
    /// [`KernelError::Table`].
    fn watched_name(&self, name: &WatchName) -> Result<Option<u32>, KernelError>;
}

impl Objects for Probes {
    fn watched(&self, file: &FileIdentity) -> Result<Option<u32>, KernelError> {
        Self::watched(self, file)
    }

    fn watched_name(&self, name: &WatchName) -> Result<Option<u32>, KernelError> {
        Self::watched_name(self, name)
    }
}

impl Inspector {
    /// What the watch list says of an open file that is found at a path.
    pub(super) fn credential(
        &self,
        file: &FileIdentity,
        path: &[u8],
    ) -> Result<Option<OpenCredential>, KernelError> {
        let id = match self.objects.watched(file)? {
            Some(id) => Some(id),
            None => self.watched_above(file, Path::new(OsStr::from_bytes(path)))?,
        };
        let label = id.and_then(|id| self.labels.get(id));
        Ok(label.map(|label| OpenCredential {
            class: label.class,
            tenant: label.tenant,
            tier: label.tier,
        }))
    }

    fn watched_above(&self, file: &FileIdentity, path: &Path) -> Result<Option<u32>, KernelError> {
        let is_there = self
            .objects
            .identify(path)
            .is_ok_and(|found| found == *file);
        if !is_there {
            return Ok(None);
        }
        for step in path.ancestors().take(WATCH_LEVELS_MAX) {
            let (Some(above), Some(name)) = (step.parent(), step.file_name()) else {
                break;
            };
            let Ok(above) = self.objects.identify(above) else {
                break;
            };
            let name = WatchName::new(above, name.as_bytes(), 0, Operations::All);
            let by_name = name.map(|name| self.objects.watched_name(&name));
            if let Some(id) = by_name.transpose()?.flatten() {
                return Ok(Some(id));
            }
            // A watched directory stands for what is on its own file system.
            if above.device == file.device
                && let Some(id) = self.objects.watched(&above)?
            {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }
}
