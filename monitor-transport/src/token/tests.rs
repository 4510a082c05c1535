use proptest::prelude::*;
use ring::{
    hmac,
    rand::SystemRandom,
    rsa::PublicKeyComponents,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
        RSA_PKCS1_SHA256, RsaKeyPair,
    },
};
use serde_json::json;

use super::*;

const NOW: u64 = 1_790_000_000;

/// An issuer with a key of each kind, called as their algorithms are.
struct Issuer {
    rsa: RsaKeyPair,
    ec: EcdsaKeyPair,
    ed: Ed25519KeyPair,
}

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Issuer {
    fn new() -> Self {
        let random = SystemRandom::new();
        let ec = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let ed = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        let signing = &ECDSA_P256_SHA256_FIXED_SIGNING;
        Self {
            rsa: RsaKeyPair::from_pkcs8(include_bytes!("rsa-of-tests.p8")).unwrap(),
            ec: EcdsaKeyPair::from_pkcs8(signing, ec.as_ref(), &random).unwrap(),
            ed: Ed25519KeyPair::from_pkcs8(ed.as_ref()).unwrap(),
        }
    }

    fn keys(&self) -> Vec<Value> {
        let rsa = PublicKeyComponents::<Vec<u8>>::from(self.rsa.public());
        let point = &self.ec.public_key().as_ref()[1..];
        vec![
            json!({"kty": "RSA", "kid": "RS256", "use": "sig", "n": encoded(rsa.n), "e": encoded(rsa.e)}),
            json!({"kty": "EC", "crv": "P-256", "kid": "ES256", "alg": "ES256",
                "x": encoded(&point[..32]), "y": encoded(&point[32..])}),
            json!({"kty": "OKP", "crv": "Ed25519", "kid": "EdDSA", "x": encoded(self.ed.public_key())}),
            json!({"kty": "EC", "crv": "P-521", "kid": "other", "x": "AA", "y": "AA"}),
            json!({"kty": "RSA", "kid": "enc", "use": "enc", "n": "AA", "e": "AQAB"}),
        ]
    }

    fn tokens(&self, algorithms: &[Algorithm]) -> Tokens {
        let jwks = json!({"keys": self.keys()}).to_string();
        Tokens::new(rules(algorithms), jwks.as_bytes()).unwrap()
    }

    /// A token under a header, signed by the key of an algorithm.
    fn token(&self, header: &Value, claims: &Value, by: Algorithm) -> String {
        let text = format!(
            "{}.{}",
            encoded(header.to_string()),
            encoded(claims.to_string())
        );
        let random = SystemRandom::new();
        let signature = match by {
            Algorithm::Rs256 => {
                let mut signature = vec![0; self.rsa.public().modulus_len()];
                let signed =
                    self.rsa
                        .sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature);
                signed.unwrap();
                signature
            }
            Algorithm::Es256 => {
                let signed = self.ec.sign(&random, text.as_bytes()).unwrap();
                signed.as_ref().to_vec()
            }
            Algorithm::EdDsa => self.ed.sign(text.as_bytes()).as_ref().to_vec(),
        };
        format!("{text}.{}", encoded(signature))
    }

    fn of(&self, claims: &Value) -> String {
        let header = json!({"alg": "EdDSA", "kid": "EdDSA"});
        self.token(&header, claims, Algorithm::EdDsa)
    }
}

fn rules(algorithms: &[Algorithm]) -> Rules {
    Rules {
        issuer: "https://login.example".into(),
        audience: "monitor".into(),
        algorithms: algorithms.to_vec(),
        name_claim: "sub".into(),
        role_claim: "monitor_role".into(),
        tenants_claim: "monitor_tenants".into(),
        leeway: Duration::from_secs(30),
    }
}

fn claims() -> Value {
    json!({"iss": "https://login.example", "aud": ["other", "monitor"], "exp": NOW + 300,
        "nbf": NOW - 10, "sub": "sam", "monitor_role": "soc"})
}

fn with(claim: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[claim] = value;
    claims
}

