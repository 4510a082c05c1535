//! What tokens people may show instead of certificates.

use monitor_transport::{
    configuration::Document,
    token::{Algorithm, Rules, Tokens},
};

use super::{
    LEEWAY_SECONDS_MAX,
    check::{Wrong, seconds, wrong},
    raw,
};

pub(super) fn checked(raw: raw::Tokens, document: &Document<'_>) -> Result<Tokens, Wrong> {
    let raw::Tokens {
        issuer,
        audience,
        jwks,
        algorithms,
        name_claim,
        role_claim,
        tenants_claim,
        leeway_seconds,
    } = raw;
    for (key, text) in [("tokens.issuer", &issuer), ("tokens.audience", &audience)] {
        if text.get_ref().is_empty() {
            let wanted = "give what the issuer writes into its tokens, letter by letter";
            return Err(wrong(key, text, wanted));
        }
    }
    let taken = match &algorithms {
        None => Algorithm::ALL.to_vec(),
        Some(listed) if listed.get_ref().is_empty() => {
            let wanted = "give some of RS256, ES256 and EdDSA, or leave the key out";
            return Err(Wrong {
                span: listed.span(),
                key: "tokens.algorithms",
                value: "[]".to_owned(),
                wanted: wanted.to_owned(),
            });
        }
        Some(listed) => listed
            .get_ref()
            .iter()
            .map(|text| {
                let wanted = "give some of RS256, ES256 and EdDSA";
                let parsed = text.get_ref().parse();
                parsed.map_err(|_| wrong("tokens.algorithms", text, wanted))
            })
            .collect::<Result<_, _>>()?,
    };
    let rules = Rules {
        issuer: issuer.into_inner(),
        audience: audience.into_inner(),
        algorithms: taken,
        name_claim,
        role_claim,
        tenants_claim,
        leeway: seconds(
            "tokens.leeway_seconds",
            &leeway_seconds,
            0..=LEEWAY_SECONDS_MAX,
        )?,
    };
    let path = document.beside(jwks.get_ref().clone());
    Tokens::load(rules, &path).map_err(|error| wrong("tokens.jwks", &jwks, &error.to_string()))
}
