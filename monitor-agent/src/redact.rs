//! Secrets out of what people wrote, before anything is stored.
//!
//! In: an event. Out: the same with every secret in it replaced by
//! `[redacted:RULE:XXXXXXXX]`: the rule that found it, and eight hexadecimal
//! digits of a digest under this host's key, so that equal secrets are seen to
//! be equal. Bound: time grows with the length of the texts alone. Loss: what
//! looks like a secret and is none is lost too; what no rule knows stays.
//! Measured: `docs/reference/redaction.md`.
//!
//! The digest of all arguments is made before, so that what was replaced is in
//! it. Its key comes from this host's: `docs/reference/output.md`.
//!
//! # Layout
//! - [`rule`]: the rules' names, and what they find.
//! - `command`: secrets by their place in a command, with `programs` (the table
//!   of programs and their options), `carriers` (programs that start others) and
//!   `shell` (words and commands of a text).
//! - `inside`: secrets inside one text, with `names` (telling names), `tokens`
//!   (formats of tokens) and `statements` (SQL and the like).
//! - `clean`: names that were looked through before, without a secret.
//! - `events`: which texts of an event people wrote.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use hmac::{Hmac, Mac as _};
use monitor_common::digest::{DigestKey, digest};
use monitor_model::bytes::ByteText;
use sha2::Sha256;

mod carriers;
mod clean;
mod command;
mod events;
mod inside;
mod names;
mod options;
mod programs;
pub mod rule;
mod shell;
mod statements;
mod table;
mod tokens;

use clean::Clean;
use command::{Look, Walk};
use inside::Reading;
use rule::{Found, Rule, merged};
use shell::Word;
use statements::Statements;

/// Bytes of the key.
const KEY_BYTES: usize = 32;
/// What the key of the digests of arguments is made of, beside the host's.
const DIGEST_LABEL: &[u8] = b"argv_digest";
/// Hexadecimal digits of a digest that are shown.
const DIGITS: usize = 8;

/// The key of the digests cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum RedactError {
    /// The file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not what it should be.
    #[error(
        "{} holds {bytes} bytes, and a key has {KEY_BYTES}: remove it, and a new one is made \
         (digests of before then no longer compare)", path.display()
    )]
    Length {
        /// The file.
        path: PathBuf,
        /// Bytes found.
        bytes: usize,
    },
    /// A pattern does not compile: a mistake in this program.
    #[error("a pattern for secrets does not compile: {0}")]
    Pattern(#[from] regex::Error),
}

/// Takes secrets out.
pub struct Redactor {
    mac: Hmac<Sha256>,
    digest_key: DigestKey,
    statements: Statements,
    clean: Clean,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redactor").finish_non_exhaustive()
    }
}

