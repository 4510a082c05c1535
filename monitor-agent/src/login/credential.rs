//! What opened a login: read from sshd's own words, not from a log.

use std::str::FromStr;

use monitor_model::{
    grant::Tier,
    id::{GrantId, InvalidId, PrincipalId, TenantId},
    session::Credential,
};
use ssh_key::{HashAlg, PublicKey};

/// End of the names of certificate types.
const CERTIFICATE_TYPE: &str = "-cert-v01@openssh.com";

/// Why a credential cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// sshd accepted a certificate that this agent cannot read.
    #[error("the certificate cannot be read: {cause}")]
    Certificate {
        /// What is wrong.
        cause: String,
    },
    /// The key id is not of the grammar.
    #[error(
        "the certificate's key id {text:?} {cause}; it should be v1;eng=NAME;tenant=T;ticket=X;tier=T;grant=G"
    )]
    KeyId {
        /// The key id.
        text: String,
        /// What is wrong.
        cause: String,
    },
}

/// What opened a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presented {
    /// A certificate.
    Certificate(Box<Certificate>),
    /// Anything else.
    Other(Credential),
}

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Serial number.
    pub serial: u64,
    /// Key id, as written.
    pub key_id: String,
    /// Principals.
    pub principals: Vec<String>,
    /// Fingerprint of the CA's key.
    pub ca_fingerprint: String,
    /// Fingerprint of the certified key.
    pub key_fingerprint: String,
}

impl Certificate {
    /// Reads a certificate from its type and base 64.
    ///
    /// # Errors
    /// [`CredentialError::Certificate`].
    pub fn read(key_type: &str, base64: &str) -> Result<Self, CredentialError> {
        let certificate = ssh_key::Certificate::from_openssh(&format!("{key_type} {base64}"))
            .map_err(|error| CredentialError::Certificate {
                cause: error.to_string(),
            })?;
        Ok(Self {
            serial: certificate.serial(),
            key_id: certificate.key_id().to_owned(),
            principals: certificate.valid_principals().to_vec(),
            ca_fingerprint: certificate
                .signature_key()
                .fingerprint(HashAlg::Sha256)
                .to_string(),
            key_fingerprint: certificate
                .public_key()
                .fingerprint(HashAlg::Sha256)
                .to_string(),
        })
    }

    /// For the session.
    #[must_use]
    pub fn credential(&self) -> Credential {
        Credential::SshCertificate {
            serial: self.serial,
            key_id: self.key_id.clone(),
            ca_fingerprint: self.ca_fingerprint.clone(),
            key_fingerprint: self.key_fingerprint.clone(),
        }
    }
}

impl Presented {
    /// Reads `SSH_AUTH_INFO_0`: a method a line, the first certificate counts,
    /// then the first key, then the first method.
    ///
    /// # Errors
    /// [`CredentialError`] when there is a certificate and it cannot be read.
    pub fn read(auth_info: &str) -> Result<Self, CredentialError> {
        let keys = || {
            auth_info.lines().filter_map(|line| {
                let mut words = line.split_ascii_whitespace();
                (words.next()? == "publickey").then(|| Some((words.next()?, words.next()?)))?
            })
        };
        if let Some((key_type, base64)) =
            keys().find(|(key_type, _)| key_type.ends_with(CERTIFICATE_TYPE))
        {
            return Certificate::read(key_type, base64)
                .map(|found| Self::Certificate(Box::new(found)));
        }
        let Some((key_type, base64)) = keys().next() else {
            let method = auth_info
                .split_ascii_whitespace()
                .next()
                .unwrap_or_default();
            return Ok(Self::Other(Credential::Other {
                method: method.to_owned(),
            }));
        };
        Ok(Self::Other(
            match PublicKey::from_openssh(&format!("{key_type} {base64}")) {
                Ok(key) => Credential::SshKey {
                    key_fingerprint: key.fingerprint(HashAlg::Sha256).to_string(),
                },
                // A kind of key that this agent cannot read is still a key.
                Err(_) => Credential::Other {
                    method: format!("publickey {key_type}"),
                },
            },
        ))
    }
}

/// What a key id says: a hint, the grant is the truth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyId {
    /// `eng`.
    pub engineer: PrincipalId,
    /// `tenant`.
    pub tenant: TenantId,
    /// `ticket`.
    pub ticket: String,
    /// `tier`.
    pub tier: Tier,
    /// `grant`.
    pub grant: GrantId,
    /// `also`: further grants, of the same engineer and tenant.
    pub also: Vec<GrantId>,
}

