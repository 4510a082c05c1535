//! The answers to login hooks.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use monitor_common::mark::SESSIONS_MAX;
use monitor_model::{
    clock::{Clock, UnixNs},
    event::Action,
    grant::Grant,
    id::{GrantId, PrincipalId},
    session::{Session, SessionState},
};
use tracing::{info, warn};

use super::{
    authority::Authorities,
    credential::{Certificate, Presented},
    decide::{self, Refusal},
    parent::Parent,
    protocol::{Answer, Login, Principals},
};
use crate::{
    attribute::{Origin, SharedSessions},
    counters::Counters,
    directory::Directory,
    kernel::Marked,
    marks::{self, Marks},
    note::{Keep, Note, Notes},
    standing::Standing,
};

/// sshd asks more than once for one attempt: the same refusal is told once in this time.
const SAME_REFUSAL: Duration = Duration::from_secs(2);

/// Most refused logins that are told in a second. Who may ask for principals
/// can ask for any: the rest is counted.
const REFUSALS_A_SECOND_MAX: u32 = 50;
/// Most bytes of a text of the person who asks that a refused login tells.
const REFUSAL_TEXT_BYTES_MAX: usize = 512;
/// Anybody can knock as often as the machine allows: told once in this time.
const STRANGERS: Duration = Duration::from_secs(60);

/// What the answers are made from.
#[derive(Debug)]
pub struct Desk {
    /// Under which name events go out.
    pub origin: Origin,
    /// Whose certificates count.
    pub authorities: Authorities,
    /// Grants and denials.
    pub standing: Standing,
    /// Sessions.
    pub sessions: SharedSessions,
    /// Who stands behind keys and accounts.
    pub directory: Arc<Directory>,
    /// The kernel's side of sessions.
    pub marks: Arc<dyn Marks>,
    /// The way to the spool.
    pub notes: Notes,
    /// What is counted.
    pub counters: Arc<Counters>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The last refusals that were told.
    pub last_refusal: LastRefusal,
}

/// The last refusal that was told, and when; and when a stranger was.
#[derive(Debug, Default)]
pub struct LastRefusal {
    login: Mutex<Option<(UnixNs, Action)>>,
    /// How many were told in which second.
    second: Mutex<(u64, u32)>,
    stranger: Mutex<Option<UnixNs>>,
}

impl LastRefusal {
    /// The how manieth one more is in this second.
    fn count(&self, now: UnixNs) -> u32 {
        let mut second = self.second.lock().unwrap_or_else(PoisonError::into_inner);
        if second.0 != now.as_seconds() {
            *second = (now.as_seconds(), 0);
        }
        second.1 = second.1.saturating_add(1);
        second.1
    }

    /// Whether no stranger was told of lately; it counts as told.
    pub(super) fn is_first_stranger(&self, now: UnixNs) -> bool {
        let mut last = self.stranger.lock().unwrap_or_else(PoisonError::into_inner);
        let first = last.is_none_or(|at| now.since(at) >= STRANGERS);
        if first {
            *last = Some(now);
        }
        first
    }

    /// Whether it was told just now.
    fn is_again(&self, action: &Action, now: UnixNs) -> bool {
        let mut last = self.login.lock().unwrap_or_else(PoisonError::into_inner);
        let again = last
            .as_ref()
            .is_some_and(|(at, told)| told == action && now.since(*at) < SAME_REFUSAL);
        if !again {
            *last = Some((now, action.clone()));
        }
        again
    }
}

impl Desk {
    /// Somebody asked who may not.
    pub fn stranger(&self, uid: u32) {
        let refused = &self.counters.asks_refused;
        refused.add(1);
        if self.last_refusal.is_first_stranger(self.clock.now()) {
            let total = refused.get();
            warn!(
                uid,
                total, "An account that may not ask the login socket did."
            );
        }
    }

    /// Which principals of a certificate open an account.
    pub async fn principals(&self, asked: &Principals) -> Answer {
        let certificate = match Certificate::read(&asked.key_type, &asked.certificate) {
            Ok(certificate) => certificate,
            Err(error) => return self.refuse(&asked.account, None, &error.into()).await,
        };
        match self.grant_of(&certificate) {
            Ok(grant) => Answer::Principals {
                principals: vec![grant.certificate_principal()],
            },
            Err(refusal) => {
                self.refuse(&asked.account, Some(&certificate), &refusal)
                    .await
            }
        }
    }

