//! What of each grant was used. Pure.
//!
//! In: judged events in stored order. Out: what changed, for the state.
//! Bound: [`USES_MAX`] entries of scopes that were touched; an access of one
//! beyond is counted as such and told, so that nothing passes for unused that
//! may have been used.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use monitor_model::{
    clock::UnixNs,
    evaluate::Target,
    grant::Grant,
    id::{GrantId, TenantId},
    judge::target_of,
    tenant::Owner,
    usage::Entry as ScopeEntry,
    verdict::Verdict,
};

use crate::ledger::Judged;

/// Most entries of scopes whose use is counted, over all grants.
pub const USES_MAX: usize = 1_000_000;

/// How much something was used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Use {
    /// How many accesses it covered.
    pub accesses: u64,
    /// When the last of them happened; 0 for none.
    pub last: UnixNs,
}

/// What is counted: an entry of a grant's scope, or the whole grant.
pub type Counted = (GrantId, Option<ScopeEntry>);

/// Counts the use of grants.
#[derive(Debug)]
pub struct Uses {
    by_grant: HashMap<GrantId, BTreeMap<Option<ScopeEntry>, Use>>,
    counted: usize,
    uncounted: u64,
    changed: BTreeSet<Counted>,
    max: usize,
}

impl Uses {
    /// Goes on from what was counted, with room for so many entries.
    #[must_use]
    pub fn restored(known: Vec<(Counted, Use)>, uncounted: u64, max: usize) -> Self {
        let counted = known.len();
        let mut by_grant: HashMap<GrantId, BTreeMap<_, Use>> = HashMap::new();
        for ((grant, entry), used) in known {
            by_grant.entry(grant).or_default().insert(entry, used);
        }
        Self {
            by_grant,
            counted,
            uncounted,
            changed: BTreeSet::new(),
            max,
        }
    }

    /// Counts one event, if a grant covered it.
    pub fn apply(&mut self, judged: &Judged, grants: &HashMap<GrantId, Grant>) {
        let Verdict::InScope { grant: id } = &judged.judgement.verdict else {
            return;
        };
        let (Some(grant), Some(target)) = (grants.get(id), target_of(&judged.event.action)) else {
            return;
        };
        let target = match &judged.judgement.owner {
            Owner::Tenant(owner) if is_foreign(owner, grant) => Target::Shared,
            Owner::Unknown => Target::Shared,
            Owner::Tenant(_) | Owner::Host | Owner::Ambiguous(_) => target,
        };
        let (acts, at) = (u64::from(judged.event.acts()), judged.event.at);
        self.count(id, None, (acts, at));
        for entry in grant.scope.touched(&target) {
            self.count(id, Some(entry), (acts, at));
        }
    }

    fn count(&mut self, grant: &GrantId, entry: Option<ScopeEntry>, (acts, at): (u64, UnixNs)) {
        let is_known = self
            .by_grant
            .get(grant)
            .is_some_and(|of| of.contains_key(&entry));
        if !is_known {
            if self.counted >= self.max {
                self.uncounted = self.uncounted.saturating_add(acts);
                return;
            }
            self.counted += 1;
        }
        let of = self.by_grant.entry(grant.clone()).or_default();
        let used = of.entry(entry).or_default();
        used.accesses = used.accesses.saturating_add(acts);
        used.last = used.last.max(at);
        self.changed.insert((grant.clone(), entry));
    }

    /// How much an entry of a grant was used, or the whole grant.
    #[must_use]
    pub fn of(&self, grant: &GrantId, entry: Option<ScopeEntry>) -> Use {
        let of = self.by_grant.get(grant);
        of.and_then(|of| of.get(&entry))
            .copied()
            .unwrap_or_default()
    }

    /// Accesses that found no room.
    #[must_use]
    pub const fn uncounted(&self) -> u64 {
        self.uncounted
    }

    /// What changed since this was last asked.
    pub fn take_changes(&mut self) -> Vec<(Counted, Use)> {
        let changed = std::mem::take(&mut self.changed).into_iter();
        changed
            .map(|(grant, entry)| {
                let used = self.of(&grant, entry);
                ((grant, entry), used)
            })
            .collect()
    }
}

/// Whether a target is another's than the grant's tenant: any live grant opened it.
fn is_foreign(owner: &TenantId, grant: &Grant) -> bool {
    *owner != grant.tenant
}

#[cfg(test)]
mod tests {
    use monitor_model::{
        event::{Action, Counted as Flood},
        id::Source,
        usage::Part,
    };

    use super::*;
    use crate::testing::{credential, event_id, grant, judged};

    fn access(sequence: u64, tenant: &str) -> Judged {
        let id = event_id("jump-1", Source::Agent, sequence);
        judged(credential(id, tenant, "/srv/acme/key"))
    }

    fn grants() -> HashMap<GrantId, Grant> {
        let grant = grant("01JG", "alice", "acme");
        [(grant.id.clone(), grant)].into()
    }

    const CREDENTIALS: Option<ScopeEntry> = Some(ScopeEntry {
        part: Part::Credentials,
        place: 0,
    });

    #[test]
    fn what_a_grant_covered_is_counted_and_nothing_else() {
        let id: GrantId = "01JG".parse().unwrap();
        let mut uses = Uses::restored(vec![], 0, USES_MAX);
        uses.apply(&access(1, "acme"), &grants());
        uses.apply(&access(2, "globex"), &grants());
        assert_eq!(uses.of(&id, CREDENTIALS).accesses, 1);
        assert_eq!(uses.of(&id, None).accesses, 1);
        let programs = Some(ScopeEntry {
            part: Part::Programs,
            place: 0,
        });
        assert_eq!(uses.of(&id, programs), Use::default());
        let mut many = access(3, "acme");
        if let Action::Credential { counted, .. } = &mut many.event.action {
            let first_at = many.event.at;
            *counted = Some(Flood { acts: 40, first_at });
        }
        uses.apply(&many, &grants());
        assert_eq!(uses.of(&id, None).accesses, 41, "each act is an access");
        let changes = uses.take_changes();
        assert_eq!(changes.len(), 2);
        assert!(uses.take_changes().is_empty());
        let again = Uses::restored(changes, 0, USES_MAX);
        assert_eq!(again.of(&id, CREDENTIALS), uses.of(&id, CREDENTIALS));
    }

    #[test]
    fn what_finds_no_room_is_told_and_what_is_known_is_counted_on() {
        let id: GrantId = "01JG".parse().unwrap();
        let mut uses = Uses::restored(vec![], 0, 1);
        uses.apply(&access(1, "acme"), &grants());
        uses.apply(&access(2, "acme"), &grants());
        assert_eq!(uses.of(&id, None).accesses, 2);
        assert_eq!(
            (uses.of(&id, CREDENTIALS).accesses, uses.uncounted()),
            (0, 2)
        );
    }
}
