//! The key revocation list that sshd reads at every key check.
//!
//! The format is OpenSSH's PROTOCOL.krl, version 1. What is written here is one
//! certificates section for one CA, with serials as ranges, bitmaps and a list,
//! whichever is shorter. The reader takes that and refuses what it would lose
//! by writing again: other CAs, plain keys, key ids, signatures.
//!
//! # Layout
//! - [`serials`]: a set of serial numbers as ranges.
//! - [`encode`], [`decode`]: the format, pure.
//! - [`file`]: publication that no crash leaves half done, and inspection.

pub mod decode;
pub mod encode;
pub mod file;
pub mod serials;

#[cfg(test)]
mod tests;

pub use decode::KrlError;
pub use serials::SerialSet;

/// Length of an empty list: the header alone. A shorter file is never one of
/// ours, and sshd takes one of no bytes for "nothing is revoked".
pub const HEADER_BYTES: usize = 44;
/// Longest file that is read. A million scattered serials take 8 MB.
pub const FILE_BYTES_MAX: usize = 64 << 20;

/// `SSHKRL\n\0`.
const MAGIC: u64 = 0x5353_484b_524c_0a00;
const FORMAT_VERSION: u32 = 1;
const SECTION_CERTIFICATES: u8 = 1;
const SERIAL_LIST: u8 = 0x20;
const SERIAL_RANGE: u8 = 0x21;
const SERIAL_BITMAP: u8 = 0x22;

/// One revocation list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Krl {
    /// Number of the list, ascending.
    pub version: u64,
    /// When it was made, seconds since 1970.
    pub generated_seconds: u64,
    /// What it is, for people.
    pub comment: String,
    /// The CA's public key as a wire blob; none when no section names one.
    pub ca: Option<Vec<u8>>,
    /// Revoked serials of that CA. Zero is never among them: sshd refuses it.
    pub serials: SerialSet,
}
