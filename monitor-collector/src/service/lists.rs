//! `SessionService`: logins that are and were, by page.

use monitor_proto::v1::{
    ListSessionsRequest, ListSessionsResponse, session_service_server::SessionService,
};
use monitor_transport::identity::Role;
use tonic::{Request, Response, Status};

use super::{Edge, name_opt, page, reads::Words, sight::Sight};
use crate::state::read::{Place, SessionFilter};

const READERS: [Role; 3] = [Role::Soc, Role::Admin, Role::Auditor];

#[tonic::async_trait]
impl SessionService for Edge {
    async fn list_sessions(
        &self,
        request: Request<ListSessionsRequest>,
    ) -> Result<Response<ListSessionsResponse>, Status> {
        let identity = Self::caller(&request, "ListSessions", &READERS)?;
        let sight = Sight::of(&identity);
        let asked = request.into_inner();
        let (size, place) = (
            page::size(asked.page_size)?,
            page::place(&asked.page_token)?,
        );
        let tenant = name_opt("tenant", &asked.tenant)?;
        let Some(tenants) = sight.narrow(tenant.as_slice()) else {
            return Ok(Response::new(ListSessionsResponse::default()));
        };
        let words = Words::default()
            .with("principal", asked.principal.as_str())
            .with("tenant", asked.tenant.as_str())
            .with("host", asked.host.as_str())
            .with("include_ended", asked.include_ended);
        let of = tenants.clone();
        let filter = SessionFilter {
            principal: name_opt("principal", &asked.principal)?,
            tenants,
            host: name_opt("host", &asked.host)?,
            ended: asked.include_ended,
        };
        self.enter_call(&identity, "ListSessions", words, &of)
            .await?;
        let mut found = self
            .seated(&sight)
            .ask_state(move |state| state.sessions(&filter, &place, size + 1))
            .await?;
        let next_page_token = page::cut(&mut found, size, |session| Place {
            at: session.opened_at,
            id: session.id.to_string(),
        });
        let grants = self.writer.tables().borrow().grants.clone();
        let sessions = found
            .iter()
            .map(|session| sight.session(session, &grants))
            .collect();
        Ok(Response::new(ListSessionsResponse {
            sessions,
            next_page_token,
        }))
    }
}
