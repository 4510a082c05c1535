//! One login, and the credential that opened it.

use std::net::IpAddr;

use serde::Serialize;

use crate::{
    clock::UnixNs,
    contain::Frozen,
    event::Step,
    grant::Tier,
    id::{AgentName, GrantId, PrincipalId, SessionId, TenantId},
};

/// What opened a session. Facts from the certificate itself, not from a log line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Credential {
    /// An OpenSSH user certificate, checked by sshd against its CA and KRL.
    SshCertificate {
        /// Serial number, dense per CA.
        serial: u64,
        /// The key id that the CA wrote.
        key_id: String,
        /// SHA-256 fingerprint of the CA's key, as `SHA256:...`.
        ca_fingerprint: String,
        /// SHA-256 fingerprint of the certified key.
        key_fingerprint: String,
    },
    /// A plain public key.
    SshKey {
        /// SHA-256 fingerprint of the key.
        key_fingerprint: String,
    },
    /// Anything else: a password, a console.
    Other {
        /// What PAM or sshd called it; may be empty.
        method: String,
    },
}

impl Credential {
    /// The certificate's serial, where there is one.
    #[must_use]
    pub const fn serial(&self) -> Option<u64> {
        match self {
            Self::SshCertificate { serial, .. } => Some(*serial),
            Self::SshKey { .. } | Self::Other { .. } => None,
        }
    }
}

/// What ties a session to its principal, the strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Binding {
    /// A certificate that names a grant.
    Certificate,
    /// A plain key that the directory knows as one person's.
    Key,
    /// The account is one person's alone, by the directory.
    Account,
    /// The session that it was opened from.
    Hop,
    /// Nothing: nobody is named.
    Nothing,
}

impl Binding {
    /// How far it goes, for people.
    #[must_use]
    pub const fn confidence(self) -> &'static str {
        match self {
            Self::Certificate => "certain: a certificate that the broker issued for a grant",
            Self::Key => "high: a key that is registered for one person",
            Self::Account => "medium: an account that is registered for one person",
            Self::Hop => "high: the login came from another session on this host",
            Self::Nothing => "none: nothing names a person",
        }
    }
}

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionState {
    /// Processes of it live.
    Live,
    /// An order to end it is being carried out.
    Contained,
    /// Its last process is gone.
    Ended,
}

/// One login of one principal on one host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Session {
    /// Its name; also the mark that its processes carry in the kernel.
    pub id: SessionId,
    /// The agent that saw it open.
    pub host: AgentName,
    /// The account logged in to.
    pub account: String,
    /// Who it is; none when nothing bound it to a person.
    pub principal: Option<PrincipalId>,
    /// What ties it to them.
    pub binding: Binding,
    /// How it came from another session on the same host; empty where it did not.
    pub way: Vec<Step>,
    /// The client it was opened for.
    pub tenant: Option<TenantId>,
    /// The grants it stands on.
    pub grants: Vec<GrantId>,
    /// Ticket of the first grant.
    pub ticket: String,
    /// Tier of the first grant.
    pub tier: Option<Tier>,
    /// What opened it.
    pub credential: Credential,
    /// Address the login came from.
    pub peer: Option<IpAddr>,
    /// Port the login came from; 0 when not known.
    pub peer_port: u16,
    /// Process that the mark was first put on.
    pub leader_pid: u32,
    /// The audit session at that time.
    pub audit_session: Option<u32>,
    /// Whether it is older than the probes: its processes were found by their
    /// parents, not marked from the first one on.
    pub adopted: bool,
    /// When it opened.
    pub opened_at: UnixNs,
    /// When its last process went.
    pub ended_at: Option<UnixNs>,
    /// Where it stands.
    pub state: SessionState,
    /// Since when and by which order all its processes stand still; none where
    /// they do not.
    pub frozen: Option<Frozen>,
}
