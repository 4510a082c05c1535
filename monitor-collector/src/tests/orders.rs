//! The life of an order over real mutual TLS: proposed, approved, frozen,
//! lifted, with a receipt; and killed between any two steps.

use monitor_ledger::receipt;
use monitor_model::{id::Source, revocation::life::State};
use monitor_proto::v1::{
    ApproveRequest, ContainCommand, ContainMode, GetReceiptRequest, LiftRequest, ListOrdersRequest,
    Order, OrderMode, OrderState, Receipt, RejectRequest, RevocationTarget, RevokeRequest,
    revocation_service_client::RevocationServiceClient, revocation_target::Target,
};
use tonic::Code;

use super::{
    revocation::{Broker, broker_of, command, order_at, put_grant, serve_broker},
    *,
};
use crate::testing::{event_id, opened, session_id};

async fn client(
    scene: &Scene,
    collector: &Collector,
    who: &str,
) -> RevocationServiceClient<Channel> {
    RevocationServiceClient::new(scene.dial(&format!("monitor://{who}"), collector).await)
}

fn alice(reason: &str) -> RevokeRequest {
    RevokeRequest {
        target: Some(RevocationTarget {
            target: Some(Target::Engineer("alice".into())),
        }),
        reason: reason.into(),
        ..RevokeRequest::default()
    }
}

fn login(number: u64) -> Event {
    let id = event_id("jump-1", Source::Agent, number);
    opened(id, session_id(number.into()), "alice", 6 + number)
}

/// A collector with two sessions of alice, and their agent.
async fn with_sessions(scene: &Scene, config: Config) -> (Collector, Agent) {
    let collector = Collector::start(config, Arc::new(SystemClock))
        .await
        .unwrap();
    put_grant(scene, &collector).await;
    let mut agent = Agent::connect(scene, &collector, "jump-1").await;
    agent.send(1, &[login(1), login(2)]).await;
    agent.acked(1).await;
    let seen = client(scene, &collector, "soc/sam").await;
    eventually(|| {
        let mut seen = seen.clone();
        async move {
            let request = RevokeRequest {
                dry_run: true,
                ..alice("look")
            };
            let order = seen.revoke(request).await.unwrap().into_inner().order;
            (order.unwrap().sessions.len() == 2).then_some(())
        }
    })
    .await;
    (collector, agent)
}

fn done(command: &ContainCommand) -> Up {
    let is = |mode: ContainMode| command.mode() == mode;
    Up::Receipt(Receipt {
        order: command.order.clone(),
        session: command.session.clone(),
        mode: command.mode,
        killed: u32::from(is(ContainMode::Kill)),
        frozen: u32::from(is(ContainMode::Freeze)) * 2,
        received_at_unix_ns: 1,
        denied_at_unix_ns: 2,
        gone_at_unix_ns: is(ContainMode::Kill).then_some(3),
        frozen_at_unix_ns: is(ContainMode::Freeze).then_some(4),
        released_at_unix_ns: is(ContainMode::Release).then_some(5),
        ..Receipt::default()
    })
}

async fn states(
    client: &mut RevocationServiceClient<Channel>,
    states: Vec<OrderState>,
) -> Vec<Order> {
    let request = ListOrdersRequest {
        states: states.into_iter().map(Into::into).collect(),
        ..ListOrdersRequest::default()
    };
    client
        .list_orders(request)
        .await
        .unwrap()
        .into_inner()
        .orders
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bulk_order_waits_for_a_second_person_and_is_then_carried_out() {
    let scene = Scene::new();
    let mut config = scene.config("");
    config.response.bulk_sessions = 1;
    let (collector, mut agent) = with_sessions(&scene, config).await;
    let mut sam = client(&scene, &collector, "soc/sam").await;
    let planned = RevokeRequest {
        dry_run: true,
        ..alice("offboarding")
    };
    let planned = sam
        .revoke(planned)
        .await
        .unwrap()
        .into_inner()
        .order
        .unwrap();
    assert_eq!(planned.asks(), monitor_proto::v1::OrderAsks::Bulk);
    let given = sam.revoke(alice("offboarding")).await.unwrap();
    let order = given.into_inner().order.unwrap();
    assert_eq!(order.state(), OrderState::Proposed);
    let proposed = states(&mut sam, vec![OrderState::Proposed]).await;
    assert_eq!(proposed, std::slice::from_ref(&order));
    assert!(states(&mut sam, vec![OrderState::InForce]).await.is_empty());
    let approve = |note: &str| ApproveRequest {
        order: order.id.clone(),
        note: note.into(),
    };
    // Neither the same person in another role, nor whom it is against.
    for who in ["soc/sam", "admin/sam", "soc/alice"] {
        let mut other = client(&scene, &collector, who).await;
        let refused = other.approve(approve("")).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "{who}: {refused}");
    }
    let mut auditor = client(&scene, &collector, "auditor/ann?tenant=acme").await;
    let refused = auditor.approve(approve("")).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let mut eve = client(&scene, &collector, "admin/eve").await;
    let approved = eve.approve(approve("seen")).await.unwrap().into_inner();
    let approved = approved.order.unwrap();
    assert_eq!(approved.state(), OrderState::InForce);
    let by: Vec<&str> = approved.steps.iter().map(|step| step.by.as_str()).collect();
    assert_eq!(by, ["soc/sam", "admin/eve"]);
    for _ in 0..2 {
        let command = command(&mut agent).await;
        agent.say(done(&command)).await;
    }
    order_at(
        &scene,
        &collector,
        order.id.clone(),
        OrderState::HostsEnforced,
    )
    .await;
    let late = RejectRequest {
        order: order.id,
        note: "too late".into(),
    };
    let refused = eve.reject(late).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
}