    /// Opens a session for a login, and marks the parent of the hook.
    pub async fn open(&self, login: &Login, hook_pid: u32) -> Answer {
        let presented = match Presented::read(&login.auth_info) {
            Ok(presented) => presented,
            Err(error) => return self.refuse(&login.account, None, &error.into()).await,
        };
        let certificate = match &presented {
            Presented::Certificate(certificate) => Some(certificate.as_ref()),
            Presented::Other(_) => None,
        };
        match self.bind(login, &presented, hook_pid).await {
            Ok(session) => {
                self.tell_bound(&session);
                Answer::Allowed {
                    session: session.id.to_string(),
                }
            }
            Err(refusal) => self.refuse(&login.account, certificate, &refusal).await,
        }
    }

    /// In this order: known to attribution, marked, looked at once more,
    /// on disk. A kill in between leaves a login without an answer, which
    /// sshd ends.
    async fn bind(
        &self,
        login: &Login,
        presented: &Presented,
        hook_pid: u32,
    ) -> Result<Session, Refusal> {
        let cause = |cause: String| Refusal::Process { cause };
        let parent = Parent::of(hook_pid).map_err(|error| cause(error.to_string()))?;
        let session = self.session(login, presented, &parent)?;
        self.sessions
            .lock()
            .put(session.clone())
            .map_err(|_| Refusal::Full {
                sessions_max: SESSIONS_MAX,
            })?;
        let bound = self.mark(&parent, &session, presented).await;
        if bound.is_err() {
            self.sessions.lock().remove(session.id);
            // A row that is not there needs no removal.
            let _ = self.marks.forget(session.id);
        }
        bound.map(|()| session)
    }

    async fn mark(
        &self,
        parent: &Parent,
        session: &Session,
        presented: &Presented,
    ) -> Result<(), Refusal> {
        let cause = |cause: String| Refusal::Process { cause };
        let marked = self
            .marks
            .mark(parent.pid, session.id)
            .map_err(|error| cause(error.to_string()))?;
        if !parent.is_alive() {
            return Err(cause("it is gone".to_owned()));
        }
        // An order may have come in between; it did not see this session.
        self.grant(presented)?;
        let mut note = Note::about(
            session,
            Action::SessionOpened {
                session: Box::new(session.clone()),
            },
        );
        note.keep = Some(Keep::Session(Box::new(session.clone())));
        self.notes
            .keep(note)
            .await
            .map_err(|error| cause(error.to_string()))?;
        if let Marked::Moved { from, left: 0 } = marked {
            self.end_moved(from).await;
        }
        Ok(())
    }

    /// The kernel does not tell the end of a session whose last process was
    /// moved to another.
    async fn end_moved(&self, from: monitor_common::SessionMark) {
        let Some(id) = marks::session_of(from) else {
            return;
        };
        let ended = self.sessions.lock().ended(id, self.clock.now());
        if let Some(session) = ended {
            let mut note = Note::about(&session, Action::SessionEnded { session: id });
            note.keep = Some(Keep::Session(Box::new(session)));
            // The agent is stopping: its next start finds no process of it.
            let _ = self.notes.tell(note).await;
            let _ = self.marks.forget(id);
        }
    }

    fn grant(&self, presented: &Presented) -> Result<Option<Grant>, Refusal> {
        match presented {
            Presented::Certificate(certificate) => self.grant_of(certificate).map(Some),
            Presented::Other(_) => Ok(None),
        }
    }

    /// The certificate's first grant, and the further ones that it names.
    fn grants(&self, presented: &Presented, first: Option<&Grant>) -> Vec<GrantId> {
        let (Presented::Certificate(certificate), Some(first)) = (presented, first) else {
            return Vec::new();
        };
        let mut grants = vec![first.id.clone()];
        grants.extend(decide::further(certificate, first, &self.standing.lock()));
        grants
    }

    fn grant_of(&self, certificate: &Certificate) -> Result<Grant, Refusal> {
        if !self.authorities.trust(&certificate.ca_fingerprint) {
            return Err(Refusal::Authority {
                serial: certificate.serial,
                authority: certificate.ca_fingerprint.clone(),
            });
        }
        decide::grant(certificate, &self.standing.lock(), self.clock.now()).cloned()
    }

