//! HTTP/1.1 to one address, over TLS or to this machine itself.
//!
//! In: a body. Out: the [`Answer`]. Bound: one request a connection at a time, so
//! as many connections as the caller asks at once, of which [`IDLE_MAX`] stay
//! open; a named maximum of bytes of an answer. Time is the caller's to bound.
//! Redirects are answers like others: nothing is followed.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::{
    HeaderMap, Request, Response, StatusCode, Uri,
    body::{Bytes, Incoming},
    client::conn::http1::{self, SendRequest},
    header::HOST,
};
use hyper_util::rt::TokioIo;
use monitor_transport::causes;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        self, ClientConfig, RootCertStore,
        pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    },
};

/// Most connections that stay open while nothing is asked.
pub const IDLE_MAX: usize = 8;
/// Where Debian and its kin keep the authorities that the machine trusts.
pub const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Most characters of an answer that are told to people.
const TEXT_CHARS_MAX: usize = 200;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The address is none.
    #[error("{url:?} is not an address, as in https://host.example:7445/path")]
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
    /// The answer is longer than is taken.
    #[error("the answer has more than {bytes_max} bytes")]
    Long {
        /// Most that is taken.
        bytes_max: usize,
    },
}

/// Whose certificates are believed.
#[derive(Clone, Copy, Debug)]
pub enum Trust<'a> {
    /// Those that the authority in this file signed.
    Authority(&'a Path),
    /// Those that an authority of the machine signed: [`SYSTEM_AUTHORITIES`].
    System,
    /// None: without TLS.
    Plain,
}

/// What was answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The header fields.
    pub fields: HeaderMap,
    /// The body, whole.
    pub body: Bytes,
}

impl Answer {
    /// The beginning of the body, for people.
    #[must_use]
    pub fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        text.trim_end().chars().take(TEXT_CHARS_MAX).collect()
    }
}

/// The way to one address.
pub struct Place {
    uri: Uri,
    host: String,
    port: u16,
    tls: Option<TlsConnector>,
    bytes_max: usize,
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Place")
            .field("uri", &self.uri)
            .finish_non_exhaustive()
    }
}

impl Place {
    /// To an address; nothing is dialled yet. Of an answer at most `bytes_max`
    /// are taken.
    ///
    /// # Errors
    /// [`HttpError::Address`], [`HttpError::Authority`].
    pub fn new(url: &str, trust: Trust<'_>, bytes_max: usize) -> Result<Self, HttpError> {
        let wrong = || HttpError::Address {
            url: url.to_owned(),
        };
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let host = uri.host().ok_or_else(wrong)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let is_https = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        Ok(Self {
            host: host.to_owned(),
            port,
            tls: connector(trust)?,
            bytes_max,
            idle: Mutex::default(),
            uri,
        })
    }

    /// Connects, so that the first request need not wait for it.
    ///
    /// # Errors
    /// [`HttpError::Connect`], [`HttpError::Broke`].
    pub async fn reach(&self) -> Result<(), HttpError> {
        let open = self.connect().await?;
        self.keep(open);
        Ok(())
    }

    /// Sends a body with these header fields, on a connection that is open or
    /// on a new one. It may be sent twice, where the first connection breaks.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn post(&self, fields: &HeaderMap, body: Bytes) -> Result<Answer, HttpError> {
        // One that lay idle may be closed: what breaks there is tried on a new one.
        if let Some(mut open) = self.idle()
            && let Ok(response) = self.send(&mut open, fields, body.clone()).await
        {
            return self.answer(open, response).await;
        }
        let mut open = self.connect().await?;
        let response = self.send(&mut open, fields, body).await?;
        self.answer(open, response).await
    }

    fn idle(&self) -> Option<SendRequest<Full<Bytes>>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.pop()
    }

    fn keep(&self, open: SendRequest<Full<Bytes>>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX && !open.is_closed() {
            idle.push(open);
        }
    }

    async fn send(
        &self,
        open: &mut SendRequest<Full<Bytes>>,
        fields: &HeaderMap,
        body: Bytes,
    ) -> Result<Response<Incoming>, HttpError> {
        let broke = |error: hyper::Error| HttpError::Broke(causes(&error));
        open.ready().await.map_err(broke)?;
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        let mut request = Request::post(path);
        if let Some(authority) = self.uri.authority() {
            request = request.header(HOST, authority.as_str());
        }
        for (name, value) in fields {
            request = request.header(name, value);
        }
        let request = request
            .body(Full::new(body))
            .map_err(|error| HttpError::Broke(error.to_string()))?;
        open.send_request(request).await.map_err(broke)
    }

    /// Reads the answer; the connection is kept once all of it is there.
    async fn answer(
        &self,
        open: SendRequest<Full<Bytes>>,
        response: Response<Incoming>,
    ) -> Result<Answer, HttpError> {
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, self.bytes_max).collect().await;
        let body = body.map_err(|error| {
            if error.is::<LengthLimitError>() {
                let bytes_max = self.bytes_max;
                return HttpError::Long { bytes_max };
            }
            HttpError::Broke(error.to_string())
        })?;
        self.keep(open);
        Ok(Answer {
            status: parts.status,
            fields: parts.headers,
            body: body.to_bytes(),
        })
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, HttpError> {
        let failed = |source| HttpError::Connect {
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

async fn shake<S>(stream: S) -> Result<SendRequest<Full<Bytes>>, HttpError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let shaken = http1::handshake(TokioIo::new(stream)).await;
    let (open, connection) = shaken.map_err(|error| HttpError::Broke(causes(&error)))?;
    // It ends with the sender; how it ended is told to who sends.
    tokio::spawn(async move { _ = connection.await });
    Ok(open)
}

fn connector(trust: Trust<'_>) -> Result<Option<TlsConnector>, HttpError> {
    let path = match trust {
        Trust::Plain => return Ok(None),
        Trust::Authority(path) => path,
        Trust::System => Path::new(SYSTEM_AUTHORITIES),
    };
    let wrong = |cause: String| HttpError::Authority {
        path: path.into(),
        cause,
    };
    let mut roots = RootCertStore::empty();
    match trust {
        Trust::System => {
            let all = CertificateDer::pem_file_iter(path);
            let all = all.map_err(|error| wrong(error.to_string()))?;
            // One authority that cannot be read does not shut out the others.
            roots.add_parsable_certificates(all.filter_map(Result::ok));
        }
        Trust::Authority(_) | Trust::Plain => {
            let certificate = CertificateDer::from_pem_file(path);
            let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
            let added = roots.add(certificate);
            added.map_err(|error| wrong(error.to_string()))?;
        }
    }
    if roots.is_empty() {
        return Err(wrong("no certificate in it".to_owned()));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Some(TlsConnector::from(Arc::new(config))))
}
