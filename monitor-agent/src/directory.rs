//! Who stands behind keys and accounts, and what runs without any login.
//!
//! A file of the administrator, checked once: engineers with the fingerprints of
//! their keys and the accounts that are theirs alone, and workloads by unit.
//! What is not in it is told as unknown. Bound: that of a configuration file.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use monitor_model::{clock::UnixNs, id::PrincipalId};
use monitor_transport::configuration::{ConfigError, Document};
use serde::Deserialize;
use toml::Spanned;

/// Work that runs without any login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Its identity.
    pub id: PrincipalId,
    /// Who answers for it.
    pub owner: PrincipalId,
    /// What it is for.
    pub purpose: String,
    /// After this it is unregistered again.
    pub expires_at: UnixNs,
}

/// The directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    keys: BTreeMap<String, PrincipalId>,
    accounts: BTreeMap<String, PrincipalId>,
    /// By unit.
    workloads: BTreeMap<String, Workload>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    engineer: Vec<RawEngineer>,
    #[serde(default)]
    workload: Vec<RawWorkload>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEngineer {
    id: Spanned<String>,
    #[serde(default)]
    keys: Vec<Spanned<String>>,
    #[serde(default)]
    accounts: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWorkload {
    id: Spanned<String>,
    unit: Spanned<String>,
    owner: Spanned<String>,
    purpose: Spanned<String>,
    expires: Spanned<toml::value::Datetime>,
}

impl Directory {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`ConfigError`]: with the line, the key, and what would be right.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::parse(&Document::read(path)?, path)
    }

    /// Checks the text of a file.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let document = Document::new(path, text);
        let raw: Raw = document.parse()?;
        let mut directory = Self::default();
        for engineer in &raw.engineer {
            directory.engineer(engineer, &document)?;
        }
        for workload in &raw.workload {
            directory.workload_entry(workload, &document)?;
        }
        Ok(directory)
    }

    fn engineer(&mut self, raw: &RawEngineer, document: &Document<'_>) -> Result<(), ConfigError> {
        let id = principal("engineer.id", &raw.id, document)?;
        for key in &raw.keys {
            if !key.get_ref().starts_with("SHA256:") {
                let wanted = "a fingerprint as `ssh-keygen -lf KEY.pub` prints it: SHA256:...";
                return Err(document.wrong("engineer.keys", key, wanted.to_owned()));
            }
            if self
                .keys
                .insert(key.get_ref().clone(), id.clone())
                .is_some()
            {
                let wanted = "a key of one engineer alone: it stands twice".to_owned();
                return Err(document.wrong("engineer.keys", key, wanted));
            }
        }
        for account in &raw.accounts {
            let name = account.get_ref().clone();
            if self.accounts.insert(name, id.clone()).is_some() {
                let wanted = "an account of one engineer alone: a shared one tells nobody's name";
                return Err(document.wrong("engineer.accounts", account, wanted.to_owned()));
            }
        }
        Ok(())
    }

    fn workload_entry(
        &mut self,
        raw: &RawWorkload,
        document: &Document<'_>,
    ) -> Result<(), ConfigError> {
        let expires_at = instant(raw.expires.get_ref()).ok_or_else(|| {
            let wanted = "an instant with its offset, such as 2027-01-31T00:00:00Z".to_owned();
            document.wrong("workload.expires", &raw.expires, wanted)
        })?;
        if raw.purpose.get_ref().trim().is_empty() {
            let wanted = "what it is for, in words".to_owned();
            return Err(document.wrong("workload.purpose", &raw.purpose, wanted));
        }
        let workload = Workload {
            id: principal("workload.id", &raw.id, document)?,
            owner: principal("workload.owner", &raw.owner, document)?,
            purpose: raw.purpose.get_ref().clone(),
            expires_at,
        };
        let unit = raw.unit.get_ref();
        let is_unit = [".service", ".scope"].iter().any(|end| unit.ends_with(end));
        if !is_unit {
            let wanted = "a unit by its whole name, such as restic.service".to_owned();
            return Err(document.wrong("workload.unit", &raw.unit, wanted));
        }
        if self.workloads.insert(unit.clone(), workload).is_some() {
            let wanted = "a unit of one workload alone: it stands twice".to_owned();
            return Err(document.wrong("workload.unit", &raw.unit, wanted));
        }
        Ok(())
    }

    /// Whose key it is, by its SHA-256 fingerprint.
    #[must_use]
    pub fn of_key(&self, fingerprint: &str) -> Option<&PrincipalId> {
        self.keys.get(fingerprint)
    }

    /// Whose account it is alone.
    #[must_use]
    pub fn of_account(&self, account: &str) -> Option<&PrincipalId> {
        self.accounts.get(account)
    }

    /// What runs as a unit; an expired registration counts for nothing.
    #[must_use]
    pub fn workload(&self, unit: &[u8], now: UnixNs) -> Option<&Workload> {
        let unit = std::str::from_utf8(unit).ok()?;
        self.workloads
            .get(unit)
            .filter(|workload| now < workload.expires_at)
    }

    /// Everybody that it names.
    #[must_use]
    pub fn principals(&self) -> BTreeSet<&PrincipalId> {
        let workloads = self.workloads.values().map(|workload| &workload.id);
        self.keys
            .values()
            .chain(self.accounts.values())
            .chain(workloads)
            .collect()
    }
}

