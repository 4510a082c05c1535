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
use rusqlite::{Connection, params};

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
}

impl Label {
    /// Of a watch whose number means nothing any more.
    #[must_use]
    pub fn unknown() -> Self {
        Self {
            class: "unknown".to_owned(),
            tenant: None,
            tier: None,
        }
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
                 id INTEGER PRIMARY KEY, class TEXT NOT NULL, tenant TEXT, tier TEXT) STRICT;",
        )?;
        let given = {
            let mut rows =
                database.prepare("SELECT class, tenant, tier FROM labels ORDER BY id")?;
            let labels = rows.query_map([], |row| {
                let (tenant, tier): (Option<String>, Option<String>) = (row.get(1)?, row.get(2)?);
                Ok(Label {
                    class: row.get(0)?,
                    tenant: tenant.and_then(|text| text.parse().ok()),
                    tier: tier.and_then(|text| text.parse().ok()),
                })
            })?;
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
                "INSERT INTO labels (id, class, tenant, tier) VALUES (?1, ?2, ?3, ?4)",
                params![id, label.class, tenant, tier],
            )?;
            labels.given.push(label.clone());
        }
        Ok(id)
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
            class: class.into(),
            tenant: Some("acme".parse().unwrap()),
            tier: Some(Tier::Production),
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
}
