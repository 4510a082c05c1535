//! A broker says that an engineer left or a ticket was closed.

use monitor_model::{
    event::Action,
    id::{SessionId, Source},
};
use monitor_proto::v1::{
    ContainCommand, EndSubjectRequest, EndSubjectResponse, ListGrantsRequest, ListOrdersRequest,
    Order, OrderState, PutGrantRequest, SubjectEnding, end_subject_request::Subject,
    grant_service_client::GrantServiceClient, revocation_service_client::RevocationServiceClient,
};
use tonic::{Code, transport::Channel};

use super::{revocation::command, *};
use crate::{
    config::response::ResponseMode,
    testing::{event_id, grant, opened, session_id},
};

fn login(number: u64, grants: &[&str]) -> Event {
    let id = event_id("jump-1", Source::Agent, number);
    let mut event = opened(id, session_id(number.into()), "alice", number);
    if let Action::SessionOpened { session } = &mut event.action {
        session.grants = grants.iter().map(|id| id.parse().unwrap()).collect();
    }
    event
}

async fn broker(scene: &Scene, collector: &Collector) -> GrantServiceClient<Channel> {
    GrantServiceClient::new(scene.dial("monitor://broker/b", collector).await)
}

/// A session on one grant of ticket INC-4711, and one on another's beside it.
async fn with_sessions(scene: &Scene, config: Config) -> (Collector, Agent) {
    let collector = Collector::start(config, Arc::new(SystemClock))
        .await
        .unwrap();
    let mut broker = broker(scene, &collector).await;
    let mut second = grant("02JG", "alice", "acme");
    second.ticket = "INC-2".into();
    for grant in [grant("01JG", "alice", "acme"), second] {
        let grant = Some((&grant).into());
        broker.put_grant(PutGrantRequest { grant }).await.unwrap();
    }
    let mut agent = Agent::connect(scene, &collector, "jump-1").await;
    agent
        .send(1, &[login(1, &["01JG"]), login(2, &["01JG", "02JG"])])
        .await;
    agent.acked(1).await;
    (collector, agent)
}

fn closed(id: u8, ticket: &str) -> EndSubjectRequest {
    EndSubjectRequest {
        id: vec![id; 16],
        subject: Some(Subject::Ticket(ticket.into())),
        reason: "resolved".into(),
        at_unix_ns: SystemClock.now().0,
    }
}

fn left(id: u8, engineer: &str) -> EndSubjectRequest {
    EndSubjectRequest {
        subject: Some(Subject::Engineer(engineer.into())),
        ..closed(id, "")
    }
}

async fn end(
    broker: &mut GrantServiceClient<Channel>,
    request: EndSubjectRequest,
) -> EndSubjectResponse {
    broker.end_subject(request).await.unwrap().into_inner()
}

/// Ends once the collector knows the sessions.
async fn end_when_seen(
    broker: &GrantServiceClient<Channel>,
    request: &EndSubjectRequest,
    sessions: u32,
) -> EndSubjectResponse {
    eventually(|| {
        let (mut broker, request) = (broker.clone(), request.clone());
        async move {
            let answer = end(&mut broker, request).await;
            (answer.sessions == sessions).then_some(answer)
        }
    })
    .await
}

async fn orders(scene: &Scene, collector: &Collector) -> Vec<Order> {
    let mut client = RevocationServiceClient::new(scene.dial("monitor://soc/sam", collector).await);
    let answer = client.list_orders(ListOrdersRequest::default()).await;
    answer.unwrap().into_inner().orders
}

