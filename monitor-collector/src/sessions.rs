//! Logins that live, as the events tell of them. Pure.
//!
//! In: events in stored order. Out: the sessions that each changed.
//! Bound: [`LIVE_MAX`] live sessions; one beyond is kept on disk as all are,
//! but is not found by orders, and that is told. Loss: none.

use std::collections::HashMap;

use monitor_model::{
    clock::UnixNs,
    contain::{ContainMode, Receipt},
    event::{Action, Event},
    id::SessionId,
    session::SessionState,
};

use crate::state::Login;

/// Most live sessions.
pub const LIVE_MAX: usize = 100_000;

/// Sessions that live.
#[derive(Debug, Default)]
pub struct Sessions {
    live: HashMap<SessionId, Login>,
    /// How many were not taken because the table was full.
    pub refused: u64,
}

impl Sessions {
    /// The table as it stood.
    #[must_use]
    pub fn restored(live: Vec<Login>) -> Self {
        Self {
            live: live
                .into_iter()
                .map(|login| (login.session.id, login))
                .collect(),
            refused: 0,
        }
    }

    /// One live session.
    #[must_use]
    pub fn get(&self, id: SessionId) -> Option<&Login> {
        self.live.get(&id)
    }

    /// Every live session.
    pub fn iter(&self) -> impl Iterator<Item = &Login> {
        self.live.values()
    }

    /// Takes one event; comes back with every session that it changed.
    pub fn apply(&mut self, event: &Event) -> Vec<Login> {
        match &event.action {
            Action::SessionOpened { session } => self.open(event, session).into_iter().collect(),
            Action::SessionEnded { session } => {
                self.end(event, *session, event.at).into_iter().collect()
            }
            Action::Contained { receipt } => {
                let changed = match receipt.gone_at {
                    Some(gone_at) => self.end(event, receipt.session, gone_at),
                    None => self.freeze(event, receipt),
                };
                changed.into_iter().collect()
            }
            Action::AgentStarted { .. } => self.end_of_boot(event),
            Action::JobStarted { .. }
            | Action::Contradiction { .. }
            | Action::Survivors { .. }
            | Action::JobEnded { .. }
            | Action::Impaired { .. }
            | Action::Read { .. }
            | Action::Removed { .. }
            | Action::Order { .. }
            | Action::Exec { .. }
            | Action::Fork { .. }
            | Action::Exit { .. }
            | Action::Connect { .. }
            | Action::Credential { .. }
            | Action::LocalConnect { .. }
            | Action::Socket { .. }
            | Action::Memory { .. }
            | Action::Identity { .. }
            | Action::Signal { .. }
            | Action::Host { .. }
            | Action::LoginRefused { .. }
            | Action::Gap { .. } => Vec::new(),
        }
    }

    /// Marks a live session as one that an order ends.
    pub fn contain(&mut self, id: SessionId) -> Option<Login> {
        let login = self.live.get_mut(&id)?;
        login.session.state = SessionState::Contained;
        Some(login.clone())
    }

    /// Marks a live session as one that no order ends or freezes any more.
    pub fn release(&mut self, id: SessionId) -> Option<Login> {
        let login = self.live.get_mut(&id)?;
        login.session.state = SessionState::Live;
        Some(login.clone())
    }

    /// Marks a session as one that does not stand still.
    pub fn thaw(&mut self, id: SessionId) -> Option<Login> {
        let login = self.live.get_mut(&id)?;
        login.session.frozen.take()?;
        Some(login.clone())
    }

    fn open(&mut self, event: &Event, session: &monitor_model::session::Session) -> Option<Login> {
        if self.live.contains_key(&session.id) {
            return None;
        }
        let mut session = session.clone();
        // Whose host it is says the certificate, not the payload.
        session.host = event.id.agent.clone();
        let login = Login {
            session,
            boot: event.id.boot,
        };
        if login.session.state == SessionState::Ended {
            return Some(login);
        }
        if self.live.len() >= LIVE_MAX {
            self.refused += 1;
        } else {
            self.live.insert(login.session.id, login.clone());
        }
        Some(login)
    }

    fn end(&mut self, event: &Event, id: SessionId, at: UnixNs) -> Option<Login> {
        // An agent speaks for its own host only.
        if self
            .live
            .get(&id)
            .is_none_or(|login| login.session.host != event.id.agent)
        {
            return None;
        }
        let login = self.live.remove(&id)?;
        Some(ended(login, at))
    }

