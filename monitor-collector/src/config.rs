//! The configuration: a raw file becomes a checked [`Config`] once.
//!
//! An error names the file, the line, the key, the value, and what would be right.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use monitor_ledger::{
    cosignature::WitnessKey,
    key::KeyError,
    seal::{Home, SealKey},
};
use monitor_model::{grant::Grant, id::AgentName, policy::Terms};
use monitor_transport::{configuration::Document, tls::TlsFiles, token::Tokens};

use self::{
    broker::Broker, enforce::EnforcePolicy, lost::LostPolicy, response::ResponsePolicy,
    retention::Retention,
};

pub use monitor_transport::configuration::ConfigError;

use crate::alert::{rule::Rule, sigma::SigmaFile};

pub mod broker;
mod check;
pub mod enforce;
pub mod lost;
pub mod names;
mod policy;
mod raw;
pub mod response;
pub mod retention;
pub mod rules;
mod tokens;
mod witness;

/// The documented configuration, as `config --default` prints it.
pub const DEFAULT: &str = include_str!("config/default.toml");

/// Most tenants that one collector keeps.
pub const TENANTS_MAX: usize = 1_000;
/// Most zones, over all tenants.
pub const ZONES_MAX: usize = 20_000;
/// Longest time until host names are resolved anew: a day.
pub const RESOLVE_MINUTES_MAX: u64 = 1_440;
/// Furthest that a token issuer's clock may differ.
pub const LEEWAY_SECONDS_MAX: u64 = 300;
/// Most files that a configuration includes.
pub const INCLUDES_MAX: usize = 64;
/// Most alert rules.
pub const RULES_MAX: usize = 256;
/// Longest window of a rule: a day.
pub const WINDOW_SECONDS_MAX: u64 = 86_400;
/// Least time within which a silent agent is told. Agents say once a second
/// that they live, so two of these words may be late.
pub const SILENT_SECONDS_MIN: u64 = 3;
/// What of that time is left for the alert itself: to look, and to put it on disk.
pub const SILENT_ALLOWANCE: Duration = Duration::from_millis(500);
/// Longest time until an unused grant is dormant: ten years.
pub const DORMANT_DAYS_MAX: u64 = 3_650;
/// Most matches that a rule may wait for.
pub const AFTER_MAX: u32 = 1_000;
/// Longest time within which reads alike are one entry: an hour.
pub const AGGREGATE_SECONDS_MAX: u64 = 3_600;

/// Which witness signs the ledgers' checkpoints, and how it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// Its address, before `/add-checkpoint`.
    pub url: String,
    /// What its signatures are checked with.
    pub key: WitnessKey,
    /// Certificate of the authority that signed its own; none for `http://`.
    pub ca: Option<PathBuf>,
    /// Longest wait for one answer.
    pub timeout: Duration,
    /// How often it is asked at most.
    pub every: Duration,
}

/// The checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// As whom the collector speaks in the ledgers: as its certificate says, once
    /// that was read; `collector` before.
    pub name: AgentName,
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where ledgers and state are.
    pub data_dir: PathBuf,
    /// Files of the mutual TLS.
    pub tls: TlsFiles,
    /// What tokens people may show; without them everybody shows a certificate.
    pub tokens: Option<Tokens>,
    /// What signs the ledgers' checkpoints; without one there are none.
    pub ledger_key: Option<PathBuf>,
    /// What seals the ledgers' files; without one they lie in clear.
    pub ledger_seal: Option<PathBuf>,
    /// Who signs checkpoints on another machine; without one nobody does.
    pub witness: Option<Witness>,
    /// The broker; without one orders wait.
    pub broker: Option<Broker>,
    /// What verdicts are made under: from this file and those that it includes.
    /// The tenant `provider` is always among the tenants.
    pub terms: Terms,
    /// How long ledgers keep content.
    pub retention: Retention,
    /// Grants in files.
    pub grants: Vec<Grant>,
    /// How often the host names of zones are resolved anew.
    pub resolve: Duration,
    /// Alert rules, first to last.
    pub rules: Vec<Rule>,
    /// Files of Sigma rules, and what became of each.
    pub sigma_files: Vec<SigmaFile>,
    /// What answers alerts.
    pub response: ResponsePolicy,
    /// What answers the loss of a host.
    pub lost: LostPolicy,
    /// What hosts refuse by themselves.
    pub enforce: EnforcePolicy,
    /// A host of whose agent nothing is heard is told as silent within this time.
    pub silent: Duration,
    /// A grant that lay unused for this long is dormant.
    pub dormant: Duration,
    /// How often a silent stream tells the newest positions.
    pub heartbeat: Duration,
    /// A reader that takes nothing for this long is cut off.
    pub stall: Duration,
    /// Reads alike within this time are one entry; zero: each is one.
    pub aggregate: Duration,
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
            hold: std::mem::take(&mut raw.hold),
            credential: std::mem::take(&mut raw.credential),
        };
        let stated = policy::checked(&document, &raw.include, own)?;
        check::checked(raw, stated, &document)
    }

    /// Where the ledgers are, with the key that they are sealed with.
    ///
    /// # Errors
    /// [`KeyError`] names the key's file.
    pub fn home(&self) -> Result<Home, KeyError> {
        let seal = self.ledger_seal.as_deref().map(SealKey::load).transpose()?;
        Ok(Home::new(&self.data_dir, seal))
    }

    /// For how long an agent may say nothing before it is silent.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.silent.saturating_sub(SILENT_ALLOWANCE)
    }

    /// This configuration with what another says of tenants, inventory, policy,
    /// grants, alerts, responses, enforcement and tokens, which a running collector can go on under; and the keys of
    /// the other that take a new start.
    #[must_use]
    pub fn reloaded(&self, other: Self) -> (Self, Vec<&'static str>) {
        let Self {
            name: _,
            listen,
            data_dir,
            tls,
            tokens,
            broker,
            ledger_key,
            ledger_seal,
            witness,
            terms,
            retention,
            grants,
            resolve,
            rules,
            sigma_files,
            response,
            lost,
            enforce,
            silent,
            dormant,
            heartbeat,
            stall,
            aggregate,
        } = other;
        let later = [
            ("listen", listen != self.listen),
            ("data_dir", data_dir != self.data_dir),
            ("tls", tls != self.tls),
            // Whether connections without a certificate are taken at all.
            ("tokens", tokens.is_some() != self.tokens.is_some()),
            ("broker", broker != self.broker),
            (
                "ledger",
                (&ledger_key, &ledger_seal) != (&self.ledger_key, &self.ledger_seal),
            ),
            ("ledger.witness", witness != self.witness),
            (
                "subscription",
                (heartbeat, stall) != (self.heartbeat, self.stall),
            ),
            ("reads", aggregate != self.aggregate),
        ];
        let changed = later.into_iter().filter(|(_, differs)| *differs);
        let config = Self {
            tokens: self
                .tokens
                .as_ref()
                .and(tokens)
                .or_else(|| self.tokens.clone()),
            terms,
            retention,
            grants,
            resolve,
            rules,
            sigma_files,
            response,
            lost,
            enforce,
            silent,
            dormant,
            ..self.clone()
        };
        (config, changed.map(|(key, _)| key).collect())
    }
}

#[cfg(test)]
mod tests;
