//! A way by which orders reach a broker: the seam for further ones.
//!
//! A way asks once and says what came of it. What waits, repeats, limits and
//! notes is the [`super::Revoker`]'s, the same for every way.

use std::{fmt, sync::Arc, time::Duration};

use monitor_model::{
    clock::{Clock, UnixNs},
    revocation::{Order, Revoked},
};
use monitor_transport::tls::{CurrentTls, TlsError};

use super::{
    grpc::Grpc,
    webhook::{Webhook, secret::SecretError},
};
use crate::{config::broker::BrokerWay, http::HttpError};

/// What a broker says that it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// One a credential or grant.
    pub revoked: Vec<Revoked>,
    /// When the revocation list was in place.
    pub published_at: Option<UnixNs>,
    /// The number of that list.
    pub list: Option<u64>,
}

/// Why an attempt brought no answer, by what is done about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// Asked again after the usual pause.
    #[error("{text}")]
    Soon {
        /// What happened.
        text: String,
    },
    /// The broker says when it wants to be asked again.
    #[error("{text}")]
    After {
        /// What happened.
        text: String,
        /// How long from now.
        wait: Duration,
    },
    /// The broker will not take it as it is: asked again slowly.
    #[error("{text}")]
    Refused {
        /// What it said.
        text: String,
    },
}

impl Unanswered {
    /// To be asked again after the usual pause.
    #[must_use]
    pub const fn soon(text: String) -> Self {
        Self::Soon { text }
    }

    /// Whether the broker will not take it as it is.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        match self {
            Self::Refused { .. } => true,
            Self::Soon { .. } | Self::After { .. } => false,
        }
    }
}

/// Why a way cannot be gone at all.
#[derive(Debug, thiserror::Error)]
pub enum WayError {
    /// The address of a broker that serves gRPC.
    #[error("broker.address: {0}")]
    Address(#[from] TlsError),
    /// The address or authority of a webhook.
    #[error("broker.webhook: {0}")]
    Webhook(#[from] HttpError),
    /// What webhooks are signed with.
    #[error("broker.secret: {0}")]
    Secret(#[from] SecretError),
}

/// A way to a broker. It may be asked for several orders at once.
#[tonic::async_trait]
pub trait Way: fmt::Debug + Send + Sync {
    /// Where it leads, for logs.
    fn address(&self) -> &str;

    /// Connects before the first order needs it.
    ///
    /// # Errors
    /// Why the broker is not reached, in words.
    async fn reach(&self) -> Result<(), String>;

    /// Asks once for one order; `attempt` counts from 1. May be cut off.
    ///
    /// # Errors
    /// [`Unanswered`] says what is to be done about it.
    async fn ask(&self, order: &Order, attempt: u32) -> Result<Said, Unanswered>;
}

/// The way that is configured; none where the broker dials in.
pub(super) fn open(
    way: &BrokerWay,
    tls: &CurrentTls,
    clock: &Arc<dyn Clock>,
) -> Result<Option<Box<dyn Way>>, WayError> {
    Ok(match way {
        BrokerWay::Feed { .. } => None,
        BrokerWay::Grpc { address } => Some(Box::new(Grpc::new(address, tls.clone())?)),
        BrokerWay::Webhook { url, secret, ca } => {
            let clock = Arc::clone(clock);
            Some(Box::new(Webhook::new(url, secret, ca.as_deref(), clock)?))
        }
    })
}
