//! When each grant was used last, so that the use of a dormant one stands out.
//!
//! Bound: [`GRANTS_MAX`] grants; the one unused for
//! longest is forgotten, and its next use counts from its beginning.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use monitor_model::{clock::UnixNs, id::GrantId};

use super::{
    hosts::Found,
    kept::{Kept, KeptKind},
    sign::Sign,
};
use crate::core::grants::GRANTS_MAX;

/// Uses of grants.
#[derive(Debug, Default)]
pub(super) struct Uses {
    table: HashMap<GrantId, UnixNs>,
    changed: HashSet<GrantId>,
}

impl Uses {
    /// Notes that a grant covered an event; a sign when it lay unused this long.
    /// Before its first use it lies unused from its beginning on; one that
    /// holds since ever has none.
    pub(super) fn used(
        &mut self,
        (grant, from): (&GrantId, Option<UnixNs>),
        at: UnixNs,
        dormant: Duration,
    ) -> Option<Found> {
        if self.table.len() >= GRANTS_MAX && !self.table.contains_key(grant) {
            let longest = self.table.iter().min_by_key(|(_, at)| **at);
            if let Some(longest) = longest.map(|(id, _)| id.clone()) {
                self.table.remove(&longest);
                self.changed.insert(longest);
            }
        }
        let before = self.table.get(grant).copied();
        if before.is_none_or(|before| before < at) {
            self.table.insert(grant.clone(), at);
            self.changed.insert(grant.clone());
        }
        let since = before.or(from.filter(|from| from.0 > 0))?;
        let unused = at.since(since);
        (unused >= dormant).then(|| Found {
            sign: Sign::DormantGrant,
            words: format!(
                "grant {grant} lay unused for {} days",
                unused.as_secs() / 86_400
            ),
            others: Vec::new(),
        })
    }

    /// What changed since the last time.
    pub(super) fn take_changes(&mut self) -> impl Iterator<Item = Kept> {
        let changed: Vec<GrantId> = self.changed.drain().collect();
        changed.into_iter().map(|id| Kept {
            kind: KeptKind::Grant,
            text: self.table.get(&id).map(|at| at.0.to_string()),
            name: id.to_string(),
        })
    }

    /// Takes back what was kept; what makes no sense is left.
    pub(super) fn restore(&mut self, name: &str, kept: &str) {
        if let (Ok(name), Ok(at)) = (name.parse(), kept.parse()) {
            self.table.insert(name, UnixNs(at));
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }
}
