//! Who may call at all, before any service sees the call.
//!
//! In: a call's certificate and its `authorization`. Out: the same call with the
//! [`Identity`] that it is served as, among its extensions, and with how long it
//! may go on ([`Lasts`]). Bound: one token
//! ([`monitor_transport::token::TOKEN_BYTES_MAX`]). Loss: a call without either
//! is refused. Where no tokens are configured, TLS lets in certificates alone,
//! and calls go on as they are.

use std::{sync::Arc, time::Duration};

use monitor_model::clock::{Clock, UnixNs};
use monitor_transport::{identity::Identity, token::Tokens};
use tokio::sync::watch;
use tonic::{Request, Status, metadata::MetadataMap, service::Interceptor};

/// How often it is looked whether a certificate is over.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// A certificate says its last second, and holds to the end of that.
const LAST: Duration = Duration::from_secs(1);

/// Takes calls by certificate or token.
#[derive(Clone, Debug)]
pub struct Admission {
    /// The tokens in force.
    pub tokens: watch::Receiver<Option<Tokens>>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl Interceptor for Admission {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let lasts = Lasts::shown(&request, Arc::clone(&self.clock))?;
        if lasts.is_over() {
            return Err(lasts.status());
        }
        request.extensions_mut().insert(lasts);
        let admitted = match self.tokens.borrow().as_ref() {
            None => return Ok(request),
            Some(tokens) => self.admitted(tokens, &request)?,
        };
        request.extensions_mut().insert(admitted);
        Ok(request)
    }
}

/// How long a call may go on: until the certificate of its connection is over,
/// which the handshake looked at once. For ever where none was shown: a token is
/// looked at with each call.
#[derive(Clone, Debug)]
pub struct Lasts {
    until: Option<UnixNs>,
    clock: Arc<dyn Clock>,
}

impl Lasts {
    fn shown(request: &Request<()>, clock: Arc<dyn Clock>) -> Result<Self, Status> {
        let until = Identity::shown_until(request);
        let until = until.map_err(|error| Status::unauthenticated(error.to_string()))?;
        Ok(Self { until, clock })
    }

    /// That of a call that was admitted.
    ///
    /// # Errors
    /// `INTERNAL` where nobody admitted it.
    pub fn of<T>(request: &Request<T>) -> Result<Self, Status> {
        let lasts = request.extensions().get::<Self>();
        lasts
            .cloned()
            .ok_or_else(|| Status::internal("the call was not admitted"))
    }

    fn is_over(&self) -> bool {
        let now = self.clock.now().as_seconds();
        self.until.is_some_and(|until| now > until.as_seconds())
    }

    fn status(&self) -> Status {
        let until = self.until.unwrap_or_default();
        Status::unauthenticated(format!(
            "the certificate of this connection was valid until {until}; connect again with a new one"
        ))
    }

    /// Waits until it is over; gives what is told then. Looks at the clock now and
    /// then: one that is set waits no longer than that.
    pub async fn over(self) -> Status {
        let Some(until) = self.until else {
            return std::future::pending().await;
        };
        while !self.is_over() {
            let left = until.0.saturating_sub(self.clock.now().0);
            let left = Duration::from_nanos(left).saturating_add(LAST);
            tokio::time::sleep(left.min(LOOK_EVERY)).await;
        }
        self.status()
    }
}

impl Admission {
    /// A certificate says more than a token: it decides where both are shown,
    /// and the token must be of the same name.
    fn admitted(&self, tokens: &Tokens, request: &Request<()>) -> Result<Identity, Status> {
        let unknown = |error: String| Status::unauthenticated(error);
        let shown = Identity::shown(request).map_err(|error| unknown(error.to_string()))?;
        let token = bearer(request.metadata())?
            .map(|token| tokens.identity(token, self.clock.now()))
            .transpose()
            .map_err(|error| unknown(error.to_string()))?;
        match (shown, token) {
            (Some(shown), Some(token)) if shown.name != token.name => Err(unknown(format!(
                "the certificate is of {}, the token of {}; show one, or both of one name",
                shown.name, token.name
            ))),
            (Some(shown), _) => Ok(shown),
            (None, Some(token)) => Ok(token),
            (None, None) => Err(unknown(
                "neither a client certificate nor a token was shown; give a certificate of the collector's authority, or authorization: Bearer with a token of the configured issuer"
                    .to_owned(),
            )),
        }
    }
}

/// What stands after `Bearer`; none without `authorization`.
fn bearer(metadata: &MetadataMap) -> Result<Option<&str>, Status> {
    let mut all = metadata.get_all("authorization").iter();
    let (first, more) = (all.next(), all.next());
    let Some(first) = first else {
        return Ok(None);
    };
    let text = first.to_str().ok().and_then(|text| text.split_once(' '));
    match (text, more) {
        (Some((scheme, token)), None) if scheme.eq_ignore_ascii_case("bearer") => {
            Ok(Some(token.trim()))
        }
        _ => Err(Status::unauthenticated(
            "authorization is not `Bearer TOKEN`, once; give it so",
        )),
    }
}
