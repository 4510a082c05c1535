//! Who may call at all, before any service sees the call.
//!
//! In: a call's certificate and its `authorization`. Out: the same call with the
//! [`Identity`] that it is served as, among its extensions. Bound: one token
//! ([`monitor_transport::token::TOKEN_BYTES_MAX`]). Loss: a call without either
//! is refused. Where no tokens are configured, TLS lets in certificates alone,
//! and calls go on as they are.

use std::sync::Arc;

use monitor_model::clock::Clock;
use monitor_transport::{identity::Identity, token::Tokens};
use tokio::sync::watch;
use tonic::{Request, Status, metadata::MetadataMap, service::Interceptor};

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
        let admitted = match self.tokens.borrow().as_ref() {
            None => return Ok(request),
            Some(tokens) => self.admitted(tokens, &request)?,
        };
        request.extensions_mut().insert(admitted);
        Ok(request)
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