fn command_and_no_denial(message: DownMessage) -> Option<ContainCommand> {
    if let DownMessage::Deny(table) = &message {
        assert!(table.serials.is_empty() && table.principals.is_empty());
    }
    let DownMessage::Contain(command) = message else {
        return None;
    };
    Some(command)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_freeze_is_lifted_and_the_host_lets_the_session_go_on() {
    let scene = Scene::new();
    let broker = Broker::default();
    let more = serve_broker(&scene, broker.clone()).await;
    let mut config = scene.config("");
    config.broker = Some(broker_of(&more));
    let (collector, mut agent) = with_sessions(&scene, config).await;
    let mut sam = client(&scene, &collector, "soc/sam").await;
    let mut request = RevokeRequest {
        mode: OrderMode::Freeze.into(),
        ..alice("looks odd")
    };
    request.not_after_unix_ns = Some(1);
    let past = sam.revoke(request.clone()).await.unwrap_err();
    assert!(past.message().starts_with("not_after_unix_ns"), "{past}");
    request.not_after_unix_ns = Some(SystemClock.now().plus(DEADLINE * 100).0);
    let order = sam
        .revoke(request)
        .await
        .unwrap()
        .into_inner()
        .order
        .unwrap();
    for _ in 0..2 {
        let command = command(&mut agent).await;
        assert_eq!(command.mode(), ContainMode::Freeze);
        agent.say(done(&command)).await;
    }
    order_at(&scene, &collector, order.id.clone(), OrderState::Enforced).await;
    // The agent is away when it is lifted, and converges when it comes.
    drop(agent);
    let lift = LiftRequest {
        order: order.id.clone(),
        note: "agreed by phone".into(),
    };
    let lifted = sam.lift(lift.clone()).await.unwrap().into_inner().order;
    let lifted = lifted.unwrap();
    assert_eq!(lifted.state(), OrderState::Lifted);
    let again = sam.lift(lift).await.unwrap().into_inner().order.unwrap();
    assert_eq!(again.steps, lifted.steps);
    let mut agent = Agent::connect(&scene, &collector, "jump-1").await;
    let mut denied = None;
    for _ in 0..2 {
        let command = agent.until(command_and_no_denial).await;
        assert_eq!(command.mode(), ContainMode::Release);
        agent.say(done(&command)).await;
        denied.get_or_insert(command.session);
    }
    eventually(|| {
        let mut sam = sam.clone();
        async move {
            let found = states(&mut sam, vec![OrderState::Lifted]).await;
            let mut sessions = found[0].sessions.iter();
            sessions
                .all(|one| one.released_at_unix_ns == Some(5))
                .then_some(())
        }
    })
    .await;
    assert!(
        broker.asked.lock().unwrap().is_empty(),
        "a freeze is not the broker's"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_is_signed_and_says_what_is_not_reached() {
    let scene = Scene::new();
    let (collector, mut agent) = with_sessions(&scene, scene.config("")).await;
    let mut sam = client(&scene, &collector, "soc/sam").await;
    let order = sam.revoke(alice("offboarding")).await.unwrap();
    let order = order.into_inner().order.unwrap();
    let first = command(&mut agent).await;
    agent.say(done(&first)).await;
    eventually(|| {
        let mut sam = sam.clone();
        async move {
            let found = states(&mut sam, vec![]).await;
            let mut sessions = found[0].sessions.iter();
            sessions
                .any(|one| one.gone_at_unix_ns.is_some())
                .then_some(())
        }
    })
    .await;
    let request = GetReceiptRequest { order: order.id };
    let note = sam.get_receipt(request).await.unwrap().into_inner().note;
    let signer = crate::testing::log_key().signer("acme").unwrap();
    let found = receipt::Receipt::open(&note, &[signer.verifier().clone()]).unwrap();
    let content = found.content();
    assert_eq!(content["state"], State::InForce.as_str());
    assert_eq!(content["broker"]["is_retried"], true);
    assert_eq!(content["hosts"][0]["is_retried"], true);
    let sessions = content["hosts"][0]["sessions"].as_array().unwrap();
    let gone = sessions.iter().filter(|one| one["gone_at"].is_string());
    assert_eq!((sessions.len(), gone.count()), (2, 1));
}

/// Carries an order out on a collector that finds this folder at its start.
async fn carried_out(scene: &Scene, data_dir: &Path, id: &[u8]) -> (Order, usize) {
    let broker = Broker::default();
    let more = serve_broker(scene, broker.clone()).await;
    let mut config = scene.config("");
    config.data_dir = data_dir.to_owned();
    config.broker = Some(broker_of(&more));
    let collector = Collector::start(config, Arc::new(SystemClock))
        .await
        .unwrap();
    let agent = Agent::connect(scene, &collector, "jump-1").await;
    let up = agent.up.clone();
    let mut down = agent.down;
    let answering = tokio::spawn(async move {
        while let Ok(Some(message)) = down.message().await {
            if let Some(DownMessage::Contain(command)) = message.message {
                let message = Some(done(&command));
                // Twice, as a lost connection makes it.
                for _ in 0..2 {
                    let message = message.clone();
                    up.send(StreamRequest { message }).await.unwrap();
                }
            }
        }
    });
    let order = order_at(scene, &collector, id.to_vec(), OrderState::Enforced).await;
    let mut sam = client(scene, &collector, "soc/sam").await;
    assert_eq!(states(&mut sam, vec![]).await.len(), 1, "it is one order");
    let asked = broker.asked.lock().unwrap().clone();
    assert!(asked.iter().all(|asked| asked.order == id));
    answering.abort();
    collector.drain().await;
    (order, asked.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_any_two_steps_applies_the_order_exactly_once() {
    let scene = Scene::new();
    // A broker that never answers until the collector starts anew.
    let broker = Broker::default();
    broker
        .failures
        .store(u32::MAX, std::sync::atomic::Ordering::SeqCst);
    let more = serve_broker(&scene, broker.clone()).await;
    let mut config = scene.config("");
    config.broker = Some(broker_of(&more));
    let (collector, mut agent) = with_sessions(&scene, config).await;
    let mut sam = client(&scene, &collector, "soc/sam").await;
    let crashed = |step: &str| {
        let into = scene.path().join(step);
        snapshot(&scene.data_dir(), &into);
        into
    };
    let mut steps = Vec::new();
    let order = sam.revoke(alice("offboarding")).await.unwrap();
    let id = order.into_inner().order.unwrap().id;
    steps.push((crashed("ordered"), 1));
    let first = command(&mut agent).await;
    let second = command(&mut agent).await;
    steps.push((crashed("sent"), 1));
    let after = |wanted: fn(&Order) -> bool| {
        let sam = sam.clone();
        async move {
            eventually(|| {
                let mut sam = sam.clone();
                async move {
                    let found = states(&mut sam, vec![]).await;
                    wanted(&found[0]).then_some(())
                }
            })
            .await;
        }
    };
    after(|order| order.attempts > 0).await;
    steps.push((crashed("attempted"), 1));
    agent.say(done(&first)).await;
    after(|order| {
        order
            .sessions
            .iter()
            .any(|one| one.gone_at_unix_ns.is_some())
    })
    .await;
    steps.push((crashed("half"), 1));
    agent.say(done(&second)).await;
    after(|order| {
        order
            .sessions
            .iter()
            .all(|one| one.gone_at_unix_ns.is_some())
    })
    .await;
    steps.push((crashed("hosts"), 1));
    broker
        .failures
        .store(0, std::sync::atomic::Ordering::SeqCst);
    after(|order| order.state() == OrderState::Enforced).await;
    steps.push((crashed("enforced"), 0));
    collector.drain().await;
    for (folder, asks) in steps {
        let (order, asked) = carried_out(&scene, &folder, &id).await;
        let name = folder.display();
        assert_eq!(asked, asks, "{name}: the broker is asked once more at most");
        assert!(order.sessions.iter().all(|one| one.killed == 1), "{name}");
        assert_eq!(order.sessions.len(), 2, "{name}");
        assert_eq!(order.revoked.len(), 1, "{name}");
    }
}
