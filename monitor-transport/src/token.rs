//! Who a person is by a token that an issuer of theirs signed (OIDC, RFC 7519).
//!
//! In: the text after `Bearer`, and the time. Out: an [`Identity`] of the role
//! soc, admin or auditor, never of a machine's. Bound: [`TOKEN_BYTES_MAX`];
//! [`KEYS_MAX`] keys. Loss: none.
//!
//! Keys come from a file (JWKS, RFC 7517): nothing is fetched. Which algorithm
//! a key is for follows from the key alone; what a token says of its algorithm
//! must be the same (RFC 8725).

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use monitor_model::clock::UnixNs;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
    UnparsedPublicKey,
};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::identity::{Identity, IdentityError, Role};

/// Longest token in bytes.
pub const TOKEN_BYTES_MAX: usize = 16 << 10;
/// Largest file of keys in bytes.
pub const KEYS_BYTES_MAX: u64 = 1 << 20;
/// Most keys of an issuer.
pub const KEYS_MAX: usize = 64;
/// Shortest modulus of an RSA key in bytes.
const RSA_BYTES_MIN: usize = 256;
/// Longest modulus of an RSA key in bytes.
const RSA_BYTES_MAX: usize = 1_024;
/// The roles that a token can give.
const ROLES: [Role; 3] = [Role::Soc, Role::Admin, Role::Auditor];

/// How a token is signed: with a private key, never with a shared secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    /// RSA PKCS #1 v1.5 with SHA-256, 2,048 to 8,192 bits.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Self; 3] = [Self::Rs256, Self::Es256, Self::EdDsa];

    /// The name in tokens and configurations.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Algorithm {
    type Err = TokenError;
    fn from_str(text: &str) -> Result<Self, TokenError> {
        let found = Self::ALL.into_iter().find(|known| known.as_str() == text);
        found.ok_or_else(|| TokenError::Algorithm {
            text: text.to_owned(),
        })
    }
}

/// What tokens are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Who signs them: `iss`, letter by letter.
    pub issuer: String,
    /// For whom: one of `aud`.
    pub audience: String,
    /// Algorithms that are taken.
    pub algorithms: Vec<Algorithm>,
    /// The claim that holds the name; a text.
    pub name_claim: String,
    /// The claim that holds the role; a text, or a list with exactly one of ours.
    pub role_claim: String,
    /// The claim that holds an auditor's tenants; a text or a list.
    pub tenants_claim: String,
    /// How far the issuer's clock may differ.
    pub leeway: Duration,
}

/// Why a file of keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// It cannot be read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is none.
    #[error("{}: {cause}; give the issuer's JWKS, as behind jwks_uri of its .well-known/openid-configuration", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: String,
    },
}

/// Why a token is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not three parts of base64url with JSON in the first two.
    #[error("the token is no signed JWT of at most {TOKEN_BYTES_MAX} bytes")]
    Form,
    /// An algorithm that is not taken.
    #[error(
        "the token's algorithm {text:?} is not taken; let the issuer sign with one of those configured, of RS256, ES256 and EdDSA"
    )]
    Algorithm {
        /// The name found.
        text: String,
    },
    /// A header that must be understood and is not.
    #[error("the token has a critical header (crit), which is not known here")]
    Critical,
    /// No key of that name and algorithm.
    #[error(
        "no {algorithm} key {kid:?} is among the issuer's; if its keys changed, the collector's JWKS file must be renewed and the collector reloaded"
    )]
    Key {
        /// The name of the key, empty when the token has none.
        kid: String,
        /// The algorithm.
        algorithm: Algorithm,
    },
    /// Not signed by the key.
    #[error("the token's signature is not its issuer's")]
    Signature,
    /// Of another issuer.
    #[error("the token is of issuer {found:?}, not of the one configured")]
    Issuer {
        /// The issuer found.
        found: String,
    },
    /// For somebody else.
    #[error("the token is for another audience; ask the issuer for one for {wanted:?}")]
    Audience {
        /// Who we are.
        wanted: String,
    },
    /// Over.
    #[error("the token expired {seconds} s ago; get a new one")]
    Expired {
        /// For how long, in seconds.
        seconds: u64,
    },
    /// Not begun.
    #[error("the token holds only in {seconds} s; are the clocks right?")]
    NotYet {
        /// In how long, in seconds.
        seconds: u64,
    },
    /// A claim that is missing or not what it must be.
    #[error("the token's claim {claim:?} is not {wanted}")]
    Claim {
        /// The claim.
        claim: String,
        /// What it must be.
        wanted: &'static str,
    },
    /// A role that no token gives.
    #[error(
        "a token cannot give the role {role}: agents, brokers and collectors show certificates"
    )]
    Machine {
        /// The role found.
        role: Role,
    },
    /// What the claims say is no identity.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// One public key of the issuer.
#[derive(Clone, PartialEq, Eq)]
struct Key {
    kid: String,
    point: Point,
}

#[derive(Clone, PartialEq, Eq)]
enum Point {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    Ed25519(Vec<u8>),
}

