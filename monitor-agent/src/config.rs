//! The configuration file, checked once.
//!
//! A raw structure of what is written becomes a [`Config`] of what is meant.
//! An error names the file, the line, the key, the value, and what would be
//! right. Relative paths are relative to the file.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use monitor_transport::{configuration::Document, tls::TlsFiles};

pub use monitor_transport::configuration::ConfigError;
use serde::Deserialize;
use toml::Spanned;

use crate::{
    contain::{
        foreign::OnForeign,
        unstored::{OnUnstored, Policy},
    },
    expiry::AtExpiry,
    kernel::{RING_BYTES_MAX, RING_BYTES_MIN, Tier},
    watch::Watches,
};

mod watches;

use watches::{RawCatalogue, RawWatch};

/// The documented file that `config --default` prints.
pub const DEFAULT: &str = include_str!("config/default.toml");

/// Least bytes of a spool.
pub const SPOOL_BYTES_MIN: u64 = 16 << 20;
/// Most rules of a configuration.
pub const RULES_MAX: usize = 1_024;

/// What is meant.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it was read.
    pub file: PathBuf,
    /// Folder of `spool.db`, `state.db`, `redaction.key`, `lock`, `readers`.
    pub state_dir: PathBuf,
    /// The socket that the login hooks ask.
    pub socket: PathBuf,
    /// Folder of the pinned probes.
    pub pin_dir: PathBuf,
    /// Where the collector is.
    pub collector: Collector,
    /// Who the agent is.
    pub tls: TlsFiles,
    /// Bytes of the priority ring.
    pub priority_bytes: u32,
    /// Bytes of the bulk ring.
    pub bulk_bytes: u32,
    /// The best tier of probes that is taken.
    pub best_tier: Tier,
    /// Most bytes of events on disk.
    pub spool_bytes_max: u64,
    /// What becomes of sessions while events cannot be stored.
    pub on_unstored: Policy,
    /// The authorities whose certificates name people; none is every one that sshd takes.
    pub user_ca: Option<PathBuf>,
    /// Accounts that may ask for principals, beside root.
    pub principals_users: Vec<String>,
    /// Accounts that may log in while the agent is down.
    pub break_glass_accounts: Vec<String>,
    /// What happens to a session when its last grant is over.
    pub at_expiry: AtExpiry,
    /// What is done to sessions, and who is told to be called.
    pub contain: Contain,
    /// Where sshd reads the revocation list that the agent keeps; none: it keeps none.
    pub krl: Option<PathBuf>,
    /// Who stands behind keys, accounts and workloads.
    pub directory: Option<PathBuf>,
    /// What is watched: own rules, then the catalogue's.
    pub watches: Watches,
}

/// What is done to sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Contain {
    /// Whom the person is told to call; empty: nobody.
    pub contact: String,
    /// What happens to a session that uses a credential of another tenant than
    /// all its grants are of.
    pub on_foreign_credential: OnForeign,
}

