//! `SessionService` and `AlertService`: what is and was, by page.

use monitor_model::{alert::Severity, id::SessionId};
use monitor_proto::v1::{
    self, ListAlertsRequest, ListAlertsResponse, ListSessionsRequest, ListSessionsResponse,
    alert_service_server::AlertService, session_service_server::SessionService,
};
use monitor_transport::identity::Role;
use tonic::{Request, Response, Status};

use super::{Edge, bad, name_opt, page, sight::Sight};
use crate::state::read::{AlertFilter, Place, SessionFilter};

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
        let filter = SessionFilter {
            principal: name_opt("principal", &asked.principal)?,
            tenants,
            host: name_opt("host", &asked.host)?,
            ended: asked.include_ended,
        };
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

#[tonic::async_trait]
impl AlertService for Edge {
    async fn list_alerts(
        &self,
        request: Request<ListAlertsRequest>,
    ) -> Result<Response<ListAlertsResponse>, Status> {
        let identity = Self::caller(&request, "ListAlerts", &READERS)?;
        let sight = Sight::of(&identity);
        let asked = request.into_inner();
        let (size, place) = (
            page::size(asked.page_size)?,
            page::place(&asked.page_token)?,
        );
        let tenant = name_opt("tenant", &asked.tenant)?;
        let Some(ledgers) = sight.narrow(tenant.as_slice()) else {
            return Ok(Response::new(ListAlertsResponse::default()));
        };
        let filter = AlertFilter {
            principal: name_opt("principal", &asked.principal)?,
            ledgers,
            session: session(&asked.session)?,
            severity_min: severity(asked.severity_min)?,
        };
        let mut found = self
            .seated(&sight)
            .ask_state(move |state| state.alerts(&filter, place.at, size + 1))
            .await?;
        let next_page_token = page::cut(&mut found, size, |raised| Place {
            at: raised.stamp,
            id: String::new(),
        });
        let alerts = found.iter().map(|raised| sight.alert(raised)).collect();
        Ok(Response::new(ListAlertsResponse {
            alerts,
            next_page_token,
        }))
    }
}

fn session(bytes: &[u8]) -> Result<Option<SessionId>, Status> {
    if bytes.is_empty() {
        return Ok(None);
    }
    SessionId::from_slice(bytes)
        .map(Some)
        .map_err(|error| bad("session", error))
}

fn severity(number: i32) -> Result<Option<Severity>, Status> {
    match v1::Severity::try_from(number) {
        Ok(v1::Severity::Unspecified) => Ok(None),
        Ok(severity) => severity
            .try_into()
            .map(Some)
            .map_err(|error| bad("severity_min", error)),
        Err(_) => Err(bad("severity_min", format!("{number} is no severity"))),
    }
}
