//! Logins, as the agent's desk binds them: known to attribution, marked, looked at
//! once more, on disk, then let in.

use std::sync::Arc;

use monitor_agent::{
    attribute::SharedSessions,
    marks::Marks as _,
    note::{Keep, Note, Notes},
    standing::Standing,
};
use monitor_model::{
    clock::Clock as _,
    event::Action,
    grant::Tier,
    id::{AgentName, SessionId},
    session::{Binding, Credential, Session, SessionState},
};
use tokio::time::sleep;

use crate::{
    chance::Chance,
    ground::{Engineer, Host, People},
};

/// Milliseconds between two logins on a host.
const BETWEEN_MS: std::ops::Range<u64> = 300..4_000;

/// Who lets people in.
pub(super) struct Door {
    pub(super) host: Arc<Host>,
    pub(super) people: Arc<People>,
    pub(super) sessions: SharedSessions,
    pub(super) standing: Standing,
    pub(super) notes: Notes,
    pub(super) chance: Chance,
    pub(super) agent: AgentName,
}

/// Lets people in until the agent crashes, or nobody works any more.
pub(super) async fn open(mut door: Door) {
    while !door.people.is_over() {
        sleep(door.chance.ms(BETWEEN_MS)).await;
        let engineers = door.people.engineers();
        let who = door.chance.index(engineers.len());
        if let Some(engineer) = engineers.get(who)
            && door.opens(engineer)
        {
            door.bind(engineer).await;
        }
    }
}

impl Door {
    /// Whether a certificate opens a session here, by what the agent knows.
    fn opens(&self, engineer: &Engineer) -> bool {
        let tables = self.standing.lock();
        tables.grants.contains_key(&engineer.grant)
            && !tables.denied_serials.contains(&engineer.serial)
            && !tables.denied_principals.contains(&engineer.name)
    }

    async fn bind(&mut self, engineer: &Engineer) {
        let session = self.session(engineer);
        if self.sessions.lock().put(session.clone()).is_err() {
            return;
        }
        self.host.kernel.mark_login(&session);
        let opened = Action::SessionOpened {
            session: Box::new(session.clone()),
        };
        let mut note = Note::about(&session, opened);
        note.keep = Some(Keep::Session(Box::new(session.clone())));
        // An order may have come in between; it did not see this session.
        if self.opens(engineer) && self.notes.keep(note).await.is_ok() {
            self.host.kernel.let_in(session.id);
        } else {
            self.sessions.lock().remove(session.id);
            self.host.kernel.end_unanswered();
            // A row that is not there needs no removal.
            let _ = self.host.kernel.forget(session.id);
        }
    }

    fn session(&mut self, engineer: &Engineer) -> Session {
        let now = self.host.clock.now();
        let name = (u128::from(self.host.number) << 64) | u128::from(self.chance.next());
        Session {
            id: SessionId::from_parts(now, name),
            host: self.agent.clone(),
            account: "ops".to_owned(),
            principal: Some(engineer.name.clone()),
            binding: Binding::Certificate,
            way: Vec::new(),
            tenant: Some(engineer.tenant.clone()),
            grants: vec![engineer.grant.clone()],
            ticket: "INC-1".to_owned(),
            tier: Some(Tier::Production),
            credential: Credential::SshCertificate {
                serial: engineer.serial,
                key_id: "v1".to_owned(),
                ca_fingerprint: "SHA256:simulated".to_owned(),
                key_fingerprint: "SHA256:simulated".to_owned(),
            },
            peer: None,
            peer_port: 0,
            leader_pid: self.host.kernel.knocks(),
            audit_session: None,
            opened_at: now,
            ended_at: None,
            adopted: false,
            state: SessionState::Live,
            frozen: None,
        }
    }
}
