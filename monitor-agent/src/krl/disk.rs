//! Single steps on files, each of which tells the file that failed.

use std::{
    fs::{self, File, Metadata, OpenOptions, Permissions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use monitor_model::krl::LIST_BYTES_MAX;

use super::error::ListError;

/// Everybody may read it; it holds no secret.
pub(super) const MODE: u32 = 0o644;
/// Who but its owner may write: nobody.
const WRITTEN_BY_OTHERS: u32 = 0o022;

/// A regular file's first bytes, one more than a list has at most; never waits
/// for what is none, and follows no link.
pub(super) fn content(path: &Path) -> io::Result<(Metadata, Vec<u8>)> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)?;
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let most = u64::try_from(LIST_BYTES_MAX).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok((about, bytes))
}

/// Writes bytes beside a path, to be renamed over it: the old ones or the new
/// ones are there at every instant.
pub(super) fn write_beside(path: &Path, bytes: &[u8]) -> Result<PathBuf, ListError> {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".new");
    let beside = path.with_file_name(name);
    write(&beside, bytes)?;
    Ok(beside)
}

/// Writes a file of its own, whole and durable.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), ListError> {
    // What lies there may be anything, a link too.
    remove(path)?;
    let written = || -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(MODE)
            .open(path)?;
        file.set_permissions(Permissions::from_mode(MODE))?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    written().map_err(|source| wrong(path, source))
}

pub(super) fn rename(from: &Path, to: &Path) -> Result<(), ListError> {
    fs::rename(from, to).map_err(|source| wrong(to, source))
}

pub(super) fn remove(path: &Path) -> Result<(), ListError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(wrong(path, error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

pub(super) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Makes durable that a file is there by that name.
pub(super) fn sync_folder(path: &Path) -> Result<(), ListError> {
    let folder = folder_of(path);
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|source| wrong(folder, source))
}

/// Refuses a folder where others than root and the agent can put files.
pub(super) fn is_ours_alone(folder: &Path) -> Result<(), ListError> {
    let about = fs::metadata(folder).map_err(|source| wrong(folder, source))?;
    let (uid, mode) = (about.uid(), about.mode() & 0o7777);
    let is_ours = uid == 0 || uid == own_uid();
    if is_ours && mode & WRITTEN_BY_OTHERS == 0 {
        return Ok(());
    }
    Err(ListError::Folder {
        path: folder.into(),
        uid,
        mode,
    })
}

pub(super) fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

pub(super) fn wrong(path: &Path, source: io::Error) -> ListError {
    ListError::File {
        path: path.into(),
        source,
    }
}
