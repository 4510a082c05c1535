//! Grants and denials in force, kept for logins without a collector.
//!
//! In: whole tables from the collector. Out: answers for logins. In `state.db` as
//! the collector sent them: grants before they count, denials soon after, since
//! nobody who is to be kept out waits for a disk. Bound: what one
//! message can hold. Loss: a grant that makes no sense to this agent is
//! counted and opens nothing.

use std::{
    collections::{BTreeSet, HashMap},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use monitor_model::{
    grant::Grant,
    id::{GrantId, PrincipalId},
};
use monitor_proto::v1;
use prost::Message;
use rusqlite::{Connection, OptionalExtension as _, params};

/// Names of the tables in the database.
const GRANTS: &str = "grants";
const DENIED: &str = "denied";
const DENIED_HERE: &str = "denied_here";
const SCOPES: &str = "scopes";

/// The tables cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum StandingError {
    /// The database.
    #[error("grants and denials in state.db: {0}")]
    Database(#[from] rusqlite::Error),
    /// What was kept is damaged.
    #[error("the {table} kept in state.db cannot be read: {source}")]
    Damaged {
        /// Which table.
        table: &'static str,
        /// What is wrong.
        source: prost::DecodeError,
    },
}

/// What is in force.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    /// Grants that hold or will hold.
    pub grants: HashMap<GrantId, Grant>,
    /// Certificates that open no session.
    pub denied_serials: BTreeSet<u64>,
    /// Those of them that this agent denied by itself, since the collector's
    /// last table.
    denied_here: BTreeSet<u64>,
    /// Whether the disk does not have them yet.
    is_changed: bool,
    /// Principals that open no session.
    pub denied_principals: BTreeSet<PrincipalId>,
}

/// The tables with their place on disk.
#[derive(Clone, Debug)]
pub struct Standing {
    tables: Arc<Mutex<Tables>>,
    database: Arc<Mutex<Connection>>,
}

impl Standing {
    /// Reads what was in force when the agent last heard of it.
    ///
    /// # Errors
    /// [`StandingError`].
    pub fn open(path: &Path) -> Result<Self, StandingError> {
        let database = Connection::open(path)?;
        database.busy_timeout(Duration::from_secs(5))?;
        database.execute_batch(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;
             CREATE TABLE IF NOT EXISTS tables (name TEXT PRIMARY KEY, message BLOB NOT NULL) STRICT;",
        )?;
        let mut tables = Tables::default();
        if let Some(message) = kept::<v1::GrantTable>(&database, GRANTS)? {
            take_grants(&mut tables, message);
        }
        if let Some(message) = kept::<v1::DenyTable>(&database, DENIED)? {
            take_denied(&mut tables, &message);
        }
        if let Some(message) = kept::<v1::DenyTable>(&database, DENIED_HERE)? {
            tables.denied_here = message.serials.into_iter().collect();
        }
        Ok(Self {
            tables: Arc::new(Mutex::new(tables)),
            database: Arc::new(Mutex::new(database)),
        })
    }

