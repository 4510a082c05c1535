//! A program was started.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{
    file::{FileObject, PathTail},
    header::Header,
};

/// Most bytes of the arguments in a record.
pub const ARGV_BYTES_MAX: usize = 4_096;
/// Most bytes of arguments that the kernel digests: what Linux allows arguments
/// and environment together (since 4.13).
pub const ARGV_DIGEST_BYTES_MAX: u64 = 6 << 20;
/// Most bytes of the path as given in a record.
pub const GIVEN_BYTES_MAX: usize = 1_024;
/// Most bytes of the interpreter's name in a record (the kernel reads at most
/// 256 bytes of a script's first line).
pub const INTERPRETER_BYTES_MAX: usize = 256;

/// A program was started. Four tails follow: the path, the arguments, the path
/// as given, and the interpreter's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Exec {
    /// The process, after the change of program.
    pub header: Header,
    /// The file that runs: for a script, its interpreter.
    pub exe: FileObject,
    /// The script that the interpreter was started for: the file that execve
    /// was given. All zero where [`Self::SCRIPT_KNOWN`] is not set.
    pub script: FileObject,
    /// Where the file that runs is, as the kernel's dentries say.
    pub path: PathTail,
    /// Digest ([`mod@crate::digest`]) of all arguments where the record lacks
    /// some; means something where [`Self::DIGEST_KNOWN`] is set. Of arguments
    /// that are all there whoever reads the record can make it.
    pub argv_digest: u64,
    /// Number of its controlling terminal, as the kernel keeps device numbers
    /// (`major << 20 | minor`); 0 where it has none, or cannot be told.
    pub terminal: u64,
    /// Bytes of the arguments that the process was given, zero bytes between
    /// them included.
    pub argv_bytes_true: u64,
    /// Bytes of them in the record: the first ones.
    pub argv_bytes: u32,
    /// Bits of this type's constants.
    pub flags: u32,
    /// Bytes of the path as given in the record, without an end mark. Evidence:
    /// the kernel's copy of what the caller named, before links were followed.
    pub given_bytes: u32,
    /// Bytes of the interpreter's name in the record, without an end mark; as
    /// long as `given` and equal to it where there is no interpreter.
    pub interpreter_bytes: u32,
}

impl Exec {
    /// The arguments could not be read.
    pub const ARGV_UNREADABLE: u32 = 1;
    /// `script` is the file that execve was given, and not the one that runs.
    pub const SCRIPT_KNOWN: u32 = 2;
    /// It is known that the file that runs is the one that execve was given,
    /// or `script` is set. Without it this tier cannot tell scripts.
    pub const SCRIPT_SEEN: u32 = 4;
    /// `argv_digest` is over all arguments.
    pub const DIGEST_KNOWN: u32 = 8;
    /// The path as given was longer than the record's part of it.
    pub const GIVEN_CUT: u32 = 16;
}
