//! What would have to be stated to open a connection, by why it is not open.

use std::net::SocketAddr;

use monitor_model::{
    event::Destination,
    id::{GrantId, TenantId},
    tenant::Owner,
    verdict::{Judgement, OutReason, Verdict},
};

/// In words, with the names of zones' and grants' owners.
pub(super) fn to_open(
    reason: Option<OutReason>,
    judgement: &Judgement,
    grants: &[GrantId],
    to: &Destination,
) -> String {
    let Some(reason) = reason else {
        return "nothing: a grant opens it by now".to_owned();
    };
    let nearest = match &judgement.verdict {
        Verdict::OutOfScope {
            grant: Some(grant), ..
        } => Some(grant),
        Verdict::OutOfScope { grant: None, .. }
        | Verdict::InScope { .. }
        | Verdict::Unattributed { .. }
        | Verdict::Exempt { .. } => grants.first(),
    };
    let grant = nearest.map_or_else(|| "a grant".to_owned(), |grant| format!("grant {grant}"));
    let whose = owner(&judgement.owner);
    let place = SocketAddr::new(to.address, to.port);
    match reason {
        OutReason::UnknownDestination => format!("a zone that holds {place}: nobody's does"),
        OutReason::AmbiguousDestination | OutReason::AmbiguousCredential => {
            format!("zones of {whose} that are told apart by interface, namespace or mark")
        }
        OutReason::ProviderOwned => format!(
            "admits = \"any_grant\" at the provider's zone that holds {place}, or a grant of the provider"
        ),
        OutReason::WrongTenant => format!("a grant of {whose}, whose zone holds {place}"),
        OutReason::NoGrant => format!("a grant of {whose}"),
        OutReason::Revoked | OutReason::Expired => {
            format!("a grant of {whose} that holds then: {grant} is over")
        }
        OutReason::NotStarted => format!("{grant}, begun earlier"),
        OutReason::WrongTier => {
            format!("a grant of {whose} of the tier that its zone asks for: {grant} is of another")
        }
        OutReason::NotGranted => format!("{place} in the destinations of {grant}"),
    }
}

fn owner(owner: &Owner) -> String {
    match owner {
        Owner::Tenant(tenant) => tenant.to_string(),
        Owner::Ambiguous(tenants) => {
            let names: Vec<&str> = tenants.iter().map(TenantId::as_str).collect();
            names.join(" and ")
        }
        Owner::Host => "the host".to_owned(),
        Owner::Unknown => "whoever it belongs to".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::report::grouped::tests::{destination, judgement};

    #[test]
    fn every_reason_says_what_would_open_it() {
        let globex: TenantId = "globex".parse().unwrap();
        let to = destination("10.0.0.1");
        let said = |reason, owner| {
            let judged = judgement(reason, owner);
            to_open(Some(reason), &judged, &[], &to)
        };
        for reason in OutReason::ALL {
            assert!(!said(reason, Owner::Tenant(globex.clone())).is_empty());
        }
        let wrong = said(OutReason::WrongTenant, Owner::Tenant(globex.clone()));
        assert_eq!(wrong, "a grant of globex, whose zone holds 10.0.0.1:443");
        let not_granted = said(OutReason::NotGranted, Owner::Tenant(globex.clone()));
        assert_eq!(not_granted, "10.0.0.1:443 in the destinations of grant G1");
        let both = Owner::Ambiguous(vec!["acme".parse().unwrap(), globex]);
        assert!(said(OutReason::AmbiguousDestination, both).contains("acme and globex"));
    }
}
