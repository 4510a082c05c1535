//! An event and the world in, a judgement out. Pure.

use std::{collections::HashMap, sync::Arc};

use crate::{
    bytes::PathLabel,
    evaluate::{Access, Grants, Target, evaluate},
    event::{Action, Attribution, Event, Expected, Fact, NoSession},
    grant::{Grant, GrantKind, Holder, Tier},
    id::{GrantId, PrincipalId, TenantId},
    policy::{Admission, Policy},
    tenant::Owner,
    verdict::{Considered, ExemptReason, Judgement, OutReason, Verdict, VerdictKind},
};

/// What a judgement is made from, besides the event.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// Tenants, inventory, and what is asked of whom.
    pub policy: Arc<Policy>,
    /// Every grant that is known, ended ones included.
    pub grants: HashMap<GrantId, Grant>,
}

/// Whose the target of an event is, and what using it takes.
#[derive(Debug)]
struct Belongs<'a> {
    owner: Owner,
    tier: Option<Tier>,
    admission: Admission,
    custodian: Option<&'a PrincipalId>,
    workload: Option<&'a PrincipalId>,
}

impl Belongs<'_> {
    const fn to(owner: Owner, tier: Option<Tier>) -> Self {
        Self {
            owner,
            tier,
            admission: Admission::OwnerGrant,
            custodian: None,
            workload: None,
        }
    }
}

/// Judges one event as of the time it happened. One that stands for several acts is
/// judged as of the first and the last: where either is out of scope, so is the event.
#[must_use]
pub fn judge(world: &World, event: &Event) -> Judgement {
    judge_under(&world.policy, &world.grants, event)
}

/// The same, under a policy and grants that need not be today's.
#[must_use]
pub fn judge_under(policy: &Policy, grants: &(impl Grants + ?Sized), event: &Event) -> Judgement {
    let last = judge_one(policy, grants, event);
    let Some(counted) = event.counted() else {
        return last;
    };
    if last.verdict.kind() == VerdictKind::OutOfScope {
        return last;
    }
    let mut early = event.clone();
    early.at = counted.first_at;
    let first = judge_one(policy, grants, &early);
    if first.verdict.kind() == VerdictKind::OutOfScope {
        first
    } else {
        last
    }
}

fn judge_one(policy: &Policy, grants: &(impl Grants + ?Sized), event: &Event) -> Judgement {
    let belongs = belongs(policy, event);
    let ledger = ledger_of(policy, event, &belongs.owner);
    let (verdict, considered) = match (target_of(&event.action), &belongs.owner) {
        (None, _) => exempt(ExemptReason::Lifecycle),
        (Some(Target::Credential(_)), _) if is_expected(&event.action, &belongs.owner) => {
            exempt(ExemptReason::ExpectedProgram)
        }
        (Some(Target::Destination(_)), Owner::Host) => exempt(ExemptReason::HostLocal),
        (Some(_), _) if belongs.admission == Admission::Everybody => {
            exempt(ExemptReason::OpenToAll)
        }
        (Some(target), _) => verdict_of(grants, event, &belongs, target),
    };
    Judgement {
        verdict,
        ledger,
        considered,
        custodian: belongs.custodian.cloned(),
        facts: facts(grants, event, &belongs),
        owner: belongs.owner,
        policy_version: policy.version().to_owned(),
    }
}

/// Whose what the event touches is, and what using it takes.
fn belongs<'a>(policy: &'a Policy, event: &Event) -> Belongs<'a> {
    match &event.action {
        Action::Connect { destination, .. } => {
            let located = policy.zones().locate(destination, &event.id.agent);
            let zone = located.zone;
            let admission = match &located.owner {
                Owner::Unknown => policy.unknown(),
                Owner::Tenant(id) if id.is_provider() => zone
                    .and_then(|zone| zone.admits)
                    .unwrap_or_else(|| policy.provider()),
                Owner::Tenant(_) | Owner::Ambiguous(_) | Owner::Host => Admission::OwnerGrant,
            };
            Belongs {
                admission,
                ..Belongs::to(located.owner, zone.and_then(|zone| zone.tier))
            }
        }
        Action::Credential {
            object,
            tenant,
            tier,
            expected,
            ..
        } => {
            let watched = Watched {
                tenant: tenant.as_ref(),
                tier: *tier,
                expected: *expected,
            };
            credential(policy, &object.path, &watched)
        }
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
        | Action::AgentStarted { .. }
        | Action::Read { .. }
        | Action::Removed { .. }
        | Action::Order { .. } => Belongs::to(Owner::Host, None),
    }
}

/// What the agent's watch list says of a file, which it knows as an object.
struct Watched<'a> {
    tenant: Option<&'a TenantId>,
    tier: Option<Tier>,
    expected: Option<Expected>,
}