    /// The tables; held for moments.
    pub fn lock(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the grants; how many made no sense.
    ///
    /// # Errors
    /// [`StandingError`]; the old ones are in force then.
    pub fn replace_grants(&self, message: v1::GrantTable) -> Result<usize, StandingError> {
        keep(&self.database(), GRANTS, &message)?;
        Ok(take_grants(&mut self.lock(), message))
    }

    /// What sessions may reach, as the collector said last; none before it did.
    ///
    /// # Errors
    /// [`StandingError`].
    pub fn scopes(&self) -> Result<Option<v1::ScopeTable>, StandingError> {
        kept::<v1::ScopeTable>(&self.database(), SCOPES)
    }

    /// Replaces what sessions may reach.
    ///
    /// # Errors
    /// [`StandingError`].
    pub fn replace_scopes(&self, message: &v1::ScopeTable) -> Result<(), StandingError> {
        keep(&self.database(), SCOPES, message)
    }

    /// Replaces the denials. They count at once; a restart knows of them after
    /// [`Self::keep_denials`].
    pub fn replace_denied(&self, message: &v1::DenyTable) {
        let mut tables = self.lock();
        take_denied(&mut tables, message);
        tables.is_changed = true;
    }

    /// Denies one more certificate, until the collector's next table says
    /// otherwise. It counts at once; a restart knows of it after
    /// [`Self::keep_denials`].
    pub fn deny_serial(&self, serial: u64) {
        let mut tables = self.lock();
        if tables.denied_serials.insert(serial) {
            tables.denied_here.insert(serial);
            tables.is_changed = true;
        }
    }

    /// Takes back what [`Self::deny_serial`] did. What the collector denies
    /// stays denied.
    pub fn allow_serial(&self, serial: u64) {
        let mut tables = self.lock();
        if tables.denied_here.remove(&serial) {
            tables.denied_serials.remove(&serial);
            tables.is_changed = true;
        }
    }

    /// Puts on disk what is denied, unless another caller has just done so: many
    /// at a time share one transaction.
    ///
    /// # Errors
    /// [`StandingError`]: a restart would not know of it.
    pub fn keep_denials(&self) -> Result<(), StandingError> {
        let mut database = self.database();
        let tables = {
            let mut tables = self.lock();
            if !std::mem::take(&mut tables.is_changed) {
                return Ok(());
            }
            tables.denials()
        };
        keep_denied(&mut database, &tables).inspect_err(|_| self.lock().is_changed = true)
    }

    fn database(&self) -> MutexGuard<'_, Connection> {
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tables {
    /// What is denied, as it is kept: by this agent alone, and all.
    fn denials(&self) -> [v1::DenyTable; 2] {
        let here = v1::DenyTable {
            serials: self.denied_here.iter().copied().collect(),
            principals: Vec::new(),
        };
        let all = v1::DenyTable {
            serials: self.denied_serials.iter().copied().collect(),
            principals: self
                .denied_principals
                .iter()
                .map(ToString::to_string)
                .collect(),
        };
        [here, all]
    }
}

fn keep_denied(
    database: &mut Connection,
    [here, all]: &[v1::DenyTable; 2],
) -> Result<(), StandingError> {
    let transaction = database.transaction()?;
    keep(&transaction, DENIED_HERE, here)?;
    keep(&transaction, DENIED, all)?;
    Ok(transaction.commit()?)
}

fn keep(database: &Connection, name: &str, message: &impl Message) -> Result<(), StandingError> {
    database.execute(
        "INSERT INTO tables (name, message) VALUES (?1, ?2)
         ON CONFLICT (name) DO UPDATE SET message = excluded.message",
        params![name, message.encode_to_vec()],
    )?;
    Ok(())
}

fn kept<M: Message + Default>(
    database: &Connection,
    table: &'static str,
) -> Result<Option<M>, StandingError> {
    let found: Option<Vec<u8>> = database
        .query_row(
            "SELECT message FROM tables WHERE name = ?1",
            [table],
            |row| row.get(0),
        )
        .optional()?;
    found
        .map(|bytes| M::decode(bytes.as_slice()))
        .transpose()
        .map_err(|source| StandingError::Damaged { table, source })
}

fn take_grants(tables: &mut Tables, message: v1::GrantTable) -> usize {
    let given = message.grants.len();
    tables.grants = message
        .grants
        .into_iter()
        .filter_map(|grant| Grant::try_from(grant).ok())
        .map(|grant| (grant.id.clone(), grant))
        .collect();
    given - tables.grants.len()
}

fn take_denied(tables: &mut Tables, message: &v1::DenyTable) {
    tables.denied_here.clear();
    tables.denied_serials = message.serials.iter().copied().collect();
    // A name that no certificate can carry denies nothing.
    tables.denied_principals = message
        .principals
        .iter()
        .filter_map(|name| name.parse().ok())
        .collect();
}

#[cfg(test)]
pub(crate) mod tests {
    use monitor_model::{
        clock::UnixNs,
        grant::{GrantKind, GrantState, Holder, Scope, Tier},
    };

    use super::*;

    pub(crate) fn grant(id: &str) -> Grant {
        Grant {
            id: id.parse().unwrap(),
            principal: "alice".parse().unwrap(),
            tenant: "acme".parse().unwrap(),
            ticket: "INC-4711".into(),
            purpose: "test".into(),
            approved_by: "bob".parse().unwrap(),
            tier: Tier::Production,
            kind: GrantKind::JustInTime,
            not_before: UnixNs::from_seconds(1_000),
            expires: UnixNs::from_seconds(4_000_000_000),
            scope: Scope::default(),
            state: GrantState::Standing,
            holder: Holder::Staff,
            task: String::new(),
            review: None,
        }
    }

    #[test]
    fn tables_are_known_again_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        let standing = Standing::open(&path).unwrap();
        let mut broken = v1::Grant::from(&grant("G2"));
        broken.tier = 99;
        let grants = vec![v1::Grant::from(&grant("G1")), broken];
        assert_eq!(
            standing.replace_grants(v1::GrantTable { grants }).unwrap(),
            1
        );
        let denied = v1::DenyTable {
            serials: vec![7],
            principals: vec!["mallory".into()],
        };
        standing.replace_denied(&denied);
        for serial in [7, 8, 9] {
            standing.deny_serial(serial);
        }
        standing.keep_denials().unwrap();
        drop(standing);
        let standing = Standing::open(&path).unwrap();
        // Of the collector's, its own, and nobody's.
        for serial in [7, 8, 10] {
            standing.allow_serial(serial);
        }
        standing.keep_denials().unwrap();
        let standing = Standing::open(&path).unwrap();
        let tables = standing.lock();
        assert_eq!(tables.grants.len(), 1);
        assert_eq!(tables.denied_serials, [7, 9].into());
        assert!(
            tables
                .denied_principals
                .contains(&"mallory".parse().unwrap())
        );
    }
}
