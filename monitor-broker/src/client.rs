//! Asks a broker: the calls behind the command line.

use std::{path::PathBuf, time::Duration};

use monitor_model::{
    clock::UnixNs,
    grant::Grant,
    id::{GrantId, OrderId, PrincipalId},
    revocation::{Revoked, Target},
};
use monitor_proto::{
    InvalidMessage,
    v1::{
        self, broker_service_client::BrokerServiceClient,
        issuer_service_client::IssuerServiceClient,
    },
};
use monitor_transport::tls::{TlsError, TlsFiles};
use tonic::{Code, Request, Status, transport::Channel};

use crate::courier::status_text;

/// Longest wait for an answer.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);

/// Why a call did not work.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The TLS files, or no connection.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The caller may not do this.
    #[error("the broker refused: {0}")]
    Permission(String),
    /// What was asked for does not exist.
    #[error("{0}")]
    NotFound(String),
    /// Any other answer than success.
    #[error("the broker answered {code:?}: {text}")]
    Status {
        /// The code.
        code: Code,
        /// What it said.
        text: String,
    },
    /// The answer makes no sense.
    #[error("the broker's answer makes no sense: {0}")]
    Answer(#[from] InvalidMessage),
    /// The answer lacks something.
    #[error("the broker's answer lacks {field}")]
    Lacks {
        /// What.
        field: &'static str,
    },
    /// A file could not be written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl From<Status> for ClientError {
    fn from(status: Status) -> Self {
        let text = status_text(&status);
        let code = status.code();
        if matches!(code, Code::PermissionDenied | Code::Unauthenticated) {
            Self::Permission(text)
        } else if code == Code::NotFound {
            Self::NotFound(text)
        } else {
            Self::Status { code, text }
        }
    }
}

/// A connection to a broker.
#[derive(Clone, Debug)]
pub struct Client {
    broker: BrokerServiceClient<Channel>,
    issuer: IssuerServiceClient<Channel>,
}

/// What a revocation did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// One a credential or grant.
    pub revoked: Vec<Revoked>,
    /// When the list was in place.
    pub published_at: Option<UnixNs>,
}

/// What to revoke.
#[derive(Clone, Debug)]
pub struct Revocation {
    /// The order's name.
    pub order: OrderId,
    /// When it was given.
    pub at: UnixNs,
    /// What.
    pub target: Target,
    /// Certificates known to be in use.
    pub serials: Vec<u64>,
    /// Grants known to be in use.
    pub grants: Vec<GrantId>,
    /// Why.
    pub reason: String,
}

impl Client {
    /// Dials a broker.
    ///
    /// # Errors
    /// [`ClientError::Tls`] names the file, or why there is no connection.
    pub async fn connect(
        address: &str,
        files: &TlsFiles,
        now: UnixNs,
    ) -> Result<Self, ClientError> {
        let channel = files.load(now)?.connect(address).await?;
        Ok(Self {
            broker: BrokerServiceClient::new(channel.clone()),
            issuer: IssuerServiceClient::new(channel),
        })
    }

    /// Registers a grant; says which hosts were sent it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn register(&mut self, grant: &Grant) -> Result<Vec<String>, ClientError> {
        let request = v1::RegisterGrantRequest {
            grant: Some(grant.into()),
        };
        Ok(self
            .issuer
            .register_grant(in_time(request))
            .await?
            .into_inner()
            .hosts)
    }

    /// Has a public key signed for a grant, and for further ones of the same
    /// engineer and tenant; gives the certificate in one line and what is in it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn issue(
        &mut self,
        (grant, also): (&GrantId, &[GrantId]),
        public_key: &str,
    ) -> Result<(String, v1::IssuedCertificate), ClientError> {
        let request = v1::IssueCertificateRequest {
            grant: grant.to_string(),
            public_key: public_key.to_owned(),
            also: also.iter().map(ToString::to_string).collect(),
        };
        let answer = self
            .issuer
            .issue_certificate(in_time(request))
            .await?
            .into_inner();
        Ok((
            answer.certificate,
            answer
                .issued
                .ok_or(ClientError::Lacks { field: "issued" })?,
        ))
    }

    /// What a principal holds.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn describe(
        &mut self,
        principal: &PrincipalId,
    ) -> Result<(Vec<Grant>, Vec<v1::IssuedCertificate>), ClientError> {
        let request = v1::DescribeRequest {
            principal: principal.to_string(),
        };
        let answer = self.broker.describe(in_time(request)).await?.into_inner();
        let grants = answer
            .grants
            .into_iter()
            .map(TryInto::try_into)
            .collect::<Result<_, _>>()?;
        Ok((grants, answer.certificates))
    }

    /// Says that an engineer left or a ticket was closed.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn tell_ending(
        &mut self,
        ending: v1::TellEndingRequest,
    ) -> Result<v1::TellEndingResponse, ClientError> {
        let answer = self.issuer.tell_ending(in_time(ending)).await?;
        Ok(answer.into_inner())
    }

    /// Revokes.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn revoke(&mut self, revocation: &Revocation) -> Result<Outcome, ClientError> {
        let Revocation {
            order,
            at,
            target,
            serials,
            grants,
            reason,
        } = revocation;
        let request = v1::RevokeCredentialsRequest {
            order: order.to_bytes().to_vec(),
            attempt: 1,
            issued_at_unix_ns: at.0,
            target: Some(target.into()),
            serials: serials.clone(),
            grants: grants.iter().map(ToString::to_string).collect(),
            reason: reason.clone(),
        };
        let answer = self
            .broker
            .revoke_credentials(in_time(request))
            .await?
            .into_inner();
        Ok(Outcome {
            revoked: answer
                .revoked
                .into_iter()
                .map(TryInto::try_into)
                .collect::<Result<_, _>>()?,
            published_at: answer.published_at_unix_ns.map(UnixNs),
        })
    }
}

fn in_time<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(CALL_TIMEOUT);
    request
}