fn without(claim: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(claim);
    claims
}

fn now() -> UnixNs {
    UnixNs::from_seconds(NOW)
}

fn refused(tokens: &Tokens, token: &str) -> TokenError {
    tokens.identity(token, now()).unwrap_err()
}

#[test]
fn a_token_of_each_algorithm_names_a_person() {
    let issuer = Issuer::new();
    let tokens = issuer.tokens(&Algorithm::ALL);
    assert_eq!(tokens.keys(), 3);
    for algorithm in Algorithm::ALL {
        for header in [
            json!({"alg": algorithm.as_str(), "kid": algorithm.as_str(), "typ": "JWT"}),
            json!({"alg": algorithm.as_str()}),
        ] {
            let token = issuer.token(&header, &claims(), algorithm);
            let identity = tokens.identity(&token, now()).unwrap();
            assert_eq!(identity.to_string(), "monitor://soc/sam");
        }
    }
}

#[test]
fn an_auditors_tenants_are_those_of_the_claim() {
    let issuer = Issuer::new();
    let tokens = issuer.tokens(&Algorithm::ALL);
    let mut claims = with("monitor_role", json!(["offline_access", "auditor"]));
    let token = issuer.of(&claims);
    let no_tenant = TokenError::Identity(IdentityError::NoTenant);
    assert_eq!(refused(&tokens, &token), no_tenant);
    for (tenants, wanted) in [
        (json!("acme"), "monitor://auditor/sam?tenant=acme"),
        (
            json!(["acme", "globex"]),
            "monitor://auditor/sam?tenant=acme&tenant=globex",
        ),
    ] {
        claims["monitor_tenants"] = tenants;
        let identity = tokens.identity(&issuer.of(&claims), now()).unwrap();
        assert_eq!(identity.to_string(), wanted);
    }
    for tenants in [
        json!([]),
        json!(["A B"]),
        json!([1]),
        json!({"acme": true}),
        json!(null),
    ] {
        claims["monitor_tenants"] = tenants;
        assert!(
            tokens.identity(&issuer.of(&claims), now()).is_err(),
            "{claims}"
        );
    }
    let soc = issuer.of(&with("monitor_tenants", json!(["acme"])));
    let role = Role::Soc;
    let bound = TokenError::Identity(IdentityError::Tenants { role });
    assert_eq!(refused(&tokens, &soc), bound);
}

#[test]
fn machines_roles_and_unknown_ones_are_refused() {
    let issuer = Issuer::new();
    let tokens = issuer.tokens(&Algorithm::ALL);
    for role in [Role::Agent, Role::Broker, Role::Collector] {
        for claim in [json!(role.as_str()), json!(["soc", role.as_str()])] {
            let token = issuer.of(&with("monitor_role", claim));
            assert_eq!(refused(&tokens, &token), TokenError::Machine { role });
        }
    }
    for claim in [json!("root"), json!([]), json!(["soc", "admin"]), json!(1)] {
        let token = issuer.of(&with("monitor_role", claim));
        assert!(matches!(refused(&tokens, &token), TokenError::Claim { .. }));
    }
    for claims in [
        without("monitor_role"),
        without("sub"),
        with("sub", json!(7)),
    ] {
        let refused = refused(&tokens, &issuer.of(&claims));
        assert!(matches!(refused, TokenError::Claim { .. }));
    }
    let name = refused(&tokens, &issuer.of(&with("sub", json!("a b"))));
    assert!(matches!(name, TokenError::Identity(_)));
}

