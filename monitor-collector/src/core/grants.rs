//! Permissions, as brokers and files give and end them and people review them, and what
//! of them was used.
//!
//! Bound: [`GRANTS_MAX`] grants; one beyond is refused.

use monitor_model::{
    evaluate::Grants as _,
    grant::{Grant, GrantKind, GrantState, Review},
    id::{GrantId, PrincipalId},
    usage::Entry as ScopeEntry,
};

use tracing::warn;

use super::{Core, CoreError, Refusal};
use crate::{state::same_permission, uses::Use};

/// Most grants that are known, ended ones included.
pub const GRANTS_MAX: usize = 100_000;

/// What of one grant was used.
#[derive(Clone, Debug)]
pub struct GrantUse {
    /// The grant.
    pub grant: GrantId,
    /// All of it.
    pub whole: Use,
    /// Every entry of its scope.
    pub entries: Vec<(ScopeEntry, Use)>,
}

impl Core {
    /// Takes a grant; says whether it is new.
    ///
    /// # Errors
    /// [`CoreError`]. A [`Refusal`] when it differs from one of that name.
    pub fn put_grant(&mut self, grant: Grant) -> Result<Result<bool, Refusal>, CoreError> {
        let known = self.world.grants.get(&grant.id);
        // Reviews are recorded here alone.
        let grant = Grant {
            review: known.and_then(|known| known.review.clone()),
            ..grant
        };
        if let Some(known) = known {
            if !same_permission(known, &grant) {
                return Ok(Err(Refusal::GrantDiffers { id: grant.id }));
            }
            let ends = known.state == GrantState::Standing && grant.state != GrantState::Standing;
            if !ends {
                return Ok(Ok(false));
            }
        } else if self.world.grants.len() >= GRANTS_MAX {
            return Ok(Err(Refusal::GrantsFull { max: GRANTS_MAX }));
        }
        self.change_grant(grant)?;
        Ok(Ok(true))
    }

    /// Ends a grant now; ending an ended one changes nothing.
    ///
    /// # Errors
    /// [`CoreError`]. A [`Refusal`] when nobody knows it.
    pub fn end_grant(
        &mut self,
        id: &GrantId,
        reason: &str,
    ) -> Result<Result<Grant, Refusal>, CoreError> {
        let Some(known) = self.world.grants.get(id) else {
            return Ok(Err(Refusal::Unknown {
                what: "grant",
                name: id.to_string(),
            }));
        };
        let mut grant = known.clone();
        if grant.state == GrantState::Standing {
            grant.state = GrantState::Ended {
                at: self.clock.now(),
                reason: reason.to_owned(),
            };
            self.change_grant(grant.clone())?;
        }
        Ok(Ok(grant))
    }

    /// Takes the grants of files: new ones are put, those whose file is gone end.
    ///
    /// # Errors
    /// [`CoreError`]; [`CoreError::Grant`] when one differs from a known grant of
    /// its name: then nothing of it holds, the state is not committed.
    pub(super) fn take_files(&mut self, grants: &[Grant]) -> Result<(), CoreError> {
        let mut gone = self.state.file_grants()?;
        for grant in grants {
            let known = self.world.grants.get(&grant.id);
            let (is_known, has_ended) = (
                known.is_some(),
                known.is_some_and(|known| known.state != GrantState::Standing),
            );
            self.put_grant(grant.clone())??;
            if has_ended {
                warn!(grant = %grant.id, "A grant in a file was ended, and stays so: give it a new id, or remove the file.");
            }
            if !gone.remove(&grant.id) && !is_known {
                self.state.put_file_grant(&grant.id)?;
            }
        }
        for id in gone {
            self.end_grant(&id, "its file is gone")??;
            self.state.remove_file_grant(&id)?;
        }
        Ok(())
    }

    pub(super) fn change_grant(&mut self, grant: Grant) -> Result<(), CoreError> {
        self.state.put_grant(&grant, self.stamp)?;
        self.world.grants.insert(grant.id.clone(), grant);
        self.tables.grants_version += 1;
        Ok(())
    }

    /// Records the review of a break-glass grant's use, once.
    ///
    /// # Errors
    /// [`CoreError`]. A [`Refusal`] when nobody knows the grant, it needs no
    /// review, has one, or the reviewer holds or approved it.
    pub fn review_grant(
        &mut self,
        id: &GrantId,
        by: PrincipalId,
        note: String,
    ) -> Result<Result<Grant, Refusal>, CoreError> {
        let Some(known) = self.world.grants.get(id) else {
            return Ok(Err(Refusal::Unknown {
                what: "grant",
                name: id.to_string(),
            }));
        };
        let refused = |why| Refusal::Review {
            id: id.clone(),
            why,
        };
        if known.kind != GrantKind::BreakGlass {
            return Ok(Err(refused("only break-glass grants are reviewed")));
        }
        if known.review.is_some() {
            return Ok(Err(refused("it has a review, which stays as it is")));
        }
        if by == known.principal || by == known.approved_by {
            return Ok(Err(refused(
                "neither its holder nor who approved it can review it",
            )));
        }
        let mut grant = known.clone();
        let at = self.clock.now();
        grant.review = Some(Review { by, at, note });
        self.change_grant(grant.clone())?;
        Ok(Ok(grant))
    }

    /// What of these grants was used, and how many accesses found no room to
    /// be counted. Grants that nobody knows are left out.
    #[must_use]
    pub fn grant_use(&self, ids: &[GrantId]) -> (Vec<GrantUse>, u64) {
        let uses = ids.iter().filter_map(|id| {
            let entries = self.world.grants.find(id)?.scope.entries().into_iter();
            let used = |entry| (entry, self.uses.of(id, Some(entry)));
            Some(GrantUse {
                grant: id.clone(),
                whole: self.uses.of(id, None),
                entries: entries.map(used).collect(),
            })
        });
        (uses.collect(), self.uses.uncounted())
    }
}
