//! How it is known that everything has come: a last credential is read for
//! each ledger, by nobody's session, and waited for.
//!
//! The kernel writes in order, the agent sends in order, each ledger is told
//! in order: what came before the last one has come.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::facts::{Fact, Facts};
use crate::stage::{Folder, TENANTS};

/// The files, one a ledger.
#[derive(Debug, Clone)]
pub struct Ends {
    files: Vec<(PathBuf, u64, u64)>,
}

impl Ends {
    /// Those of a stage that is prepared.
    ///
    /// # Errors
    /// One is not there.
    pub fn of(folder: &Folder) -> Result<Self> {
        let mut files = vec![folder.at("end/key")];
        files.extend(TENANTS.map(|tenant| folder.at("cases").join(tenant).join("end")));
        let with_object = |file: PathBuf| {
            let found =
                fs::metadata(&file).with_context(|| format!("looking at {}", file.display()))?;
            Ok((file, found.dev(), found.ino()))
        };
        Ok(Self {
            files: files.into_iter().map(with_object).collect::<Result<_>>()?,
        })
    }

    /// Whether a fact is about one of them.
    #[must_use]
    pub fn has(&self, fact: &Fact) -> bool {
        let number = |field: &str| fact.number(&format!("/event/action/object/{field}"));
        let (device, inode) = (number("device"), number("inode"));
        let mut files = self.files.iter();
        files.any(|(_, d, i)| (Some(*d), Some(*i)) == (device, inode))
    }

    /// Reads each, and waits until that is told.
    ///
    /// # Errors
    /// One was not told in time: events are missing, or late.
    pub fn wait(&self, facts: &Facts, deadline: Duration) -> Result<()> {
        let from = facts.count();
        for (file, ..) in &self.files {
            let mut byte = [0];
            let _ = File::open(file)?.read(&mut byte)?;
        }
        for (file, device, inode) in &self.files {
            let what = format!("the event of the last read, of {}", file.display());
            facts.wait_after(from, &what, deadline, |fact| {
                fact.is_event("credential")
                    && fact.number("/event/action/object/device") == Some(*device)
                    && fact.number("/event/action/object/inode") == Some(*inode)
            })?;
        }
        Ok(())
    }
}
