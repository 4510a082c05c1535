//! From what is written to what is meant.

use std::{
    collections::BTreeSet,
    ops::Range,
    path::{Path, PathBuf},
    time::Duration,
};

use monitor_model::{
    alert::{Response, Severity},
    event::{Fact, Kind},
    grant::{PortRange, Tier},
    id::TenantId,
    tenant::{Tenant, Zone},
    verdict::{OutReason, VerdictKind},
};
use monitor_transport::configuration::Document;
use toml::Spanned;

use super::{AFTER_MAX, Broker, Config, RULES_MAX, Rule, TENANTS_MAX, WINDOW_SECONDS_MAX, raw};

/// A value that makes no sense, its line not yet known.
pub(super) struct Wrong {
    pub(super) span: Range<usize>,
    pub(super) key: &'static str,
    pub(super) value: String,
    pub(super) wanted: String,
}

pub(super) fn checked(raw: raw::Config, document: &Document<'_>) -> Result<Config, Wrong> {
    let raw::Config {
        listen,
        data_dir,
        tls,
        broker,
        ledger,
        alert,
        subscription,
        tenant,
        rule,
    } = raw;
    let data_dir = document.beside(data_dir);
    Ok(Config {
        ledger_key: ledger
            .map(|ledger| checked_key(ledger, &data_dir, document))
            .transpose()?,
        listen: parsed(
            "listen",
            &listen,
            "not an address with a port, as in 127.0.0.1:7443",
        )?,
        data_dir,
        tls: document.tls_beside(&tls),
        broker: broker.map(checked_broker).transpose()?,
        tenants: checked_tenants(tenant)?,
        rules: checked_rules(rule)?,
        dedupe: seconds(
            "alert.dedupe_seconds",
            &alert.dedupe_seconds,
            0..=WINDOW_SECONDS_MAX,
        )?,
        heartbeat: seconds(
            "subscription.heartbeat_seconds",
            &subscription.heartbeat_seconds,
            1..=3_600,
        )?,
        stall: seconds(
            "subscription.stall_seconds",
            &subscription.stall_seconds,
            1..=3_600,
        )?,
    })
}

/// Who copies or owns the data has the key only if it lies elsewhere.
fn checked_key(
    raw: raw::Ledger,
    data_dir: &Path,
    document: &Document<'_>,
) -> Result<PathBuf, Wrong> {
    let raw::Ledger { key } = raw;
    let path = document.beside(key.get_ref().clone());
    if path.starts_with(data_dir) {
        return Err(wrong(
            "ledger.key",
            &key,
            "give a file outside of data_dir: the key must not lie with what it signs",
        ));
    }
    Ok(path)
}

fn checked_broker(raw: raw::Broker) -> Result<Broker, Wrong> {
    let raw::Broker {
        address,
        retry_ms_min,
        retry_ms_max,
    } = raw;
    if !address.get_ref().starts_with("https://") {
        return Err(wrong(
            "broker.address",
            &address,
            "give an https:// address, as in https://localhost:7444",
        ));
    }
    let (least, most) = (*retry_ms_min.get_ref(), *retry_ms_max.get_ref());
    if !(1..=3_600_000).contains(&least) {
        return Err(wrong(
            "broker.retry_ms_min",
            &retry_ms_min,
            "give 1 to 3600000",
        ));
    }
    if most < least || most > 3_600_000 {
        return Err(wrong(
            "broker.retry_ms_max",
            &retry_ms_max,
            "give retry_ms_min to 3600000",
        ));
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
            return Err(wrong(
                "tenant.id",
                &id,
                "named twice; give each tenant one table",
            ));
        }
        if tenants.len() >= TENANTS_MAX {
            return Err(wrong(
                "tenant.id",
                &id,
                "more than 1000 tenants; run a second collector",
            ));
        }
        let zones = zone
            .into_iter()
            .map(checked_zone)
            .collect::<Result<_, _>>()?;
        tenants.push(Tenant { id: name, zones });
    }
    if !tenants.iter().any(|tenant| tenant.id.is_provider()) {
        tenants.push(Tenant {
            id: TenantId::provider(),
            zones: Vec::new(),
        });
    }
    Ok(tenants)
}

