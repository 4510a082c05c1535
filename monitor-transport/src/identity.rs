//! Roles and names, from certificates; of people also from tokens ([`crate::token`]).
//!
//! A certificate names its holder by one URI among its subject alternative
//! names: `monitor://ROLE/NAME`, for an auditor with `?tenant=T` once or more.
//! Nothing that a peer says in a message changes who it is: a token is proof only
//! by its issuer's signature, and never of a machine.

use std::{fmt, str::FromStr};

use monitor_model::{
    clock::UnixNs,
    id::{InvalidId, PrincipalId, TenantId},
};
use tonic::{Request, Status};
use x509_parser::{extensions::GeneralName, prelude::*};

/// What a peer may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Watches one host.
    Agent,
    /// Receives events and judges.
    Collector,
    /// Gives and revokes credentials.
    Broker,
    /// Reads everything, acknowledges, revokes.
    Soc,
    /// As `Soc`, and puts grants.
    Admin,
    /// Reads what concerns the tenants it is bound to.
    Auditor,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 6] = [
        Self::Agent,
        Self::Collector,
        Self::Broker,
        Self::Soc,
        Self::Admin,
        Self::Auditor,
    ];

    /// The name in certificates and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Collector => "collector",
            Self::Broker => "broker",
            Self::Soc => "soc",
            Self::Admin => "admin",
            Self::Auditor => "auditor",
        }
    }

    /// Whether the holder is dialled by others.
    #[must_use]
    pub const fn is_server(self) -> bool {
        matches!(self, Self::Collector | Self::Broker)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Role {
    type Err = IdentityError;
    fn from_str(text: &str) -> Result<Self, IdentityError> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| IdentityError::Role {
                text: text.to_owned(),
            })
    }
}

/// Who a certificate belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// What it may do.
    pub role: Role,
    /// Its name: of a host for an agent, of a person or service otherwise.
    pub name: PrincipalId,
    /// The tenants an auditor is bound to; empty for every other role.
    pub tenants: Vec<TenantId>,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "monitor://{}/{}", self.role, self.name)?;
        for (at, tenant) in self.tenants.iter().enumerate() {
            write!(f, "{}tenant={tenant}", if at == 0 { '?' } else { '&' })?;
        }
        Ok(())
    }
}

impl FromStr for Identity {
    type Err = IdentityError;
    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let wrong = || IdentityError::Form {
            text: text.to_owned(),
        };
        let rest = text.strip_prefix("monitor://").ok_or_else(wrong)?;
        let (path, query) = rest
            .split_once('?')
            .map_or((rest, None), |(path, query)| (path, Some(query)));
        let (role, name) = path.split_once('/').ok_or_else(wrong)?;
        let mut tenants = Vec::new();
        for pair in query.into_iter().flat_map(|query| query.split('&')) {
            tenants.push(pair.strip_prefix("tenant=").ok_or_else(wrong)?.parse()?);
        }
        Self::new(role.parse()?, name.parse()?, tenants)
    }
}

/// Why nobody could be made out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The peer showed no certificate.
    #[error("no client certificate was shown")]
    NoCertificate,
    /// The certificate cannot be read.
    #[error("the certificate cannot be read: {cause}")]
    Certificate {
        /// What is wrong with it.
        cause: String,
    },
    /// No URI of ours, or several.
    #[error("the certificate names {found} monitor:// identities; exactly one is needed")]
    Count {
        /// How many there were.
        found: usize,
    },
    /// Not of the form `monitor://ROLE/NAME`.
    #[error("identity {text:?} is not of the form monitor://ROLE/NAME")]
    Form {
        /// The text found.
        text: String,
    },
    /// Unknown role.
    #[error("role {text:?} is not one of agent, collector, broker, soc, admin, auditor")]
    Role {
        /// The text found.
        text: String,
    },
    /// A name that is none.
    #[error(transparent)]
    Name(#[from] InvalidId),
    /// An auditor of nobody.
    #[error(
        "an auditor's identity must be bound to a tenant, as in monitor://auditor/eve?tenant=acme"
    )]
    NoTenant,
    /// Only auditors are bound to tenants.
    #[error("an identity of role {role} cannot be bound to tenants")]
    Tenants {
        /// The role found.
        role: Role,
    },
}

