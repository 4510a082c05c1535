//! `RevocationListService`: the broker's list, for hosts.

use monitor_model::krl::RevocationList;
use monitor_proto::v1::{
    PutListRequest, PutListResponse, revocation_list_service_server::RevocationListService,
};
use monitor_transport::identity::{Identity, Role};
use sha2::{Digest as _, Sha256};
use tonic::{Request, Response, Status};

use super::{Edge, bad, denied};
use crate::{config::broker::BrokerWay, writer::Request as Ask};

impl Edge {
    /// Where a broker is named, only that one.
    fn is_the_broker(&self, identity: &Identity) -> Result<(), Status> {
        let broker = self.config.broker.as_ref();
        match broker.map(|broker| &broker.way) {
            Some(BrokerWay::Feed { name }) if *name != identity.name => {
                Err(Status::permission_denied(format!(
                    "lists of this collector come from another broker than {}",
                    identity.name
                )))
            }
            Some(BrokerWay::Feed { .. } | BrokerWay::Grpc { .. } | BrokerWay::Webhook { .. })
            | None => Ok(()),
        }
    }
}

#[tonic::async_trait]
impl RevocationListService for Edge {
    async fn put_list(
        &self,
        request: Request<PutListRequest>,
    ) -> Result<Response<PutListResponse>, Status> {
        let identity = Self::caller(&request, "PutList", &[Role::Broker])?;
        self.is_the_broker(&identity)?;
        let list = request.into_inner().list;
        let list = list.ok_or_else(|| bad("list", "is missing"))?;
        let list = RevocationList::try_from(list).map_err(|error| bad("list", error))?;
        let digest = Sha256::digest(&list.bytes).into();
        list.check(digest).map_err(|error| bad("list", error))?;
        let ask = |reply| Ask::PutList(Box::new(list), reply);
        let number = self.writer.ask(ask).await.map_err(denied)?;
        Ok(Response::new(PutListResponse { number }))
    }
}
