//! One command over a hundred hosts, with the reference broker: each has a
//! session of the engineer, and everything is confirmed within one second.

use monitor_model::{
    clock::UnixNs,
    event::Action,
    grant::Grant,
    id::{SessionId, Source},
};
use monitor_proto::v1::{
    ContainMode, GetOrderRequest, IssueCertificateRequest, Order, OrderState, Receipt,
    RegisterGrantRequest, RevocationTarget, RevokeRequest,
    issuer_service_client::IssuerServiceClient, revocation_service_client::RevocationServiceClient,
    revocation_target::Target,
};

use super::*;
use crate::testing::{event_id, grant, opened};

/// Hosts, each with an agent's stream over mutual TLS of its own.
const HOSTS: u64 = 100;
/// Engineers that are revoked one after the other.
const ROUNDS: u64 = 5;
/// A machine that does much else is not to fail the test.
const GENEROUS: Duration = Duration::from_secs(10);

/// An agent that opens sessions when it is told, and answers commands by receipts.
async fn host(
    mut agent: Agent,
    number: u64,
    mut logins: mpsc::Receiver<Event>,
    opened: mpsc::Sender<u64>,
) {
    let mut batch = 0;
    loop {
        tokio::select! {
                    login = logins.recv() => {
                        let Some(login) = login else { return };
                        batch += 1;
                        agent.send(batch, &[login]).await;
                    }
                    message = agent.down.message() => match message.unwrap().unwrap().message.unwrap() {
                        DownMessage::Ack(ack) if ack.number == batch => opened.send(number).await.unwrap(),
                        DownMessage::Contain(command) => {
                            assert_eq!(command.mode(), ContainMode::Kill);
                            let now = SystemClock.now().0;
                            let receipt = Receipt {
                                order: command.order,
                                session: command.session,
                                mode: command.mode,
                                killed: 1,
                                received_at_unix_ns: now,
                                denied_at_unix_ns: now,
                                gone_at_unix_ns: Some(now),
                                ..Receipt::default()
                            };
                            agent.say(Up::Receipt(receipt)).await;
                        }
                        DownMessage::Ack(_)
                        | DownMessage::Grants(_)
                        | DownMessage::Deny(_)
                        | DownMessage::Scopes(_)
                        | DownMessage::ScopeLease(_)
        | DownMessage::List(_)
        | DownMessage::Inspect(_) => {}
                    },
                }
    }
}

/// The collector and the reference broker, each knowing where the other is.
async fn estate(scene: &Scene) -> (Collector, String) {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let files = scene.files("monitor://broker/b");
    let text = format!(
        "listen = \"127.0.0.1:0\"\ndata_dir = {:?}\nkrl = {:?}\ncertificate_seconds_max = 3600\n\
         [tls]\nca = {:?}\ncertificate = {:?}\nkey = {:?}\n\
         [collector]\naddress = \"https://localhost:{port}\"\n",
        scene.path().join("broker-data"),
        scene.path().join("krl"),
        files.ca,
        files.certificate,
        files.key
    );
    let path = scene.path().join("broker.toml");
    let config = monitor_broker::config::Config::parse(&path, &text).unwrap();
    let bound = monitor_broker::server::Bound::new(&config, Arc::new(SystemClock))
        .await
        .unwrap();
    let broker = format!("https://localhost:{}", bound.address().port());
    tokio::spawn(bound.serve(std::future::pending()));
    let mut config = scene.config("");
    config.listen.set_port(port);
    config.response.bulk_sessions = 1_000;
    config.broker = Some(crate::config::broker::Broker {
        way: crate::config::broker::BrokerWay::Grpc {
            address: broker.clone(),
        },
        retry_min: Duration::from_millis(5),
        retry_max: Duration::from_millis(20),
    });
    let collector = Collector::start(config, Arc::new(SystemClock))
        .await
        .unwrap();
    (collector, broker)
}

/// A certificate of the broker for a new grant of an engineer.
async fn issued(scene: &Scene, broker: &str, grant: &Grant, key: &str) -> u64 {
    let channel = scene
        .tls("monitor://admin/root")
        .connect(broker)
        .await
        .unwrap();
    let mut issuer = IssuerServiceClient::new(channel);
    let request = RegisterGrantRequest {
        grant: Some(grant.into()),
    };
    issuer.register_grant(request).await.unwrap();
    let request = IssueCertificateRequest {
        grant: grant.id.to_string(),
        public_key: key.to_owned(),
        also: Vec::new(),
    };
    let answer = issuer.issue_certificate(request).await.unwrap();
    answer.into_inner().issued.unwrap().serial
}

