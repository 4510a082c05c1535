//! `RevocationService`: people revoke, and see what became of it.

use monitor_model::{
    clock::UnixNs,
    id::OrderId,
    revocation::{Cause, Order},
};
use monitor_proto::v1::{
    GetOrderRequest, GetOrderResponse, ListOrdersRequest, ListOrdersResponse, RevokeRequest,
    RevokeResponse, revocation_service_server::RevocationService,
};
use monitor_transport::identity::Role;
use tonic::{Request, Response, Status};
use tracing::error;

use super::{Edge, bad, denied, page, reads::Words, reason};
use crate::{core::orders::Wanted, entropy, state::read::Place, writer::Request as Ask};

const ROLES: [Role; 2] = [Role::Soc, Role::Admin];

#[tonic::async_trait]
impl RevocationService for Edge {
    async fn revoke(
        &self,
        request: Request<RevokeRequest>,
    ) -> Result<Response<RevokeResponse>, Status> {
        let identity = Self::caller(&request, "Revoke", &ROLES)?;
        let asked = request.into_inner();
        let target = asked
            .target
            .ok_or_else(|| bad("target", "is missing; say what is to be revoked"))?;
        let id = match asked.order.as_slice() {
            [] => self.new_order()?,
            bytes => OrderId::from_slice(bytes).map_err(|error| bad("order", error))?,
        };
        let wanted = Box::new(Wanted {
            id,
            target: target.try_into().map_err(|error| bad("target", error))?,
            cause: Cause {
                text: reason("reason", &asked.reason)?,
                alert: None,
                event: None,
                initiator: identity.name.to_string(),
            },
            kernel_event: None,
            alert: None,
        });
        if asked.dry_run {
            let words = Words::default()
                .with("target", wanted.target.to_string())
                .with("dry_run", true);
            self.enter_call(&identity, "Revoke", words, &[]).await?;
        }
        let order = self.writer.ask(|reply| {
            if asked.dry_run {
                Ask::Plan(wanted, reply)
            } else {
                Ask::Order(wanted, reply)
            }
        });
        let order = order.await.map_err(denied)?;
        Ok(Response::new(RevokeResponse {
            order: Some((&order).into()),
        }))
    }

    async fn get_order(
        &self,
        request: Request<GetOrderRequest>,
    ) -> Result<Response<GetOrderResponse>, Status> {
        let identity = Self::caller(&request, "GetOrder", &ROLES)?;
        let id = OrderId::from_slice(&request.into_inner().order)
            .map_err(|error| bad("order", error))?;
        let words = Words::default().with("order", id.to_string());
        self.enter_call(&identity, "GetOrder", words, &[]).await?;
        let found = self.ask_state(move |state| state.order(id)).await?;
        let order = found.ok_or_else(|| Status::not_found(format!("no order {id} is known")))?;
        Ok(Response::new(GetOrderResponse {
            order: Some((&order).into()),
        }))
    }

    async fn list_orders(
        &self,
        request: Request<ListOrdersRequest>,
    ) -> Result<Response<ListOrdersResponse>, Status> {
        let identity = Self::caller(&request, "ListOrders", &ROLES)?;
        let asked = request.into_inner();
        let (size, place) = (
            page::size(asked.page_size)?,
            page::place(&asked.page_token)?,
        );
        self.enter_call(&identity, "ListOrders", Words::default(), &[])
            .await?;
        let mut found: Vec<Order> = self
            .ask_state(move |state| state.orders(&place, size + 1))
            .await?;
        let at = |order: &Order| order.times.ordered.unwrap_or(UnixNs(0));
        let next_page_token = page::cut(&mut found, size, |order| Place {
            at: at(order),
            id: order.id.to_string(),
        });
        Ok(Response::new(ListOrdersResponse {
            orders: found.iter().map(Into::into).collect(),
            next_page_token,
        }))
    }
}

impl Edge {
    fn new_order(&self) -> Result<OrderId, Status> {
        let bits = entropy::name_bits().map_err(|error| {
            error!(%error, "No random bytes, no order can be named.");
            Status::internal("the collector has no random bytes; give the order's name yourself")
        })?;
        Ok(OrderId::from_parts(self.clock.now(), bits))
    }
}
