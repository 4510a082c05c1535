//! Which tenants a caller sees, and what is left out for whom.
//!
//! An auditor sees the ledgers, sessions, alerts and grants of the tenants in
//! the certificate. What such an entry says of another tenant is left out: the
//! session's tenant and grants, owners, grants looked at, processes of other
//! sessions, and words that may name anybody. An event that had to be changed
//! comes without its hash, since it is not what was hashed. What that comes to:
//! `docs/reference/access.md`.

use std::{borrow::Cow, collections::HashMap};

use monitor_model::{
    bytes::ByteText,
    event::{Action, Event},
    grant::{Grant, GrantState},
    id::{GrantId, TenantId},
    session::{Credential, Session},
    tenant::Owner,
    verdict::{Judgement, Verdict},
};
use monitor_proto::v1;
use monitor_transport::identity::{Identity, Role};

use crate::{ledger::Entry, outside::without_other_sessions, state::Raised};

/// What a caller sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sight {
    /// Everything.
    Everything,
    /// What concerns these tenants.
    Tenants(Vec<TenantId>),
}

/// Which parts of an entry may be read as they were stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whole {
    /// The event.
    pub event: bool,
    /// The judgement.
    pub judgement: bool,
}

impl Sight {
    /// What this identity sees.
    #[must_use]
    pub fn of(identity: &Identity) -> Self {
        match identity.role {
            Role::Auditor => Self::Tenants(identity.tenants.clone()),
            Role::Agent | Role::Collector | Role::Broker | Role::Soc | Role::Admin => {
                Self::Everything
            }
        }
    }

    /// Whether a tenant is seen.
    #[must_use]
    pub fn sees(&self, tenant: &TenantId) -> bool {
        match self {
            Self::Everything => true,
            Self::Tenants(tenants) => tenants.contains(tenant),
        }
    }

    /// The tenants of a question that are seen; none at all when nothing of it is.
    #[must_use]
    pub fn narrow(&self, asked: &[TenantId]) -> Option<Vec<TenantId>> {
        match self {
            Self::Everything => Some(asked.to_vec()),
            Self::Tenants(tenants) if asked.is_empty() => Some(tenants.clone()),
            Self::Tenants(tenants) => {
                let both: Vec<TenantId> = asked
                    .iter()
                    .filter(|asked| tenants.contains(asked))
                    .cloned()
                    .collect();
                (!both.is_empty()).then_some(both)
            }
        }
    }

    fn sees_grant(&self, grants: &HashMap<GrantId, Grant>, id: &GrantId) -> bool {
        *self == Self::Everything || grants.get(id).is_some_and(|grant| self.sees(&grant.tenant))
    }

