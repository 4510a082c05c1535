//! Who signs: one key a collector, under a name of its own in each tenant's log.
//!
//! Texts are those of `c2sp.org/signed-note`: `PRIVATE+KEY+NAME+ID+DATA` and
//! `NAME+ID+DATA`. Signatures in the log of a tenant are made as `NAME/TENANT`,
//! which is also the log's origin, so that a checkpoint of one tenant is no
//! checkpoint of another and names no other.

use std::{
    fmt,
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::SigningKey;
use signed_note::{StandardSigner, StandardVerifier};

/// A signature of Ed25519, as signed notes number it.
const ED25519: u8 = 1;
/// Longest name of a key in bytes.
pub const KEY_NAME_BYTES_MAX: usize = 128;
/// Largest key file in bytes.
const FILE_BYTES_MAX: u64 = 4_096;

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others than its owner may read it.
    #[error("{}: its mode is {mode:04o}; a key is for its owner alone: chmod 600", path.display())]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is no regular file, or far too large for a key.
    #[error("{}: not a key file; make one with: monitor-collector ledger-key, or monitor-witness key", path.display())]
    NotAFile {
        /// The file.
        path: PathBuf,
    },
    /// The text is no signing key.
    #[error(
        "not a signing key (PRIVATE+KEY+NAME+ID+DATA, Ed25519); make one with: monitor-collector ledger-key"
    )]
    Text,
    /// The text is no key to seal with.
    #[error("{}: not a key to seal ledgers with; make one with: monitor-collector seal-key", path.display())]
    SealText {
        /// The file.
        path: PathBuf,
    },
    /// The text is no key of a witness.
    #[error(
        "not a witness's signing key (PRIVATE+KEY+NAME+ID+DATA, cosignature/v1); make one with: monitor-witness key"
    )]
    WitnessText,
    /// The text is no key to check a witness with.
    #[error(
        "not a witness's verifier key (NAME+ID+DATA, cosignature/v1); give what monitor-witness show-key prints"
    )]
    WitnessVerifier,
    /// The text is no key to verify with.
    #[error("not a verifier key (NAME+ID+DATA, Ed25519): {cause}")]
    Verifier {
        /// What is wrong with it.
        cause: String,
    },
    /// The name cannot be used.
    #[error(
        "key name {name:?}: give 1 to {KEY_NAME_BYTES_MAX} of the characters a-z A-Z 0-9 . _ - /, as in monitor.example"
    )]
    Name {
        /// The name as given.
        name: String,
    },
}

/// The key of a collector. Its text is a secret.
#[derive(Clone)]
pub struct LogKey {
    name: String,
    signing: SigningKey,
}

impl fmt::Debug for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogKey")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl LogKey {
    /// A key from 32 random bytes.
    ///
    /// # Errors
    /// [`KeyError::Name`].
    pub fn new(name: &str, seed: &[u8; 32]) -> Result<Self, KeyError> {
        check_name(name)?;
        Ok(Self {
            name: name.to_owned(),
            signing: SigningKey::from_bytes(seed),
        })
    }

    /// Reads a key's text.
    ///
    /// # Errors
    /// [`KeyError::Text`], [`KeyError::Name`].
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let (name, seed) = parse_secret(text, ED25519).ok_or(KeyError::Text)?;
        Self::new(&name, &seed)
    }

    /// Reads a key file, which must be its owner's alone (mode 0600 or less).
    ///
    /// # Errors
    /// [`KeyError`] names the file.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        Self::parse(&read_secret(path)?)
    }

    /// Writes a new key file, mode 0600, on disk before this returns. A file
    /// that is there is left alone.
    ///
    /// # Errors
    /// [`KeyError::File`].
    pub fn store(&self, path: &Path) -> Result<(), KeyError> {
        write_secret(path, &self.text(&self.name))
    }

    /// What the log of a tenant is signed with.
    ///
    /// # Errors
    /// [`KeyError::Text`], [`KeyError::Name`]: with a key of ours, neither.
    pub fn signer(&self, tenant: &str) -> Result<LogSigner, KeyError> {
        let origin = format!("{}/{tenant}", self.name);
        let signer = StandardSigner::new(&self.text(&origin)).map_err(|_| KeyError::Text)?;
        let key = signed_note::new_ed25519_verifier_key(&origin, &self.signing.verifying_key());
        Ok(LogSigner {
            origin,
            signer,
            verifier: VerifierKey::parse(&key)?,
        })
    }

    fn text(&self, name: &str) -> String {
        secret_text(name, &self.signing, ED25519)
    }
}

/// Signs the log of one tenant.
#[derive(Clone)]
pub struct LogSigner {
    origin: String,
    pub(crate) signer: StandardSigner,
    verifier: VerifierKey,
}

impl fmt::Debug for LogSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogSigner")
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

impl LogSigner {
    /// The log's name, as checkpoints begin with it.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// What its signatures are checked with.
    #[must_use]
    pub const fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }
}

/// A key to check signatures with: no secret.
#[derive(Clone)]
pub struct VerifierKey {
    text: String,
    pub(crate) verifier: StandardVerifier,
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VerifierKey").field(&self.text).finish()
    }
}

impl PartialEq for VerifierKey {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl VerifierKey {
    /// Reads a key's text.
    ///
    /// # Errors
    /// [`KeyError::Verifier`].
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        let verifier = StandardVerifier::new(text).map_err(|error| KeyError::Verifier {
            cause: error.to_string(),
        })?;
        Ok(Self {
            text: text.to_owned(),
            verifier,
        })
    }

    /// `NAME+ID+DATA`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The name in it.
    #[must_use]
    pub fn name(&self) -> &str {
        self.text.split('+').next().unwrap_or_default()
    }

