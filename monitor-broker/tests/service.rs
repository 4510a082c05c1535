//! The broker over real mutual TLS, with a collector that serves `GrantService`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failing test says where"
)]

use std::{fs, time::Duration};

use monitor_broker::{
    client::{ClientError, Revocation},
    krl::file::inspect,
    server::{Bound, ServeError},
};
use monitor_model::{
    clock::SystemClock,
    id::{GrantId, OrderId},
    revocation::{Outcome, Target},
};
use monitor_proto::v1;
use tonic::{Code, Status};

mod scene;
use scene::{Scene, grant, key_pair, now, until};

fn revocation(id: u128, target: Target) -> Revocation {
    Revocation {
        order: OrderId::from_parts(now(), id),
        at: now(),
        target,
        serials: Vec::new(),
        grants: Vec::new(),
        reason: "offboarding".into(),
    }
}

fn public_key(scene: &Scene) -> String {
    let key = scene.path().join("id");
    if !key.exists() {
        key_pair(scene.path(), "id");
    }
    fs::read_to_string(key.with_extension("pub")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_is_registered_used_and_revoked() {
    let scene = Scene::new();
    let _collector = scene.start_collector().await;
    let broker = scene.start_broker().await;
    let mut admin = scene.client("root", &broker).await;
    let id: GrantId = "G-1".parse().unwrap();
    assert_eq!(
        admin.register(&grant("G-1", "alice")).await.unwrap(),
        ["jump-1"]
    );
    assert_eq!(scene.collector.0.lock().unwrap().puts[0].id, "G-1");
    let (certificate, issued) = admin.issue((&id, &[]), &public_key(&scene)).await.unwrap();
    assert!(certificate.starts_with("ssh-ed25519-cert-v01@openssh.com "));
    assert_eq!((issued.serial, issued.grant.as_str()), (1, "G-1"));
    let revoked = admin
        .revoke(&revocation(1, Target::Engineer("alice".parse().unwrap())))
        .await
        .unwrap();
    assert_eq!(
        (revoked.revoked[0].serial, revoked.revoked[0].outcome),
        (Some(1), Outcome::Revoked)
    );
    assert!(revoked.published_at.is_some());
    assert!(
        inspect(&scene.krl()).unwrap().serials.contains(1),
        "the list is in place before the answer"
    );
    until("the collector is told of the end", || {
        scene.collector.0.lock().unwrap().ends == [("G-1".to_owned(), "offboarding".to_owned())]
    })
    .await;
    let (grants, certificates) = admin.describe(&"alice".parse().unwrap()).await.unwrap();
    assert_eq!((grants.len(), certificates.len()), (1, 1));
    assert!(certificates[0].revoked_at_unix_ns.is_some());
    let error = admin
        .issue((&id, &[]), &public_key(&scene))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, ClientError::Status { code: Code::FailedPrecondition, text } if text.contains("offboarding")),
        "{error}"
    );
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_call_takes_its_own_roles() {
    let scene = Scene::new();
    let _collector = scene.start_collector().await;
    let broker = scene.start_broker().await;
    let id: GrantId = "G-1".parse().unwrap();
    for (name, may_issue, may_revoke) in [
        ("root", true, true),
        ("c", false, true),
        ("sam", false, false),
        ("jump-1", false, false),
    ] {
        let mut client = scene.client(name, &broker).await;
        let refused = |error: ClientError| matches!(error, ClientError::Permission(_));
        assert_eq!(
            client
                .register(&grant("G-1", "alice"))
                .await
                .is_err_and(refused),
            !may_issue,
            "{name}"
        );
        assert_eq!(
            client
                .issue((&id, &[]), &public_key(&scene))
                .await
                .is_err_and(refused),
            !may_issue,
            "{name}"
        );
        assert_eq!(
            client
                .describe(&"alice".parse().unwrap())
                .await
                .is_err_and(refused),
            !may_revoke,
            "{name}"
        );
        let order = revocation(1, Target::Serial(99));
        assert_eq!(
            client.revoke(&order).await.is_err_and(refused),
            !may_revoke,
            "{name}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_waits_for_the_collector_also_over_a_crash() {
    let scene = Scene::new();
    let broker = scene.start_broker().await;
    let channel = scene
        .files("root")
        .load(now())
        .unwrap()
        .connect(&broker.address)
        .await
        .unwrap();
    let mut issuer = v1::issuer_service_client::IssuerServiceClient::new(channel);
    let mut request = tonic::Request::new(v1::RegisterGrantRequest {
        grant: Some((&grant("G-1", "alice")).into()),
    });
    request.set_timeout(Duration::from_millis(900));
    let status = issuer.register_grant(request).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert!(status.message().contains("is stored"), "{status}");
    let mut admin = scene.client("root", &broker).await;
    let error = admin
        .issue((&"G-1".parse().unwrap(), &[]), &public_key(&scene))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("not at the collector"),
        "{error}"
    );
    drop((admin, issuer));
    broker.kill(&scene).await;
    let _collector = scene.start_collector().await;
    let broker = scene.start_broker().await;
    until("the grant is put at the next start", || {
        !scene.collector.0.lock().unwrap().puts.is_empty()
    })
    .await;
    let mut admin = scene.client("root", &broker).await;
    for _ in 0..100 {
        if admin
            .issue((&"G-1".parse().unwrap(), &[]), &public_key(&scene))
            .await
            .is_ok()
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("nothing was issued for a grant that is at the collector");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_waits_for_the_collector() {
    let scene = Scene::new();
    let collector = scene.start_collector().await;
    let broker = scene.start_broker().await;
    let mut admin = scene.client("root", &broker).await;
    admin.register(&grant("G-1", "alice")).await.unwrap();
    scene.collector.0.lock().unwrap().refusal = Some(Status::unavailable("busy"));
    collector.abort();
    assert!(collector.await.is_err());
    // The order is answered although the collector is away.
    admin
        .revoke(&revocation(1, Target::Grant("G-1".parse().unwrap())))
        .await
        .unwrap();
    drop(admin);
    broker.kill(&scene).await;
    let _collector = scene.start_collector().await;
    let _broker = scene.start_broker().await;
    until("the collector is told of the end", || {
        scene.collector.0.lock().unwrap().ends.len() == 1
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_collector_refuses_is_refused_and_may_come_corrected() {
    let scene = Scene::new();
    let _collector = scene.start_collector().await;
    let broker = scene.start_broker().await;
    let mut admin = scene.client("root", &broker).await;
    scene.collector.0.lock().unwrap().refusal =
        Some(Status::invalid_argument("tenant acme is not configured"));
    let error = admin
        .register(&grant("G-1", "alice"))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("tenant acme is not configured"), "{error}");
    scene.collector.0.lock().unwrap().refusal = None;
    let mut corrected = grant("G-1", "alice");
    corrected.tenant = "globex".parse().unwrap();
    admin.register(&corrected).await.unwrap();
    assert_eq!(scene.collector.0.lock().unwrap().puts[0].tenant, "globex");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_calls_get_an_answer_that_says_what_is_wrong() {
    let scene = Scene::new();
    let _collector = scene.start_collector().await;
    let broker = scene.start_broker().await;
    let channel = scene
        .files("root")
        .load(now())
        .unwrap()
        .connect(&broker.address)
        .await
        .unwrap();
    let mut client = v1::broker_service_client::BrokerServiceClient::new(channel.clone());
    let good = v1::RevokeCredentialsRequest {
        order: vec![1; 16],
        target: Some((&Target::Serial(1)).into()),
        reason: "x".into(),
        ..Default::default()
    };
    for (request, told) in [
        (
            v1::RevokeCredentialsRequest {
                order: vec![1],
                ..good.clone()
            },
            "order",
        ),
        (
            v1::RevokeCredentialsRequest {
                target: None,
                ..good.clone()
            },
            "target",
        ),
        (
            v1::RevokeCredentialsRequest {
                reason: " ".into(),
                ..good.clone()
            },
            "reason",
        ),
        (
            v1::RevokeCredentialsRequest {
                grants: vec!["a b".into()],
                ..good.clone()
            },
            "grants",
        ),
        (
            v1::RevokeCredentialsRequest {
                serials: vec![1; 10_001],
                ..good
            },
            "10000",
        ),
    ] {
        let status = client.revoke_credentials(request).await.unwrap_err();
        assert!(
            status.code() == Code::InvalidArgument && status.message().contains(told),
            "{status}"
        );
    }
    let mut admin = scene.client("root", &broker).await;
    assert!(matches!(
        admin
            .issue((&"G-9".parse().unwrap(), &[]), &public_key(&scene))
            .await,
        Err(ClientError::NotFound(_))
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_reflection_answer() {
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let scene = Scene::new();
    let broker = scene.start_broker().await;
    let channel = scene
        .files("sam")
        .load(now())
        .unwrap()
        .connect(&broker.address)
        .await
        .unwrap();
    for service in ["", "monitor.v1.BrokerService", "monitor.v1.IssuerService"] {
        let request = HealthCheckRequest {
            service: service.into(),
        };
        let answer = HealthClient::new(channel.clone())
            .check(request)
            .await
            .unwrap()
            .into_inner();
        assert_eq!(answer.status, 1, "{service}");
    }
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let answers = ServerReflectionClient::new(channel)
        .server_reflection_info(tokio_stream::iter([request]))
        .await
        .unwrap();
    let answer = answers
        .into_inner()
        .message()
        .await
        .unwrap()
        .unwrap()
        .message_response
        .unwrap();
    let MessageResponse::ListServicesResponse(list) = answer else {
        panic!("{answer:?}")
    };
    assert!(
        list.service
            .iter()
            .any(|service| service.name == "monitor.v1.BrokerService")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_and_a_wrong_certificate_are_told() {
    let scene = Scene::new();
    let used = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = scene.config();
    config.listen = used.local_addr().unwrap();
    let error = Bound::new(&config, std::sync::Arc::new(SystemClock))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("cannot listen on"), "{error}");
    let mut config = scene.config();
    config.tls = scene.files("c");
    let error = Bound::new(&config, std::sync::Arc::new(SystemClock))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, ServeError::Role { found } if found == "monitor://collector/c"),
        "{error}"
    );
}
