//! Alert rules: where they come from, as they are written, and as they are meant.
//!
//! Three places, in this order: what comes with the collector, the file that
//! `alert.rules` names, and the configuration itself. A rule replaces one of
//! the same id of an earlier place where that stands, else it is added.

use std::{collections::BTreeSet, path::Path, time::Duration};

use monitor_model::{
    alert::{Response, Severity},
    event::{Fact, Kind, NoSession},
    verdict::{OutReason, VerdictKind},
};
use monitor_transport::configuration::{ConfigError, Document};
use serde::Deserialize;
use toml::Spanned;

use super::{
    AFTER_MAX, RULES_MAX, WINDOW_SECONDS_MAX,
    check::{Wrong, named, one, seconds, unstated, wrong},
};
use crate::alert::{
    rule::{By, Conditions, Counted, Rule, STANDARD},
    sign::Sign,
};

/// The version of ATT&CK that techniques are of where a rule does not say.
const ATTACK_VERSION: &str = "19";
/// Most bytes of a name or a sentence in a rule.
const TEXT_BYTES_MAX: usize = 256;
/// Most controls and classes that a rule names.
const NAMES_MAX: usize = 32;

/// A file of rules.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    rule: Vec<Spanned<Raw>>,
}

/// A rule as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    id: Spanned<String>,
    #[serde(default = "version")]
    version: Spanned<u32>,
    title: Option<Spanned<String>>,
    #[serde(default)]
    verdicts: Vec<Spanned<String>>,
    #[serde(default)]
    kinds: Vec<Spanned<String>>,
    #[serde(default)]
    reasons: Vec<Spanned<String>>,
    #[serde(default)]
    no_session: Vec<Spanned<String>>,
    #[serde(default)]
    facts: Vec<Spanned<String>>,
    #[serde(default)]
    signs: Vec<Spanned<String>>,
    #[serde(default)]
    classes: Vec<Spanned<String>>,
    #[serde(default)]
    changes: bool,
    severity: Spanned<String>,
    technique: Option<Spanned<String>>,
    attack_version: Option<Spanned<String>>,
    #[serde(default)]
    controls: Vec<Spanned<String>>,
    response: Spanned<String>,
    #[serde(default = "after")]
    after: Spanned<u32>,
    #[serde(default = "counted")]
    counted: Spanned<String>,
    #[serde(default = "by")]
    by: Spanned<String>,
    #[serde(default = "window_seconds")]
    window_seconds: Spanned<u64>,
    dedupe_seconds: Option<Spanned<u64>>,
}

fn version() -> Spanned<u32> {
    unstated(1)
}

fn after() -> Spanned<u32> {
    unstated(1)
}

fn counted() -> Spanned<String> {
    unstated(Counted::Events.as_str().to_owned())
}

fn by() -> Spanned<String> {
    unstated(By::Session.as_str().to_owned())
}

fn window_seconds() -> Spanned<u64> {
    unstated(3_600)
}

/// The rules of a text that comes with the collector.
///
/// # Errors
/// [`ConfigError`]; a test reads it, so that it has none.
pub fn standard(dedupe: Duration) -> Result<Vec<Rule>, ConfigError> {
    parsed(Path::new("standard.toml"), STANDARD, dedupe)
}

/// The rules of a file.
///
/// # Errors
/// [`ConfigError`] names file, line, key, value and what would be right.
pub(super) fn of_file(path: &Path, dedupe: Duration) -> Result<Vec<Rule>, ConfigError> {
    parsed(path, &Document::read(path)?, dedupe)
}

fn parsed(path: &Path, text: &str, dedupe: Duration) -> Result<Vec<Rule>, ConfigError> {
    let document = Document::new(path, text);
    let File { rule } = document.parse()?;
    checked(rule, dedupe).map_err(|wrong| wrong.told(&document))
}

/// Puts rules over earlier ones.
pub(super) fn overlay(rules: &mut Vec<Rule>, more: Vec<Rule>) {
    for rule in more {
        match rules.iter_mut().find(|known| known.id == rule.id) {
            Some(known) => *known = rule,
            None => rules.push(rule),
        }
    }
}

