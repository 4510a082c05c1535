//! A grant as people write it: a TOML file.

use std::{
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use jiff::Timestamp;
use monitor_model::{
    clock::UnixNs,
    grant::{DestinationRule, Grant, GrantState, Holder, PathPatterns, Scope},
};
use serde::Deserialize;
use toml::Spanned;

use crate::configuration::{ConfigError, Document};

/// Most files of one folder.
pub const FILES_MAX: usize = 10_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    id: Spanned<String>,
    principal: Spanned<String>,
    tenant: Spanned<String>,
    ticket: String,
    #[serde(default)]
    task: String,
    holder: Option<Spanned<String>>,
    purpose: String,
    approved_by: Spanned<String>,
    tier: Spanned<String>,
    kind: Spanned<String>,
    not_before: Option<Spanned<String>>,
    expires: Option<Spanned<String>>,
    valid_seconds: Option<Spanned<u64>>,
    #[serde(default)]
    scope: RawScope,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawScope {
    destinations: Vec<Spanned<String>>,
    credentials: Option<Spanned<Vec<String>>>,
    programs: Option<Spanned<Vec<String>>>,
}

/// Reads a grant; one without `not_before` begins now.
///
/// # Errors
/// [`ConfigError`] names file, line and key, and what would be right.
pub fn load(path: &Path, now: UnixNs) -> Result<Grant, ConfigError> {
    let text = Document::read(path)?;
    parse(&Document::new(path, &text), Some(now))
}

/// Reads every `*.toml` of a folder, in the order of their names. They are read
/// again and again, so each must say when it begins.
///
/// # Errors
/// [`ConfigError`] for the first that is no grant, and when two are of one name.
pub fn load_folder(folder: &Path) -> Result<Vec<Grant>, ConfigError> {
    let unreadable = |source| ConfigError::File {
        path: folder.into(),
        source,
    };
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            paths.push(path);
        }
    }
    if paths.len() > FILES_MAX {
        let many = format!("{} grants; a folder has at most {FILES_MAX}", paths.len());
        return Err(unreadable(std::io::Error::other(many)));
    }
    paths.sort();
    let mut grants: Vec<Grant> = Vec::with_capacity(paths.len());
    let mut ids = std::collections::HashMap::new();
    for path in &paths {
        let text = Document::read(path)?;
        let document = Document::new(path, &text);
        let grant = parse(&document, None)?;
        if let Some(first) = ids.insert(grant.id.clone(), path) {
            let raw: Raw = document.parse()?;
            let wanted = format!("{} has this id already; give each its own", first.display());
            return Err(document.wrong("id", &raw.id, wanted));
        }
        grants.push(grant);
    }
    Ok(grants)
}

fn parse(document: &Document<'_>, now: Option<UnixNs>) -> Result<Grant, ConfigError> {
    let raw: Raw = document.parse()?;
    let (not_before, expires) = window(document, &raw, now)?;
    let holder = raw.holder.as_ref();
    let destinations = raw.scope.destinations.iter();
    let destinations = destinations
        .map(|text| read::<DestinationRule>(document, "scope.destinations", text))
        .collect::<Result<_, _>>()?;
    let patterns = |key, texts: Option<Spanned<Vec<String>>>| {
        let Some(texts) = texts else {
            return Ok(PathPatterns::default());
        };
        PathPatterns::new(texts.get_ref().clone())
            .map_err(|error| document.wrong(key, &texts, error.to_string()))
    };
    let grant = Grant {
        id: read(document, "id", &raw.id)?,
        principal: read(document, "principal", &raw.principal)?,
        tenant: read(document, "tenant", &raw.tenant)?,
        holder: holder.map_or(Ok(Holder::default()), |text| read(document, "holder", text))?,
        ticket: raw.ticket,
        task: raw.task,
        purpose: raw.purpose,
        approved_by: read(document, "approved_by", &raw.approved_by)?,
        tier: read(document, "tier", &raw.tier)?,
        kind: read(document, "kind", &raw.kind)?,
        not_before,
        expires,
        scope: Scope {
            destinations,
            credentials: patterns("scope.credentials", raw.scope.credentials)?,
            programs: patterns("scope.programs", raw.scope.programs)?,
        },
        state: GrantState::Standing,
        review: None,
    };
    grant.check().map_err(|error| {
        let end = raw.expires.as_ref().map(Spanned::span);
        let end = end.or_else(|| raw.valid_seconds.as_ref().map(Spanned::span));
        let (at, end) = (end.unwrap_or_default().start, expires.to_string());
        document.wrong_at(at, "expires", end, error.to_string())
    })?;
    Ok(grant)
}

fn read<T: FromStr<Err: std::fmt::Display>>(
    document: &Document<'_>,
    key: &'static str,
    text: &Spanned<String>,
) -> Result<T, ConfigError> {
    let parsed = text.get_ref().parse::<T>();
    parsed.map_err(|error| document.wrong(key, text, error.to_string()))
}

