//! Certificates that are replaced while a service runs.
//!
//! In: the files of a set-up, looked at every two seconds. Out: what they say now,
//! for everybody who accepts or dials ([`CurrentTls`]). What stands goes on with
//! what it was made with. Files that do not fit together, or name somebody else,
//! change nothing and are told in the log, once.

use std::{fs, io, os::unix::fs::MetadataExt as _, path::Path, sync::Arc, time::Duration};

use monitor_model::clock::Clock;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};
use tracing::{info, warn};

use super::{Tls, TlsFiles};
use crate::blocking;

/// How often the files are looked at.
const EVERY: Duration = Duration::from_secs(2);

/// The TLS set-up of a service as it is now.
#[derive(Clone, Debug)]
pub struct CurrentTls(watch::Receiver<Tls>);

impl CurrentTls {
    /// One that stays as it is.
    #[must_use]
    pub fn fixed(tls: Tls) -> Self {
        Self(watch::channel(tls).1)
    }

    /// As it is now.
    #[must_use]
    pub fn get(&self) -> Tls {
        self.0.borrow().clone()
    }

    /// As it is now, where that is another than when this was asked last.
    pub(super) fn changed(&mut self) -> Option<Tls> {
        let is_changed = self.0.has_changed().unwrap_or(false);
        is_changed.then(|| self.0.borrow_and_update().clone())
    }
}

/// Looks at the files.
#[derive(Debug)]
pub struct Follower {
    tls: watch::Sender<Tls>,
    clock: Arc<dyn Clock>,
    /// How the files were when what they say was taken up.
    seen: Option<[Stamp; 3]>,
    /// What was said of files that cannot be taken up.
    told: Option<String>,
}

/// What tells that a file is another one, or was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> io::Result<Self> {
        let found = fs::metadata(path)?;
        Ok(Self {
            device: found.dev(),
            inode: found.ino(),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }

    fn all(files: &TlsFiles) -> io::Result<[Self; 3]> {
        let TlsFiles {
            ca,
            certificate,
            key,
        } = files;
        Ok([Self::of(ca)?, Self::of(certificate)?, Self::of(key)?])
    }
}

impl Follower {
    /// Follows the files of a set-up.
    #[must_use]
    pub fn new(tls: Tls, clock: Arc<dyn Clock>) -> (Self, CurrentTls) {
        let (tls, current) = watch::channel(tls);
        let follower = Self {
            tls,
            clock,
            // They may be others already than those that were read.
            seen: None,
            told: None,
        };
        (follower, CurrentTls(current))
    }

    /// The set-up as it is now.
    #[must_use]
    pub fn current(&self) -> Tls {
        self.tls.borrow().clone()
    }

    /// Looks until it is dropped.
    pub async fn run(mut self) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            blocking::in_place(|| self.look());
        }
    }

    /// Takes up what the files say, if they are others.
    pub fn look(&mut self) {
        let before = self.current();
        let stamps = Stamp::all(&before.files).ok();
        if stamps.is_some() && stamps == self.seen {
            return;
        }
        match before.again(self.clock.now()) {
            Ok(found) => {
                self.seen = stamps;
                self.told = None;
                if found.contents != before.contents {
                    info!(until = %found.until(), "A new certificate is shown from now on.");
                    self.tls.send_replace(found);
                }
            }
            Err(error) => {
                // Half of them may be there; or it holds from later on.
                let text = error.to_string();
                if self.told.as_ref() != Some(&text) {
                    warn!(
                        error = text,
                        "The certificate cannot be taken up; the one of before is shown."
                    );
                    self.told = Some(text);
                }
            }
        }
    }
}
