//! Something was done to a watched file.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{
    file::{FileObject, PathTail},
    header::Header,
};

/// What was done. An integer, never transmuted to an enum; numbers are never
/// reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct Operation(pub u32);

impl Operation {
    /// Opened, for what [`Credential::open_flags`] say.
    pub const OPENED: Self = Self(1);
    /// Opened by execve, as program or interpreter.
    pub const EXECUTED: Self = Self(2);
    /// A descriptor of it arrived from another process (`SCM_RIGHTS`,
    /// `pidfd_getfd`).
    pub const RECEIVED: Self = Self(3);
    /// Read or written through a descriptor that this session did not open.
    /// Told once for each open file and session.
    pub const USED_ELSEWHERE: Self = Self(4);
    /// Mapped into memory through such a descriptor.
    pub const MAPPED: Self = Self(5);
    /// A file, directory, socket or device node was made below a watched
    /// directory or at a watched name. `file` is its directory: it has no
    /// inode yet.
    pub const CREATED: Self = Self(6);
    /// Its size was set.
    pub const TRUNCATED: Self = Self(7);
    /// Its permissions were set.
    pub const MODE_CHANGED: Self = Self(8);
    /// Its owner or group was set.
    pub const OWNER_CHANGED: Self = Self(9);
    /// Renamed; [`Credential::other`] is the new name.
    pub const RENAMED: Self = Self(10);
    /// Given a further name, [`Credential::other`].
    pub const LINKED: Self = Self(11);
    /// A symbolic link was made below a watched directory or at a watched
    /// name. `file` is its directory.
    pub const SYMLINKED: Self = Self(12);
    /// A name of it was removed.
    pub const REMOVED: Self = Self(13);
    /// An extended attribute or access list was set or removed.
    pub const ATTRIBUTES_CHANGED: Self = Self(14);
}

/// Something was done to a watched file. Two tails follow: its path, and the
/// other path of a rename or link. Where [`Credential::count`] is more than 1, the
/// same process did it that often: the header's time is that of the last act, and
/// thread, name, system call, descriptor and paths are those of the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Credential {
    /// Who did it.
    pub header: Header,
    /// The file.
    pub file: FileObject,
    /// Where it is, as the kernel's dentries say.
    pub path: PathTail,
    /// The new name of a rename or link; no bytes otherwise.
    pub other: PathTail,
    /// The watch that matched: the number that user space gave it, or one of
    /// the `WATCH_ID_` constants of [`crate::watch`].
    pub watch_id: u32,
    /// Directories between the file and the watched one: 0, the file itself is
    /// watched; 1, its directory is.
    pub levels: u32,
    /// What was done.
    pub operation: Operation,
    /// Bits of this type's constants.
    pub flags: u32,
    /// Flags of the open file (`f_flags`): `O_RDONLY`, `O_WRONLY`, `O_RDWR`,
    /// `O_TRUNC` ...; for [`Operation::MODE_CHANGED`] the new mode, for
    /// [`Operation::OWNER_CHANGED`] the new owner, otherwise 0.
    pub open_flags: u32,
    /// Mode of the open file (`f_mode`): 1 is readable, 2 writable; 0 where no
    /// file is open.
    pub open_mode: u32,
    /// Number of the system call, as the caller's own architecture counts;
    /// `u32::MAX` where it is not known (`io_uring` workers).
    pub syscall: u32,
    /// The descriptor that it returned; `u32::MAX` where it is not known.
    pub descriptor: u32,
    /// When the first act was done, nanoseconds since boot; as the header's time
    /// where it is one.
    pub first_boot_ns: u64,
    /// How many acts this record stands for: 1 but for a flood.
    pub count: u32,
    /// Zero.
    pub reserved: u32,
}

impl Credential {
    /// Refused, because the session is contained or killed.
    pub const DENIED: u32 = 1;
    /// A rename or link took the place of another file of that name.
    pub const REPLACED: u32 = 2;
    /// The watched file was found through a name that it was learned by: a
    /// hard link, or a file that was moved out of a watched directory.
    pub const LEARNED: u32 = 4;
    /// Done by `io_uring` on behalf of the process.
    pub const IO_URING: u32 = 8;
}
