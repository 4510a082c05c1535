//! A collector that tells what the test gave it, over real mutual TLS.

use std::{
    collections::VecDeque,
    net::{SocketAddr, TcpListener},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
};

use monitor_proto::v1::{
    self, alert_service_server::*, event_service_server::*, evidence_service_server::*,
    grant_service_server::*, host_service_server::*, inspect_service_server::*,
    process_service_server::*, revocation_service_server::*, session_service_server::*,
};
use monitor_transport::tls::{Clients, CurrentTls, Tls};
use tokio::{runtime::Runtime, sync::mpsc};
use tokio_stream::{
    Stream,
    wrappers::{ReceiverStream, TcpListenerStream},
};
use tonic::{Request, Response, Status, transport::Server};

/// What one call of `Subscribe` does.
pub(crate) enum Script {
    /// Refuses the call.
    Refuse(Status),
    /// Tells these, then ends as a stream does that has no more.
    End(Vec<v1::SubscribeResponse>),
    /// Tells these, then fails.
    Fail(Vec<v1::SubscribeResponse>, Status),
    /// Tells these, then waits for ever.
    Wait(Vec<v1::SubscribeResponse>),
    /// Tells this item without end, as fast as it is read.
    Flood(Box<v1::SubscribeResponse>),
}

/// What the collector knows, and what it was asked.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) scripts: VecDeque<Script>,
    pub(crate) subscriptions: Vec<v1::SubscribeRequest>,
    pub(crate) sessions: Vec<v1::Session>,
    pub(crate) live: Vec<v1::LiveSession>,
    /// What any session is seen to be; none: no answer ever comes.
    pub(crate) snapshot: Option<v1::SessionSnapshot>,
    pub(crate) asked_live: Vec<v1::ListProcessesRequest>,
    pub(crate) alerts: Vec<v1::Alert>,
    pub(crate) rules: Vec<v1::Rule>,
    pub(crate) sigma_files: Vec<v1::SigmaFile>,
    pub(crate) grants: Vec<v1::Grant>,
    pub(crate) grant_uses: Vec<v1::GrantUse>,
    pub(crate) reviews: Vec<v1::ReviewGrantRequest>,
    pub(crate) hosts: Vec<v1::HostStatus>,
    pub(crate) checkpoint: v1::GetCheckpointResponse,
    pub(crate) completeness: v1::GetCompletenessResponse,
    pub(crate) completeness_asked: v1::GetCompletenessRequest,
    pub(crate) entries: Vec<v1::LedgerEntry>,
    pub(crate) orders: VecDeque<v1::Order>,
    /// What was done with orders: what, which, and why.
    pub(crate) decisions: Vec<(&'static str, Vec<u8>, String)>,
    /// The signed receipt of any order.
    pub(crate) receipt: Vec<u8>,
    pub(crate) explanation: Option<v1::ExplainResponse>,
    /// What searches find, newest first.
    pub(crate) found: Vec<v1::JudgedEvent>,
    pub(crate) searches: Vec<v1::SearchRequest>,
    pub(crate) revocations: Vec<v1::RevokeRequest>,
    pub(crate) pages: Vec<(u32, String)>,
    /// Most items that a page holds.
    pub(crate) page_max: usize,
    pub(crate) refusal: Option<Status>,
}

/// A running collector; gone, connections and all, when dropped.
pub(crate) struct Collector {
    pub(crate) world: Arc<Mutex<World>>,
    pub(crate) address: SocketAddr,
    runtime: Option<Runtime>,
}

#[derive(Clone)]
struct Service(Arc<Mutex<World>>);

impl Collector {
    /// Starts one on a free port.
    pub(crate) fn start(tls: &Tls, world: World) -> Self {
        Self::start_at(
            tls,
            Arc::new(Mutex::new(world)),
            "127.0.0.1:0".parse().unwrap(),
        )
    }

