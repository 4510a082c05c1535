//! The sessions of this host: those that live, and the latest that ended.
//!
//! Bound: as many living ones as the kernel's table, and [`ENDED_MAX`] ended
//! ones: forks and exits of an ended session may still be on their way. The
//! spool keeps every row, so that a restart knows them again.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use monitor_common::mark::SESSIONS_MAX;
use monitor_model::{
    clock::UnixNs,
    contain::Frozen,
    id::SessionId,
    session::{Session, SessionState},
};

/// Most ended sessions that are kept.
pub const ENDED_MAX: usize = 1_024;

/// The living sessions are as many as the kernel can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{SESSIONS_MAX} sessions are open on this host, which is the most")]
pub struct Full;

/// A process of this host that opened a session: its ssh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its id.
    pub pid: u32,
    /// Its start, in hundredths of a second since boot.
    pub start_ticks: u64,
    /// Its session.
    pub session: SessionId,
}

/// The table.
#[derive(Debug, Default)]
pub struct Sessions {
    rows: HashMap<SessionId, Session>,
    /// By their session of the audit system.
    by_audit: HashMap<u32, SessionId>,
    /// Of those that another session of this host opened: the process that did.
    clients: HashMap<SessionId, Client>,
    ended: VecDeque<SessionId>,
    evicted: u64,
}

impl Sessions {
    /// Adds a session, or replaces what was known of it.
    ///
    /// # Errors
    /// [`Full`].
    pub fn put(&mut self, session: Session) -> Result<(), Full> {
        let living = self.rows.len().saturating_sub(self.ended.len());
        if session.ended_at.is_none()
            && living >= SESSIONS_MAX
            && !self.rows.contains_key(&session.id)
        {
            return Err(Full);
        }
        if session.ended_at.is_some() && !self.ended.contains(&session.id) {
            self.ended.push_back(session.id);
        }
        if let Some(number) = session.audit_session {
            self.by_audit.insert(number, session.id);
        }
        self.rows.insert(session.id, session);
        while self.ended.len() > ENDED_MAX {
            if let Some(oldest) = self.ended.pop_front() {
                self.drop_row(oldest);
                self.evicted += 1;
            }
        }
        Ok(())
    }

    fn drop_row(&mut self, id: SessionId) {
        self.clients.remove(&id);
        let number = self.rows.remove(&id).and_then(|row| row.audit_session);
        if let Some(number) = number
            && self.by_audit.get(&number) == Some(&id)
        {
            self.by_audit.remove(&number);
        }
    }

    /// The session that began with a session of the audit system; ended ones
    /// too, while they are kept. Audit sessions are never given twice in a boot.
    #[must_use]
    pub fn of_audit(&self, number: u32) -> Option<&Session> {
        self.get(*self.by_audit.get(&number)?)
    }

    /// A session; ended ones too, while they are kept.
    #[must_use]
    pub fn get(&self, id: SessionId) -> Option<&Session> {
        self.rows.get(&id)
    }

    /// Says which process of this host opened a session. Kept as long as the
    /// session, and not over a restart.
    pub fn put_client(&mut self, id: SessionId, client: Client) {
        self.clients.insert(id, client);
    }

    /// The process of this host that opened a session.
    #[must_use]
    pub fn client(&self, id: SessionId) -> Option<Client> {
        self.clients.get(&id).copied()
    }

    /// Forgets a session that never came to be.
    pub fn remove(&mut self, id: SessionId) {
        self.drop_row(id);
        self.ended.retain(|ended| *ended != id);
    }

    /// Says that an order to end a session is being carried out.
    pub fn contained(&mut self, id: SessionId) -> Option<Session> {
        let session = self
            .rows
            .get_mut(&id)
            .filter(|row| row.ended_at.is_none())?;
        session.state = SessionState::Contained;
        Some(session.clone())
    }

    /// Says since when and by which order a session stands still, or that it no
    /// longer does.
    pub fn frozen(&mut self, id: SessionId, frozen: Option<Frozen>) {
        if let Some(row) = self.rows.get_mut(&id) {
            row.frozen = frozen.filter(|_| row.ended_at.is_none());
        }
    }

    /// Says that a session's last process is gone; none when it was known to be.
    pub fn ended(&mut self, id: SessionId, at: UnixNs) -> Option<Session> {
        let session = self
            .rows
            .get_mut(&id)
            .filter(|row| row.ended_at.is_none())?;
        session.state = SessionState::Ended;
        session.ended_at = Some(at);
        session.frozen = None;
        let session = session.clone();
        // An ended session always finds room.
        let _ = self.put(session.clone());
        Some(session)
    }

    /// The living ones.
    #[must_use]
    pub fn living(&self) -> Vec<SessionId> {
        let living = self.rows.values().filter(|row| row.ended_at.is_none());
        living.map(|row| row.id).collect()
    }

    /// How many ended ones were forgotten to make room, since this was last asked.
    pub fn take_evicted(&mut self) -> u64 {
        std::mem::take(&mut self.evicted)
    }
}

/// The table, shared by logins, containment and attribution. Held for moments.
#[derive(Clone, Debug, Default)]
pub struct SharedSessions(Arc<Mutex<Sessions>>);

impl SharedSessions {
    /// The table.
    pub fn lock(&self) -> MutexGuard<'_, Sessions> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use monitor_model::session::Credential;

    use super::*;

    pub(crate) fn session(number: u128) -> Session {
        Session {
            id: SessionId::from_parts(UnixNs::from_seconds(1_790_000_000), number),
            host: "jump-1".parse().unwrap(),
            account: "deploy".into(),
            principal: Some("alice".parse().unwrap()),
            tenant: Some("acme".parse().unwrap()),
            grants: vec!["G1".parse().unwrap()],
            ticket: "INC-1".into(),
            tier: None,
            credential: Credential::SshCertificate {
                serial: 7,
                key_id: "v1".into(),
                ca_fingerprint: "SHA256:a".into(),
                key_fingerprint: "SHA256:b".into(),
            },
            peer: None,
            peer_port: 0,
            leader_pid: 100,
            binding: monitor_model::session::Binding::Certificate,
            way: Vec::new(),
            audit_session: None,
            opened_at: UnixNs::from_seconds(1_790_000_000),
            ended_at: None,
            adopted: false,
            state: SessionState::Live,
            frozen: None,
        }
    }

    #[test]
    fn a_full_table_refuses_living_sessions_and_forgets_ended_ones() {
        let mut table = Sessions::default();
        let most = u128::try_from(SESSIONS_MAX).unwrap();
        for number in 0..most {
            let audit_session = Some(u32::try_from(number).unwrap());
            table
                .put(Session {
                    audit_session,
                    ..session(number)
                })
                .unwrap();
        }
        assert_eq!(table.put(session(most)), Err(Full));
        for number in 0..most {
            assert!(table.ended(session(number).id, UnixNs(5)).is_some());
            assert!(table.ended(session(number).id, UnixNs(6)).is_none());
        }
        assert_eq!(table.living(), []);
        assert_eq!(table.rows.len(), ENDED_MAX);
        assert_eq!(table.by_audit.len(), ENDED_MAX);
        let evicted = u64::try_from(SESSIONS_MAX - ENDED_MAX).unwrap();
        assert_eq!(table.take_evicted(), evicted);
        table.put(session(most)).unwrap();
    }
}
