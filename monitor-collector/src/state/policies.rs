//! Every policy that was judged under, and every form that a grant ever had:
//! what a judgement was made from stays known as long as the judgement does.
//!
//! Bound: [`POLICIES_MAX`] versions; a grant has at most three forms (put,
//! ended, reviewed).

use monitor_model::{
    clock::UnixNs,
    grant::Grant,
    id::GrantId,
    policy::{Policy, Terms},
};
use monitor_proto::v1;
use prost::Message as _;
use rusqlite::{OptionalExtension as _, params};
use sha2::{Digest as _, Sha256};

use super::{
    State, StateError,
    cover::Name,
    file::Found,
    load::decoded,
    read::StateReader,
    table::{self, Table},
};
use crate::{
    hex,
    ledger::{integer, number},
};

/// Most versions of the policy: ten changes a day for some years.
pub const POLICIES_MAX: u64 = 10_000;
/// Digits of a digest in a version's name.
const DIGEST_DIGITS: usize = 16;

pub(super) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS policy (
    number INTEGER PRIMARY KEY, digest TEXT NOT NULL, since INTEGER NOT NULL, message BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS grant_form (
    id TEXT NOT NULL, after INTEGER NOT NULL, message BLOB NOT NULL, PRIMARY KEY (id, after)
) WITHOUT ROWID;
INSERT INTO grant_form SELECT id, 0, message FROM granted
    WHERE id NOT IN (SELECT id FROM grant_form);
";

/// A form of a grant, and the place among events after which it held.
pub type Form = (UnixNs, Grant);

impl State {
    /// Makes these terms the policy in force from now on. Terms that are those
    /// in force already keep their number; any others get the next. When host
    /// names were resolved makes no difference, what they stood for does.
    ///
    /// # Errors
    /// [`StateError::PoliciesFull`]; [`StateError::Row`] when the terms make no
    /// policy; [`StateError::Sqlite`].
    pub fn put_policy(&mut self, terms: Terms, now: UnixNs) -> Result<Policy, StateError> {
        let message = v1::Policy::from(&terms).encode_to_vec();
        let timeless = v1::Policy::from(&terms.timeless()).encode_to_vec();
        let digest: String = hex::text(&Sha256::digest(&timeless))
            .chars()
            .take(DIGEST_DIGITS)
            .collect();
        let newest = self
            .connection
            .query_row(
                "SELECT number, digest FROM policy ORDER BY number DESC LIMIT 1",
                [],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional();
        let newest: Option<(i64, String)> = newest.map_err(|source| self.sqlite(source))?;
        let (last, is_same) = match newest {
            Some((last, in_force)) => {
                let in_force = self.named(Name::Digest, "policy", &in_force)?;
                (number(last), in_force == digest)
            }
            None => (0, false),
        };
        let version = if is_same { last } else { last + 1 };
        if version > POLICIES_MAX {
            return Err(StateError::PoliciesFull {
                path: self.path.clone(),
            });
        }
        let policy = made(self, terms, format!("{version}-{digest}"))?;
        if !is_same {
            let row = vec![
                integer(version).into(),
                digest.into(),
                integer(now.0).into(),
                message.into(),
            ];
            self.put_by(&POLICY, &POLICY.insert("INSERT"), row)?;
        }
        Ok(policy)
    }

    /// Puts what a grant became after a place among events.
    pub(super) fn put_form(
        &mut self,
        id: &GrantId,
        after: UnixNs,
        message: &[u8],
    ) -> Result<(), StateError> {
        let row = vec![
            id.to_string().into(),
            integer(after.0).into(),
            message.to_vec().into(),
        ];
        self.put(&GRANT_FORM, row)
    }
}

fn made(state: &State, terms: Terms, version: String) -> Result<Policy, StateError> {
    Policy::new(terms, version.clone()).map_err(|error| StateError::Row {
        path: state.path.clone(),
        what: "policy",
        name: version,
        cause: error.to_string(),
    })
}

impl StateReader {
    /// The policy of a version, by the name that judgements give it; none where
    /// this collector never had it.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn policy(&self, version: &str) -> Result<Option<Policy>, StateError> {
        let Some((number, digest)) = version.split_once('-') else {
            return Ok(None);
        };
        let sql = "SELECT number, digest, message FROM policy
             WHERE CAST(number AS TEXT) = ?1 AND digest = ?2";
        let file = self.file();
        let digest = file.name(Name::Digest, digest)?;
        let rows = file.messages(&POLICY, sql, params![number, digest])?;
        let Some(row) = rows.into_iter().next() else {
            return Ok(None);
        };
        let name = version.to_owned();
        let terms: Terms = decoded::<v1::Policy, _>(self.path(), "policy", &name, &row.message)?;
        let wrong = |error: monitor_model::policy::InvalidPolicy| StateError::Row {
            path: self.path().into(),
            what: "policy",
            name: name.clone(),
            cause: error.to_string(),
        };
        Policy::new(terms, name.clone()).map(Some).map_err(wrong)
    }

    /// Every form of a grant, oldest first.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn forms(&self, id: &GrantId) -> Result<Vec<Form>, StateError> {
        let file = self.file();
        let sql = "SELECT id, after, message FROM grant_form WHERE id = ?1 ORDER BY after";
        let name = file.name(Name::Grant, id.as_str())?;
        let rows = file.messages(&GRANT_FORM, sql, params![name])?;
        let form = |row: &Found| {
            let message = &row.message;
            let grant = decoded::<v1::Grant, _>(self.path(), "grant", id.as_str(), message)?;
            Ok((UnixNs(row.number(1)), grant))
        };
        rows.iter().map(form).collect()
    }
}

