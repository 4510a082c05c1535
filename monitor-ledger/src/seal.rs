//! Encryption at rest: each ledger has a key of its own, which lies in its file
//! under the collector's, which lies elsewhere.
//!
//! XChaCha20-Poly1305, with nonces from the system's random numbers. What is
//! sealed are the contents of blocks, each bound to its tenant and place, and
//! the secret that blinds and terms are made of. In clear are hashes,
//! checkpoints, times, sequence numbers and the names of hosts: they give away
//! how much happened where, and not what or by whom.
//!
//! What else is kept under the collector's key, its owner seals with [`SealKey`].

use std::{borrow::Cow, fmt, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chacha20poly1305::{
    AeadCore as _, KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, OsRng, Payload},
};
use rusqlite::{Connection, OptionalExtension as _};

use crate::{
    block::BlockError,
    key::{KeyError, read_secret, write_secret},
    leaf::Blinding,
};

mod home;

pub use home::Home;

/// What the text of a key begins with.
const PREFIX: &str = "MONITOR+SEAL+";
/// Bytes of a nonce.
pub const NONCE: usize = 24;

/// The key that the keys of ledgers and of the state lie under, or one of these.
/// Its text is a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct SealKey([u8; 32]);

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey")
    }
}

impl SealKey {
    /// Of 32 random bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads a key file, which must be its owner's alone (mode 0600 or less).
    ///
    /// # Errors
    /// [`KeyError`] names the file.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let text = read_secret(path)?;
        let bytes = text.trim().strip_prefix(PREFIX);
        let bytes = bytes.and_then(|digits| STANDARD.decode(digits).ok());
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
        bytes
            .map(Self)
            .ok_or_else(|| KeyError::SealText { path: path.into() })
    }

    /// Writes a new key file, mode 0600, on disk before this returns. A file
    /// that is there is left alone.
    ///
    /// # Errors
    /// [`KeyError::File`].
    pub fn store(&self, path: &Path) -> Result<(), KeyError> {
        write_secret(path, &format!("{PREFIX}{}", STANDARD.encode(self.0)))
    }

    /// Seals bytes as what they are: they open as nothing else.
    ///
    /// # Errors
    /// [`SecretsError::NoRandom`].
    pub fn seal(&self, what: &[u8], bytes: &[u8]) -> Result<Vec<u8>, SecretsError> {
        sealed(&self.0, what, bytes)
    }

    /// Seals bytes under a nonce that must follow from what they are and from all
    /// of them, by a secret of its own: the same come out the same.
    ///
    /// # Errors
    /// [`SecretsError::NoRandom`] for more bytes than the cipher takes (256 GiB).
    pub fn seal_under(
        &self,
        nonce: &[u8; NONCE],
        what: &[u8],
        bytes: &[u8],
    ) -> Result<Vec<u8>, SecretsError> {
        sealed_under(&self.0, nonce.into(), what, bytes)
    }

    /// Opens what [`SealKey::seal`] or [`SealKey::seal_under`] gave, as what it
    /// was sealed as; none where it is not that, or the key another.
    #[must_use]
    pub fn open(&self, what: &[u8], kept: &[u8]) -> Option<Vec<u8>> {
        opened(&self.0, what, kept)
    }
}

/// Why a ledger's secrets cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// SQLite failed.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// The secret is not there, or is none.
    #[error("what its digests are blinded with is gone")]
    Gone,
    /// It is sealed, and there is no key.
    #[error("it is sealed: give the key that the collector's [ledger] seal names")]
    Sealed,
    /// The key is another one, or what it lies under was changed.
    #[error("the key does not open it: it was sealed with another, or its seal was changed")]
    OtherKey,
    /// It cannot be sealed.
    #[error("it cannot be sealed: the system gives no random numbers")]
    NoRandom,
}

/// What a ledger's file is read and written with.
#[derive(Clone)]
pub struct Secrets {
    tenant: String,
    blinding: Blinding,
    /// The ledger's own key; none where it is not sealed.
    own: Option<[u8; 32]>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets")
            .field("tenant", &self.tenant)
            .field("sealed", &self.own.is_some())
            .finish_non_exhaustive()
    }
}

