//! Where to dial, and how.
//!
//! The system's network, as a rule. Whoever plays the network itself gives a
//! [`Dial`]: what is above it, mutual TLS included, stays the same.

use std::{fmt, io, pin::Pin, sync::Arc, task::Poll};

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::{
    codegen::{Service, http::Uri},
    transport::{Channel, Endpoint, Error},
};

/// Bytes both ways.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// A connection that comes about.
pub type Dialling = Pin<Box<dyn Future<Output = io::Result<Box<dyn Connection>>> + Send>>;

/// A network to dial in.
pub trait Dial: fmt::Debug + Send + Sync {
    /// Connects to a host by its name or address.
    ///
    /// # Errors
    /// The host cannot be reached; in the future's result.
    fn dial(&self, host: String, port: u16) -> Dialling;
}

/// Where to dial; nothing is dialled yet.
#[derive(Clone, Debug)]
pub(crate) struct Destination {
    endpoint: Endpoint,
    network: Option<Arc<dyn Dial>>,
}

impl Destination {
    /// In the system's network, or another one.
    pub(crate) const fn new(endpoint: Endpoint, network: Option<Arc<dyn Dial>>) -> Self {
        Self { endpoint, network }
    }

    /// Dials.
    ///
    /// # Errors
    /// The destination is not reached in time, or is not who it should be.
    pub(crate) async fn connect(&self) -> Result<Channel, Error> {
        match &self.network {
            None => self.endpoint.connect().await,
            Some(network) => {
                let network = Arc::clone(network);
                self.endpoint.connect_with_connector(Line(network)).await
            }
        }
    }

    /// A channel that dials when there is something to say.
    pub(crate) fn connect_lazy(&self) -> Channel {
        match &self.network {
            None => self.endpoint.connect_lazy(),
            Some(network) => {
                let network = Arc::clone(network);
                self.endpoint.connect_with_connector_lazy(Line(network))
            }
        }
    }
}

/// A network as tonic asks for one.
#[derive(Clone, Debug)]
struct Line(Arc<dyn Dial>);

impl Service<Uri> for Line {
    type Response = TokioIo<Box<dyn Connection>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        /// What an `https://` address without a port means.
        const HTTPS: u16 = 443;
        let host = to.host().unwrap_or_default().to_owned();
        let dialling = self.0.dial(host, to.port_u16().unwrap_or(HTTPS));
        Box::pin(async move { dialling.await.map(TokioIo::new) })
    }
}
