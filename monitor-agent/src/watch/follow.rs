//! Changes of the directories that patterns lead through.
//!
//! Bound: [`DIRECTORIES_MAX`]; what is beyond, or cannot be followed, is told,
//! and found at the next look at everything.

use std::{collections::HashMap, io, os::fd::OwnedFd, time::Duration};

use rustix::{
    fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags},
    io::Errno,
};
use tokio::io::{Interest, unix::AsyncFd};
use tracing::warn;

use super::resolve::{Directories, Filter};

/// Most directories whose changes are followed.
pub const DIRECTORIES_MAX: usize = 8_192;
/// Bytes read from inotify at a time.
const CHANGES_BYTES: usize = 64 * 1024;
/// Longest time without a look at everything, should a change go unseen: on
/// some file systems (network, overlay) inotify is blind.
pub const RESCAN: Duration = Duration::from_secs(30);

/// What a read of changes gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    /// Something that matters.
    Something,
    /// Nothing that does.
    Nothing,
}

/// Follows directories.
#[derive(Debug)]
pub struct Follower {
    changes: AsyncFd<OwnedFd>,
    /// What matters in each directory that is followed.
    followed: HashMap<i32, Vec<Filter>>,
    /// Told when it began.
    told: bool,
}

impl Follower {
    /// Follows nothing yet.
    ///
    /// # Errors
    /// What the system says.
    #[expect(
        deprecated,
        reason = "the successor is unsafe, and the descriptor is owned by what it is given to"
    )]
    pub fn new() -> io::Result<Self> {
        let changes = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        Ok(Self {
            changes: AsyncFd::with_interest(changes, Interest::READABLE)?,
            followed: HashMap::new(),
            told: false,
        })
    }

    /// Follows these directories and no others; whether one is new.
    pub fn set(&mut self, directories: &Directories) -> bool {
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
        let mut beyond = directories.len().saturating_sub(DIRECTORIES_MAX);
        for (directory, filters) in directories.iter().take(DIRECTORIES_MAX) {
            match inotify::add_watch(self.changes.get_ref(), directory, flags) {
                Ok(number) => {
                    new |= !before.contains_key(&number);
                    let known = self.followed.entry(number).or_default();
                    known.extend(filters.iter().cloned());
                }
                // Its parent tells when it comes.
                Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(_) => beyond += 1,
            }
        }
        if beyond > 0 && !self.told {
            warn!(
                directories = beyond,
                seconds = RESCAN.as_secs(),
                "Directories cannot be followed (fs.inotify.max_user_watches?); what is new in them is found at the next look at everything."
            );
        }
        self.told = beyond > 0;
        let gone = before
            .keys()
            .filter(|number| !self.followed.contains_key(number));
        for number in gone {
            // Removed already when its directory is gone.
            let _ = inotify::remove_watch(self.changes.get_ref(), *number);
        }
        new
    }

    /// Waits for changes, and says whether one matters.
    ///
    /// # Errors
    /// What the system says.
    pub async fn changed(&mut self) -> io::Result<Changed> {
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

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use super::*;

    fn directories(paths: &[(PathBuf, &str)]) -> Directories {
        let mut directories = Directories::new();
        for (path, name) in paths {
            let filters = directories.entry(path.clone()).or_default();
            filters.push(Filter::name(name));
        }
        directories
    }

    #[tokio::test]
    async fn only_changes_of_names_that_matter_are_something() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let wanted = directories(&[(folder.path().to_owned(), "key"), (at("absent"), "x")]);
        let mut follower = Follower::new().unwrap();
        assert!(follower.set(&wanted), "the directory is new");
        assert!(!follower.set(&wanted), "it is followed already");
        fs::write(at("noise"), "").unwrap();
        assert_eq!(follower.changed().await.unwrap(), Changed::Nothing);
        for act in [
            |key: &PathBuf| fs::write(key, ""),
            |key: &PathBuf| fs::rename(key, key.with_extension("moved")),
        ] {
            act(&at("key")).unwrap();
            assert_eq!(follower.changed().await.unwrap(), Changed::Something);
        }
    }

    #[tokio::test]
    async fn a_directory_that_is_gone_is_something_and_followed_again_when_it_is_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("d");
        let wanted = directories(&[(path.clone(), "key")]);
        fs::create_dir(&path).unwrap();
        let mut follower = Follower::new().unwrap();
        assert!(follower.set(&wanted));
        fs::remove_dir(&path).unwrap();
        assert_eq!(follower.changed().await.unwrap(), Changed::Something);
        assert!(!follower.set(&wanted));
        fs::create_dir(&path).unwrap();
        assert!(follower.set(&wanted));
    }
}