impl Secrets {
    /// Of a new file: random bytes to blind with, and to seal with where it is
    /// to be sealed.
    #[must_use]
    pub fn new(tenant: &str, blinding: Blinding, own: Option<[u8; 32]>) -> Self {
        Self {
            tenant: tenant.to_owned(),
            blinding,
            own,
        }
    }

    /// Of a file that is there.
    ///
    /// # Errors
    /// [`SecretsError`].
    pub fn read(
        connection: &Connection,
        tenant: &str,
        key: Option<&SealKey>,
    ) -> Result<Self, SecretsError> {
        let blinding = meta(connection, "blinding")?.ok_or(SecretsError::Gone)?;
        let Some(seal) = meta(connection, "seal")? else {
            let blinding = blinding.try_into().map_err(|_| SecretsError::Gone)?;
            return Ok(Self::new(tenant, Blinding(blinding), None));
        };
        let key = key.ok_or(SecretsError::Sealed)?;
        let own = opened(&key.0, &context("key", tenant, 0), &seal);
        let own = own.and_then(|own| own.try_into().ok());
        let own: [u8; 32] = own.ok_or(SecretsError::OtherKey)?;
        let blinding = opened(&own, &context("blinding", tenant, 0), &blinding);
        let blinding = blinding.and_then(|bytes| bytes.try_into().ok());
        let blinding = blinding.ok_or(SecretsError::OtherKey)?;
        Ok(Self::new(tenant, Blinding(blinding), Some(own)))
    }

    /// What the file's `meta` says of them; the ledger's own key lies under `key`.
    ///
    /// # Errors
    /// [`SecretsError::Sealed`] without a key for a ledger that is sealed,
    /// [`SecretsError::NoRandom`].
    pub fn rows(&self, key: Option<&SealKey>) -> Result<Vec<(&'static str, String)>, SecretsError> {
        let Some(own) = &self.own else {
            return Ok(vec![("blinding", STANDARD.encode(self.blinding.0))]);
        };
        let key = key.ok_or(SecretsError::Sealed)?;
        let tenant = &self.tenant;
        let blinding = sealed(own, &context("blinding", tenant, 0), &self.blinding.0)?;
        let seal = sealed(&key.0, &context("key", tenant, 0), own)?;
        let rows = [("blinding", blinding), ("seal", seal)];
        Ok(rows
            .map(|(name, bytes)| (name, STANDARD.encode(bytes)))
            .into())
    }

    /// Whose the ledger is.
    #[must_use]
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// What its digests are blinded with, and its terms made of.
    #[must_use]
    pub const fn blinding(&self) -> &Blinding {
        &self.blinding
    }

    /// Whether its blocks are sealed.
    #[must_use]
    pub const fn is_sealed(&self) -> bool {
        self.own.is_some()
    }

    /// The content of a block as the file keeps it.
    ///
    /// # Errors
    /// [`BlockError::Seal`] when the system gives no random numbers.
    pub fn seal(&self, first: u64, content: Vec<u8>) -> Result<Vec<u8>, BlockError> {
        let Some(own) = &self.own else {
            return Ok(content);
        };
        let sealed = sealed(own, &context("block", &self.tenant, first), &content);
        sealed.map_err(|_| BlockError::Seal)
    }

    /// The content of a block from what the file keeps.
    ///
    /// # Errors
    /// [`BlockError::Seal`] when it is not what was sealed there.
    pub fn open<'a>(&self, first: u64, kept: &'a [u8]) -> Result<Cow<'a, [u8]>, BlockError> {
        let Some(own) = &self.own else {
            return Ok(Cow::Borrowed(kept));
        };
        let content = opened(own, &context("block", &self.tenant, first), kept);
        content.map(Cow::Owned).ok_or(BlockError::Seal)
    }
}

/// What something is sealed as, so that it opens in no other place.
fn context(what: &str, tenant: &str, place: u64) -> Vec<u8> {
    let place = place.to_be_bytes();
    [
        b"monitor.v1 ",
        what.as_bytes(),
        b"\0",
        tenant.as_bytes(),
        b"\0",
        &place,
    ]
    .concat()
}

fn sealed(key: &[u8; 32], aad: &[u8], msg: &[u8]) -> Result<Vec<u8>, SecretsError> {
    sealed_under(
        key,
        &XChaCha20Poly1305::generate_nonce(&mut OsRng),
        aad,
        msg,
    )
}

