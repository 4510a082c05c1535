//! A broker that dials in: the feed and its answers.

use monitor_model::{id::Source, revocation::Outcome};
use monitor_proto::v1::{
    AckRequest, FeedOrder, GetOrderRequest, LiftRequest, Order, OrderState, RevocationOutcome,
    RevocationTarget, RevokeRequest, Revoked, WatchRequest, WatchResponse,
    revocation_feed_client::RevocationFeedClient,
    revocation_service_client::RevocationServiceClient, revocation_target::Target,
    watch_response::Message,
};
use tonic::{Code, Streaming, transport::Channel};

use super::*;
use crate::{
    config::broker::{Broker, BrokerWay},
    testing::{event_id, opened, session_id},
};

fn fed() -> Broker {
    Broker {
        way: BrokerWay::Feed {
            name: "b".parse().unwrap(),
        },
        retry_min: Duration::from_millis(5),
        retry_max: Duration::from_millis(20),
    }
}

async fn collector(scene: &Scene) -> Collector {
    let mut config = scene.config("");
    config.broker = Some(fed());
    config.heartbeat = Duration::from_millis(50);
    Collector::start(config, Arc::new(SystemClock))
        .await
        .unwrap()
}

/// A broker's stream, and the way back.
struct Feed {
    client: RevocationFeedClient<Channel>,
    stream: Streaming<WatchResponse>,
    cursor: Vec<u8>,
}

impl Feed {
    async fn watch(scene: &Scene, collector: &Collector, cursor: Vec<u8>) -> Self {
        let channel = scene.dial("monitor://broker/b", collector).await;
        let mut client = RevocationFeedClient::new(channel);
        let request = WatchRequest {
            cursor: cursor.clone(),
        };
        let stream = client.watch(request).await.unwrap().into_inner();
        Self {
            client,
            stream,
            cursor,
        }
    }

    /// The next message but heartbeats.
    async fn next(&mut self) -> Message {
        loop {
            let message = tokio::time::timeout(DEADLINE, self.stream.message());
            let message = message.await.expect("nothing came in time").unwrap();
            let message = message.expect("the stream ended");
            if !message.cursor.is_empty() {
                self.cursor = message.cursor;
            }
            match message.message.unwrap() {
                Message::Heartbeat(_) => {}
                other @ (Message::Snapshot(_) | Message::Changes(_)) => return other,
            }
        }
    }

    /// The orders of a snapshot.
    async fn snapshot(&mut self) -> Vec<FeedOrder> {
        let mut orders = Vec::new();
        loop {
            let Message::Snapshot(part) = self.next().await else {
                panic!("a change before the snapshot")
            };
            orders.extend(part.orders);
            if part.is_last {
                return orders;
            }
        }
    }

    /// The orders and what is over of the next changes.
    async fn changes(&mut self) -> (Vec<FeedOrder>, Vec<Vec<u8>>) {
        match self.next().await {
            Message::Changes(part) => (part.orders, part.over),
            other @ (Message::Snapshot(_) | Message::Heartbeat(_)) => {
                panic!("not changes: {other:?}")
            }
        }
    }

    /// The next order that is not answered.
    async fn order(&mut self) -> FeedOrder {
        loop {
            let open = |order: &FeedOrder| !order.is_answered;
            if let Some(order) = self.changes().await.0.into_iter().find(open) {
                return order;
            }
        }
    }

    async fn ack(&mut self, ack: AckRequest) -> Result<(), Status> {
        self.client.ack(ack).await.map(|_| ())
    }
}

/// A broker's answer: one certificate, with this outcome.
fn ack(order: &FeedOrder, outcome: Outcome) -> AckRequest {
    let order = order.order.clone().unwrap();
    AckRequest {
        order: order.order,
        attempt: order.attempt,
        target: order.target,
        revoked: vec![Revoked {
            serial: Some(7),
            grant: String::new(),
            outcome: RevocationOutcome::from(outcome).into(),
            at_unix_ns: 5,
        }],
        published_at_unix_ns: Some(6),
        failure: String::new(),
        list_number: None,
    }
}

async fn people(scene: &Scene, collector: &Collector) -> RevocationServiceClient<Channel> {
    RevocationServiceClient::new(scene.dial("monitor://soc/sam", collector).await)
}

fn target(engineer: &str) -> RevocationTarget {
    RevocationTarget {
        target: Some(Target::Engineer(engineer.into())),
    }
}

