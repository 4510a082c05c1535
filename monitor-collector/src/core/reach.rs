//! Whom and what an order reaches. Changes nothing.

use std::collections::BTreeSet;

use monitor_model::{
    alert::Alert,
    grant::{Grant, GrantState},
    id::{GrantId, OrderId, SessionId},
    revocation::{Affected, Mode, Order, Target, Times},
    session::Session,
};

use super::{Core, CoreError, Refusal, orders::Wanted};
use crate::{service::REASON_BYTES_MAX, state::Login};

impl Core {
    /// Live sessions that an order for anything but a session reaches.
    pub(super) fn reached(&self, target: &Target) -> Vec<Affected> {
        let reaches = |login: &&Login| {
            let session = &login.session;
            match target {
                Target::Engineer(id) => session.principal.as_ref() == Some(id),
                Target::Session(id) => session.id == *id,
                Target::Grant(id) => session.grants.contains(id),
                Target::Tenant(id) => {
                    session.tenant.as_ref() == Some(id)
                        || session.grants.iter().any(|grant| {
                            self.world
                                .grants
                                .get(grant)
                                .is_some_and(|grant| grant.tenant == *id)
                        })
                }
                Target::Serial(serial) => session.credential.serial() == Some(*serial),
                Target::Host(id) => session.host == *id,
            }
        };
        self.sessions.iter().filter(reaches).map(affected).collect()
    }

    /// A session, and every live one that the same certificate opened.
    pub(super) fn behind_session(&self, id: SessionId) -> Result<Option<Vec<Affected>>, CoreError> {
        let login = match self.sessions.get(id) {
            Some(login) => login.clone(),
            None => match self.state.session(id)? {
                Some(login) => login,
                None => return Ok(None),
            },
        };
        let mut first = affected(&login);
        first.gone_at = login.session.ended_at;
        let mut all = vec![first];
        if let Some(serial) = login.session.credential.serial() {
            all.extend(
                self.reached(&Target::Serial(serial))
                    .into_iter()
                    .filter(|other| other.session != id),
            );
        }
        Ok(Some(all))
    }

    /// Grants that stand and that an order ends.
    pub(super) fn ended_by(&self, order: &Order) -> Vec<GrantId> {
        let sessions: BTreeSet<&GrantId> = match order.target {
            Target::Session(_) | Target::Serial(_) | Target::Host(_) => order
                .sessions
                .iter()
                .flat_map(|affected| &affected.grants)
                .collect(),
            Target::Engineer(_) | Target::Grant(_) | Target::Tenant(_) => BTreeSet::new(),
        };
        self.world
            .grants
            .values()
            .filter(|grant| grant.state == GrantState::Standing)
            .filter(|grant| match &order.target {
                Target::Engineer(id) => grant.principal == *id,
                Target::Grant(id) => grant.id == *id,
                Target::Tenant(id) => grant.tenant == *id,
                Target::Session(_) | Target::Serial(_) | Target::Host(_) => {
                    sessions.contains(&grant.id)
                }
            })
            .map(|grant| grant.id.clone())
            .collect()
    }

    /// The order in force that a login stands against: its certificate or
    /// person is denied, or an order for its grant or tenant ended or suspends
    /// its grant, whether the broker has told that grant's certificates or not.
    pub(super) fn against(&self, session: &Session) -> Option<OrderId> {
        let serial = session.credential.serial();
        let by_serial = serial.and_then(|serial| self.denied.serials.get(&serial));
        let person = session.principal.as_ref();
        let by_name = person.and_then(|id| self.denied.principals.get(id));
        let by_grant = || session.grants.iter().find_map(|id| self.ender_of(id));
        let frozen = || self.freezer_of(session);
        by_serial
            .or(by_name)
            .copied()
            .or_else(by_grant)
            .or_else(frozen)
    }

