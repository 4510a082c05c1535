//! The program beside a running collector: TLS, kill -9 while it signs, and both sides of a fork.

#![expect(clippy::unwrap_used, reason = "tests may")]

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use monitor_collector::{config::Config, ledger::Ledger, pipeline::Collector};
use monitor_ledger::{
    check::{CheckError, Report, Trust, file},
    cosignature::{self, CosigningKey, WitnessKey},
    key::LogKey,
};
use monitor_model::{
    clock::{Clock as _, SystemClock, UnixNs},
    event::{Action, Attribution, Event, NoSession},
    id::{AgentName, BootId, EventId, Source, TenantId},
};
use monitor_proto::v1::{
    Batch, Hello, StreamRequest, StreamResponse, agent_service_client::AgentServiceClient,
    stream_request::Message as Up, stream_response::Message as Down,
};
use monitor_transport::{
    pki::{Authority, Leaf},
    tls::TlsFiles,
};
use monitor_witness::{config::DEFAULT, store::Store};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

/// Longest wait for anything.
const DEADLINE: Duration = Duration::from_secs(20);
/// Events that belong to nobody lie in this ledger.
const TENANT: &str = "provider";

fn log_key() -> LogKey {
    LogKey::new("monitor.test", &[7; 32]).unwrap()
}

fn witness_key() -> CosigningKey {
    CosigningKey::new("witness.test", &[9; 32]).unwrap()
}

fn verifier() -> WitnessKey {
    witness_key().verifier()
}

/// Certificates, keys and data of both programs.
struct Scene {
    folder: tempfile::TempDir,
    authority: Authority,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::create(folder.path(), SystemClock.now(), 2).unwrap();
        log_key().store(&folder.path().join("ledger.key")).unwrap();
        witness_key()
            .store(&folder.path().join("witness.key"))
            .unwrap();
        Self { folder, authority }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn files(&self, role: &str, name: &str) -> TlsFiles {
        let identity = format!("monitor://{role}/{name}").parse().unwrap();
        let leaf = Leaf {
            identity: &identity,
            hosts: &["localhost".to_owned()],
            not_before: SystemClock.now(),
            days: 1,
        };
        let into = self.at(role);
        let (certificate, key) = (
            into.join(format!("{name}.pem")),
            into.join(format!("{name}.key")),
        );
        if !certificate.exists() {
            self.authority.issue(&leaf, &into).unwrap();
        }
        TlsFiles {
            ca: self.at("ca.pem"),
            certificate,
            key,
        }
    }

    /// The witness, over TLS, on a port that is free or was its own before.
    fn witness(&self, port: u16, more: &[&str]) -> Running {
        let files = self.files("collector", "witness");
        let tls = format!(
            "[tls]\ncertificate = \"{}\"\nkey = \"{}\"\n",
            files.certificate.display(),
            files.key.display()
        );
        let signer = log_key().signer(TENANT).unwrap();
        let log = format!(
            "\n[[log]]\nkey = {:?}\norigin_prefix = \"monitor.test/\"\n",
            signer.verifier().as_str()
        );
        let config = DEFAULT
            .replace("127.0.0.1:7445", &format!("127.0.0.1:{port}"))
            .replace("/var/lib/monitor-witness", "witness-data")
            .replace("[limits]", &format!("{tls}[limits]"));
        let path = self.at("witness.toml");
        std::fs::write(&path, config + &log).unwrap();
        Running::start(&path, &self.at("witness-data/listen"), more)
    }

    async fn collector(&self, data_dir: &str, port: u16) -> Collector {
        let files = self.files("collector", "main");
        let ca = files.ca.display();
        let text = format!(
            "listen = \"127.0.0.1:0\"\ndata_dir = \"{}\"\n[ledger]\nkey = \"{}\"\n[ledger.witness]\nurl = \"https://localhost:{port}\"\nkey = \"{}\"\nca = \"{ca}\"\nevery_seconds = 1\n[tls]\nca = \"{ca}\"\ncertificate = \"{}\"\nkey = \"{}\"\n",
            self.at(data_dir).display(),
            self.at("ledger.key").display(),
            verifier().as_str(),
            files.certificate.display(),
            files.key.display()
        );
        let config = Config::parse(Path::new("/test/collector.toml"), &text).unwrap();
        Collector::start(config, Arc::new(SystemClock))
            .await
            .unwrap()
    }

    fn ledger(&self, data_dir: &str) -> PathBuf {
        Ledger::path(&self.at(data_dir), &TenantId::provider())
    }

    /// The size that is cosigned beside a ledger.
    fn cosigned(&self, data_dir: &str) -> Option<u64> {
        let note = cosignature::read(&cosignature::beside(&self.ledger(data_dir))).unwrap()?;
        Some(
            cosignature::open(&note, &verifier())
                .unwrap()
                .checkpoint
                .tree
                .size,
        )
    }

    fn verified(&self, data_dir: &str) -> Result<Report, CheckError> {
        let trust = Trust {
            keys: vec![log_key().signer(TENANT).unwrap().verifier().clone()],
            witnesses: vec![verifier()],
            ..Trust::default()
        };
        file::check(&self.ledger(data_dir), TENANT, &trust)
    }

    /// The size that the witness has on disk.
    fn signed(&self) -> Option<u64> {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        let path = Store::path(&self.at("witness-data"));
        let connection = rusqlite::Connection::open_with_flags(path, flags).ok()?;
        let sql = "SELECT size FROM log WHERE origin = 'monitor.test/provider'";
        let size: i64 = connection.query_row(sql, [], |row| row.get(0)).ok()?;
        u64::try_from(size).ok()
    }
}

/// A witness that is killed with the test.
struct Running {
    child: Child,
    port: u16,
}

