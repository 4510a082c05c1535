//! The configuration: a raw file becomes a checked [`Config`] once.
//!
//! An error names the file, the line, the key, the value, and what would be right.

use std::{
    collections::BTreeSet,
    fs, io,
    net::SocketAddr,
    ops::Range,
    path::{Path, PathBuf},
    time::Duration,
};

use monitor_model::{
    alert::{Response, Severity},
    event::Kind,
    grant::{PortRange, Tier},
    id::TenantId,
    tenant::{Tenant, Zone},
    verdict::{OutReason, VerdictKind},
};
use monitor_transport::tls::TlsFiles;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use toml::Spanned;

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

/// A value that makes no sense, its line not yet known.
struct Wrong {
    span: Range<usize>,
    key: &'static str,
    value: String,
    wanted: String,
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`ConfigError`] names file, line, key, value and what would be right.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path)
            .map_err(|source| ConfigError::File { path: path.into(), source })?;
        Self::parse(path, &text)
    }

    /// Checks a configuration's text; `path` is for errors and relative paths.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        if text.len() > FILE_BYTES_MAX {
            return Err(ConfigError::TooLarge { path: path.into(), bytes: text.len() });
        }
        let raw: raw::Config = toml::from_str(text).map_err(|error| ConfigError::Syntax {
            path: path.into(),
            line: line_of(text, error.span().map_or(0, |span| span.start)),
            cause: error.message().to_owned(),
        })?;
        let folder = path.parent().unwrap_or(Path::new("."));
        checked(raw, folder).map_err(|wrong| ConfigError::Value {
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
        crate::hex::text(&Sha256::digest(text)).chars().take(16).collect()
    }
}

fn line_of(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|&byte| byte == b'\n').count()
}

fn checked(raw: raw::Config, folder: &Path) -> Result<Config, Wrong> {
    let raw::Config { listen, data_dir, tls, broker, alert, subscription, tenant, rule } = raw;
    let tls = TlsFiles {
        ca: folder.join(tls.ca),
        certificate: folder.join(tls.certificate),
        key: folder.join(tls.key),
    };
    Ok(Config {
        listen: parsed("listen", &listen, "not an address with a port, as in 127.0.0.1:7443")?,
        data_dir: folder.join(data_dir),
        tls,
        broker: broker.map(checked_broker).transpose()?,
        tenants: checked_tenants(tenant)?,
        rules: checked_rules(rule)?,
        dedupe: seconds("alert.dedupe_seconds", &alert.dedupe_seconds, 0..=WINDOW_SECONDS_MAX)?,
        heartbeat: seconds("subscription.heartbeat_seconds", &subscription.heartbeat_seconds, 1..=3_600)?,
        stall: seconds("subscription.stall_seconds", &subscription.stall_seconds, 1..=3_600)?,
    })
}

fn checked_broker(raw: raw::Broker) -> Result<Broker, Wrong> {
    let raw::Broker { address, retry_ms_min, retry_ms_max } = raw;
    if !address.get_ref().starts_with("https://") {
        return Err(wrong("broker.address", &address, "give an https:// address, as in https://localhost:7444"));
    }
    let (least, most) = (*retry_ms_min.get_ref(), *retry_ms_max.get_ref());
    if !(1..=3_600_000).contains(&least) {
        return Err(wrong("broker.retry_ms_min", &retry_ms_min, "give 1 to 3600000"));
    }
    if most < least || most > 3_600_000 {
        return Err(wrong("broker.retry_ms_max", &retry_ms_max, "give retry_ms_min to 3600000"));
    }
    Ok(Broker {
        address: address.into_inner(),
        retry_min: Duration::from_millis(least),
        retry_max: Duration::from_millis(most),
    })
}

fn checked_tenants(raw: Vec<raw::Tenant>) -> Result<Vec<Tenant>, Wrong> {
    let mut tenants: Vec<Tenant> = Vec::with_capacity(raw.len() + 1);
    for raw::Tenant { id, zone } in raw {
        let name = TenantId::new(id.get_ref().as_str())
            .map_err(|error| wrong("tenant.id", &id, &error.to_string()))?;
        if tenants.iter().any(|tenant| tenant.id == name) {
            return Err(wrong("tenant.id", &id, "named twice; give each tenant one table"));
        }
        if tenants.len() >= TENANTS_MAX {
            return Err(wrong("tenant.id", &id, "more than 1000 tenants; run a second collector"));
        }
        let zones = zone.into_iter().map(checked_zone).collect::<Result<_, _>>()?;
        tenants.push(Tenant { id: name, zones });
    }
    if !tenants.iter().any(|tenant| tenant.id.is_provider()) {
        tenants.push(Tenant { id: TenantId::provider(), zones: Vec::new() });
    }
    Ok(tenants)
}

