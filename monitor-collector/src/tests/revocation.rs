//! From an event to the broker asked and the session gone.

use std::sync::{
    Mutex,
    atomic::{AtomicU32, Ordering},
};

use monitor_model::{id::Source, revocation::Outcome};
use monitor_proto::v1::{
    ContainCommand, DescribeRequest, DescribeResponse, GetOrderRequest, Order, OrderState,
    PutGrantRequest, Receipt, RevocationOutcome, RevocationTarget, RevokeCredentialsRequest,
    RevokeCredentialsResponse, RevokeRequest, Revoked,
    broker_service_server::{BrokerService, BrokerServiceServer},
    grant_service_client::GrantServiceClient,
    revocation_service_client::RevocationServiceClient,
    revocation_target::Target,
};
use monitor_transport::tls::{Clients, CurrentTls};
use tokio::net::TcpListener;
use tonic::{Code, Request, Response, transport::server::TcpIncoming};

use super::*;
use crate::testing::{credential, event_id, grant, opened, session_id};

/// A broker that fails a few times before it answers.
#[derive(Clone, Default)]
pub(super) struct Broker {
    pub(super) failures: Arc<AtomicU32>,
    pub(super) asked: Arc<Mutex<Vec<RevokeCredentialsRequest>>>,
}

#[tonic::async_trait]
impl BrokerService for Broker {
    async fn revoke_credentials(
        &self,
        request: Request<RevokeCredentialsRequest>,
    ) -> Result<Response<RevokeCredentialsResponse>, Status> {
        let identity = Identity::of(&request)?;
        assert_eq!(identity.to_string(), "monitor://collector/main");
        let request = request.into_inner();
        self.asked.lock().unwrap().push(request.clone());
        let failed = self
            .failures
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            });
        if failed.is_ok() {
            return Err(Status::unavailable("no disk today"));
        }
        let revoked = Revoked {
            serial: request.serials.first().copied(),
            grant: String::new(),
            outcome: RevocationOutcome::from(Outcome::Revoked).into(),
            at_unix_ns: 5,
        };
        Ok(Response::new(RevokeCredentialsResponse {
            revoked: vec![revoked],
            published_at_unix_ns: Some(6),
            list_number: None,
        }))
    }

    async fn describe(
        &self,
        _: Request<DescribeRequest>,
    ) -> Result<Response<DescribeResponse>, Status> {
        Err(Status::unimplemented("not asked in these tests"))
    }
}

pub(super) async fn serve_broker(scene: &Scene, broker: Broker) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let tls = CurrentTls::fixed(scene.tls("monitor://broker/b"));
    let incoming = tls
        .accept(TcpIncoming::from(listener), Clients::Certificate)
        .unwrap();
    let server = tonic::transport::Server::builder().add_service(BrokerServiceServer::new(broker));
    tokio::spawn(server.serve_with_incoming(incoming));
    format!(
        "[broker]\naddress = \"https://localhost:{port}\"\nretry_ms_min = 5\nretry_ms_max = 20\n"
    )
}

pub(super) async fn put_grant(scene: &Scene, collector: &Collector) {
    let mut client = GrantServiceClient::new(scene.dial("monitor://broker/b", collector).await);
    let grant = Some((&grant("01JG", "alice", "acme")).into());
    client.put_grant(PutGrantRequest { grant }).await.unwrap();
}

fn read(sequence: u64, tenant: &str) -> Event {
    let path = format!("/srv/{tenant}/{sequence}");
    credential(
        event_id("jump-1", Source::Priority { cpu: 0 }, sequence),
        tenant,
        &path,
    )
}

fn login() -> Event {
    opened(
        event_id("jump-1", Source::Agent, 1),
        session_id(1),
        "alice",
        7,
    )
}

pub(super) async fn command(agent: &mut Agent) -> ContainCommand {
    agent
        .until(|message| match message {
            DownMessage::Contain(command) => Some(command),
            DownMessage::Ack(_)
            | DownMessage::Grants(_)
            | DownMessage::Deny(_)
            | DownMessage::Scopes(_)
            | DownMessage::ScopeLease(_)
            | DownMessage::List(_)
            | DownMessage::Inspect(_) => None,
        })
        .await
}

/// The order, once it stands where the test waits for it.
pub(super) async fn order_at(
    scene: &Scene,
    collector: &Collector,
    id: Vec<u8>,
    state: OrderState,
) -> Order {
    let client = RevocationServiceClient::new(scene.dial("monitor://soc/sam", collector).await);
    eventually(|| {
        let (mut client, order) = (client.clone(), id.clone());
        async move {
            let answer = client
                .get_order(GetOrderRequest { order })
                .await
                .unwrap()
                .into_inner();
            answer.order.filter(|order| order.state() == state)
        }
    })
    .await
}

