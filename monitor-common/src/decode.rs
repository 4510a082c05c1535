//! Bytes to record, pure.
//!
//! In: the bytes of one record, as they lay in a ring. Out: a [`Record`] that
//! borrows from them. Loss: none here; the caller counts each [`DecodeError`].

use core::fmt;

use zerocopy::FromBytes;

use crate::{
    ABI_VERSION, Connect, Credential, Exec, Exit, Fork, Header, HostChange, Identity, Kind,
    LocalConnect, Memory, PathLabel, Ring, SessionEnded, Signal, Socket,
};

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// A program was started.
    Exec {
        /// The fixed part.
        exec: &'a Exec,
        /// Path of the executable.
        path: PathLabel<'a>,
        /// The first bytes of the arguments: each is ended by a zero byte.
        argv: &'a [u8],
        /// The path as the caller gave it: evidence.
        given: &'a [u8],
        /// The interpreter's name as the script gave it: evidence.
        interpreter: &'a [u8],
    },
    /// A process of a session made another.
    Fork(&'a Fork),
    /// A process of a session ended.
    Exit(&'a Exit),
    /// A socket was connected.
    Connect(&'a Connect),
    /// A socket that does not speak IP was connected.
    LocalConnect(&'a LocalConnect),
    /// A socket was made, bound, made to listen, or accepted.
    Socket(&'a Socket),
    /// Something was done to a watched file.
    Credential {
        /// The fixed part.
        credential: &'a Credential,
        /// Path of the file.
        path: PathLabel<'a>,
        /// The new name of a rename or link; empty otherwise.
        other: PathLabel<'a>,
    },
    /// A process reached into another one's memory.
    Memory(&'a Memory),
    /// A process changed its user or group.
    Identity(&'a Identity),
    /// A signal went to another process.
    Signal(&'a Signal),
    /// The ground that the monitor stands on was changed.
    HostChange {
        /// The fixed part.
        change: &'a HostChange,
        /// Where; empty where it does not apply.
        path: PathLabel<'a>,
    },
    /// The last task of a session ended.
    SessionEnded(&'a SessionEnded),
}

impl<'a> Record<'a> {
    /// What every record begins with.
    #[must_use]
    pub const fn header(&self) -> &'a Header {
        match self {
            Self::Exec { exec, .. } => &exec.header,
            Self::Fork(fork) => &fork.header,
            Self::Exit(exit) => &exit.header,
            Self::Connect(connect) => &connect.header,
            Self::Credential { credential, .. } => &credential.header,
            Self::LocalConnect(connect) => &connect.header,
            Self::Socket(socket) => &socket.header,
            Self::Memory(memory) => &memory.header,
            Self::Identity(identity) => &identity.header,
            Self::Signal(signal) => &signal.header,
            Self::HostChange { change, .. } => &change.header,
            Self::SessionEnded(ended) => &ended.header,
        }
    }
}

/// Why bytes are no record. One reason a variant, for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// Fewer bytes than the fixed part of the kind, or a tail that says to be
    /// longer than the record.
    Short {
        /// Bytes that are needed.
        needed: usize,
        /// Bytes that are there.
        given: usize,
    },
    /// The record says to have another size than it has.
    Size {
        /// What the header says.
        told: u32,
        /// Bytes that are there.
        given: usize,
    },
    /// Not aligned to eight bytes: records in a ring are.
    Alignment,
    /// Written by probes of another version.
    Abi {
        /// The version of the writer.
        told: u16,
    },
    /// A kind that this agent does not know.
    UnknownKind {
        /// Its number.
        kind: u16,
    },
    /// A ring that does not exist.
    UnknownRing {
        /// Its number.
        ring: u8,
    },
}

impl DecodeError {
    /// The name used in metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Short { .. } => "short",
            Self::Size { .. } => "size",
            Self::Alignment => "alignment",
            Self::Abi { .. } => "abi",
            Self::UnknownKind { .. } => "unknown_kind",
            Self::UnknownRing { .. } => "unknown_ring",
        }
    }

    /// All names, for metrics that exist from the start.
    pub const NAMES: [&'static str; 6] = [
        "short",
        "size",
        "alignment",
        "abi",
        "unknown_kind",
        "unknown_ring",
    ];
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short { needed, given } => {
                write!(f, "record needs {needed} bytes and has {given}")
            }
            Self::Size { told, given } => {
                write!(f, "record says to have {told} bytes and has {given}")
            }
            Self::Alignment => f.write_str("record is not aligned to 8 bytes"),
            Self::Abi { told } => {
                write!(
                    f,
                    "record is of ABI version {told}, this agent reads {ABI_VERSION}"
                )
            }
            Self::UnknownKind { kind } => write!(f, "record is of the unknown kind {kind}"),
            Self::UnknownRing { ring } => write!(f, "record is of the unknown ring {ring}"),
        }
    }
}

impl core::error::Error for DecodeError {}

/// Reads one record.
///
/// # Errors
/// See [`DecodeError`]. Any bytes give a record or an error, never a panic.
pub fn decode(bytes: &[u8]) -> Result<Record<'_>, DecodeError> {
    let (header, _) = fixed::<Header>(bytes)?;
    if header.abi != ABI_VERSION {
        return Err(DecodeError::Abi { told: header.abi });
    }
    if usize::try_from(header.size) != Ok(bytes.len()) {
        return Err(DecodeError::Size {
            told: header.size,
            given: bytes.len(),
        });
    }
    if Ring::from_number(header.ring).is_none() {
        return Err(DecodeError::UnknownRing { ring: header.ring });
    }
    match header.kind {
        Kind::EXEC => decode_exec(bytes),
        Kind::FORK => Ok(Record::Fork(fixed(bytes)?.0)),
        Kind::EXIT => Ok(Record::Exit(fixed(bytes)?.0)),
        Kind::CONNECT => Ok(Record::Connect(fixed(bytes)?.0)),
        Kind::CREDENTIAL => decode_credential(bytes),
        Kind::SESSION_ENDED => Ok(Record::SessionEnded(fixed(bytes)?.0)),
        Kind::LOCAL_CONNECT => Ok(Record::LocalConnect(fixed(bytes)?.0)),
        Kind::SOCKET => Ok(Record::Socket(fixed(bytes)?.0)),
        Kind::MEMORY => Ok(Record::Memory(fixed(bytes)?.0)),
        Kind::IDENTITY => Ok(Record::Identity(fixed(bytes)?.0)),
        Kind::SIGNAL => Ok(Record::Signal(fixed(bytes)?.0)),
        Kind::HOST_CHANGE => decode_host_change(bytes),
        Kind(kind) => Err(DecodeError::UnknownKind { kind }),
    }
}

fn decode_exec(bytes: &[u8]) -> Result<Record<'_>, DecodeError> {
    let (exec, tail) = fixed::<Exec>(bytes)?;
    let (path, tail) = split(tail, exec.path.bytes)?;
    let (argv, tail) = split(tail, exec.argv_bytes)?;
    let (given, tail) = split(tail, exec.given_bytes)?;
    let (interpreter, _) = split(tail, exec.interpreter_bytes)?;
    Ok(Record::Exec {
        exec,
        path: PathLabel::new(path, exec.path.flags),
        argv,
        given,
        interpreter,
    })
}

