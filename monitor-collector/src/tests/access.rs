//! Who may do what, and what an auditor can learn.

use std::fmt::Write as _;

use monitor_model::id::Source;
use monitor_proto::v1::{
    EventFilter, ExplainRequest, ListAlertsRequest, ListGrantsRequest, ListOrdersRequest,
    ListSessionsRequest, PutGrantRequest, SubscribeRequest,
    alert_service_client::AlertServiceClient, event_service_client::EventServiceClient,
    grant_service_client::GrantServiceClient, revocation_service_client::RevocationServiceClient,
    session_service_client::SessionServiceClient,
};
use tonic::Code;

use super::*;
use crate::testing::{credential, event_id, grant, opened, session_id};

/// Alice works for acme, and reads globex's file twice.
pub(super) async fn played(scene: &Scene) -> Collector {
    let collector = scene.collector("").await;
    let mut client = GrantServiceClient::new(scene.dial("monitor://broker/b", &collector).await);
    let put = PutGrantRequest {
        grant: Some((&grant("01JG", "alice", "acme")).into()),
    };
    client.put_grant(put).await.unwrap();
    let mut agent = Agent::connect(scene, &collector, "jump-1").await;
    let read = |n: u64, tenant: &str| {
        credential(
            event_id("jump-1", Source::Priority { cpu: 0 }, n),
            tenant,
            "/srv/key",
        )
    };
    let login = opened(
        event_id("jump-1", Source::Agent, 1),
        session_id(1),
        "alice",
        7,
    );
    agent
        .send(
            1,
            &[login, read(1, "acme"), read(2, "globex"), read(3, "globex")],
        )
        .await;
    agent
        .until(|message| match message {
            DownMessage::Contain(_) => Some(()),
            DownMessage::Ack(_)
            | DownMessage::Grants(_)
            | DownMessage::Deny(_)
            | DownMessage::Scopes(_)
            | DownMessage::ScopeLease(_)
            | DownMessage::List(_)
            | DownMessage::Inspect(_) => None,
        })
        .await;
    collector
}

/// An auditor's sessions and grants, of which there are none, and the alerts.
async fn own_lists(channel: &Channel) -> Vec<monitor_proto::v1::Alert> {
    let mut sessions = SessionServiceClient::new(channel.clone());
    let all = ListSessionsRequest {
        include_ended: true,
        ..Default::default()
    };
    assert!(
        sessions
            .list_sessions(all)
            .await
            .unwrap()
            .into_inner()
            .sessions
            .is_empty()
    );
    let mut grants = GrantServiceClient::new(channel.clone());
    let all = ListGrantsRequest {
        include_ended: true,
        ..Default::default()
    };
    assert!(
        grants
            .list_grants(all)
            .await
            .unwrap()
            .into_inner()
            .grants
            .is_empty()
    );
    let mut alerts = AlertServiceClient::new(channel.clone());
    let page = alerts
        .list_alerts(ListAlertsRequest::default())
        .await
        .unwrap()
        .into_inner();
    page.alerts
}

