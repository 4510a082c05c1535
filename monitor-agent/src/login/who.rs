//! Who logs in, by what is strongest: a certificate's grant, a registered key,
//! the session that the login came from, an account that is one person's.

use std::net::{IpAddr, SocketAddr};

use monitor_model::{
    bytes::ByteText,
    event::{Carrier, Step},
    grant::Grant,
    id::PrincipalId,
    session::{Binding, Credential, Session},
};

use super::{desk::Desk, hop, protocol::Login};
use crate::attribute::{host::ProcessStat, sessions::Client};

/// A login that came from a session of this host.
pub(super) struct Hop {
    /// The session.
    pub(super) from: Session,
    /// How it is told.
    pub(super) step: Step,
    /// Its process that holds the connection.
    pub(super) client: Client,
}

impl Desk {
    /// Who it is, by what is strongest.
    pub(super) fn principal(
        &self,
        grant: Option<&Grant>,
        credential: &Credential,
        (login, hop): (&Login, Option<&Hop>),
    ) -> (Option<PrincipalId>, Binding) {
        // Another session of this host uses somebody else's certificate: an agent
        // or a master connection of theirs. Neither name is safe.
        let from = hop.and_then(|hop| hop.from.principal.as_ref());
        if let Some(grant) = grant {
            return match from {
                Some(other) if *other != grant.principal => (None, Binding::Nothing),
                Some(_) | None => (Some(grant.principal.clone()), Binding::Certificate),
            };
        }
        if let Credential::SshKey { key_fingerprint } = credential
            && let Some(engineer) = self.directory.of_key(key_fingerprint)
        {
            return (Some(engineer.clone()), Binding::Key);
        }
        if let Some(principal) = from {
            return (Some(principal.clone()), Binding::Hop);
        }
        match self.directory.of_account(&login.account) {
            Some(engineer) => (Some(engineer.clone()), Binding::Account),
            None => (None, Binding::Nothing),
        }
    }

    /// The session on this host that a login came from: the one whose process
    /// holds the other end of the connection.
    pub(super) fn hop(&self, peer: Option<IpAddr>, port: u16) -> Option<Hop> {
        let peer = SocketAddr::new(peer?, port);
        let pid = hop::holder(peer)?;
        let start_ticks = ProcessStat::read(pid).ok()?.start_ticks;
        let from = self.marks.session_of(pid).ok().flatten()?;
        let session = self.sessions.lock().get(from).cloned()?;
        let step = Step {
            carrier: Carrier::SshHop,
            name: ByteText(peer.to_string().into_bytes()),
            at: Some(session.opened_at),
            session: Some(session.id),
        };
        let client = Client {
            pid,
            start_ticks,
            session: session.id,
        };
        Some(Hop {
            from: session,
            step,
            client,
        })
    }
}
