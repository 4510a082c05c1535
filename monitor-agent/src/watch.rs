//! Configured patterns to watched files.
//!
//! In: patterns from the configuration, changes in the directories they lead
//! through. Out: the files and directories that the kernel is to watch, and a
//! label for each. Bound: the kernel's tables; what is beyond is counted and
//! told. Loss: a file that is new or replaced is watched again within
//! milliseconds, not at once; a watched directory (`/**`) has no such moment,
//! because the kernel compares the directories above a file.
//!
//! - [`pattern`]: what a pattern says. [`resolve`]: which files fit it now.
//! - [`identities`]: who a file is, asked once.
//! - [`labels`]: the numbers in records, and what they mean.

use std::{collections::HashMap, io, os::fd::OwnedFd, sync::Arc, time::Duration};

use monitor_common::watch::{WATCH_DEVICES_MAX, WATCHES_MAX};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::Instant,
};
use tracing::{info, warn};

use crate::{
    counters::Counters,
    kernel::{KernelError, Probes, WatchEntry},
};

pub mod identities;
pub mod labels;
pub mod pattern;
pub mod resolve;

pub use identities::Identities;
pub use labels::{Label, LabelError, SharedLabels};
pub use pattern::{Pattern, PatternError};

use resolve::{Filter, Resolved};

/// One rule of the configuration.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Which files.
    pub pattern: Pattern,
    /// What they are.
    pub label: Label,
}

/// Most directories whose changes are followed.
pub const DIRECTORIES_MAX: usize = 8_192;
/// Bytes read from inotify at a time.
const CHANGES_BYTES: usize = 64 * 1024;
/// Longest time without a look at everything, should a change go unseen: on
/// some file systems (network, overlay) inotify is blind.
const RESCAN: Duration = Duration::from_secs(30);

