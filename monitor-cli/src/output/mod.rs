//! Tables for people, JSON for programs.

use std::fmt::Write as _;

/// Text that drives no terminal: control characters and marks that reorder or
/// hide what stands around them become `\xNN`. Backslashes stay as they are,
/// since the model's own texts are escaped already.
#[must_use]
pub fn safe(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        if is_harmful(c) {
            let mut room = [0; 4];
            for byte in c.encode_utf8(&mut room).bytes() {
                // Writing to a string cannot fail.
                _ = write!(clean, "\\x{byte:02x}");
            }
        } else {
            clean.push(c);
        }
    }
    clean
}

/// Whether a terminal may take a character for more than itself.
pub(crate) fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}