/// Rules as they are meant; no two have one id.
pub(super) fn checked(raw: Vec<Spanned<Raw>>, dedupe: Duration) -> Result<Vec<Rule>, Wrong> {
    let mut seen = BTreeSet::new();
    raw.into_iter()
        .map(|raw| {
            let raw = raw.into_inner();
            let id = &raw.id;
            let rule = checked_rule(&raw, dedupe)?;
            if !seen.insert(rule.id.clone()) {
                return Err(wrong(
                    "rule.id",
                    id,
                    "named twice; give each rule its own name",
                ));
            }
            if seen.len() > RULES_MAX {
                return Err(wrong("rule.id", id, "more than 256 rules; merge some"));
            }
            Ok(rule)
        })
        .collect()
}

fn checked_rule(raw: &Raw, dedupe: Duration) -> Result<Rule, Wrong> {
    let id = text("rule.id", &raw.id)?;
    let conditions = conditions(raw)?;
    let counted = one("rule.counted", &raw.counted, &Counted::ALL, Counted::as_str)?;
    if counted == Counted::Tenants && *raw.after.get_ref() < 2 {
        return Err(wrong(
            "rule.after",
            &raw.after,
            "give 2 or more where tenants are counted: one tenant is everybody's",
        ));
    }
    alarms(raw, &conditions, counted)?;
    let technique = match &raw.technique {
        Some(stated) => technique(stated)?,
        None => String::new(),
    };
    let attack_version = raw
        .attack_version
        .as_ref()
        .map(|version| text("rule.attack_version", version))
        .transpose()?;
    let within = 1..=WINDOW_SECONDS_MAX;
    Ok(Rule {
        version: positive("rule.version", &raw.version, u32::MAX)?,
        title: match &raw.title {
            Some(title) => text("rule.title", title)?,
            None => id.clone(),
        },
        attack_version: if technique.is_empty() {
            String::new()
        } else {
            attack_version.unwrap_or_else(|| ATTACK_VERSION.to_owned())
        },
        technique,
        controls: texts("rule.controls", &raw.controls)?,
        severity: one(
            "rule.severity",
            &raw.severity,
            &Severity::ALL,
            Severity::as_str,
        )?,
        response: one(
            "rule.response",
            &raw.response,
            &Response::ALL,
            Response::as_str,
        )?,
        after: positive("rule.after", &raw.after, AFTER_MAX)?,
        by: one("rule.by", &raw.by, &By::ALL, By::as_str)?,
        window: seconds("rule.window_seconds", &raw.window_seconds, within)?,
        dedupe: match &raw.dedupe_seconds {
            Some(stated) => seconds("rule.dedupe_seconds", stated, 0..=WINDOW_SECONDS_MAX)?,
            None => dedupe,
        },
        counted,
        conditions,
        id,
    })
}

fn conditions(raw: &Raw) -> Result<Conditions, Wrong> {
    let verdicts = &VerdictKind::ALL;
    Ok(Conditions {
        verdicts: named(
            "rule.verdicts",
            &raw.verdicts,
            verdicts,
            VerdictKind::as_str,
        )?,
        kinds: named("rule.kinds", &raw.kinds, Kind::ALL, Kind::as_str)?,
        reasons: named(
            "rule.reasons",
            &raw.reasons,
            &OutReason::ALL,
            OutReason::as_str,
        )?,
        no_session: named(
            "rule.no_session",
            &raw.no_session,
            &NoSession::ALL,
            NoSession::as_str,
        )?,
        facts: named("rule.facts", &raw.facts, Fact::ALL, Fact::as_str)?,
        signs: named("rule.signs", &raw.signs, &Sign::ALL, Sign::as_str)?,
        classes: texts("rule.classes", &raw.classes)?,
        changes: raw.changes,
        sigma: None,
    })
}

