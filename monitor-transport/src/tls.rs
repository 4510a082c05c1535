//! Files to TLS configurations, with errors that name the file and what is wrong.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use monitor_model::clock::UnixNs;
use rcgen::PublicKeyData as _;
use serde::Deserialize;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity as KeyPair};
use x509_parser::{pem::Pem, prelude::*};

use crate::{
    causes,
    dial::{Destination, Dial},
    identity::{Identity, IdentityError, valid_until},
};

mod incoming;
mod peer;
mod renewal;

pub use incoming::{Clients, TlsIncoming};
pub use peer::PeerChannel;
pub use renewal::{CurrentTls, Follower};

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often an idle connection is tried.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// The files of one service's mutual TLS. Secrets are given by path, never in place.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// Certificate of the authority that signed all peers, PEM.
    pub ca: PathBuf,
    /// This service's certificate, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
}

/// Why a TLS set-up is wrong.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is not what its place says.
    #[error("{} is not {wanted} in PEM form: {cause}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What should be in it.
        wanted: &'static str,
        /// What is wrong.
        cause: String,
    },
    /// The certificate is not signed by the authority.
    #[error("{} is not signed by {}; give the certificate of the authority that issued it", certificate.display(), ca.display())]
    Issuer {
        /// The certificate.
        certificate: PathBuf,
        /// The authority.
        ca: PathBuf,
    },
    /// The certificate does not hold now.
    #[error("{} is valid from {not_before} to {not_after}, and now it is {now}; issue a new one", path.display())]
    Validity {
        /// The certificate.
        path: PathBuf,
        /// First second.
        not_before: String,
        /// Last second.
        not_after: String,
        /// This moment, in seconds since 1970.
        now: String,
    },
    /// The key is not the certificate's.
    #[error("{} is not the private key of {}; give the key that was made with the certificate", key.display(), certificate.display())]
    Pair {
        /// The key.
        key: PathBuf,
        /// The certificate.
        certificate: PathBuf,
    },
    /// The certificate names no identity of ours.
    #[error("{}: {source}", path.display())]
    Identity {
        /// The certificate.
        path: PathBuf,
        /// What is wrong.
        source: IdentityError,
    },
    /// The certificate is another one's than before.
    #[error("{} names {found}, and this is {own}; give a certificate of the same identity, or start anew as the other", path.display())]
    Renamed {
        /// The certificate.
        path: PathBuf,
        /// Whom it names.
        found: Box<Identity>,
        /// Who this is.
        own: Box<Identity>,
    },
    /// A server cannot show it.
    #[error("{} and {} cannot be shown by a server: {cause}", certificate.display(), key.display())]
    Unusable {
        /// The certificate.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
        /// What is wrong.
        cause: String,
    },
    /// The address to dial is none.
    #[error("address {text:?} is not one to dial, as in https://collector.example:7443: {cause}")]
    Address {
        /// The text as given.
        text: String,
        /// What is wrong.
        cause: String,
    },
    /// The connection did not come about.
    #[error("{address} cannot be reached: {cause}")]
    Connect {
        /// The address.
        address: String,
        /// What went wrong, all causes.
        cause: String,
    },
}

/// A checked set of TLS files.
#[derive(Clone, Debug)]
pub struct Tls {
    files: TlsFiles,
    contents: Arc<Contents>,
    identity: Identity,
    until: UnixNs,
    /// The network to dial in; the system's where there is none.
    network: Option<Arc<dyn Dial>>,
}

/// What is in the files.
#[derive(PartialEq, Eq)]
struct Contents {
    ca: Vec<u8>,
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl fmt::Debug for Contents {
    /// A key is nobody's to read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contents").finish_non_exhaustive()
    }
}

impl TlsFiles {
    /// Reads and checks the files: certificate signed by the authority, valid
    /// now, and naming one identity.
    ///
    /// # Errors
    /// [`TlsError`] names the file and what is wrong with it.
    pub fn load(&self, now: UnixNs) -> Result<Tls, TlsError> {
        let [ca, certificate, key] = [&self.ca, &self.certificate, &self.key].map(|path| {
            fs::read(path).map_err(|source| TlsError::File {
                path: path.clone(),
                source,
            })
        });
        let (ca, certificate, key) = (ca?, certificate?, key?);
        let ca_der = der(&self.ca, &ca)?;
        let leaf_der = der(&self.certificate, &certificate)?;
        let authority = parse(&self.ca, &ca_der)?;
        let leaf = parse(&self.certificate, &leaf_der)?;
        if leaf.verify_signature(Some(authority.public_key())).is_err() {
            return Err(TlsError::Issuer {
                certificate: self.certificate.clone(),
                ca: self.ca.clone(),
            });
        }
        check_validity(&self.ca, &authority, now)?;
        check_validity(&self.certificate, &leaf, now)?;
        let identity =
            Identity::from_certificate(&leaf_der).map_err(|source| TlsError::Identity {
                path: self.certificate.clone(),
                source,
            })?;
        self.check_key(&key, &leaf)?;
        let until = valid_until(&leaf_der).map_err(|source| TlsError::Identity {
            path: self.certificate.clone(),
            source,
        })?;
        Ok(Tls {
            files: self.clone(),
            contents: Arc::new(Contents {
                ca,
                certificate,
                key,
            }),
            identity,
            until,
            network: None,
        })
    }
}

