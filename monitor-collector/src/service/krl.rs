//! `RevocationListService`: the broker's list, for hosts.

use monitor_model::{clock::UnixNs, krl::RevocationList};
use monitor_proto::v1::{
    PutListRequest, PutListResponse, ReportChangeRequest, ReportChangeResponse,
    revocation_list_service_server::RevocationListService,
};
use monitor_transport::identity::{Identity, Role};
use sha2::{Digest as _, Sha256};
use tonic::{Request, Response, Status};

use super::{Edge, bad, denied};
use crate::{config::broker::BrokerWay, core::krl::ListChange, writer::Request as Ask};

/// Most bytes of words about a change.
const FOUND_BYTES_MAX: usize = 256;

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

    async fn report_change(
        &self,
        request: Request<ReportChangeRequest>,
    ) -> Result<Response<ReportChangeResponse>, Status> {
        let identity = Self::caller(&request, "ReportChange", &[Role::Broker])?;
        self.is_the_broker(&identity)?;
        let ReportChangeRequest {
            number,
            found,
            found_at_unix_ns,
        } = request.into_inner();
        if found.is_empty() || found.len() > FOUND_BYTES_MAX {
            let wrong = format!("has {} bytes; 1 to {FOUND_BYTES_MAX}", found.len());
            return Err(bad("found", wrong));
        }
        if found_at_unix_ns == 0 {
            return Err(bad("found_at_unix_ns", "is missing"));
        }
        let change = ListChange {
            broker: identity.name,
            number,
            found,
            at: UnixNs(found_at_unix_ns),
        };
        let ask = |reply| Ask::ListChanged(Box::new(change), reply);
        let is_new = self.writer.ask(ask).await.map_err(denied)?;
        Ok(Response::new(ReportChangeResponse { is_new }))
    }
}
