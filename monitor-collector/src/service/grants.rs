//! `GrantService`: permissions, as brokers give and end them.

use monitor_model::{
    clock::UnixNs,
    grant::{Grant, Life},
    id::{PrincipalId, TenantId},
};
use monitor_proto::v1::{
    EndGrantRequest, EndGrantResponse, ListGrantsRequest, ListGrantsResponse, PutGrantRequest,
    PutGrantResponse, grant_service_server::GrantService,
};
use monitor_transport::identity::Role;
use tonic::{Request, Response, Status};

use super::{Edge, bad, denied, name_opt, page, reason, sight::Sight};
use crate::{ledger::read::within, state::read::Place, writer::Request as Ask};

#[tonic::async_trait]
impl GrantService for Edge {
    async fn put_grant(
        &self,
        request: Request<PutGrantRequest>,
    ) -> Result<Response<PutGrantResponse>, Status> {
        Self::caller(&request, "PutGrant", &[Role::Broker, Role::Admin])?;
        let message = request
            .into_inner()
            .grant
            .ok_or_else(|| bad("grant", "is missing"))?;
        let grant: Grant = message.try_into().map_err(|error| bad("grant", error))?;
        if !self
            .config
            .tenants
            .iter()
            .any(|tenant| tenant.id == grant.tenant)
        {
            return Err(bad(
                "grant.tenant",
                format!("no tenant {} is configured", grant.tenant),
            ));
        }
        let version = self
            .writer
            .ask(|reply| Ask::PutGrant(Box::new(grant), reply))
            .await
            .map_err(denied)?;
        let hosts = self.agents.shown(version).await;
        Ok(Response::new(PutGrantResponse {
            hosts: hosts.iter().map(ToString::to_string).collect(),
        }))
    }

    async fn end_grant(
        &self,
        request: Request<EndGrantRequest>,
    ) -> Result<Response<EndGrantResponse>, Status> {
        let identity = Self::caller(&request, "EndGrant", &[Role::Broker, Role::Admin])?;
        let asked = request.into_inner();
        let id = asked.grant.parse().map_err(|error| bad("grant", error))?;
        let reason = format!(
            "{} (by {})",
            reason("reason", &asked.reason)?,
            identity.name
        );
        let ended = self
            .writer
            .ask(|reply| Ask::EndGrant(id, reason, reply))
            .await;
        let (grant, version) = ended.map_err(denied)?;
        self.agents.shown(version).await;
        Ok(Response::new(EndGrantResponse {
            grant: Some((&grant).into()),
        }))
    }

    async fn list_grants(
        &self,
        request: Request<ListGrantsRequest>,
    ) -> Result<Response<ListGrantsResponse>, Status> {
        let roles = [Role::Soc, Role::Admin, Role::Broker, Role::Auditor];
        let identity = Self::caller(&request, "ListGrants", &roles)?;
        let asked = request.into_inner();
        let size = page::size(asked.page_size)?;
        let place = page::place(&asked.page_token)?;
        let tenant: Option<TenantId> = name_opt("tenant", &asked.tenant)?;
        let principal: Option<PrincipalId> = name_opt("principal", &asked.principal)?;
        let Some(tenants) = Sight::of(&identity).narrow(tenant.as_slice()) else {
            return Ok(Response::new(ListGrantsResponse::default()));
        };
        let known = self.writer.tables().borrow().grants.clone();
        let now = self.clock.now();
        let mut grants: Vec<&Grant> = known
            .values()
            .filter(|grant| within(&tenants, Some(&grant.tenant)))
            .filter(|grant| {
                principal
                    .as_ref()
                    .is_none_or(|principal| grant.principal == *principal)
            })
            .filter(|grant| {
                asked.include_ended || matches!(grant.life(now), Life::Alive | Life::NotStarted)
            })
            .filter(|grant| grant.id.as_str() > place.id.as_str())
            .collect();
        grants.sort_by(|one, two| one.id.cmp(&two.id));
        let next_page_token = page::cut(&mut grants, size, |grant| Place {
            at: UnixNs(0),
            id: grant.id.to_string(),
        });
        let grants = grants.into_iter().map(Into::into).collect();
        Ok(Response::new(ListGrantsResponse {
            grants,
            next_page_token,
        }))
    }
}
