//! The OpenSSH user CA: one ed25519 key, and the certificates it signs.
//!
//! Certificates carry `permit-pty` and `permit-port-forwarding`, and nothing
//! else of what `ssh-keygen` gives by default: a forwarded agent or display can
//! be used by whoever is root on the jump host, for as long as the connection
//! lasts and without a trace in any grant; and `~/.ssh/rc` is a place where
//! one engineer can leave a program that runs as the next.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use monitor_model::{clock::UnixNs, grant::Grant};
use ssh_key::{
    Algorithm, Certificate, HashAlg, LineEnding, PrivateKey, PublicKey,
    certificate::{Builder, CertType},
    public::KeyData,
    rand_core::OsRng,
};

use crate::key_id::{self, InvalidTicket};

/// Smallest RSA key that is certified, in bits.
pub const RSA_BITS_MIN: usize = 3072;
/// What a certificate allows besides a command.
const EXTENSIONS: [&str; 2] = ["permit-pty", "permit-port-forwarding"];
/// Name of the private key within the data folder.
const KEY_FILE: &str = "ca";
/// Name of the public key, for sshd's `TrustedUserCAKeys`.
const PUBLIC_FILE: &str = "ca.pub";

/// Why the CA cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The key file does not hold an ed25519 key.
    #[error("{} is not an OpenSSH ed25519 private key without passphrase: {cause}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: String,
    },
    /// Others may read the key.
    #[error("{} has mode {mode:04o}: others can read the CA's key; chmod 600 it, and make a new CA if they may have", path.display())]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The key is gone, while certificates of it are out.
    #[error("{} is missing, and certificates were issued with it: restore it; with a new key none of them could be revoked", path.display())]
    Lost {
        /// Where it was.
        path: PathBuf,
    },
    /// The system gave no key or no signature.
    #[error("the CA key cannot be made or used: {0}")]
    Crypto(#[from] ssh_key::Error),
}

/// Why a public key or grant gets no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertifyError {
    /// Not a public key.
    #[error(
        "the public key is not one in OpenSSH's one-line form, as in \"ssh-ed25519 AAAA... comment\": {cause}"
    )]
    NotAKey {
        /// What is wrong.
        cause: String,
    },
    /// A kind of key that is not certified.
    #[error(
        "keys of type {algorithm} are not certified; use ed25519 (ssh-keygen -t ed25519), ecdsa, their security-key forms, or rsa of at least {RSA_BITS_MIN} bits"
    )]
    Algorithm {
        /// The type found.
        algorithm: String,
    },
    /// An RSA key that is too small.
    #[error(
        "the rsa key has {bits} bits; at least {RSA_BITS_MIN} are required, or use ed25519 (ssh-keygen -t ed25519)"
    )]
    RsaBits {
        /// Its size.
        bits: usize,
    },
    /// The ticket cannot stand in the key id.
    #[error(transparent)]
    Ticket(#[from] InvalidTicket),
    /// Less than a second is left.
    #[error("less than a second of the grant is left")]
    NoTime,
    /// The system gave no randomness or no signature.
    #[error("the certificate cannot be signed: {0}")]
    Crypto(#[from] ssh_key::Error),
}

/// The user CA.
#[derive(Debug)]
pub struct Ca {
    key: PrivateKey,
}

/// Whether a CA may be made where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstRun {
    /// Nothing was ever issued: make one.
    Yes,
    /// Certificates are out: a missing key is an error.
    No,
}

/// A certificate, and what is recorded of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// OpenSSH's one-line form.
    pub openssh: String,
    /// The key id in it.
    pub key_id: String,
    /// SHA-256 fingerprint of the certified key.
    pub key_fingerprint: String,
    /// End of its validity.
    pub expires: UnixNs,
}

