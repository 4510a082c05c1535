//! From what is written to what is meant.

use std::{
    ops::Range,
    path::{Path, PathBuf},
    time::Duration,
};

use monitor_model::{
    grant::Grant,
    id::{AgentName, TenantId},
    policy::Terms,
};
use monitor_transport::{
    configuration::{ConfigError, Document},
    grant_file,
};
use toml::Spanned;

use super::{
    AGGREGATE_SECONDS_MAX, Config, DORMANT_DAYS_MAX, Rule, SILENT_SECONDS_MIN, WINDOW_SECONDS_MAX,
    Witness, broker, enforce, lost, policy::Stated, raw, response, rules, tokens, witness,
};
use crate::alert::sigma::{self, SigmaFile, SigmaRule};

/// A value that makes no sense, its line not yet known.
pub(super) struct Wrong {
    pub(super) span: Range<usize>,
    pub(super) key: &'static str,
    pub(super) value: String,
    pub(super) wanted: String,
}

impl Wrong {
    /// The same, with the file and line.
    pub(super) fn told(self, document: &Document<'_>) -> ConfigError {
        document.wrong_at(self.span.start, self.key, self.value, self.wanted)
    }
}

/// A value that the file does not state: it has no place there.
pub(super) fn unstated<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}

pub(super) fn checked(
    mut raw: raw::Config,
    stated: Stated,
    document: &Document<'_>,
) -> Result<Config, ConfigError> {
    let told = |wrong: Wrong| wrong.told(document);
    let whole = 0..=WINDOW_SECONDS_MAX;
    let dedupe = seconds("alert.dedupe_seconds", &raw.alert.dedupe_seconds, whole).map_err(told)?;
    let own = std::mem::take(&mut raw.rule);
    let mut rules = checked_rules(own, &raw.alert, dedupe, document)?;
    let (sigma, sigma_files) = checked_sigma(raw.alert.sigma.as_ref(), document)?;
    let sigma = sigma.into_iter().map(|sigma| Rule::of_sigma(sigma, dedupe));
    rules.extend(sigma);
    Ok(Config {
        sigma_files,
        grants: checked_grants(raw.grants.as_ref(), &stated.terms, document)?,
        ..checked_rest(raw, stated, rules, document).map_err(told)?
    })
}

fn has_tenant(terms: &Terms, id: &TenantId) -> bool {
    terms.tenants.iter().any(|tenant| tenant.id == *id)
}

/// Grants in files, of tenants that are given.
fn checked_grants(
    folder: Option<&Spanned<PathBuf>>,
    terms: &Terms,
    document: &Document<'_>,
) -> Result<Vec<Grant>, ConfigError> {
    let Some(folder) = folder else {
        return Ok(Vec::new());
    };
    let grants = grant_file::load_folder(&document.beside(folder.get_ref()))?;
    match grants
        .iter()
        .find(|grant| !has_tenant(terms, &grant.tenant))
    {
        None => Ok(grants),
        Some(grant) => {
            let (id, tenant) = (&grant.id, &grant.tenant);
            let wanted = format!("grant {id} in it is of tenant {tenant}, which is not given");
            Err(wrong("grants", folder, &wanted).told(document))
        }
    }
}

/// Sigma rules, and what became of their files.
fn checked_sigma(
    folder: Option<&Spanned<PathBuf>>,
    document: &Document<'_>,
) -> Result<(Vec<SigmaRule>, Vec<SigmaFile>), ConfigError> {
    let Some(folder) = folder else {
        return Ok((Vec::new(), Vec::new()));
    };
    sigma::read(&document.beside(folder.get_ref())).map_err(|error| {
        let wanted = format!("{error}; give a folder of Sigma rules, one rule a file");
        wrong("alert.sigma", folder, &wanted).told(document)
    })
}

