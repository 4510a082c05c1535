//! `RevocationService`: people revoke, and see what became of it.

use monitor_ledger::{key::LogKey, receipt};
use monitor_model::{
    clock::UnixNs,
    id::OrderId,
    revocation::{
        Cause, Mode, Order,
        life::{Standing, State},
    },
};
use monitor_proto::v1::{
    self, ApproveRequest, ApproveResponse, GetOrderRequest, GetOrderResponse, GetReceiptRequest,
    GetReceiptResponse, LiftRequest, LiftResponse, ListOrdersRequest, ListOrdersResponse,
    RejectRequest, RejectResponse, RevokeRequest, RevokeResponse,
    revocation_service_server::RevocationService,
};
use monitor_transport::identity::{Identity, Role};
use tonic::{Request, Response, Status};
use tracing::error;

use super::{Edge, bad, denied, page, reads::Words, reason};
use crate::{
    core::{orders::Wanted, standing::Decision},
    entropy,
    state::{
        StateError,
        read::{Place, StateReader},
    },
    writer::Request as Ask,
};

const ROLES: [Role; 2] = [Role::Soc, Role::Admin];
/// Orders that are read at once while those of some states are looked for.
const PAGE: u32 = 1_000;

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
            mode: mode(asked.mode)?,
            not_after: self.not_after(asked.not_after_unix_ns)?,
            cause: Cause {
                text: reason("reason", &asked.reason)?,
                alert: None,
                event: None,
                initiator: identity.name.to_string(),
            },
            author: author(&identity),
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
        let states = states(&asked.states)?;
        let names: Vec<&str> = states.iter().map(|state| state.as_str()).collect();
        let words = Words::default().with("states", names);
        self.enter_call(&identity, "ListOrders", words, &[]).await?;
        let mut found: Vec<Order> = self
            .ask_state(move |state| standing_in(state, place, size + 1, &states))
            .await?;
        let next_page_token = page::cut(&mut found, size, place_of);
        Ok(Response::new(ListOrdersResponse {
            orders: found.iter().map(Into::into).collect(),
            next_page_token,
        }))
    }

    async fn approve(
        &self,
        request: Request<ApproveRequest>,
    ) -> Result<Response<ApproveResponse>, Status> {
        let identity = Self::caller(&request, "Approve", &ROLES)?;
        let ApproveRequest { order, note } = request.into_inner();
        let note = match note.trim() {
            "" => String::new(),
            written => reason("note", written)?,
        };
        let order = self
            .decide(&identity, &order, (Standing::InForce, note))
            .await?;
        Ok(Response::new(ApproveResponse { order }))
    }

    async fn reject(
        &self,
        request: Request<RejectRequest>,
    ) -> Result<Response<RejectResponse>, Status> {
        let identity = Self::caller(&request, "Reject", &ROLES)?;
        let RejectRequest { order, note } = request.into_inner();
        let note = reason("note", &note)?;
        let order = self
            .decide(&identity, &order, (Standing::Rejected, note))
            .await?;
        Ok(Response::new(RejectResponse { order }))
    }

    async fn lift(&self, request: Request<LiftRequest>) -> Result<Response<LiftResponse>, Status> {
        let identity = Self::caller(&request, "Lift", &ROLES)?;
        let LiftRequest { order, note } = request.into_inner();
        let note = reason("note", &note)?;
        let order = self
            .decide(&identity, &order, (Standing::Lifted, note))
            .await?;
        Ok(Response::new(LiftResponse { order }))
    }

    async fn get_receipt(
        &self,
        request: Request<GetReceiptRequest>,
    ) -> Result<Response<GetReceiptResponse>, Status> {
        let identity = Self::caller(&request, "GetReceipt", &ROLES)?;
        let id = OrderId::from_slice(&request.into_inner().order)
            .map_err(|error| bad("order", error))?;
        let words = Words::default().with("order", id.to_string());
        self.enter_call(&identity, "GetReceipt", words, &[]).await?;
        let found = self.ask_state(move |state| state.order(id)).await?;
        let order = found.ok_or_else(|| Status::not_found(format!("no order {id} is known")))?;
        let note = self.receipt(&order)?;
        Ok(Response::new(GetReceiptResponse { note }))
    }
}