/// Where the collector is, and how often it is tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector {
    /// `https://host:port`.
    pub address: String,
    /// First pause after a loss.
    pub retry_min: Duration,
    /// Longest pause.
    pub retry_max: Duration,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default = "default_state_dir")]
    state_dir: PathBuf,
    #[serde(default = "default_socket")]
    socket: PathBuf,
    #[serde(default = "default_pin_dir")]
    pin_dir: PathBuf,
    collector: RawCollector,
    tls: TlsFiles,
    #[serde(default)]
    rings: RawRings,
    #[serde(default)]
    probes: RawProbes,
    #[serde(default)]
    spool: RawSpool,
    #[serde(default)]
    ssh: RawSsh,
    directory: Option<PathBuf>,
    #[serde(default)]
    at_expiry: AtExpiry,
    #[serde(default)]
    contain: Contain,
    krl: Option<RawKrl>,
    #[serde(default)]
    watch: Vec<RawWatch>,
    #[serde(default)]
    catalogue: RawCatalogue,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCollector {
    address: Spanned<String>,
    #[serde(default = "default_retry_ms_min")]
    retry_ms_min: Spanned<u64>,
    #[serde(default = "default_retry_ms_max")]
    retry_ms_max: Spanned<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawRings {
    priority_bytes: Spanned<u32>,
    bulk_bytes: Spanned<u32>,
}

impl Default for RawRings {
    fn default() -> Self {
        Self {
            priority_bytes: given(8 << 20),
            bulk_bytes: given(8 << 20),
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawProbes {
    best_tier: Tier,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawSpool {
    bytes_max: Spanned<u64>,
    on_failure: OnUnstored,
    failure_seconds: Spanned<u64>,
    tenant: Vec<RawSpoolTenant>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSpoolTenant {
    tenant: Spanned<String>,
    on_failure: OnUnstored,
}

impl Default for RawSpool {
    fn default() -> Self {
        Self {
            bytes_max: given(1 << 30),
            on_failure: OnUnstored::Keep,
            failure_seconds: given(5),
            tenant: Vec::new(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawKrl {
    path: Spanned<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawSsh {
    user_ca: Option<PathBuf>,
    principals_users: Vec<String>,
    break_glass_accounts: Vec<String>,
}

impl Default for RawSsh {
    fn default() -> Self {
        Self {
            user_ca: None,
            principals_users: vec!["nobody".to_owned()],
            break_glass_accounts: Vec::new(),
        }
    }
}

fn default_state_dir() -> PathBuf {
    "/var/lib/monitor-agent".into()
}

fn default_socket() -> PathBuf {
    "/run/monitor-agent/agent.sock".into()
}

fn default_pin_dir() -> PathBuf {
    "/sys/fs/bpf/monitor".into()
}

fn default_retry_ms_min() -> Spanned<u64> {
    given(100)
}

fn default_retry_ms_max() -> Spanned<u64> {
    given(10_000)
}

/// A value that stands nowhere in the file.
fn given<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::parse(&Document::read(path)?, path)
    }

    /// Checks the text of a file.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let document = Document::new(path, text);
        Check(document).config(document.parse()?, path)
    }
}

struct Check<'a>(Document<'a>);

impl Check<'_> {
    fn config(&self, raw: Raw, file: &Path) -> Result<Config, ConfigError> {
        let bytes_max = *raw.spool.bytes_max.get_ref();
        if bytes_max < SPOOL_BYTES_MIN {
            let wanted = format!("at least {SPOOL_BYTES_MIN}");
            return Err(self
                .0
                .wrong("spool.bytes_max", &raw.spool.bytes_max, wanted));
        }
        let watches = self.watches(&raw.watch, &raw.catalogue)?;
        Ok(Config {
            file: file.to_owned(),
            state_dir: self.0.beside(raw.state_dir),
            socket: self.0.beside(raw.socket),
            pin_dir: self.0.beside(raw.pin_dir),
            collector: self.collector(&raw.collector)?,
            tls: self.0.tls_beside(&raw.tls),
            priority_bytes: self.ring("rings.priority_bytes", &raw.rings.priority_bytes)?,
            bulk_bytes: self.ring("rings.bulk_bytes", &raw.rings.bulk_bytes)?,
            best_tier: raw.probes.best_tier,
            spool_bytes_max: bytes_max,
            on_unstored: self.on_unstored(&raw.spool)?,
            user_ca: raw.ssh.user_ca.map(|path| self.0.beside(path)),
            principals_users: raw.ssh.principals_users,
            break_glass_accounts: raw.ssh.break_glass_accounts,
            at_expiry: raw.at_expiry,
            contain: raw.contain,
            krl: raw.krl.map(|raw| self.krl(raw)).transpose()?,
            directory: raw.directory.map(|path| self.0.beside(path)),
            watches,
        })
    }

    fn collector(&self, raw: &RawCollector) -> Result<Collector, ConfigError> {
        let address = raw.address.get_ref();
        if !address.starts_with("https://") {
            let wanted = "an address such as \"https://collector.example:7443\"".to_owned();
            return Err(self.0.wrong("collector.address", &raw.address, wanted));
        }
        let (min, max) = (*raw.retry_ms_min.get_ref(), *raw.retry_ms_max.get_ref());
        if min == 0 {
            let wanted = "at least 1".to_owned();
            return Err(self
                .0
                .wrong("collector.retry_ms_min", &raw.retry_ms_min, wanted));
        }
        if max < min {
            let wanted = format!("at least retry_ms_min, which is {min}");
            return Err(self
                .0
                .wrong("collector.retry_ms_max", &raw.retry_ms_max, wanted));
        }
        Ok(Collector {
            address: address.clone(),
            retry_min: Duration::from_millis(min),
            retry_max: Duration::from_millis(max),
        })
    }

    fn on_unstored(&self, raw: &RawSpool) -> Result<Policy, ConfigError> {
        let seconds = *raw.failure_seconds.get_ref();
        if !(1..=3_600).contains(&seconds) {
            let wanted = "from 1 to 3600".to_owned();
            return Err(self
                .0
                .wrong("spool.failure_seconds", &raw.failure_seconds, wanted));
        }
        let mut tenants = BTreeMap::new();
        for one in &raw.tenant {
            let key = "spool.tenant.tenant";
            let Some(tenant) = self.tenant(key, Some(&one.tenant))? else {
                continue;
            };
            if tenants.insert(tenant, one.on_failure).is_some() {
                let wanted = "a tenant that is not named twice".to_owned();
                return Err(self.0.wrong(key, &one.tenant, wanted));
            }
        }
        Ok(Policy {
            rest: raw.on_failure,
            tenants,
            after: Duration::from_secs(seconds),
        })
    }

    fn krl(&self, raw: RawKrl) -> Result<PathBuf, ConfigError> {
        let path = raw.path.get_ref();
        if path.file_name().is_none() || path.is_relative() {
            let wanted = "an absolute path that ends in a name: the one of sshd's RevokedKeys, such as \"/var/lib/monitor-agent/revoked.krl\"".to_owned();
            return Err(self.0.wrong("krl.path", &raw.path, wanted));
        }
        Ok(raw.path.into_inner())
    }

    fn ring(&self, key: &'static str, bytes: &Spanned<u32>) -> Result<u32, ConfigError> {
        let value = *bytes.get_ref();
        if value.is_power_of_two() && (RING_BYTES_MIN..=RING_BYTES_MAX).contains(&value) {
            return Ok(value);
        }
        let wanted = format!("a power of two from {RING_BYTES_MIN} to {RING_BYTES_MAX}");
        Err(self.0.wrong(key, bytes, wanted))
    }
}

#[cfg(test)]
mod tests;
