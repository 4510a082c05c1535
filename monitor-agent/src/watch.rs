//! Patterns to watched files.
//!
//! In: patterns from the configuration and the catalogue, changes in the
//! directories they lead through. Out: the files, directories and names that
//! the kernel is to watch, and a label for each. Bound: the kernel's tables;
//! what is beyond is counted and told. Loss: none for what stands at a fixed
//! name in a directory that exists, or below a watched directory (`/**`): the
//! kernel compares the name and the directories above. A file that is new at a
//! name that varies (a glob), in a directory that is new itself, or on a file
//! system that is mounted below, is watched within milliseconds, not at once.
//!
//! - [`pattern`]: what a pattern says. [`homes`]: what `~` stands for.
//! - [`resolve`]: which files fit now. [`follow`]: when to look again. [`links`]: their other names.
//!   [`former`]: those that stood there before. [`mounted`]: what is mounted below.
//! - [`labels`]: the numbers in records, and what they mean.
//! - [`catalogue`]: what is watched on every host. [`programs`]: whose business
//!   it is to use it.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::Arc,
    time::Duration,
};

use monitor_common::watch::{WATCH_NAMES_MAX, WATCHES_MAX};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::{
    counters::Counters,
    kernel::{FileIdentity, KernelError, Probes, WatchEntry, WatchName},
};

pub mod catalogue;
pub mod follow;
pub mod former;
pub mod homes;
pub mod labels;
pub mod links;
pub mod mounted;
pub mod pattern;
pub mod programs;
pub mod resolve;

pub use catalogue::Catalogue;
pub use homes::Homes;
pub use labels::{Label, LabelError, SharedLabels};
pub use pattern::{Pattern, PatternError};
pub use programs::{Expectation, SharedPrograms};

use follow::{Changed, Follower, RESCAN};
use former::Former;
use mounted::Mounted;
use resolve::Resolved;

/// One rule of the configuration or the catalogue.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Which files.
    pub pattern: Pattern,
    /// What they are.
    pub label: Label,
}

/// What is watched, and whose use of it is expected.
#[derive(Clone, Debug, Default)]
pub struct Watches {
    /// Of two that fit a file the first counts.
    pub rules: Vec<Rule>,
    /// By item of the catalogue.
    pub expectations: Vec<Expectation>,
    /// Where homes are.
    pub homes: Homes,
}

/// How often it is looked below the watched directories, which may be large.
const LINKS_RESCAN: Duration = Duration::from_secs(600);
/// After a look it rests this many times as long as the look took: who makes
/// and removes files at watched names without end keeps a quarter of one
/// processor busy, not all of it. The kernel goes on watching meanwhile.
const REST: u32 = 3;

/// Why files cannot be watched.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// Changes cannot be followed.
    #[error("following changes of directories and mounts: {0}")]
    Inotify(#[from] io::Error),
    /// The kernel's table.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The labels.
    #[error(transparent)]
    Labels(#[from] LabelError),
}

/// How much is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    /// What fits the patterns.
    Patterns,
    /// Also below the watched directories, for files with several names.
    Everything,
}

/// Follows the patterns.
#[derive(Debug)]
pub struct Watcher {
    watches: Watches,
    labels: SharedLabels,
    programs: SharedPrograms,
    probes: Arc<Probes>,
    counters: Arc<Counters>,
    follower: Follower,
    mounted: Mounted,
    /// Files below watched directories that have several names.
    linked: BTreeMap<FileIdentity, Label>,
    former: Former,
    told: Told,
}

/// What was told when it began.
#[derive(Debug, Default)]
struct Told {
    beyond: bool,
    links_cut: bool,
}

impl Watcher {
    /// Resolves the patterns for the first time: everything that exists is
    /// watched when this returns.
    ///
    /// # Errors
    /// [`WatchError`].
    pub fn start(
        watches: Watches,
        (labels, programs): (SharedLabels, SharedPrograms),
        probes: Arc<Probes>,
        counters: Arc<Counters>,
    ) -> Result<Self, WatchError> {
        let mut started = Self {
            watches,
            labels,
            programs,
            probes,
            counters,
            follower: Follower::new()?,
            mounted: Mounted::new()?,
            linked: BTreeMap::new(),
            former: Former::default(),
            told: Told::default(),
        };
        let (files, names) = started.look(Extent::Everything)?;
        info!(
            rules = started.watches.rules.len(),
            files, names, "Credential files are watched."
        );
        Ok(started)
    }