impl Redactor {
    /// With the key in a file; made at the first start, for root alone.
    ///
    /// # Errors
    /// [`RedactError`].
    pub fn open(path: &Path) -> Result<Self, RedactError> {
        let failed = |source| RedactError::File {
            path: path.to_owned(),
            source,
        };
        let key = match fs::read(path) {
            Ok(key) => key,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make_key(path).map_err(failed)?
            }
            Err(error) => return Err(failed(error)),
        };
        match <[u8; KEY_BYTES]>::try_from(key.as_slice()) {
            Ok(key) => Self::new(&key),
            Err(_) => Err(RedactError::Length {
                path: path.to_owned(),
                bytes: key.len(),
            }),
        }
    }

    /// With a key.
    ///
    /// # Errors
    /// [`RedactError::Pattern`].
    pub fn new(key: &[u8; KEY_BYTES]) -> Result<Self, RedactError> {
        // The block is longer than the key: this is what `new_from_slice` does.
        let mut block = hmac::digest::generic_array::GenericArray::default();
        for (to, from) in block.iter_mut().zip(key) {
            *to = *from;
        }
        let mac: Hmac<Sha256> = Hmac::new(&block);
        let derived = mac
            .clone()
            .chain_update(DIGEST_LABEL)
            .finalize()
            .into_bytes();
        let mut half = [0; 16];
        for (to, from) in half.iter_mut().zip(derived) {
            *to = from;
        }
        Ok(Self {
            mac,
            digest_key: DigestKey::from_bytes(half),
            statements: Statements::new()?,
            clean: Clean::default(),
        })
    }

    /// The key of the digests of arguments, for who makes those of long ones.
    #[must_use]
    pub const fn digest_key(&self) -> DigestKey {
        self.digest_key
    }

    /// The digest of the memory that held these arguments: each ends with a zero
    /// byte.
    fn argv_digest(&self, argv: &[ByteText]) -> u64 {
        let bytes = argv.iter().map(|argument| argument.0.len() + 1).sum();
        let mut area = Vec::with_capacity(bytes);
        for argument in argv {
            area.extend_from_slice(&argument.0);
            area.push(0);
        }
        digest(self.digest_key, &area)
    }

    /// Takes the secrets out of arguments; how many. `exe`: the file name of
    /// the program as the kernel knows it, empty where it does not; `cut`: the
    /// arguments go on, unseen.
    #[must_use]
    pub fn arguments(&self, argv: &[&[u8]], exe: &[u8], cut: Cut) -> (Vec<Vec<u8>>, u32) {
        let found = self.find(argv, exe, cut);
        let count = found.iter().map(Vec::len).sum::<usize>();
        let cleaned = argv
            .iter()
            .zip(&found)
            .map(|(argument, found)| self.replaced(argument, found));
        (cleaned.collect(), u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// Where secrets stand in arguments: of each, first to last, none
    /// overlapping.
    #[must_use]
    pub fn find(&self, argv: &[&[u8]], exe: &[u8], cut: Cut) -> Vec<Vec<Found>> {
        let last = argv.len().saturating_sub(1);
        let words: Vec<Word> = argv
            .iter()
            .enumerate()
            .map(|(at, argument)| Word::argument(at, argument, cut == Cut::Yes && at == last))
            .collect();
        let mut walk = Walk::new(&self.statements, argv.len());
        walk.command(&words, exe, (0, Look::Whole));
        walk.found.into_iter().map(merged).collect()
    }

    /// A name (a path, an account, a title) without its secrets, and how many
    /// those were; nothing where there are none.
    fn name(&self, text: &[u8], cut: Cut) -> Option<(Vec<u8>, u32)> {
        if self.clean.has(text, cut) {
            return None;
        }
        let reading = Reading {
            cut: cut == Cut::Yes,
            expands: false,
            is_prose: false,
        };
        let mut found = Vec::new();
        inside::find(text, reading, &mut found);
        let found = merged(found);
        if found.is_empty() {
            self.clean.keep(text, cut);
            return None;
        }
        let count = u32::try_from(found.len()).unwrap_or(u32::MAX);
        Some((self.replaced(text, &found), count))
    }

    fn replaced(&self, argument: &[u8], found: &[Found]) -> Vec<u8> {
        let mut text = Vec::with_capacity(argument.len());
        let mut done = 0;
        for Found { range, rule } in found {
            text.extend_from_slice(argument.get(done..range.start).unwrap_or_default());
            text.extend(self.sign(argument.get(range.clone()).unwrap_or_default(), *rule));
            done = range.end;
        }
        text.extend_from_slice(argument.get(done..).unwrap_or_default());
        text
    }

    /// What takes a secret's place.
    fn sign(&self, secret: &[u8], rule: Rule) -> Vec<u8> {
        let mut mac = self.mac.clone();
        mac.update(secret);
        let digest = mac.finalize().into_bytes();
        let hex: String = digest
            .iter()
            .flat_map(|byte| [byte >> 4, byte & 15])
            .take(DIGITS)
            .fold(String::new(), |mut hex, digit| {
                hex.push(char::from_digit(digit.into(), 16).unwrap_or('0'));
                hex
            });
        format!("[redacted:{}:{hex}]", rule.as_str()).into_bytes()
    }
}

/// Whether the end of a text is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// It is.
    Yes,
    /// It is all there.
    No,
}

fn file_name(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}

/// Where a text first holds another one.
fn position(text: &[u8], sought: &[u8]) -> Option<usize> {
    let first = *sought.first()?;
    let mut at = 0;
    loop {
        at += text.get(at..)?.iter().position(|byte| *byte == first)?;
        if text.get(at..)?.starts_with(sought) {
            return Some(at);
        }
        at += 1;
    }
}

fn make_key(path: &Path) -> io::Result<Vec<u8>> {
    let mut key = Vec::with_capacity(KEY_BYTES);
    fs::File::open("/dev/urandom")?
        .take(KEY_BYTES.try_into().unwrap_or(0))
        .read_to_end(&mut key)?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(&key)?;
    file.sync_all()?;
    Ok(key)
}

#[cfg(test)]
mod tests;