impl TlsFiles {
    /// The key must be one, and the certificate's.
    fn check_key(&self, key: &[u8], leaf: &X509Certificate<'_>) -> Result<(), TlsError> {
        let wrong = |cause: String| TlsError::Content {
            path: self.key.clone(),
            wanted: "a private key",
            cause,
        };
        let text = str::from_utf8(key).map_err(|error| wrong(error.to_string()))?;
        if !text.contains("PRIVATE KEY") {
            return Err(wrong("no PRIVATE KEY block in it".to_owned()));
        }
        // Forms that rcgen cannot read are left to the handshake.
        match rcgen::KeyPair::from_pem(text) {
            Ok(pair) if pair.subject_public_key_info() != leaf.public_key().raw => {
                Err(TlsError::Pair {
                    key: self.key.clone(),
                    certificate: self.certificate.clone(),
                })
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

impl Tls {
    /// The same in another network than the system's.
    #[must_use]
    pub fn within(self, network: Arc<dyn Dial>) -> Self {
        Self {
            network: Some(network),
            ..self
        }
    }

    /// Whose certificate it is.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The last instant at which the certificate holds.
    #[must_use]
    pub const fn until(&self) -> UnixNs {
        self.until
    }

    /// What the files say now: after a new certificate was put there.
    ///
    /// # Errors
    /// [`TlsError`]; [`TlsError::Renamed`] where the certificate is another one's.
    fn again(&self, now: UnixNs) -> Result<Self, TlsError> {
        let found = self.files.load(now)?;
        if found.identity == self.identity {
            let network = self.network.clone();
            return Ok(Self { network, ..found });
        }
        Err(TlsError::Renamed {
            path: self.files.certificate.clone(),
            found: Box::new(found.identity),
            own: Box::new(self.identity.clone()),
        })
    }

    /// Where to dial, with this identity shown and the server's checked
    /// against the host in the address.
    ///
    /// # Errors
    /// [`TlsError::Address`] when it is no `https://` address.
    fn endpoint(&self, address: &str) -> Result<Destination, TlsError> {
        let Contents {
            ca,
            certificate,
            key,
        } = self.contents.as_ref();
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(ca))
            .identity(KeyPair::from_pem(certificate, key));
        let endpoint = endpoint(address, tls)?;
        Ok(Destination::new(endpoint, self.network.clone()))
    }

    /// Dials.
    ///
    /// # Errors
    /// [`TlsError::Connect`] with every cause: refused, wrong certificate, expired.
    pub async fn connect(&self, address: &str) -> Result<Channel, TlsError> {
        connect(address, &self.endpoint(address)?).await
    }
}

/// Whom to trust as a server, for who shows no certificate there.
#[derive(Clone, Debug)]
pub struct Trust {
    ca: Certificate,
}

impl Trust {
    /// Reads and checks the authority's certificate.
    ///
    /// # Errors
    /// [`TlsError`] names the file and what is wrong with it.
    pub fn load(ca: &Path, now: UnixNs) -> Result<Self, TlsError> {
        let text = fs::read(ca).map_err(|source| TlsError::File {
            path: ca.into(),
            source,
        })?;
        check_validity(ca, &parse(ca, &der(ca, &text)?)?, now)?;
        Ok(Self {
            ca: Certificate::from_pem(text),
        })
    }

    /// Dials, with no certificate shown.
    ///
    /// # Errors
    /// As [`Tls::connect`].
    pub async fn connect(&self, address: &str) -> Result<Channel, TlsError> {
        let tls = ClientTlsConfig::new().ca_certificate(self.ca.clone());
        let to = Destination::new(endpoint(address, tls)?, None);
        connect(address, &to).await
    }
}

fn endpoint(address: &str, tls: ClientTlsConfig) -> Result<Endpoint, TlsError> {
    let wrong = |cause: String| TlsError::Address {
        text: address.to_owned(),
        cause,
    };
    if !address.starts_with("https://") {
        return Err(wrong("it does not start with https://".to_owned()));
    }
    Endpoint::from_shared(address.to_owned())
        .map_err(|error| wrong(causes(&error)))?
        .tls_config(tls)
        .map_err(|error| wrong(causes(&error)))
        .map(|endpoint| {
            endpoint
                .connect_timeout(CONNECT_TIMEOUT)
                .tcp_nodelay(true)
                .http2_keep_alive_interval(KEEP_ALIVE)
                .keep_alive_while_idle(true)
        })
}

async fn connect(address: &str, to: &Destination) -> Result<Channel, TlsError> {
    let connected = to.connect().await;
    connected.map_err(|error| TlsError::Connect {
        address: address.to_owned(),
        cause: causes(&error),
    })
}

fn der(path: &Path, text: &[u8]) -> Result<Vec<u8>, TlsError> {
    let wrong = |cause: String| TlsError::Content {
        path: path.into(),
        wanted: "a certificate",
        cause,
    };
    match Pem::iter_from_buffer(text).next() {
        Some(Ok(pem)) if pem.label == "CERTIFICATE" => Ok(pem.contents),
        Some(Ok(pem)) => Err(wrong(format!("it holds a {}", pem.label))),
        Some(Err(error)) => Err(wrong(error.to_string())),
        None => Err(wrong("no PEM block in it".to_owned())),
    }
}

fn parse<'a>(path: &Path, der: &'a [u8]) -> Result<X509Certificate<'a>, TlsError> {
    X509Certificate::from_der(der)
        .map(|(_, certificate)| certificate)
        .map_err(|error| TlsError::Content {
            path: path.into(),
            wanted: "a certificate",
            cause: error.to_string(),
        })
}

fn check_validity(
    path: &Path,
    certificate: &X509Certificate<'_>,
    now: UnixNs,
) -> Result<(), TlsError> {
    let validity = certificate.validity();
    let seconds = i64::try_from(now.as_seconds()).unwrap_or(i64::MAX);
    let moment = ASN1Time::from_timestamp(seconds);
    if moment
        .as_ref()
        .is_ok_and(|moment| validity.is_valid_at(*moment))
    {
        return Ok(());
    }
    Err(TlsError::Validity {
        path: path.into(),
        not_before: validity.not_before.to_string(),
        not_after: validity.not_after.to_string(),
        now: moment.map_or_else(|_| seconds.to_string(), |moment| moment.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::{Authority, Leaf};

    const NOW: UnixNs = UnixNs::from_seconds(1_790_000_000);

    fn files(folder: &Path, role: &str) -> TlsFiles {
        let identity: Identity = format!("monitor://{role}/jump-1").parse().unwrap();
        let authority = Authority::create(folder, NOW, 30).unwrap();
        let leaf = Leaf {
            identity: &identity,
            hosts: &["localhost".into()],
            not_before: NOW,
            days: 1,
        };
        let (certificate, key) = authority.issue(&leaf, folder).unwrap();
        TlsFiles {
            ca: folder.join("ca.pem"),
            certificate,
            key,
        }
    }

    #[test]
    fn issued_files_load_and_carry_the_identity() {
        let folder = tempfile::tempdir().unwrap();
        let tls = files(folder.path(), "agent").load(NOW).unwrap();
        assert_eq!(tls.identity().to_string(), "monitor://agent/jump-1");
    }

    #[test]
    fn wrong_files_are_named() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (mine, other) = (files(one.path(), "agent"), files(two.path(), "agent"));
        let error = |files: TlsFiles, now| files.load(now).unwrap_err();
        assert!(matches!(
            error(
                TlsFiles {
                    ca: other.ca.clone(),
                    ..mine.clone()
                },
                NOW
            ),
            TlsError::Issuer { .. }
        ));
        assert!(matches!(
            error(mine.clone(), NOW.plus(Duration::from_secs(3 * 86_400))),
            TlsError::Validity { .. }
        ));
        assert!(matches!(
            error(
                TlsFiles {
                    key: "/nonexistent".into(),
                    ..mine.clone()
                },
                NOW
            ),
            TlsError::File { .. }
        ));
        assert!(matches!(
            error(
                TlsFiles {
                    certificate: mine.key.clone(),
                    ..mine.clone()
                },
                NOW
            ),
            TlsError::Content { .. }
        ));
        assert!(matches!(
            error(
                TlsFiles {
                    key: mine.certificate.clone(),
                    ..mine
                },
                NOW
            ),
            TlsError::Content { .. }
        ));
    }

    #[test]
    fn the_key_of_another_certificate_is_refused() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (mine, other) = (files(one.path(), "agent"), files(two.path(), "agent"));
        let mixed = TlsFiles {
            key: other.key,
            ..mine
        };
        assert!(matches!(
            mixed.load(NOW).unwrap_err(),
            TlsError::Pair { .. }
        ));
    }

    #[test]
    fn authorities_have_names_of_their_own() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let subject = |folder: &Path| {
            let files = files(folder, "agent");
            let der = der(&files.ca, &fs::read(&files.ca).unwrap()).unwrap();
            parse(&files.ca, &der).unwrap().subject().to_string()
        };
        assert_ne!(subject(one.path()), subject(two.path()));
    }

    #[test]
    fn an_authority_is_never_written_over() {
        let folder = tempfile::tempdir().unwrap();
        Authority::create(folder.path(), NOW, 30).unwrap();
        assert!(Authority::create(folder.path(), NOW, 30).is_err());
    }
}
