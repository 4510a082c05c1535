//! Whom and what an order reaches. Changes nothing.

use std::collections::BTreeSet;

use monitor_model::{
    alert::Alert,
    grant::{Grant, GrantState},
    id::{GrantId, SessionId},
    revocation::{Affected, Order, Target, Times},
};

use super::{Core, CoreError, Refusal, orders::Wanted};
use crate::state::Login;

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
            Target::Session(_) | Target::Serial(_) => order
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
                Target::Session(_) | Target::Serial(_) => sessions.contains(&grant.id),
            })
            .map(|grant| grant.id.clone())
            .collect()
    }

    /// A session that is only known from the events in it.
    pub(super) fn unlisted(&self, session: SessionId, alert: &Alert) -> Affected {
        Affected {
            session,
            host: alert.host.clone(),
            principal: alert.principal.clone(),
            serial: None,
            grants: self.grants_of(alert),
            gone_at: None,
            killed: 0,
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
        session: session.id,
        host: session.host.clone(),
        principal: session.principal.clone(),
        serial: session.credential.serial(),
        grants: session.grants.clone(),
        gone_at: None,
        killed: 0,
    }
}

/// An order as it begins.
pub(super) fn order(wanted: Wanted, sessions: Vec<Affected>) -> Order {
    let Wanted {
        id,
        target,
        cause,
        kernel_event,
        alert,
    } = wanted;
    Order {
        id,
        target,
        cause,
        sessions,
        revoked: Vec::new(),
        attempts: 0,
        last_error: String::new(),
        times: Times {
            kernel_event,
            alert,
            ..Times::default()
        },
    }
}

/// Nobody knows it.
pub(super) fn unknown(what: &'static str, name: &impl ToString) -> Refusal {
    Refusal::Unknown {
        what,
        name: name.to_string(),
    }
}