fn checked_zone(raw: raw::Zone) -> Result<Zone, Wrong> {
    let raw::Zone {
        name,
        networks,
        ports,
        interface,
        net_ns,
        mark,
        tier,
    } = raw;
    if networks.get_ref().is_empty() {
        return Err(wrong(
            "tenant.zone.networks",
            &networks,
            "give at least one, as in [\"10.20.0.0/24\"]",
        ));
    }
    let networks = each(
        "tenant.zone.networks",
        networks.get_ref(),
        "not a network, as in 10.20.0.0/24 or fd00::/64",
    )?;
    let ports: Vec<PortRange> = each(
        "tenant.zone.ports",
        &ports,
        "not a port, a range such as 8000-8999, or *",
    )?;
    let tier: Option<Tier> = tier
        .map(|tier| {
            parsed(
                "tenant.zone.tier",
                &tier,
                "give one of standard, production, backup, identity, endpoint",
            )
        })
        .transpose()?;
    Ok(Zone {
        name,
        networks,
        ports,
        interface,
        net_ns,
        mark,
        tier,
    })
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
    let raw::Rule {
        id,
        verdicts,
        kinds,
        reasons,
        facts,
        severity,
        technique,
        response,
        after,
        window_seconds,
    } = raw;
    if id.get_ref().is_empty() || id.get_ref().len() > 128 {
        return Err(wrong("rule.id", &id, "give a name of 1 to 128 bytes"));
    }
    if !seen.insert(id.get_ref().clone()) {
        return Err(wrong(
            "rule.id",
            &id,
            "named twice; give each rule its own name",
        ));
    }
    if seen.len() > RULES_MAX {
        return Err(wrong("rule.id", &id, "more than 256 rules; merge some"));
    }
    if verdicts.is_empty() && facts.is_empty() {
        return Err(wrong(
            "rule.verdicts",
            &id,
            "give this rule at least one of out_of_scope, unattributed, or facts",
        ));
    }
    let alarming = [VerdictKind::OutOfScope, VerdictKind::Unattributed];
    let judged = [
        Kind::Exec,
        Kind::Connect,
        Kind::Credential,
        Kind::Socket,
        Kind::Memory,
        Kind::Signal,
        Kind::Host,
    ];
    let after = checked_after(&after)?;
    Ok(Rule {
        verdicts: named("rule.verdicts", &verdicts, &alarming, VerdictKind::as_str)?,
        kinds: named("rule.kinds", &kinds, &judged, Kind::as_str)?,
        facts: named("rule.facts", &facts, Fact::ALL, Fact::as_str)?,
        reasons: named("rule.reasons", &reasons, &OutReason::ALL, OutReason::as_str)?,
        severity: one("rule.severity", &severity, &Severity::ALL, Severity::as_str)?,
        response: one(
            "rule.response",
            &response,
            &[Response::Notify, Response::Revoke],
            Response::as_str,
        )?,
        window: seconds(
            "rule.window_seconds",
            &window_seconds,
            1..=WINDOW_SECONDS_MAX,
        )?,
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
    Wrong {
        span: value.span(),
        key,
        value: format!("{:?}", value.get_ref()),
        wanted: wanted.to_owned(),
    }
}

fn parsed<T: std::str::FromStr>(
    key: &'static str,
    value: &Spanned<String>,
    wanted: &str,
) -> Result<T, Wrong> {
    value
        .get_ref()
        .parse()
        .map_err(|_| wrong(key, value, wanted))
}

fn each<T: std::str::FromStr>(
    key: &'static str,
    values: &[Spanned<String>],
    wanted: &str,
) -> Result<Vec<T>, Wrong> {
    values
        .iter()
        .map(|value| parsed(key, value, wanted))
        .collect()
}

fn seconds(
    key: &'static str,
    value: &Spanned<u64>,
    allowed: std::ops::RangeInclusive<u64>,
) -> Result<Duration, Wrong> {
    if allowed.contains(value.get_ref()) {
        return Ok(Duration::from_secs(*value.get_ref()));
    }
    Err(wrong(
        key,
        value,
        &format!("give {} to {} seconds", allowed.start(), allowed.end()),
    ))
}

fn one<T: Copy>(
    key: &'static str,
    value: &Spanned<String>,
    allowed: &[T],
    name: impl Fn(T) -> &'static str,
) -> Result<T, Wrong> {
    allowed
        .iter()
        .copied()
        .find(|&item| name(item) == value.get_ref())
        .ok_or_else(|| {
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
    values
        .iter()
        .map(|value| one(key, value, allowed, &name))
        .collect()
}