impl Identity {
    /// Somebody of a role; auditors alone are bound to tenants, and must be.
    ///
    /// # Errors
    /// [`IdentityError::NoTenant`], [`IdentityError::Tenants`].
    pub fn new(
        role: Role,
        name: PrincipalId,
        tenants: Vec<TenantId>,
    ) -> Result<Self, IdentityError> {
        match (role, tenants.is_empty()) {
            (Role::Auditor, true) => Err(IdentityError::NoTenant),
            (Role::Auditor, false) | (_, true) => Ok(Self {
                role,
                name,
                tenants,
            }),
            (role, false) => Err(IdentityError::Tenants { role }),
        }
    }

    /// Reads the identity from a certificate (DER).
    ///
    /// # Errors
    /// [`IdentityError`] when it is no certificate or names not exactly one identity.
    pub fn from_certificate(der: &[u8]) -> Result<Self, IdentityError> {
        let unreadable = |cause: String| IdentityError::Certificate { cause };
        let (_, certificate) =
            X509Certificate::from_der(der).map_err(|error| unreadable(error.to_string()))?;
        let names = certificate
            .subject_alternative_name()
            .map_err(|error| unreadable(error.to_string()))?
            .map(|extension| extension.value.general_names.as_slice())
            .unwrap_or_default();
        let mut ours = names.iter().filter_map(|name| {
            let GeneralName::URI(uri) = name else {
                return None;
            };
            uri.starts_with("monitor://").then_some(*uri)
        });
        match (ours.next(), ours.count()) {
            (Some(uri), 0) => uri.parse(),
            (first, more) => Err(IdentityError::Count {
                found: usize::from(first.is_some()) + more,
            }),
        }
    }

    /// Who sent a request: whom the server admitted, else by the certificate of
    /// its connection. Nothing that a peer sends gets among the extensions.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` with the reason when nobody can be made out.
    pub fn of<T>(request: &Request<T>) -> Result<Self, Status> {
        if let Some(admitted) = request.extensions().get::<Self>() {
            return Ok(admitted.clone());
        }
        Self::shown(request)
            .and_then(|shown| shown.ok_or(IdentityError::NoCertificate))
            .map_err(|error| Status::unauthenticated(error.to_string()))
    }

    /// Whose certificate the connection of a request showed; none without one.
    ///
    /// # Errors
    /// [`IdentityError`] when it names not exactly one identity.
    pub fn shown<T>(request: &Request<T>) -> Result<Option<Self>, IdentityError> {
        let certificates = request.peer_certs();
        let leaf = certificates.as_ref().and_then(|all| all.first());
        leaf.map(|leaf| Self::from_certificate(leaf)).transpose()
    }

    /// Until when the certificate holds that the connection of a request showed;
    /// none without one. The handshake looks at that once, and connections last.
    ///
    /// # Errors
    /// [`IdentityError::Certificate`].
    pub fn shown_until<T>(request: &Request<T>) -> Result<Option<UnixNs>, IdentityError> {
        let certificates = request.peer_certs();
        let leaf = certificates.as_ref().and_then(|all| all.first());
        leaf.map(|leaf| valid_until(leaf)).transpose()
    }

    /// Passes when the role is one of those allowed.
    ///
    /// # Errors
    /// `PERMISSION_DENIED` that names the roles that would be right.
    pub fn require(&self, allowed: &[Role]) -> Result<(), Status> {
        if allowed.contains(&self.role) {
            return Ok(());
        }
        let right: Vec<&str> = allowed.iter().map(|role| role.as_str()).collect();
        Err(Status::permission_denied(format!(
            "{} has the role {}; this call takes {}",
            self.name,
            self.role,
            right.join(" or ")
        )))
    }
}

/// The last instant at which a certificate holds.
///
/// # Errors
/// [`IdentityError::Certificate`].
pub fn valid_until(der: &[u8]) -> Result<UnixNs, IdentityError> {
    let (_, certificate) =
        X509Certificate::from_der(der).map_err(|error| IdentityError::Certificate {
            cause: error.to_string(),
        })?;
    let seconds = certificate.validity().not_after.timestamp();
    Ok(UnixNs::from_seconds(u64::try_from(seconds).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_survive_their_text_form() {
        for text in [
            "monitor://agent/jump-1",
            "monitor://auditor/eve?tenant=acme&tenant=globex",
        ] {
            assert_eq!(text.parse::<Identity>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn wrong_identities_are_refused() {
        for text in [
            "agent/jump-1",
            "monitor://agent",
            "monitor://root/x",
            "monitor://agent/a b",
            "monitor://auditor/eve",
            "monitor://soc/eve?tenant=acme",
            "monitor://auditor/eve?owner=acme",
        ] {
            assert!(text.parse::<Identity>().is_err(), "{text}");
        }
    }
}