fn principal(
    key: &'static str,
    text: &Spanned<String>,
    document: &Document<'_>,
) -> Result<PrincipalId, ConfigError> {
    PrincipalId::new(text.get_ref().as_str())
        .map_err(|error| document.wrong(key, text, error.to_string()))
}

/// An instant; a local time says none.
fn instant(date: &toml::value::Datetime) -> Option<UnixNs> {
    let text = date.offset.is_some().then(|| date.to_string())?;
    let instant: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(instant.as_nanosecond()).ok().map(UnixNs)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
[[engineer]]
id = "alice"
keys = ["SHA256:aaaa"]
accounts = ["alice"]
[[workload]]
id = "backup"
unit = "restic.service"
owner = "bob"
purpose = "nightly backup of acme"
expires = 2027-01-31T00:00:00Z
"#;

    fn parse(text: &str) -> Result<Directory, ConfigError> {
        Directory::parse(text, Path::new("/etc/monitor-agent/directory.toml"))
    }

    #[test]
    fn keys_accounts_and_units_lead_to_who_stands_behind_them() {
        let directory = parse(TEXT).unwrap();
        let alice: PrincipalId = "alice".parse().unwrap();
        assert_eq!(directory.of_key("SHA256:aaaa"), Some(&alice));
        assert_eq!(directory.of_key("SHA256:bbbb"), None);
        assert_eq!(directory.of_account("alice"), Some(&alice));
        assert_eq!(directory.of_account("root"), None);
        let workload =
            |seconds| directory.workload(b"restic.service", UnixNs::from_seconds(seconds));
        assert_eq!(workload(1_790_000_000).unwrap().owner.as_str(), "bob");
        assert_eq!(workload(1_900_000_000), None, "its registration is over");
        assert_eq!(directory.principals().len(), 2);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line_and_what_would_be_right() {
        for (from, to, wanted) in [
            ("SHA256:aaaa", "MD5:aa", "ssh-keygen"),
            ("restic.service", "restic", "whole name"),
            ("2027-01-31T00:00:00Z", "2027-01-31T00:00:00", "offset"),
            ("nightly backup of acme", " ", "in words"),
            ("\"alice\"\nkeys", "\"al ice\"\nkeys", "al ice"),
        ] {
            let error = parse(&TEXT.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
            assert!(error.contains("directory.toml"), "{error}");
        }
        let twice = format!("{TEXT}[[engineer]]\nid = \"carol\"\naccounts = [\"alice\"]\n");
        let error = parse(&twice).unwrap_err().to_string();
        assert!(error.contains("shared"), "{error}");
    }
}
