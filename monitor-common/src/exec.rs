//! A program was started.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{
    file::{FileObject, PathTail},
    header::Header,
};

/// Most bytes of the arguments in a record.
pub const ARGV_BYTES_MAX: usize = 4_096;

/// A program was started. The path and then the arguments follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Exec {
    /// The process, after the change of program.
    pub header: Header,
    /// The file that runs: for a script, its interpreter.
    pub exe: FileObject,
    /// Where that file is, as the kernel's dentries say.
    pub path: PathTail,
    /// Bytes of the arguments that the process was given, zero bytes between
    /// them included.
    pub argv_bytes_true: u64,
    /// Bytes of them in the record: the first ones.
    pub argv_bytes: u32,
    /// Bits of this type's constants.
    pub flags: u32,
}

impl Exec {
    /// The arguments could not be read.
    pub const ARGV_UNREADABLE: u32 = 1;
}