    /// Starts one at an address that an earlier one left.
    pub(crate) fn start_at(tls: &Tls, world: Arc<Mutex<World>>, address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (service, tls) = (Service(Arc::clone(&world)), CurrentTls::fixed(tls.clone()));
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let incoming = TcpListenerStream::new(listener);
            let incoming = tls.accept(incoming, Clients::Certificate).unwrap();
            let server = Server::builder()
                .add_service(EventServiceServer::new(service.clone()))
                .add_service(EvidenceServiceServer::new(service.clone()))
                .add_service(SessionServiceServer::new(service.clone()))
                .add_service(ProcessServiceServer::new(service.clone()))
                .add_service(InspectServiceServer::new(service.clone()))
                .add_service(AlertServiceServer::new(service.clone()))
                .add_service(GrantServiceServer::new(service.clone()))
                .add_service(HostServiceServer::new(service.clone()))
                .add_service(RevocationServiceServer::new(service));
            server.serve_with_incoming(incoming).await.unwrap();
        });
        Self {
            world,
            address,
            runtime: Some(runtime),
        }
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waits until every task, and with them the listener, is gone.
            drop(runtime);
        }
    }
}

impl Service {
    fn world(&self) -> Result<MutexGuard<'_, World>, Status> {
        let world = self.0.lock().unwrap();
        match &world.refusal {
            Some(status) => Err(status.clone()),
            None => Ok(world),
        }
    }
}

impl World {
    /// One page of a list; the token is the index that it begins at.
    fn page<T: Clone>(
        &mut self,
        items: fn(&Self) -> &[T],
        size: u32,
        token: &str,
    ) -> (Vec<T>, String) {
        self.pages.push((size, token.to_owned()));
        let begin: usize = token.parse().unwrap_or(0);
        let most = if self.page_max == 0 {
            usize::MAX
        } else {
            self.page_max
        };
        let all = items(self);
        let end = all.len().min(begin + most.min(size as usize));
        let next = if end < all.len() {
            end.to_string()
        } else {
            String::new()
        };
        (all[begin..end].to_vec(), next)
    }
}

/// Whether a value is among those asked for; none are all.
fn within<T: PartialEq>(asked: &[T], value: Option<T>) -> bool {
    asked.is_empty() || value.is_some_and(|value| asked.contains(&value))
}

type Items = Pin<Box<dyn Stream<Item = Result<v1::SubscribeResponse, Status>> + Send>>;

#[tonic::async_trait]
impl EventService for Service {
    type SubscribeStream = Items;

