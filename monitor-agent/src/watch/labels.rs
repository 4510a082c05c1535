//! The numbers in records, and what they mean.
//!
//! A number keeps its meaning for ever: records that were made before a
//! restart, under another configuration, still say what was opened. Kept in
//! `state.db`. Bound: [`LABELS_MAX`].

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use monitor_model::{grant::Tier, id::TenantId};
use rusqlite::{Connection, Row, params};

use crate::kernel::Operations;

/// Most labels ever given.
pub const LABELS_MAX: usize = 65_536;

/// What a watched file is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label {
    /// Its class: `kubeconfig`, `ssh-key`...
    pub class: String,
    /// Whose it is; none is the provider's.
    pub tenant: Option<TenantId>,
    /// The tier it needs; none means any.
    pub tier: Option<Tier>,
    /// The technique of ATT&CK that its use may be: `T1552.004`.
    pub technique: Option<String>,
    /// What is told of it.
    pub operations: Operations,
    /// The item of the catalogue; none for a rule of the configuration.
    pub item: Option<String>,
    /// The rule that names programs which alone hand it out; none where it is
    /// used as it lies there.
    pub injection: Option<String>,
}

impl Label {
    /// A class and nothing more: the provider's, any tier, everything told.
    #[must_use]
    pub fn of_class(class: impl Into<String>) -> Self {
        Self {
            class: class.into(),
            tenant: None,
            tier: None,
            technique: None,
            operations: Operations::All,
            item: None,
            injection: None,
        }
    }

    /// Of a watch whose number means nothing any more.
    #[must_use]
    pub fn unknown() -> Self {
        Self::of_class("unknown")
    }
}

/// Labels cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum LabelError {
    /// The database.
    #[error("watches in state.db: {0}")]
    Database(#[from] rusqlite::Error),
    /// All numbers are taken.
    #[error(
        "{LABELS_MAX} different watch labels were given in this agent's life, which is the most"
    )]
    Full,
}

/// The labels, shared by the watcher and attribution.
#[derive(Clone, Debug)]
pub struct SharedLabels(Arc<Mutex<Labels>>);

#[derive(Debug)]
struct Labels {
    /// The place is the number less one.
    given: Vec<Label>,
    database: Connection,
}

impl SharedLabels {
    /// Reads what was given before.
    ///
    /// # Errors
    /// [`LabelError`].
    pub fn open(path: &Path) -> Result<Self, LabelError> {
        let database = Connection::open(path)?;
        database.busy_timeout(std::time::Duration::from_secs(5))?;
        database.execute_batch(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;
             CREATE TABLE IF NOT EXISTS labels (
                 id INTEGER PRIMARY KEY, class TEXT NOT NULL, tenant TEXT, tier TEXT,
                 technique TEXT, operations TEXT NOT NULL DEFAULT 'all', item TEXT,
                 injection TEXT) STRICT;",
        )?;
        widen(&database)?;
        let given = {
            let mut rows = database.prepare(
                "SELECT class, tenant, tier, technique, operations, item, injection
                 FROM labels ORDER BY id",
            )?;
            let labels = rows.query_map([], label)?;
            labels.collect::<Result<Vec<_>, _>>()?
        };
        Ok(Self(Arc::new(Mutex::new(Labels { given, database }))))
    }

    fn lock(&self) -> MutexGuard<'_, Labels> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a number means.
    #[must_use]
    pub fn get(&self, id: u32) -> Option<Label> {
        let at = usize::try_from(id).ok()?.checked_sub(1)?;
        self.lock().given.get(at).cloned()
    }

    /// The number of a label; a new one is on disk before it is given out.
    ///
    /// # Errors
    /// [`LabelError`].
    pub fn id(&self, label: &Label) -> Result<u32, LabelError> {
        let mut labels = self.lock();
        let known = labels.given.iter().position(|given| given == label);
        let place = known.unwrap_or(labels.given.len());
        if place >= LABELS_MAX {
            return Err(LabelError::Full);
        }
        let id = u32::try_from(place + 1).map_err(|_| LabelError::Full)?;
        if known.is_none() {
            let tenant = label.tenant.as_ref().map(TenantId::as_str);
            let tier = label.tier.map(Tier::as_str);
            labels.database.execute(
                "INSERT INTO labels (id, class, tenant, tier, technique, operations, item, injection)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                params![
                    id,
                    label.class,
                    tenant,
                    tier,
                    label.technique,
                    name(label.operations),
                    label.item,
                    label.injection
                ],
            )?;
            labels.given.push(label.clone());
        }
        Ok(id)
    }
}

