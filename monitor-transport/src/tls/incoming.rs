//! Connections that come to a service, each with the certificate that is there then.
//!
//! In: connections without TLS. Out: those whose handshake is done, as tonic serves
//! them. Bound: [`HANDSHAKES_MAX`] handshakes at a time, each with five seconds; who
//! comes then waits in the system's queue. Loss: a handshake that fails ends its
//! connection, which is told at the level `debug`: anybody can connect.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig, crypto,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
        server::WebPkiClientVerifier,
    },
    server::TlsStream,
};
use tokio_stream::Stream;
use tracing::{debug, warn};

use super::{CurrentTls, Tls, TlsError};

/// Longest time for a client to say who it is.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Most handshakes at a time.
const HANDSHAKES_MAX: usize = 4_096;
/// What gRPC speaks.
const HTTP_2: &[u8] = b"h2";

/// What clients show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clients {
    /// A certificate of the authority, each.
    Certificate,
    /// The same, or none: they show a token with each call.
    CertificateOrToken,
}

/// Connections whose handshake is done.
#[derive(Debug)]
pub struct TlsIncoming<S, I> {
    arrivals: S,
    tls: CurrentTls,
    clients: Clients,
    acceptor: Acceptor,
    handshakes: JoinSet<io::Result<TlsStream<I>>>,
}

/// Has no form that could be printed.
#[derive(Clone)]
struct Acceptor(TlsAcceptor);

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Acceptor").finish_non_exhaustive()
    }
}

impl CurrentTls {
    /// Makes those that arrive show who they are.
    ///
    /// # Errors
    /// [`TlsError::Unusable`].
    pub fn accept<S, I>(
        mut self,
        arrivals: S,
        clients: Clients,
    ) -> Result<TlsIncoming<S, I>, TlsError>
    where
        S: Stream<Item = io::Result<I>>,
        I: 'static,
    {
        let tls = self.changed().unwrap_or_else(|| self.get());
        Ok(TlsIncoming {
            arrivals,
            acceptor: tls.acceptor(clients)?,
            tls: self,
            clients,
            handshakes: JoinSet::new(),
        })
    }
}

impl Tls {
    fn acceptor(&self, clients: Clients) -> Result<Acceptor, TlsError> {
        let wrong = |cause: String| TlsError::Unusable {
            certificate: self.files.certificate.clone(),
            key: self.files.key.clone(),
            cause,
        };
        let certificates = |pem: &[u8]| -> Result<Vec<CertificateDer<'static>>, TlsError> {
            let found = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>();
            found.map_err(|error| wrong(error.to_string()))
        };
        let mut roots = RootCertStore::empty();
        for root in certificates(&self.contents.ca)? {
            roots.add(root).map_err(|error| wrong(error.to_string()))?;
        }
        let chain = certificates(&self.contents.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&self.contents.key)
            .map_err(|error| wrong(error.to_string()))?;
        let provider = Arc::new(crypto::ring::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider));
        let verifier = match clients {
            Clients::Certificate => verifier,
            Clients::CertificateOrToken => verifier.allow_unauthenticated(),
        };
        let verifier = verifier.build().map_err(|error| wrong(error.to_string()))?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| {
                builder
                    .with_client_cert_verifier(verifier)
                    .with_single_cert(chain, key)
            })
            .map_err(|error| wrong(error.to_string()))?;
        config.alpn_protocols.push(HTTP_2.to_vec());
        Ok(Acceptor(TlsAcceptor::from(Arc::new(config))))
    }
}

impl<S, I> TlsIncoming<S, I>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    /// Begins the handshake of one that has arrived.
    fn greet(&mut self, connection: I) {
        if let Some(tls) = self.tls.changed() {
            match tls.acceptor(self.clients) {
                Ok(acceptor) => self.acceptor = acceptor,
                Err(error) => {
                    warn!(%error, "The new certificate cannot be shown; the one of before is.");
                }
            }
        }
        let Acceptor(acceptor) = self.acceptor.clone();
        self.handshakes.spawn(async move {
            let greeted = timeout(HANDSHAKE_TIMEOUT, acceptor.accept(connection)).await;
            greeted.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        });
    }
}

impl<S, I> Stream for TlsIncoming<S, I>
where
    S: Stream<Item = io::Result<I>> + Unpin,
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Item = io::Result<TlsStream<I>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match self.handshakes.poll_join_next(cx) {
                Poll::Ready(Some(Ok(Ok(connection)))) => return Poll::Ready(Some(Ok(connection))),
                Poll::Ready(Some(Ok(Err(error)))) => {
                    debug!(%error, "No handshake.");
                    continue;
                }
                Poll::Ready(Some(Err(error))) => {
                    debug!(%error, "A handshake was not finished.");
                    continue;
                }
                Poll::Ready(None) | Poll::Pending => {}
            }
            if self.handshakes.len() >= HANDSHAKES_MAX {
                return Poll::Pending;
            }
            match ready!(Pin::new(&mut self.arrivals).poll_next(cx)) {
                Some(Ok(connection)) => self.greet(connection),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None if self.handshakes.is_empty() => return Poll::Ready(None),
                None => return Poll::Pending,
            }
        }
    }
}