fn key_pair(scene: &Scene) -> String {
    let path = scene.path().join("id");
    let made = std::process::Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&path)
        .status();
    assert!(made.unwrap().success());
    std::fs::read_to_string(path.with_extension("pub")).unwrap()
}

fn login(host: u64, round: u64, engineer: &str, serial: u64) -> Event {
    let id = event_id(&format!("jump-{host}"), Source::Agent, round + 1);
    let session = SessionId::from_parts(SystemClock.now(), (round * HOSTS + host + 1).into());
    let mut event = opened(id, session, engineer, serial);
    let grant = format!("G-{round}").parse().unwrap();
    if let Action::SessionOpened { session } = &mut event.action {
        session.grants = vec![grant];
    }
    event
}

/// The order once everything of it is confirmed, and how long that took as
/// whoever gave it sees it.
async fn revoked(
    client: &mut RevocationServiceClient<Channel>,
    engineer: &str,
) -> (Order, Duration) {
    let begun = std::time::Instant::now();
    let target = Some(RevocationTarget {
        target: Some(Target::Engineer(engineer.to_owned())),
    });
    let request = RevokeRequest {
        target,
        reason: "offboarding".into(),
        ..RevokeRequest::default()
    };
    let given = client.revoke(request).await.unwrap().into_inner();
    let id = given.order.unwrap().id;
    let order = eventually(|| {
        let (mut client, order) = (client.clone(), id.clone());
        async move {
            let answer = client.get_order(GetOrderRequest { order }).await.unwrap();
            let order = answer.into_inner().order.unwrap();
            (order.state() == OrderState::Enforced).then_some(order)
        }
    })
    .await;
    (order, begun.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_command_is_confirmed_by_the_broker_and_a_hundred_hosts() {
    let scene = Scene::new();
    let (collector, broker) = estate(&scene).await;
    let (opened_out, mut opened_in) = mpsc::channel(128);
    let mut hosts = Vec::new();
    for number in 0..HOSTS {
        let agent = Agent::connect(&scene, &collector, &format!("jump-{number}")).await;
        let (logins, logins_in) = mpsc::channel(1);
        tokio::spawn(host(agent, number, logins_in, opened_out.clone()));
        hosts.push(logins);
    }
    let key = key_pair(&scene);
    let mut client =
        RevocationServiceClient::new(scene.dial("monitor://soc/sam", &collector).await);
    let mut took = Vec::new();
    for round in 0..ROUNDS {
        let engineer = format!("alice{round}");
        let grant = Grant {
            expires: SystemClock.now().plus(Duration::from_secs(3_600)),
            ..grant(&format!("G-{round}"), &engineer, "acme")
        };
        let serial = issued(&scene, &broker, &grant, &key).await;
        for (number, logins) in (0..).zip(&hosts) {
            logins
                .send(login(number, round, &engineer, serial))
                .await
                .unwrap();
        }
        for _ in 0..HOSTS {
            opened_in.recv().await.unwrap();
        }
        let (order, seen) = revoked(&mut client, &engineer).await;
        assert_eq!(order.sessions.len(), usize::try_from(HOSTS).unwrap());
        assert!(
            order.sessions.iter().all(|one| one.killed == 1),
            "each once"
        );
        assert_eq!(order.revoked.len(), 1, "{:?}", order.revoked);
        assert_eq!(order.revoked[0].serial, Some(serial));
        let times = order.times.unwrap();
        let done = times
            .last_process_gone_unix_ns
            .max(times.broker_answered_unix_ns);
        let ordered = UnixNs(times.ordered_unix_ns.unwrap());
        took.push((UnixNs(done.unwrap()).since(ordered), seen));
    }
    took.sort();
    let (confirmed, seen): (Vec<Duration>, Vec<Duration>) = took.into_iter().unzip();
    let seen_max = *seen.iter().max().unwrap();
    eprintln!(
        "{HOSTS} hosts, {ROUNDS} commands: from the order on disk to the last word of hosts and broker \
         p50 {:?}, max {:?}; seen enforced by who gave it at most {seen_max:?}",
        confirmed[confirmed.len() / 2],
        confirmed[confirmed.len() - 1],
    );
    assert!(seen_max < GENEROUS, "{seen_max:?}");
}
