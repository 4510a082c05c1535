//! A watched file was opened.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{
    file::{FileObject, PathTail},
    header::Header,
};

/// A watched file was opened. The path follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Credential {
    /// Who opened it.
    pub header: Header,
    /// The file that was opened.
    pub file: FileObject,
    /// Where it is, as the kernel's dentries say.
    pub path: PathTail,
    /// The watch that matched: the number that user space gave it.
    pub watch_id: u32,
    /// Directories between the file and the watched one: 0, the file itself is
    /// watched; 1, its directory is.
    pub levels: u32,
    /// Flags of the open file (`f_flags`): `O_RDONLY`, `O_WRONLY`, `O_RDWR`,
    /// `O_TRUNC`, `O_PATH` ...
    pub open_flags: u32,
    /// Mode of the open file (`f_mode`): 1 is readable, 2 writable.
    pub open_mode: u32,
    /// Number of the system call, as the caller's own architecture counts.
    pub syscall: u32,
    /// The descriptor that it returned.
    pub descriptor: u32,
}