    /// An event as this caller may read it.
    #[must_use]
    pub fn event<'a>(&self, event: &'a Event, grants: &HashMap<GrantId, Grant>) -> Cow<'a, Event> {
        if *self == Self::Everything {
            return Cow::Borrowed(event);
        }
        let mut event = event.clone();
        self.redact_event(&mut event, grants);
        Cow::Owned(event)
    }

    /// A judged event as this caller may read it.
    #[must_use]
    pub fn judged(&self, entry: &Entry, grants: &HashMap<GrantId, Grant>) -> Entry {
        let mut entry = entry.clone();
        if *self != Self::Everything {
            self.redact_event(&mut entry.judged.event, grants);
            self.redact_judgement(&mut entry.judged.judgement, grants);
        }
        entry
    }

    /// A grant as this caller may read it.
    #[must_use]
    pub fn grant(&self, grant: &Grant) -> v1::Grant {
        let mut grant = grant.clone();
        if *self != Self::Everything
            && let GrantState::Ended { reason, .. } = &mut grant.state
            && let Some((order, _)) = reason.split_once(':')
            && order.starts_with("order ")
        {
            // An order's cause may be what was done to another tenant.
            *reason = order.to_owned();
        }
        (&grant).into()
    }

    /// An entry as this caller may read it.
    #[must_use]
    pub fn entry(&self, entry: &Entry, grants: &HashMap<GrantId, Grant>) -> v1::JudgedEvent {
        let mut judgement = entry.judged.judgement.clone();
        let mut event_bytes = entry.judged.event_bytes.clone();
        let mut hash = entry.hash.to_vec();
        if *self != Self::Everything {
            self.redact_judgement(&mut judgement, grants);
            let event = self.event(&entry.judged.event, grants);
            if *event != entry.judged.event {
                event_bytes = monitor_proto::encode_event(&event);
                hash = Vec::new();
            }
            if judgement != entry.judged.judgement {
                hash = Vec::new();
            }
        }
        v1::JudgedEvent {
            event: event_bytes,
            judgement: Some((&judgement).into()),
            position: entry.position,
            hash,
            stored_at_unix_ns: entry.stored_at.0,
        }
    }

    /// Which parts of an entry this caller may have as they were stored.
    #[must_use]
    pub fn whole(&self, entry: &Entry, grants: &HashMap<GrantId, Grant>) -> Whole {
        if *self == Self::Everything {
            return Whole {
                event: true,
                judgement: true,
            };
        }
        let mut event = entry.judged.event.clone();
        self.redact_event(&mut event, grants);
        let mut judgement = entry.judged.judgement.clone();
        self.redact_judgement(&mut judgement, grants);
        Whole {
            event: event == entry.judged.event,
            judgement: judgement == entry.judged.judgement,
        }
    }

    /// An alert as this caller may read it.
    #[must_use]
    pub fn alert(&self, raised: &Raised) -> v1::Alert {
        let mut alert = v1::Alert::from(&raised.alert);
        if *self != Self::Everything {
            alert.sentence.clone_from(&raised.outside);
            alert.order.clear();
            // What is behind it may lie in other ledgers, and a note may name anybody.
            alert.events = alert.event.iter().cloned().collect();
            let tenants = &raised.alert.tenants;
            let seen = tenants.iter().filter(|tenant| self.sees(tenant));
            alert.tenants = seen.map(ToString::to_string).collect();
            for step in &mut alert.steps {
                step.note.clear();
            }
            if raised
                .alert
                .tenant
                .as_ref()
                .is_some_and(|tenant| !self.sees(tenant))
            {
                alert.tenant.clear();
            }
        }
        alert
    }

    /// A session as this caller may read it.
    #[must_use]
    pub fn session(&self, session: &Session, grants: &HashMap<GrantId, Grant>) -> v1::Session {
        let mut session = session.clone();
        self.redact_session(&mut session, grants);
        (&session).into()
    }

    fn redact_judgement(&self, judgement: &mut Judgement, grants: &HashMap<GrantId, Grant>) {
        judgement
            .considered
            .retain(|considered| self.sees_grant(grants, &considered.grant));
        match &judgement.owner {
            Owner::Tenant(id) if self.sees(id) => {}
            Owner::Tenant(_) | Owner::Ambiguous(_) | Owner::Host | Owner::Unknown => {
                judgement.custodian = None;
            }
        }
        match &mut judgement.owner {
            Owner::Tenant(id) if !self.sees(id) => judgement.owner = Owner::Unknown,
            Owner::Ambiguous(ids) => ids.retain(|id| self.sees(id)),
            Owner::Tenant(_) | Owner::Host | Owner::Unknown => {}
        }
        if let Verdict::OutOfScope { grant, .. } = &mut judgement.verdict {
            *grant = grant.take().filter(|id| self.sees_grant(grants, id));
        }
    }

    fn redact_event(&self, event: &mut Event, grants: &HashMap<GrantId, Grant>) {
        let who = &mut event.attribution;
        who.grants.retain(|id| self.sees_grant(grants, id));
        if who.tenant.as_ref().is_some_and(|tenant| !self.sees(tenant)) {
            who.tenant = None;
        }
        if *self != Self::Everything {
            without_other_sessions(event);
        }
        match &mut event.action {
            Action::SessionOpened { session } => self.redact_session(session, grants),
            Action::Credential { tenant, .. } => {
                if tenant.as_ref().is_some_and(|tenant| !self.sees(tenant)) {
                    *tenant = None;
                }
            }
            Action::Contained { receipt } => {
                let seen = |id: &GrantId| self.sees_grant(grants, id);
                receipt.expired = receipt.expired.take().filter(seen);
                receipt.foreign = receipt.foreign.take().filter(|id| self.sees(id));
            }
            Action::Read {
                by,
                question,
                question_truncated,
                tenants,
                ..
            } => {
                by.tenants.retain(|id| self.sees(id));
                // One that is of all, or names others, may name them.
                if *self != Self::Everything
                    && (tenants.is_empty() || !tenants.iter().all(|id| self.sees(id)))
                {
                    question.clear();
                    *question_truncated = false;
                    tenants.clear();
                }
            }
            Action::Contradiction { .. }
            | Action::Memory { .. }
            | Action::Signal { .. }
            | Action::JobStarted { .. }
            | Action::LocalConnect { .. }
            | Action::Host { .. }
            | Action::Survivors { .. }
            | Action::Exec { .. }
            | Action::Fork { .. }
            | Action::Exit { .. }
            | Action::Connect { .. }
            | Action::Socket { .. }
            | Action::Identity { .. }
            | Action::SessionEnded { .. }
            | Action::JobEnded { .. }
            | Action::LoginRefused { .. }
            | Action::Gap { .. }
            | Action::Impaired { .. }
            | Action::AgentStarted { .. }
            | Action::Removed { .. }
            | Action::Order { .. } => {}
        }
    }

    fn redact_session(&self, session: &mut Session, grants: &HashMap<GrantId, Grant>) {
        if *self == Self::Everything {
            return;
        }
        let held = session.grants.len();
        session.grants.retain(|id| self.sees_grant(grants, id));
        // A certificate's key id names every grant and tenant that it is for.
        if session.grants.len() < held
            && let Credential::SshCertificate { key_id, .. } = &mut session.credential
        {
            key_id.clear();
        }
        // The session that it was opened from may be another tenant's.
        for step in &mut session.way {
            step.session = None;
            step.name = ByteText::default();
        }
        if session
            .tenant
            .as_ref()
            .is_none_or(|tenant| !self.sees(tenant))
        {
            session.tenant = None;
            session.ticket.clear();
            session.tier = None;
            if let Credential::SshCertificate { key_id, .. } = &mut session.credential {
                key_id.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use monitor_model::{event::Step, id::Source};

    use super::*;
    use crate::testing::{credential, entry_of, event_id, opened, session_id, world};

    #[test]
    fn an_auditor_reads_no_other_tenants_name_in_an_entry() {
        let event = credential(
            event_id("jump-3", Source::Agent, 1),
            "globex",
            "/srv/globex/k",
        );
        let entry = entry_of(event, 1);
        assert_eq!(entry.ledger.as_str(), "globex");
        let grants = world().grants;
        let sight = Sight::Tenants(vec!["globex".parse().unwrap()]);
        let message = sight.entry(&entry, &grants);
        let shown = format!(
            "{:?} {:?}",
            monitor_proto::decode_event(&message.event).unwrap(),
            message.judgement
        );
        assert!(
            !shown.contains("acme") && !shown.contains("01JG"),
            "{shown}"
        );
        assert!(message.hash.is_empty());
        let whole = Sight::Everything.entry(&entry, &grants);
        assert_eq!(
            (whole.event, whole.hash),
            (entry.judged.event_bytes, entry.hash.to_vec())
        );
    }

    #[test]
    fn an_auditor_does_not_learn_from_which_session_another_was_opened() {
        let mut event = opened(
            event_id("jump-3", Source::Agent, 1),
            session_id(1),
            "alice",
            7,
        );
        let Action::SessionOpened { session } = &mut event.action else {
            panic!("{event:?}");
        };
        session.way = vec![Step {
            carrier: monitor_model::event::Carrier::SshHop,
            name: "127.0.0.1:4000".into(),
            at: None,
            session: Some(session_id(2)),
        }];
        let grants = world().grants;
        let sight = Sight::Tenants(vec!["acme".parse().unwrap()]);
        let shown = sight.session(session, &grants);
        assert!(shown.way[0].session.is_empty() && shown.way[0].name.is_empty());
        let message = sight.entry(&entry_of(event, 1), &grants);
        let shown = format!("{:?}", monitor_proto::decode_event(&message.event).unwrap());
        assert!(!shown.contains("127.0.0.1:4000"), "{shown}");
    }

    #[test]
    fn a_question_is_narrowed_to_what_is_seen() {
        let tenant = |name: &str| -> TenantId { name.parse().unwrap() };
        let sight = Sight::Tenants(vec![tenant("acme")]);
        assert_eq!(sight.narrow(&[]), Some(vec![tenant("acme")]));
        assert_eq!(
            sight.narrow(&[tenant("globex"), tenant("acme")]),
            Some(vec![tenant("acme")])
        );
        assert_eq!(sight.narrow(&[tenant("globex")]), None);
        assert_eq!(Sight::Everything.narrow(&[]), Some(vec![]));
    }
}