impl FromStr for KeyId {
    type Err = CredentialError;

    fn from_str(text: &str) -> Result<Self, CredentialError> {
        let wrong = |cause: String| CredentialError::KeyId {
            text: text.to_owned(),
            cause,
        };
        let mut parts = text.split(';');
        if parts.next() != Some("v1") {
            return Err(wrong("does not begin with v1".to_owned()));
        }
        let mut values: [(&str, Option<&str>); 6] = [
            ("eng", None),
            ("tenant", None),
            ("ticket", None),
            ("tier", None),
            ("grant", None),
            ("also", None),
        ];
        for part in parts {
            let Some((key, value)) = part.split_once('=') else {
                return Err(wrong(format!("holds {part:?}")));
            };
            // Keys of a later version of the grammar are left alone.
            if let Some((_, place)) = values.iter_mut().find(|(known, _)| *known == key)
                && place.replace(value).is_some()
            {
                return Err(wrong(format!("names {key} twice")));
            }
        }
        let value = |key: &str| {
            let found = values
                .iter()
                .find(|(known, _)| *known == key)
                .and_then(|(_, value)| *value);
            found.ok_or_else(|| wrong(format!("does not name the {key}")))
        };
        let id = |error: InvalidId| wrong(format!("does not fit: {error}"));
        let also = value("also").map_or_else(
            |_| Ok(Vec::new()),
            |text| text.split(',').map(str::parse).collect::<Result<_, _>>(),
        );
        Ok(Self {
            engineer: value("eng")?.parse().map_err(id)?,
            tenant: value("tenant")?.parse().map_err(id)?,
            ticket: value("ticket")?.to_owned(),
            tier: value("tier")?
                .parse()
                .map_err(|error| wrong(format!("does not fit: {error}")))?,
            grant: value("grant")?.parse().map_err(id)?,
            also: also.map_err(id)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_ids_are_read_and_wrong_ones_refused() {
        let key_id: KeyId =
            "v1;eng=alice@msp.example;tenant=acme;ticket=INC-4711;tier=production;grant=01JG;new=x"
                .parse()
                .unwrap();
        assert_eq!(key_id.engineer.as_str(), "alice@msp.example");
        assert_eq!(
            (key_id.ticket.as_str(), key_id.tier),
            ("INC-4711", Tier::Production)
        );
        assert!(key_id.also.is_empty());
        let text = "v1;eng=a;tenant=b;ticket=c;tier=backup;grant=d;also=e,f";
        let also = text.parse::<KeyId>().unwrap().also;
        assert_eq!(also, ["e", "f"].map(|id| id.parse().unwrap()));
        for text in [
            "",
            "alice",
            "v2;eng=a;tenant=b;ticket=c;tier=production;grant=d",
            "v1;eng=a;tenant=b;ticket=c;tier=production",
            "v1;eng=a;tenant=b;ticket=c;tier=gold;grant=d",
            "v1;eng=a;eng=b;tenant=b;ticket=c;tier=production;grant=d",
            "v1;eng=;tenant=b;ticket=c;tier=production;grant=d",
            "v1;eng=a;tenant=b;ticket=c;tier=backup;grant=d;also=",
            "v1;x",
        ] {
            assert!(text.parse::<KeyId>().is_err(), "{text}");
        }
    }

    #[test]
    fn methods_without_a_key_are_told_by_name() {
        let method = |text: &str| Presented::read(text).unwrap();
        let other = |method: &str| {
            Presented::Other(Credential::Other {
                method: method.into(),
            })
        };
        assert_eq!(method(""), other(""));
        assert_eq!(method("password\n"), other("password"));
        assert_eq!(method("publickey ssh-new AAAA"), other("publickey ssh-new"));
        assert!(Presented::read("publickey ssh-ed25519-cert-v01@openssh.com AAAA").is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_credential_or_an_error(text: String, base64 in "[A-Za-z0-9+/=]{0,200}") {
            let _ = Presented::read(&text);
            let _ = text.parse::<KeyId>();
            let _ = Presented::read(&format!("publickey ssh-ed25519-cert-v01@openssh.com {base64}"));
            let _ = Presented::read(&format!("publickey ecdsa-sha2-nistp256 {base64}"));
        }
    }
}