/// Why files cannot be watched.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// Changes cannot be followed.
    #[error("following changes of directories: {0}")]
    Inotify(#[from] io::Error),
    /// The kernel's table.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The labels.
    #[error(transparent)]
    Labels(#[from] LabelError),
}

/// Follows the patterns.
#[derive(Debug)]
pub struct Watcher {
    rules: Vec<Rule>,
    labels: SharedLabels,
    identities: Identities,
    probes: Arc<Probes>,
    counters: Arc<Counters>,
    changes: AsyncFd<OwnedFd>,
    /// What matters in each directory that is followed.
    followed: HashMap<i32, Vec<Filter>>,
    /// Told once when it begins.
    beyond: bool,
}

impl Watcher {
    /// Resolves the patterns for the first time: everything that exists is
    /// watched when this returns.
    ///
    /// # Errors
    /// [`WatchError`].
    pub fn start(
        rules: Vec<Rule>,
        (labels, identities): (SharedLabels, Identities),
        probes: Arc<Probes>,
        counters: Arc<Counters>,
    ) -> Result<Self, WatchError> {
        let mut watcher = Self {
            rules,
            labels,
            identities,
            probes,
            counters,
            changes: follow()?,
            followed: HashMap::new(),
            beyond: false,
        };
        let files = watcher.look()?;
        info!(
            rules = watcher.rules.len(),
            files, "Credential files are watched."
        );
        Ok(watcher)
    }

    /// Follows changes until the task is ended.
    pub async fn run(mut self) {
        // An instant, not a pause: changes that mean nothing do not put it off.
        let mut rescan_at = Instant::now() + RESCAN;
        loop {
            let changed = tokio::time::timeout_at(rescan_at, self.changed()).await;
            match changed {
                Ok(Ok(Changed::Nothing)) => continue,
                Ok(Ok(Changed::Something)) | Err(_) => {}
                Ok(Err(error)) => {
                    warn!(%error, "Changes of directories cannot be read; looking at all of them.");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
            if let Err(error) = tokio::task::block_in_place(|| self.look()) {
                warn!(%error, "The watched files could not be brought up to date; trying again.");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            rescan_at = Instant::now() + RESCAN;
        }
    }

    /// Resolves every pattern and tells the kernel; how many are watched.
    fn look(&mut self) -> Result<usize, WatchError> {
        // Directories are followed before they are read: what changes in
        // between comes as a change.
        let mut resolved = resolve::resolve(&self.rules, &mut self.identities);
        for _ in 0..2 {
            if !self.follow(&resolved)? {
                break;
            }
            resolved = resolve::resolve(&self.rules, &mut self.identities);
        }
        let mut entries = Vec::with_capacity(resolved.files.len());
        for (file, label) in &resolved.files {
            entries.push(WatchEntry {
                file: *file,
                watch_id: self.labels.id(label)?,
            });
        }
        self.bound(&mut entries);
        let change = self.probes.watch_set(&entries)?;
        if change.written + change.removed > 0 {
            info!(
                watched = entries.len(),
                new = change.written,
                gone = change.removed,
                "The watched files changed."
            );
        }
        Ok(entries.len())
    }

    fn bound(&mut self, entries: &mut Vec<WatchEntry>) {
        let given = entries.len();
        let mut devices = std::collections::BTreeSet::new();
        entries.retain(|entry| {
            !entry.file.is_directory
                || devices.contains(&entry.file.device)
                || devices.len() < WATCH_DEVICES_MAX && devices.insert(entry.file.device)
        });
        entries.truncate(WATCHES_MAX);
        let beyond = given - entries.len();
        if beyond > 0 && !self.beyond {
            self.counters.watches_beyond.add_len(beyond);
            tracing::error!(
                beyond,
                most = WATCHES_MAX,
                most_file_systems = WATCH_DEVICES_MAX,
                "More files fit the watch patterns than can be watched; name directories (/**) instead."
            );
        }
        self.beyond = beyond > 0;
    }

    /// Follows the directories of a resolution; whether one is new.
    fn follow(&mut self, resolved: &Resolved) -> Result<bool, WatchError> {
        let flags = WatchFlags::CREATE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ATTRIB
            | WatchFlags::ONLYDIR;
        let before = std::mem::take(&mut self.followed);
        let mut new = false;
        for (directory, filters) in resolved.directories.iter().take(DIRECTORIES_MAX) {
            match inotify::add_watch(self.changes.get_ref(), directory, flags) {
                Ok(number) => {
                    new |= !before.contains_key(&number);
                    self.followed
                        .entry(number)
                        .or_default()
                        .extend(filters.iter().cloned());
                }
                // Gone meanwhile, which its parent tells.
                Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => new = true,
                Err(error) => return Err(io::Error::from(error).into()),
            }
        }
        for number in before
            .keys()
            .filter(|number| !self.followed.contains_key(number))
        {
            // Removed already when its directory is gone.
            let _ = inotify::remove_watch(self.changes.get_ref(), *number);
        }
        Ok(new)
    }

    /// Waits for changes, and says whether one matters.
    async fn changed(&mut self) -> io::Result<Changed> {
        let mut ready = self.changes.readable().await?;
        let mut matters = false;
        let mut room = vec![std::mem::MaybeUninit::uninit(); CHANGES_BYTES];
        let mut reader = inotify::Reader::new(self.changes.get_ref(), &mut room);
        loop {
            match reader.next() {
                Ok(change) => matters |= concerns(&self.followed, &change),
                Err(rustix::io::Errno::AGAIN) => break,
                Err(error) => return Err(error.into()),
            }
        }
        ready.clear_ready();
        Ok(if matters {
            Changed::Something
        } else {
            Changed::Nothing
        })
    }
}

/// What a read of changes gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Changed {
    Something,
    Nothing,
}

fn concerns(followed: &HashMap<i32, Vec<Filter>>, change: &inotify::Event<'_>) -> bool {
    let whole = ReadFlags::QUEUE_OVERFLOW
        | ReadFlags::DELETE_SELF
        | ReadFlags::MOVE_SELF
        | ReadFlags::UNMOUNT;
    if change.events().intersects(whole) {
        return true;
    }
    let Some(name) = change.file_name() else {
        return false;
    };
    let filters = followed
        .get(&change.wd())
        .map(Vec::as_slice)
        .unwrap_or_default();
    filters.iter().any(|filter| filter.matches(name.to_bytes()))
}

#[expect(
    deprecated,
    reason = "the successor is unsafe, and the descriptor is owned by what it is given to"
)]
fn follow() -> io::Result<AsyncFd<OwnedFd>> {
    let changes = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    AsyncFd::with_interest(changes, Interest::READABLE)
}

/// A path of a rule that does not exist now, for `doctor`.
#[must_use]
pub fn missing(rules: &[Rule]) -> Vec<String> {
    let absent = rules.iter().filter(|rule| !resolve::fits(rule));
    absent.map(|rule| rule.pattern.text().to_owned()).collect()
}