/// Orders that stand in one of these states, newest first.
fn standing_in(
    state: &StateReader,
    mut place: Place,
    wanted: u32,
    states: &[State],
) -> Result<Vec<Order>, StateError> {
    let most = usize::try_from(wanted).unwrap_or(usize::MAX);
    let mut found = Vec::new();
    loop {
        let page = state.orders(&place, PAGE)?;
        let Some(last) = page.last() else {
            return Ok(found);
        };
        place = place_of(last);
        let fits = |order: &Order| states.is_empty() || states.contains(&order.state());
        found.extend(page.into_iter().filter(fits));
        if found.len() >= most {
            found.truncate(most);
            return Ok(found);
        }
    }
}

fn place_of(order: &Order) -> Place {
    Place {
        at: order.given_at(),
        id: order.id.to_string(),
    }
}

fn states(numbers: &[i32]) -> Result<Vec<State>, Status> {
    let state = |number: &i32| {
        let known = v1::OrderState::try_from(*number).ok();
        let known = known.and_then(|state| State::try_from(state).ok());
        known.ok_or_else(|| bad("states", format!("{number} is no state of orders")))
    };
    numbers.iter().map(state).collect()
}

fn mode(number: i32) -> Result<Mode, Status> {
    if number == 0 {
        return Ok(Mode::Kill);
    }
    let known = v1::OrderMode::try_from(number).ok();
    let known = known.and_then(|mode| Mode::try_from(mode).ok());
    known.ok_or_else(|| bad("mode", format!("{number} is no mode; give kill or freeze")))
}

/// Who, as steps name them.
fn author(identity: &Identity) -> String {
    format!("{}/{}", identity.role, identity.name)
}

impl Edge {
    /// Does something with an order; who did what is kept on it.
    async fn decide(
        &self,
        identity: &Identity,
        order: &[u8],
        (to, note): (Standing, String),
    ) -> Result<Option<v1::Order>, Status> {
        let id = OrderId::from_slice(order).map_err(|error| bad("order", error))?;
        let decision = Box::new(Decision {
            order: id,
            to,
            by: identity.name.clone(),
            author: author(identity),
            note,
        });
        let decided = self.writer.ask(|reply| Ask::Decide(decision, reply)).await;
        Ok(Some((&decided.map_err(denied)?).into()))
    }

    /// When an order is to be over: later than now.
    fn not_after(&self, at_unix_ns: Option<u64>) -> Result<Option<UnixNs>, Status> {
        match at_unix_ns.map(UnixNs) {
            Some(at) if at <= self.clock.now() => Err(bad(
                "not_after_unix_ns",
                "is past; give a time that is to come",
            )),
            stated => Ok(stated),
        }
    }

    /// What became of an order, signed.
    fn receipt(&self, order: &Order) -> Result<Vec<u8>, Status> {
        let Some(path) = &self.config.ledger_key else {
            return Err(Status::failed_precondition(
                "this collector has no ledger key, so that it can sign nothing; give it [ledger] key",
            ));
        };
        let signed = LogKey::load(path)
            .map_err(|error| error.to_string())
            .and_then(|key| {
                let receipt = receipt::Receipt::new(order, &self.config.name, self.clock.now());
                receipt.sign(&key).map_err(|error| error.to_string())
            });
        signed.map_err(|error| {
            error!(%error, order = %order.id, "Receipt cannot be signed.");
            Status::internal("the receipt cannot be signed; the collector's log says why")
        })
    }

    fn new_order(&self) -> Result<OrderId, Status> {
        let bits = entropy::name_bits().map_err(|error| {
            error!(%error, "No random bytes, no order can be named.");
            Status::internal("the collector has no random bytes; give the order's name yourself")
        })?;
        Ok(OrderId::from_parts(self.clock.now(), bits))
    }
}