    /// The order that suspends a grant of a session, by name or with its tenant.
    fn freezer_of(&self, session: &Session) -> Option<OrderId> {
        let grants = || {
            session
                .grants
                .iter()
                .filter_map(|id| self.world.grants.get(id))
        };
        let freezes = |order: &&Order| {
            order.mode == Mode::Freeze
                && order.is_in_force()
                && match &order.target {
                    Target::Grant(of) => session.grants.contains(of),
                    Target::Tenant(of) => {
                        session.tenant.as_ref() == Some(of)
                            || grants().any(|grant| grant.tenant == *of)
                    }
                    Target::Engineer(_)
                    | Target::Session(_)
                    | Target::Serial(_)
                    | Target::Host(_) => false,
                }
        };
        self.orders.values().find(freezes).map(|order| order.id)
    }

    /// The order for a grant or its tenant that ended the grant. Where more
    /// than one reaches it, the one that was given when it ended did it.
    fn ender_of(&self, id: &GrantId) -> Option<OrderId> {
        let grant = self.world.grants.get(id)?;
        let GrantState::Ended { at, .. } = &grant.state else {
            return None;
        };
        let ended = |order: &&Order| {
            order.times.ordered == Some(*at)
                && order.is_in_force()
                && match &order.target {
                    Target::Grant(of) => of == id,
                    Target::Tenant(of) => *of == grant.tenant,
                    Target::Engineer(_)
                    | Target::Session(_)
                    | Target::Serial(_)
                    | Target::Host(_) => false,
                }
        };
        self.orders.values().find(ended).map(|order| order.id)
    }

    /// A session that is only known from the events in it.
    pub(super) fn unlisted(&self, session: SessionId, alert: &Alert) -> Affected {
        Affected {
            principal: alert.principal.clone(),
            tenant: alert.tenant.clone(),
            grants: self.grants_of(alert),
            ..Affected::new(session, alert.host.clone())
        }
    }

    fn grants_of(&self, alert: &Alert) -> Vec<GrantId> {
        let of = |grant: &&Grant| {
            Some(&grant.principal) == alert.principal.as_ref()
                && Some(&grant.tenant) == alert.tenant.as_ref()
        };
        self.world
            .grants
            .values()
            .filter(of)
            .map(|grant| grant.id.clone())
            .collect()
    }
}

/// A session as an order lists it.
pub(super) fn affected(login: &Login) -> Affected {
    let session = &login.session;
    Affected {
        principal: session.principal.clone(),
        tenant: session.tenant.clone(),
        serial: session.credential.serial(),
        grants: session.grants.clone(),
        ..Affected::new(session.id, session.host.clone())
    }
}

/// An order as it begins.
pub(super) fn order(wanted: Wanted, sessions: Vec<Affected>) -> Order {
    let Wanted {
        id,
        target,
        mode,
        not_after,
        cause,
        author: _,
        kernel_event,
        alert,
    } = wanted;
    Order {
        mode,
        not_after,
        sessions,
        times: Times {
            kernel_event,
            alert,
            ..Times::default()
        },
        ..Order::new(id, target, cause)
    }
}

/// An alert's sentence as the reason of an order, which brokers take up to a
/// length: names of files and programs, which others choose, must not make it
/// one that is refused. The alert has the whole.
pub(super) fn short(sentence: &str) -> String {
    const CUT: &str = "...";
    if sentence.len() <= REASON_BYTES_MAX {
        return sentence.to_owned();
    }
    let most = REASON_BYTES_MAX - CUT.len();
    let ends = sentence.char_indices().map(|(at, _)| at);
    let end = ends.take_while(|at| *at <= most).last().unwrap_or(0);
    sentence.get(..end).unwrap_or_default().to_owned() + CUT
}

/// Nobody knows it.
pub(super) fn unknown(what: &'static str, name: &impl ToString) -> Refusal {
    Refusal::Unknown {
        what,
        name: name.to_string(),
    }
}
