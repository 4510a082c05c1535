//! A broker that serves `BrokerService`: asked with the collector's certificate.

use monitor_model::{
    clock::UnixNs,
    revocation::{Order, Revoked},
};
use monitor_proto::v1::{RevokeCredentialsRequest, broker_service_client::BrokerServiceClient};
use monitor_transport::{
    causes,
    tls::{CurrentTls, PeerChannel, TlsError},
};

use super::{
    named::Named,
    way::{Said, Unanswered, Way},
};

/// The way to such a broker.
#[derive(Debug)]
pub struct Grpc {
    peer: PeerChannel,
}

impl Grpc {
    /// To a broker; nothing is dialled yet.
    ///
    /// # Errors
    /// [`TlsError::Address`].
    pub fn new(address: &str, tls: CurrentTls) -> Result<Self, TlsError> {
        Ok(Self {
            peer: PeerChannel::new(address, tls)?,
        })
    }
}

#[tonic::async_trait]
impl Way for Grpc {
    fn address(&self) -> &str {
        self.peer.address()
    }

    async fn reach(&self) -> Result<(), String> {
        let connected = self.peer.connected().await;
        connected.map(drop).map_err(|error| causes(&error))
    }

    async fn ask(&self, order: &Order, attempt: u32) -> Result<Said, Unanswered> {
        let channel = self.peer.connected().await;
        let channel = channel.map_err(|error| Unanswered::soon(causes(&error)))?;
        let mut client = BrokerServiceClient::new(channel);
        let response = client.revoke_credentials(request(order, attempt)).await;
        let response = response
            .map_err(|status| Unanswered::soon(status_text(&status)))?
            .into_inner();
        let revoked: Vec<Revoked> = response
            .revoked
            .into_iter()
            .map(Revoked::try_from)
            .collect::<Result<_, _>>()
            .map_err(|error| {
                Unanswered::soon(format!("the broker's answer makes no sense: {error}"))
            })?;
        Ok(Said {
            revoked,
            published_at: response.published_at_unix_ns.map(UnixNs),
            list: response.list_number,
        })
    }
}

fn status_text(status: &tonic::Status) -> String {
    let mut text = format!("{:?}: {}", status.code(), status.message());
    if let Some(source) = std::error::Error::source(status) {
        text.push_str(": ");
        text.push_str(&causes(source));
    }
    text
}

fn request(order: &Order, attempt: u32) -> RevokeCredentialsRequest {
    let Named { serials, grants } = Named::of(order);
    RevokeCredentialsRequest {
        order: order.id.to_bytes().to_vec(),
        attempt,
        issued_at_unix_ns: order.times.ordered.unwrap_or_default().0,
        target: Some((&order.target).into()),
        serials: serials.into_iter().collect(),
        grants: grants.iter().map(ToString::to_string).collect(),
        reason: order.cause.text.clone(),
    }
}