fn decode_credential(bytes: &[u8]) -> Result<Record<'_>, DecodeError> {
    let (credential, tail) = fixed::<Credential>(bytes)?;
    let (path, tail) = split(tail, credential.path.bytes)?;
    let (other, _) = split(tail, credential.other.bytes)?;
    Ok(Record::Credential {
        credential,
        path: PathLabel::new(path, credential.path.flags),
        other: PathLabel::new(other, credential.other.flags),
    })
}

fn decode_host_change(bytes: &[u8]) -> Result<Record<'_>, DecodeError> {
    let (change, tail) = fixed::<HostChange>(bytes)?;
    let (path, _) = split(tail, change.path.bytes)?;
    let path = PathLabel::new(path, change.path.flags);
    Ok(Record::HostChange { change, path })
}

fn fixed<T>(bytes: &[u8]) -> Result<(&T, &[u8]), DecodeError>
where
    T: FromBytes + zerocopy::KnownLayout + zerocopy::Immutable,
{
    if bytes.len() < size_of::<T>() {
        return Err(DecodeError::Short {
            needed: size_of::<T>(),
            given: bytes.len(),
        });
    }
    T::ref_from_prefix(bytes).map_err(|_| DecodeError::Alignment)
}

fn split(tail: &[u8], told: u32) -> Result<(&[u8], &[u8]), DecodeError> {
    let needed = usize::try_from(told).unwrap_or(usize::MAX);
    tail.split_at_checked(needed).ok_or(DecodeError::Short {
        needed,
        given: tail.len(),
    })
}

#[cfg(test)]
mod tests;
