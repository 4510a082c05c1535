//! Who somebody is: certificates of connections, tokens of people.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use monitor_collector::service::page;
use monitor_model::clock::UnixNs;
use monitor_transport::{
    identity::Identity,
    token::{Algorithm, Rules, Tokens},
};
use ring::signature::{Ed25519KeyPair, KeyPair as _};

/// When tokens are looked at.
const NOW: UnixNs = UnixNs::from_seconds(1_700_000_000);

fn rules() -> Rules {
    Rules {
        issuer: "https://issuer.example".to_owned(),
        audience: "monitor".to_owned(),
        algorithms: Algorithm::ALL.to_vec(),
        name_claim: "sub".to_owned(),
        role_claim: "role".to_owned(),
        tenants_claim: "tenants".to_owned(),
        leeway: Duration::from_secs(60),
    }
}

/// An issuer's keys; a token, as it is sent; and a token's header and claims, a
/// line each, signed by an issuer that the collector trusts.
pub(crate) fn token(bytes: &[u8]) -> bool {
    let mut is_taken = Tokens::new(rules(), bytes).is_ok();
    let Some((tokens, pair)) = issuer() else {
        return is_taken;
    };
    let who = |token: &str| tokens.identity(token, NOW).is_ok();
    is_taken |= std::str::from_utf8(bytes).is_ok_and(who);
    let mut parts = bytes.splitn(2, |byte| *byte == b'\n');
    let (Some(header), Some(claims)) = (parts.next(), parts.next()) else {
        return is_taken;
    };
    let text = [header, claims]
        .map(|part| URL_SAFE_NO_PAD.encode(part))
        .join(".");
    let signature = URL_SAFE_NO_PAD.encode(pair.sign(text.as_bytes()));
    is_taken | who(&format!("{text}.{signature}"))
}

fn issuer() -> Option<(Tokens, Ed25519KeyPair)> {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[6; 32]).ok()?;
    let x = URL_SAFE_NO_PAD.encode(pair.public_key());
    let keys = format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"k","x":"{x}"}}]}}"#);
    Some((Tokens::new(rules(), keys.as_bytes()).ok()?, pair))
}

/// A certificate in DER, an identity as a URI, a public key that somebody wants a
/// certificate for, or the token of a page.
pub(crate) fn identity(bytes: &[u8]) -> bool {
    let mut is_read = Identity::from_certificate(bytes).is_ok();
    let Ok(text) = std::str::from_utf8(bytes) else {
        return is_read;
    };
    if let Ok(identity) = text.parse::<Identity>() {
        let again = identity.to_string().parse::<Identity>();
        assert!(
            again.as_ref().is_ok_and(|again| *again == identity),
            "{identity:?} became {again:?}"
        );
        is_read = true;
    }
    is_read |= monitor_broker::ca::accept(text).is_ok();
    if let Ok(place) = page::place(text) {
        let again = page::place(&page::token(Some(place.clone())));
        assert!(
            again.as_ref().is_ok_and(|again| *again == place),
            "{place:?} became {again:?}"
        );
        is_read = true;
    }
    is_read
}
