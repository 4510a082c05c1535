//! `HostService`: jump hosts, and what their agents can see.

use monitor_model::{
    clock::UnixNs,
    id::{AgentName, TenantId},
};
use monitor_proto::v1::{
    HostStatus, ListHostsRequest, ListHostsResponse, host_service_server::HostService,
};
use monitor_transport::identity::Role;
use tonic::{Request, Response, Status};

use super::{Edge, name_opt, page, reads::Words};
use crate::state::read::Place;

/// Hosts are the provider's: auditors of tenants learn nothing of them.
const READERS: [Role; 2] = [Role::Soc, Role::Admin];

#[tonic::async_trait]
impl HostService for Edge {
    async fn list_hosts(
        &self,
        request: Request<ListHostsRequest>,
    ) -> Result<Response<ListHostsResponse>, Status> {
        let identity = Self::caller(&request, "ListHosts", &READERS)?;
        let asked = request.into_inner();
        let (size, place) = (
            page::size(asked.page_size)?,
            page::place(&asked.page_token)?,
        );
        let host: Option<AgentName> = name_opt("host", &asked.host)?;
        let words = Words::default().with("host", asked.host.as_str());
        let provider = [TenantId::provider()];
        self.enter_call(&identity, "ListHosts", words, &provider)
            .await?;
        let mut found = self
            .ask_state(move |state| state.hosts(host.as_ref(), &place.id, size + 1))
            .await?;
        let next_page_token = page::cut(&mut found, size, |host| Place {
            at: UnixNs(0),
            id: host.host.to_string(),
        });
        let connected = self.agents.connected();
        let lists = self.writer.tables().borrow().lists.clone();
        let hosts = found
            .iter()
            .map(|host| HostStatus {
                host: Some(host.into()),
                connected: connected.contains(&host.host),
                list: lists.in_place.get(&host.host).map(Into::into),
            })
            .collect();
        Ok(Response::new(ListHostsResponse {
            hosts,
            next_page_token,
            list_number: lists.newest.map(|list| list.number),
        }))
    }
}