fn of(command: &ContainCommand) -> SessionId {
    SessionId::from_slice(&command.session).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_ticket_ends_the_sessions_that_stand_on_nothing_else() {
    let scene = Scene::new();
    let (collector, mut agent) = with_sessions(&scene, scene.config("")).await;
    let mut broker = broker(&scene, &collector).await;
    let first = end_when_seen(&broker, &closed(1, "INC-4711"), 1).await;
    assert_eq!(first.ending(), SubjectEnding::SessionsEnding);
    assert_eq!(
        (first.grants.as_slice(), first.orders.len()),
        (&["01JG".to_owned()][..], 1)
    );
    let told = command(&mut agent).await;
    assert_eq!((of(&told), &told.order), (session_id(1), &first.orders[0]));
    assert!(
        told.reason.contains("ticket INC-4711 was closed: resolved"),
        "{}",
        told.reason
    );
    // Told again: the same, and no further order.
    assert_eq!(end(&mut broker, closed(1, "INC-4711")).await, first);
    assert_eq!(orders(&scene, &collector).await.len(), 1);
    let second = end(&mut broker, closed(2, "INC-2")).await;
    assert_eq!(
        (second.sessions, second.grants.as_slice()),
        (1, &["02JG".to_owned()][..])
    );
    let both = orders(&scene, &collector).await;
    assert!(both.iter().all(|order| order.initiator == "b"), "{both:?}");
    let reached = both.iter().flat_map(|order| &order.sessions);
    assert_eq!(reached.count(), 2);
    let nothing = end(&mut broker, closed(3, "INC-9")).await;
    assert_eq!(nothing.ending(), SubjectEnding::NothingHeld);
    collector.drain().await;
    let entries = super::reads::told(&scene.data_dir(), "acme");
    let ends = entries.iter().filter(|event| {
        matches!(&event.action, Action::Read { by, call, question, .. }
            if by.role == "broker" && call == "EndSubject" && question.contains("INC-4711"))
    });
    assert!(ends.count() >= 1, "{entries:?}");
    // A collector that starts anew finds it done.
    let collector = Collector::start(scene.config(""), Arc::new(SystemClock))
        .await
        .unwrap();
    let mut broker = self::broker(&scene, &collector).await;
    assert_eq!(end(&mut broker, closed(2, "INC-2")).await, second);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_left_is_denied_and_every_session_ends() {
    let scene = Scene::new();
    let (collector, mut agent) = with_sessions(&scene, scene.config("")).await;
    let broker = broker(&scene, &collector).await;
    // The order that is in force reaches logins that are told late.
    let answer = end(&mut broker.clone(), left(4, "alice")).await;
    assert_eq!(answer.grants, ["01JG", "02JG"]);
    assert_eq!(answer.orders, [vec![4; 16]]);
    // Denials and commands come by level, in any order, and again.
    let (mut ended, mut denied) = (std::collections::BTreeSet::new(), Vec::new());
    while ended.len() < 2 || denied.is_empty() {
        match agent.next().await.unwrap().unwrap() {
            DownMessage::Contain(command) => _ = ended.insert(of(&command)),
            DownMessage::Deny(table) => denied = table.principals,
            DownMessage::Ack(_)
            | DownMessage::Grants(_)
            | DownMessage::Scopes(_)
            | DownMessage::ScopeLease(_)
            | DownMessage::List(_)
            | DownMessage::Inspect(_) => {}
        }
    }
    assert_eq!(
        ended.into_iter().collect::<Vec<_>>(),
        [session_id(1), session_id(2)]
    );
    assert_eq!(denied, ["alice"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn observed_and_too_many_end_grants_and_no_session() {
    for (mode, bulk, ending, state) in [
        (
            ResponseMode::Observe,
            20,
            SubjectEnding::Observed,
            OrderState::Observed,
        ),
        (
            ResponseMode::Enforce,
            1,
            SubjectEnding::Proposed,
            OrderState::Proposed,
        ),
    ] {
        let scene = Scene::new();
        let mut config = scene.config("");
        config.response.mode = mode;
        config.response.bulk_sessions = bulk;
        let (collector, _agent) = with_sessions(&scene, config).await;
        let mut broker = broker(&scene, &collector).await;
        let seen = eventually(|| {
            let mut broker = broker.clone();
            async move {
                // Each is an end of its own: what was observed stays as it was.
                let id = rand_id();
                let request = EndSubjectRequest {
                    id,
                    ..left(0, "alice")
                };
                let answer = end(&mut broker, request).await;
                (answer.sessions == 2).then_some(answer)
            }
        })
        .await;
        assert_eq!(seen.ending(), ending);
        let orders = orders(&scene, &collector).await;
        let order = orders
            .iter()
            .find(|order| order.id == seen.orders[0])
            .unwrap();
        assert_eq!((order.state(), order.sessions.len()), (state, 2));
        let alive = broker.list_grants(ListGrantsRequest::default()).await;
        assert!(alive.unwrap().into_inner().grants.is_empty());
    }
}

fn rand_id() -> Vec<u8> {
    crate::entropy::random::<16>().unwrap().to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_makes_no_sense_is_refused_with_what_would_be_right() {
    let scene = Scene::new();
    let (collector, _agent) = with_sessions(&scene, scene.config("")).await;
    let mut broker = broker(&scene, &collector).await;
    let right = closed(1, "INC-9");
    let wrong = [
        (
            EndSubjectRequest {
                id: vec![1],
                ..right.clone()
            },
            "id",
        ),
        (
            EndSubjectRequest {
                subject: None,
                ..right.clone()
            },
            "give engineer or ticket",
        ),
        (closed(1, ""), "ticket"),
        (closed(1, "a\nb"), "ticket"),
        (left(1, "no name"), "engineer"),
        (
            EndSubjectRequest {
                reason: " ".into(),
                ..right.clone()
            },
            "reason",
        ),
        (
            EndSubjectRequest {
                at_unix_ns: 0,
                ..right.clone()
            },
            "at_unix_ns",
        ),
        (
            EndSubjectRequest {
                at_unix_ns: u64::MAX,
                ..right.clone()
            },
            "at_unix_ns",
        ),
    ];
    for (request, part) in wrong {
        let status = broker.end_subject(request).await.unwrap_err();
        assert!(
            status.code() == Code::InvalidArgument && status.message().contains(part),
            "{status}"
        );
    }
    end(&mut broker, left(1, "alice")).await;
    let status = broker.end_subject(left(1, "bob")).await.unwrap_err();
    assert_eq!(status.code(), Code::AlreadyExists, "{status}");
    let mut admin = GrantServiceClient::new(scene.dial("monitor://admin/ada", &collector).await);
    let status = admin.end_subject(right).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied, "{status}");
}
