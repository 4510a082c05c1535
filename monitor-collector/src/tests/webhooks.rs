//! Orders by signed webhook, to a broker that speaks HTTP over real TLS. What is
//! signed is verified with another implementation than the one that signs.

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::Mutex,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    HeaderMap, Request, Response,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use monitor_model::{
    id::{OrderId, Source},
    revocation::{Cause, Order, Outcome, Target},
};
use monitor_proto::v1::OrderState;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
};

use super::{
    revocation::{command, order_at, put_grant},
    *,
};
use crate::{
    revoke::{way::Way as _, webhook::Webhook},
    testing::{credential, event_id, opened, session_id},
};

const SECRET: &[u8; 32] = b"no secret but of thirty-two byte";

/// One request as it came.
#[derive(Clone, Debug)]
struct Asked {
    path: String,
    fields: HeaderMap,
    body: Bytes,
    at: Instant,
}

impl Asked {
    fn field(&self, name: &str) -> &str {
        self.fields[name].to_str().unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Verified as a broker does it.
    fn verify(&self) {
        let signed = [
            self.field("webhook-id").as_bytes(),
            b".",
            self.field("webhook-timestamp").as_bytes(),
            b".",
            &self.body,
        ]
        .concat();
        let signature = self.field("webhook-signature").strip_prefix("v1,").unwrap();
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SECRET);
        ring::hmac::verify(&key, &signed, &STANDARD.decode(signature).unwrap()).unwrap();
        let at: u64 = self.field("webhook-timestamp").parse().unwrap();
        assert!(SystemClock.now().as_seconds().abs_diff(at) < 60);
    }
}

/// A broker that answers as it is told, and else revokes what it is sent.
#[derive(Clone, Default)]
struct Hook {
    asked: Arc<Mutex<Vec<Asked>>>,
    answers: Arc<Mutex<VecDeque<Response<Full<Bytes>>>>>,
}