pub(super) const POLICY: Table = Table {
    name: "policy",
    columns: &[
        ("number", table::Form::Key),
        ("digest", table::Form::KeyName(Name::Digest)),
        ("since", table::Form::Plain),
        ("message", table::Form::Blob),
    ],
};
pub(super) const GRANT_FORM: Table = Table {
    name: "grant_form",
    columns: &[
        ("id", table::Form::KeyName(Name::Grant)),
        ("after", table::Form::Key),
        ("message", table::Form::Blob),
    ],
};

#[cfg(test)]
mod tests {
    use monitor_model::{
        policy::Admission,
        tenant::{NamedHost, Tenant, Zone},
    };

    use super::*;

    #[test]
    fn a_version_is_a_number_and_a_digest_and_is_found_again_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let mut state = State::open(folder.path()).unwrap();
        let open = || Terms {
            unknown: Admission::Everybody,
            ..Terms::default()
        };
        let version = |state: &mut State, terms| {
            let policy = state.put_policy(terms, UnixNs(1)).unwrap();
            policy.version().to_owned()
        };
        let first = version(&mut state, Terms::default());
        assert_eq!(version(&mut state, Terms::default()), first);
        let second = version(&mut state, open());
        state.commit().unwrap();
        drop(state);
        let mut state = State::open(folder.path()).unwrap();
        assert_eq!(version(&mut state, open()), second);
        let third = version(&mut state, Terms::default());
        state.commit().unwrap();
        assert!(first.starts_with("1-") && second.starts_with("2-"));
        assert_eq!(first.split_once('-').unwrap().1.len(), DIGEST_DIGITS);
        assert_eq!(third.strip_prefix('3'), first.strip_prefix('1'));
        let reader = StateReader::open(folder.path()).unwrap();
        let policy = reader.policy(&second).unwrap().unwrap();
        assert_eq!(
            (policy.terms(), policy.version()),
            (open(), second.as_str())
        );
        assert!(reader.policy("2-0").unwrap().is_none());
    }

    #[test]
    fn a_version_changes_with_what_a_name_stands_for_and_not_with_when_it_was_asked() {
        let folder = tempfile::tempdir().unwrap();
        let mut state = State::open(folder.path()).unwrap();
        let with = |last: u8, at: u64| Terms {
            tenants: vec![Tenant {
                id: "acme".parse().unwrap(),
                zones: vec![Zone {
                    hosts: vec![NamedHost {
                        name: "db".into(),
                        addresses: vec![[192, 0, 2, last].into()],
                        resolved_at: UnixNs(at),
                    }],
                    ..Zone::default()
                }],
            }],
            ..Terms::default()
        };
        let mut version = |terms| {
            let policy = state.put_policy(terms, UnixNs(1)).unwrap();
            policy.version().to_owned()
        };
        let first = version(with(7, 1));
        assert_eq!(version(with(7, 2)), first);
        let moved = version(with(8, 3));
        assert_ne!(moved, first);
        state.commit().unwrap();
        let reader = StateReader::open(folder.path()).unwrap();
        for (name, terms) in [(first, with(7, 1)), (moved, with(8, 3))] {
            assert_eq!(reader.policy(&name).unwrap().unwrap().terms(), terms);
        }
    }

    #[test]
    fn a_full_table_of_policies_refuses_another_and_serves_the_last() {
        let folder = tempfile::tempdir().unwrap();
        let mut state = State::open(folder.path()).unwrap();
        let last = || Terms::default();
        state.put_policy(last(), UnixNs(1)).unwrap();
        let number = integer(POLICIES_MAX);
        state
            .change("UPDATE policy SET number = ?1", &[&number])
            .unwrap();
        assert!(state.put_policy(last(), UnixNs(1)).is_ok());
        let other = Terms {
            unknown: Admission::Everybody,
            ..last()
        };
        let error = state.put_policy(other, UnixNs(1)).unwrap_err();
        assert!(error.to_string().contains("10000"), "{error}");
    }
}
