//! Connections by what they have in common.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use monitor_model::{
    clock::UnixNs,
    event::{Action, Destination, Event, Protocol},
    id::{GrantId, PrincipalId, SessionId, TenantId},
    verdict::{Judgement, OutReason, Verdict},
};
use serde::Serialize;

use super::{GROUPS_MAX, needs};

/// Most sessions of one line that are told apart.
const SESSIONS_MAX: usize = 1_000;

/// What connections of one line have in common.
type Key = (
    TenantId,
    Option<PrincipalId>,
    Vec<GrantId>,
    (IpAddr, u16, String),
    Option<OutReason>,
);

/// Everything that was found.
#[derive(Debug, Default)]
pub(super) struct Grouped {
    groups: BTreeMap<Key, (Group, BTreeSet<SessionId>)>,
    /// Connections that would have been refused.
    pub(super) observed: u64,
    /// Connections that were.
    pub(super) denied: u64,
    /// Connections that are in no line: there are too many.
    pub(super) beyond: u64,
    /// Events that cannot be read.
    pub(super) unreadable: u64,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Group {
    /// For whom the sessions were; `provider` where that is not known.
    pub(super) tenant: TenantId,
    /// Who it was.
    pub(super) principal: Option<PrincipalId>,
    /// The grants that the sessions stood on.
    pub(super) grants: Vec<GrantId>,
    /// Where to.
    pub(super) address: IpAddr,
    /// Its port.
    pub(super) port: u16,
    /// Its transport.
    pub(super) protocol: Protocol,
    /// Why no grant opens it; none where the verdict is another one by now.
    pub(super) reason: Option<OutReason>,
    /// What would have to be stated to open it.
    pub(super) would_open: String,
    /// How often.
    pub(super) times: u64,
    /// In how many sessions, 1000 at most.
    pub(super) sessions: usize,
    /// The last of them.
    pub(super) session: Option<SessionId>,
    /// The first time.
    pub(super) first_at: UnixNs,
    /// The last time.
    pub(super) last_at: UnixNs,
}

impl Group {
    fn new(
        (tenant, reason): (TenantId, Option<OutReason>),
        event: &Event,
        judgement: &Judgement,
        to: &Destination,
    ) -> Self {
        let attribution = &event.attribution;
        Self {
            would_open: needs::to_open(reason, judgement, &attribution.grants, to),
            tenant,
            principal: attribution.principal.clone(),
            grants: attribution.grants.clone(),
            address: to.address,
            port: to.port,
            protocol: to.protocol,
            reason,
            times: 0,
            sessions: 0,
            session: None,
            first_at: event.at,
            last_at: event.at,
        }
    }

    /// `10.0.0.1:22/tcp`.
    pub(super) fn destination(&self) -> String {
        format!(
            "{}/{}",
            SocketAddr::new(self.address, self.port),
            self.protocol
        )
    }
}

impl Grouped {
    /// Takes one event; of others than connections in sessions for `tenant`
    /// nothing is noted.
    pub(super) fn take(&mut self, event: &Event, judgement: &Judgement, tenant: Option<&TenantId>) {
        let Action::Connect {
            destination,
            denied,
            scope: Some(_),
        } = &event.action
        else {
            return;
        };
        let of = event.attribution.tenant.clone();
        let of = of.unwrap_or_else(TenantId::provider);
        if tenant.is_some_and(|tenant| *tenant != of) {
            return;
        }
        if *denied {
            self.denied += 1;
            return;
        }
        self.observed += 1;
        self.note((of, why(judgement)), event, judgement, destination);
    }

    fn note(
        &mut self,
        (tenant, reason): (TenantId, Option<OutReason>),
        event: &Event,
        judgement: &Judgement,
        to: &Destination,
    ) {
        let key: Key = (
            tenant.clone(),
            event.attribution.principal.clone(),
            event.attribution.grants.clone(),
            (to.address, to.port, to.protocol.to_string()),
            reason,
        );
        if self.groups.len() >= GROUPS_MAX && !self.groups.contains_key(&key) {
            self.beyond += 1;
            return;
        }
        let make = || {
            (
                Group::new((tenant, reason), event, judgement, to),
                BTreeSet::new(),
            )
        };
        let (group, sessions) = self.groups.entry(key).or_insert_with(make);
        group.times += 1;
        group.first_at = group.first_at.min(event.at);
        if event.at >= group.last_at {
            group.last_at = event.at;
            group.session = event.attribution.session;
        }
        if sessions.len() < SESSIONS_MAX {
            sessions.extend(event.attribution.session);
        }
        group.sessions = sessions.len();
    }

