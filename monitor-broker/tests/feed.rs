//! Two programs over mutual TLS: an order goes down the feed, is done, and is answered
//! once, whichever of the two is killed with -9 in between.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failing test says where"
)]

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use monitor_broker::{client::Client, krl::file::inspect};
use monitor_model::id::GrantId;
use monitor_proto::v1::{
    GetOrderRequest, Hello, ListGrantsRequest, ListInPlace, Order, OrderState, RevocationOutcome,
    RevocationTarget, RevokeRequest, StreamRequest, agent_service_client::AgentServiceClient,
    grant_service_client::GrantServiceClient, revocation_service_client::RevocationServiceClient,
    revocation_target::Target, stream_request::Message as Up, stream_response::Message as Down,
};
use rusqlite::{Connection, OpenFlags};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

mod scene;
use scene::{Scene, grant, key_pair, now, until};

/// A program, killed with -9 when it goes.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn run(program: &Path, config: &Path, listen: &Path) -> (Program, SocketAddr) {
    let _ = fs::remove_file(listen);
    let child = Command::new(program)
        .args(["run", "--config"])
        .arg(config)
        .stderr(Stdio::null())
        .spawn();
    let running = Program(child.unwrap());
    until("it listens", || {
        fs::read_to_string(listen).is_ok_and(|text| text.ends_with('\n'))
    })
    .await;
    let address = fs::read_to_string(listen).unwrap().trim().parse().unwrap();
    (running, address)
}

/// What stands between the two: it can keep what the broker says to itself.
struct Line {
    collector: watch::Sender<SocketAddr>,
    is_open: watch::Sender<bool>,
}

impl Line {
    async fn lay(at: SocketAddr, collector: SocketAddr) -> Self {
        let listener = TcpListener::bind(at).await.unwrap();
        let (collector, to) = watch::channel(collector);
        let (is_open, open) = watch::channel(true);
        tokio::spawn(async move {
            loop {
                let (broker, _) = listener.accept().await.unwrap();
                let to = *to.borrow();
                tokio::spawn(join(broker, to, open.clone()));
            }
        });
        Self { collector, is_open }
    }
}

async fn join(broker: TcpStream, to: SocketAddr, mut open: watch::Receiver<bool>) {
    let Ok(collector) = TcpStream::connect(to).await else {
        return;
    };
    let (mut said, mut heard) = broker.into_split();
    let (mut answers, mut asked) = collector.into_split();
    let down = tokio::spawn(async move { tokio::io::copy(&mut answers, &mut heard).await });
    let mut bytes = vec![0; 1 << 16];
    while let Ok(count @ 1..) = said.read(&mut bytes).await {
        // What is kept back when the broker goes is never said.
        tokio::select! {
            _ = open.wait_for(|open| *open) => {}
            () = gone(&mut said) => break,
        }
        if asked.write_all(&bytes[..count]).await.is_err() {
            break;
        }
    }
    down.abort();
}

/// Reads until the end.
async fn gone(from: &mut tokio::net::tcp::OwnedReadHalf) {
    let mut bytes = vec![0; 1 << 16];
    while let Ok(1..) = from.read(&mut bytes).await {}
}

/// Both programs, and the line between them.
struct Stage {
    scene: Scene,
    line: Line,
    collector: Option<(Program, SocketAddr)>,
    broker: Option<(Program, SocketAddr)>,
}

impl Stage {
    async fn new() -> Self {
        let scene = Scene::new();
        let text = format!("{}feed = true\n", scene.config_text());
        fs::write(scene.path().join("broker.toml"), text).unwrap();
        let text = "listen = \"127.0.0.1:0\"\ndata_dir = \"collected\"\n\
            [tls]\nca = \"ca.pem\"\ncertificate = \"c.pem\"\nkey = \"c.key\"\n\
            [broker]\nfeed = \"b\"\nretry_ms_min = 20\nretry_ms_max = 200\n\
            [response]\nmode = \"observe\"\n[[tenant]]\nid = \"acme\"\n";
        fs::write(scene.path().join("collector.toml"), text).unwrap();
        let collector = collector(&scene).await;
        let line = Line::lay(scene.collector_address, collector.1).await;
        let mut stage = Self {
            scene,
            line,
            collector: Some(collector),
            broker: None,
        };
        stage.start_broker().await;
        stage
    }

