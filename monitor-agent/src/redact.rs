//! Secrets out of arguments, before anything is stored.
//!
//! In: the arguments of one program start, the path as given and the
//! interpreter's name. Out: the same with every secret replaced by
//! `[redacted:XXXXXXXX]`, eight hexadecimal digits of a digest under this
//! host's key, so that equal secrets are seen to be equal. Bound: the
//! arguments. Loss: what looks like a secret and is none is lost too.
//!
//! The digest of all arguments is made before, so that what was replaced is in
//! it. Its key comes from this host's: `docs/reference/output.md`.
//!
//! What counts as one: values of options and variables with a telling name,
//! options that certain programs take passwords by, passwords in URLs and
//! headers, tokens of known make, private keys. [`rules`] holds the lists,
//! [`shell`] looks into commands for a shell.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use hmac::{Hmac, Mac as _};
use monitor_common::digest::{DigestKey, digest};
use monitor_model::{bytes::ByteText, event::Action};
use sha2::Sha256;

pub mod rules;
mod shell;

use rules::{Flag, Rules};

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
}

/// Takes secrets out.
pub struct Redactor {
    mac: Hmac<Sha256>,
    digest_key: DigestKey,
    rules: Rules,
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
            Ok(key) => Ok(Self::new(&key)),
            Err(_) => Err(RedactError::Length {
                path: path.to_owned(),
                bytes: key.len(),
            }),
        }
    }

    /// With a key.
    #[must_use]
    pub fn new(key: &[u8; KEY_BYTES]) -> Self {
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
        Self {
            mac,
            digest_key: DigestKey::from_bytes(half),
            rules: Rules::new(),
        }
    }

    /// The key of the digests of arguments, for who makes those of long ones.
    #[must_use]
    pub const fn digest_key(&self) -> DigestKey {
        self.digest_key
    }

    /// Digests the arguments, where all are there, and takes the secrets out of
    /// what happened; how many.
    pub fn redact(&self, action: &mut Action) -> u32 {
        let Action::Exec {
            argv,
            argv_truncated,
            argv_digest,
            redacted,
            given,
            interpreter,
            script,
            ..
        } = action
        else {
            return 0;
        };
        if !*argv_truncated {
            *argv_digest = Some(self.argv_digest(argv));
        }
        let told: Vec<&[u8]> = argv.iter().map(|argument| argument.0.as_slice()).collect();
        let (cleaned, mut count) = self.arguments(&told);
        *argv = cleaned.into_iter().map(ByteText).collect();
        // The other words of the caller.
        for text in [given, interpreter] {
            let (cleaned, found) = self.within(&text.0);
            *text = ByteText(cleaned);
            count = count.saturating_add(found);
        }
        // A script is labelled with the path as given, whose secrets are counted.
        if let Some(script) = script {
            script.path.text = ByteText(self.within(&script.path.text.0).0);
        }
        *redacted = count;
        count
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

    /// Takes the secrets out of arguments; how many.
    #[must_use]
    pub fn arguments(&self, argv: &[&[u8]]) -> (Vec<Vec<u8>>, u32) {
        let mut count = 0;
        let mut cleaned = Vec::with_capacity(argv.len());
        let mut programs: Vec<&[u8]> = Vec::new();
        let mut awaited = false;
        let mut logs_in = false;
        for argument in argv {
            if std::mem::take(&mut awaited) && !rules::is_plain_option(argument) {
                count += 1;
                cleaned.push(self.digest(argument));
                continue;
            }
            if rules::takes_passwords(file_name(argument)) {
                // `sudo mysql -p...`; `mysql -h docker -p...`: any of them may be meant.
                programs.push(file_name(argument));
            }
            logs_in |= *argument == b"login";
            match self.rules.flag((&programs, logs_in), argument) {
                Flag::None => {
                    let (text, found) = self.within(argument);
                    count += found;
                    cleaned.push(text);
                }
                Flag::ValueFollows => {
                    awaited = true;
                    cleaned.push(argument.to_vec());
                }
                Flag::ValueFrom(at) => {
                    let (name, value) = argument.split_at_checked(at).unwrap_or((argument, b""));
                    count += 1;
                    cleaned.push([name, &self.digest(value)].concat());
                }
            }
        }
        (cleaned, count)
    }

    /// Secrets inside one argument: a command for a shell, a header, a URL.
    fn within(&self, argument: &[u8]) -> (Vec<u8>, u32) {
        let spans = self.rules.spans(argument);
        let count = u32::try_from(spans.len()).unwrap_or(u32::MAX);
        let mut text = Vec::with_capacity(argument.len());
        let mut done = 0;
        for span in spans {
            text.extend_from_slice(argument.get(done..span.start).unwrap_or_default());
            text.extend(self.digest(argument.get(span.clone()).unwrap_or_default()));
            done = span.end;
        }
        text.extend_from_slice(argument.get(done..).unwrap_or_default());
        (text, count)
    }

    fn digest(&self, secret: &[u8]) -> Vec<u8> {
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
        format!("[redacted:{hex}]").into_bytes()
    }
}

fn file_name(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
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
