//! The identity of a file, and the path that labels it.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A file as the kernel knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FileObject {
    /// Device of the file system in the kernel's own encoding (`s_dev`):
    /// `major << 20 | minor`. See [`device_from_stat`].
    pub device: u64,
    /// Inode number.
    pub inode: u64,
    /// Generation of the inode: a number used again has another one.
    pub generation: u32,
    /// Type and permissions (`i_mode`).
    pub mode: u32,
    /// Owner.
    pub owner_uid: u32,
    /// Names that the file has; 0 is a deleted file or one in memory only
    /// (`memfd_create`).
    pub links: u32,
}

/// Translates the device number that `stat` returns to the kernel's own.
#[must_use]
pub const fn device_from_stat(device: u64) -> u64 {
    let major = ((device >> 8) & 0xfff) | ((device >> 32) & !0xfff);
    let minor = (device & 0xff) | ((device >> 12) & !0xff);
    (major << 20) | (minor & 0xf_ffff)
}

/// Most bytes of a path label in a record.
pub const PATH_BYTES_MAX: usize = 4_096;
/// Most directories and mounts walked for a path.
pub const PATH_STEPS_MAX: usize = 64;
/// Most bytes of one component, its end mark included.
pub const COMPONENT_BYTES_MAX: usize = 256;

/// Size and state of the path that follows in a record.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct PathTail {
    /// Bytes in the record.
    pub bytes: u32,
    /// What is missing: bits of this type's constants; 0 when nothing is.
    pub flags: u32,
}

impl PathTail {
    /// More than [`PATH_STEPS_MAX`] steps: directories next to the root are
    /// missing.
    pub const TOO_DEEP: u32 = 1;
    /// More than [`PATH_BYTES_MAX`] bytes: directories next to the root are
    /// missing.
    pub const TOO_LONG: u32 = 2;
    /// Kernel memory could not be read: directories next to the root are
    /// missing.
    pub const UNREADABLE: u32 = 4;
    /// The file is below no mount of a namespace (`memfd_create`, a lazily
    /// unmounted disk): the label begins nowhere.
    pub const DETACHED: u32 = 8;
    /// The label begins at the root of the file's own file system: the hook is
    /// not told which mount was used. User space knows where that is mounted.
    pub const BELOW_MOUNT: u32 = 16;
}

/// The path of a file, as the dentries spelled it: for people, never for
/// decisions. Components are held from the file to the root, each ended by a
/// zero byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathLabel<'a> {
    components: &'a [u8],
    flags: u32,
}

impl<'a> PathLabel<'a> {
    pub(crate) const fn new(components: &'a [u8], flags: u32) -> Self {
        Self { components, flags }
    }

    /// The bits of [`PathTail`] that say what is missing; 0 is a whole path.
    #[must_use]
    pub const fn missing(&self) -> u32 {
        self.flags
    }

    /// Whether the path reaches from the root to the file.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.flags == 0
    }

    /// Components from the root to the file.
    pub fn components(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let bytes = self
            .components
            .strip_suffix(&[0])
            .unwrap_or(self.components);
        bytes
            .rsplit(|byte| *byte == 0)
            .filter(|component| !component.is_empty())
    }

    /// Gives the spelled path to `write`, piece by piece: `/a/b`, or `…/a/b`
    /// where directories next to the root are missing, or `a` where the file is
    /// below no mount.
    pub fn spell(&self, mut write: impl FnMut(&[u8])) {
        let detached = self.flags & PathTail::DETACHED != 0;
        if self.flags & !PathTail::DETACHED != 0 {
            write("…".as_bytes());
        }
        let mut empty = true;
        for component in self.components() {
            if !(detached && empty) {
                write(b"/");
            }
            empty = false;
            write(component);
        }
        if empty && !detached {
            write(b"/");
        }
    }
}