impl Key {
    const fn algorithm(&self) -> Algorithm {
        match self.point {
            Point::Rsa { .. } => Algorithm::Rs256,
            Point::P256(_) => Algorithm::Es256,
            Point::Ed25519(_) => Algorithm::EdDsa,
        }
    }

    fn signed(&self, text: &[u8], signature: &[u8]) -> bool {
        let checked = match &self.point {
            Point::Rsa { n, e } => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, text, signature)
            }
            Point::P256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(text, signature)
            }
            Point::Ed25519(point) => {
                UnparsedPublicKey::new(&ED25519, point).verify(text, signature)
            }
        };
        checked.is_ok()
    }
}

/// An issuer's keys, and what its tokens must say.
#[derive(Clone, PartialEq, Eq)]
pub struct Tokens {
    rules: Rules,
    keys: Vec<Key>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.keys.len();
        write!(f, "Tokens({:?}, {keys} keys)", self.rules)
    }
}

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<Jwk>,
}

/// A key as it is written; what else a file says of it does not matter here.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Jwk {
    kty: String,
    kid: String,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    crv: String,
    n: String,
    e: String,
    x: String,
    y: String,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: String,
    crit: Option<Value>,
}

impl Tokens {
    /// Reads the issuer's keys from a file.
    ///
    /// # Errors
    /// [`KeysError`] names the file and what is wrong with it.
    pub fn load(rules: Rules, jwks: &Path) -> Result<Self, KeysError> {
        let file = |source| KeysError::File {
            path: jwks.into(),
            source,
        };
        let length = fs::metadata(jwks).map_err(file)?.len();
        let content = |cause: String| KeysError::Content {
            path: jwks.into(),
            cause,
        };
        if length > KEYS_BYTES_MAX {
            return Err(content(format!(
                "{length} bytes, more than {KEYS_BYTES_MAX}"
            )));
        }
        let text = fs::read(jwks).map_err(file)?;
        Self::new(rules, &text).map_err(content)
    }

    /// The same, of the text of such a file.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn new(rules: Rules, jwks: &[u8]) -> Result<Self, String> {
        let read: Jwks = serde_json::from_slice(jwks).map_err(|error| error.to_string())?;
        if read.keys.len() > KEYS_MAX {
            return Err(format!("{} keys, more than {KEYS_MAX}", read.keys.len()));
        }
        let mut keys: Vec<Key> = Vec::new();
        for jwk in &read.keys {
            let Some(key) = key(jwk)? else {
                continue;
            };
            let same = |known: &Key| known.kid == key.kid && known.algorithm() == key.algorithm();
            if keys.iter().any(same) {
                return Err(format!(
                    "two {} keys are called {:?}",
                    key.algorithm(),
                    key.kid
                ));
            }
            if rules.algorithms.contains(&key.algorithm()) {
                keys.push(key);
            }
        }
        if keys.is_empty() {
            return Err("no key in it is for signatures by the configured algorithms".to_owned());
        }
        Ok(Self { rules, keys })
    }

    /// How many keys there are.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.keys.len()
    }

    /// Who a token is of.
    ///
    /// # Errors
    /// [`TokenError`] says what is wrong, and what would be right.
    pub fn identity(&self, token: &str, now: UnixNs) -> Result<Identity, TokenError> {
        let claims = self.signed(token)?;
        self.check_for_us(&claims)?;
        self.check_time(&claims, now)?;
        let Rules {
            name_claim,
            role_claim,
            tenants_claim,
            ..
        } = &self.rules;
        let wanted = |claim: &str, wanted| TokenError::Claim {
            claim: claim.to_owned(),
            wanted,
        };
        let name = claims.get(name_claim).and_then(Value::as_str);
        let name = name.ok_or_else(|| wanted(name_claim, "a text: the person's name"))?;
        let role = role(&texts(&claims, role_claim)?)?
            .ok_or_else(|| wanted(role_claim, "exactly one of soc, admin and auditor"))?;
        let tenants = if claims.contains_key(tenants_claim) {
            texts(&claims, tenants_claim)?
        } else {
            Vec::new()
        };
        let tenants = tenants.iter().map(|text| text.parse());
        let tenants = tenants
            .collect::<Result<_, _>>()
            .map_err(IdentityError::from)?;
        let name = name.parse().map_err(IdentityError::from)?;
        Ok(Identity::new(role, name, tenants)?)
    }

    /// The claims, if one of our keys signed them.
    fn signed(&self, token: &str) -> Result<Map<String, Value>, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Form);
        }
        let (text, signature) = token.rsplit_once('.').ok_or(TokenError::Form)?;
        let (header, claims) = text.split_once('.').ok_or(TokenError::Form)?;
        let header: Header =
            serde_json::from_slice(&bytes(header)?).map_err(|_| TokenError::Form)?;
        let (claims, signature) = (bytes(claims)?, bytes(signature)?);
        let algorithm: Algorithm = header.alg.parse()?;
        if !self.rules.algorithms.contains(&algorithm) {
            return Err(TokenError::Algorithm { text: header.alg });
        }
        if header.crit.is_some() {
            return Err(TokenError::Critical);
        }
        let mut fitting = self.keys.iter().filter(|key| key.algorithm() == algorithm);
        let key = if header.kid.is_empty() {
            // Without a name only where there is no choice.
            fitting.next().filter(|_| fitting.next().is_none())
        } else {
            fitting.find(|key| key.kid == header.kid)
        };
        let key = key.ok_or(TokenError::Key {
            kid: header.kid,
            algorithm,
        })?;
        if !key.signed(text.as_bytes(), &signature) {
            return Err(TokenError::Signature);
        }
        serde_json::from_slice(&claims).map_err(|_| TokenError::Form)
    }

    fn check_for_us(&self, claims: &Map<String, Value>) -> Result<(), TokenError> {
        let issuer = claims
            .get("iss")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if issuer != self.rules.issuer {
            return Err(TokenError::Issuer {
                found: issuer.to_owned(),
            });
        }
        if !texts(claims, "aud")?.contains(&self.rules.audience) {
            return Err(TokenError::Audience {
                wanted: self.rules.audience.clone(),
            });
        }
        Ok(())
    }

    fn check_time(&self, claims: &Map<String, Value>, now: UnixNs) -> Result<(), TokenError> {
        let seconds = |claim: &str| match claims.get(claim) {
            None => Ok(None),
            Some(value) => value.as_u64().map(Some).ok_or_else(|| TokenError::Claim {
                claim: claim.to_owned(),
                wanted: "a time in whole seconds since 1970",
            }),
        };
        let (now, leeway) = (now.as_seconds(), self.rules.leeway.as_secs());
        let expires = seconds("exp")?.ok_or_else(|| TokenError::Claim {
            claim: "exp".to_owned(),
            wanted: "there: a token must end",
        })?;
        if now >= expires.saturating_add(leeway) {
            return Err(TokenError::Expired {
                seconds: now - expires,
            });
        }
        let begins = seconds("nbf")?.max(seconds("iat")?).unwrap_or(0);
        if now.saturating_add(leeway) < begins {
            return Err(TokenError::NotYet {
                seconds: begins - now,
            });
        }
        Ok(())
    }
}