#[test]
fn a_token_holds_for_its_time_and_a_leeway() {
    let issuer = Issuer::new();
    let tokens = issuer.tokens(&Algorithm::ALL);
    let takes = |claims: &Value| tokens.identity(&issuer.of(claims), now()).is_ok();
    for (claim, inside, outside) in [
        ("exp", NOW - 29, NOW - 30),
        ("nbf", NOW + 30, NOW + 31),
        ("iat", NOW + 30, NOW + 31),
    ] {
        assert!(takes(&with(claim, json!(inside))), "{claim}");
        assert!(!takes(&with(claim, json!(outside))), "{claim}");
    }
    let expired = refused(&tokens, &issuer.of(&with("exp", json!(NOW - 40))));
    assert_eq!(expired, TokenError::Expired { seconds: 40 });
    let early = refused(&tokens, &issuer.of(&with("nbf", json!(NOW + 40))));
    assert_eq!(early, TokenError::NotYet { seconds: 40 });
    for claims in [
        without("exp"),
        with("exp", json!("1")),
        with("exp", json!(-1)),
        with("exp", json!(1.5)),
    ] {
        assert!(!takes(&claims), "{claims}");
    }
    assert!(takes(&without("nbf")));
}

#[test]
fn another_issuer_or_audience_is_refused() {
    let issuer = Issuer::new();
    let tokens = issuer.tokens(&Algorithm::ALL);
    for claims in [
        with("iss", json!("https://login.example/")),
        with("iss", json!(["https://login.example"])),
        without("iss"),
    ] {
        let refused = refused(&tokens, &issuer.of(&claims));
        assert!(matches!(refused, TokenError::Issuer { .. }), "{claims}");
    }
    for claims in [with("aud", json!("monitor2")), with("aud", json!([]))] {
        let refused = refused(&tokens, &issuer.of(&claims));
        assert!(matches!(refused, TokenError::Audience { .. }), "{claims}");
    }
    assert!(matches!(
        refused(&tokens, &issuer.of(&without("aud"))),
        TokenError::Claim { .. }
    ));
}

#[test]
fn a_key_is_for_its_own_algorithm_alone() {
    let issuer = Issuer::new();
    let tokens = issuer.tokens(&Algorithm::ALL);
    // Signed by one key, under the name or the algorithm of another.
    for (alg, kid, by) in [
        ("RS256", "ES256", Algorithm::Es256),
        ("ES256", "RS256", Algorithm::Rs256),
        ("EdDSA", "RS256", Algorithm::Rs256),
        ("RS256", "unknown", Algorithm::Rs256),
    ] {
        let token = issuer.token(&json!({"alg": alg, "kid": kid}), &claims(), by);
        let refused = refused(&tokens, &token);
        assert!(matches!(refused, TokenError::Key { .. }), "{refused}");
    }
    let stranger = Issuer::new().of(&claims());
    assert_eq!(refused(&tokens, &stranger), TokenError::Signature);
    let narrow = issuer.tokens(&[Algorithm::Es256]);
    let token = issuer.of(&claims());
    assert!(matches!(
        refused(&narrow, &token),
        TokenError::Algorithm { .. }
    ));
}

#[test]
fn shared_secrets_and_no_signature_are_refused() {
    let issuer = Issuer::new();
    let tokens = issuer.tokens(&Algorithm::ALL);
    let public = PublicKeyComponents::<Vec<u8>>::from(issuer.rsa.public()).n;
    let jwks = json!({"keys": issuer.keys()}).to_string();
    for secret in [
        public.as_slice(),
        issuer.ed.public_key().as_ref(),
        jwks.as_bytes(),
    ] {
        for alg in ["HS256", "HS512", "hs256"] {
            let header = encoded(json!({"alg": alg, "kid": "RS256"}).to_string());
            let text = format!("{header}.{}", encoded(claims().to_string()));
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
            let signature = encoded(hmac::sign(&key, text.as_bytes()));
            let refused = refused(&tokens, &format!("{text}.{signature}"));
            assert!(matches!(refused, TokenError::Algorithm { .. }));
        }
    }
    for alg in ["none", "None", "NONE", "nOnE", "", "ES384", "PS256"] {
        let header = encoded(json!({"alg": alg}).to_string());
        let token = format!("{header}.{}.", encoded(claims().to_string()));
        let refused = refused(&tokens, &token);
        assert!(matches!(refused, TokenError::Algorithm { .. }), "{alg}");
    }
    // The right algorithm, and nothing or half of what must follow.
    let token = issuer.of(&claims());
    let (text, signature) = token.rsplit_once('.').unwrap();
    for part in ["", &signature[..44]] {
        assert_eq!(
            refused(&tokens, &format!("{text}.{part}")),
            TokenError::Signature
        );
    }
    let critical = json!({"alg": "EdDSA", "crit": ["b64"], "b64": false});
    let token = issuer.token(&critical, &claims(), Algorithm::EdDsa);
    assert_eq!(refused(&tokens, &token), TokenError::Critical);
}

