//! A broker that takes signed webhooks, as Standard Webhooks 1.0 has it
//! (<https://www.standardwebhooks.com>): an order is posted, and the answer to it
//! is the broker's answer. `docs/reference/brokers.md` documents both bodies:
//! change them together.
//!
//! Bound: [`ANSWER_BYTES_MAX`] of an answer. Redirects are refused: a signed
//! order goes where it is configured to go and nowhere else.
//!
//! # Layout
//! - [`secret`]: what orders are signed with.
//! - [`payload`]: an order as it is sent. [`answer`]: what comes back.

use std::{path::Path, sync::Arc};

use hyper::{
    HeaderMap,
    header::{CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT},
};
use monitor_model::{clock::Clock, revocation::Order};

use super::way::{Said, Unanswered, Way, WayError};
use crate::http::{Place, Trust};
use secret::Secrets;

pub mod answer;
pub mod payload;
pub mod secret;

/// Version of the bodies' shape; raised when a field changes its meaning or goes.
pub const SCHEMA_VERSION: u32 = 1;
/// Most bytes of an answer: 10,000 credentials have room.
pub const ANSWER_BYTES_MAX: usize = 4 << 20;

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// The way to such a broker.
#[derive(Debug)]
pub struct Webhook {
    url: String,
    place: Place,
    secrets: Secrets,
    clock: Arc<dyn Clock>,
}

impl Webhook {
    /// To a broker; nothing is dialled yet.
    ///
    /// # Errors
    /// [`WayError::Webhook`], [`WayError::Secret`].
    pub fn new(
        url: &str,
        secret: &Path,
        ca: Option<&Path>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, WayError> {
        let trust = ca.map_or(Trust::System, Trust::Authority);
        Ok(Self {
            url: url.to_owned(),
            place: Place::new(url, trust, ANSWER_BYTES_MAX)?,
            secrets: Secrets::load(secret)?,
            clock,
        })
    }

    fn fields(&self, order: &Order, body: &[u8]) -> Result<HeaderMap, Unanswered> {
        let id = order.id.to_string();
        let at_unix_s = self.clock.now().as_seconds();
        let signature = self.secrets.sign(&id, at_unix_s, body);
        let value = |text: &str| {
            let value = HeaderValue::from_str(text);
            value.map_err(|error| Unanswered::soon(error.to_string()))
        };
        Ok(HeaderMap::from_iter([
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (USER_AGENT, HeaderValue::from_static("monitor-collector")),
            (ID, value(&id)?),
            (TIMESTAMP, HeaderValue::from(at_unix_s)),
            (SIGNATURE, value(&signature)?),
        ]))
    }
}

#[tonic::async_trait]
impl Way for Webhook {
    fn address(&self) -> &str {
        &self.url
    }

    async fn reach(&self) -> Result<(), String> {
        self.place.reach().await.map_err(|error| error.to_string())
    }

    async fn ask(&self, order: &Order, attempt: u32) -> Result<Said, Unanswered> {
        let body = payload::body(order, attempt)
            .map_err(|error| Unanswered::soon(format!("the order cannot be written: {error}")))?;
        let fields = self.fields(order, &body)?;
        let answer = self.place.post(&fields, body.into()).await;
        let answer = answer.map_err(|error| Unanswered::soon(error.to_string()))?;
        answer::read(&answer, self.clock.now())
    }
}
