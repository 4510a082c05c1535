//! From what is written to what is meant.

use std::{collections::BTreeSet, ops::Range, time::Duration};

use monitor_model::{
    alert::{Response, Severity},
    event::{Fact, Kind},
    policy::Terms,
    verdict::{OutReason, VerdictKind},
};
use monitor_transport::configuration::Document;
use toml::Spanned;

use super::{AFTER_MAX, Broker, Config, RULES_MAX, Rule, WINDOW_SECONDS_MAX, raw};

/// A value that makes no sense, its line not yet known.
pub(super) struct Wrong {
    pub(super) span: Range<usize>,
    pub(super) key: &'static str,
    pub(super) value: String,
    pub(super) wanted: String,
}

pub(super) fn checked(
    raw: raw::Config,
    terms: Terms,
    document: &Document<'_>,
) -> Result<Config, Wrong> {
    let raw::Config {
        listen,
        data_dir,
        tls,
        broker,
        alert,
        subscription,
        rule,
        include: _,
        policy: _,
        tenant: _,
        credential: _,
    } = raw;
    Ok(Config {
        listen: parsed(
            "listen",
            &listen,
            "not an address with a port, as in 127.0.0.1:7443",
        )?,
        data_dir: document.beside(data_dir),
        tls: document.tls_beside(&tls),
        broker: broker.map(checked_broker).transpose()?,
        terms,
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

pub(super) fn wrong<T: std::fmt::Debug>(
    key: &'static str,
    value: &Spanned<T>,
    wanted: &str,
) -> Wrong {
    Wrong {
        span: value.span(),
        key,
        value: format!("{:?}", value.get_ref()),
        wanted: wanted.to_owned(),
    }
}

pub(super) fn parsed<T: std::str::FromStr>(
    key: &'static str,
    value: &Spanned<String>,
    wanted: &str,
) -> Result<T, Wrong> {
    value
        .get_ref()
        .parse()
        .map_err(|_| wrong(key, value, wanted))
}

pub(super) fn each<T: std::str::FromStr>(
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