impl Hook {
    /// Serves on localhost; gives the port.
    async fn serve(&self, scene: &Scene) -> u16 {
        let files = scene.files("monitor://broker/b");
        let certificate = CertificateDer::from_pem_file(&files.certificate).unwrap();
        let key = PrivateKeyDer::from_pem_file(&files.key).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let hook = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, hook) = (acceptor.clone(), hook.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let service = service_fn(move |request| hook.clone().answer(request));
                    let serving =
                        http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                    _ = serving.await;
                });
            }
        });
        port
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let (parts, body) = request.into_parts();
        assert_eq!(parts.method, "POST");
        let asked = Asked {
            path: parts.uri.to_string(),
            fields: parts.headers,
            body: body.collect().await.unwrap().to_bytes(),
            at: Instant::now(),
        };
        let answer = self.answers.lock().unwrap().pop_front();
        let answer = answer.unwrap_or_else(|| revoked(&asked.json()));
        self.asked.lock().unwrap().push(asked);
        Ok(answer)
    }

    fn script(&self, status: u16, field: Option<(&str, &str)>, body: &str) {
        let mut response = Response::builder().status(status);
        if let Some((name, value)) = field {
            response = response.header(name, value);
        }
        let response = response.body(Full::new(body.to_owned().into())).unwrap();
        self.answers.lock().unwrap().push_back(response);
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

/// What a broker answers that revoked every certificate.
fn revoked(order: &Value) -> Response<Full<Bytes>> {
    let credentials = order["data"]["credentials"].as_array().unwrap().iter();
    let revoked: Vec<Value> = credentials
        .filter(|one| one["kind"] == "ssh_certificate")
        .map(|one| {
            json!({"serial": one["serial"], "outcome": "revoked", "at": "2026-11-22T03:04:05.000000006Z"})
        })
        .collect();
    let body = json!({
        "schema_version": 1, "revoked": revoked, "published_at": "2026-11-22T03:04:06Z"
    });
    Response::new(Full::new(body.to_string().into()))
}

fn secret(scene: &Scene) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let path = scene.path().join("webhook.secret");
    std::fs::write(&path, format!("whsec_{}\n", STANDARD.encode(SECRET))).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// A collector with this broker, and an agent on whose host alice left her tenant
/// twice: the order is in force.
async fn revoking(scene: &Scene, port: u16) -> (Collector, Agent, Vec<u8>) {
    let broker = format!(
        "[broker]\nwebhook = \"https://localhost:{port}/orders?from=monitor\"\nsecret = {:?}\nca = {:?}\nretry_ms_min = 5\nretry_ms_max = 20\n",
        secret(scene),
        scene.path().join("ca/ca.pem"),
    );
    let config = scene.config_of("", &broker);
    let collector = Collector::start(config, Arc::new(SystemClock))
        .await
        .unwrap();
    put_grant(scene, &collector).await;
    let mut agent = Agent::connect(scene, &collector, "jump-1").await;
    let id = |sequence| event_id("jump-1", Source::Priority { cpu: 0 }, sequence);
    let login = event_id("jump-1", Source::Agent, 1);
    let events = [
        opened(login, session_id(1), "alice", 7),
        credential(id(1), "globex", "/srv/globex/1"),
        credential(id(2), "globex", "/srv/globex/2"),
    ];
    agent.send(1, &events).await;
    let order = command(&mut agent).await.order;
    (collector, agent, order)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_posted_signed_until_the_broker_answers() {
    let scene = Scene::new();
    let hook = Hook::default();
    hook.script(503, Some(("retry-after", "0")), "no disk today");
    hook.script(200, None, "<html>busy</html>");
    hook.script(202, None, "");
    let port = hook.serve(&scene).await;
    let (collector, _agent, id) = revoking(&scene, port).await;
    let order = order_at(&scene, &collector, id.clone(), OrderState::BrokerAnswered).await;
    assert_eq!(order.attempts, 4);
    assert_eq!(order.revoked[0].serial, Some(7));
    let published = order.times.unwrap().krl_published_unix_ns;
    assert_eq!(published, Some(1_795_316_646_000_000_000));
    assert!(order.last_error.contains("202"), "{}", order.last_error);
    let asked = hook.asked();
    let name = OrderId::from_slice(&id).unwrap().to_string();
    for (at, one) in asked.iter().enumerate() {
        one.verify();
        assert_eq!(one.field("webhook-id"), name);
        assert_eq!(one.field("content-type"), "application/json");
        assert_eq!(one.path, "/orders?from=monitor");
        assert_eq!(one.json()["data"]["attempt"], at + 1);
    }
    assert_eq!(asked.len(), 4);
    let body = asked[0].json();
    let data = &body["data"];
    assert_eq!(
        (&body["schema_version"], &body["type"], &body["timestamp"]),
        (
            &json!(1),
            &json!("monitor.revocation.order"),
            &data["issued_at"]
        )
    );
    assert_eq!(data["order"], name);
    let session = session_id(1).to_string();
    assert_eq!(data["target"], json!({"kind": "session", "name": session}));
    assert_eq!(
        data["credentials"],
        json!([{"kind": "ssh_certificate", "serial": "7"}, {"kind": "grant", "grant": "01JG"}])
    );
    assert_eq!(
        data["subject"],
        json!({"engineers": ["alice"], "tenants": ["acme"]})
    );
    assert_eq!(data["sessions"][0]["host"], "jump-1");
    assert_eq!(data["reason"]["rule"], "again");
    let event = event_id("jump-1", Source::Priority { cpu: 0 }, 2);
    assert_eq!(data["reason"]["event"], event.to_string());
    assert_eq!(data["mode"], "kill");
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_and_redirects_are_told_and_asked_again_slowly() {
    let scene = Scene::new();
    let (hook, elsewhere) = (Hook::default(), Hook::default());
    let other = elsewhere.serve(&scene).await;
    let to = format!("https://localhost:{other}/");
    hook.script(307, Some(("location", &to)), "");
    hook.script(401, None, "the signature is not ours");
    let port = hook.serve(&scene).await;
    let (collector, _agent, id) = revoking(&scene, port).await;
    let order = order_at(&scene, &collector, id, OrderState::BrokerAnswered).await;
    assert!(
        order.last_error.contains("401: the signature is not ours"),
        "{}",
        order.last_error
    );
    assert!(elsewhere.asked().is_empty());
    let asked = hook.asked();
    assert_eq!(asked.len(), 3);
    for (before, after) in asked.iter().zip(&asked[1..]) {
        let pause = after.at - before.at;
        // Half of ten times the longest usual pause.
        assert!(pause >= Duration::from_millis(100), "{pause:?}");
    }
}

fn order() -> Order {
    let cause = Cause {
        text: "offboarding".into(),
        alert: None,
        event: None,
        initiator: "soc/sam".into(),
    };
    Order::new(
        OrderId::from_parts(SystemClock.now(), 7),
        Target::Serial(7),
        cause,
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_authority_that_is_configured_is_believed() {
    let (scene, alien) = (Scene::new(), Scene::new());
    let hook = Hook::default();
    let url = format!("https://localhost:{}/", hook.serve(&scene).await);
    let way = |ca: Option<&Path>| {
        let secret = secret(&scene);
        Webhook::new(&url, &secret, ca, Arc::new(SystemClock)).unwrap()
    };
    let ca = |scene: &Scene| scene.path().join("ca/ca.pem");
    let mut ways = vec![way(Some(&ca(&alien)))];
    if Path::new(crate::http::SYSTEM_AUTHORITIES).exists() {
        ways.push(way(None));
    }
    for way in ways {
        let why = way.ask(&order(), 1).await.unwrap_err().to_string();
        assert!(why.contains("certificate"), "{why}");
        assert!(way.reach().await.is_err());
    }
    assert!(hook.asked().is_empty());
    let right = way(Some(&ca(&scene)));
    right.reach().await.unwrap();
    let said = right.ask(&order(), 1).await.unwrap();
    assert_eq!(said.revoked[0].outcome, Outcome::Revoked);
    let body = hook.asked()[0].json();
    assert_eq!(
        body["data"]["target"],
        json!({"kind": "serial", "name": "7"})
    );
    assert_eq!(body["data"]["reason"]["rule"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_bounded_and_closed_connections_are_no_failure() {
    let scene = Scene::new();
    let hook = Hook::default();
    let url = format!("https://localhost:{}/", hook.serve(&scene).await);
    let ca = scene.path().join("ca/ca.pem");
    let way = Webhook::new(&url, &secret(&scene), Some(&ca), Arc::new(SystemClock)).unwrap();
    hook.script(200, None, &" ".repeat(4 << 20 | 1));
    let why = way.ask(&order(), 1).await.unwrap_err();
    assert!(why.to_string().contains("4194304 bytes"), "{why}");
    let body = r#"{"revoked":[]}"#;
    for _ in 0..3 {
        hook.script(200, Some(("connection", "close")), body);
        assert!(way.ask(&order(), 1).await.unwrap().revoked.is_empty());
    }
    let asked = hook.asked.lock().unwrap().len();
    assert_eq!(asked, 4);
}