    fn session(
        &self,
        login: &Login,
        presented: &Presented,
        parent: &Parent,
    ) -> Result<Session, Refusal> {
        let grant = self.grant(presented)?;
        let now = self.clock.now();
        let (peer, peer_port) = peer_of(login);
        let id = marks::new_id(now).map_err(|error| Refusal::Process {
            cause: error.to_string(),
        })?;
        let grant = grant.as_ref();
        let credential = match presented {
            Presented::Certificate(certificate) => certificate.credential(),
            Presented::Other(credential) => credential.clone(),
        };
        let hop = self.hop(peer, peer_port);
        let (principal, binding) = self.principal(grant, &credential, (login, hop.as_ref()));
        if let Some(hop) = &hop {
            self.sessions.lock().put_client(id, hop.client);
        }
        Ok(Session {
            id,
            host: self.origin.agent.clone(),
            account: login.account.clone(),
            principal,
            binding,
            way: hop.map(|hop| vec![hop.step]).unwrap_or_default(),
            tenant: grant.map(|grant| grant.tenant.clone()),
            grants: self.grants(presented, grant),
            ticket: grant.map(|grant| grant.ticket.clone()).unwrap_or_default(),
            tier: grant.map(|grant| grant.tier),
            credential,
            peer,
            peer_port,
            leader_pid: parent.pid,
            audit_session: parent.audit_session(),
            opened_at: now,
            ended_at: None,
            adopted: false,
            state: SessionState::Live,
            frozen: None,
        })
    }

    fn tell_bound(&self, session: &Session) {
        if let Some(principal) = &session.principal {
            self.counters.logins_bound.add(1);
            info!(session = %session.id, account = session.account, %principal, "A login was bound to a person.");
        } else {
            self.counters.logins_unattributed.add(1);
            info!(session = %session.id, account = session.account, "A login without a certificate was let in; it is bound to no person.");
        }
    }

    async fn refuse(
        &self,
        account: &str,
        certificate: Option<&Certificate>,
        refusal: &Refusal,
    ) -> Answer {
        let action = Action::LoginRefused {
            account: short(account),
            principal: certificate.and_then(claimed),
            serial: certificate.map(|certificate| certificate.serial),
            reason: short(&refusal.to_string()),
        };
        let now = self.clock.now();
        if !self.last_refusal.is_again(&action, now) {
            self.counters.logins_refused.add(1);
            let count = self.last_refusal.count(now);
            if count > REFUSALS_A_SECOND_MAX {
                self.counters.refusals_untold.add(1);
                if count == REFUSALS_A_SECOND_MAX + 1 {
                    let most = REFUSALS_A_SECOND_MAX;
                    warn!(
                        most,
                        "More logins are refused in a second than are told; the rest is counted."
                    );
                }
                return Answer::refused(refusal);
            }
            if let Action::LoginRefused {
                account, reason, ..
            } = &action
            {
                info!(account, reason, "A login was refused.");
            }
            // The agent is stopping: the login is refused all the same.
            let _ = self.notes.tell(Note::about_nobody(action)).await;
        }
        Answer::refused(refusal)
    }
}

/// As much of a text as is told.
fn short(text: &str) -> String {
    let ends = text.char_indices().map(|(at, sign)| at + sign.len_utf8());
    let end = ends.take_while(|end| *end <= REFUSAL_TEXT_BYTES_MAX).last();
    text.get(..end.unwrap_or(0)).unwrap_or_default().to_owned()
}

fn claimed(certificate: &Certificate) -> Option<PrincipalId> {
    decide::claimed(certificate).map(|(principal, _)| principal)
}

/// `SSH_CONNECTION` is sshd's own; `PAM_RHOST` may be a name.
fn peer_of(login: &Login) -> (Option<IpAddr>, u16) {
    let mut words = login.connection.split_ascii_whitespace();
    let address = words.next().or(Some(login.remote_host.as_str()));
    // A zone (`fe80::1%eth0`) is no part of the address.
    let address = address
        .and_then(|text| text.split('%').next())
        .and_then(|text| text.parse().ok());
    (
        address,
        words.next().and_then(|port| port.parse().ok()).unwrap_or(0),
    )
}
