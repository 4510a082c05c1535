//! The running collector over real mutual TLS, with agents, brokers and people.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use monitor_model::{
    clock::{Clock as _, SystemClock},
    event::Event,
};
use monitor_proto::v1::{
    Batch, GrantTable, Hello, StreamRequest, StreamResponse,
    agent_service_client::AgentServiceClient, stream_request::Message as Up,
    stream_response::Message as DownMessage,
};
use monitor_transport::{
    identity::Identity,
    pki::{Authority, Leaf},
    tls::{Tls, TlsFiles},
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming, transport::Channel};

use crate::{config::Config, pipeline::Collector};

mod access;
mod agents;
mod alerts;
mod alive;
mod cascades;
mod endings;
mod enforce;
mod evidence;
mod expired;
mod feed;
mod hosts;
mod hundred;
mod inspect;
mod krl;
mod leaks;
mod measure;
mod orders;
mod processes;
mod reads;
mod reload;
mod revocation;
mod search;
mod subscription;
mod tokens;
mod webhooks;
mod witness;

/// Longest wait for anything in a test.
const DEADLINE: Duration = Duration::from_secs(20);

const RULES: &str = r#"
[[tenant]]
id = "acme"
[[tenant]]
id = "globex"
[[rule]]
id = "out"
verdicts = ["out_of_scope"]
severity = "high"
response = "notify"
[[rule]]
id = "again"
verdicts = ["out_of_scope"]
severity = "critical"
response = "revoke"
after = 2
"#;

/// A folder with an authority and a collector's data.
struct Scene {
    folder: tempfile::TempDir,
    authority: Authority,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::create(&folder.path().join("ca"), SystemClock.now(), 2).unwrap();
        Self { folder, authority }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn data_dir(&self) -> PathBuf {
        self.path().join("data")
    }

    fn files(&self, identity: &str) -> TlsFiles {
        let identity: Identity = identity.parse().unwrap();
        let into = self.path().join(identity.role.as_str());
        let (certificate, key) = (
            into.join(format!("{}.pem", identity.name)),
            into.join(format!("{}.key", identity.name)),
        );
        if !certificate.exists() {
            let hosts = ["localhost".to_owned()];
            let leaf = Leaf {
                identity: &identity,
                hosts: &hosts,
                not_before: SystemClock.now(),
                days: 1,
            };
            self.authority.issue(&leaf, &into).unwrap();
        }
        TlsFiles {
            ca: self.path().join("ca/ca.pem"),
            certificate,
            key,
        }
    }

    /// A certificate that is over in so many seconds.
    fn expires(&self, identity: &str, seconds: u64) {
        let files = self.files(identity);
        let identity: Identity = identity.parse().unwrap();
        for file in [&files.certificate, &files.key] {
            std::fs::remove_file(file).unwrap();
        }
        // What is issued begins a minute early, for clocks that are behind.
        let gone = Duration::from_secs(86_400 - 60 - seconds);
        let gone = u64::try_from(gone.as_nanos()).unwrap();
        let leaf = Leaf {
            identity: &identity,
            hosts: &["localhost".to_owned()],
            not_before: monitor_model::clock::UnixNs(SystemClock.now().0 - gone),
            days: 1,
        };
        let into = self.path().join(identity.role.as_str());
        self.authority.issue(&leaf, &into).unwrap();
    }

    fn tls(&self, identity: &str) -> Tls {
        self.files(identity).load(SystemClock.now()).unwrap()
    }

    fn config(&self, more: &str) -> Config {
        self.config_of(more, "")
    }

    /// A configuration with more keys at its top, and more tables below `[ledger]`.
    fn config_of(&self, more: &str, tables: &str) -> Config {
        let files = self.files("monitor://collector/main");
        let text = format!(
            "listen = \"127.0.0.1:0\"\ndata_dir = {:?}\n{more}\n[ledger]\nkey = {:?}\n{tables}\n[tls]\nca = {:?}\ncertificate = {:?}\nkey = {:?}\n{RULES}",
            self.data_dir(),
            crate::testing::ledger_key(self.path()),
            files.ca,
            files.certificate,
            files.key
        );
        Config::parse(Path::new("/test/collector.toml"), &text).unwrap()
    }

    async fn collector(&self, more: &str) -> Collector {
        Collector::start(self.config(more), Arc::new(SystemClock))
            .await
            .unwrap()
    }

    async fn dial(&self, identity: &str, collector: &Collector) -> Channel {
        let address = format!("https://localhost:{}", collector.address().port());
        self.tls(identity).connect(&address).await.unwrap()
    }
}