fn checked_rest(
    raw: raw::Config,
    stated: Stated,
    rules: Vec<Rule>,
    document: &Document<'_>,
) -> Result<Config, Wrong> {
    let raw::Config {
        listen,
        data_dir,
        tls,
        tokens: of_tokens,
        broker: of_broker,
        ledger,
        alert,
        response: of_response,
        lost_host,
        enforce: of_enforce,
        subscription,
        reads,
        rule: _,
        include: _,
        grants: _,
        policy: _,
        tenant: _,
        hold: _,
        credential: _,
    } = raw;
    let data_dir = document.beside(data_dir);
    let ledger = ledger.map(|ledger| checked_ledger(ledger, &data_dir, document));
    let (ledger_key, ledger_seal, witness) = ledger.transpose()?.unwrap_or_default();
    Ok(Config {
        name: AgentName::collector(),
        ledger_key,
        ledger_seal,
        witness,
        listen: parsed(
            "listen",
            &listen,
            "not an address with a port, as in 127.0.0.1:7443",
        )?,
        data_dir,
        tls: document.tls_beside(&tls),
        tokens: of_tokens
            .map(|raw| tokens::checked(raw, document))
            .transpose()?,
        broker: broker::checked(of_broker, document)?,
        retention: stated.retention,
        resolve: stated.resolve,
        response: response::checked(of_response, |id| has_tenant(&stated.terms, id))?,
        lost: lost::checked(lost_host)?,
        enforce: enforce::checked(of_enforce, |id| has_tenant(&stated.terms, id))?,
        rules,
        sigma_files: Vec::new(),
        grants: Vec::new(),
        terms: stated.terms,
        silent: silent(&alert.silent_seconds)?,
        dormant: dormant(&alert.dormant_days)?,
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
        aggregate: seconds(
            "reads.aggregate_seconds",
            &reads.aggregate_seconds,
            0..=AGGREGATE_SECONDS_MAX,
        )?,
    })
}

fn silent(value: &Spanned<u64>) -> Result<Duration, Wrong> {
    let allowed = SILENT_SECONDS_MIN..=WINDOW_SECONDS_MAX;
    seconds("alert.silent_seconds", value, allowed)
}

fn dormant(days: &Spanned<u64>) -> Result<Duration, Wrong> {
    if (1..=DORMANT_DAYS_MAX).contains(days.get_ref()) {
        Ok(Duration::from_secs(days.get_ref() * 86_400))
    } else {
        Err(wrong("alert.dormant_days", days, "give 1 to 3650 days"))
    }
}

/// The keys that sign and seal ledgers, and the witness.
type LedgerParts = (Option<PathBuf>, Option<PathBuf>, Option<Witness>);

/// Who copies or owns the data has the keys only if they lie elsewhere.
fn checked_ledger(
    raw: raw::Ledger,
    data_dir: &Path,
    document: &Document<'_>,
) -> Result<LedgerParts, Wrong> {
    let raw::Ledger { key, seal, witness } = raw;
    let outside = |name, value: &Spanned<PathBuf>, what| {
        let path = document.beside(value.get_ref().clone());
        if path.starts_with(data_dir) {
            let right = format!(
                "give a file outside of data_dir: the key must not lie with what it {what}"
            );
            return Err(wrong(name, value, &right));
        }
        Ok(path)
    };
    let key = outside("ledger.key", &key, "signs")?;
    let seal = seal.map(|seal| outside("ledger.seal", &seal, "seals"));
    let witness = witness.map(|raw| witness::checked(raw, document));
    Ok((Some(key), seal.transpose()?, witness.transpose()?))
}

/// The rules of all places, less those that are off.
fn checked_rules(
    raw: Vec<Spanned<rules::Raw>>,
    alert: &raw::Alert,
    dedupe: Duration,
    document: &Document<'_>,
) -> Result<Vec<Rule>, ConfigError> {
    // Rules that stand here alone are all that somebody wants.
    let with_standard = alert
        .standard
        .unwrap_or(raw.is_empty() || alert.rules.is_some());
    let mut all = if with_standard {
        rules::standard(dedupe)?
    } else {
        Vec::new()
    };
    if let Some(file) = &alert.rules {
        rules::overlay(&mut all, rules::of_file(&document.beside(file), dedupe)?);
    }
    let own = rules::checked(raw, dedupe).map_err(|wrong| wrong.told(document))?;
    rules::overlay(&mut all, own);
    for off in &alert.off {
        let known = all.len();
        all.retain(|rule| rule.id != *off.get_ref());
        if all.len() == known {
            let wanted = "no rule has this id; see docs/reference/rules.md for those that come with the collector";
            return Err(wrong("alert.off", off, wanted).told(document));
        }
    }
    Ok(all)
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

/// A tenant that is given; `has` tells those.
pub(super) fn known(
    key: &'static str,
    tenant: &Spanned<String>,
    has: impl Fn(&TenantId) -> bool,
) -> Result<TenantId, Wrong> {
    let found: Option<TenantId> = tenant.get_ref().parse().ok();
    found
        .filter(|id| has(id))
        .ok_or_else(|| wrong(key, tenant, "no tenant of that name is given"))
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

pub(super) fn seconds(
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

pub(super) fn one<T: Copy>(
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

pub(super) fn named<T: Copy>(
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
