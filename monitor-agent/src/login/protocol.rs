//! What hooks and agent say to each other: one JSON line each way.
//!
//! Bound: [`LINE_BYTES_MAX`] a line. Who speaks another version is told so.

use serde::{Deserialize, Serialize};

/// Version of the lines.
pub const VERSION: u32 = 1;
/// Most bytes of a line; a certificate with the largest key fits many times.
pub const LINE_BYTES_MAX: usize = 64 * 1024;

/// What a hook asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// [`VERSION`] of the hook.
    pub version: u32,
    /// The question.
    #[serde(flatten)]
    pub ask: Ask,
}

/// The questions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Ask {
    /// A login is being opened: bind the caller's parent.
    Open(Login),
    /// A login is being closed: a hint, the kernel tells the end.
    Close(Login),
    /// Which principals of a certificate open an account.
    Principals(Principals),
}

/// A login, as PAM tells of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    /// `PAM_USER`.
    pub account: String,
    /// `PAM_SERVICE`.
    #[serde(default)]
    pub service: String,
    /// `PAM_RHOST`.
    #[serde(default)]
    pub remote_host: String,
    /// `SSH_CONNECTION`: address, port, own address, own port.
    #[serde(default)]
    pub connection: String,
    /// `SSH_AUTH_INFO_0`: what was accepted, a method a line.
    #[serde(default)]
    pub auth_info: String,
}

/// sshd's question for principals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principals {
    /// The account asked for (`%u`).
    pub account: String,
    /// Type of the certificate (`%t`).
    pub key_type: String,
    /// The certificate in base 64 (`%k`).
    pub certificate: String,
}

/// The agent's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// Go on.
    Allowed {
        /// The session that was bound; empty for a close.
        session: String,
    },
    /// Accept these principals.
    Principals {
        /// Their names.
        principals: Vec<String>,
    },
    /// No.
    Refused {
        /// Why, for the person.
        reason: String,
    },
}

impl Answer {
    /// No, for this reason.
    #[must_use]
    pub fn refused(reason: &impl ToString) -> Self {
        Self::Refused {
            reason: reason.to_string(),
        }
    }
}

/// A line that says nothing.
#[derive(Debug, thiserror::Error)]
pub enum ProtocolError {
    /// Too long.
    #[error("a line of more than {LINE_BYTES_MAX} bytes")]
    TooLong,
    /// No JSON of this form.
    #[error("a line that is not understood: {0}")]
    Form(#[from] serde_json::Error),
    /// Another version.
    #[error(
        "the hook speaks version {told} and the agent {VERSION}: install both from one package"
    )]
    Version {
        /// The hook's.
        told: u32,
    },
}

/// Reads a question.
///
/// # Errors
/// [`ProtocolError`].
pub fn read_request(line: &[u8]) -> Result<Request, ProtocolError> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    let Versioned { version } = serde_json::from_slice(line)?;
    if version != VERSION {
        return Err(ProtocolError::Version { told: version });
    }
    Ok(serde_json::from_slice(line)?)
}

/// Writes a line.
///
/// # Errors
/// [`ProtocolError`].
pub fn line(message: &impl Serialize) -> Result<Vec<u8>, ProtocolError> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    if line.len() > LINE_BYTES_MAX {
        Err(ProtocolError::TooLong)
    } else {
        Ok(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_survive_and_other_versions_are_told() {
        let ask = Ask::Open(Login {
            account: "deploy".into(),
            ..Login::default()
        });
        let request = Request {
            version: VERSION,
            ask,
        };
        let text = line(&request).unwrap();
        assert_eq!(read_request(&text).unwrap(), request);
        let other = Request {
            version: 9,
            ..request
        };
        let error = read_request(&line(&other).unwrap()).unwrap_err();
        assert!(matches!(error, ProtocolError::Version { told: 9 }));
        for text in [
            "",
            "{}",
            "null",
            "{\"version\":1}",
            "{\"version\":1,\"ask\":\"x\"}",
            "\u{0}",
        ] {
            assert!(read_request(text.as_bytes()).is_err(), "{text}");
        }
        let long = Answer::refused(&"x".repeat(LINE_BYTES_MAX));
        assert!(matches!(line(&long), Err(ProtocolError::TooLong)));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_a_request_or_an_error(bytes: Vec<u8>, text: String) {
            let _ = read_request(&bytes);
            let _ = read_request(text.as_bytes());
        }
    }
}
