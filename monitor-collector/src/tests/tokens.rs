//! People who show a token of their issuer, over real TLS.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use monitor_proto::v1::{
    ListGrantsRequest, ListHostsRequest, ListSessionsRequest,
    grant_service_client::GrantServiceClient, host_service_client::HostServiceClient,
    session_service_client::SessionServiceClient,
};
use monitor_transport::tls::Trust;
use ring::{
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair as _},
};
use serde_json::{Value, json};
use tonic::{Code, Request};

use super::*;

/// Who signs tokens.
struct Issuer(Ed25519KeyPair);

impl Issuer {
    fn new() -> Self {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self(Ed25519KeyPair::from_pkcs8(key.as_ref()).unwrap())
    }

    fn publish(&self, scene: &Scene) {
        let x = URL_SAFE_NO_PAD.encode(self.0.public_key());
        let keys = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "1", "x": x}]});
        std::fs::write(scene.path().join("jwks.json"), keys.to_string()).unwrap();
    }

    fn token(&self, more: &Value) -> String {
        let now = SystemClock.now().as_seconds();
        let mut claims = json!({"iss": "https://login.example", "aud": "monitor",
            "exp": now + 60, "sub": "sam"});
        for (claim, value) in more.as_object().unwrap() {
            claims[claim] = value.clone();
        }
        let header = URL_SAFE_NO_PAD.encode(json!({"alg": "EdDSA", "kid": "1"}).to_string());
        let text = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = URL_SAFE_NO_PAD.encode(self.0.sign(text.as_bytes()));
        format!("{text}.{signature}")
    }
}

fn config(scene: &Scene) -> Config {
    let jwks = scene.path().join("jwks.json");
    let tokens = format!(
        "[tokens]\nissuer = \"https://login.example\"\naudience = \"monitor\"\njwks = {jwks:?}\n"
    );
    scene.config_of("", &tokens)
}

async fn start(scene: &Scene) -> Collector {
    Collector::start(config(scene), Arc::new(SystemClock))
        .await
        .unwrap()
}

/// A connection on which no certificate was shown.
async fn bare(scene: &Scene, collector: &Collector) -> Channel {
    let address = format!("https://localhost:{}", collector.address().port());
    let trust = Trust::load(&scene.path().join("ca/ca.pem"), SystemClock.now()).unwrap();
    trust.connect(&address).await.unwrap()
}

fn with_token<T>(message: T, authorization: &str) -> Request<T> {
    let mut request = Request::new(message);
    let value = authorization.parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    request
}

