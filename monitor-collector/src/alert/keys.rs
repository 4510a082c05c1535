//! Whose credentials a key was seen in: one that serves two clients stands out.
//!
//! In: uses of watched files that hold a key, by its fingerprint. Bound:
//! [`KEYS_MAX`] keys, of each [`TENANTS_MAX`] tenants; the key that was used
//! longest ago is forgotten, which can tell of it once more.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt::Write as _,
};

use monitor_model::{clock::UnixNs, id::TenantId};

use super::{
    hosts::Found,
    kept::{Kept, KeptKind},
    sign::Sign,
};

/// Most keys that are remembered.
pub const KEYS_MAX: usize = 100_000;
/// Most tenants that are told apart for one key.
pub const TENANTS_MAX: usize = 64;

/// Keys, and whose each was seen to be, when first.
#[derive(Debug, Default)]
pub(super) struct Keys {
    table: HashMap<String, Known>,
    changed: HashSet<String>,
}

#[derive(Debug, Default)]
struct Known {
    used: UnixNs,
    tenants: BTreeMap<TenantId, UnixNs>,
}

impl Keys {
    /// Notes that a credential of a tenant holds a key; a sign when the key was
    /// seen in another's before, and never in this one's.
    pub(super) fn seen(&mut self, key: &str, tenant: &TenantId, at: UnixNs) -> Option<Found> {
        if self.table.len() >= KEYS_MAX && !self.table.contains_key(key) {
            let longest = self.table.iter().min_by_key(|(_, known)| known.used);
            if let Some(longest) = longest.map(|(key, _)| key.clone()) {
                self.table.remove(&longest);
                self.changed.insert(longest);
            }
        }
        let known = self.table.entry(key.to_owned()).or_default();
        known.used = known.used.max(at);
        if known.tenants.contains_key(tenant) || known.tenants.len() >= TENANTS_MAX {
            return None;
        }
        let others: Vec<TenantId> = known.tenants.keys().cloned().collect();
        known.tenants.insert(tenant.clone(), at);
        self.changed.insert(key.to_owned());
        (!others.is_empty()).then(|| Found {
            sign: Sign::SharedKey,
            words: format!("its key {key} is another client's as well"),
            others,
        })
    }

    /// What changed since the last time.
    pub(super) fn take_changes(&mut self) -> impl Iterator<Item = Kept> {
        let changed: Vec<String> = self.changed.drain().collect();
        changed.into_iter().map(|key| Kept {
            kind: KeptKind::Key,
            text: self.table.get(&key).map(text),
            name: key,
        })
    }

    /// Takes back what was kept; what makes no sense is left.
    pub(super) fn restore(&mut self, key: &str, kept: &str) {
        let row = |line: &str| {
            let (tenant, at) = line.split_once(' ')?;
            Some((tenant.parse().ok()?, UnixNs(at.parse().ok()?)))
        };
        let tenants: Option<BTreeMap<TenantId, UnixNs>> = kept.lines().map(row).collect();
        if let Some(tenants) = tenants {
            let used = tenants.values().max().copied().unwrap_or_default();
            self.table.insert(key.to_owned(), Known { used, tenants });
        }
    }
}

/// A line a tenant: its name, and when the key was first seen in it.
fn text(known: &Known) -> String {
    let mut text = String::new();
    for (tenant, at) in &known.tenants {
        _ = writeln!(text, "{tenant} {}", at.0);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> TenantId {
        name.parse().unwrap()
    }

    #[test]
    fn a_key_is_told_once_for_each_further_client() {
        let mut keys = Keys::default();
        let mut seen = |name: &str, at| keys.seen("SHA256:a", &tenant(name), UnixNs(at));
        assert_eq!(seen("acme", 1), None);
        assert_eq!(seen("acme", 2), None);
        let found = seen("globex", 3).unwrap();
        assert_eq!(found.others, [tenant("acme")]);
        assert!(!found.words.contains("acme"), "{}", found.words);
        assert_eq!((seen("globex", 4), seen("acme", 5)), (None, None));
        assert_eq!(seen("initech", 6).unwrap().others.len(), 2);
        assert_eq!(keys.seen("SHA256:b", &tenant("globex"), UnixNs(7)), None);
    }

    #[test]
    fn what_is_kept_goes_on_after_a_restart() {
        let mut keys = Keys::default();
        keys.seen("SHA256:a", &tenant("acme"), UnixNs(1));
        let rows: Vec<Kept> = keys.take_changes().collect();
        assert_eq!(keys.take_changes().count(), 0);
        let mut again = Keys::default();
        for row in &rows {
            again.restore(&row.name, row.text.as_deref().unwrap());
        }
        again.restore("SHA256:b", "nonsense");
        assert!(
            again
                .seen("SHA256:a", &tenant("globex"), UnixNs(2))
                .is_some()
        );
        assert_eq!(again.seen("SHA256:b", &tenant("globex"), UnixNs(2)), None);
    }

    #[test]
    fn the_key_that_was_used_longest_ago_makes_room() {
        let mut keys = Keys::default();
        for number in 0..KEYS_MAX {
            let at = UnixNs(u64::try_from(number).unwrap() + 1);
            keys.seen(&number.to_string(), &tenant("acme"), at);
        }
        keys.seen("0", &tenant("acme"), UnixNs(u64::MAX));
        keys.seen("new", &tenant("acme"), UnixNs(u64::MAX));
        assert_eq!(keys.table.len(), KEYS_MAX);
        assert!(keys.table.contains_key("0") && !keys.table.contains_key("1"));
    }
}
