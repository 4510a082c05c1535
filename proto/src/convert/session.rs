//! Sessions and tiers.

use monitor_model::{
    clock::UnixNs,
    grant::Tier,
    id::SessionId,
    session::{Binding, Credential, Session, SessionState},
};

use super::{
    InvalidMessage,
    wire::{
        address, address_bytes, closed_enum, id, meaning, meaning_opt, name, name_opt, names, need,
        number, small, text_opt, texts,
    },
};
use crate::v1;

closed_enum!(Tier, v1::Tier, "tier", {
    Standard => Standard, Production => Production, Backup => Backup, Identity => Identity, Endpoint => Endpoint,
});
closed_enum!(Binding, v1::Binding, "binding", {
    Certificate => Certificate, Key => Key, Account => Account, Hop => Hop, Nothing => Nothing,
});
closed_enum!(SessionState, v1::SessionState, "state", {
    Live => Live, Contained => Contained, Ended => Ended,
});

impl From<&Session> for v1::Session {
    fn from(value: &Session) -> Self {
        let Session {
            id,
            host,
            account,
            principal,
            binding,
            way,
            tenant,
            grants,
            ticket,
            tier,
            credential,
            peer,
            peer_port,
            leader_pid,
            audit_session,
            adopted,
            opened_at,
            ended_at,
            state,
            frozen,
        } = value;
        Self {
            id: id.to_bytes().to_vec(),
            host: host.to_string(),
            account: account.clone(),
            principal: text_opt(principal.as_ref()),
            tenant: text_opt(tenant.as_ref()),
            grants: texts(grants),
            ticket: ticket.clone(),
            tier: tier.map_or(0, number::<v1::Tier, _>),
            credential: Some(credential.into()),
            peer: peer.map(address_bytes).unwrap_or_default(),
            peer_port: u32::from(*peer_port),
            leader_pid: *leader_pid,
            audit_session: *audit_session,
            opened_at_unix_ns: opened_at.0,
            ended_at_unix_ns: ended_at.map(|at| at.0),
            state: number::<v1::SessionState, _>(*state),
            binding: number::<v1::Binding, _>(*binding),
            way: way.iter().map(Into::into).collect(),
            adopted: *adopted,
            frozen: frozen.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<v1::Session> for Session {
    type Error = InvalidMessage;
    fn try_from(value: v1::Session) -> Result<Self, InvalidMessage> {
        Ok(Self {
            id: id("session.id", &value.id, SessionId::from_slice)?,
            host: name("session.host", &value.host)?,
            account: value.account,
            principal: name_opt("session.principal", &value.principal)?,
            tenant: name_opt("session.tenant", &value.tenant)?,
            grants: names("session.grants", &value.grants)?,
            ticket: value.ticket,
            tier: meaning_opt::<v1::Tier, _>("session.tier", value.tier)?,
            credential: need("session.credential", value.credential)?.into(),
            peer: if value.peer.is_empty() {
                None
            } else {
                Some(address("session.peer", &value.peer)?)
            },
            peer_port: small("session.peer_port", value.peer_port)?,
            leader_pid: value.leader_pid,
            audit_session: value.audit_session,
            adopted: value.adopted,
            opened_at: UnixNs(value.opened_at_unix_ns),
            ended_at: value.ended_at_unix_ns.map(UnixNs),
            state: meaning::<v1::SessionState, _>("session.state", value.state)?,
            binding: meaning::<v1::Binding, _>("session.binding", value.binding)?,
            way: value
                .way
                .into_iter()
                .map(TryInto::try_into)
                .collect::<Result<_, _>>()?,
            frozen: value.frozen.map(TryInto::try_into).transpose()?,
        })
    }
}

impl From<&Credential> for v1::session::Credential {
    fn from(value: &Credential) -> Self {
        match value {
            Credential::SshCertificate {
                serial,
                key_id,
                ca_fingerprint,
                key_fingerprint,
            } => Self::SshCertificate(v1::SshCertificate {
                serial: *serial,
                key_id: key_id.clone(),
                ca_fingerprint: ca_fingerprint.clone(),
                key_fingerprint: key_fingerprint.clone(),
            }),
            Credential::SshKey { key_fingerprint } => Self::SshKey(v1::SshKey {
                key_fingerprint: key_fingerprint.clone(),
            }),
            Credential::Other { method } => Self::Other(v1::OtherCredential {
                method: method.clone(),
            }),
        }
    }
}

impl From<v1::session::Credential> for Credential {
    fn from(value: v1::session::Credential) -> Self {
        match value {
            v1::session::Credential::SshCertificate(v1::SshCertificate {
                serial,
                key_id,
                ca_fingerprint,
                key_fingerprint,
            }) => Self::SshCertificate {
                serial,
                key_id,
                ca_fingerprint,
                key_fingerprint,
            },
            v1::session::Credential::SshKey(v1::SshKey { key_fingerprint }) => {
                Self::SshKey { key_fingerprint }
            }
            v1::session::Credential::Other(v1::OtherCredential { method }) => {
                Self::Other { method }
            }
        }
    }
}
