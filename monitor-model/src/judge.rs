//! An event and the world in, a judgement out. Pure.

use std::collections::HashMap;

use crate::{
    evaluate::{Access, Target, evaluate},
    event::{Action, Event, Expected, NoSession},
    grant::{Grant, Tier},
    id::{GrantId, TenantId},
    tenant::{Owner, Tenant, locate},
    verdict::{Considered, ExemptReason, Judgement, OutReason, Verdict},
};

/// What a judgement is made from, besides the event.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// Every tenant with its zones.
    pub tenants: Vec<Tenant>,
    /// Every grant that is known, ended ones included.
    pub grants: HashMap<GrantId, Grant>,
    /// Version of the above: a digest of zones, policy and inventory.
    pub version: String,
}

/// Judges one event as of the time it happened.
#[must_use]
pub fn judge(world: &World, event: &Event) -> Judgement {
    let (owner, tier) = owner_of(world, event);
    let ledger = ledger_of(world, event, &owner);
    let (verdict, considered) = match (target_of(&event.action), &owner) {
        (None, _) => exempt(ExemptReason::Lifecycle),
        (Some(Target::Credential(_)), _) if is_expected(&event.action) => {
            exempt(ExemptReason::ExpectedProgram)
        }
        (Some(Target::Destination(_)), Owner::Host) => exempt(ExemptReason::HostLocal),
        (Some(target), _) => verdict_of(world, event, &owner, (target, tier)),
    };
    Judgement {
        verdict,
        owner,
        ledger,
        considered,
        policy_version: world.version.clone(),
    }
}

/// Who owns what the event touches, and the tier it needs.
fn owner_of(world: &World, event: &Event) -> (Owner, Option<Tier>) {
    match &event.action {
        Action::Connect { destination, .. } => {
            let located = locate(&world.tenants, destination);
            (located.owner, located.tier)
        }
        // A person's own belongs to whichever tenant they work for.
        Action::Credential {
            tenant: None,
            tier,
            expected: Some(Expected::Person),
            ..
        } => (Owner::Host, *tier),
        Action::Credential { tenant, tier, .. } => (
            Owner::Tenant(tenant.clone().unwrap_or_else(TenantId::provider)),
            *tier,
        ),
        Action::Exec { .. }
        | Action::Fork { .. }
        | Action::Exit { .. }
        | Action::LocalConnect { .. }
        | Action::Socket { .. }
        | Action::Memory { .. }
        | Action::Identity { .. }
        | Action::Signal { .. }
        | Action::Host { .. }
        | Action::SessionOpened { .. }
        | Action::SessionEnded { .. }
        | Action::Contradiction { .. }
        | Action::Survivors { .. }
        | Action::JobStarted { .. }
        | Action::JobEnded { .. }
        | Action::LoginRefused { .. }
        | Action::Contained { .. }
        | Action::Gap { .. }
        | Action::Impaired { .. }
        | Action::AgentStarted { .. } => (Owner::Host, None),
    }
}

/// The ledger an event belongs to: that of the target's owner, else that of
/// the session's tenant, else the provider's. One event, one ledger; and only
/// tenants that exist have one.
fn ledger_of(world: &World, event: &Event, owner: &Owner) -> TenantId {
    let exists = |id: &&TenantId| world.tenants.iter().any(|tenant| tenant.id == **id);
    let of_owner = match owner {
        Owner::Tenant(id) => Some(id),
        Owner::Host | Owner::Ambiguous(_) | Owner::Unknown => event.attribution.tenant.as_ref(),
    };
    of_owner
        .filter(exists)
        .cloned()
        .unwrap_or_else(TenantId::provider)
}

/// What the event touches; none for what tells of processes, sessions or the agent.
fn target_of(action: &Action) -> Option<Target<'_>> {
    match action {
        Action::Exec { exe, .. } => Some(Target::Program(&exe.path)),
        Action::Connect { destination, .. } => Some(Target::Destination(destination)),
        Action::Credential { object, .. } => Some(Target::Credential(&object.path)),
        Action::Fork { .. }
        | Action::Exit { .. }
        | Action::LocalConnect { .. }
        | Action::Socket { .. }
        | Action::Memory { .. }
        | Action::Identity { .. }
        | Action::Signal { .. }
        | Action::Host { .. }
        | Action::SessionOpened { .. }
        | Action::SessionEnded { .. }
        | Action::Contradiction { .. }
        | Action::Survivors { .. }
        | Action::JobStarted { .. }
        | Action::JobEnded { .. }
        | Action::LoginRefused { .. }
        | Action::Contained { .. }
        | Action::Gap { .. }
        | Action::Impaired { .. }
        | Action::AgentStarted { .. } => None,
    }
}

/// Whether a use of a credential is its program's business. What belongs to a
/// tenant by name is never.
const fn is_expected(action: &Action) -> bool {
    matches!(
        action,
        Action::Credential {
            tenant: None,
            expected: Some(Expected::Program),
            ..
        }
    )
}

const fn exempt(reason: ExemptReason) -> (Verdict, Vec<Considered>) {
    (Verdict::Exempt { reason }, Vec::new())
}

fn verdict_of(
    world: &World,
    event: &Event,
    owner: &Owner,
    (target, tier): (Target<'_>, Option<Tier>),
) -> (Verdict, Vec<Considered>) {
    let who = &event.attribution;
    if who.session.is_none() || who.principal.is_none() {
        let reason = who.reason.unwrap_or(NoSession::NoPrincipal);
        return (Verdict::Unattributed { reason }, Vec::new());
    }
    let out = |reason| {
        (
            Verdict::OutOfScope {
                reason,
                grant: who.grants.first().cloned(),
            },
            Vec::new(),
        )
    };
    let tenant = match owner {
        Owner::Unknown => return out(OutReason::UnknownDestination),
        Owner::Ambiguous(_) => return out(OutReason::AmbiguousDestination),
        Owner::Tenant(id) => Some(id),
        Owner::Host => None,
    };
    evaluate(
        &world.grants,
        &who.grants,
        &Access {
            tenant,
            tier,
            target,
        },
        event.at,
    )
}

#[cfg(test)]
mod tests;
