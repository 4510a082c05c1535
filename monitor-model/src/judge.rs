//! An event and the world in, a judgement out. Pure.

use std::collections::HashMap;

use crate::{
    evaluate::{Access, Target, evaluate},
    event::{Action, Event, NoSession},
    grant::{Grant, Tier},
    id::{GrantId, TenantId},
    tenant::{Owner, Tenant, locate},
    verdict::{ExemptReason, Judgement, OutReason, Verdict},
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
    let (verdict, considered) = match exemption(event, &owner) {
        Some(reason) => (Verdict::Exempt { reason }, Vec::new()),
        None => verdict_of(world, event, &owner, tier),
    };
    Judgement { verdict, owner, ledger, considered, policy_version: world.version.clone() }
}

/// Who owns what the event touches, and the tier it needs.
fn owner_of(world: &World, event: &Event) -> (Owner, Option<Tier>) {
    match &event.action {
        Action::Connect { destination, .. } => {
            let located = locate(&world.tenants, destination);
            (located.owner, located.tier)
        }
        Action::Credential { tenant, tier, .. } => {
            (Owner::Tenant(tenant.clone().unwrap_or_else(TenantId::provider)), *tier)
        }
        Action::Exec { .. }
        | Action::Fork { .. }
        | Action::Exit { .. }
        | Action::SessionOpened { .. }
        | Action::SessionEnded { .. }
        | Action::LoginRefused { .. }
        | Action::Contained { .. }
        | Action::Gap { .. }
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
    of_owner.filter(exists).cloned().unwrap_or_else(TenantId::provider)
}

fn exemption(event: &Event, owner: &Owner) -> Option<ExemptReason> {
    match (&event.action, owner) {
        (Action::Connect { .. }, Owner::Host) => Some(ExemptReason::HostLocal),
        (Action::Exec { .. } | Action::Connect { .. } | Action::Credential { .. }, _) => None,
        _ => Some(ExemptReason::Lifecycle),
    }
}

fn verdict_of(
    world: &World,
    event: &Event,
    owner: &Owner,
    tier: Option<Tier>,
) -> (Verdict, Vec<crate::verdict::Considered>) {
    let who = &event.attribution;
    if who.session.is_none() || who.principal.is_none() {
        let reason = who.reason.unwrap_or(NoSession::NoPrincipal);
        return (Verdict::Unattributed { reason }, Vec::new());
    }
    let out = |reason| (Verdict::OutOfScope { reason, grant: who.grants.first().cloned() }, Vec::new());
    let tenant = match owner {
        Owner::Unknown => return out(OutReason::UnknownDestination),
        Owner::Ambiguous(_) => return out(OutReason::AmbiguousDestination),
        Owner::Tenant(id) => Some(id),
        Owner::Host => None,
    };
    let target = match &event.action {
        Action::Exec { exe, .. } => Target::Program(&exe.path),
        Action::Connect { destination, .. } => Target::Destination(destination),
        Action::Credential { object, .. } => Target::Credential(&object.path),
        _ => return (Verdict::Exempt { reason: ExemptReason::Lifecycle }, Vec::new()),
    };
    evaluate(&world.grants, &who.grants, &Access { tenant, tier, target }, event.at)
}
