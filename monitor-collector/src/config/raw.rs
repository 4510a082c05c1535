//! The file as it is written.

use std::path::PathBuf;

use monitor_transport::tls::TlsFiles;
use serde::Deserialize;
use toml::Spanned;

use super::check::unstated;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    pub(super) listen: Spanned<String>,
    pub(super) data_dir: PathBuf,
    pub(super) tls: TlsFiles,
    pub(super) tokens: Option<Tokens>,
    pub(super) broker: Option<Spanned<Broker>>,
    pub(super) ledger: Option<Ledger>,
    #[serde(default)]
    pub(super) alert: Alert,
    pub(super) response: Option<super::response::Raw>,
    pub(super) lost_host: Option<super::lost::Raw>,
    pub(super) enforce: Option<super::enforce::Raw>,
    #[serde(default)]
    pub(super) subscription: Subscription,
    #[serde(default)]
    pub(super) reads: Reads,
    #[serde(default)]
    pub(super) include: Vec<Spanned<PathBuf>>,
    pub(super) grants: Option<Spanned<PathBuf>>,
    #[serde(default)]
    pub(super) policy: Admissions,
    #[serde(default)]
    pub(super) tenant: Vec<Tenant>,
    #[serde(default)]
    pub(super) hold: Vec<Hold>,
    #[serde(default)]
    pub(super) credential: Vec<Credential>,
    #[serde(default)]
    pub(super) rule: Vec<Spanned<super::rules::Raw>>,
}

/// What an included file may hold.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Part {
    pub(super) policy: Admissions,
    pub(super) tenant: Vec<Tenant>,
    pub(super) hold: Vec<Hold>,
    pub(super) credential: Vec<Credential>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Admissions {
    pub(super) provider: Option<Spanned<String>>,
    pub(super) unknown_destinations: Option<Spanned<String>>,
    pub(super) resolve_minutes: Option<Spanned<u64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Credential {
    pub(super) template: Spanned<String>,
    pub(super) tenant: Option<Spanned<String>>,
    pub(super) owner: Option<Spanned<String>>,
    pub(super) tier: Option<Spanned<String>>,
    pub(super) workload: Option<Spanned<String>>,
    pub(super) admits: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ledger {
    pub(super) key: Spanned<PathBuf>,
    pub(super) seal: Option<Spanned<PathBuf>>,
    pub(super) witness: Option<Witness>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Witness {
    pub(super) url: Spanned<String>,
    pub(super) key: Spanned<String>,
    pub(super) ca: Option<PathBuf>,
    #[serde(default = "witness_seconds")]
    pub(super) timeout_seconds: Spanned<u64>,
    #[serde(default = "witness_seconds")]
    pub(super) every_seconds: Spanned<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tokens {
    pub(super) issuer: Spanned<String>,
    pub(super) audience: Spanned<String>,
    pub(super) jwks: Spanned<PathBuf>,
    pub(super) algorithms: Option<Spanned<Vec<Spanned<String>>>>,
    #[serde(default = "name_claim")]
    pub(super) name_claim: String,
    #[serde(default = "role_claim")]
    pub(super) role_claim: String,
    #[serde(default = "tenants_claim")]
    pub(super) tenants_claim: String,
    #[serde(default = "leeway_seconds")]
    pub(super) leeway_seconds: Spanned<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Broker {
    pub(super) address: Option<Spanned<String>>,
    pub(super) webhook: Option<Spanned<String>>,
    pub(super) feed: Option<Spanned<String>>,
    pub(super) secret: Option<Spanned<PathBuf>>,
    pub(super) ca: Option<Spanned<PathBuf>>,
    #[serde(default = "retry_ms_min")]
    pub(super) retry_ms_min: Spanned<u64>,
    #[serde(default = "retry_ms_max")]
    pub(super) retry_ms_max: Spanned<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Alert {
    pub(super) dedupe_seconds: Spanned<u64>,
    pub(super) silent_seconds: Spanned<u64>,
    pub(super) dormant_days: Spanned<u64>,
    pub(super) standard: Option<bool>,
    pub(super) off: Vec<Spanned<String>>,
    pub(super) rules: Option<PathBuf>,
    pub(super) sigma: Option<Spanned<PathBuf>>,
}

impl Default for Alert {
    fn default() -> Self {
        Self {
            dedupe_seconds: unstated(60),
            silent_seconds: unstated(3),
            dormant_days: unstated(30),
            standard: None,
            off: Vec::new(),
            rules: None,
            sigma: None,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Subscription {
    pub(super) heartbeat_seconds: Spanned<u64>,
    pub(super) stall_seconds: Spanned<u64>,
}

impl Default for Subscription {
    fn default() -> Self {
        Self {
            heartbeat_seconds: unstated(5),
            stall_seconds: unstated(10),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Reads {
    pub(super) aggregate_seconds: Spanned<u64>,
}

impl Default for Reads {
    fn default() -> Self {
        Self {
            aggregate_seconds: unstated(60),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tenant {
    pub(super) id: Spanned<String>,
    pub(super) retention_days: Option<Spanned<u64>>,
    pub(super) contract: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) zone: Vec<Zone>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Hold {
    pub(super) tenant: Spanned<String>,
    pub(super) reason: Spanned<String>,
    pub(super) principal: Option<Spanned<String>>,
    pub(super) session: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Zone {
    pub(super) name: String,
    #[serde(default = "no_networks")]
    pub(super) networks: Spanned<Vec<Spanned<String>>>,
    #[serde(default)]
    pub(super) hosts: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) ports: Vec<Spanned<String>>,
    pub(super) interface: Option<String>,
    pub(super) net_ns: Option<String>,
    pub(super) mark: Option<u32>,
    pub(super) jump_host: Option<Spanned<String>>,
    pub(super) tier: Option<Spanned<String>>,
    pub(super) admits: Option<Spanned<String>>,
}

fn no_networks() -> Spanned<Vec<Spanned<String>>> {
    unstated(Vec::new())
}

fn name_claim() -> String {
    "sub".to_owned()
}

fn role_claim() -> String {
    "monitor_role".to_owned()
}

fn tenants_claim() -> String {
    "monitor_tenants".to_owned()
}

fn leeway_seconds() -> Spanned<u64> {
    unstated(30)
}

fn witness_seconds() -> Spanned<u64> {
    unstated(10)
}

fn retry_ms_min() -> Spanned<u64> {
    unstated(250)
}

fn retry_ms_max() -> Spanned<u64> {
    unstated(30_000)
}
