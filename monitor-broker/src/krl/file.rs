//! The list on disk: put in place whole, and looked at afterwards.
//!
//! sshd reads the file at every key check. So it is never opened for writing:
//! a new one is written beside it, made durable, and renamed over it.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use super::{Krl, KrlError};

/// Everybody may read it; it holds no secret.
pub(crate) const MODE: u32 = 0o644;

/// What is wrong with a list on disk.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// There is none.
    #[error("{} does not exist", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not a list of ours.
    #[error("{} is not a revocation list of this broker: {source}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: KrlError,
    },
    /// What was read back is not what was written.
    #[error("{} does not hold what was written to it; another program writes there", path.display())]
    Differs {
        /// The file.
        path: PathBuf,
    },
}

/// Reads the list.
///
/// # Errors
/// [`FileError`]: `Missing` and `Content` can be repaired by publishing.
pub fn inspect(path: &Path) -> Result<Krl, FileError> {
    let bytes = fs::read(path).map_err(|source| {
        let path = path.to_owned();
        if source.kind() == io::ErrorKind::NotFound {
            FileError::Missing { path }
        } else {
            FileError::Io { path, source }
        }
    })?;
    Krl::decode(&bytes).map_err(|source| FileError::Content {
        path: path.into(),
        source,
    })
}

/// The list's bytes, as they are.
///
/// # Errors
/// [`FileError::Io`].
pub fn bytes(path: &Path) -> Result<Vec<u8>, FileError> {
    fs::read(path).map_err(|source| FileError::Io {
        path: path.into(),
        source,
    })
}

/// Puts a list in place: the old one or the new one is there at every instant.
/// Reads it back afterwards; gives what it wrote.
///
/// # Errors
/// [`FileError`]; unless it is `Differs`, the old list is still in place.
pub fn publish(path: &Path, krl: &Krl) -> Result<Vec<u8>, FileError> {
    let bytes = krl.encode();
    // What cannot be read back never takes the old one's place.
    match Krl::decode(&bytes) {
        Ok(read) if read == *krl => {}
        Ok(_) => return Err(FileError::Differs { path: path.into() }),
        Err(source) => {
            return Err(FileError::Content {
                path: path.into(),
                source,
            });
        }
    }
    put(path, &bytes)?;
    if inspect(path)? == *krl {
        Ok(bytes)
    } else {
        Err(FileError::Differs { path: path.into() })
    }
}

/// Puts bytes in place: the old file or the new one is there at every instant.
///
/// # Errors
/// [`FileError::Io`]; the old file is still in place.
pub fn put(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".new");
    let beside = folder.join(name);
    let wrong = |path: &Path| {
        let path = path.to_owned();
        move |source| FileError::Io { path, source }
    };
    write_durably(&beside, bytes).map_err(wrong(&beside))?;
    fs::rename(&beside, path).map_err(wrong(path))?;
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(wrong(folder))
}

fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(MODE)
        .open(path)?;
    file.set_permissions(Permissions::from_mode(MODE))?;
    file.write_all(bytes)?;
    file.sync_all()
}
