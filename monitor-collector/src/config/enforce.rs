//! What the kernels of hosts refuse before the first packet, and how long they
//! do so by themselves. Pure.

use std::time::Duration;

use monitor_model::{
    enforce::{Away, Mode, ModeRule, Modes},
    id::TenantId,
    verdict::OutReason,
};
use serde::Deserialize;
use toml::Spanned;

use super::check::{Wrong, known, one, seconds, unstated, wrong};

/// Most rules.
pub const ENFORCE_RULES_MAX: usize = 1_000;
/// Shortest lease, seconds: it is renewed three times within one.
pub const LEASE_SECONDS_MIN: u64 = 15;
/// Longest lease, seconds: a week.
pub const LEASE_SECONDS_MAX: u64 = 604_800;

/// Reasons that a rule may name: those that connections can have.
const REASONS: [OutReason; 9] = [
    OutReason::UnknownDestination,
    OutReason::AmbiguousDestination,
    OutReason::ProviderOwned,
    OutReason::WrongTenant,
    OutReason::Revoked,
    OutReason::Expired,
    OutReason::NotStarted,
    OutReason::WrongTier,
    OutReason::NotGranted,
];

/// What hosts do about connections that no grant opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnforcePolicy {
    /// What becomes of whose connections.
    pub modes: Modes,
    /// How long a host goes on without the collector before `when_away` holds.
    pub lease: Duration,
    /// What holds then.
    pub when_away: Away,
}

impl Default for EnforcePolicy {
    /// What a configuration without the table has: nothing is asked.
    fn default() -> Self {
        Self {
            modes: Modes::default(),
            lease: Duration::from_secs(300),
            when_away: Away::Keep,
        }
    }
}

/// The table as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    #[serde(default = "mode")]
    mode: Spanned<String>,
    #[serde(default = "lease_seconds")]
    lease_seconds: Spanned<u64>,
    #[serde(default = "when_away")]
    when_away: Spanned<String>,
    #[serde(default)]
    rule: Vec<RawRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    tenant: Option<Spanned<String>>,
    reason: Option<Spanned<String>>,
    mode: Spanned<String>,
}

fn mode() -> Spanned<String> {
    unstated("observe".to_owned())
}

fn lease_seconds() -> Spanned<u64> {
    unstated(300)
}

fn when_away() -> Spanned<String> {
    unstated("keep".to_owned())
}

/// The table as it is meant; `has` tells the tenants that are given.
pub(super) fn checked(
    raw: Option<Raw>,
    has: impl Fn(&TenantId) -> bool,
) -> Result<EnforcePolicy, Wrong> {
    let Some(raw) = raw else {
        return Ok(EnforcePolicy::default());
    };
    let Raw {
        mode,
        lease_seconds,
        when_away,
        rule,
    } = raw;
    if let Some(beyond) = rule.get(ENFORCE_RULES_MAX) {
        let wanted = format!("more than {ENFORCE_RULES_MAX} rules; state whole tenants or reasons");
        return Err(wrong("enforce.rule.mode", &beyond.mode, &wanted));
    }
    let leases = LEASE_SECONDS_MIN..=LEASE_SECONDS_MAX;
    let lease = seconds("enforce.lease_seconds", &lease_seconds, leases)?;
    let rules = rule.into_iter().map(|raw| checked_rule(raw, &has));
    Ok(EnforcePolicy {
        modes: Modes {
            otherwise: one("enforce.mode", &mode, &Mode::ALL, Mode::as_str)?,
            rules: rules.collect::<Result<_, _>>()?,
        },
        lease,
        when_away: one("enforce.when_away", &when_away, &Away::ALL, Away::as_str)?,
    })
}

fn checked_rule(raw: RawRule, has: impl Fn(&TenantId) -> bool) -> Result<ModeRule, Wrong> {
    let RawRule {
        tenant,
        reason,
        mode,
    } = raw;
    let known = |name| known("enforce.rule.tenant", name, &has);
    let reasons =
        |name: &Spanned<String>| one("enforce.rule.reason", name, &REASONS, OutReason::as_str);
    Ok(ModeRule {
        tenant: tenant.as_ref().map(known).transpose()?,
        reason: reason.as_ref().map(reasons).transpose()?,
        mode: one("enforce.rule.mode", &mode, &Mode::ALL, Mode::as_str)?,
    })
}

#[cfg(test)]
mod tests;
