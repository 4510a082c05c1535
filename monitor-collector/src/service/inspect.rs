//! `InspectService`: what lives in one session now, asked of its host.
//!
//! Each look is an entry in the ledgers of the tenants whose session it is,
//! before the host is asked; and of those whose credentials are seen to be open
//! in it, before that is shown. Bound: as `ingest::inspections`.

use std::collections::BTreeSet;

use monitor_model::{
    id::{SessionId, TenantId},
    inspect::{NotShown, Snapshot},
    session::Session,
};
use monitor_proto::v1::{
    InspectSessionRequest, InspectSessionResponse, inspect_service_server::InspectService,
};
use monitor_transport::identity::{Identity, Role};
use tonic::{Request, Response, Status};

use super::{Edge, bad, reads::Words, sight::Sight};
use crate::ingest::{agents::Asked, inspections::Unanswered};

/// What a host shows is not parted by tenants: auditors read ledgers.
const ROLES: [Role; 2] = [Role::Soc, Role::Admin];
const CALL: &str = "InspectSession";

#[tonic::async_trait]
impl InspectService for Edge {
    async fn inspect_session(
        &self,
        request: Request<InspectSessionRequest>,
    ) -> Result<Response<InspectSessionResponse>, Status> {
        let identity = Self::caller(&request, CALL, &ROLES)?;
        let id = SessionId::from_slice(&request.into_inner().session)
            .map_err(|error| bad("session", error))?;
        let found = self.ask_state(move |state| state.session(id, &[])).await?;
        let session = found
            .ok_or_else(|| Status::not_found(format!("no session {id} is known")))?
            .session;
        let of = self.tenants_of(&session);
        self.enter_look(&identity, id, &of).await?;
        let snapshot = match self.agents.asked(&session.host) {
            Asked::Away => return Err(away(&session)),
            Asked::TooOld => return Err(too_old(&session)),
            Asked::Here(inspections) => inspections.ask(id).await,
        };
        let snapshot = snapshot.map_err(|why| unanswered(why, &session))?;
        let others: BTreeSet<TenantId> = owners(&snapshot)
            .filter(|tenant| !of.contains(tenant))
            .collect();
        if !others.is_empty() {
            self.enter_look(&identity, id, &others).await?;
        }
        let grants = self.writer.tables().borrow().grants.clone();
        Ok(Response::new(InspectSessionResponse {
            session: Some(Sight::of(&identity).session(&session, &grants)),
            snapshot: Some((&snapshot).into()),
        }))
    }
}

impl Edge {
    /// The tenants that a session works for; what is nobody's is the provider's.
    fn tenants_of(&self, session: &Session) -> BTreeSet<TenantId> {
        let grants = self.writer.tables().borrow().grants.clone();
        let known = session.grants.iter().filter_map(|id| grants.get(id));
        let mut of: BTreeSet<TenantId> = known.map(|grant| grant.tenant.clone()).collect();
        of.extend(session.tenant.clone());
        if of.is_empty() {
            of.insert(TenantId::provider());
        }
        of
    }

    async fn enter_look(
        &self,
        identity: &Identity,
        session: SessionId,
        of: &BTreeSet<TenantId>,
    ) -> Result<(), Status> {
        let words = Words::default().with("session", session.to_string());
        let of: Vec<TenantId> = of.iter().cloned().collect();
        self.enter_call(identity, CALL, words, &of).await
    }
}

/// Whose credentials are open in it.
fn owners(snapshot: &Snapshot) -> impl Iterator<Item = TenantId> {
    let held = snapshot.processes.iter().flat_map(|one| &one.descriptors);
    let credentials = held.filter_map(|one| one.credential.as_ref());
    credentials.map(|one| one.tenant.clone().unwrap_or_else(TenantId::provider))
}

fn away(session: &Session) -> Status {
    if session.ended_at.is_some() {
        return over(session);
    }
    Status::failed_precondition(format!(
        "the agent of {} is not connected, so that nobody can look; what it told before shows `monitorctl sessions --tree`",
        session.host
    ))
}

fn too_old(session: &Session) -> Status {
    Status::failed_precondition(format!(
        "the agent of {} is too old to be asked what lives in a session; update it, or see what it told: `monitorctl sessions --tree`",
        session.host
    ))
}

fn over(session: &Session) -> Status {
    Status::failed_precondition(format!(
        "session {} is over: its last process is gone; `monitorctl search --session {0}` shows what it did",
        session.id
    ))
}

fn unanswered(why: Unanswered, session: &Session) -> Status {
    let text = format!("{}: {why}", session.host);
    match why {
        Unanswered::NotShown(NotShown::Unknown) if session.ended_at.is_some() => over(session),
        Unanswered::NotShown(NotShown::Unknown) => Status::failed_precondition(text),
        Unanswered::Full | Unanswered::NotShown(NotShown::Busy) => Status::resource_exhausted(text),
        Unanswered::Gone => Status::aborted(format!("{text}; ask again when it is back")),
        Unanswered::Late => Status::deadline_exceeded(text),
        Unanswered::Other | Unanswered::NotShown(NotShown::Failed) => Status::internal(text),
    }
}
