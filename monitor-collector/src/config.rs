//! The configuration: a raw file becomes a checked [`Config`] once.
//!
//! An error names the file, the line, the key, the value, and what would be right.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use monitor_model::{
    alert::{Response, Severity},
    event::{Fact, Kind},
    tenant::Tenant,
    verdict::{OutReason, VerdictKind},
};
use monitor_transport::{configuration::Document, tls::TlsFiles};

pub use monitor_transport::configuration::ConfigError;
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
    /// Verdicts it looks at; none means all, where it looks at facts.
    pub verdicts: Vec<VerdictKind>,
    /// Kinds of events it looks at; none means all that are judged.
    pub kinds: Vec<Kind>,
    /// Reasons it looks at; none means all.
    pub reasons: Vec<OutReason>,
    /// Facts of which an event must have one; none means that it looks at
    /// verdicts alone.
    pub facts: Vec<Fact>,
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
    /// What signs the ledgers' checkpoints; without one there are none.
    pub ledger_key: Option<PathBuf>,
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

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`ConfigError`] names file, line, key, value and what would be right.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::parse(path, &Document::read(path)?)
    }

    /// Checks a configuration's text; `path` is for errors and relative paths.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let document = Document::new(path, text);
        check::checked(document.parse()?, &document).map_err(|wrong| {
            document.wrong_at(wrong.span.start, wrong.key, wrong.value, wrong.wanted)
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

#[cfg(test)]
mod tests;
