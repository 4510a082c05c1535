//! `GrantService.EndSubject`: an engineer left, a ticket was closed.

use std::time::Duration;

use monitor_model::{id::OrderId, revocation::life::Standing};
use monitor_proto::v1::{
    EndSubjectRequest, EndSubjectResponse, SubjectEnding, end_subject_request::Subject as Named,
};
use monitor_transport::identity::Identity;
use tonic::Status;

use super::{Edge, bad, denied, reads::Words, reason};
use crate::{
    core::endings::{Ended, Ending, Subject},
    writer::Request as Ask,
};

/// Longest name of a ticket, in bytes.
pub const TICKET_BYTES_MAX: usize = 128;
/// How far the broker's clock may be ahead.
const AHEAD_MAX: Duration = Duration::from_secs(300);

impl Edge {
    /// Ends what a subject holds, and enters in the ledgers of its tenants that
    /// the broker said so.
    pub(super) async fn end(
        &self,
        identity: &Identity,
        asked: EndSubjectRequest,
    ) -> Result<EndSubjectResponse, Status> {
        let EndSubjectRequest {
            id,
            subject,
            reason: why,
            at_unix_ns,
        } = asked;
        let id = OrderId::from_slice(&id).map_err(|error| bad("id", error))?;
        let subject = subject_of(subject)?;
        let why = reason("reason", &why)?;
        if at_unix_ns == 0 || at_unix_ns > self.clock.now().plus(AHEAD_MAX).0 {
            let wanted = "give when it happened, in nanoseconds since 1970; not later than now";
            return Err(bad("at_unix_ns", wanted));
        }
        self.enter_ending(identity, (id, &subject), &why, at_unix_ns)
            .await?;
        let ending = Box::new(Ending {
            id,
            subject,
            reason: why,
            initiator: identity.name.to_string(),
            author: format!("{}/{}", identity.role, identity.name),
        });
        let ask = |reply| Ask::EndSubject(ending, reply);
        let (ended, version) = self.writer.ask(ask).await.map_err(denied)?;
        self.agents.shown(version).await;
        Ok(answer(&ended))
    }

    async fn enter_ending(
        &self,
        identity: &Identity,
        (id, subject): (OrderId, &Subject),
        why: &str,
        at_unix_ns: u64,
    ) -> Result<(), Status> {
        let words = Words::default()
            .with("id", id.to_string())
            .with("reason", why)
            .with("at_unix_ns", at_unix_ns);
        let grants = self.writer.tables().borrow().grants.clone();
        let (words, of): (Words, Vec<_>) = match subject {
            Subject::Engineer(who) => {
                let of = grants.values().filter(|grant| grant.principal == *who);
                let of = of.map(|grant| grant.tenant.clone());
                (words.with("engineer", who.as_str()), of.collect())
            }
            Subject::Ticket(ticket) => {
                let of = grants.values().filter(|grant| grant.ticket == *ticket);
                let of = of.map(|grant| grant.tenant.clone());
                (words.with("ticket", ticket.as_str()), of.collect())
            }
        };
        // What nobody knows concerns no client.
        let provider = [monitor_model::id::TenantId::provider()];
        let of = if of.is_empty() { &provider[..] } else { &of };
        let entered = self.asked(identity, "EndSubject", words, of);
        self.enter(&entered).await
    }
}

fn subject_of(subject: Option<Named>) -> Result<Subject, Status> {
    match subject {
        None => Err(bad("subject", "is missing; give engineer or ticket")),
        Some(Named::Engineer(name)) => name
            .parse()
            .map(Subject::Engineer)
            .map_err(|error| bad("engineer", error)),
        Some(Named::Ticket(ticket)) => {
            let is_right = (1..=TICKET_BYTES_MAX).contains(&ticket.len());
            if is_right && !ticket.chars().any(char::is_control) {
                return Ok(Subject::Ticket(ticket));
            }
            let wanted = format!("give 1 to {TICKET_BYTES_MAX} bytes without control characters");
            Err(bad("ticket", wanted))
        }
    }
}

fn answer(ended: &Ended) -> EndSubjectResponse {
    let Ended {
        grants,
        sessions,
        orders,
    } = ended;
    let stands = |wanted| orders.iter().any(|order| order.standing() == wanted);
    let ending = if orders.is_empty() && grants.is_empty() {
        SubjectEnding::NothingHeld
    } else if *sessions == 0 {
        SubjectEnding::GrantsEnded
    } else if stands(Standing::Observed) {
        SubjectEnding::Observed
    } else if stands(Standing::Proposed) {
        SubjectEnding::Proposed
    } else {
        SubjectEnding::SessionsEnding
    };
    EndSubjectResponse {
        ending: ending.into(),
        grants: grants.iter().map(ToString::to_string).collect(),
        sessions: u32::try_from(*sessions).unwrap_or(u32::MAX),
        orders: orders
            .iter()
            .map(|order| order.id.to_bytes().to_vec())
            .collect(),
    }
}
