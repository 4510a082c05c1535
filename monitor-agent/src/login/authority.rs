//! Whose certificates name people.
//!
//! sshd also takes certificates of authorities that are listed outside its own
//! settings: a `cert-authority` line that somebody left in an account's
//! `authorized_keys`. Such a certificate opens the account, and says what its
//! maker liked.

use std::{collections::BTreeSet, fs, path::Path};

use ssh_key::{HashAlg, PublicKey};

use super::LoginError;

/// Authorities by the fingerprint of their key; none is every one that sshd takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authorities(Option<BTreeSet<String>>);

impl Authorities {
    /// Reads public keys, one a line, as sshd's `TrustedUserCAKeys` holds them.
    ///
    /// # Errors
    /// [`LoginError::Authority`] when there is none, or a line that is none.
    pub fn read(path: Option<&Path>) -> Result<Self, LoginError> {
        let Some(path) = path else {
            return Ok(Self::default());
        };
        let wrong = |cause: String| LoginError::Authority {
            path: path.to_owned(),
            cause,
        };
        let text = fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        let lines = text.lines().map(str::trim);
        let keys = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        let fingerprint = |line: &str| {
            let key = PublicKey::from_openssh(line).map_err(|error| {
                wrong(format!(
                    "{line:?} is not a public key in OpenSSH's one-line form: {error}"
                ))
            })?;
            Ok(key.fingerprint(HashAlg::Sha256).to_string())
        };
        let found: BTreeSet<String> = keys.map(fingerprint).collect::<Result<_, LoginError>>()?;
        if found.is_empty() {
            return Err(wrong(
                "it holds no key; give the broker's ca.pub".to_owned(),
            ));
        }
        Ok(Self(Some(found)))
    }

    /// Whether certificates of this authority name people.
    #[must_use]
    pub fn trust(&self, fingerprint: &str) -> bool {
        self.0
            .as_ref()
            .is_none_or(|known| known.contains(fingerprint))
    }
}
