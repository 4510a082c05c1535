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
    policy::Terms,
    verdict::{OutReason, VerdictKind},
};
use monitor_transport::{configuration::Document, tls::TlsFiles};

pub use monitor_transport::configuration::ConfigError;
use serde::Serialize;

mod check;
mod policy;
mod raw;

/// The documented configuration, as `config --default` prints it.
pub const DEFAULT: &str = include_str!("config/default.toml");

/// Most tenants that one collector keeps.
pub const TENANTS_MAX: usize = 1_000;
/// Most zones, over all tenants.
pub const ZONES_MAX: usize = 20_000;
/// Most files that a configuration includes.
pub const INCLUDES_MAX: usize = 64;
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
    /// The broker; without one orders wait.
    pub broker: Option<Broker>,
    /// What verdicts are made under: from this file and those that it includes.
    /// The tenant `provider` is always among the tenants.
    pub terms: Terms,
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
        let mut raw: raw::Config = document.parse()?;
        let own = raw::Part {
            policy: std::mem::take(&mut raw.policy),
            tenant: std::mem::take(&mut raw.tenant),
            credential: std::mem::take(&mut raw.credential),
        };
        let terms = policy::checked(&document, &raw.include, own)?;
        check::checked(raw, terms, &document).map_err(|wrong| {
            document.wrong_at(wrong.span.start, wrong.key, wrong.value, wrong.wanted)
        })
    }

    /// This configuration with what another says of tenants, inventory, policy
    /// and alerts, which a running collector can go on under; and the keys of
    /// the other that take a new start.
    #[must_use]
    pub fn reloaded(&self, other: Self) -> (Self, Vec<&'static str>) {
        let Self {
            listen,
            data_dir,
            tls,
            broker,
            terms,
            rules,
            dedupe,
            heartbeat,
            stall,
        } = other;
        let later = [
            ("listen", listen != self.listen),
            ("data_dir", data_dir != self.data_dir),
            ("tls", tls != self.tls),
            ("broker", broker != self.broker),
            (
                "subscription",
                (heartbeat, stall) != (self.heartbeat, self.stall),
            ),
        ];
        let changed = later.into_iter().filter(|(_, differs)| *differs);
        let config = Self {
            terms,
            rules,
            dedupe,
            ..self.clone()
        };
        (config, changed.map(|(key, _)| key).collect())
    }
}

#[cfg(test)]
mod tests;