    async fn subscribe(
        &self,
        request: Request<v1::SubscribeRequest>,
    ) -> Result<Response<Items>, Status> {
        let script = {
            let mut world = self.world()?;
            world.subscriptions.push(request.into_inner());
            world.scripts.pop_front()
        };
        let (sender, receiver) = mpsc::channel(16);
        tokio::spawn(async move {
            let (items, end) = match script {
                None => (Vec::new(), None),
                Some(Script::Refuse(status)) => (Vec::new(), Some(Err(status))),
                Some(Script::End(items)) => (items, Some(Ok(()))),
                Some(Script::Fail(items, status)) => (items, Some(Err(status))),
                Some(Script::Wait(items)) => (items, None),
                Some(Script::Flood(item)) => {
                    while sender.send(Ok(*item.clone())).await.is_ok() {}
                    return;
                }
            };
            for item in items {
                if sender.send(Ok(item)).await.is_err() {
                    return;
                }
            }
            match end {
                None => sender.closed().await,
                Some(Ok(())) => {}
                Some(Err(status)) => _ = sender.send(Err(status)).await,
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn search(
        &self,
        request: Request<v1::SearchRequest>,
    ) -> Result<Response<v1::SearchResponse>, Status> {
        let request = request.into_inner();
        let mut world = self.world()?;
        world.searches.push(request.clone());
        let (mut events, next_page_token) =
            world.page(|world| &world.found, request.page_size, &request.page_token);
        let filter = request.filter.unwrap_or_default();
        events.retain(|judged| {
            let event = monitor_proto::decode_event(&judged.event).unwrap();
            let who = event.attribution;
            let session = who.session.map(|id| id.to_bytes().to_vec());
            let principal = who.principal.map(|id| id.to_string());
            within(&filter.principals, principal)
                && within(&filter.sessions, session)
                && within(&filter.kinds, Some(event.action.kind().to_string()))
        });
        Ok(Response::new(v1::SearchResponse {
            events,
            next_page_token,
        }))
    }

    async fn explain(
        &self,
        request: Request<v1::ExplainRequest>,
    ) -> Result<Response<v1::ExplainResponse>, Status> {
        let wanted = request.into_inner().id;
        match &self.world()?.explanation {
            Some(known) => {
                let bytes = &known.event.as_ref().unwrap().event;
                let held = monitor_proto::decode_event(bytes).unwrap().id;
                if wanted == Some((&held).into()) {
                    Ok(Response::new(known.clone()))
                } else {
                    Err(Status::not_found("no ledger holds that event"))
                }
            }
            None => Err(Status::not_found("no ledger holds that event")),
        }
    }
}

#[tonic::async_trait]
impl SessionService for Service {
    async fn list_sessions(
        &self,
        request: Request<v1::ListSessionsRequest>,
    ) -> Result<Response<v1::ListSessionsResponse>, Status> {
        let request = request.into_inner();
        let (sessions, next_page_token) = self.world()?.page(
            |world| &world.sessions,
            request.page_size,
            &request.page_token,
        );
        Ok(Response::new(v1::ListSessionsResponse {
            sessions,
            next_page_token,
        }))
    }
}

#[tonic::async_trait]
impl ProcessService for Service {
    async fn list_processes(
        &self,
        request: Request<v1::ListProcessesRequest>,
    ) -> Result<Response<v1::ListProcessesResponse>, Status> {
        let request = request.into_inner();
        let mut world = self.world()?;
        world.asked_live.push(request.clone());
        let (sessions, next_page_token) =
            world.page(|world| &world.live, request.page_size, &request.page_token);
        Ok(Response::new(v1::ListProcessesResponse {
            sessions,
            next_page_token,
        }))
    }
}

#[tonic::async_trait]
impl InspectService for Service {
    async fn inspect_session(
        &self,
        request: Request<v1::InspectSessionRequest>,
    ) -> Result<Response<v1::InspectSessionResponse>, Status> {
        let asked = request.into_inner().session;
        let (session, snapshot) = {
            let world = self.world()?;
            let known = world.sessions.iter().find(|one| one.id == asked);
            (known.cloned(), world.snapshot.clone())
        };
        let session = session.ok_or_else(|| Status::not_found("no such session is known"))?;
        let Some(snapshot) = snapshot else {
            return std::future::pending().await;
        };
        Ok(Response::new(v1::InspectSessionResponse {
            session: Some(session),
            snapshot: Some(snapshot),
        }))
    }
}

#[tonic::async_trait]
impl AlertService for Service {
    async fn get_alert(
        &self,
        request: Request<v1::GetAlertRequest>,
    ) -> Result<Response<v1::GetAlertResponse>, Status> {
        let id = request.into_inner().id;
        let alert = self
            .world()?
            .alerts
            .iter()
            .find(|alert| alert.id == id)
            .cloned();
        let alert = alert.ok_or_else(|| Status::not_found("no such alert is known"))?;
        Ok(Response::new(v1::GetAlertResponse { alert: Some(alert) }))
    }

    async fn handle_alert(
        &self,
        request: Request<v1::HandleAlertRequest>,
    ) -> Result<Response<v1::HandleAlertResponse>, Status> {
        let asked = request.into_inner();
        let mut world = self.world()?;
        let alert = world.alerts.iter_mut().find(|alert| alert.id == asked.id);
        let alert = alert.ok_or_else(|| Status::not_found("no such alert is known"))?;
        alert.state = asked.state;
        alert.steps.push(v1::AlertStep {
            state: asked.state,
            author: "soc/eve".into(),
            note: asked.note,
            at_unix_ns: 1_767_355_203_000_000_000,
        });
        let alert = Some(alert.clone());
        Ok(Response::new(v1::HandleAlertResponse { alert }))
    }

    async fn list_rules(
        &self,
        _: Request<v1::ListRulesRequest>,
    ) -> Result<Response<v1::ListRulesResponse>, Status> {
        let world = self.world()?;
        Ok(Response::new(v1::ListRulesResponse {
            rules: world.rules.clone(),
            sigma_files: world.sigma_files.clone(),
        }))
    }

    async fn list_alerts(
        &self,
        request: Request<v1::ListAlertsRequest>,
    ) -> Result<Response<v1::ListAlertsResponse>, Status> {
        let request = request.into_inner();
        let (alerts, next_page_token) = self.world()?.page(
            |world| &world.alerts,
            request.page_size,
            &request.page_token,
        );
        Ok(Response::new(v1::ListAlertsResponse {
            alerts,
            next_page_token,
        }))
    }
}

#[tonic::async_trait]
impl GrantService for Service {
    async fn put_grant(
        &self,
        _: Request<v1::PutGrantRequest>,
    ) -> Result<Response<v1::PutGrantResponse>, Status> {
        Ok(Response::new(v1::PutGrantResponse::default()))
    }

    async fn end_grant(
        &self,
        _: Request<v1::EndGrantRequest>,
    ) -> Result<Response<v1::EndGrantResponse>, Status> {
        Ok(Response::new(v1::EndGrantResponse::default()))
    }

    async fn end_subject(
        &self,
        _: Request<v1::EndSubjectRequest>,
    ) -> Result<Response<v1::EndSubjectResponse>, Status> {
        Ok(Response::new(v1::EndSubjectResponse::default()))
    }

    async fn list_grants(
        &self,
        request: Request<v1::ListGrantsRequest>,
    ) -> Result<Response<v1::ListGrantsResponse>, Status> {
        let request = request.into_inner();
        let (grants, next_page_token) = self.world()?.page(
            |world| &world.grants,
            request.page_size,
            &request.page_token,
        );
        Ok(Response::new(v1::ListGrantsResponse {
            grants,
            next_page_token,
        }))
    }

    async fn list_grant_use(
        &self,
        request: Request<v1::ListGrantUseRequest>,
    ) -> Result<Response<v1::ListGrantUseResponse>, Status> {
        let request = request.into_inner();
        let (uses, next_page_token) = self.world()?.page(
            |world| &world.grant_uses,
            request.page_size,
            &request.page_token,
        );
        Ok(Response::new(v1::ListGrantUseResponse {
            uses,
            next_page_token,
            uncounted: 0,
        }))
    }

    async fn review_grant(
        &self,
        request: Request<v1::ReviewGrantRequest>,
    ) -> Result<Response<v1::ReviewGrantResponse>, Status> {
        let mut world = self.world()?;
        world.reviews.push(request.into_inner());
        let grant = world.grants.first().cloned();
        Ok(Response::new(v1::ReviewGrantResponse { grant }))
    }
}

#[tonic::async_trait]
impl EvidenceService for Service {
    async fn get_checkpoint(
        &self,
        _: Request<v1::GetCheckpointRequest>,
    ) -> Result<Response<v1::GetCheckpointResponse>, Status> {
        Ok(Response::new(self.world()?.checkpoint.clone()))
    }

    async fn list_entries(
        &self,
        request: Request<v1::ListEntriesRequest>,
    ) -> Result<Response<v1::ListEntriesResponse>, Status> {
        let first = request.into_inner().first;
        let entries = self.world()?.entries.clone();
        let entries = entries.into_iter().filter(|entry| entry.position >= first);
        Ok(Response::new(v1::ListEntriesResponse {
            entries: entries.collect(),
        }))
    }

    async fn get_tile(
        &self,
        _: Request<v1::GetTileRequest>,
    ) -> Result<Response<v1::GetTileResponse>, Status> {
        Err(Status::unimplemented("not asked for"))
    }

    async fn get_inclusion_proof(
        &self,
        _: Request<v1::GetInclusionProofRequest>,
    ) -> Result<Response<v1::GetInclusionProofResponse>, Status> {
        Err(Status::unimplemented("not asked for"))
    }

    async fn get_consistency_proof(
        &self,
        _: Request<v1::GetConsistencyProofRequest>,
    ) -> Result<Response<v1::GetConsistencyProofResponse>, Status> {
        Err(Status::unimplemented("not asked for"))
    }

    async fn get_completeness(
        &self,
        request: Request<v1::GetCompletenessRequest>,
    ) -> Result<Response<v1::GetCompletenessResponse>, Status> {
        let mut world = self.world()?;
        world.completeness_asked = request.into_inner();
        Ok(Response::new(world.completeness.clone()))
    }
}

#[tonic::async_trait]
impl HostService for Service {
    async fn list_hosts(
        &self,
        request: Request<v1::ListHostsRequest>,
    ) -> Result<Response<v1::ListHostsResponse>, Status> {
        let request = request.into_inner();
        let (hosts, next_page_token) =
            self.world()?
                .page(|world| &world.hosts, request.page_size, &request.page_token);
        Ok(Response::new(v1::ListHostsResponse {
            hosts,
            next_page_token,
            list_number: Some(9),
        }))
    }
}

impl Service {
    /// Notes what was done with an order; the first of the world answers.
    fn decided(
        &self,
        what: &'static str,
        order: &[u8],
        note: &str,
    ) -> Result<Option<v1::Order>, Status> {
        let mut world = self.world()?;
        let decision = (what, order.to_vec(), note.to_owned());
        world.decisions.push(decision);
        Ok(world.orders.front().cloned())
    }
}

#[tonic::async_trait]
impl RevocationService for Service {
    async fn revoke(
        &self,
        request: Request<v1::RevokeRequest>,
    ) -> Result<Response<v1::RevokeResponse>, Status> {
        let request = request.into_inner();
        let mut world = self.world()?;
        let mut order = world
            .orders
            .front()
            .cloned()
            .ok_or_else(|| Status::not_found("nothing fits"))?;
        order.target.clone_from(&request.target);
        world.revocations.push(request);
        Ok(Response::new(v1::RevokeResponse { order: Some(order) }))
    }

    async fn get_order(
        &self,
        _: Request<v1::GetOrderRequest>,
    ) -> Result<Response<v1::GetOrderResponse>, Status> {
        let mut world = self.world()?;
        // Each question finds the order one step further.
        if world.orders.len() > 1 {
            world.orders.pop_front();
        }
        let order = world.orders.front().cloned();
        Ok(Response::new(v1::GetOrderResponse { order }))
    }

    async fn approve(
        &self,
        request: Request<v1::ApproveRequest>,
    ) -> Result<Response<v1::ApproveResponse>, Status> {
        let v1::ApproveRequest { order, note } = request.into_inner();
        let order = self.decided("approve", &order, &note)?;
        Ok(Response::new(v1::ApproveResponse { order }))
    }

    async fn reject(
        &self,
        request: Request<v1::RejectRequest>,
    ) -> Result<Response<v1::RejectResponse>, Status> {
        let v1::RejectRequest { order, note } = request.into_inner();
        let order = self.decided("reject", &order, &note)?;
        Ok(Response::new(v1::RejectResponse { order }))
    }

    async fn lift(
        &self,
        request: Request<v1::LiftRequest>,
    ) -> Result<Response<v1::LiftResponse>, Status> {
        let v1::LiftRequest { order, note } = request.into_inner();
        let order = self.decided("lift", &order, &note)?;
        Ok(Response::new(v1::LiftResponse { order }))
    }

    async fn get_receipt(
        &self,
        _: Request<v1::GetReceiptRequest>,
    ) -> Result<Response<v1::GetReceiptResponse>, Status> {
        let note = self.world()?.receipt.clone();
        Ok(Response::new(v1::GetReceiptResponse { note }))
    }

    async fn list_orders(
        &self,
        request: Request<v1::ListOrdersRequest>,
    ) -> Result<Response<v1::ListOrdersResponse>, Status> {
        let request = request.into_inner();
        let mut world = self.world()?;
        let fits =
            |order: &v1::Order| request.states.is_empty() || request.states.contains(&order.state);
        world.orders.retain(fits);
        world.orders.make_contiguous();
        let (orders, next_page_token) = world.page(
            |world| world.orders.as_slices().0,
            request.page_size,
            &request.page_token,
        );
        Ok(Response::new(v1::ListOrdersResponse {
            orders,
            next_page_token,
        }))
    }
}
