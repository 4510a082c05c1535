//! Grants and an access in, a verdict out. Pure.

use crate::{
    bytes::PathLabel,
    clock::UnixNs,
    event::Destination,
    grant::{Grant, Life, Tier},
    id::{GrantId, TenantId},
    verdict::{Considered, OutReason, Verdict},
};

/// What an access touches.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// A program that is started: judged against the session's own tenant.
    Program(&'a PathLabel),
    /// A network destination of the tenant.
    Destination(&'a Destination),
    /// A credential file of the tenant.
    Credential(&'a PathLabel),
    /// Something that any live grant opens, whatever it lists.
    Shared,
}

/// One access that belongs to somebody, its owner known.
#[derive(Clone, Copy, Debug)]
pub struct Access<'a> {
    /// Who owns the target; none for a program, which belongs to no tenant, and
    /// for what any live grant opens.
    pub tenant: Option<&'a TenantId>,
    /// The tier that the target needs; none means any.
    pub tier: Option<Tier>,
    /// The target.
    pub target: Target<'a>,
}

/// Grants that can be found by name.
pub trait Grants {
    /// The grant of that name, ended ones included.
    fn find(&self, id: &GrantId) -> Option<&Grant>;
}

impl Grants for [Grant] {
    fn find(&self, id: &GrantId) -> Option<&Grant> {
        self.iter().find(|grant| grant.id == *id)
    }
}

impl<S: std::hash::BuildHasher> Grants for std::collections::HashMap<GrantId, Grant, S> {
    fn find(&self, id: &GrantId) -> Option<&Grant> {
        self.get(id)
    }
}

/// Judges one access of a session that stands on the named grants, at an instant.
///
/// In scope if one live grant covers it: the first in the session's order.
/// Otherwise the reason is that of the grant that came nearest, by the order
/// of [`OutReason`]; the earlier grant of the session wins a tie. The grants
/// looked at come back with what spoke against each.
#[must_use]
pub fn evaluate(
    grants: &(impl Grants + ?Sized),
    session: &[GrantId],
    access: &Access<'_>,
    at: UnixNs,
) -> (Verdict, Vec<Considered>) {
    let mut considered = Vec::with_capacity(session.len());
    let mut nearest: Option<(OutReason, &GrantId)> = None;
    for id in session {
        let against = match grants.find(id) {
            Some(grant) => objection(grant, access, at),
            None => Some(OutReason::NoGrant),
        };
        considered.push(Considered {
            grant: id.clone(),
            against,
        });
        let Some(reason) = against else {
            return (Verdict::InScope { grant: id.clone() }, considered);
        };
        if nearest.is_none_or(|(best, _)| reason > best) {
            nearest = Some((reason, id));
        }
    }
    let verdict = match nearest {
        Some((reason, grant)) => Verdict::OutOfScope {
            reason,
            grant: Some(grant.clone()),
        },
        None => Verdict::OutOfScope {
            reason: OutReason::NoGrant,
            grant: None,
        },
    };
    (verdict, considered)
}

/// What speaks against one grant; none when it covers the access.
fn objection(grant: &Grant, access: &Access<'_>, at: UnixNs) -> Option<OutReason> {
    if access.tenant.is_some_and(|tenant| *tenant != grant.tenant) {
        let is_provider = access.tenant.is_some_and(TenantId::is_provider);
        return Some(if is_provider {
            OutReason::ProviderOwned
        } else {
            OutReason::WrongTenant
        });
    }
    match grant.life(at) {
        Life::Alive => {}
        Life::NotStarted => return Some(OutReason::NotStarted),
        Life::Expired => return Some(OutReason::Expired),
        Life::Ended => return Some(OutReason::Revoked),
    }
    if access.tier.is_some_and(|tier| tier != grant.tier) {
        return Some(OutReason::WrongTier);
    }
    let scope = &grant.scope;
    let listed = match access.target {
        Target::Shared => true,
        Target::Program(path) => scope.programs.is_empty() || scope.programs.matches(path),
        Target::Credential(path) => scope.credentials.is_empty() || scope.credentials.matches(path),
        Target::Destination(to) => {
            scope.destinations.is_empty()
                || scope
                    .destinations
                    .iter()
                    .any(|rule| rule.contains(to.address, to.port))
        }
    };
    (!listed).then_some(OutReason::NotGranted)
}

#[cfg(test)]
mod tests;