/// A key that signatures are checked with; none where it is for something else.
fn key(jwk: &Jwk) -> Result<Option<Key>, String> {
    if jwk.usage.as_deref().is_some_and(|usage| usage != "sig") {
        return Ok(None);
    }
    let part = |name: &str, text: &str| {
        URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|error| format!("{name} of key {:?}: {error}", jwk.kid))
    };
    let point = match (jwk.kty.as_str(), jwk.crv.as_str()) {
        ("RSA", _) => {
            let n = part("n", &jwk.n)?;
            if !(RSA_BYTES_MIN..=RSA_BYTES_MAX).contains(&n.len()) {
                return Err(format!(
                    "RSA key {:?} has {} bits; 2048 to 8192 are taken",
                    jwk.kid,
                    n.len() * 8
                ));
            }
            let e = part("e", &jwk.e)?;
            Point::Rsa { n, e }
        }
        ("EC", "P-256") => {
            let (x, y) = (part("x", &jwk.x)?, part("y", &jwk.y)?);
            if x.len() != 32 || y.len() != 32 {
                return Err(format!("x or y of key {:?} has not 32 bytes", jwk.kid));
            }
            Point::P256([&[4], x.as_slice(), y.as_slice()].concat())
        }
        ("OKP", "Ed25519") => {
            let x = part("x", &jwk.x)?;
            if x.len() != 32 {
                return Err(format!("x of key {:?} has not 32 bytes", jwk.kid));
            }
            Point::Ed25519(x)
        }
        _ => return Ok(None),
    };
    let key = Key {
        kid: jwk.kid.clone(),
        point,
    };
    let is_for_it = jwk
        .alg
        .as_deref()
        .is_none_or(|alg| alg == key.algorithm().as_str());
    Ok(is_for_it.then_some(key))
}

fn bytes(part: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Form)
}

/// A claim that is a text or a list of texts.
fn texts(claims: &Map<String, Value>, claim: &str) -> Result<Vec<String>, TokenError> {
    let wrong = || TokenError::Claim {
        claim: claim.to_owned(),
        wanted: "a text or a list of texts",
    };
    match claims.get(claim) {
        Some(Value::String(text)) => Ok(vec![text.clone()]),
        Some(Value::Array(list)) => list
            .iter()
            .map(|text| text.as_str().map(str::to_owned).ok_or_else(wrong))
            .collect(),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => {
            Err(wrong())
        }
    }
}

/// The one role among them that is ours; issuers may list others beside it.
fn role(texts: &[String]) -> Result<Option<Role>, TokenError> {
    let known: Vec<Role> = texts.iter().filter_map(|text| text.parse().ok()).collect();
    if let Some(machine) = known.iter().find(|role| !ROLES.contains(role)) {
        return Err(TokenError::Machine { role: *machine });
    }
    match known.as_slice() {
        [role] => Ok(Some(*role)),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests;