/// Adds the columns that tables of earlier versions have not: their rows mean
/// what they meant.
fn widen(database: &Connection) -> Result<(), rusqlite::Error> {
    let has = |column: &str| {
        database.query_row(
            "SELECT count(*) FROM pragma_table_info('labels') WHERE name = ?1",
            [column],
            |row| row.get::<_, bool>(0),
        )
    };
    if !has("operations")? {
        database.execute_batch(
            "BEGIN IMMEDIATE;
             ALTER TABLE labels ADD COLUMN technique TEXT;
             ALTER TABLE labels ADD COLUMN operations TEXT NOT NULL DEFAULT 'all';
             ALTER TABLE labels ADD COLUMN item TEXT;
             COMMIT;",
        )?;
    }
    if !has("injection")? {
        database.execute_batch("ALTER TABLE labels ADD COLUMN injection TEXT")?;
    }
    Ok(())
}

fn label(row: &Row<'_>) -> Result<Label, rusqlite::Error> {
    let (tenant, tier): (Option<String>, Option<String>) = (row.get(1)?, row.get(2)?);
    let operations: String = row.get(4)?;
    Ok(Label {
        class: row.get(0)?,
        tenant: tenant.and_then(|text| text.parse().ok()),
        tier: tier.and_then(|text| text.parse().ok()),
        technique: row.get(3)?,
        operations: if operations == name(Operations::Changes) {
            Operations::Changes
        } else {
            Operations::All
        },
        item: row.get(5)?,
        injection: row.get(6)?,
    })
}

const fn name(operations: Operations) -> &'static str {
    match operations {
        Operations::All => "all",
        Operations::Changes => "changes",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_meaning_over_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        let label = |class: &str| Label {
            tenant: Some("acme".parse().unwrap()),
            tier: Some(Tier::Production),
            technique: Some("T1552.001".into()),
            operations: Operations::Changes,
            item: Some("aws".into()),
            injection: Some("/srv/*".into()),
            ..Label::of_class(class)
        };
        let labels = SharedLabels::open(&path).unwrap();
        assert_eq!(labels.id(&label("a")).unwrap(), 1);
        assert_eq!(labels.id(&label("b")).unwrap(), 2);
        drop(labels);
        let labels = SharedLabels::open(&path).unwrap();
        assert_eq!(labels.id(&label("b")).unwrap(), 2);
        assert_eq!(labels.id(&Label::unknown()).unwrap(), 3);
        assert_eq!(labels.get(1), Some(label("a")));
        assert_eq!((labels.get(0), labels.get(4)), (None, None));
    }

    #[test]
    fn numbers_of_an_earlier_version_mean_what_they_meant() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        let earlier = Connection::open(&path).unwrap();
        earlier
            .execute_batch(
                "CREATE TABLE labels (id INTEGER PRIMARY KEY, class TEXT NOT NULL, tenant TEXT, tier TEXT) STRICT;
                 INSERT INTO labels VALUES (1, 'kubeconfig', 'acme', 'production'), (2, 'key', NULL, NULL);",
            )
            .unwrap();
        drop(earlier);
        for _ in 0..2 {
            let labels = SharedLabels::open(&path).unwrap();
            let first = labels.get(1).unwrap();
            assert_eq!(
                (first.class.as_str(), first.tier),
                ("kubeconfig", Some(Tier::Production))
            );
            assert_eq!((first.technique, first.operations), (None, Operations::All));
            assert_eq!(labels.id(&Label::of_class("key")).unwrap(), 2);
            let new = Label {
                technique: Some("T1552.004".into()),
                ..Label::of_class("key")
            };
            assert_eq!(labels.id(&new).unwrap(), 3);
        }
    }
}
