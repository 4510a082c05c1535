//! A grant as people write it: a TOML file.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use monitor_model::{
    clock::UnixNs,
    grant::{DestinationRule, Grant, GrantKind, GrantState, Holder, PathPatterns, Scope, Tier},
};
use serde::Deserialize;

/// Why a file is not a grant.
#[derive(Debug, thiserror::Error)]
pub enum GrantFileError {
    /// It cannot be read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Not TOML, or a key that is missing, unknown or of the wrong kind.
    #[error("{}: {cause}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// Line, key and what is wrong.
        cause: String,
    },
    /// A value that makes no sense.
    #[error("{}: {key}: {cause}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The key.
        key: &'static str,
        /// What is wrong, and what would be right.
        cause: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    id: String,
    principal: String,
    tenant: String,
    ticket: String,
    #[serde(default)]
    task: String,
    holder: Option<String>,
    purpose: String,
    approved_by: String,
    tier: String,
    kind: String,
    not_before: Option<String>,
    expires: Option<String>,
    valid_seconds: Option<u64>,
    #[serde(default)]
    scope: RawScope,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawScope {
    destinations: Vec<String>,
    credentials: Vec<String>,
    programs: Vec<String>,
}

/// Reads a grant; one without `not_before` begins now.
///
/// # Errors
/// [`GrantFileError`] names file and key, and what would be right.
pub fn load(path: &Path, now: UnixNs) -> Result<Grant, GrantFileError> {
    let text = fs::read_to_string(path).map_err(|source| GrantFileError::File {
        path: path.into(),
        source,
    })?;
    parse(path, &text, now)
}

fn parse(path: &Path, text: &str, now: UnixNs) -> Result<Grant, GrantFileError> {
    let raw: Raw = toml::from_str(text).map_err(|error| GrantFileError::Form {
        path: path.into(),
        cause: error.to_string().trim_end().to_owned(),
    })?;
    let wrong = |key, cause: String| GrantFileError::Value {
        path: path.into(),
        key,
        cause,
    };
    macro_rules! read {
        ($field:ident) => {
            raw.$field
                .parse()
                .map_err(|error| wrong(stringify!($field), format!("{error}")))?
        };
    }
    let (not_before, expires) = window(&raw, now).map_err(|(key, cause)| wrong(key, cause))?;
    let destinations: Result<Vec<DestinationRule>, _> = raw
        .scope
        .destinations
        .iter()
        .map(|text| text.parse())
        .collect();
    let patterns =
        |key, texts| PathPatterns::new(texts).map_err(|error| wrong(key, error.to_string()));
    let grant = Grant {
        id: read!(id),
        principal: read!(principal),
        tenant: read!(tenant),
        holder: raw
            .holder
            .map_or(Ok(Holder::default()), |text| text.parse())
            .map_err(|error| wrong("holder", format!("{error}")))?,
        ticket: raw.ticket,
        task: raw.task,
        purpose: raw.purpose,
        approved_by: read!(approved_by),
        tier: raw
            .tier
            .parse::<Tier>()
            .map_err(|error| wrong("tier", error.to_string()))?,
        kind: raw
            .kind
            .parse::<GrantKind>()
            .map_err(|error| wrong("kind", error.to_string()))?,
        not_before,
        expires,
        scope: Scope {
            destinations: destinations
                .map_err(|error| wrong("scope.destinations", error.to_string()))?,
            credentials: patterns("scope.credentials", raw.scope.credentials)?,
            programs: patterns("scope.programs", raw.scope.programs)?,
        },
        state: GrantState::Standing,
        review: None,
    };
    grant
        .check()
        .map_err(|error| wrong("expires", error.to_string()))?;
    Ok(grant)
}

/// The first instant and the end, or the key that is wrong and why.
fn window(raw: &Raw, now: UnixNs) -> Result<(UnixNs, UnixNs), (&'static str, String)> {
    let instant = |key, text: &str| {
        let stamp = text.parse::<Timestamp>().ok();
        let at = stamp.and_then(|stamp| u64::try_from(stamp.as_nanosecond()).ok());
        at.map(UnixNs).ok_or_else(|| {
            let right = "is not an instant in RFC 3339, as in 2026-01-31T18:00:00Z";
            (key, format!("{text:?} {right}"))
        })
    };
    let begin = raw.not_before.as_deref();
    let begin = begin.map_or(Ok(now), |text| instant("not_before", text))?;
    match (raw.expires.as_deref(), raw.valid_seconds) {
        (Some(text), None) => Ok((begin, instant("expires", text)?)),
        (None, Some(seconds)) => Ok((begin, begin.plus(Duration::from_secs(seconds)))),
        (Some(_), Some(_)) | (None, None) => Err((
            "expires",
            "give either expires (RFC 3339) or valid_seconds".to_owned(),
        )),
    }
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

    #[test]
    fn a_grant_without_a_begin_begins_now() {
        let grant = parse(Path::new("g.toml"), FILE, NOW).unwrap();
        assert_eq!(
            (grant.not_before, grant.expires),
            (NOW, NOW.plus(Duration::from_secs(3600)))
        );
        assert_eq!(grant.certificate_principal(), "acme-production");
        let dated = FILE.replace(
            "valid_seconds = 3600",
            "not_before = \"2026-01-01T00:00:00Z\"\nexpires = \"2026-01-01T01:00:00Z\"",
        );
        let grant = parse(Path::new("g.toml"), &dated, NOW).unwrap();
        assert_eq!(
            grant.expires.since(grant.not_before),
            Duration::from_secs(3600)
        );
    }

    #[test]
    fn an_emergency_is_short() {
        let emergency = FILE.replace("just_in_time", "break_glass");
        let seconds = |seconds: &str| emergency.replace("= 3600", &format!("= {seconds}"));
        let grant = parse(Path::new("g.toml"), &seconds("28800"), NOW).unwrap();
        assert!(grant.awaits_review());
        let error = parse(Path::new("g.toml"), &seconds("28801"), NOW).unwrap_err();
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
            let error = parse(Path::new("g.toml"), &FILE.replace(from, to), NOW)
                .unwrap_err()
                .to_string();
            assert!(error.contains(told) && error.contains("g.toml"), "{error}");
        }
    }
}
