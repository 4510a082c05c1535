//! The connection to a witness: HTTP/1.1, over TLS or to this machine itself.
//!
//! In: a body. Out: the [`Answer`]. Bound: one connection, one request on it,
//! [`ANSWER_BYTES_MAX`] of an answer, the witness's `timeout` for all of it.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Request, Response, StatusCode, Uri,
    body::{Bytes, Incoming},
    client::conn::http1::{self, SendRequest},
    header::{CONTENT_TYPE, HOST, HeaderValue},
};
use hyper_util::rt::TokioIo;
use monitor_transport::causes;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        self, ClientConfig, RootCertStore,
        pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    },
};

use crate::config::Witness;

/// Most bytes of an answer.
pub const ANSWER_BYTES_MAX: usize = 65_536;
/// Most characters of what the witness says that are told.
const TEXT_CHARS_MAX: usize = 200;

/// Why the witness gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The address is none.
    #[error("{url:?} is not an address, as in https://witness.example:7445")]
    Address {
        /// As it is configured.
        url: String,
    },
    /// The authority's certificate cannot be used.
    #[error("{} is not a certificate in PEM form: {cause}", path.display())]
    Authority {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: String,
    },
    /// It cannot be reached, or does not show the right certificate.
    #[error("{address}: {source}")]
    Connect {
        /// Where it was looked for.
        address: String,
        /// What happened.
        source: io::Error,
    },
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broke(String),
    /// The answer did not come in time.
    #[error("no answer within {} s", .0.as_secs())]
    Late(Duration),
    /// It cannot answer now.
    #[error("it answers {status}: {text}")]
    Busy {
        /// The status.
        status: u16,
        /// What it said.
        text: String,
    },
    /// The collector is stopping.
    #[error("the collector is stopping")]
    Ended,
}

/// What a witness answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Signature lines.
    Signed(Vec<u8>),
    /// The size of the tree that it signed last.
    Size(u64),
    /// Anything else.
    Refused {
        /// The status.
        status: u16,
        /// What it said.
        text: String,
    },
}

/// The way to one witness.
pub struct Link {
    uri: Uri,
    host: String,
    port: u16,
    tls: Option<TlsConnector>,
    timeout: Duration,
    open: Option<SendRequest<Full<Bytes>>>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link")
            .field("uri", &self.uri)
            .finish_non_exhaustive()
    }
}

impl Link {
    /// To a witness; nothing is dialled yet.
    ///
    /// # Errors
    /// [`LinkError::Address`], [`LinkError::Authority`].
    pub fn new(witness: &Witness) -> Result<Self, LinkError> {
        let url = &witness.url;
        let wrong = || LinkError::Address { url: url.clone() };
        let uri: Uri = format!("{url}/add-checkpoint")
            .parse()
            .map_err(|_| wrong())?;
        let host = uri.host().ok_or_else(wrong)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let is_https = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        Ok(Self {
            host: host.to_owned(),
            port,
            tls: witness.ca.as_deref().map(connector).transpose()?,
            timeout: witness.timeout,
            open: None,
            uri,
        })
    }

    /// Sends a body, on the connection that is open or on a new one.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn post(&mut self, body: Vec<u8>) -> Result<Answer, LinkError> {
        let longest = self.timeout;
        let answer = timeout(longest, self.exchange(Bytes::from(body))).await;
        let answer = answer.unwrap_or(Err(LinkError::Late(longest)));
        if answer.is_err() {
            self.open = None;
        }
        answer
    }

    async fn exchange(&mut self, body: Bytes) -> Result<Answer, LinkError> {
        // One that lay idle may be closed: what breaks there is tried on a new one.
        if let Some(mut open) = self.open.take()
            && let Ok(response) = self.send(&mut open, body.clone()).await
        {
            self.open = Some(open);
            return answer(response).await;
        }
        let mut open = self.connect().await?;
        let response = self.send(&mut open, body).await?;
        self.open = Some(open);
        answer(response).await
    }

    async fn send(
        &self,
        open: &mut SendRequest<Full<Bytes>>,
        body: Bytes,
    ) -> Result<Response<Incoming>, LinkError> {
        let broke = |error: hyper::Error| LinkError::Broke(causes(&error));
        open.ready().await.map_err(broke)?;
        let mut request = Request::post(self.uri.path());
        if let Some(authority) = self.uri.authority() {
            request = request.header(HOST, authority.as_str());
        }
        let kind = HeaderValue::from_static("text/plain; charset=utf-8");
        let request = request
            .header(CONTENT_TYPE, kind)
            .body(Full::new(body))
            .map_err(|error| LinkError::Broke(error.to_string()))?;
        open.send_request(request).await.map_err(broke)
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, LinkError> {
        let failed = |source| LinkError::Connect {
            address: format!("{}:{}", self.host, self.port),
            source,
        };
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await;
        let stream = stream.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let Some(tls) = &self.tls else {
            return shake(stream).await;
        };
        let name = ServerName::try_from(self.host.clone());
        let name = name.map_err(|error| failed(io::Error::other(error)))?;
        shake(tls.connect(name, stream).await.map_err(failed)?).await
    }
}

async fn shake<S>(stream: S) -> Result<SendRequest<Full<Bytes>>, LinkError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let shaken = http1::handshake(TokioIo::new(stream)).await;
    let (open, connection) = shaken.map_err(|error| LinkError::Broke(causes(&error)))?;
    // It ends with the sender; how it ended is told to who sends.
    tokio::spawn(async move { _ = connection.await });
    Ok(open)
}

async fn answer(response: Response<Incoming>) -> Result<Answer, LinkError> {
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect();
    let body = body
        .await
        .map_err(|error| LinkError::Broke(error.to_string()))?;
    let body = body.to_bytes().to_vec();
    if status == StatusCode::OK {
        return Ok(Answer::Signed(body));
    }
    let text = String::from_utf8_lossy(&body);
    let text = text.trim_end();
    if let (StatusCode::CONFLICT, Ok(size)) = (status, text.parse()) {
        return Ok(Answer::Size(size));
    }
    let text = text.chars().take(TEXT_CHARS_MAX).collect();
    let status = status.as_u16();
    // These say nothing of the ledger.
    if matches!(status, 408 | 429 | 500 | 502..=504) {
        return Err(LinkError::Busy { status, text });
    }
    Ok(Answer::Refused { status, text })
}

fn connector(ca: &Path) -> Result<TlsConnector, LinkError> {
    let wrong = |cause: String| LinkError::Authority {
        path: ca.into(),
        cause,
    };
    let certificate =
        CertificateDer::from_pem_file(ca).map_err(|error| wrong(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    roots
        .add(certificate)
        .map_err(|error| wrong(error.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