async fn hosts(channel: &Channel, authorization: &str) -> Result<(), Status> {
    let request = with_token(ListHostsRequest::default(), authorization);
    let mut client = HostServiceClient::new(channel.clone());
    client.list_hosts(request).await.map(|_| ())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_as_good_as_a_certificate_for_people() {
    let (scene, issuer) = (Scene::new(), Issuer::new());
    issuer.publish(&scene);
    let collector = start(&scene).await;
    let channel = bare(&scene, &collector).await;
    for role in ["soc", "admin"] {
        let token = issuer.token(&json!({"monitor_role": role}));
        hosts(&channel, &format!("Bearer {token}")).await.unwrap();
        hosts(&channel, &format!("bearer  {token}")).await.unwrap();
    }
    let auditor = json!({"monitor_role": "auditor", "monitor_tenants": ["acme"]});
    let token = format!("Bearer {}", issuer.token(&auditor));
    let refused = hosts(&channel, &token).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
    let mut sessions = SessionServiceClient::new(channel.clone());
    let request = with_token(ListSessionsRequest::default(), &token);
    sessions.list_sessions(request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_shows_neither_or_a_wrong_token_is_told_what_is_right() {
    let (scene, issuer) = (Scene::new(), Issuer::new());
    issuer.publish(&scene);
    let collector = start(&scene).await;
    let channel = bare(&scene, &collector).await;
    let neither = HostServiceClient::new(channel.clone())
        .list_hosts(ListHostsRequest::default())
        .await
        .unwrap_err();
    assert_eq!(neither.code(), Code::Unauthenticated);
    assert!(neither.message().contains("Bearer"), "{neither}");
    let soc = |more: Value| {
        let mut claims = json!({"monitor_role": "soc"});
        for (claim, value) in more.as_object().unwrap() {
            claims[claim] = value.clone();
        }
        issuer.token(&claims)
    };
    let stranger = Issuer::new().token(&json!({"monitor_role": "soc"}));
    for (token, told) in [
        (soc(json!({"exp": 1})), "expired"),
        (soc(json!({"nbf": u32::MAX})), "holds only in"),
        (soc(json!({"iss": "https://other.example"})), "issuer"),
        (soc(json!({"aud": "other"})), "audience"),
        (
            issuer.token(&json!({"monitor_role": "agent"})),
            "certificates",
        ),
        (
            issuer.token(&json!({"monitor_role": "auditor"})),
            "bound to a tenant",
        ),
        (stranger, "signature"),
        ("x".to_owned(), "no signed JWT"),
    ] {
        let refused = hosts(&channel, &format!("Bearer {token}"))
            .await
            .unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
        assert!(refused.message().contains(told), "{refused}");
    }
    let basic = hosts(&channel, "Basic c2FtOnNhbQ==").await.unwrap_err();
    assert_eq!(basic.code(), Code::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agents_stream_takes_no_token() {
    let (scene, issuer) = (Scene::new(), Issuer::new());
    issuer.publish(&scene);
    let collector = start(&scene).await;
    let channel = bare(&scene, &collector).await;
    for role in ["soc", "admin", "agent"] {
        let token = issuer.token(&json!({"monitor_role": role}));
        let (_up, messages) = mpsc::channel::<StreamRequest>(1);
        let request = with_token(ReceiverStream::new(messages), &format!("Bearer {token}"));
        let refused = AgentServiceClient::new(channel.clone())
            .stream(request)
            .await;
        let code = refused.unwrap_err().code();
        assert!(matches!(
            code,
            Code::PermissionDenied | Code::Unauthenticated
        ));
    }
    // With a certificate it is as ever.
    Agent::connect(&scene, &collector, "jump-1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_a_certificate_a_token_must_be_of_the_same_name_and_adds_nothing() {
    let (scene, issuer) = (Scene::new(), Issuer::new());
    issuer.publish(&scene);
    let collector = start(&scene).await;
    let channel = scene
        .dial("monitor://auditor/sam?tenant=acme", &collector)
        .await;
    let admin = json!({"monitor_role": "admin"});
    let token = format!("Bearer {}", issuer.token(&admin));
    let refused = hosts(&channel, &token).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
    let mut grants = GrantServiceClient::new(channel.clone());
    let request = with_token(ListGrantsRequest::default(), &token);
    grants.list_grants(request).await.unwrap();
    let other = issuer.token(&json!({"monitor_role": "auditor", "sub": "eve",
        "monitor_tenants": "acme"}));
    let request = with_token(ListGrantsRequest::default(), &format!("Bearer {other}"));
    let refused = grants.list_grants(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert!(refused.message().contains("sam") && refused.message().contains("eve"));
    let over = issuer.token(&json!({"monitor_role": "admin", "exp": 1}));
    let refused = hosts(&channel, &format!("Bearer {over}"))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tokens_nobody_connects_without_a_certificate() {
    let scene = Scene::new();
    let collector = scene.collector("").await;
    let address = format!("https://localhost:{}", collector.address().port());
    let trust = Trust::load(&scene.path().join("ca/ca.pem"), SystemClock.now()).unwrap();
    let refused = match trust.connect(&address).await {
        Err(_) => true,
        Ok(channel) => {
            let mut client = HostServiceClient::new(channel);
            let asked = client.list_hosts(ListHostsRequest::default()).await;
            // It ends below gRPC: nothing of ours answers.
            asked.unwrap_err().code() != Code::Unauthenticated
        }
    };
    assert!(refused);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_tokens_a_certificate_of_another_authority_is_still_refused() {
    let (scene, issuer, other) = (Scene::new(), Issuer::new(), Scene::new());
    issuer.publish(&scene);
    let collector = start(&scene).await;
    let mut files = other.files("monitor://soc/sam");
    let foreign = TlsFiles {
        ca: other.path().join("ca/ca.pem"),
        ..files.clone()
    };
    files.ca = scene.path().join("ca/ca.pem");
    // Ours would not even load it; so it is shown by hand.
    assert!(files.load(SystemClock.now()).is_err());
    let address = format!("https://localhost:{}", collector.address().port());
    let tls = tonic::transport::ClientTlsConfig::new()
        .ca_certificate(tonic::transport::Certificate::from_pem(
            std::fs::read(&files.ca).unwrap(),
        ))
        .identity(tonic::transport::Identity::from_pem(
            std::fs::read(&foreign.certificate).unwrap(),
            std::fs::read(&foreign.key).unwrap(),
        ));
    let endpoint = tonic::transport::Endpoint::from_shared(address).unwrap();
    let connected = endpoint.tls_config(tls).unwrap().connect().await;
    let token = format!("Bearer {}", issuer.token(&json!({"monitor_role": "soc"})));
    let is_refused = match connected {
        Err(_) => true,
        Ok(channel) => hosts(&channel, &token).await.is_err(),
    };
    assert!(is_refused);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_reads_the_keys_again_and_wrong_ones_change_nothing() {
    let (scene, old, new) = (Scene::new(), Issuer::new(), Issuer::new());
    old.publish(&scene);
    let collector = start(&scene).await;
    let channel = bare(&scene, &collector).await;
    let token = |issuer: &Issuer| {
        let token = issuer.token(&json!({"monitor_role": "soc"}));
        format!("Bearer {token}")
    };
    assert!(hosts(&channel, &token(&new)).await.is_err());
    new.publish(&scene);
    assert!(hosts(&channel, &token(&new)).await.is_err());
    collector.reload(Ok(config(&scene))).await;
    hosts(&channel, &token(&new)).await.unwrap();
    assert!(hosts(&channel, &token(&old)).await.is_err());
    // Switching tokens off takes a new start, and says so: these stay.
    collector.reload(Ok(scene.config(""))).await;
    hosts(&channel, &token(&new)).await.unwrap();
}
