//! Why a list is not in place.

use std::{io, path::PathBuf};

use monitor_model::krl::InvalidList;

/// Why a list is not in place.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// The list itself.
    #[error("revocation list {number} is not taken: {source}")]
    List {
        /// Its number.
        number: u64,
        /// What is wrong with it.
        source: InvalidList,
    },
    /// What sshd's own program says of it.
    #[error("revocation list {number} is not taken, since ssh-keygen -Q will not read it: {said}")]
    Unreadable {
        /// Its number.
        number: u64,
        /// What it said.
        said: String,
    },
    /// It is older than the one in place.
    #[error(
        "revocation list {number} is not taken: {in_place} is in place, and a host never goes back; a broker that lost its count goes on above {in_place}"
    )]
    Older {
        /// Its number.
        number: u64,
        /// The number of the one in place.
        in_place: u64,
    },
    /// It is not the one of its number that is in place.
    #[error(
        "revocation list {number} is not taken: another of that number is in place; each list has a number of its own"
    )]
    Differs {
        /// The number of both.
        number: u64,
    },
    /// Others could replace the file at any time.
    #[error(
        "{} belongs to uid {uid} with mode {mode:04o}: choose a folder that root alone can write to",
        path.display()
    )]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Its owner.
        uid: u32,
        /// Its mode.
        mode: u32,
    },
    /// A file.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}
