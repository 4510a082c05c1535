//! Records shared by the kernel programs and the agent: the ABI between them.
//!
//! Everything here is `#[repr(C)]`, made of integers and byte arrays, without
//! padding (zerocopy's `IntoBytes` refuses it at compile time). Kind numbers
//! are never reused. A record whose [`Header::abi`] differs from
//! [`ABI_VERSION`] is refused, one of an unknown kind is counted.
//!
//! # Layout
//! - [`header`]: what every record begins with: who did it, when, in which session.
//! - [`exec`], [`fork`], [`exit`], [`connect`], [`local_connect`], [`socket`],
//!   [`credential`], [`memory`], [`identity`], [`signal`], [`host_change`],
//!   [`session_ended`], [`pulse`]: one record each.
//! - [`process`]: another process that a record speaks of.
//! - [`file`]: the identity of a file, and the path that labels it.
//! - [`flood`]: acts that are counted instead of being told one by one.
//! - [`mark`]: the session mark, and the tables that hold it.
//! - [`scope`]: what sessions may reach. [`watch`]: the table of watched files.
//! - [`syscall`]: which program looks at which system call.
//! - [`ring`]: the two rings, their counters and their wake-up word.
//! - [`fault`]: why something that should have been told was not.
//! - [`decode`]: bytes to record, pure. [`mod@digest`]: the digest of arguments.

#![no_std]

pub mod connect;
pub mod credential;
pub mod decode;
pub mod digest;
pub mod exec;
pub mod exit;
pub mod fault;
pub mod file;
pub mod flood;
pub mod fork;
pub mod header;
pub mod host_change;
pub mod identity;
pub mod local_connect;
pub mod mark;
pub mod memory;
pub mod process;
pub mod pulse;
pub mod ring;
pub mod scope;
pub mod session_ended;
pub mod signal;
pub mod socket;
pub mod syscall;
pub mod watch;

pub use connect::Connect;
pub use credential::{Credential, Operation};
pub use decode::{DecodeError, Record, decode};
pub use digest::DigestKey;
pub use exec::Exec;
pub use exit::Exit;
pub use fault::Fault;
pub use file::{FileObject, PathLabel};
pub use fork::Fork;
pub use header::{Header, Kind};
pub use host_change::{Change, HostChange};
pub use identity::Identity;
pub use local_connect::LocalConnect;
pub use mark::SessionMark;
pub use memory::{Memory, MemoryAccess};
pub use process::ProcessRef;
pub use pulse::Pulse;
pub use ring::Ring;
pub use session_ended::SessionEnded;
pub use signal::Signal;
pub use socket::{Socket, SocketOperation};

/// Version of the records. Raised by any change of a layout or of
/// a meaning; probes of one version are never read by an agent of another.
pub const ABI_VERSION: u16 = if cfg!(feature = "next-abi") { 6 } else { 5 };

/// Version of what the kernel programs remember from one act to the next: the
/// tables of marks, sessions, scopes, watches and files ([`mark`], [`scope`],
/// [`watch`]). Probes that follow others go on with their tables, where this is the
/// same in both; records may differ.
pub const STATE_VERSION: u16 = 1;