fn checked_zone(raw: raw::Zone) -> Result<Zone, Wrong> {
    let raw::Zone { name, networks, ports, interface, net_ns, mark, tier } = raw;
    if networks.get_ref().is_empty() {
        return Err(wrong("tenant.zone.networks", &networks, "give at least one, as in [\"10.20.0.0/24\"]"));
    }
    let networks = each("tenant.zone.networks", networks.get_ref(), "not a network, as in 10.20.0.0/24 or fd00::/64")?;
    let ports: Vec<PortRange> =
        each("tenant.zone.ports", &ports, "not a port, a range such as 8000-8999, or *")?;
    let tier: Option<Tier> = tier
        .map(|tier| parsed("tenant.zone.tier", &tier, "give one of standard, production, backup, identity, endpoint"))
        .transpose()?;
    Ok(Zone { name, networks, ports, interface, net_ns, mark, tier })
}

fn checked_rules(raw: Vec<Spanned<raw::Rule>>) -> Result<Vec<Rule>, Wrong> {
    let mut seen = BTreeSet::new();
    let mut rules = Vec::with_capacity(raw.len());
    for rule in raw {
        let rule = checked_rule(rule.into_inner(), &mut seen)?;
        rules.push(rule);
    }
    Ok(rules)
}

fn checked_rule(raw: raw::Rule, seen: &mut BTreeSet<String>) -> Result<Rule, Wrong> {
    let raw::Rule { id, verdicts, kinds, reasons, severity, technique, response, after, window_seconds } = raw;
    if id.get_ref().is_empty() || id.get_ref().len() > 128 {
        return Err(wrong("rule.id", &id, "give a name of 1 to 128 bytes"));
    }
    if !seen.insert(id.get_ref().clone()) {
        return Err(wrong("rule.id", &id, "named twice; give each rule its own name"));
    }
    if seen.len() > RULES_MAX {
        return Err(wrong("rule.id", &id, "more than 256 rules; merge some"));
    }
    if verdicts.get_ref().is_empty() {
        return Err(wrong("rule.verdicts", &verdicts, "give at least one of out_of_scope, unattributed"));
    }
    let alarming = [VerdictKind::OutOfScope, VerdictKind::Unattributed];
    let judged = [Kind::Exec, Kind::Connect, Kind::Credential];
    let after = checked_after(&after)?;
    Ok(Rule {
        verdicts: named("rule.verdicts", verdicts.get_ref(), &alarming, VerdictKind::as_str)?,
        kinds: named("rule.kinds", &kinds, &judged, Kind::as_str)?,
        reasons: named("rule.reasons", &reasons, &OutReason::ALL, OutReason::as_str)?,
        severity: one("rule.severity", &severity, &Severity::ALL, Severity::as_str)?,
        response: one("rule.response", &response, &[Response::Notify, Response::Revoke], Response::as_str)?,
        window: seconds("rule.window_seconds", &window_seconds, 1..=WINDOW_SECONDS_MAX)?,
        id: id.into_inner(),
        technique,
        after,
    })
}

fn checked_after(after: &Spanned<u32>) -> Result<u32, Wrong> {
    if (1..=AFTER_MAX).contains(after.get_ref()) {
        Ok(*after.get_ref())
    } else {
        Err(wrong("rule.after", after, "give 1 to 1000"))
    }
}

fn wrong<T: std::fmt::Debug>(key: &'static str, value: &Spanned<T>, wanted: &str) -> Wrong {
    Wrong { span: value.span(), key, value: format!("{:?}", value.get_ref()), wanted: wanted.to_owned() }
}

fn parsed<T: std::str::FromStr>(key: &'static str, value: &Spanned<String>, wanted: &str) -> Result<T, Wrong> {
    value.get_ref().parse().map_err(|_| wrong(key, value, wanted))
}

fn each<T: std::str::FromStr>(key: &'static str, values: &[Spanned<String>], wanted: &str) -> Result<Vec<T>, Wrong> {
    values.iter().map(|value| parsed(key, value, wanted)).collect()
}

fn seconds(
    key: &'static str,
    value: &Spanned<u64>,
    allowed: std::ops::RangeInclusive<u64>,
) -> Result<Duration, Wrong> {
    if allowed.contains(value.get_ref()) {
        return Ok(Duration::from_secs(*value.get_ref()));
    }
    Err(wrong(key, value, &format!("give {} to {} seconds", allowed.start(), allowed.end())))
}

fn one<T: Copy>(
    key: &'static str,
    value: &Spanned<String>,
    allowed: &[T],
    name: impl Fn(T) -> &'static str,
) -> Result<T, Wrong> {
    allowed.iter().copied().find(|&item| name(item) == value.get_ref()).ok_or_else(|| {
        let names: Vec<_> = allowed.iter().map(|&item| name(item)).collect();
        wrong(key, value, &format!("give one of {}", names.join(", ")))
    })
}

fn named<T: Copy>(
    key: &'static str,
    values: &[Spanned<String>],
    allowed: &[T],
    name: impl Fn(T) -> &'static str,
) -> Result<Vec<T>, Wrong> {
    values.iter().map(|value| one(key, value, allowed, &name)).collect()
}

#[cfg(test)]
mod tests;