    /// Notes that a session stands still, or no longer does.
    fn freeze(&mut self, event: &Event, receipt: &Receipt) -> Option<Login> {
        let login = self.live.get_mut(&receipt.session)?;
        if login.session.host != event.id.agent {
            return None;
        }
        let session = &mut login.session;
        let before = session.frozen;
        match receipt.mode {
            ContainMode::Freeze => session.frozen = receipt.frozen().or(before),
            ContainMode::Release if receipt.is_done() => session.frozen = None,
            ContainMode::Kill | ContainMode::Release => {}
        }
        (session.frozen != before).then(|| login.clone())
    }

    /// No session outlives its host's boot.
    fn end_of_boot(&mut self, event: &Event) -> Vec<Login> {
        let of_another_boot =
            |login: &&Login| login.session.host == event.id.agent && login.boot != event.id.boot;
        let ids: Vec<_> = self
            .live
            .values()
            .filter(of_another_boot)
            .map(|login| login.session.id)
            .collect();
        ids.into_iter()
            .filter_map(|id| self.live.remove(&id))
            .map(|login| ended(login, event.at))
            .collect()
    }
}

fn ended(mut login: Login, at: UnixNs) -> Login {
    login.session.state = SessionState::Ended;
    login.session.ended_at = Some(at);
    login.session.frozen = None;
    login
}

#[cfg(test)]
mod tests {
    use monitor_model::{
        contain::Frozen,
        id::{BootId, OrderId, Source},
    };

    use super::*;
    use crate::testing::{event, event_id, opened, session_id};

    #[test]
    fn a_session_lives_from_its_login_to_its_last_process() {
        let mut sessions = Sessions::default();
        let login = opened(
            event_id("jump-1", Source::Agent, 1),
            session_id(1),
            "alice",
            7,
        );
        assert_eq!(sessions.apply(&login).len(), 1);
        assert!(sessions.apply(&login).is_empty());
        assert_eq!(
            sessions.contain(session_id(1)).unwrap().session.state,
            SessionState::Contained
        );
        let end = Action::SessionEnded {
            session: session_id(1),
        };
        let foreign = event(event_id("jump-2", Source::Agent, 1), end.clone());
        assert!(sessions.apply(&foreign).is_empty());
        let changed = sessions.apply(&event(event_id("jump-1", Source::Agent, 2), end));
        assert_eq!(changed[0].session.state, SessionState::Ended);
        assert!(sessions.get(session_id(1)).is_none());
    }

    #[test]
    fn a_session_stands_still_until_it_is_released() {
        let mut sessions = Sessions::default();
        let login = opened(
            event_id("jump-1", Source::Agent, 1),
            session_id(1),
            "alice",
            7,
        );
        sessions.apply(&login);
        let order = OrderId::from_parts(UnixNs(1), 1);
        let of = |mode| Receipt::new(order, session_id(1), mode, UnixNs(5));
        let frozen = Receipt {
            frozen: 3,
            frozen_at: Some(UnixNs(9)),
            ..of(ContainMode::Freeze)
        };
        let told = |agent: &str, number, receipt| {
            event(
                event_id(agent, Source::Agent, number),
                Action::Contained { receipt },
            )
        };
        assert!(
            sessions
                .apply(&told("jump-2", 2, frozen.clone()))
                .is_empty()
        );
        let changed = sessions.apply(&told("jump-1", 2, frozen.clone()));
        let since = UnixNs(9);
        assert_eq!(changed[0].session.frozen, Some(Frozen { order, since }));
        assert!(sessions.apply(&told("jump-1", 3, frozen)).is_empty());
        let stuck = Receipt {
            left: 1,
            ..of(ContainMode::Release)
        };
        assert!(sessions.apply(&told("jump-1", 4, stuck)).is_empty());
        let changed = sessions.apply(&told("jump-1", 5, of(ContainMode::Release)));
        assert_eq!(changed[0].session.frozen, None);
    }

    #[test]
    fn no_session_outlives_its_boot() {
        let mut sessions = Sessions::default();
        sessions.apply(&opened(
            event_id("jump-1", Source::Agent, 1),
            session_id(1),
            "alice",
            7,
        ));
        let started = Action::AgentStarted {
            version: "1".into(),
            kernel: "6".into(),
            resumed: false,
            hooks: vec![],
        };
        let same = event(event_id("jump-1", Source::Agent, 2), started.clone());
        assert!(sessions.apply(&same).is_empty());
        let mut other = event(event_id("jump-1", Source::Agent, 1), started);
        other.id.boot = BootId::from_parts(UnixNs(9_000_000), 9);
        assert_eq!(sessions.apply(&other)[0].session.state, SessionState::Ended);
    }
}
