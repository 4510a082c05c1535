//! The list's file, the agent's own copy of it, and what somebody else changed.
//!
//! The copy, in the state folder, is what the file must be. It is written before
//! the file is replaced, under another name, so that a crash in between is told
//! apart from a change by somebody else.

use std::{
    fmt,
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use monitor_model::{
    clock::UnixNs,
    krl::{self, RevocationList},
};
use sha2::{Digest as _, Sha256};

use super::{
    check::check,
    disk::{
        MODE, content, folder_of, is_ours_alone, own_uid, remove, rename, sync_folder, write,
        write_beside, wrong,
    },
    error::ListError,
};

/// The copy of what is in place.
const COPY: &str = "revocation-list";
/// The copy of what is being put in place.
const NEXT: &str = "revocation-list.next";

/// That somebody else changed the file.
#[derive(Debug)]
pub struct Changed {
    /// What was found.
    pub found: Found,
    /// Whether it was put right.
    pub mended: Result<(), ListError>,
}

/// What somebody else made of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// It was gone.
    Gone,
    /// It was no regular file, or could not be read.
    NoFile,
    /// It was another, of this length and, where it was a list, number.
    Other {
        /// Its length.
        bytes: u64,
        /// Its number.
        number: Option<u64>,
    },
    /// Its owner or mode was another: who else could write it.
    Access {
        /// The owner.
        uid: u32,
        /// The mode.
        mode: u32,
    },
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("it was gone"),
            Self::NoFile => f.write_str("it was no file that can be read"),
            Self::Other {
                bytes,
                number: Some(number),
            } => write!(f, "it was list {number} of {bytes} bytes"),
            Self::Other {
                bytes,
                number: None,
            } => write!(f, "it was {bytes} bytes that are no list"),
            Self::Access { uid, mode } => {
                write!(f, "it was of uid {uid} with mode {mode:04o}")
            }
        }
    }
}

/// What a file looked like when it was found right: one that looks the same is
/// not read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Look {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Look {
    fn of(about: &Metadata) -> Self {
        Self {
            device: about.dev(),
            inode: about.ino(),
            size: about.size(),
            changed: (about.ctime(), about.ctime_nsec()),
        }
    }
}

/// What the file must be.
#[derive(Debug)]
struct Kept {
    number: u64,
    bytes: Vec<u8>,
    since: Option<UnixNs>,
}

/// The file.
#[derive(Debug)]
pub struct ListFile {
    path: PathBuf,
    folder: PathBuf,
    kept: Option<Kept>,
    right: Option<Look>,
}

impl ListFile {
    /// The file at `path`, with the agent's copy in its state folder. Finishes
    /// what a crash left undone; a file that no list came for yet is left alone.
    ///
    /// # Errors
    /// [`ListError::File`]; [`ListError::Folder`] when others than the agent can
    /// write where the file lies.
    pub fn open(path: PathBuf, folder: PathBuf) -> Result<Self, ListError> {
        is_ours_alone(folder_of(&path))?;
        let (copy, next) = (folder.join(COPY), folder.join(NEXT));
        let mut file = Self {
            path,
            folder,
            kept: read(&copy)?,
            right: None,
        };
        // Written whole before it was checked: checked again, as the first time.
        if let Some(waiting) = read(&next)? {
            let number = Some(waiting.number);
            if file.number() < number && check(&next).is_ok() {
                file.place(waiting)?;
            }
        }
        remove(&next)?;
        Ok(file)
    }

    /// Where sshd reads it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The number of the list in place; none before the first.
    #[must_use]
    pub fn number(&self) -> Option<u64> {
        self.kept.as_ref().map(|kept| kept.number)
    }

    /// Since when it is in place, by the copy's time; none before the first.
    #[must_use]
    pub fn since(&self) -> Option<UnixNs> {
        self.kept.as_ref().and_then(|kept| kept.since)
    }

