//! The broker, asked with one certificate or none.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use monitor_model::{
    clock::{Clock as _, SystemClock, UnixNs},
    revocation::Revoked,
};
use monitor_proto::v1::{
    DescribeRequest, DescribeResponse, RevokeCredentialsRequest,
    broker_service_client::BrokerServiceClient,
};
use monitor_transport::{
    causes,
    tls::{TlsError, TlsFiles},
};
use tonic::{
    Code, Request, Status,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};

use crate::{cli::ConformanceBroker, error::CliError};

/// A broker's answer to an order.
#[derive(Clone, Debug)]
pub struct Answer {
    /// One a credential or grant.
    pub revoked: Vec<Revoked>,
    /// When the revocation list was in place.
    pub published_at: Option<UnixNs>,
}

/// Why there is no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Failure {
    /// The broker says so.
    #[error("it answers {code:?}: {text}")]
    Status {
        /// The code.
        code: Code,
        /// What it said.
        text: String,
    },
    /// The connection was refused, or broke.
    #[error("the connection broke: {0}")]
    Broke(String),
    /// Nothing came in time.
    #[error("no answer within {} s", .0.as_secs_f64())]
    Late(Duration),
    /// What came is no answer.
    #[error("its answer makes no sense: {0}")]
    Senseless(String),
}

/// The broker, as one caller reaches it.
#[derive(Clone, Debug)]
pub struct Peer {
    client: BrokerServiceClient<Channel>,
    wait: Duration,
}

impl Peer {
    /// As who may revoke.
    ///
    /// # Errors
    /// [`CliError::Tls`] names the file, or why the broker is not reached.
    pub async fn open(asked: &ConformanceBroker, files: &TlsFiles) -> Result<Self, CliError> {
        let unusable = |error| CliError::Tls(error, None);
        let tls = files.load(SystemClock.now()).map_err(unusable)?;
        let channel = tls.connect(&asked.target).await.map_err(unusable)?;
        Ok(Self::over(channel, asked))
    }

    fn over(channel: Channel, asked: &ConformanceBroker) -> Self {
        Self {
            client: BrokerServiceClient::new(channel),
            wait: Duration::from_secs(asked.answer_seconds),
        }
    }

    /// Gives an order, and waits as long as a collector would.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn revoke(&self, order: &RevokeCredentialsRequest) -> Result<Answer, Failure> {
        self.revoke_within(order, self.wait).await
    }

    /// Gives an order, with a deadline, and waits no longer.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn revoke_within(
        &self,
        order: &RevokeCredentialsRequest,
        wait: Duration,
    ) -> Result<Answer, Failure> {
        let mut request = Request::new(order.clone());
        request.set_timeout(wait);
        let mut client = self.client.clone();
        let asked = Instant::now();
        let answer = tokio::time::timeout(wait, client.revoke_credentials(request)).await;
        let answer = answer
            .map_err(|_| Failure::Late(wait))?
            .map_err(|status| failure(&status, asked, wait))?
            .into_inner();
        let revoked = answer.revoked.into_iter().map(Revoked::try_from);
        Ok(Answer {
            revoked: revoked
                .collect::<Result<_, _>>()
                .map_err(|error| Failure::Senseless(error.to_string()))?,
            published_at: answer.published_at_unix_ns.map(UnixNs),
        })
    }

    /// What an engineer holds.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn describe(&self, principal: &str) -> Result<DescribeResponse, Failure> {
        let principal = principal.to_owned();
        let mut request = Request::new(DescribeRequest { principal });
        request.set_timeout(self.wait);
        let mut client = self.client.clone();
        let asked = Instant::now();
        let answer = tokio::time::timeout(self.wait, client.describe(request)).await;
        let answer = answer
            .map_err(|_| Failure::Late(self.wait))?
            .map_err(|status| failure(&status, asked, self.wait))?;
        Ok(answer.into_inner())
    }
}

/// A status that has a cause was not sent by the broker, and what ends a call when
/// its time is over is the deadline, on this side or the other.
fn failure(status: &Status, asked: Instant, wait: Duration) -> Failure {
    match std::error::Error::source(status) {
        _ if asked.elapsed() >= wait => Failure::Late(wait),
        Some(source) => Failure::Broke(causes(source)),
        None => Failure::Status {
            code: status.code(),
            text: status.message().to_owned(),
        },
    }
}

/// Somebody who may not revoke.
#[derive(Clone, Debug)]
pub struct Stranger {
    endpoint: Endpoint,
}

impl Stranger {
    /// With this certificate and key, or without any.
    ///
    /// # Errors
    /// [`CliError::File`] when a file cannot be read, [`CliError::Tls`] when it
    /// is no certificate or key.
    pub fn new(
        asked: &ConformanceBroker,
        ca: &Path,
        shown: Option<(&PathBuf, &PathBuf)>,
    ) -> Result<Self, CliError> {
        let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(ca)?));
        if let Some((certificate, key)) = shown {
            tls = tls.identity(Identity::from_pem(read(certificate)?, read(key)?));
        }
        let wrong = |error: tonic::transport::Error| {
            let (text, cause) = (asked.target.clone(), causes(&error));
            CliError::Tls(TlsError::Address { text, cause }, None)
        };
        let endpoint = Endpoint::from_shared(asked.target.clone()).map_err(wrong)?;
        let endpoint = endpoint.tls_config(tls).map_err(wrong)?;
        let wait = Duration::from_secs(asked.answer_seconds);
        Ok(Self {
            endpoint: endpoint.connect_timeout(wait),
        })
    }

    /// Dials; none where the connection is refused already.
    pub async fn dial(&self, asked: &ConformanceBroker) -> Option<Peer> {
        let channel = self.endpoint.connect().await.ok()?;
        Some(Peer::over(channel, asked))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    fs::read(path).map_err(|source| CliError::File {
        path: path.into(),
        source,
    })
}
