//! Names that may hold any byte, shown without harm.

use std::fmt;

use serde::{Serialize, Serializer};

/// Bytes from a file name or an argument. Shown with everything that is not
/// printable escaped as `\xNN`, so that no terminal is ever driven by it.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteText(pub Vec<u8>);

impl ByteText {
    /// The bytes as UTF-8, if they are.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// The part after the last slash: what a person calls the program or file.
    #[must_use]
    pub fn file_name(&self) -> Self {
        Self(
            self.0
                .rsplit(|&byte| byte == b'/')
                .next()
                .unwrap_or_default()
                .to_vec(),
        )
    }
}

impl From<&str> for ByteText {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl fmt::Display for ByteText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    '\\' => f.write_str("\\\\")?,
                    c if c.is_control() || is_direction_mark(c) => {
                        let mut room = [0; 4];
                        for byte in c.encode_utf8(&mut room).bytes() {
                            write!(f, "\\x{byte:02x}")?;
                        }
                    }
                    c => write!(f, "{c}")?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// Characters that reorder or hide what stands around them.
const fn is_direction_mark(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

impl fmt::Debug for ByteText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl Serialize for ByteText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A path as the kernel told it: a label for people, never a key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct PathLabel {
    /// The path; when truncated, its last part.
    pub text: ByteText,
    /// Whether leading directories are missing.
    pub truncated: bool,
}

impl fmt::Display for PathLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.truncated {
            f.write_str("...")?;
        }
        self.text.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_bytes_and_broken_utf8_are_escaped() {
        let text = ByteText(b"a\nb\x1b[31m\xff\\\xe2\x80\xae.txt".to_vec());
        assert_eq!(
            text.to_string(),
            "a\\x0ab\\x1b[31m\\xff\\\\\\xe2\\x80\\xae.txt"
        );
    }
}