async fn revoke(scene: &Scene, collector: &Collector, engineer: &str) -> Order {
    let request = RevokeRequest {
        target: Some(target(engineer)),
        reason: "offboarding".into(),
        ..RevokeRequest::default()
    };
    let answer = people(scene, collector).await.revoke(request).await;
    answer.unwrap().into_inner().order.unwrap()
}

async fn order_of(scene: &Scene, collector: &Collector, id: &[u8]) -> Order {
    let request = GetOrderRequest { order: id.to_vec() };
    let answer = people(scene, collector).await.get_order(request).await;
    answer.unwrap().into_inner().order.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_goes_down_the_feed_and_its_answer_is_as_one_that_was_asked_for() {
    let scene = Scene::new();
    let collector = collector(&scene).await;
    let mut feed = Feed::watch(&scene, &collector, Vec::new()).await;
    assert!(feed.snapshot().await.is_empty());
    let mut agent = Agent::connect(&scene, &collector, "jump-1").await;
    let id = event_id("jump-1", Source::Agent, 1);
    agent
        .send(1, &[opened(id, session_id(1), "alice", 7)])
        .await;
    agent.acked(1).await;
    let given = revoke(&scene, &collector, "alice").await;
    let told = feed.order().await;
    let order = told.order.clone().unwrap();
    assert_eq!(
        (
            &order.order,
            order.attempt,
            &order.target,
            order.reason.as_str()
        ),
        (&given.id, 1, &given.target, "offboarding")
    );
    assert_eq!(
        (order.serials, order.grants),
        (vec![7], vec!["01JG".to_owned()])
    );
    feed.ack(ack(&told, Outcome::Revoked)).await.unwrap();
    let answered = order_of(&scene, &collector, &given.id).await;
    assert_eq!(answered.state(), OrderState::BrokerAnswered);
    assert_eq!((answered.attempts, answered.revoked.len()), (1, 1));
    let times = answered.times.unwrap();
    assert!(times.delivered_unix_ns >= times.ordered_unix_ns);
    assert!(times.delivered_unix_ns <= times.broker_answered_unix_ns);
    assert_eq!(times.krl_published_unix_ns, Some(6));
    // Again, with other words: the first answer stays.
    feed.ack(ack(&told, Outcome::AlreadyRevoked)).await.unwrap();
    let again = order_of(&scene, &collector, &given.id).await;
    assert_eq!((again.attempts, &again.revoked), (1, &answered.revoked));
    let (orders, _) = feed.changes().await;
    assert!(orders[0].is_answered);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_told_again_with_the_next_attempt_until_it_is_answered() {
    let scene = Scene::new();
    let collector = collector(&scene).await;
    let mut feed = Feed::watch(&scene, &collector, Vec::new()).await;
    feed.snapshot().await;
    let given = revoke(&scene, &collector, "alice").await;
    let first = feed.order().await;
    let failed = AckRequest {
        failure: "no disk today".into(),
        revoked: vec![],
        published_at_unix_ns: None,
        ..ack(&first, Outcome::Revoked)
    };
    feed.ack(failed).await.unwrap();
    let second = feed.order().await;
    assert_eq!(second.order.as_ref().unwrap().attempt, 2);
    let stands = order_of(&scene, &collector, &given.id).await;
    assert_eq!(
        (stands.last_error.as_str(), stands.attempts),
        ("no disk today", 1)
    );
    feed.ack(ack(&second, Outcome::Retryable)).await.unwrap();
    let third = feed.order().await;
    assert_eq!(third.order.as_ref().unwrap().attempt, 3);
    feed.ack(ack(&third, Outcome::Revoked)).await.unwrap();
    let stands = order_of(&scene, &collector, &given.id).await;
    assert_eq!((stands.state(), stands.attempts), (OrderState::Enforced, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_brings_what_changed_and_one_of_another_life_everything() {
    let scene = Scene::new();
    let collector = collector(&scene).await;
    let mut feed = Feed::watch(&scene, &collector, Vec::new()).await;
    feed.snapshot().await;
    let alice = revoke(&scene, &collector, "alice").await;
    let told = feed.order().await;
    feed.ack(ack(&told, Outcome::Revoked)).await.unwrap();
    feed.changes().await;
    let bob = revoke(&scene, &collector, "bob").await;
    assert_eq!(feed.order().await.order.unwrap().order, bob.id);
    let lift = LiftRequest {
        order: alice.id.clone(),
        note: "a mistake".into(),
    };
    people(&scene, &collector).await.lift(lift).await.unwrap();
    let cursor = feed.cursor.clone();
    // The one before is cut, and told why; what it told and was not answered comes again.
    let mut second = Feed::watch(&scene, &collector, cursor.clone()).await;
    let (mut open, mut over) = (Vec::new(), Vec::new());
    while open.is_empty() || over.is_empty() {
        let (orders, gone) = second.changes().await;
        open.extend(orders.into_iter().filter_map(|order| order.order));
        over.extend(gone);
    }
    assert_eq!(
        (open.len(), &open[0].order, over),
        (1, &bob.id, vec![alice.id])
    );
    let status = loop {
        if let Err(status) = feed.stream.message().await {
            break status;
        }
    };
    assert_eq!(status.code(), Code::Aborted, "{status}");
    collector.drain().await;
    let collector = self::collector(&scene).await;
    let mut third = Feed::watch(&scene, &collector, second.cursor).await;
    let orders = third.snapshot().await;
    assert_eq!(orders.len(), 1);
    assert_eq!(orders[0].order.as_ref().unwrap().order, bob.id);
    third.ack(ack(&orders[0], Outcome::Revoked)).await.unwrap();
    let stands = order_of(&scene, &collector, &bob.id).await;
    assert_eq!(stands.state(), OrderState::Enforced);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_feed_beats_with_the_newest_position() {
    let scene = Scene::new();
    let collector = collector(&scene).await;
    let mut feed = Feed::watch(&scene, &collector, Vec::new()).await;
    feed.snapshot().await;
    let beat = tokio::time::timeout(DEADLINE, feed.stream.message()).await;
    let beat = beat.unwrap().unwrap().unwrap();
    assert!(matches!(beat.message, Some(Message::Heartbeat(_))));
    assert_eq!(beat.cursor, feed.cursor);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_answer_is_refused_with_what_would_be_right() {
    let scene = Scene::new();
    let collector = collector(&scene).await;
    let mut feed = Feed::watch(&scene, &collector, Vec::new()).await;
    feed.snapshot().await;
    let given = revoke(&scene, &collector, "alice").await;
    let told = feed.order().await;
    let right = ack(&told, Outcome::Revoked);
    let wrong = [
        (
            AckRequest {
                order: vec![9; 16],
                ..right.clone()
            },
            Code::NotFound,
            "no order",
        ),
        (
            AckRequest {
                order: vec![9; 15],
                ..right.clone()
            },
            Code::InvalidArgument,
            "order",
        ),
        (
            AckRequest {
                attempt: 0,
                ..right.clone()
            },
            Code::InvalidArgument,
            "attempt",
        ),
        (
            AckRequest {
                target: None,
                ..right.clone()
            },
            Code::InvalidArgument,
            "target",
        ),
        (
            AckRequest {
                target: Some(target("bob")),
                ..right.clone()
            },
            Code::InvalidArgument,
            "is for engineer alice; the answer is for engineer bob",
        ),
        (
            AckRequest {
                failure: "x".into(),
                ..right.clone()
            },
            Code::InvalidArgument,
            "failure",
        ),
    ];
    for (ack, code, part) in wrong {
        let status = feed.ack(ack).await.unwrap_err();
        assert!(
            status.code() == code && status.message().contains(part),
            "{status}"
        );
    }
    let stands = order_of(&scene, &collector, &given.id).await;
    assert!(stands.revoked.is_empty() && stands.attempts == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_broker_that_is_named_sees_orders() {
    let scene = Scene::new();
    let collector = collector(&scene).await;
    let right = AckRequest {
        order: vec![9; 16],
        attempt: 1,
        target: Some(target("alice")),
        ..AckRequest::default()
    };
    for (who, part) in [
        ("monitor://broker/other", "for another broker than other"),
        ("monitor://admin/ada", "this call takes broker"),
    ] {
        let mut other = RevocationFeedClient::new(scene.dial(who, &collector).await);
        let status = other.ack(right.clone()).await.unwrap_err();
        assert!(
            status.code() == Code::PermissionDenied && status.message().contains(part),
            "{status}"
        );
        let status = other.watch(WatchRequest::default()).await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied, "{status}");
    }
    let request = WatchRequest { cursor: vec![1, 2] };
    let mut named = RevocationFeedClient::new(scene.dial("monitor://broker/b", &collector).await);
    let status = named.watch(request).await.unwrap_err();
    assert!(
        status.code() == Code::InvalidArgument && status.message().contains("cursor"),
        "{status}"
    );
    let scene = Scene::new();
    let plain = scene.collector("").await;
    let mut other = RevocationFeedClient::new(scene.dial("monitor://broker/b", &plain).await);
    let status = other.watch(WatchRequest::default()).await.unwrap_err();
    assert!(
        status.code() == Code::FailedPrecondition && status.message().contains("feed ="),
        "{status}"
    );
}