/// Whose a credential is. The inventory goes by the path, the watch list by the
/// object: where both name a tenant and differ, neither is believed.
fn credential<'a>(policy: &'a Policy, path: &PathLabel, watched: &Watched<'_>) -> Belongs<'a> {
    let found = policy
        .inventory()
        .find(path, |tenant| policy.has_tenant(tenant));
    let provider = |owner: TenantId, tier, admits: Option<Admission>| {
        let admission = if owner.is_provider() {
            admits.unwrap_or_else(|| policy.provider())
        } else {
            Admission::OwnerGrant
        };
        Belongs {
            admission,
            ..Belongs::to(Owner::Tenant(owner), tier)
        }
    };
    match (found, watched.tenant) {
        (Some(found), Some(tenant)) if found.tenant != *tenant => {
            let both = vec![found.tenant, tenant.clone()];
            Belongs::to(Owner::Ambiguous(both), watched.tier)
        }
        (Some(found), _) => Belongs {
            custodian: found.item.owner.as_ref(),
            workload: found.item.workload.as_ref(),
            ..provider(
                found.tenant,
                found.item.tier.or(watched.tier),
                found.item.admits,
            )
        },
        (None, Some(tenant)) => provider(tenant.clone(), watched.tier, None),
        // A person's own belongs to whichever tenant they work for.
        (None, None) if watched.expected == Some(Expected::Person) => {
            Belongs::to(Owner::Host, watched.tier)
        }
        (None, None) => provider(TenantId::provider(), watched.tier, None),
    }
}

/// What stands out by what is known besides the event.
fn facts(grants: &(impl Grants + ?Sized), event: &Event, belongs: &Belongs<'_>) -> Vec<Fact> {
    let who = &event.attribution;
    let holds = |of: &[GrantId], is: &dyn Fn(&Grant) -> bool| {
        of.iter().filter_map(|id| grants.find(id)).any(is)
    };
    let mut facts = Vec::new();
    if let Action::SessionOpened { session } = &event.action
        && holds(&session.grants, &|grant| {
            grant.kind == GrantKind::BreakGlass
        })
    {
        facts.push(Fact::BreakGlass);
    }
    if let (Some(workload), Some(principal)) = (belongs.workload, &who.principal)
        && workload != principal
        && !holds(&who.grants, &|grant| grant.holder == Holder::Workload)
    {
        facts.push(Fact::PersonUsesWorkload);
    }
    facts
}

/// The ledger an event belongs to: that of the target's owner, else that of
/// the session's tenant, else the provider's. One event, one ledger; and only
/// tenants that exist have one.
fn ledger_of(policy: &Policy, event: &Event, owner: &Owner) -> TenantId {
    let exists = |id: &&TenantId| policy.has_tenant(id);
    let of_owner = match owner {
        Owner::Tenant(id) => Some(id),
        Owner::Host | Owner::Ambiguous(_) | Owner::Unknown => event.attribution.tenant.as_ref(),
    };
    of_owner
        .filter(exists)
        .cloned()
        .unwrap_or_else(TenantId::provider)
}

/// The grants that a judgement of the event looks at.
pub fn stands_on(event: &Event) -> impl Iterator<Item = &GrantId> {
    let opened = if let Action::SessionOpened { session } = &event.action {
        session.grants.as_slice()
    } else {
        &[]
    };
    event.attribution.grants.iter().chain(opened)
}

/// What the event touches; none for what tells of processes, sessions or the agent.
#[must_use]
pub fn target_of(action: &Action) -> Option<Target<'_>> {
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
        | Action::AgentStarted { .. }
        | Action::Read { .. }
        | Action::Removed { .. }
        | Action::Order { .. } => None,
    }
}

/// Whether a use of a credential is its program's business. What belongs to a
/// client by name is never.
fn is_expected(action: &Action, owner: &Owner) -> bool {
    let is_clients = match owner {
        Owner::Tenant(id) => !id.is_provider(),
        Owner::Ambiguous(_) => true,
        Owner::Host | Owner::Unknown => false,
    };
    !is_clients
        && matches!(
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
    grants: &(impl Grants + ?Sized),
    event: &Event,
    belongs: &Belongs<'_>,
    target: Target<'_>,
) -> (Verdict, Vec<Considered>) {
    let who: &Attribution = &event.attribution;
    if who.session.is_none() || who.principal.is_none() {
        let reason = who.reason.unwrap_or(NoSession::NoPrincipal);
        return (Verdict::Unattributed { reason }, Vec::new());
    }
    let out = |reason| {
        let grant = who.grants.first().cloned();
        (Verdict::OutOfScope { reason, grant }, Vec::new())
    };
    let is_shared = belongs.admission == Admission::AnyGrant;
    let access = match &belongs.owner {
        Owner::Ambiguous(_) => {
            return out(match target {
                Target::Credential(_) => OutReason::AmbiguousCredential,
                Target::Destination(_) | Target::Program(_) | Target::Shared => {
                    OutReason::AmbiguousDestination
                }
            });
        }
        Owner::Unknown if !is_shared => return out(OutReason::UnknownDestination),
        Owner::Unknown | Owner::Tenant(_) if is_shared => Access {
            tenant: None,
            tier: belongs.tier,
            target: Target::Shared,
        },
        owner @ (Owner::Host | Owner::Tenant(_) | Owner::Unknown) => Access {
            tenant: match owner {
                Owner::Tenant(id) => Some(id),
                Owner::Host | Owner::Ambiguous(_) | Owner::Unknown => None,
            },
            tier: belongs.tier,
            target,
        },
    };
    evaluate(grants, &who.grants, &access, event.at)
}

#[cfg(test)]
mod tests;
