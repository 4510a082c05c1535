//! HTTP/1.1, over TLS or on the machine itself.
//!
//! In: `POST /add-checkpoint`. Out: a signature line, or the status that the
//! protocol has for each refusal and a line that says why. Bound:
//! [`CONNECTIONS_MAX`] connections, further ones wait; a connection that is
//! silent for [`IDLE_MAX`] ends. Loss: none: who got no answer asks again.

use std::{
    convert::Infallible,
    fs, io,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use monitor_ledger::{cosignature::CosigningKey, key::KeyError};
use monitor_model::clock::Clock;
use monitor_transport::causes;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::{
    config::{Config, TlsFiles},
    rate::Rate,
    store::{Beginning, Store, StoreError},
    witness::{Refusal, Witness},
};

/// Most connections at once.
pub const CONNECTIONS_MAX: usize = 256;
/// Longest time for a handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest time for a request's body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest silence between requests.
pub const IDLE_MAX: Duration = Duration::from_secs(60);
/// Longest wait for open requests when it stops.
const DRAIN_MAX: Duration = Duration::from_secs(5);
/// Pause after a connection could not be taken.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why the witness does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The signing key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The state.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file of TLS is not what its place says.
    #[error("{}: {cause}", path.display())]
    Tls {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: String,
    },
    /// The address cannot be listened on.
    #[error("listen = {address}: {source}; give a free address, or port 0 for any free port")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The address could not be written down.
    #[error("{}: {source}", path.display())]
    Address {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A witness that listens and does not serve yet.
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
    desk: Arc<Desk>,
}

/// What every request needs.
struct Desk {
    witness: Witness,
    rate: Mutex<Rate>,
    body_bytes_max: usize,
    clock: Arc<dyn Clock>,
}

impl Bound {
    /// Opens everything and listens; the real address is logged and written
    /// to `<data_dir>/listen`.
    ///
    /// # Errors
    /// [`ServeError`] says what is wrong and what would be right.
    pub async fn new(
        config: &Config,
        clock: Arc<dyn Clock>,
        beginning: Beginning,
    ) -> Result<Self, ServeError> {
        let key = CosigningKey::load(&config.key)?;
        let tls = config.tls.as_ref().map(acceptor).transpose()?;
        let store = Store::open(&config.data_dir, beginning)?;
        let verifier = key.verifier();
        let limits = config.limits;
        let witness = Witness::new(key, config.logs.clone(), limits.logs_max, store);
        let unusable = |source| ServeError::Listen {
            address: config.listen,
            source,
        };
        let listener = TcpListener::bind(config.listen).await.map_err(unusable)?;
        let address = listener.local_addr().map_err(unusable)?;
        let path = config.data_dir.join("listen");
        fs::write(&path, format!("{address}\n"))
            .map_err(|source| ServeError::Address { path, source })?;
        info!(%address, tls = tls.is_some(), key = %verifier.as_str(), "Witness ready.");
        Ok(Self {
            listener,
            address,
            tls,
            desk: Arc::new(Desk {
                witness,
                rate: Mutex::new(Rate::new(limits.requests_per_minute)),
                body_bytes_max: limits.body_bytes_max,
                clock,
            }),
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop`, then answers what is open, for a few seconds at most.
    pub async fn serve(self, stop: CancellationToken) {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut connections = JoinSet::new();
        loop {
            let taken = tokio::select! {
                () = stop.cancelled() => break,
                taken = take(&self.listener, &places) => taken,
                Some(_) = connections.join_next() => continue,
            };
            let (stream, from, place) = match taken {
                Ok(taken) => taken,
                Err(error) => {
                    warn!(%error, "A connection could not be taken.");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let (tls, desk, stop) = (self.tls.clone(), Arc::clone(&self.desk), stop.clone());
            connections.spawn(async move {
                connection(stream, from, tls, desk, stop).await;
                drop(place);
            });
        }
        let ended = async { while connections.join_next().await.is_some() {} };
        if timeout(DRAIN_MAX, ended).await.is_err() {
            warn!("Some connections did not end in time and are cut.");
        }
        info!("Witness stopped.");
    }
}

async fn take(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, IpAddr, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await;
    let place = place.map_err(io::Error::other)?;
    let (stream, from) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, from.ip(), place))
}

async fn connection(
    stream: TcpStream,
    from: IpAddr,
    tls: Option<TlsAcceptor>,
    desk: Arc<Desk>,
    stop: CancellationToken,
) {
    let Some(tls) = tls else {
        return requests(stream, from, desk, stop).await;
    };
    match timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
        Ok(Ok(stream)) => requests(stream, from, desk, stop).await,
        Ok(Err(error)) => debug!(%from, %error, "No handshake."),
        Err(_) => debug!(%from, "No handshake in time."),
    }
}

async fn requests(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    from: IpAddr,
    desk: Arc<Desk>,
    stop: CancellationToken,
) {
    let service = service_fn(|request| {
        let desk = Arc::clone(&desk);
        async move { Ok::<_, Infallible>(answer(&desk, from, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_MAX)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(%from, error = %causes(&error), "Connection ended.");
    }
}

async fn answer(
    desk: &Arc<Desk>,
    from: IpAddr,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    if request.uri().path() != "/add-checkpoint" {
        let text = "not here; a witness takes POST /add-checkpoint\n";
        return plain(StatusCode::NOT_FOUND, text.into());
    }
    if request.method() != Method::POST {
        let text = "POST a checkpoint\n";
        return plain(StatusCode::METHOD_NOT_ALLOWED, text.into());
    }
    let now = desk.clock.now();
    let is_admitted = {
        let mut rate = desk.rate.lock().unwrap_or_else(PoisonError::into_inner);
        rate.admits(from, now)
    };
    if !is_admitted {
        let text = "too many requests of this address within a minute\n";
        return plain(StatusCode::TOO_MANY_REQUESTS, text.into());
    }
    let body = Limited::new(request.into_body(), desk.body_bytes_max).collect();
    let body = match timeout(BODY_TIMEOUT, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            let text = format!("at most {} bytes\n", desk.body_bytes_max);
            return plain(StatusCode::PAYLOAD_TOO_LARGE, text.into());
        }
        Ok(Err(error)) => return plain(StatusCode::BAD_REQUEST, format!("{error}\n").into()),
        Err(_) => {
            let text = "the body did not come in time\n";
            return plain(StatusCode::REQUEST_TIMEOUT, text.into());
        }
    };
    // The disk is waited for away from the threads that must not wait.
    let signing = Arc::clone(desk);
    let signed = move || signing.witness.add_checkpoint(&body, now);
    match tokio::task::spawn_blocking(signed).await {
        Ok(Ok(line)) => plain(StatusCode::OK, line.into()),
        Ok(Err(refusal)) => refused(&refusal),
        Err(error) => {
            error!(%error, "A request was not answered.");
            plain(StatusCode::INTERNAL_SERVER_ERROR, Bytes::new())
        }
    }
}

fn refused(refusal: &Refusal) -> Response<Full<Bytes>> {
    let status = match refusal {
        Refusal::Malformed(_) => StatusCode::BAD_REQUEST,
        Refusal::Unknown { .. } => StatusCode::NOT_FOUND,
        Refusal::Unsigned(_) => StatusCode::FORBIDDEN,
        Refusal::Size { size } | Refusal::Root { size } => {
            let mut answer = plain(StatusCode::CONFLICT, format!("{size}\n").into());
            let kind = HeaderValue::from_static("text/x.tlog.size");
            answer.headers_mut().insert(CONTENT_TYPE, kind);
            return answer;
        }
        Refusal::Proof { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        Refusal::Full { .. } => StatusCode::INSUFFICIENT_STORAGE,
        Refusal::Sign(_) | Refusal::Store(_) => {
            error!(error = %refusal, "Nothing was signed.");
            let text = "the witness cannot sign; its log says why\n";
            return plain(StatusCode::INTERNAL_SERVER_ERROR, text.into());
        }
    };
    plain(status, format!("{refusal}\n").into())
}

fn plain(status: StatusCode, text: Bytes) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(text));
    *answer.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}

/// The server's side of TLS, from files.
///
/// # Errors
/// [`ServeError::Tls`].
pub fn acceptor(files: &TlsFiles) -> Result<TlsAcceptor, ServeError> {
    let wrong = |path: &Path, cause: String| ServeError::Tls {
        path: path.into(),
        cause,
    };
    let chain: Result<Vec<CertificateDer<'static>>, _> =
        CertificateDer::pem_file_iter(&files.certificate).and_then(Iterator::collect);
    let chain = chain.map_err(|error| wrong(&files.certificate, error.to_string()))?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| wrong(&files.key, error.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|error| wrong(&files.certificate, error.to_string()))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
