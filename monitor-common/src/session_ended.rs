//! The last task of a session ended.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::header::Header;

/// The last task of a session ended. The header is that task's, and its
/// `session` the one that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SessionEnded {
    /// The last task.
    pub header: Header,
}