    /// Follows changes until the task is ended.
    pub async fn run(mut self) {
        // Instants, not pauses: changes that mean nothing do not put them off.
        let mut rescan_at = Instant::now() + RESCAN;
        let mut links_at = Instant::now() + LINKS_RESCAN;
        let mut rested_at = Instant::now();
        loop {
            let changed = tokio::time::timeout_at(rescan_at, self.changed()).await;
            match changed {
                Ok(Ok(Changed::Nothing)) => continue,
                Ok(Ok(Changed::Something)) | Err(_) => {}
                Ok(Err(error)) => {
                    warn!(%error, "Changes of directories and mounts cannot be read; looking at all of them.");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
            tokio::time::sleep_until(rested_at).await;
            let began = Instant::now();
            let extent = if began >= links_at {
                links_at = began + LINKS_RESCAN;
                Extent::Everything
            } else {
                Extent::Patterns
            };
            if let Err(error) = tokio::task::block_in_place(|| self.look(extent)) {
                warn!(%error, "The watched files could not be brought up to date; trying again.");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            rested_at = Instant::now() + began.elapsed() * REST;
            rescan_at = Instant::now() + RESCAN;
        }
    }

    async fn changed(&mut self) -> io::Result<Changed> {
        tokio::select! {
            changed = self.follower.changed() => changed,
            changed = self.mounted.changed() => changed.map(|()| Changed::Something),
        }
    }

    /// Resolves every pattern and tells the kernel; how many files and names
    /// are watched.
    fn look(&mut self, extent: Extent) -> Result<(usize, usize), WatchError> {
        self.programs
            .refresh(&self.watches.expectations, &*self.probes);
        // Directories are followed before they are read: what changes in
        // between comes as a change.
        let mut resolved = self.resolve();
        for _ in 0..2 {
            if !self.follower.set(&resolved.directories) {
                break;
            }
            resolved = self.resolve();
        }
        if extent == Extent::Everything {
            let found = links::linked(&resolved.trees, &resolved.files, &*self.probes);
            if found.cut && !self.told.links_cut {
                warn!(
                    most = links::ENTRIES_MAX,
                    "More files lie below the watched directories than are looked at for hard links; the kernel watches those that it sees being made."
                );
            }
            self.told.links_cut = found.cut;
            self.linked = found.files;
        }
        let let_go = self.former.bring(&resolved.files);
        if let_go > 0 {
            self.counters.watches_let_go.add_len(let_go);
            warn!(
                let_go,
                most = former::FORMER_MAX,
                "Files that were replaced or moved away are watched no longer: there are more than are kept."
            );
        }
        let (mut entries, mut names) = self.entries(&resolved)?;
        self.bound(&mut entries, &mut names);
        let change = self.probes.watch(&entries, &names)?;
        if change.written + change.removed > 0 {
            info!(
                watched = entries.len(),
                names = names.len(),
                new = change.written,
                gone = change.removed,
                "The watched files changed."
            );
        }
        Ok((entries.len(), names.len()))
    }

    fn resolve(&self) -> Resolved {
        let watches = &self.watches;
        let mut resolved = resolve::resolve(&watches.rules, &watches.homes, &*self.probes);
        for expectation in &watches.expectations {
            for program in expectation.readers.iter().chain(&expectation.writers) {
                resolve::follow_path(program, &mut resolved.directories);
            }
        }
        mounted::add(&mounted::points(), &mut resolved, &*self.probes);
        resolved
    }

    /// For the kernel: what fits now, then files with several names, then
    /// former ones, newest first.
    fn entries(
        &self,
        resolved: &Resolved,
    ) -> Result<(Vec<WatchEntry>, Vec<WatchName>), LabelError> {
        let mut ids: BTreeMap<&Label, u32> = BTreeMap::new();
        let former: Vec<_> = self.former.iter().collect();
        let files = resolved.files.iter();
        let files = files.chain(&self.linked).chain(former.into_iter().rev());
        let mut taken = BTreeSet::new();
        let mut entries = Vec::new();
        for (file, label) in files {
            if taken.insert((file.device, file.inode)) {
                entries.push(WatchEntry {
                    file: *file,
                    watch_id: number(&self.labels, &mut ids, label)?,
                    operations: label.operations,
                });
            }
        }
        let mut names = Vec::new();
        for ((directory, name), label) in &resolved.names {
            let id = number(&self.labels, &mut ids, label)?;
            names.extend(WatchName::new(*directory, name, id, label.operations));
        }
        Ok((entries, names))
    }

    /// Leaves what the kernel has room for: each directory with a watched name
    /// needs an entry, too.
    fn bound(&mut self, entries: &mut Vec<WatchEntry>, names: &mut Vec<WatchName>) {
        let given = entries.len() + names.len();
        names.truncate(WATCH_NAMES_MAX);
        let directories: BTreeSet<_> = names.iter().map(WatchName::directory).collect();
        entries.truncate(WATCHES_MAX.saturating_sub(directories.len()));
        let beyond = given - entries.len() - names.len();
        if beyond > 0 && !self.told.beyond {
            self.counters.watches_beyond.add_len(beyond);
            tracing::error!(
                beyond,
                most = WATCHES_MAX,
                "More files fit the watch patterns than can be watched; name directories (/**) instead."
            );
        }
        self.told.beyond = beyond > 0;
    }
}

/// The number of a label, asked for once a look.
fn number<'a>(
    labels: &SharedLabels,
    ids: &mut BTreeMap<&'a Label, u32>,
    label: &'a Label,
) -> Result<u32, LabelError> {
    if let Some(id) = ids.get(label) {
        return Ok(*id);
    }
    let id = labels.id(label)?;
    ids.insert(label, id);
    Ok(id)
}

/// Patterns of the configuration that nothing fits now, for `doctor`. Of the
/// catalogue, nobody has everything.
#[must_use]
pub fn missing(watches: &Watches) -> Vec<String> {
    let absent = watches
        .rules
        .iter()
        .filter(|rule| rule.label.item.is_none() && !resolve::fits(rule, &watches.homes));
    absent.map(|rule| rule.pattern.text().to_owned()).collect()
}