    /// Puts a list in place; one that is there already is a success.
    ///
    /// # Errors
    /// [`ListError`]. The list before is still in place, but where the disk
    /// failed when the new one was there: [`Self::number`] says which it is.
    pub fn install(&mut self, list: &RevocationList) -> Result<(), ListError> {
        let number = list.number;
        let in_place = match &self.kept {
            Some(kept) if kept.number == number && kept.bytes == list.bytes => return Ok(()),
            Some(kept) if kept.number == number => return Err(ListError::Differs { number }),
            Some(kept) => Some(kept.number),
            // Brought there by other means, before the agent kept it.
            None => content(&self.path)
                .ok()
                .and_then(|(_, bytes)| krl::number(&bytes).ok()),
        };
        if let Some(in_place) = in_place.filter(|in_place| *in_place > number) {
            return Err(ListError::Older { number, in_place });
        }
        let digest = Sha256::digest(&list.bytes).into();
        list.check(digest)
            .map_err(|source| ListError::List { number, source })?;
        let next = self.folder.join(NEXT);
        write(&next, &list.bytes)?;
        if let Err(said) = check(&next) {
            remove(&next)?;
            return Err(ListError::Unreadable { number, said });
        }
        self.place(Kept {
            number,
            bytes: list.bytes.clone(),
            since: None,
        })
    }

    /// Puts in place what the next copy has, and makes it the copy.
    fn place(&mut self, next: Kept) -> Result<(), ListError> {
        let beside = write_beside(&self.path, &next.bytes)?;
        rename(&beside, &self.path)?;
        // From here on it is there, and the one before must not come back.
        self.kept = Some(next);
        self.right = None;
        sync_folder(&self.path)?;
        let copy = self.folder.join(COPY);
        rename(&self.folder.join(NEXT), &copy)?;
        sync_folder(&copy)
    }

    /// Looks whether the file is what it must be, and puts it right; says what
    /// was found otherwise.
    pub fn look(&mut self) -> Option<Changed> {
        let kept = self.kept.as_ref()?;
        match found(&self.path, &kept.bytes, self.right) {
            Ok(right) => {
                self.right = Some(right);
                None
            }
            Err(found) => {
                self.right = None;
                let mended = write_beside(&self.path, &kept.bytes)
                    .and_then(|beside| rename(&beside, &self.path))
                    .and_then(|()| sync_folder(&self.path));
                Some(Changed { found, mended })
            }
        }
    }
}

/// How a file looks that is as it must be; what of it is not, otherwise.
fn found(path: &Path, wanted: &[u8], right: Option<Look>) -> Result<Look, Found> {
    let about = fs::symlink_metadata(path).map_err(|error| unread(&error))?;
    if right == Some(Look::of(&about)) {
        return Ok(Look::of(&about));
    }
    let (about, content) = content(path).map_err(|error| unread(&error))?;
    if content != wanted {
        return Err(Found::Other {
            bytes: about.size(),
            number: krl::number(&content).ok(),
        });
    }
    // Its owner is who writes it: the agent.
    let (uid, mode) = (about.uid(), about.mode() & 0o7777);
    if mode != MODE || uid != own_uid() {
        return Err(Found::Access { uid, mode });
    }
    Ok(Look::of(&about))
}

fn unread(error: &io::Error) -> Found {
    if error.kind() == io::ErrorKind::NotFound {
        Found::Gone
    } else {
        Found::NoFile
    }
}

/// A copy, if there is a whole one. A broken one is as none: the collector
/// sends the list again.
fn read(path: &Path) -> Result<Option<Kept>, ListError> {
    match content(path) {
        Ok((about, bytes)) => {
            let number = krl::number(&bytes).ok();
            let since = about.modified().ok();
            let since = since.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
            let since = since.and_then(|at| u64::try_from(at.as_nanos()).ok());
            let since = since.map(UnixNs);
            Ok(number.map(|number| Kept {
                number,
                bytes,
                since,
            }))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(wrong(path, source)),
    }
}