#[test]
fn a_changed_token_is_not_its_issuers() {
    let issuer = Issuer::new();
    let tokens = issuer.tokens(&Algorithm::ALL);
    let token = issuer.of(&claims());
    let (text, signature) = token.rsplit_once('.').unwrap();
    let (header, _) = text.split_once('.').unwrap();
    let more = encoded(with("monitor_role", json!("admin")).to_string());
    let forged = format!("{header}.{more}.{signature}");
    assert_eq!(refused(&tokens, &forged), TokenError::Signature);
    let long = format!("{token}{}", "A".repeat(TOKEN_BYTES_MAX));
    for token in [
        &token[1..],
        &format!("{token}.x"),
        &format!("{token}="),
        "",
        "..",
        &long,
    ] {
        assert_eq!(refused(&tokens, token), TokenError::Form, "{token}");
    }
}

#[test]
fn wrong_files_of_keys_are_told() {
    let issuer = Issuer::new();
    let key = |at: usize| issuer.keys()[at].clone();
    let mut short = key(0);
    short["n"] = json!(encoded([0xff; 128]));
    let many: Vec<Value> = (0..=KEYS_MAX).map(|_| key(3)).collect();
    for (keys, told) in [
        (json!([key(3), key(4)]), "no key in it is for signatures"),
        (json!([]), "no key in it is for signatures"),
        (json!([key(2), key(2)]), "two EdDSA keys are called"),
        (json!([short]), "1024 bits"),
        (
            json!([{"kty": "OKP", "crv": "Ed25519", "x": "AA"}]),
            "32 bytes",
        ),
        (
            json!([{"kty": "EC", "crv": "P-256", "x": "AA", "y": "="}]),
            "y of key",
        ),
        (json!(many), "65 keys"),
        (json!(7), "invalid type"),
    ] {
        let jwks = json!({"keys": keys}).to_string();
        let error = Tokens::new(rules(&Algorithm::ALL), jwks.as_bytes()).unwrap_err();
        assert!(error.contains(told), "{error}");
    }
    let gone = Tokens::load(rules(&Algorithm::ALL), Path::new("/nonexistent/jwks.json"));
    assert!(matches!(gone.unwrap_err(), KeysError::File { .. }));
}

proptest! {
    #[test]
    fn any_text_gives_an_error_and_never_a_panic(
        text in ".{0,200}",
        header in "[{\"a-zA-Z0-9:,}\\[\\]]{0,40}",
        claims in proptest::collection::vec(any::<u8>(), 0..60),
        signature in proptest::collection::vec(any::<u8>(), 0..70),
    ) {
        let keys = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": encoded([7; 32])}]});
        let tokens = Tokens::new(rules(&Algorithm::ALL), keys.to_string().as_bytes()).unwrap();
        prop_assert!(tokens.identity(&text, now()).is_err());
        let parts = format!("{}.{}.{}", encoded(&header), encoded(&claims), encoded(&signature));
        prop_assert!(tokens.identity(&parts, now()).is_err());
        let right = encoded(r#"{"alg":"EdDSA"}"#);
        let parts = format!("{right}.{}.{}", encoded(&claims), encoded(&signature));
        prop_assert_eq!(tokens.identity(&parts, now()).unwrap_err(), TokenError::Signature);
        prop_assert!(Tokens::new(rules(&Algorithm::ALL), &claims).is_err());
        prop_assert!(Tokens::new(rules(&Algorithm::ALL), text.as_bytes()).is_err());
    }
}
