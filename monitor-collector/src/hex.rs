//! Bytes as hexadecimal digits.

use std::fmt::Write as _;

/// The bytes as lower-case hexadecimal digits.
#[must_use]
pub fn text(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            _ = write!(text, "{byte:02x}");
            text
        })
}