fn sealed_under(
    key: &[u8; 32],
    nonce: &XNonce,
    aad: &[u8],
    msg: &[u8],
) -> Result<Vec<u8>, SecretsError> {
    let cipher = XChaCha20Poly1305::new(key.into());
    let text = cipher.encrypt(nonce, Payload { msg, aad });
    let text = text.map_err(|_| SecretsError::NoRandom)?;
    Ok([nonce.as_slice(), &text].concat())
}

fn opened(key: &[u8; 32], aad: &[u8], kept: &[u8]) -> Option<Vec<u8>> {
    let (nonce, msg) = kept.split_first_chunk::<NONCE>()?;
    let cipher = XChaCha20Poly1305::new(key.into());
    let nonce: &XNonce = nonce.into();
    cipher.decrypt(nonce, Payload { msg, aad }).ok()
}

fn meta(connection: &Connection, key: &str) -> Result<Option<Vec<u8>>, SecretsError> {
    let sql = "SELECT value FROM meta WHERE key = ?1";
    let text: Option<String> = connection
        .query_row(sql, [key], |row| row.get(0))
        .optional()?;
    text.map(|text| STANDARD.decode(text).map_err(|_| SecretsError::Gone))
        .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets() -> Secrets {
        Secrets::new("acme", Blinding([1; 32]), Some([2; 32]))
    }

    /// The file that these rows would be in.
    fn file(rows: &[(&'static str, String)]) -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        let table = "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)";
        connection.execute_batch(table).unwrap();
        for (key, value) in rows {
            let insert = "INSERT INTO meta VALUES (?1, ?2)";
            connection.execute(insert, [*key, value.as_str()]).unwrap();
        }
        connection
    }

    #[test]
    fn what_was_sealed_opens_in_its_place_and_nowhere_else() {
        let kept = secrets().seal(7, b"content".to_vec()).unwrap();
        assert!(!kept.windows(7).any(|part| part == b"content"));
        assert_eq!(*secrets().open(7, &kept).unwrap(), *b"content");
        assert!(secrets().open(8, &kept).is_err());
        let other = Secrets::new("globex", Blinding([1; 32]), Some([2; 32]));
        assert!(other.open(7, &kept).is_err());
        for at in 0..kept.len() {
            let mut bent = kept.clone();
            bent[at] ^= 1;
            assert!(secrets().open(7, &bent).is_err(), "{at}");
        }
        assert!(secrets().open(7, &kept[..20]).is_err());
    }

    #[test]
    fn a_file_is_read_with_its_key_alone() {
        let key = SealKey::new([3; 32]);
        let sealed = file(&secrets().rows(Some(&key)).unwrap());
        let found = Secrets::read(&sealed, "acme", Some(&key)).unwrap();
        assert!(found.is_sealed() && found.blinding() == secrets().blinding());
        let no_key = Secrets::read(&sealed, "acme", None);
        assert!(matches!(no_key, Err(SecretsError::Sealed)));
        let other = SealKey::new([4; 32]);
        for (tenant, key) in [("acme", &other), ("globex", &key)] {
            let found = Secrets::read(&sealed, tenant, Some(key));
            assert!(matches!(found, Err(SecretsError::OtherKey)));
        }
        let plain = Secrets::new("acme", Blinding([1; 32]), None);
        let plain = file(&plain.rows(None).unwrap());
        let found = Secrets::read(&plain, "acme", Some(&key)).unwrap();
        assert!(!found.is_sealed());
        assert!(matches!(
            Secrets::read(&file(&[]), "acme", None),
            Err(SecretsError::Gone)
        ));
    }

    #[test]
    fn a_key_file_comes_back_and_others_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seal.key");
        SealKey::new([5; 32]).store(&path).unwrap();
        assert_eq!(SealKey::load(&path).unwrap().0, [5; 32]);
        assert!(SealKey::new([6; 32]).store(&path).is_err(), "it is there");
        for text in ["", "MONITOR+SEAL+", "MONITOR+SEAL+AAAA", "PRIVATE+KEY+x"] {
            let path = folder.path().join("other");
            write_secret(&path, text).unwrap();
            let error = SealKey::load(&path).unwrap_err();
            assert!(error.to_string().contains("seal-key"), "{error}");
            std::fs::remove_file(path).unwrap();
        }
    }
}
