//! Commands for a shell inside one argument: `sh -c "docker login -p ..."`.
//!
//! In: one argument. Out: where its words are passwords of programs that take
//! them by options. Words are cut as a shell does, without expanding anything.

use std::ops::Range;

use super::{
    file_name,
    rules::{self, Flag},
};

/// Where secrets stand, first to last.
pub(super) fn spans(text: &[u8]) -> Vec<Range<usize>> {
    let mut spans = Vec::new();
    if !text.iter().any(u8::is_ascii_whitespace) {
        return spans;
    }
    let mut programs: Vec<&[u8]> = Vec::new();
    let (mut awaited, mut logs_in) = (false, false);
    for range in words(text) {
        let range = unquoted(text, range);
        let Some(word) = text.get(range.clone()).filter(|word| !word.is_empty()) else {
            // The end of a command.
            programs.clear();
            (awaited, logs_in) = (false, false);
            continue;
        };
        if std::mem::take(&mut awaited) && !rules::is_plain_option(word) {
            spans.push(range);
            continue;
        }
        if rules::takes_passwords(file_name(word)) {
            programs.push(file_name(word));
        }
        logs_in |= word == b"login";
        match rules::short((&programs, logs_in), word) {
            Flag::None => {}
            Flag::ValueFollows => awaited = true,
            Flag::ValueFrom(at) => spans.push(range.start + at..range.end),
        }
    }
    spans
}

/// The words; an empty one is the end of a command.
fn words(text: &[u8]) -> Vec<Range<usize>> {
    let mut words = Vec::new();
    let (mut start, mut quote, mut escaped) = (0, None, false);
    for (at, byte) in text.iter().copied().enumerate() {
        match (quote, byte) {
            _ if escaped => escaped = false,
            (None | Some(b'"'), b'\\') => escaped = true,
            (Some(open), _) => quote = Some(open).filter(|open| *open != byte),
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b';' | b'|' | b'&' | b'\n' | b'(' | b')') => {
                words.extend([start..at, at..at]);
                start = at + 1;
            }
            (None, _) if byte.is_ascii_whitespace() => {
                words.push(start..at);
                start = at + 1;
            }
            (None, _) => {}
        }
    }
    words.push(start..text.len());
    words.retain(|word| !word.is_empty() || ends(text, word.start));
    words
}

/// Whether a command ends at a place.
fn ends(text: &[u8], at: usize) -> bool {
    matches!(text.get(at), Some(b';' | b'|' | b'&' | b'\n' | b'(' | b')'))
}

/// A word without the quotes around all of it.
fn unquoted(text: &[u8], range: Range<usize>) -> Range<usize> {
    match text.get(range.clone()) {
        Some([open @ (b'"' | b'\''), .., close]) if open == close => range.start + 1..range.end - 1,
        _ => range,
    }
}
