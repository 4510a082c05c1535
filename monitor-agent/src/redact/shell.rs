//! Words and commands, as a shell cuts them, each byte with its origin.
//!
//! In: one argument, or a word of a command that was cut from one. Out: the
//! commands, their words without quotes. Nothing is expanded. Bound: every byte
//! is read once.

use std::ops::Range;

/// A word: an argument, or part of one without its quotes.
#[derive(Clone, Debug)]
pub(super) struct Word {
    /// Which argument it is from.
    pub(super) argument: usize,
    /// What it says.
    pub(super) bytes: Vec<u8>,
    /// Whether its end is missing.
    pub(super) cut: bool,
    /// Whether a shell would put variables in: no `$` of it was quoted.
    pub(super) expands: bool,
    /// Where in the argument each byte stands; the same place where none.
    at: Option<Vec<usize>>,
}

impl Word {
    /// A whole argument.
    pub(super) fn argument(argument: usize, bytes: &[u8], cut: bool) -> Self {
        Self {
            argument,
            bytes: bytes.to_vec(),
            cut,
            expands: false,
            at: None,
        }
    }

    /// Where in the argument a part of the word stands.
    pub(super) fn origin(&self, range: &Range<usize>) -> Range<usize> {
        let Some(at) = &self.at else {
            return range.clone();
        };
        let last = range.end.checked_sub(1).and_then(|last| at.get(last));
        match (at.get(range.start), last) {
            (Some(start), Some(last)) if range.start < range.end => *start..last + 1,
            _ => 0..0,
        }
    }

    fn place(&self, at: usize) -> usize {
        self.at
            .as_ref()
            .map_or(at, |places| places.get(at).copied().unwrap_or_default())
    }

    /// Whether there is more than one word in it.
    pub(super) fn has_blanks(&self) -> bool {
        self.bytes.iter().any(u8::is_ascii_whitespace)
    }
}

/// One command, and whether what it writes goes to the next.
#[derive(Debug, Default)]
pub(super) struct Command {
    pub(super) words: Vec<Word>,
    pub(super) piped: bool,
}

/// The sign before a text that a command reads as its input.
pub(super) const HERE: &[u8] = b"<<<";

/// The commands of a text.
pub(super) fn commands(text: &Word) -> Vec<Command> {
    let mut cutter = Cutter {
        text,
        commands: Vec::new(),
        command: Command::default(),
        word: None,
    };
    let mut at = 0;
    let mut quote = None;
    while let Some(byte) = text.bytes.get(at).copied() {
        let next = text.bytes.get(at + 1).copied();
        at += match (quote, byte) {
            (Some(b'\''), b'\'') | (Some(b'"'), b'"') => {
                quote = None;
                1
            }
            (Some(b'"'), b'\\') if matches!(next, Some(b'"' | b'\\' | b'$' | b'`')) => {
                cutter.keep(at + 1, next, true)
            }
            (Some(open), _) => cutter.keep(at, Some(byte), open == b'\'') - 1,
            (None, b'$') if matches!(next, Some(b'\'' | b'"')) => 1,
            (None, b'\'' | b'"') => {
                cutter.begin(at);
                quote = Some(byte);
                1
            }
            (None, b'\\') => cutter.keep(at + 1, next, true),
            (None, _) => cutter.bare(at, byte),
        };
    }
    cutter.end_word(true);
    cutter.end_command(false);
    cutter.commands
}

struct Cutter<'a> {
    text: &'a Word,
    commands: Vec<Command>,
    command: Command,
    word: Option<Word>,
}

impl Cutter<'_> {
    /// A byte outside of quotes; how many bytes were read.
    fn bare(&mut self, at: usize, byte: u8) -> usize {
        let rest = self.text.bytes.get(at..).unwrap_or_default();
        match byte {
            b'|' => {
                self.end_word(false);
                let is_pipe = !rest.starts_with(b"||");
                self.end_command(is_pipe);
                if rest.starts_with(b"||") || rest.starts_with(b"|&") {
                    2
                } else {
                    1
                }
            }
            b'<' if rest.starts_with(HERE) => {
                self.end_word(false);
                for offset in 0..HERE.len() {
                    self.keep(at + offset, Some(b'<'), true);
                }
                self.end_word(false);
                HERE.len()
            }
            b';' | b'&' | b'\n' | b'(' | b')' | b'`' => {
                self.end_word(false);
                self.end_command(false);
                1
            }
            b'<' | b'>' => {
                self.end_word(false);
                1
            }
            _ if byte.is_ascii_whitespace() => {
                self.end_word(false);
                1
            }
            _ => self.keep(at, Some(byte), false) - 1,
        }
    }

    fn begin(&mut self, at: usize) -> &mut Word {
        let argument = self.text.argument;
        let room = self.text.bytes.len().saturating_sub(at).min(32);
        self.word.get_or_insert_with(|| Word {
            argument,
            bytes: Vec::with_capacity(room),
            cut: false,
            expands: true,
            at: Some(Vec::with_capacity(room)),
        })
    }

    /// Keeps a byte; two bytes were read: it, and the sign before it.
    fn keep(&mut self, at: usize, byte: Option<u8>, is_literal: bool) -> usize {
        let Some(byte) = byte else { return 2 };
        let place = self.text.place(at);
        let word = self.begin(at);
        word.bytes.push(byte);
        word.expands &= !(is_literal && byte == b'$');
        if let Some(places) = &mut word.at {
            places.push(place);
        }
        2
    }

    fn end_word(&mut self, is_last: bool) {
        if let Some(mut word) = self.word.take() {
            word.cut = is_last && self.text.cut;
            self.command.words.push(word);
        }
    }

    fn end_command(&mut self, piped: bool) {
        if !self.command.words.is_empty() {
            self.command.piped = piped;
            self.commands.push(std::mem::take(&mut self.command));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<Vec<String>> {
        let text = Word::argument(0, text.as_bytes(), false);
        let said = |word: &Word| String::from_utf8(word.bytes.clone()).unwrap();
        commands(&text)
            .iter()
            .map(|one| one.words.iter().map(said).collect())
            .collect()
    }

    #[test]
    fn words_are_those_of_a_shell() {
        assert_eq!(
            cut("a 'b c' d\"e f\"g\\ h; i|j"),
            [vec!["a", "b c", "de fg h"], vec!["i"], vec!["j"]]
        );
        assert_eq!(
            cut("a \"b \\\"c\\\"\" $'d' ''"),
            [vec!["a", "b \"c\"", "d", ""]]
        );
        assert_eq!(
            cut("sudo -S id <<< 'x y'"),
            [vec!["sudo", "-S", "id", "<<<", "x y"]]
        );
        assert_eq!(cut("'unfinished ; ("), [vec!["unfinished ; ("]]);
    }

    #[test]
    fn bytes_know_where_they_are_from_through_two_shells() {
        let text = "bash -c \"mysql -p'a b'\"";
        let outer = commands(&Word::argument(3, text.as_bytes(), false));
        let inner = commands(&outer[0].words[2]);
        let word = &inner[0].words[1];
        assert_eq!(
            (word.bytes.as_slice(), word.argument),
            (b"-pa b".as_slice(), 3)
        );
        assert_eq!(&text[word.origin(&(2..5))], "a b");
    }
}
