//! Which rule an event matches, and what is alike. Pure.

use std::cell::OnceCell;

use monitor_model::{
    event::{Action, Event, Fact, MemoryAccess, ProcessRef, facts},
    id::TenantId,
    tenant::Owner,
    verdict::{Verdict, VerdictKind},
};

use super::{
    rule::{By, Conditions, Counted, Rule},
    sigma::{self, Detection, Shown},
    sign::Sign,
};
use crate::ledger::Entry;

/// What rules look at in an event, found once for all of them.
#[derive(Debug)]
pub(super) struct Sight<'a> {
    pub(super) entry: &'a Entry,
    facts: Vec<Fact>,
    signs: Vec<Sign>,
    /// What Sigma rules are shown, made when the first asks.
    shown: OnceCell<Option<Shown>>,
}

impl<'a> Sight<'a> {
    pub(super) fn new(entry: &'a Entry, signs: Vec<Sign>) -> Self {
        // Of the event itself, and what the judge found by policy and grants.
        let mut found = facts(&entry.judged.event);
        found.extend(&entry.judged.judgement.facts);
        Self {
            facts: found,
            entry,
            signs,
            shown: OnceCell::new(),
        }
    }

    /// Whether a rule looks at the event: every part that it states must fit.
    pub(super) fn fits(&self, conditions: &Conditions) -> bool {
        let Conditions {
            verdicts,
            kinds,
            reasons,
            no_session,
            facts,
            signs,
            classes,
            changes,
            sigma,
        } = conditions;
        let action = &self.entry.judged.event.action;
        let verdict = &self.entry.judged.judgement.verdict;
        any(verdicts, &verdict.kind())
            && any(kinds, &action.kind())
            && (facts.is_empty() || facts.iter().any(|fact| self.facts.contains(fact)))
            && (signs.is_empty() || signs.iter().any(|sign| self.signs.contains(sign)))
            && reason_fits(
                verdict,
                conditions,
                (reasons.is_empty(), no_session.is_empty()),
            )
            && ((classes.is_empty() && !changes) || file_fits(action, classes, *changes))
            && sigma.as_ref().is_none_or(|sigma| self.sigma_fits(sigma))
    }
}

impl Sight<'_> {
    fn sigma_fits(&self, detection: &Detection) -> bool {
        let shown = self
            .shown
            .get_or_init(|| sigma::shown(&self.entry.judged.event));
        shown.as_ref().is_some_and(|shown| detection.fits(shown))
    }
}

fn any<T: PartialEq>(wanted: &[T], found: &T) -> bool {
    wanted.is_empty() || wanted.contains(found)
}

/// Reasons narrow the verdict that they are of, and no other.
fn reason_fits(
    verdict: &Verdict,
    conditions: &Conditions,
    (any_reason, any_absence): (bool, bool),
) -> bool {
    match verdict {
        Verdict::OutOfScope { reason, .. } => any_reason || conditions.reasons.contains(reason),
        Verdict::Unattributed { reason } => any_absence || conditions.no_session.contains(reason),
        Verdict::InScope { .. } | Verdict::Exempt { .. } => {
            !conditions.verdicts.is_empty() || (any_reason && any_absence)
        }
    }
}

fn file_fits(action: &Action, classes: &[String], changes: bool) -> bool {
    let Action::Credential {
        class, operation, ..
    } = action
    else {
        return false;
    };
    any(classes, class) && (!changes || operation.is_change())
}

/// The tenant whose things an event touches, by a judgement about them.
pub(super) fn touched(entry: &Entry) -> Option<TenantId> {
    let judgement = &entry.judged.judgement;
    match (&judgement.owner, judgement.verdict.kind()) {
        (Owner::Tenant(tenant), kind) if kind != VerdictKind::Exempt && !tenant.is_provider() => {
            Some(tenant.clone())
        }
        _ => None,
    }
}

/// Whose matches an event counts among.
pub(super) fn subject(by: By, event: &Event) -> String {
    let who = &event.attribution;
    match (by, &who.principal, who.session) {
        (By::Principal, Some(principal), _) => format!("principal {principal}"),
        (By::Principal | By::Session, _, Some(session)) => format!("session {session}"),
        (By::Principal | By::Session | By::Host, _, _) => format!("host {}", event.id.agent),
    }
}

/// Alike are: the rule, whose it is, the ledger, and the object; where tenants
/// are counted, the tenant.
pub(super) fn fold_key(rule: &Rule, entry: &Entry) -> String {
    let event = &entry.judged.event;
    let whose = subject(rule.by, event);
    let object = match rule.counted {
        Counted::Tenants => String::new(),
        Counted::Events => object(&event.action),
    };
    let kind = event.action.kind();
    format!("{}\n{whose}\n{}\n{kind}\n{object}", rule.id, entry.ledger)
}

fn object(action: &Action) -> String {
    match action {
        Action::Exec { exe, .. } => exe.path.to_string(),
        Action::Credential { object, .. } => object.path.to_string(),
        Action::Connect { destination, .. } => destination.address.to_string(),
        Action::LocalConnect { socket, .. } => socket.to_string(),
        Action::Memory { target, access, .. } => memory(target, *access),
        Action::Signal { target, .. } => target.pid.to_string(),
        Action::Host { change, .. } => change.as_str().to_owned(),
        Action::Socket { local, family, .. } => match local {
            Some(local) => local.to_string(),
            None => format!("family {family}"),
        },
        Action::Impaired {
            reason, program, ..
        } => program.clone().unwrap_or_else(|| reason.clone()),
        Action::Identity { .. }
        | Action::Fork { .. }
        | Action::Exit { .. }
        | Action::SessionOpened { .. }
        | Action::SessionEnded { .. }
        | Action::Contradiction { .. }
        | Action::Survivors { .. }
        | Action::JobStarted { .. }
        | Action::JobEnded { .. }
        | Action::LoginRefused { .. }
        | Action::Contained { .. }
        | Action::Gap { .. }
        | Action::AgentStarted { .. }
        | Action::Read { .. }
        | Action::Removed { .. }
        | Action::Order { .. } => String::new(),
    }
}

/// Who lists processes opens the environment of one after the other.
fn memory(target: &ProcessRef, access: MemoryAccess) -> String {
    match access {
        MemoryAccess::Environment => String::new(),
        MemoryAccess::Attached | MemoryAccess::TracedByParent | MemoryAccess::MemoryFile => {
            target.pid.to_string()
        }
    }
}