    /// The same key under another name, as a collector signs another tenant's log.
    ///
    /// # Errors
    /// [`KeyError::Verifier`] when it can be no name.
    pub fn renamed(&self, name: &str) -> Result<Self, KeyError> {
        let data = self.text.splitn(3, '+').nth(2).unwrap_or_default();
        let key = STANDARD.decode(data).unwrap_or_default();
        Self::parse(&format!(
            "{name}+{:08x}+{data}",
            signed_note::key_id(name, &key)
        ))
    }
}

/// A key's text, `PRIVATE+KEY+NAME+ID+DATA`, for an algorithm as signed notes number it.
pub(crate) fn secret_text(name: &str, key: &SigningKey, algorithm: u8) -> String {
    let public = tagged(algorithm, &key.verifying_key().to_bytes());
    let id = signed_note::key_id(name, &public);
    let data = STANDARD.encode(tagged(algorithm, &key.to_bytes()));
    format!("PRIVATE+KEY+{name}+{id:08x}+{data}")
}

/// Name and seed of a key's text; none when it is no key of this algorithm, or its
/// id not that of the key.
pub(crate) fn parse_secret(text: &str, algorithm: u8) -> Option<(String, [u8; 32])> {
    let text = text.trim_end();
    // A plus is a digit of base 64 as well: the rest is data.
    let mut parts = text.strip_prefix("PRIVATE+KEY+")?.splitn(3, '+');
    let (name, _, data) = (parts.next()?, parts.next()?, parts.next()?);
    let data = STANDARD.decode(data).ok()?;
    let seed: [u8; 32] = data.strip_prefix(&[algorithm])?.try_into().ok()?;
    let again = secret_text(name, &SigningKey::from_bytes(&seed), algorithm);
    (again == text).then(|| (name.to_owned(), seed))
}

/// Reads a key file, which must be its owner's alone (mode 0600 or less).
///
/// # Errors
/// [`KeyError::File`], [`KeyError::NotAFile`], [`KeyError::Mode`].
pub fn read_secret(path: &Path) -> Result<String, KeyError> {
    let file = |source| KeyError::File {
        path: path.into(),
        source,
    };
    let facts = fs::metadata(path).map_err(file)?;
    if !facts.is_file() || facts.len() > FILE_BYTES_MAX {
        return Err(KeyError::NotAFile { path: path.into() });
    }
    let mode = facts.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyError::Mode {
            path: path.into(),
            mode,
        });
    }
    fs::read_to_string(path).map_err(file)
}

/// Writes a new key file, mode 0600, on disk before this returns.
pub(crate) fn write_secret(path: &Path, text: &str) -> Result<(), KeyError> {
    let options = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    options
        .and_then(|mut file| {
            file.write_all(format!("{text}\n").as_bytes())?;
            file.sync_all()
        })
        .map_err(|source| KeyError::File {
            path: path.into(),
            source,
        })
}

pub(crate) fn check_name(name: &str) -> Result<(), KeyError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/');
    if name.is_empty() || name.len() > KEY_NAME_BYTES_MAX || !name.chars().all(fits) {
        return Err(KeyError::Name {
            name: name.to_owned(),
        });
    }
    Ok(())
}

/// A key with its algorithm before it.
pub(crate) fn tagged(algorithm: u8, key: &[u8; 32]) -> Vec<u8> {
    [&[algorithm], key.as_slice()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_comes_back_and_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.key");
        // Many, so that some have a plus in their digits.
        for seed in 0..64u8 {
            let key = LogKey::new("monitor.example", &[seed; 32]).unwrap();
            assert_eq!(
                LogKey::parse(&key.text("monitor.example")).unwrap().signing,
                key.signing
            );
        }
        let key = LogKey::new("monitor.example", &[7; 32]).unwrap();
        key.store(&path).unwrap();
        assert_eq!(LogKey::load(&path).unwrap().signing, key.signing);
        assert!(matches!(key.store(&path), Err(KeyError::File { .. })));
    }

    #[test]
    fn a_key_that_others_may_read_is_refused_with_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.key");
        LogKey::new("m", &[7; 32]).unwrap().store(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = LogKey::load(&path).unwrap_err().to_string();
        assert!(
            error.contains("0640") && error.contains("chmod 600"),
            "{error}"
        );
    }

    #[test]
    fn each_tenant_has_an_origin_and_key_of_its_own() {
        let key = LogKey::new("monitor.example", &[7; 32]).unwrap();
        let (acme, globex) = (key.signer("acme").unwrap(), key.signer("globex").unwrap());
        assert_eq!(acme.origin(), "monitor.example/acme");
        assert_eq!(acme.verifier().name(), "monitor.example/acme");
        assert_ne!(acme.verifier(), globex.verifier());
        let renamed = acme.verifier().renamed(globex.origin()).unwrap();
        assert_eq!(&renamed, globex.verifier());
        assert!(acme.verifier().renamed("a b").is_err());
    }

    #[test]
    fn names_and_texts_that_are_none_are_refused() {
        for name in ["", "a b", "a+b", "a\n", &"a".repeat(129)] {
            assert!(matches!(
                LogKey::new(name, &[0; 32]),
                Err(KeyError::Name { .. })
            ));
        }
        let good = LogKey::new("m", &[7; 32]).unwrap().text("m");
        for text in [
            "",
            "PRIVATE+KEY+m",
            &good[..good.len() - 4],
            &good.replace("+m+", "+n+"),
        ] {
            assert!(LogKey::parse(text).is_err(), "{text}");
        }
        assert!(VerifierKey::parse(&good).is_err());
    }
}
