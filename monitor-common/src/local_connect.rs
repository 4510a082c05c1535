//! A socket that does not speak IP was connected, a FIFO opened, or input pushed
//! into a terminal.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{file::FileObject, header::Header, process::ProcessRef};

/// Most bytes of a unix socket's name (`sun_path`).
pub const LOCAL_NAME_BYTES_MAX: usize = 108;

/// A unix, vsock or other socket was connected, or refused to be. IP sockets
/// are told as [`crate::Connect`], whatever their protocol. Also, with a flag of
/// their own and family 0, the open of a FIFO and input pushed into a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct LocalConnect {
    /// Who called.
    pub header: Header,
    /// The process that listens, or leads the terminal's session, where the
    /// kernel knows it.
    pub peer: ProcessRef,
    /// The file of a unix socket with a path; the FIFO; all zero otherwise.
    pub socket: FileObject,
    /// Family: 1 is unix, 40 vsock.
    pub family: u16,
    /// Type: 1 is a stream, 2 datagrams, 5 packets in sequence.
    pub socket_type: u16,
    /// Protocol.
    pub protocol: u16,
    /// Bytes of `name` that are used.
    pub name_bytes: u16,
    /// Port of a vsock address.
    pub port: u32,
    /// Context id of a vsock address.
    pub cid: u32,
    /// The watch that the socket's file matched, where [`Self::WATCHED`] is set.
    pub watch_id: u32,
    /// Bits of this type's constants.
    pub flags: u32,
    /// Name of a FIFO in its directory, or of a terminal; the name that a unix
    /// socket is bound to, from the kernel's socket where it
    /// was found there: a path, or (with [`Self::ABSTRACT`]) the name behind
    /// the zero byte. May hold any byte.
    pub name: [u8; 112],
}

impl LocalConnect {
    /// Refused, because the session is contained or killed.
    pub const DENIED: u32 = 1;
    /// The name is in the abstract namespace.
    pub const ABSTRACT: u32 = 2;
    /// `watch_id` counts.
    pub const WATCHED: u32 = 4;
    /// `name` is what the caller gave, not what the kernel's socket has.
    pub const NAME_GIVEN: u32 = 8;
    /// A FIFO was opened, or a pipe through its name in /proc.
    pub const FIFO: u32 = 16;
    /// The FIFO was opened for reading.
    pub const READS: u32 = 32;
    /// The FIFO was opened for writing.
    pub const WRITES: u32 = 64;
    /// Input was pushed into a terminal.
    pub const TERMINAL: u32 = 128;
}
