//! The file as it is written.

use std::path::PathBuf;

use monitor_transport::tls::TlsFiles;
use serde::Deserialize;
use toml::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    pub(super) listen: Spanned<String>,
    pub(super) data_dir: PathBuf,
    pub(super) tls: TlsFiles,
    pub(super) broker: Option<Broker>,
    pub(super) ledger: Option<Ledger>,
    #[serde(default)]
    pub(super) alert: Alert,
    #[serde(default)]
    pub(super) subscription: Subscription,
    #[serde(default)]
    pub(super) tenant: Vec<Tenant>,
    #[serde(default)]
    pub(super) rule: Vec<Spanned<Rule>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ledger {
    pub(super) key: Spanned<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Broker {
    pub(super) address: Spanned<String>,
    #[serde(default = "retry_ms_min")]
    pub(super) retry_ms_min: Spanned<u64>,
    #[serde(default = "retry_ms_max")]
    pub(super) retry_ms_max: Spanned<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Alert {
    pub(super) dedupe_seconds: Spanned<u64>,
}

impl Default for Alert {
    fn default() -> Self {
        Self {
            dedupe_seconds: unstated(60),
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
#[serde(deny_unknown_fields)]
pub(super) struct Tenant {
    pub(super) id: Spanned<String>,
    #[serde(default)]
    pub(super) zone: Vec<Zone>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Zone {
    pub(super) name: String,
    pub(super) networks: Spanned<Vec<Spanned<String>>>,
    #[serde(default)]
    pub(super) ports: Vec<Spanned<String>>,
    pub(super) interface: Option<String>,
    pub(super) net_ns: Option<String>,
    pub(super) mark: Option<u32>,
    pub(super) tier: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    pub(super) id: Spanned<String>,
    #[serde(default)]
    pub(super) verdicts: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) kinds: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) reasons: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) facts: Vec<Spanned<String>>,
    pub(super) severity: Spanned<String>,
    #[serde(default)]
    pub(super) technique: String,
    pub(super) response: Spanned<String>,
    #[serde(default = "after")]
    pub(super) after: Spanned<u32>,
    #[serde(default = "window_seconds")]
    pub(super) window_seconds: Spanned<u64>,
}

/// A value that the file does not state: it has no place there.
fn unstated<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}

fn retry_ms_min() -> Spanned<u64> {
    unstated(250)
}

fn retry_ms_max() -> Spanned<u64> {
    unstated(30_000)
}

fn after() -> Spanned<u32> {
    unstated(1)
}

fn window_seconds() -> Spanned<u64> {
    unstated(3_600)
}