/// The first instant and the end.
fn window(
    document: &Document<'_>,
    raw: &Raw,
    now: Option<UnixNs>,
) -> Result<(UnixNs, UnixNs), ConfigError> {
    let instant = |key, text: &Spanned<String>| {
        let stamp = text.get_ref().parse::<Timestamp>().ok();
        let at = stamp.and_then(|stamp| u64::try_from(stamp.as_nanosecond()).ok());
        let right = "not an instant in RFC 3339, as in 2026-01-31T18:00:00Z";
        at.map(UnixNs)
            .ok_or_else(|| document.wrong(key, text, right))
    };
    let begin = match (&raw.not_before, now) {
        (Some(text), _) => instant("not_before", text)?,
        (None, Some(now)) => now,
        (None, None) => {
            let right = "say when it begins, as in 2026-01-31T18:00:00Z";
            return Err(missing(document, "not_before", right));
        }
    };
    match (&raw.expires, &raw.valid_seconds) {
        (Some(text), None) => Ok((begin, instant("expires", text)?)),
        (None, Some(seconds)) => Ok((begin, begin.plus(Duration::from_secs(*seconds.get_ref())))),
        (Some(text), Some(_)) => {
            let right = "give either expires (RFC 3339) or valid_seconds";
            Err(document.wrong("expires", text, right))
        }
        (None, None) => {
            let right = "give expires (RFC 3339) or valid_seconds";
            Err(missing(document, "expires", right))
        }
    }
}

fn missing(document: &Document<'_>, key: &'static str, wanted: &str) -> ConfigError {
    document.wrong_at(0, key, "missing".to_owned(), wanted.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
id = "G-1"
principal = "alice"
tenant = "acme"
ticket = "INC-4711"
purpose = "replace a disk"
approved_by = "bob"
tier = "production"
kind = "just_in_time"
valid_seconds = 3600
[scope]
destinations = ["10.20.0.0/24:*"]
credentials = ["/srv/acme/credentials/**"]
"#;
    const NOW: UnixNs = UnixNs::from_seconds(1_790_000_000);

    fn of(text: &str) -> Result<Grant, ConfigError> {
        parse(&Document::new(Path::new("g.toml"), text), Some(NOW))
    }

    #[test]
    fn a_grant_without_a_begin_begins_now() {
        let grant = of(FILE).unwrap();
        assert_eq!(
            (grant.not_before, grant.expires),
            (NOW, NOW.plus(Duration::from_secs(3600)))
        );
        assert_eq!(grant.certificate_principal(), "acme-production");
        let dated = FILE.replace(
            "valid_seconds = 3600",
            "not_before = \"2026-01-01T00:00:00Z\"\nexpires = \"2026-01-01T01:00:00Z\"",
        );
        let grant = of(&dated).unwrap();
        assert_eq!(
            grant.expires.since(grant.not_before),
            Duration::from_secs(3600)
        );
    }

    #[test]
    fn an_emergency_is_short() {
        let emergency = FILE.replace("just_in_time", "break_glass");
        let seconds = |seconds: &str| emergency.replace("= 3600", &format!("= {seconds}"));
        let grant = of(&seconds("28800")).unwrap();
        assert!(grant.awaits_review());
        let error = of(&seconds("28801")).unwrap_err();
        assert!(error.to_string().contains("at most 28800"), "{error}");
    }

    #[test]
    fn a_wrong_key_is_named() {
        for (from, to, told) in [
            ("\"production\"", "\"prod\"", "tier"),
            ("\"just_in_time\"", "\"jit\"", "just_in_time"),
            ("valid_seconds = 3600", "", "valid_seconds"),
            ("valid_seconds = 3600", "valid_seconds = 0", "expires"),
            ("valid_seconds = 3600", "expires = \"tomorrow\"", "RFC 3339"),
            ("10.20.0.0/24:*", "acme.example", "scope.destinations"),
            ("/srv/acme", "srv/acme", "scope.credentials"),
            ("\"alice\"", "\"al ice\"", "principal"),
            ("ticket = ", "tickets = ", "tickets"),
            (
                "purpose = ",
                "holder = \"contractor\"\npurpose = ",
                "staff, subcontractor, on_call, workload",
            ),
        ] {
            let error = of(&FILE.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(told) && error.contains("g.toml:"), "{error}");
        }
    }

    #[test]
    fn a_folder_of_grants_is_read_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let dated = FILE.replace(
            "valid_seconds",
            "not_before = \"2026-01-01T00:00:00Z\"\nvalid_seconds",
        );
        put("b.toml", &dated.replace("G-1", "G-2"));
        put("a.toml", &dated);
        put("notes.txt", "not a grant");
        let grants = load_folder(folder.path()).unwrap();
        let ids: Vec<_> = grants.iter().map(|grant| grant.id.as_str()).collect();
        assert_eq!(ids, ["G-1", "G-2"]);
        for (text, told) in [
            (dated.as_str(), "c.toml:2: id is \"G-1\""),
            (FILE, "c.toml:1: not_before is missing"),
            ("id = 7", "c.toml:1"),
        ] {
            put("c.toml", text);
            let error = load_folder(folder.path()).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
        let error = load_folder(&folder.path().join("absent")).unwrap_err();
        assert!(error.to_string().contains("absent"), "{error}");
    }
}