impl Ca {
    /// Opens the CA in a folder; makes it (`ca` with mode 0600, `ca.pub`) on the first run.
    ///
    /// # Errors
    /// [`CaError`] names the file and what is wrong with it.
    pub fn open(folder: &Path, first: FirstRun) -> Result<Self, CaError> {
        let path = folder.join(KEY_FILE);
        let key = match fs::read_to_string(&path) {
            Ok(text) => Self::parse(&path, &text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound && first == FirstRun::No => {
                return Err(CaError::Lost { path });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::create(&path)?,
            Err(source) => return Err(CaError::File { path, source }),
        };
        let public = format!("{}\n", key.public_key().to_openssh()?);
        let public_path = folder.join(PUBLIC_FILE);
        if fs::read_to_string(&public_path).ok().as_deref() != Some(public.as_str()) {
            write_whole(&public_path, public.as_bytes(), 0o644).map_err(|source| {
                CaError::File {
                    path: public_path,
                    source,
                }
            })?;
        }
        Ok(Self { key })
    }

    fn parse(path: &Path, text: &str) -> Result<PrivateKey, CaError> {
        let wrong = |cause: String| CaError::Key {
            path: path.into(),
            cause,
        };
        let metadata = fs::metadata(path).map_err(|source| CaError::File {
            path: path.into(),
            source,
        })?;
        let mode = metadata.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(CaError::Mode {
                path: path.into(),
                mode,
            });
        }
        let key = PrivateKey::from_openssh(text).map_err(|error| wrong(error.to_string()))?;
        if key.is_encrypted() {
            return Err(wrong("it has a passphrase".to_owned()));
        }
        if key.algorithm() != Algorithm::Ed25519 {
            return Err(wrong(format!("it is of type {}", key.algorithm())));
        }
        Ok(key)
    }

    fn create(path: &Path) -> Result<PrivateKey, CaError> {
        let mut key = PrivateKey::random(&mut OsRng, Algorithm::Ed25519)?;
        key.set_comment("monitor user CA");
        let text = key.to_openssh(LineEnding::LF)?;
        write_whole(path, text.as_bytes(), 0o600).map_err(|source| CaError::File {
            path: path.into(),
            source,
        })?;
        Ok(key)
    }

    /// The public key as a wire blob, as revocation lists name it.
    ///
    /// # Errors
    /// [`CaError::Crypto`] when it cannot be encoded.
    pub fn public_blob(&self) -> Result<Vec<u8>, CaError> {
        Ok(self.key.public_key().to_bytes()?)
    }

    /// SHA-256 fingerprint of the CA's key.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.key.fingerprint(HashAlg::Sha256).to_string()
    }

    /// Signs a public key for a grant. The validity lies within the grant's
    /// window, to the second, and is at most `longest`.
    ///
    /// # Errors
    /// [`CertifyError`] says what would be right.
    pub fn certify(&self, draft: &Draft<'_>) -> Result<Signed, CertifyError> {
        let Draft {
            grant,
            also,
            public_key,
            serial,
            now,
            longest,
        } = draft;
        let key_id = key_id::of(grant, also)?;
        // sshd counts whole seconds. Rounded down, so that a certificate for a
        // grant that begins now can be used at once.
        let after = grant.not_before.max(*now).as_seconds();
        let before = grant.expires.min(now.plus(*longest)).as_seconds();
        if before <= after {
            return Err(CertifyError::NoTime);
        }
        let mut builder = Builder::new_with_random_nonce(
            &mut OsRng,
            public_key.key_data().clone(),
            after,
            before,
        )?;
        builder
            .serial(*serial)?
            .cert_type(CertType::User)?
            .key_id(key_id.clone())?;
        let principals = [*grant].into_iter().chain(*also);
        let principals: BTreeSet<_> = principals.map(Grant::certificate_principal).collect();
        for principal in principals {
            builder.valid_principal(principal)?;
        }
        builder.comment(public_key.comment())?;
        for name in EXTENSIONS {
            builder.extension(name, "")?;
        }
        let certificate: Certificate = builder.sign(&self.key)?;
        Ok(Signed {
            openssh: certificate.to_openssh()?,
            key_id,
            key_fingerprint: public_key.fingerprint(HashAlg::Sha256).to_string(),
            expires: UnixNs::from_seconds(before),
        })
    }
}

/// What to certify.
#[derive(Clone, Copy, Debug)]
pub struct Draft<'a> {
    /// The grant it is for.
    pub grant: &'a Grant,
    /// Further grants that it stands on, of the same engineer and tenant.
    pub also: &'a [Grant],
    /// The engineer's public key, as [`accept`] let it pass.
    pub public_key: &'a PublicKey,
    /// The serial number that was allocated.
    pub serial: u64,
    /// The present instant.
    pub now: UnixNs,
    /// Longest validity.
    pub longest: Duration,
}

/// Reads a public key and lets pass what is worth a certificate.
///
/// # Errors
/// [`CertifyError`] says which keys would be right.
pub fn accept(public_key: &str) -> Result<PublicKey, CertifyError> {
    let text = public_key.trim();
    if text.lines().count() > 1 {
        return Err(CertifyError::NotAKey {
            cause: "it has more than one line".to_owned(),
        });
    }
    let key = PublicKey::from_openssh(text).map_err(|error| CertifyError::NotAKey {
        cause: error.to_string(),
    })?;
    match key.key_data() {
        KeyData::Ed25519(_)
        | KeyData::Ecdsa(_)
        | KeyData::SkEd25519(_)
        | KeyData::SkEcdsaSha2NistP256(_) => Ok(key),
        KeyData::Rsa(rsa) => {
            let modulus = rsa.n.as_positive_bytes().unwrap_or_default();
            let unused = modulus.first().map_or(0, |byte| byte.leading_zeros());
            let bits = (modulus.len() * 8).saturating_sub(usize::try_from(unused).unwrap_or(0));
            if bits < RSA_BITS_MIN {
                Err(CertifyError::RsaBits { bits })
            } else {
                Ok(key)
            }
        }
        KeyData::Dsa(_) | KeyData::Other(_) | _ => Err(CertifyError::Algorithm {
            algorithm: key.algorithm().to_string(),
        }),
    }
}

/// Puts a file in place whole: after a crash it is there or it is not.
fn write_whole(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(&beside)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    path.parent()
        .map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests;
