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

/// Who may stand behind a login, by each thing that names somebody.
#[derive(Clone, Copy, Debug, Default)]
struct Named<'a> {
    /// By the certificate's grant.
    certificate: Option<&'a PrincipalId>,
    /// By the directory, whose key it is.
    key: Option<&'a PrincipalId>,
    /// The session that it came from.
    from: From<'a>,
    /// By the directory, whose account it is.
    account: Option<&'a PrincipalId>,
}

/// Whose session a login came from.
#[derive(Clone, Copy, Debug, Default)]
enum From<'a> {
    /// From none of this host, or from one that names nobody.
    #[default]
    Nobody,
    /// This person's.
    Person(&'a PrincipalId),
    /// One in which two were named: whatever is used from there may be either's.
    Ambiguous,
}

impl Named<'_> {
    /// The strongest. Where somebody else's certificate or key is used from a
    /// session of this host (by an agent or a master connection of theirs),
    /// neither name is safe.
    fn strongest(self) -> (Option<PrincipalId>, Binding) {
        let by_credential = [
            (self.certificate, Binding::Certificate),
            (self.key, Binding::Key),
        ];
        let mut by_credential = by_credential.into_iter();
        let by_credential = by_credential.find_map(|(who, binding)| Some((who?, binding)));
        let found = match (self.from, by_credential) {
            (From::Ambiguous, _) => None,
            (From::Person(from), Some((who, _))) if from != who => None,
            (From::Person(_) | From::Nobody, Some(found)) => Some(found),
            (From::Person(from), None) => Some((from, Binding::Hop)),
            (From::Nobody, None) => self.account.map(|who| (who, Binding::Account)),
        };
        found.map_or((None, Binding::Nothing), |(who, binding)| {
            (Some(who.clone()), binding)
        })
    }
}

impl Desk {
    /// Who it is, by what is strongest.
    pub(super) fn principal(
        &self,
        grant: Option<&Grant>,
        credential: &Credential,
        (login, hop): (&Login, Option<&Hop>),
    ) -> (Option<PrincipalId>, Binding) {
        let named = Named {
            certificate: grant.map(|grant| &grant.principal),
            key: self.of_key(credential),
            from: hop.map_or(From::Nobody, |hop| self.whose(&hop.from)),
            account: self.directory.of_account(&login.account),
        };
        named.strongest()
    }

    fn of_key(&self, credential: &Credential) -> Option<&PrincipalId> {
        let Credential::SshKey { key_fingerprint } = credential else {
            return None;
        };
        self.directory.of_key(key_fingerprint)
    }

    /// A session that nobody is bound to though its credential names somebody had
    /// two names.
    fn whose<'a>(&self, session: &'a Session) -> From<'a> {
        let credential = &session.credential;
        match &session.principal {
            Some(person) => From::Person(person),
            None if credential.serial().is_some() || self.of_key(credential).is_some() => {
                From::Ambiguous
            }
            None => From::Nobody,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(named: Named<'_>) -> (Option<String>, Binding) {
        let (who, binding) = named.strongest();
        (who.map(|who| who.to_string()), binding)
    }

    #[test]
    fn the_strongest_names_and_two_that_differ_name_nobody() {
        let (alice, bob) = ("alice".parse().unwrap(), "bob".parse().unwrap());
        let (alice, bob) = (Some(&alice), Some(&bob));
        let of_alice = From::Person(alice.unwrap());
        let nobody = (None, Binding::Nothing);
        let is = |who: &str, binding| (Some(who.to_owned()), binding);
        let certificate = |certificate, from| {
            bound(Named {
                certificate,
                from,
                account: bob,
                ..Named::default()
            })
        };
        let key = |key, from| {
            bound(Named {
                key,
                from,
                account: bob,
                ..Named::default()
            })
        };
        assert_eq!(
            certificate(bob, From::Nobody),
            is("bob", Binding::Certificate)
        );
        assert_eq!(
            certificate(alice, of_alice),
            is("alice", Binding::Certificate)
        );
        assert_eq!(key(bob, From::Nobody), is("bob", Binding::Key));
        assert_eq!(key(alice, of_alice), is("alice", Binding::Key));
        // Alice's session uses what names bob.
        assert_eq!(certificate(bob, of_alice), nobody);
        assert_eq!(key(bob, of_alice), nobody);
        // And once more from there.
        assert_eq!(certificate(bob, From::Ambiguous), nobody);
        assert_eq!(key(bob, From::Ambiguous), nobody);
        assert_eq!(key(None, From::Ambiguous), nobody);
        // Nothing that names anybody was presented.
        assert_eq!(key(None, of_alice), is("alice", Binding::Hop));
        assert_eq!(key(None, From::Nobody), is("bob", Binding::Account));
        assert_eq!(bound(Named::default()), nobody);
    }
}
