//! The configuration: a raw file becomes a checked [`Config`] once.
//!
//! An error names the file, the line, the key, the value, and what would be right.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use monitor_model::{
    alert::{Response, Severity},
    event::Kind,
    tenant::Tenant,
    verdict::{OutReason, VerdictKind},
};
use monitor_transport::tls::TlsFiles;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

mod check;
mod raw;

/// The documented configuration, as `config --default` prints it.
pub const DEFAULT: &str = include_str!("config/default.toml");

/// Most tenants that one collector keeps.
pub const TENANTS_MAX: usize = 1_000;
/// Most alert rules.
pub const RULES_MAX: usize = 256;
/// Longest window of a rule: a day.
pub const WINDOW_SECONDS_MAX: u64 = 86_400;
/// Most matches that a rule may wait for.
pub const AFTER_MAX: u32 = 1_000;
/// Longest file in bytes.
const FILE_BYTES_MAX: usize = 1 << 20;

/// Where the broker is and how it is asked again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    /// Its address, `https://...`.
    pub address: String,
    /// First pause between attempts.
    pub retry_min: Duration,
    /// Longest pause between attempts.
    pub retry_max: Duration,
}

/// When an alert is raised, and what answers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// Its name.
    pub id: String,
    /// Verdicts it looks at; at least one.
    pub verdicts: Vec<VerdictKind>,
    /// Kinds of events it looks at; none means all that are judged.
    pub kinds: Vec<Kind>,
    /// Reasons it looks at; none means all.
    pub reasons: Vec<OutReason>,
    /// How urgent its alerts are.
    pub severity: Severity,
    /// ATT&CK technique; may be empty.
    pub technique: String,
    /// What answers.
    pub response: Response,
    /// Fires from this match of one session on, counted within the window.
    pub after: u32,
    /// The window.
    pub window: Duration,
}

/// The checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where ledgers and state are.
    pub data_dir: PathBuf,
    /// Files of the mutual TLS.
    pub tls: TlsFiles,
    /// The broker; without one orders wait.
    pub broker: Option<Broker>,
    /// Tenants with their zones; `provider` is always among them.
    pub tenants: Vec<Tenant>,
    /// Alert rules, first to last.
    pub rules: Vec<Rule>,
    /// How long like alerts are folded into the first.
    pub dedupe: Duration,
    /// How often a silent stream tells the newest positions.
    pub heartbeat: Duration,
    /// A reader that takes nothing for this long is cut off.
    pub stall: Duration,
}

/// Why the configuration is wrong.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is larger than any configuration.
    #[error("{}: {bytes} bytes; a configuration has at most {FILE_BYTES_MAX}", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: usize,
    },
    /// Not TOML, a key that does not exist, or a value of another type.
    #[error("{}:{line}: {cause}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        cause: String,
    },
    /// A value that makes no sense.
    #[error("{}:{line}: {key} = {value}: {wanted}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The key.
        key: &'static str,
        /// The value found.
        value: String,
        /// What is wrong and what would be right.
        wanted: String,
    },
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`ConfigError`] names file, line, key, value and what would be right.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path).map_err(|source| ConfigError::File {
            path: path.into(),
            source,
        })?;
        Self::parse(path, &text)
    }

    /// Checks a configuration's text; `path` is for errors and relative paths.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        if text.len() > FILE_BYTES_MAX {
            return Err(ConfigError::TooLarge {
                path: path.into(),
                bytes: text.len(),
            });
        }
        let raw: raw::Config = toml::from_str(text).map_err(|error| ConfigError::Syntax {
            path: path.into(),
            line: line_of(text, error.span().map_or(0, |span| span.start)),
            cause: error.message().to_owned(),
        })?;
        let folder = path.parent().unwrap_or(Path::new("."));
        check::checked(raw, folder).map_err(|wrong| ConfigError::Value {
            path: path.into(),
            line: line_of(text, wrong.span.start),
            key: wrong.key,
            value: wrong.value,
            wanted: wrong.wanted,
        })
    }

    /// A digest of tenants and rules: names the policy a judgement was made under.
    #[must_use]
    pub fn policy_version(&self) -> String {
        let text = serde_json::to_vec(&(&self.tenants, &self.rules)).unwrap_or_default();
        crate::hex::text(&Sha256::digest(text))
            .chars()
            .take(16)
            .collect()
    }
}

fn line_of(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|&byte| byte == b'\n').count()
}

#[cfg(test)]
mod tests;