#[tokio::test(flavor = "multi_thread")]
async fn an_auditor_sees_nothing_of_another_tenant() {
    let scene = Scene::new();
    let collector = played(&scene).await;
    let channel = scene
        .dial("monitor://auditor/eve?tenant=globex", &collector)
        .await;
    let mut shown = String::new();
    let alerts = own_lists(&channel).await;
    assert_eq!(alerts.len(), 2);
    _ = write!(shown, "{alerts:?}");
    let mut events = EventServiceClient::new(channel);
    let request = SubscribeRequest {
        filter: Some(EventFilter {
            kinds: vec!["credential".into()],
            ..Default::default()
        }),
        from_start: true,
        until_now: true,
        include_alerts: true,
        ..Default::default()
    };
    let mut stream = events.subscribe(request).await.unwrap().into_inner();
    let (mut items, mut ids) = (0, vec![]);
    while let Some(response) = stream.message().await.unwrap() {
        items += 1;
        if let Some(monitor_proto::v1::subscribe_response::Item::Event(event)) = &response.item {
            let event = monitor_proto::decode_event(&event.event).unwrap();
            _ = write!(shown, "{event:?}");
            ids.push(event.id);
        }
        _ = write!(shown, "{response:?}");
    }
    assert_eq!(
        (items, ids.len()),
        (5, 2),
        "two events, two alerts, a last heartbeat"
    );
    let explain = events
        .explain(ExplainRequest {
            id: Some((&ids[0]).into()),
        })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(explain.matching_rules, ["out", "again"]);
    _ = write!(shown, "{explain:?}");
    for secret in ["acme", "01JG", "INC-4711"] {
        assert!(
            !shown.contains(secret),
            "an auditor of globex reads {secret}: {shown}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn absent_and_forbidden_answer_alike() {
    let scene = Scene::new();
    let collector = played(&scene).await;
    let mut events = EventServiceClient::new(
        scene
            .dial("monitor://auditor/eve?tenant=globex", &collector)
            .await,
    );
    let ask = |tenant: &str| {
        let filter = Some(EventFilter {
            tenants: vec![tenant.into()],
            ..Default::default()
        });
        SubscribeRequest {
            filter,
            ..Default::default()
        }
    };
    let (forbidden, absent) = (
        events.subscribe(ask("acme")).await,
        events.subscribe(ask("amce")).await,
    );
    let (forbidden, absent) = (forbidden.unwrap_err(), absent.unwrap_err());
    assert_eq!(
        (forbidden.code(), absent.code()),
        (Code::NotFound, Code::NotFound)
    );
    assert_eq!(
        forbidden.message().replace("acme", ""),
        absent.message().replace("amce", "")
    );
    let event = |n: u64| ExplainRequest {
        id: Some((&event_id("jump-1", Source::Priority { cpu: 0 }, n)).into()),
    };
    let forbidden = events.explain(event(1)).await.unwrap_err();
    let absent = events.explain(event(9)).await.unwrap_err();
    assert_eq!(
        (forbidden.code(), absent.code()),
        (Code::NotFound, Code::NotFound)
    );
    assert_eq!(
        forbidden.message().replace("/1", ""),
        absent.message().replace("/9", "")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_role_is_refused_with_the_right_ones() {
    let scene = Scene::new();
    let collector = scene.collector("").await;
    let agent = scene.dial("monitor://agent/jump-1", &collector).await;
    let soc = scene.dial("monitor://soc/sam", &collector).await;
    let auditor = scene
        .dial("monitor://auditor/eve?tenant=acme", &collector)
        .await;
    let refused = |status: Status| {
        assert_eq!(status.code(), Code::PermissionDenied);
        status.message().to_owned()
    };
    let status = EventServiceClient::new(agent.clone())
        .subscribe(SubscribeRequest::default())
        .await
        .unwrap_err();
    assert!(refused(status).contains("soc or admin or auditor"));
    let put = PutGrantRequest {
        grant: Some((&grant("01JG", "alice", "acme")).into()),
    };
    let status = GrantServiceClient::new(soc.clone())
        .put_grant(put)
        .await
        .unwrap_err();
    assert!(refused(status).contains("broker or admin"));
    let status = RevocationServiceClient::new(auditor)
        .list_orders(ListOrdersRequest::default())
        .await
        .unwrap_err();
    assert!(refused(status).contains("soc or admin"));
    let (up, messages) = mpsc::channel(1);
    let stream = AgentServiceClient::new(soc)
        .stream(ReceiverStream::new(messages))
        .await;
    drop(up);
    assert!(refused(stream.unwrap_err()).contains("takes agent"));
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_come_by_page() {
    let scene = Scene::new();
    let collector = played(&scene).await;
    let mut alerts = AlertServiceClient::new(scene.dial("monitor://soc/sam", &collector).await);
    let mut request = ListAlertsRequest {
        page_size: 1,
        ..Default::default()
    };
    let mut seen = vec![];
    loop {
        let page = alerts
            .list_alerts(request.clone())
            .await
            .unwrap()
            .into_inner();
        seen.extend(page.alerts.into_iter().map(|alert| alert.at_unix_ns));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(seen.len(), 2);
    assert!(seen[0] >= seen[1]);
    request.page_token = "x".into();
    assert_eq!(
        alerts.list_alerts(request).await.unwrap_err().code(),
        Code::InvalidArgument
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_reflection_answer() {
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let scene = Scene::new();
    let collector = scene.collector("").await;
    let channel = scene.dial("monitor://soc/sam", &collector).await;
    let check = HealthCheckRequest {
        service: "monitor.v1.EventService".into(),
    };
    let health = HealthClient::new(channel.clone())
        .check(check)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(health.status, 1);
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut answers = ServerReflectionClient::new(channel)
        .server_reflection_info(tokio_stream::once(request))
        .await
        .unwrap()
        .into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response;
    let Some(MessageResponse::ListServicesResponse(list)) = answer else {
        panic!("{answer:?}")
    };
    assert!(
        list.service
            .iter()
            .any(|service| service.name == "monitor.v1.RevocationService")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_and_a_wrong_certificate_are_told() {
    let scene = Scene::new();
    let collector = scene.collector("").await;
    let mut config = scene.config("");
    config.listen = collector.address();
    config.data_dir = scene.path().join("other");
    let error = Collector::start(config, Arc::new(SystemClock))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("listen =") && error.contains("port 0"),
        "{error}"
    );
    let mut config = scene.config("");
    config.data_dir = scene.path().join("third");
    config.tls = scene.files("monitor://broker/b");
    let error = Collector::start(config, Arc::new(SystemClock))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("role broker") && error.contains("role collector"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_connects_and_does_not_say_who_it_is_is_hung_up_on() {
    use tokio::io::AsyncReadExt as _;
    let scene = Scene::new();
    let collector = scene.collector("").await;
    let mut silent = tokio::net::TcpStream::connect(collector.address())
        .await
        .unwrap();
    let mut byte = [0; 1];
    let ended = silent.read(&mut byte);
    let ended = tokio::time::timeout(Duration::from_secs(30), ended).await;
    assert!(matches!(ended, Ok(Ok(0) | Err(_))), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_auditor_of_a_tenant_that_is_gone_sees_nothing_of_the_others() {
    let scene = Scene::new();
    let collector = scene.collector("").await;
    let channel = scene
        .dial("monitor://auditor/eve?tenant=initech", &collector)
        .await;
    let mut events = EventServiceClient::new(channel);
    let request = SubscribeRequest {
        include_alerts: true,
        ..Default::default()
    };
    let refused = events.subscribe(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound, "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn auditors_cannot_take_the_places_of_the_soc() {
    let scene = Scene::new();
    let collector = scene.collector("").await;
    let channel = scene
        .dial("monitor://auditor/eve?tenant=acme", &collector)
        .await;
    let mut auditor = EventServiceClient::new(channel);
    let mut streams = Vec::new();
    for _ in 0..crate::service::AUDITORS_MAX {
        let stream = auditor.subscribe(SubscribeRequest::default()).await;
        streams.push(stream.unwrap());
    }
    let refused = auditor.subscribe(SubscribeRequest::default()).await;
    assert_eq!(refused.unwrap_err().code(), Code::ResourceExhausted);
    let channel = scene.dial("monitor://soc/sam", &collector).await;
    let mut soc = EventServiceClient::new(channel);
    soc.subscribe(SubscribeRequest::default()).await.unwrap();
}