fn receipt(command: &ContainCommand) -> Up {
    Up::Receipt(Receipt {
        order: command.order.clone(),
        session: command.session.clone(),
        killed: 4,
        left: 0,
        received_at_unix_ns: 1,
        denied_at_unix_ns: 2,
        gone_at_unix_ns: Some(3),
        ..Receipt::default()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_out_of_scope_event_revokes_at_a_broker_that_first_fails() {
    let scene = Scene::new();
    let broker = Broker {
        failures: Arc::new(AtomicU32::new(2)),
        ..Broker::default()
    };
    let more = serve_broker(&scene, broker.clone()).await;
    let collector = collector_with(&scene, &more).await;
    put_grant(&scene, &collector).await;
    let mut agent = Agent::connect(&scene, &collector, "jump-1").await;
    agent
        .send(
            1,
            &[
                login(),
                read(1, "acme"),
                read(2, "globex"),
                read(3, "globex"),
            ],
        )
        .await;
    let command = command(&mut agent).await;
    assert_eq!(command.session, session_id(1).to_bytes());
    assert!(
        command
            .reason
            .starts_with("alice (acme, INC-4711, production, grant 01JG) read globex"),
        "{}",
        command.reason
    );
    agent.say(receipt(&command)).await;
    agent.say(receipt(&command)).await;
    let order = order_at(
        &scene,
        &collector,
        command.order.clone(),
        OrderState::Enforced,
    )
    .await;
    let asked = broker.asked.lock().unwrap().clone();
    assert_eq!(
        asked.iter().map(|asked| asked.attempt).collect::<Vec<_>>(),
        [1, 2, 3]
    );
    assert!(asked.iter().all(|asked| asked.order == command.order
        && asked.serials == [7]
        && asked.grants == ["01JG"]));
    let times = order.times.unwrap();
    assert!(times.kernel_event_unix_ns.is_some() && times.alert_unix_ns <= times.ordered_unix_ns);
    assert!(times.delivered_unix_ns <= times.broker_answered_unix_ns);
    assert_eq!(
        (times.krl_published_unix_ns, times.last_process_gone_unix_ns),
        (Some(6), Some(3))
    );
    assert_eq!(
        (
            order.attempts,
            order.sessions[0].killed,
            order.initiator.as_str()
        ),
        (3, 4, "rule again")
    );
    assert!(
        order.last_error.contains("no disk today"),
        "{}",
        order.last_error
    );
}

async fn collector_with(scene: &Scene, broker: &str) -> Collector {
    let mut config = scene.config("");
    config.broker = Some(broker_of(broker));
    Collector::start(config, Arc::new(SystemClock))
        .await
        .unwrap()
}

pub(super) fn broker_of(text: &str) -> crate::config::broker::Broker {
    let address = text.split('"').nth(1).unwrap().to_owned();
    crate::config::broker::Broker {
        way: crate::config::broker::BrokerWay::Grpc { address },
        retry_min: Duration::from_millis(5),
        retry_max: Duration::from_millis(20),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_waits_for_a_broker_that_is_away_and_survives_a_restart() {
    let scene = Scene::new();
    let collector = scene.collector("").await;
    put_grant(&scene, &collector).await;
    let mut agent = Agent::connect(&scene, &collector, "jump-1").await;
    agent
        .send(1, &[login(), read(1, "globex"), read(2, "globex")])
        .await;
    let id = command(&mut agent).await.order;
    collector.drain().await;
    let broker = Broker::default();
    let more = serve_broker(&scene, broker.clone()).await;
    let collector = collector_with(&scene, &more).await;
    order_at(&scene, &collector, id.clone(), OrderState::BrokerAnswered).await;
    assert_eq!(broker.asked.lock().unwrap().len(), 1);
    let mut agent = Agent::connect(&scene, &collector, "jump-1").await;
    assert_eq!(command(&mut agent).await.order, id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_containment_command_is_repeated_at_every_stream_until_its_receipt() {
    let scene = Scene::new();
    let collector = scene.collector("").await;
    put_grant(&scene, &collector).await;
    let mut agent = Agent::connect(&scene, &collector, "jump-1").await;
    agent.send(1, &[login()]).await;
    agent.acked(1).await;
    let mut client =
        RevocationServiceClient::new(scene.dial("monitor://admin/ada", &collector).await);
    let target = Some(RevocationTarget {
        target: Some(Target::Engineer("alice".into())),
    });
    let mut request = RevokeRequest {
        target,
        reason: "offboarding".into(),
        dry_run: true,
        ..RevokeRequest::default()
    };
    eventually(|| {
        let (mut client, request) = (client.clone(), request.clone());
        async move {
            let order = client
                .revoke(request)
                .await
                .unwrap()
                .into_inner()
                .order
                .unwrap();
            (order.sessions.len() == 1).then_some(())
        }
    })
    .await;
    request.dry_run = false;
    let order = client
        .revoke(request.clone())
        .await
        .unwrap()
        .into_inner()
        .order
        .unwrap();
    let first = command(&mut agent).await;
    assert_eq!(first.order, order.id);
    for _ in 0..2 {
        agent = Agent::connect(&scene, &collector, "jump-1").await;
        assert_eq!(command(&mut agent).await, first);
    }
    agent.say(receipt(&first)).await;
    order_at(&scene, &collector, order.id, OrderState::HostsEnforced).await;
    let mut agent = Agent::connect(&scene, &collector, "jump-1").await;
    loop {
        match agent.next().await.unwrap().unwrap() {
            DownMessage::Contain(command) => panic!("repeated after its receipt: {command:?}"),
            DownMessage::Deny(table) => assert_eq!(
                (table.serials, table.principals),
                (vec![7], vec!["alice".into()])
            ),
            // The table of grants is the last of what a new stream is shown.
            DownMessage::Grants(table) => break assert!(table.grants.is_empty()),
            DownMessage::Ack(_)
            | DownMessage::Scopes(_)
            | DownMessage::ScopeLease(_)
            | DownMessage::List(_)
            | DownMessage::Inspect(_) => {}
        }
    }
    request.reason = "  ".into();
    let status = client.revoke(request).await.unwrap_err();
    assert!(
        status.code() == Code::InvalidArgument && status.message().starts_with("reason"),
        "{status}"
    );
}
