//! A small certificate authority of one's own.
//!
//! For installations that have none. The authority's key signs certificates
//! that carry one [`Identity`]; only collectors and brokers get one that a
//! server may use.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use monitor_model::clock::UnixNs;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use time::OffsetDateTime;

use crate::identity::Identity;

/// Why no certificate could be made.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file could not be written or read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file that must not be overwritten is there.
    #[error("{} exists already; a new authority or key is never written over an old one: remove it first or choose another folder", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The authority's files do not fit, or a host name cannot stand in a certificate.
    #[error("the certificate cannot be made: {0}")]
    Make(#[from] rcgen::Error),
    /// A validity beyond what a certificate can express.
    #[error("the validity of {days} days lies beyond what a certificate can say")]
    Validity {
        /// The days asked for.
        days: u64,
    },
}

/// The files of one certificate authority: `ca.pem` and `ca.key` in a folder.
#[derive(Debug)]
pub struct Authority {
    folder: PathBuf,
}

/// What to certify.
#[derive(Clone, Debug)]
pub struct Leaf<'a> {
    /// Who it is for.
    pub identity: &'a Identity,
    /// Host names and addresses that a server is dialled by.
    pub hosts: &'a [String],
    /// First instant of validity.
    pub not_before: UnixNs,
    /// Days of validity.
    pub days: u64,
}

impl Authority {
    /// Makes a new authority in a folder: `ca.pem` for everybody, `ca.key`
    /// (mode 0600) for nobody else.
    ///
    /// # Errors
    /// [`PkiError`] when there is one already or the folder cannot be written.
    pub fn create(folder: &Path, now: UnixNs, days: u64) -> Result<Self, PkiError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        // Told apart by its key: a peer that trusts another authority then says
        // "unknown issuer", not "bad signature".
        let mark = key
            .public_key_raw()
            .iter()
            .rev()
            .take(4)
            .fold(0_u32, |mark, byte| (mark << 8) | u32::from(*byte));
        let name = format!("monitor certificate authority {mark:08x}");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        validity(&mut params, now, days)?;
        let certificate = params.self_signed(&key)?;
        fs::create_dir_all(folder).map_err(|source| PkiError::File {
            path: folder.into(),
            source,
        })?;
        write_new(&folder.join("ca.key"), &key.serialize_pem(), 0o600)?;
        write_new(&folder.join("ca.pem"), &certificate.pem(), 0o644)?;
        Ok(Self {
            folder: folder.into(),
        })
    }

    /// Opens the authority that [`Authority::create`] made.
    #[must_use]
    pub fn open(folder: &Path) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// Certifies an identity: `NAME.pem` and `NAME.key` (mode 0600) in `into`.
    ///
    /// # Errors
    /// [`PkiError`] when the authority cannot be read or the files cannot be written.
    pub fn issue(&self, leaf: &Leaf<'_>, into: &Path) -> Result<(PathBuf, PathBuf), PkiError> {
        let authority_key = KeyPair::from_pem(&read(&self.folder.join("ca.key"))?)?;
        let issuer = Issuer::from_ca_cert_pem(&read(&self.folder.join("ca.pem"))?, authority_key)?;
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(leaf.hosts.to_vec())?;
        params
            .distinguished_name
            .push(DnType::CommonName, leaf.identity.name.as_str());
        params
            .subject_alt_names
            .push(SanType::URI(leaf.identity.to_string().try_into()?));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params
            .extended_key_usages
            .push(ExtendedKeyUsagePurpose::ClientAuth);
        if leaf.identity.role.is_server() {
            params
                .extended_key_usages
                .push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        params.use_authority_key_identifier_extension = true;
        validity(&mut params, leaf.not_before, leaf.days)?;
        let certificate = params.signed_by(&key, &issuer)?;
        fs::create_dir_all(into).map_err(|source| PkiError::File {
            path: into.into(),
            source,
        })?;
        let name = &leaf.identity.name;
        let (pem, key_file) = (
            into.join(format!("{name}.pem")),
            into.join(format!("{name}.key")),
        );
        write_new(&key_file, &key.serialize_pem(), 0o600)?;
        write_new(&pem, &certificate.pem(), 0o644)?;
        Ok((pem, key_file))
    }
}

fn validity(params: &mut CertificateParams, from: UnixNs, days: u64) -> Result<(), PkiError> {
    let beyond = || PkiError::Validity { days };
    // A minute of grace for clocks that are not quite alike.
    let begin = from.as_seconds().saturating_sub(60);
    let end = UnixNs::from_seconds(begin).plus(Duration::from_secs(days.saturating_mul(86_400)));
    let instant = |seconds: u64| {
        i64::try_from(seconds)
            .ok()
            .and_then(|s| OffsetDateTime::from_unix_timestamp(s).ok())
    };
    params.not_before = instant(begin).ok_or_else(beyond)?;
    params.not_after = instant(end.as_seconds()).ok_or_else(beyond)?;
    Ok(())
}

fn read(path: &Path) -> Result<String, PkiError> {
    fs::read_to_string(path).map_err(|source| PkiError::File {
        path: path.into(),
        source,
    })
}

fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), PkiError> {
    let opened = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path);
    let mut file = opened.map_err(|source| {
        if source.kind() == io::ErrorKind::AlreadyExists {
            PkiError::Exists { path: path.into() }
        } else {
            PkiError::File {
                path: path.into(),
                source,
            }
        }
    })?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(|source| PkiError::File {
            path: path.into(),
            source,
        })
}
