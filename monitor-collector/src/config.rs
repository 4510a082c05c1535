//! The configuration: a raw file becomes a checked [`Config`] once.
//!
//! An error names the file, the line, the key, the value, and what would be right.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use monitor_model::tenant::Tenant;
use monitor_transport::{configuration::Document, tls::TlsFiles};

pub use monitor_transport::configuration::ConfigError;
use sha2::{Digest as _, Sha256};

use crate::alert::{rule::Rule, sigma::SigmaFile};

mod check;
mod raw;
pub mod rules;

/// The documented configuration, as `config --default` prints it.
pub const DEFAULT: &str = include_str!("config/default.toml");

/// Most tenants that one collector keeps.
pub const TENANTS_MAX: usize = 1_000;
/// Most alert rules.
pub const RULES_MAX: usize = 256;
/// Longest window of a rule: a day.
pub const WINDOW_SECONDS_MAX: u64 = 86_400;
/// Least silence of an agent that is told: lost streams are taken up again
/// within it.
pub const SILENT_SECONDS_MIN: u64 = 20;
/// Longest time until an unused grant is dormant: ten years.
pub const DORMANT_DAYS_MAX: u64 = 3_650;
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
    /// Files of Sigma rules, and what became of each.
    pub sigma_files: Vec<SigmaFile>,
    /// A host of whose agent nothing is heard for this long is silent.
    pub silent: Duration,
    /// A grant that lay unused for this long is dormant.
    pub dormant: Duration,
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
        check::checked(document.parse()?, &document)
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
