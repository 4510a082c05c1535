//! Whether a certificate opens a session, and for whom. Pure.

use monitor_model::{
    clock::UnixNs,
    grant::{CERTIFICATE_GRANTS_MAX, Grant, Life},
    id::{GrantId, PrincipalId, TenantId},
};

use super::credential::{Certificate, CredentialError, KeyId};
use crate::standing::Tables;

/// Why a login is refused. The text is for the person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// What was shown cannot be read.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// Signed by somebody else.
    #[error(
        "certificate {serial} is of the authority {authority}, which ssh.user_ca of the agent does not name"
    )]
    Authority {
        /// Its serial.
        serial: u64,
        /// Fingerprint of the key that signed it.
        authority: String,
    },
    /// The certificate was revoked.
    #[error("certificate {serial} is revoked")]
    Serial {
        /// Its serial.
        serial: u64,
    },
    /// The person was revoked.
    #[error("the access of {principal} is revoked")]
    Principal {
        /// Who.
        principal: PrincipalId,
    },
    /// No such grant here.
    #[error(
        "grant {grant} is not known to this host: it does not exist, was ended, or did not arrive yet"
    )]
    UnknownGrant {
        /// Its name.
        grant: GrantId,
    },
    /// The grant does not hold now.
    #[error("grant {grant} {state}")]
    Grant {
        /// Its name.
        grant: GrantId,
        /// In words.
        state: &'static str,
    },
    /// The key id and the grant say different things.
    #[error("the certificate's {what} is not that of grant {grant}")]
    Disagrees {
        /// What differs.
        what: &'static str,
        /// The grant's name.
        grant: GrantId,
    },
    /// The certificate does not carry the grant's principal.
    #[error("the certificate does not carry the principal {wanted} of grant {grant}")]
    CertificatePrincipal {
        /// What it should carry.
        wanted: String,
        /// The grant's name.
        grant: GrantId,
    },
    /// The table of sessions is full.
    #[error("{sessions_max} sessions are open on this host, which is the most")]
    Full {
        /// The most.
        sessions_max: usize,
    },
    /// The process that asks cannot be bound.
    #[error("the login cannot be bound to its process: {cause}")]
    Process {
        /// Why.
        cause: String,
    },
}

/// Finds the grant that a certificate stands on.
///
/// # Errors
/// [`Refusal`]; what is not known is refused.
pub fn grant<'a>(
    certificate: &Certificate,
    tables: &'a Tables,
    now: UnixNs,
) -> Result<&'a Grant, Refusal> {
    let serial = certificate.serial;
    if tables.denied_serials.contains(&serial) {
        return Err(Refusal::Serial { serial });
    }
    let key_id: KeyId = certificate.key_id.parse()?;
    let named = key_id.grant;
    let found = tables.grants.get(&named);
    // The person is told apart by both: a denial of either is one.
    for principal in [Some(&key_id.engineer), found.map(|grant| &grant.principal)] {
        if let Some(principal) = principal.filter(|name| tables.denied_principals.contains(name)) {
            return Err(Refusal::Principal {
                principal: principal.clone(),
            });
        }
    }
    let grant = found.ok_or_else(|| Refusal::UnknownGrant {
        grant: named.clone(),
    })?;
    let state = match grant.life(now) {
        Life::Alive => None,
        Life::NotStarted => Some("has not begun"),
        Life::Expired => Some("is over"),
        Life::Ended => Some("was ended"),
    };
    if let Some(state) = state {
        return Err(Refusal::Grant {
            grant: named,
            state,
        });
    }
    let differs = [
        ("engineer", grant.principal != key_id.engineer),
        ("tenant", grant.tenant != key_id.tenant),
        ("tier", grant.tier != key_id.tier),
    ];
    if let Some((what, _)) = differs.into_iter().find(|(_, differs)| *differs) {
        return Err(Refusal::Disagrees { what, grant: named });
    }
    let wanted = grant.certificate_principal();
    if !certificate.principals.contains(&wanted) {
        return Err(Refusal::CertificatePrincipal {
            wanted,
            grant: named,
        });
    }
    Ok(grant)
}

/// The further grants that a certificate names, as far as they are its
/// engineer's in its tenant; whether each holds is judged when it is used.
#[must_use]
pub fn further(certificate: &Certificate, first: &Grant, tables: &Tables) -> Vec<GrantId> {
    let Ok(key_id) = certificate.key_id.parse::<KeyId>() else {
        return Vec::new();
    };
    let known = |id: &GrantId| tables.grants.get(id);
    let is_further = |grant: &&Grant| {
        (&grant.principal, &grant.tenant) == (&first.principal, &first.tenant)
            && grant.id != first.id
            && certificate
                .principals
                .contains(&grant.certificate_principal())
    };
    let found = key_id.also.iter().filter_map(known).filter(is_further);
    let found = found.take(CERTIFICATE_GRANTS_MAX - 1);
    found.map(|grant| grant.id.clone()).collect()
}