impl Running {
    fn start(config: &Path, listen: &Path, more: &[&str]) -> Self {
        _ = std::fs::remove_file(listen);
        let child = Command::new(env!("CARGO_BIN_EXE_monitor-witness"))
            .args(["run", "--config"])
            .arg(config)
            .args(more)
            .stderr(Stdio::null())
            .spawn();
        let mut running = Self {
            child: child.unwrap(),
            port: 0,
        };
        running.port = until(|| {
            assert!(
                running.child.try_wait().unwrap().is_none(),
                "it ended early"
            );
            let address = std::fs::read_to_string(listen).ok()?;
            address
                .trim_end()
                .rsplit_once(':')
                .filter(|_| address.ends_with('\n'))
                .map(|(_, port)| port.parse().unwrap())
        });
        running
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

fn until<T>(mut probe: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(
            began.elapsed() < DEADLINE,
            "it did not come to hold in time"
        );
        std::thread::yield_now();
    }
}

/// One agent's stream.
struct Agent {
    up: mpsc::Sender<StreamRequest>,
    down: Streaming<StreamResponse>,
    sequence: u64,
}

impl Agent {
    async fn connect(scene: &Scene, collector: &Collector) -> Self {
        let tls = scene.files("agent", "jump-1").load(SystemClock.now());
        let address = format!("https://localhost:{}", collector.address().port());
        let channel = tls.unwrap().connect(&address).await.unwrap();
        let (up, messages) = mpsc::channel(16);
        let hello = Hello {
            version: "test".into(),
            boot: vec![1; 16],
            hooks: vec![],
            instance: Vec::new(),
            keeps_list: false,
            inspects: false,
            beat_ms: 0,
        };
        up.send(StreamRequest {
            message: Some(Up::Hello(hello)),
        })
        .await
        .unwrap();
        let mut client = AgentServiceClient::new(channel);
        let down = client.stream(ReceiverStream::new(messages)).await;
        Self {
            up,
            down: down.unwrap().into_inner(),
            sequence: 0,
        }
    }

    /// Sends so many events in a batch, and waits until they are on disk.
    async fn store(&mut self, number: u64, events: u64, status: u32) {
        let event = |sequence| Event {
            id: EventId {
                agent: AgentName::new("jump-1").unwrap(),
                boot: BootId::from_parts(UnixNs(0), 1),
                source: Source::Bulk { cpu: 0 },
                sequence,
            },
            at: UnixNs::from_seconds(1_790_000_000),
            boot_ns: 1,
            process: None,
            attribution: Attribution::none(NoSession::NoMark),
            action: Action::Exit { status },
        };
        let sequences = self.sequence + 1..=self.sequence + events;
        self.sequence += events;
        let events = sequences.map(|sequence| monitor_proto::encode_event(&event(sequence)));
        let batch = Batch {
            number,
            events: events.collect(),
        };
        let message = Some(Up::Batch(batch));
        self.up.send(StreamRequest { message }).await.unwrap();
        loop {
            let answer = tokio::time::timeout(DEADLINE, self.down.message()).await;
            let answer = answer.unwrap().unwrap().unwrap();
            match answer.message {
                Some(Down::Ack(ack)) if ack.number >= number => return,
                Some(
                    Down::Ack(_)
                    | Down::Grants(_)
                    | Down::Contain(_)
                    | Down::Deny(_)
                    | Down::Scopes(_)
                    | Down::ScopeLease(_)
                    | Down::List(_)
                    | Down::Inspect(_),
                )
                | None => {}
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_killed_while_it_signs_goes_on_and_no_other_history_passes() {
    let scene = Scene::new();
    let mut witness = scene.witness(0, &["--new"]);
    let port = witness.port;
    let collector = scene.collector("data", port).await;
    let mut agent = Agent::connect(&scene, &collector).await;
    agent.store(1, 50, 0).await;
    until(|| scene.cosigned("data").filter(|size| *size == 50));
    for round in 2..=4u64 {
        // Killed as soon as the new size is on disk, before or after its answer.
        agent.store(round, 50, 0).await;
        until(|| scene.signed().filter(|size| *size == 50 * round));
        witness.kill();
        drop(witness);
        witness = scene.witness(port, &[]);
        until(|| scene.cosigned("data").filter(|size| *size == 50 * round));
    }
    collector.drain().await;
    let report = scene.verified("data").unwrap();
    assert_eq!((report.records, report.cosigned), (200, 200));
    assert_eq!(report.witness, "witness.test");
    // Another history with the same keys: the witness refuses it, and so does the check.
    let collector = scene.collector("forged", port).await;
    let mut agent = Agent::connect(&scene, &collector).await;
    agent.store(1, 210, 9).await;
    let refused = || {
        let arguments = ["refused", "--log", "monitor.test/provider", "--config"];
        let output = Command::new(env!("CARGO_BIN_EXE_monitor-witness"))
            .args(arguments)
            .arg(scene.at("witness.toml"))
            .output();
        let kept = String::from_utf8(output.unwrap().stdout).unwrap();
        kept.starts_with("monitor.test/provider\n210\n")
            .then_some(())
    };
    until(refused);
    collector.drain().await;
    assert_eq!(scene.cosigned("forged"), None);
    let report = scene.verified("forged").unwrap();
    assert_eq!((report.unsigned, report.witness.as_str()), (0, ""));
    let beside = |data_dir| cosignature::beside(&scene.ledger(data_dir));
    std::fs::copy(beside("data"), beside("forged")).unwrap();
    let error = scene.verified("forged").unwrap_err().to_string();
    assert!(
        error.contains("the root over 200 records is not that of the cosigned checkpoint"),
        "{error}"
    );
}
