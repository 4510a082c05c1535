//! What webhooks are signed with: `whsec_` and base64, one a line of a file that
//! is its owner's alone. While a secret is changed for another both stand there,
//! and both sign.

use std::path::{Path, PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac as _};
use monitor_ledger::key::{KeyError, read_secret};
use sha2::Sha256;

/// Most secrets in a file.
pub const SECRETS_MAX: usize = 4;
/// Bytes of a secret, as Standard Webhooks has it.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Why a secret cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read, or others than its owner may read it.
    #[error(transparent)]
    File(KeyError),
    /// It holds none.
    #[error(
        "{}: no secret in it; give 1 to {SECRETS_MAX}, one a line, each whsec_ and the base64 of 24 to 64 random bytes", path.display()
    )]
    Count {
        /// The file.
        path: PathBuf,
    },
    /// A line is none.
    #[error(
        "{}, line {line}: not a secret; give whsec_ and the base64 of 24 to 64 random bytes, as `echo \"whsec_$(openssl rand -base64 32)\"` prints it", path.display()
    )]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
}

/// The secrets of one file.
#[derive(Clone)]
pub struct Secrets(Vec<Hmac<Sha256>>);

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Secrets").field(&self.0.len()).finish()
    }
}

impl Secrets {
    /// Reads a file.
    ///
    /// # Errors
    /// [`SecretError`] names the file and what is wrong with it.
    pub fn load(path: &Path) -> Result<Self, SecretError> {
        let count = || SecretError::Count { path: path.into() };
        let text = read_secret(path).map_err(|error| {
            if matches!(error, KeyError::NotAFile { .. }) {
                return count();
            }
            SecretError::File(error)
        })?;
        let mut secrets = Vec::new();
        for (at, line) in text.lines().enumerate() {
            if !line.trim().is_empty() {
                let (path, line_number) = (path.into(), at + 1);
                secrets.push(secret(line.trim()).ok_or(SecretError::Line {
                    path,
                    line: line_number,
                })?);
            }
        }
        if (1..=SECRETS_MAX).contains(&secrets.len()) {
            Ok(Self(secrets))
        } else {
            Err(count())
        }
    }

    /// The signatures of a message, one a secret, as `webhook-signature` has them.
    #[must_use]
    pub fn sign(&self, id: &str, at_unix_s: u64, body: &[u8]) -> String {
        let signed = |secret: &Hmac<Sha256>| {
            let mut mac = secret.clone();
            mac.update(format!("{id}.{at_unix_s}.").as_bytes());
            mac.update(body);
            format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
        };
        let all: Vec<String> = self.0.iter().map(signed).collect();
        all.join(" ")
    }
}

fn secret(text: &str) -> Option<Hmac<Sha256>> {
    let bytes = STANDARD.decode(text.strip_prefix("whsec_")?).ok()?;
    if !SECRET_BYTES.contains(&bytes.len()) {
        return None;
    }
    Hmac::new_from_slice(&bytes).ok()
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    fn load(text: &str, mode: u32) -> Result<Secrets, SecretError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        Secrets::load(&path)
    }

    /// The example that the libraries of Standard Webhooks are tested with.
    const KNOWN: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const KNOWN_SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    #[test]
    fn signatures_are_those_of_the_known_example() {
        let sign = |secrets: &Secrets| {
            let body = br#"{"test": 2432232314}"#;
            secrets.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body)
        };
        let one = load(&format!("{KNOWN}\n"), 0o600).unwrap();
        assert_eq!(sign(&one), KNOWN_SIGNATURE);
        let other = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let both = load(&format!("{other}\n\n{KNOWN}\n"), 0o400).unwrap();
        let signed = sign(&both);
        let (first, second) = signed.split_once(' ').unwrap();
        assert_eq!(second, KNOWN_SIGNATURE);
        assert!(first.starts_with("v1,") && first != second, "{first}");
        assert!(!format!("{both:?}").contains("MfKQ"));
    }

    #[test]
    fn a_wrong_file_is_told_and_never_its_content() {
        let short = format!("{KNOWN}\nwhsec_AAAA\n");
        let five = format!("{KNOWN}\n").repeat(5);
        for (text, mode, told) in [
            (KNOWN, 0o640, "chmod 600"),
            ("", 0o600, "no secret in it"),
            (five.as_str(), 0o600, "1 to 4"),
            (short.as_str(), 0o600, "line 2"),
            ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", 0o600, "whsec_"),
            ("whsec_not base 64", 0o600, "line 1"),
        ] {
            let error = load(text, mode).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
            assert!(!error.contains("MfKQ"), "{error}");
        }
    }
}