    async fn start_broker(&mut self) {
        let program = Path::new(env!("CARGO_BIN_EXE_monitor-broker"));
        let (config, listen) = (
            self.scene.path().join("broker.toml"),
            self.scene.path().join("data/listen"),
        );
        self.broker = Some(run(program, &config, &listen).await);
    }

    async fn restart_collector(&mut self) {
        drop(self.collector.take());
        let again = collector(&self.scene).await;
        self.line.collector.send_replace(again.1);
        self.collector = Some(again);
    }

    async fn client(&self) -> Client {
        let port = self.broker.as_ref().unwrap().1.port();
        let address = format!("https://localhost:{port}");
        Client::connect(&address, &self.scene.files("root"), now())
            .await
            .unwrap()
    }

    async fn people(&self) -> RevocationServiceClient<Channel> {
        let port = self.collector.as_ref().unwrap().1.port();
        let tls = self.scene.files("sam").load(now()).unwrap();
        let channel = tls.connect(&format!("https://localhost:{port}")).await;
        RevocationServiceClient::new(channel.unwrap())
    }

    /// The number of the list that the broker has noted as published.
    fn noted(&self) -> Option<u64> {
        let file = self.scene.path().join("data/state.db");
        let store = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        let noted = "SELECT published FROM krl WHERE published_at IS NOT NULL";
        let number: i64 = store.query_row(noted, [], |row| row.get(0)).ok()?;
        u64::try_from(number).ok()
    }

    /// A certificate of this person; gives its serial.
    async fn issue(&self, id: &str, who: &str) -> u64 {
        let mut client = self.client().await;
        client.register(&grant(id, who)).await.unwrap();
        let key = key_pair(self.scene.path(), who).with_extension("pub");
        let key = fs::read_to_string(key).unwrap();
        let id: GrantId = id.parse().unwrap();
        client.issue((&id, &[]), &key).await.unwrap().1.serial
    }

    async fn revoke(&self, who: &str) -> Vec<u8> {
        let request = RevokeRequest {
            target: Some(RevocationTarget {
                target: Some(Target::Engineer(who.into())),
            }),
            reason: "offboarding".into(),
            ..RevokeRequest::default()
        };
        let answer = self.people().await.revoke(request).await;
        answer.unwrap().into_inner().order.unwrap().id
    }

    async fn order(&self, id: &[u8]) -> Order {
        let request = GetOrderRequest { order: id.to_vec() };
        let answer = self.people().await.get_order(request).await;
        answer.unwrap().into_inner().order.unwrap()
    }

    /// The order once the broker has answered.
    async fn answered(&self, id: &[u8]) -> Order {
        let wait = async {
            loop {
                let order = self.order(id).await;
                if order.state() == OrderState::Enforced {
                    return order;
                }
                tokio::task::yield_now().await;
            }
        };
        let wait = tokio::time::timeout(std::time::Duration::from_secs(30), wait);
        wait.await.expect("the order was not answered in time")
    }

    /// Number of the list and whether it has a serial.
    fn list(&self, serial: u64) -> Option<u64> {
        let krl = inspect(&self.scene.krl()).ok()?;
        krl.serials.contains(serial).then_some(krl.version)
    }
}