    /// By tenant, what happened most often first.
    pub(super) fn lines(&self) -> Vec<Group> {
        let mut lines: Vec<Group> = self
            .groups
            .values()
            .map(|(group, _)| group.clone())
            .collect();
        lines.sort_by(|one, other| {
            (&one.tenant, other.times, one.first_at).cmp(&(
                &other.tenant,
                one.times,
                other.first_at,
            ))
        });
        lines
    }
}

fn why(judgement: &Judgement) -> Option<OutReason> {
    match &judgement.verdict {
        Verdict::OutOfScope { reason, .. } => Some(*reason),
        Verdict::InScope { .. } | Verdict::Unattributed { .. } | Verdict::Exempt { .. } => None,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use monitor_model::{
        event::{Attribution, NoSession},
        id::EventId,
        tenant::Owner,
    };

    use super::*;

    fn tenant(name: &str) -> TenantId {
        name.parse().unwrap()
    }

    pub(in crate::command::report) fn judgement(reason: OutReason, owner: Owner) -> Judgement {
        Judgement {
            verdict: Verdict::OutOfScope {
                reason,
                grant: Some("G1".parse().unwrap()),
            },
            owner,
            ledger: tenant("globex"),
            considered: Vec::new(),
            custodian: None,
            facts: Vec::new(),
            policy_version: String::new(),
        }
    }

    pub(in crate::command::report) fn destination(address: &str) -> Destination {
        Destination {
            address: address.parse().unwrap(),
            port: 443,
            protocol: Protocol::Tcp,
            interface: None,
            interface_index: 0,
            net_ns: 0,
            net_ns_name: None,
            mark: 0,
        }
    }

    fn connect(at: u64, of: &str, to: &str, (denied, scope): (bool, Option<u64>)) -> Event {
        let id: EventId = format!("jump-1/01JG3Y2E8QW0X9V5T4R3S2A1B0/p0/{at}")
            .parse()
            .unwrap();
        Event {
            id,
            at: UnixNs(at),
            boot_ns: at,
            attribution: Attribution {
                session: Some(SessionId::from_parts(UnixNs(1_000_000), u128::from(at % 2))),
                principal: Some("alice".parse().unwrap()),
                tenant: Some(tenant(of)),
                grants: vec!["G1".parse().unwrap()],
                ..Attribution::none(NoSession::NoMark)
            },
            process: None,
            action: Action::Connect {
                destination: destination(to),
                denied,
                scope,
            },
        }
    }

    #[test]
    fn connections_are_counted_by_what_they_have_in_common() {
        let mut grouped = Grouped::default();
        let judged = judgement(OutReason::WrongTenant, Owner::Tenant(tenant("globex")));
        for (at, of, to, how) in [
            (5, "acme", "10.0.0.1", (false, Some(7))),
            (3, "acme", "10.0.0.1", (false, Some(7))),
            (4, "acme", "10.0.0.2", (false, Some(7))),
            (6, "globex", "10.0.0.1", (false, Some(7))),
            // Refused, and asked of no table.
            (7, "acme", "10.0.0.1", (true, Some(7))),
            (8, "acme", "10.0.0.1", (false, None)),
        ] {
            grouped.take(&connect(at, of, to, how), &judged, None);
        }
        assert_eq!(
            (grouped.observed, grouped.denied, grouped.beyond),
            (4, 1, 0)
        );
        let lines = grouped.lines();
        let told: Vec<_> = lines
            .iter()
            .map(|line| {
                (
                    line.tenant.as_str(),
                    line.destination(),
                    line.times,
                    line.sessions,
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                ("acme", "10.0.0.1:443/tcp".to_owned(), 2, 1),
                ("acme", "10.0.0.2:443/tcp".to_owned(), 1, 1),
                ("globex", "10.0.0.1:443/tcp".to_owned(), 1, 1),
            ]
        );
        assert_eq!(
            (lines[0].first_at, lines[0].last_at),
            (UnixNs(3), UnixNs(5))
        );
        let mut of_acme = Grouped::default();
        let acme = tenant("acme");
        of_acme.take(
            &connect(6, "globex", "10.0.0.1", (false, Some(7))),
            &judged,
            Some(&acme),
        );
        assert_eq!(of_acme.observed, 0);
    }

    #[test]
    fn more_kinds_than_fit_are_counted() {
        let mut grouped = Grouped::default();
        let judged = judgement(OutReason::UnknownDestination, Owner::Unknown);
        for number in 0..=u32::try_from(GROUPS_MAX).unwrap() {
            let to = std::net::Ipv4Addr::from(number).to_string();
            let event = connect(1, "acme", &to, (false, Some(7)));
            grouped.take(&event, &judged, None);
        }
        assert_eq!((grouped.lines().len(), grouped.beyond), (GROUPS_MAX, 1));
    }
}
