//! What rules may do at most, and how much of it before a person is asked.
//!
//! Limits only ever weaken: of those that fit the weakest holds, in whatever
//! order they stand. Pure.

use std::time::Duration;

use monitor_model::{alert::Response, grant::Tier, id::TenantId};
use serde::Deserialize;
use toml::Spanned;

use super::check::{Wrong, known, one, parsed, unstated, wrong};

/// Most limits.
pub const LIMITS_MAX: usize = 1_000;
/// Most sessions or persons that a cap may allow.
pub const CAP_MAX: u32 = 100_000;
/// Most minutes over which rules' orders are counted: a day.
pub const CAP_MINUTES_MAX: u64 = 1_440;

const TIERS: &str = "give one of standard, production, backup, identity, endpoint";

/// Whether orders of rules are carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseMode {
    /// They are kept, and nothing is done.
    Observe,
    /// They are carried out.
    Enforce,
}

impl ResponseMode {
    /// Every mode.
    pub const ALL: [Self; 2] = [Self::Observe, Self::Enforce];

    /// The name in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Enforce => "enforce",
        }
    }
}

/// What rules may do at most where it fits. A part that is not stated fits all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Sessions that were opened for this tenant.
    pub tenant: Option<TenantId>,
    /// Sessions that stand on a grant of this tier.
    pub tier: Option<Tier>,
    /// What is stronger becomes this.
    pub at_most: Response,
}

/// What answers alerts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponsePolicy {
    /// Whether orders of rules are carried out.
    pub mode: ResponseMode,
    /// Whether the configuration states the mode.
    pub is_stated: bool,
    /// Sessions that rules may cut off within `window`; further orders wait for
    /// a person.
    pub sessions_max: u32,
    /// Persons and workloads, in the same way.
    pub engineers_max: u32,
    /// The time over which both are counted.
    pub window: Duration,
    /// Sessions that one person may cut off by one order alone.
    pub bulk_sessions: u32,
    /// What rules may do at most, by tenant and tier.
    pub limits: Vec<Limit>,
}

impl Default for ResponsePolicy {
    /// What a configuration without the table has: as before there was one.
    fn default() -> Self {
        Self {
            mode: ResponseMode::Enforce,
            is_stated: false,
            sessions_max: 20,
            engineers_max: 5,
            window: Duration::from_secs(10 * 60),
            bulk_sessions: 20,
            limits: Vec::new(),
        }
    }
}

impl ResponsePolicy {
    /// What a rule's response comes to for a session.
    #[must_use]
    pub fn at_most(
        &self,
        wanted: Response,
        tenant: Option<&TenantId>,
        tier: Option<Tier>,
    ) -> Response {
        let fits = |limit: &&Limit| {
            let Limit {
                tenant: of_tenant,
                tier: of_tier,
                at_most: _,
            } = limit;
            (of_tenant.is_none() || of_tenant.as_ref() == tenant)
                && (of_tier.is_none() || *of_tier == tier)
        };
        let limits = self.limits.iter().filter(fits).map(|limit| limit.at_most);
        limits.fold(wanted, Response::min)
    }
}

/// The table as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    mode: Spanned<String>,
    #[serde(default = "sessions_max")]
    sessions_max: Spanned<u32>,
    #[serde(default = "engineers_max")]
    engineers_max: Spanned<u32>,
    #[serde(default = "window_minutes")]
    window_minutes: Spanned<u64>,
    #[serde(default = "bulk_sessions")]
    bulk_sessions: Spanned<u32>,
    #[serde(default)]
    limit: Vec<RawLimit>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLimit {
    tenant: Option<Spanned<String>>,
    tier: Option<Spanned<String>>,
    at_most: Spanned<String>,
}

fn sessions_max() -> Spanned<u32> {
    unstated(20)
}

fn engineers_max() -> Spanned<u32> {
    unstated(5)
}

fn window_minutes() -> Spanned<u64> {
    unstated(10)
}

fn bulk_sessions() -> Spanned<u32> {
    unstated(20)
}

/// The table as it is meant; `has` tells the tenants that are given.
pub(super) fn checked(
    raw: Option<Raw>,
    has: impl Fn(&TenantId) -> bool,
) -> Result<ResponsePolicy, Wrong> {
    let Some(raw) = raw else {
        return Ok(ResponsePolicy::default());
    };
    let Raw {
        mode,
        sessions_max,
        engineers_max,
        window_minutes,
        bulk_sessions,
        limit,
    } = raw;
    if let Some(beyond) = limit.get(LIMITS_MAX) {
        let wanted = format!("more than {LIMITS_MAX} limits; limit whole tenants or tiers");
        return Err(wrong("response.limit.at_most", &beyond.at_most, &wanted));
    }
    let all = 1..=CAP_MINUTES_MAX;
    if !all.contains(window_minutes.get_ref()) {
        let wanted = format!("give {} to {} minutes", all.start(), all.end());
        return Err(wrong("response.window_minutes", &window_minutes, &wanted));
    }
    let limits = limit.into_iter().map(|raw| checked_limit(raw, &has));
    Ok(ResponsePolicy {
        mode: one(
            "response.mode",
            &mode,
            &ResponseMode::ALL,
            ResponseMode::as_str,
        )?,
        is_stated: true,
        sessions_max: cap("response.sessions_max", &sessions_max)?,
        engineers_max: cap("response.engineers_max", &engineers_max)?,
        window: Duration::from_secs(window_minutes.into_inner() * 60),
        bulk_sessions: cap("response.bulk_sessions", &bulk_sessions)?,
        limits: limits.collect::<Result<_, _>>()?,
    })
}

fn checked_limit(raw: RawLimit, has: impl Fn(&TenantId) -> bool) -> Result<Limit, Wrong> {
    let RawLimit {
        tenant,
        tier,
        at_most,
    } = raw;
    let known = |name| known("response.limit.tenant", name, &has);
    Ok(Limit {
        tenant: tenant.as_ref().map(known).transpose()?,
        tier: tier
            .as_ref()
            .map(|tier| parsed("response.limit.tier", tier, TIERS))
            .transpose()?,
        at_most: one(
            "response.limit.at_most",
            &at_most,
            &Response::ALL,
            Response::as_str,
        )?,
    })
}

fn cap(key: &'static str, value: &Spanned<u32>) -> Result<u32, Wrong> {
    if (1..=CAP_MAX).contains(value.get_ref()) {
        return Ok(*value.get_ref());
    }
    Err(wrong(key, value, &format!("give 1 to {CAP_MAX}")))
}

#[cfg(test)]
mod tests;