async fn collector(scene: &Scene) -> (Program, SocketAddr) {
    let beside = Path::new(env!("CARGO_BIN_EXE_monitor-broker"));
    let program: PathBuf = beside.with_file_name("monitor-collector");
    assert!(
        program.exists(),
        "{} is not there; cargo test --workspace builds it, or cargo build -p monitor-collector",
        program.display()
    );
    let (config, listen) = (
        scene.path().join("collector.toml"),
        scene.path().join("collected/listen"),
    );
    run(&program, &config, &listen).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_done_once_when_the_broker_is_killed_before_its_answer() {
    let mut stage = Stage::new().await;
    let serial = stage.issue("G-1", "alice").await;
    stage.line.is_open.send_replace(false);
    let order = stage.revoke("alice").await;
    until("the broker has done it", || stage.list(serial).is_some()).await;
    let first = stage.list(serial);
    // The list is there before the broker has noted when.
    until("the broker has noted it", || stage.noted() == first).await;
    let at_end = now().0;
    drop(stage.broker.take());
    let waits = stage.order(&order).await;
    assert_eq!(waits.state(), OrderState::HostsEnforced);
    assert!(waits.revoked.is_empty());
    stage.line.is_open.send_replace(true);
    stage.start_broker().await;
    let order = stage.answered(&order).await;
    assert_eq!(stage.list(serial), first, "the list was written again");
    let told = &order.revoked[0];
    assert_eq!(told.serial, Some(serial));
    assert_eq!(told.outcome(), RevocationOutcome::AlreadyRevoked);
    assert!(told.at_unix_ns <= at_end, "revoked again");
    let published = order.times.unwrap().krl_published_unix_ns.unwrap();
    assert!(published <= at_end && published >= told.at_unix_ns);
    let alice = "alice".parse().unwrap();
    let (_, held) = stage.client().await.describe(&alice).await.unwrap();
    assert_eq!(held[0].revoked_at_unix_ns, Some(told.at_unix_ns));
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_reach_a_broker_that_watches_when_the_collector_is_killed() {
    let mut stage = Stage::new().await;
    let serial = stage.issue("G-2", "bob").await;
    let gone = stage.broker.take();
    drop(gone);
    let order = stage.revoke("bob").await;
    stage.restart_collector().await;
    stage.start_broker().await;
    let answered = stage.answered(&order).await;
    assert_eq!(answered.revoked[0].outcome(), RevocationOutcome::Revoked);
    assert!(stage.list(serial).is_some());
    // The broker lives on, and watches the one that came after.
    let serial = stage.issue("G-3", "carol").await;
    stage.restart_collector().await;
    let order = stage.revoke("carol").await;
    let answered = stage.answered(&order).await;
    assert_eq!(answered.revoked[0].outcome(), RevocationOutcome::Revoked);
    assert!(stage.list(serial).is_some());
}

/// The real command, by an administrator.
fn ask(stage: &Stage, args: &[&str]) -> (bool, String) {
    let files = stage.scene.files("root");
    let port = stage.broker.as_ref().unwrap().1.port();
    let output = Command::new(env!("CARGO_BIN_EXE_monitor-broker"))
        .args(args)
        .env("MONITOR_BROKER", format!("https://localhost:{port}"))
        .env("MONITOR_CA", files.ca)
        .env("MONITOR_CERTIFICATE", files.certificate)
        .env("MONITOR_KEY", files.key)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = text(&output.stdout) + &text(&output.stderr);
    (output.status.success(), said)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_left_and_what_was_closed_ends_here_and_at_the_collector() {
    let mut stage = Stage::new().await;
    let serial = stage.issue("G-4", "dora").await;
    let left = ["left", "--engineer", "dora", "--reason", "gone"];
    let (is_done, said) = ask(&stage, &left);
    assert!(is_done, "{said}");
    for part in [
        format!("certificate {serial} grant G-4 revoked"),
        "collector: no live session stood on it alone".to_owned(),
        "ending 0".to_owned(),
    ] {
        assert!(said.contains(&part), "{part:?} is not in {said}");
    }
    assert!(stage.list(serial).is_some());
    let nothing = ["close", "--ticket", "INC-1", "--reason", "done"];
    let (is_done, said) = ask(&stage, &nothing);
    assert!(is_done && said.contains("nothing held here"), "{said}");
    assert!(said.contains("collector: nothing held"), "{said}");
    // While the collector is away it ends here, and is told there later.
    let serial = stage.issue("G-5", "emil").await;
    drop(stage.collector.take());
    let close = ["close", "--ticket", "INC-4711", "--reason", "done"];
    let (is_done, said) = ask(&stage, &close);
    assert!(
        is_done && said.contains("collector: not told yet"),
        "{said}"
    );
    assert!(stage.list(serial).is_some());
    drop(stage.broker.take());
    stage.restart_collector().await;
    stage.start_broker().await;
    let port = stage.collector.as_ref().unwrap().1.port();
    let tls = stage.scene.files("sam").load(now()).unwrap();
    let channel = tls.connect(&format!("https://localhost:{port}")).await;
    let mut grants = GrantServiceClient::new(channel.unwrap());
    let wait = async {
        loop {
            let request = ListGrantsRequest {
                include_ended: true,
                ..ListGrantsRequest::default()
            };
            let known = grants.list_grants(request).await.unwrap().into_inner();
            let emil = known.grants.into_iter().find(|grant| grant.id == "G-5");
            if let Some(end) = emil.and_then(|grant| grant.ended) {
                assert!(end.reason.contains("ticket INC-4711 was closed"), "{end:?}");
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    let wait = tokio::time::timeout(std::time::Duration::from_secs(30), wait);
    wait.await.expect("the collector was not told in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_reaches_a_host_and_the_order_says_when() {
    let stage = Stage::new().await;
    let serial = stage.issue("G-6", "finn").await;
    let port = stage.collector.as_ref().unwrap().1.port();
    let tls = stage.scene.files("jump-1").load(now()).unwrap();
    let channel = tls.connect(&format!("https://localhost:{port}")).await;
    let (up, messages) = tokio::sync::mpsc::channel(4);
    let say = |message| StreamRequest {
        message: Some(message),
    };
    let hello = Hello {
        version: "test".into(),
        boot: vec![1; 16],
        keeps_list: true,
        ..Hello::default()
    };
    up.send(say(Up::Hello(hello))).await.unwrap();
    let mut agent = AgentServiceClient::new(channel.unwrap());
    let down = agent.stream(ReceiverStream::new(messages)).await;
    let mut down = down.unwrap().into_inner();
    let order = stage.revoke("finn").await;
    stage.answered(&order).await;
    let wanted = stage.list(serial).unwrap();
    let list = loop {
        let message = down.message().await.unwrap().unwrap().message;
        if let Some(Down::List(list)) = message
            && list.number >= wanted
        {
            break list;
        }
    };
    assert_eq!(list.list, fs::read(stage.scene.krl()).unwrap());
    // sshd's own program reads it, and finds the certificate on it.
    let file = stage.scene.path().join("host.krl");
    fs::write(&file, &list.list).unwrap();
    let public = fs::read_to_string(stage.scene.path().join("finn.pub")).unwrap();
    assert!(public.starts_with("ssh-ed25519"));
    let asked = Command::new("ssh-keygen")
        .args(["-Q", "-l", "-f"])
        .arg(&file)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&asked.stdout).into_owned();
    assert!(
        asked.status.success() && said.contains(&format!("serial: {serial}")),
        "{said}"
    );
    let at_unix_ns = now().0;
    let place = ListInPlace {
        number: Some(list.number),
        at_unix_ns,
        problem: String::new(),
    };
    up.send(say(Up::List(place))).await.unwrap();
    let wait = async {
        loop {
            let told = stage.order(&order).await;
            assert!(told.list_number.is_some_and(|number| number <= list.number));
            if let Some(published) = told.published.first() {
                return published.clone();
            }
            tokio::task::yield_now().await;
        }
    };
    let wait = tokio::time::timeout(std::time::Duration::from_secs(30), wait);
    let published = wait
        .await
        .expect("the order does not say that the host has the list");
    assert_eq!(
        (published.host.as_str(), published.at_unix_ns),
        ("jump-1", at_unix_ns)
    );
}