/// One agent's stream.
struct Agent {
    up: mpsc::Sender<StreamRequest>,
    down: Streaming<StreamResponse>,
}

impl Agent {
    async fn connect(scene: &Scene, collector: &Collector, name: &str) -> Self {
        Self::greets(scene, collector, name, Hello::default()).await
    }

    /// An agent that keeps the revocation list of its host.
    async fn keeping_list(scene: &Scene, collector: &Collector, name: &str) -> Self {
        let hello = Hello {
            keeps_list: true,
            ..Hello::default()
        };
        Self::greets(scene, collector, name, hello).await
    }

    /// An agent that answers what lives in a session.
    async fn inspecting(scene: &Scene, collector: &Collector, name: &str) -> Self {
        let hello = Hello {
            inspects: true,
            ..Hello::default()
        };
        Self::greets(scene, collector, name, hello).await
    }

    /// An agent that says of itself what `hello` does, and its boot.
    async fn greets(scene: &Scene, collector: &Collector, name: &str, hello: Hello) -> Self {
        let channel = scene
            .dial(&format!("monitor://agent/{name}"), collector)
            .await;
        let (up, messages) = mpsc::channel(16);
        let hello = Hello {
            version: "test".into(),
            boot: vec![1; 16],
            ..hello
        };
        let agent = up.clone();
        agent
            .send(StreamRequest {
                message: Some(Up::Hello(hello)),
            })
            .await
            .unwrap();
        let mut client = AgentServiceClient::new(channel);
        let down = client
            .stream(ReceiverStream::new(messages))
            .await
            .unwrap()
            .into_inner();
        Self { up, down }
    }

    async fn say(&self, message: Up) {
        self.up
            .send(StreamRequest {
                message: Some(message),
            })
            .await
            .unwrap();
    }

    async fn send_bytes(&self, number: u64, events: Vec<Vec<u8>>) {
        self.say(Up::Batch(Batch { number, events })).await;
    }

    async fn send(&self, number: u64, events: &[Event]) {
        self.send_bytes(
            number,
            events.iter().map(monitor_proto::encode_event).collect(),
        )
        .await;
    }

    async fn next(&mut self) -> Result<Option<DownMessage>, Status> {
        let message = tokio::time::timeout(DEADLINE, self.down.message())
            .await
            .expect("nothing came down in time");
        Ok(message?.and_then(|response| response.message))
    }

    /// The first message down that the test looks for.
    async fn until<T>(&mut self, wanted: impl Fn(DownMessage) -> Option<T>) -> T {
        loop {
            let message = self.next().await.unwrap().expect("the stream ended");
            if let Some(found) = wanted(message) {
                return found;
            }
        }
    }

    async fn acked(&mut self, number: u64) {
        self.until(|message| match message {
            DownMessage::Ack(ack) => (ack.number >= number).then_some(()),
            DownMessage::Grants(_)
            | DownMessage::Contain(_)
            | DownMessage::Deny(_)
            | DownMessage::Scopes(_)
            | DownMessage::ScopeLease(_)
            | DownMessage::List(_)
            | DownMessage::Inspect(_) => None,
        })
        .await;
    }

    async fn grants(&mut self) -> GrantTable {
        self.until(|message| match message {
            DownMessage::Grants(table) => Some(table),
            DownMessage::Ack(_)
            | DownMessage::Contain(_)
            | DownMessage::Deny(_)
            | DownMessage::Scopes(_)
            | DownMessage::ScopeLease(_)
            | DownMessage::List(_)
            | DownMessage::Inspect(_) => None,
        })
        .await
    }

    /// How the collector ended the stream.
    async fn refused(&mut self) -> Status {
        loop {
            match self.next().await {
                Err(status) => return status,
                Ok(message) => assert!(message.is_some(), "the stream ended without a reason"),
            }
        }
    }
}

/// Asks again until something holds.
async fn eventually<T>(mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let wait = async {
        loop {
            if let Some(found) = probe().await {
                return found;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, wait)
        .await
        .expect("it did not come to hold in time")
}

/// What a crash at this moment would leave: the folder as it stands on disk.
fn snapshot(from: &Path, into: &Path) {
    std::fs::create_dir_all(into).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        let target = into.join(file.file_name());
        if file.file_type().unwrap().is_dir() {
            snapshot(&file.path(), &target);
        } else if !file.file_name().to_string_lossy().ends_with("-shm") {
            std::fs::copy(file.path(), target).unwrap();
        }
    }
}