/// Who a certificate says it is for, unverified.
#[must_use]
pub fn claimed(certificate: &Certificate) -> Option<(PrincipalId, TenantId)> {
    let key_id: KeyId = certificate.key_id.parse().ok()?;
    Some((key_id.engineer, key_id.tenant))
}

#[cfg(test)]
mod tests {
    use monitor_model::grant::{GrantState, Tier};

    use super::*;
    use crate::standing::tests::grant as make_grant;

    const NOW: UnixNs = UnixNs::from_seconds(1_790_000_000);

    fn certificate() -> Certificate {
        Certificate {
            serial: 7,
            key_id: "v1;eng=alice;tenant=acme;ticket=INC-4711;tier=production;grant=G1".into(),
            principals: vec!["acme-production".into()],
            ca_fingerprint: String::new(),
            key_fingerprint: String::new(),
        }
    }

    fn tables() -> Tables {
        let mut tables = Tables::default();
        let grant = make_grant("G1");
        tables.grants.insert(grant.id.clone(), grant);
        tables
    }

    fn refusal(change: impl FnOnce(&mut Certificate, &mut Tables)) -> String {
        let (mut certificate, mut tables) = (certificate(), tables());
        change(&mut certificate, &mut tables);
        grant(&certificate, &tables, NOW).unwrap_err().to_string()
    }

    fn of(tables: &mut Tables) -> &mut Grant {
        tables.grants.values_mut().next().unwrap()
    }

    #[test]
    fn a_certificate_of_a_live_grant_opens_a_session() {
        let tables = tables();
        assert_eq!(
            grant(&certificate(), &tables, NOW).unwrap().id.as_str(),
            "G1"
        );
    }

    #[test]
    fn further_grants_count_where_they_are_the_same_persons_in_the_same_tenant() {
        let mut tables = tables();
        for (id, tier, change) in [
            ("G2", Tier::Backup, ""),
            ("G3", Tier::Identity, ""),
            ("G4", Tier::Backup, "bob"),
            ("G5", Tier::Backup, "globex"),
        ] {
            let mut grant = make_grant(id);
            grant.tier = tier;
            match change {
                "bob" => grant.principal = change.parse().unwrap(),
                "globex" => grant.tenant = change.parse().unwrap(),
                _ => {}
            }
            tables.grants.insert(grant.id.clone(), grant);
        }
        let mut certificate = certificate();
        certificate.key_id.push_str(";also=G1,G2,G3,G4,G5,G6");
        // No principal of tier identity was signed.
        certificate.principals.push("acme-backup".into());
        certificate.principals.push("globex-backup".into());
        let first = grant(&certificate, &tables, NOW).unwrap();
        let found = further(&certificate, first, &tables);
        assert_eq!(found, ["G2".parse().unwrap()]);
    }

    #[test]
    fn everything_else_is_refused_with_its_reason() {
        let text = refusal(|_, tables| tables.denied_serials = [7].into());
        assert_eq!(text, "certificate 7 is revoked");
        let text =
            refusal(|_, tables| tables.denied_principals = ["alice".parse().unwrap()].into());
        assert_eq!(text, "the access of alice is revoked");
        let text = refusal(|_, tables| tables.grants.clear());
        assert!(
            text.starts_with("grant G1 is not known to this host"),
            "{text}"
        );
        let text = refusal(|_, tables| of(tables).expires = NOW);
        assert_eq!(text, "grant G1 is over");
        let text = refusal(|_, tables| of(tables).not_before = UnixNs(NOW.0 + 1));
        assert_eq!(text, "grant G1 has not begun");
        let ended = GrantState::Ended {
            at: UnixNs(1),
            reason: "left".into(),
        };
        let text = refusal(|_, tables| of(tables).state = ended);
        assert_eq!(text, "grant G1 was ended");
        let text = refusal(|_, tables| of(tables).principal = "bob".parse().unwrap());
        assert_eq!(text, "the certificate's engineer is not that of grant G1");
        let text = refusal(|_, tables| of(tables).tenant = "globex".parse().unwrap());
        assert_eq!(text, "the certificate's tenant is not that of grant G1");
        let text =
            refusal(|certificate, _| certificate.principals = vec!["globex-production".into()]);
        assert!(
            text.contains("does not carry the principal acme-production"),
            "{text}"
        );
        let text = refusal(|certificate, _| certificate.key_id = "alice".into());
        assert!(text.contains("key id"), "{text}");
    }
}