/// Refuses a rule that would fire at everyday work, or never.
fn alarms(raw: &Raw, conditions: &Conditions, counted: Counted) -> Result<(), Wrong> {
    let everyday = [VerdictKind::InScope, VerdictKind::Exempt];
    let narrowed = !conditions.facts.is_empty()
        || !conditions.signs.is_empty()
        || !conditions.classes.is_empty()
        || counted == Counted::Tenants;
    let told = [Kind::Gap, Kind::Impaired, Kind::LoginRefused];
    let of_itself =
        !conditions.kinds.is_empty() && conditions.kinds.iter().all(|kind| told.contains(kind));
    if conditions.verdicts.is_empty() && !narrowed && !of_itself {
        return Err(wrong(
            "rule.verdicts",
            &raw.id,
            "give this rule at least one of out_of_scope, unattributed; or facts, signs, \
             classes, or the kinds gap, impaired, login_refused",
        ));
    }
    let ordinary = raw.verdicts.iter().find(|name| {
        everyday
            .iter()
            .any(|verdict| verdict.as_str() == name.get_ref())
    });
    match ordinary {
        Some(verdict) if !narrowed => Err(wrong(
            "rule.verdicts",
            verdict,
            "give out_of_scope, unattributed, or narrow the rule by facts, signs or classes: \
             it would fire at everyday work",
        )),
        _ => never(raw, conditions),
    }
}

/// Refuses conditions that no event meets together.
fn never(raw: &Raw, conditions: &Conditions) -> Result<(), Wrong> {
    let lacks = |verdict: VerdictKind| {
        !conditions.verdicts.is_empty() && !conditions.verdicts.contains(&verdict)
    };
    if let Some(reason) = raw.reasons.first()
        && lacks(VerdictKind::OutOfScope)
    {
        return Err(wrong(
            "rule.reasons",
            reason,
            "only what is out_of_scope has reasons; add that verdict",
        ));
    }
    if let Some(reason) = raw.no_session.first()
        && lacks(VerdictKind::Unattributed)
    {
        return Err(wrong(
            "rule.no_session",
            reason,
            "only what is unattributed has these; add that verdict",
        ));
    }
    let of_files = conditions.kinds.is_empty() || conditions.kinds.contains(&Kind::Credential);
    if (conditions.changes || !conditions.classes.is_empty()) && !of_files {
        return Err(wrong(
            "rule.classes",
            &raw.id,
            "only events of kind credential have classes and changes; add that kind",
        ));
    }
    let fits = |fact: &Fact| conditions.kinds.contains(&fact.kind());
    if !conditions.kinds.is_empty()
        && !conditions.facts.is_empty()
        && !conditions.facts.iter().any(fits)
    {
        return Err(wrong(
            "rule.facts",
            &raw.id,
            "none of these facts is of the kinds that this rule names; leave the kinds out",
        ));
    }
    Ok(())
}

/// `T1078` or `T1055.008`.
fn technique(value: &Spanned<String>) -> Result<String, Wrong> {
    let name = value.get_ref();
    let digits = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let fits = name
        .strip_prefix('T')
        .is_some_and(|rest| match rest.split_once('.') {
            Some((technique, sub)) => digits(technique, 4) && digits(sub, 3),
            None => digits(rest, 4),
        });
    // Rules may leave it to the watch list.
    if fits || name.is_empty() {
        return Ok(name.clone());
    }
    Err(wrong(
        "rule.technique",
        value,
        "not a technique of ATT&CK, as in T1078 or T1055.008",
    ))
}

fn positive(key: &'static str, value: &Spanned<u32>, most: u32) -> Result<u32, Wrong> {
    if (1..=most).contains(value.get_ref()) {
        Ok(*value.get_ref())
    } else {
        Err(wrong(key, value, &format!("give 1 to {most}")))
    }
}

fn text(key: &'static str, value: &Spanned<String>) -> Result<String, Wrong> {
    let written = value.get_ref();
    if written.is_empty() || written.len() > TEXT_BYTES_MAX || written.contains('\n') {
        return Err(wrong(key, value, "give 1 to 256 bytes on one line"));
    }
    Ok(written.clone())
}

fn texts(key: &'static str, values: &[Spanned<String>]) -> Result<Vec<String>, Wrong> {
    if let Some(value) = values.get(NAMES_MAX) {
        return Err(wrong(key, value, "more than 32; leave some out"));
    }
    values.iter().map(|value| text(key, value)).collect()
}

#[cfg(test)]
mod tests;
