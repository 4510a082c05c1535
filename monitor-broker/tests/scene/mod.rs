//! A broker with real mutual TLS, and a collector that serves `GrantService`.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "each test file uses its part of it"
)]

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use monitor_broker::{client::Client, config::Config, server::Bound};
use monitor_model::{
    clock::{Clock as _, SystemClock, UnixNs},
    grant::{Grant, GrantKind, GrantState, Holder, Scope, Tier},
};
use monitor_proto::v1::{self, grant_service_server as server};
use monitor_transport::{
    identity::{Identity, Role},
    pki::{Authority, Leaf},
    tls::{Clients, CurrentTls, TlsFiles},
};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

pub fn now() -> UnixNs {
    SystemClock.now()
}

pub fn grant(id: &str, principal: &str) -> Grant {
    Grant {
        id: id.parse().unwrap(),
        principal: principal.parse().unwrap(),
        tenant: "acme".parse().unwrap(),
        ticket: "INC-4711".into(),
        purpose: "test".into(),
        approved_by: "bob".parse().unwrap(),
        tier: Tier::Production,
        kind: GrantKind::JustInTime,
        not_before: now(),
        expires: now().plus(Duration::from_secs(7200)),
        scope: Scope::default(),
        state: GrantState::Standing,
        holder: Holder::Staff,
        task: String::new(),
        review: None,
    }
}

/// Makes a key pair with the real ssh-keygen; gives the path of the private key.
pub fn key_pair(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    let made = std::process::Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&path)
        .status();
    assert!(made.unwrap().success());
    path
}

/// Waits for a condition, at most ten seconds.
pub async fn until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..1000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("within ten seconds this did not happen: {what}");
}

/// What the collector was told.
#[derive(Debug, Default)]
pub struct Told {
    pub puts: Vec<v1::Grant>,
    pub ends: Vec<(String, String)>,
    pub endings: Vec<v1::EndSubjectRequest>,
    pub refusal: Option<Status>,
}

#[derive(Clone, Debug, Default)]
pub struct Collector(pub Arc<Mutex<Told>>);

#[tonic::async_trait]
impl server::GrantService for Collector {
    async fn put_grant(
        &self,
        request: Request<v1::PutGrantRequest>,
    ) -> Result<Response<v1::PutGrantResponse>, Status> {
        Identity::of(&request)?.require(&[Role::Broker])?;
        let mut told = self.0.lock().unwrap();
        if let Some(refusal) = &told.refusal {
            return Err(refusal.clone());
        }
        told.puts.push(request.into_inner().grant.unwrap());
        Ok(Response::new(v1::PutGrantResponse {
            hosts: vec!["jump-1".into()],
        }))
    }

    async fn end_grant(
        &self,
        request: Request<v1::EndGrantRequest>,
    ) -> Result<Response<v1::EndGrantResponse>, Status> {
        Identity::of(&request)?.require(&[Role::Broker])?;
        let v1::EndGrantRequest { grant, reason } = request.into_inner();
        self.0.lock().unwrap().ends.push((grant, reason));
        Ok(Response::new(v1::EndGrantResponse::default()))
    }

    async fn end_subject(
        &self,
        request: Request<v1::EndSubjectRequest>,
    ) -> Result<Response<v1::EndSubjectResponse>, Status> {
        Identity::of(&request)?.require(&[Role::Broker])?;
        self.0.lock().unwrap().endings.push(request.into_inner());
        Ok(Response::new(v1::EndSubjectResponse::default()))
    }

    async fn list_grants(
        &self,
        _: Request<v1::ListGrantsRequest>,
    ) -> Result<Response<v1::ListGrantsResponse>, Status> {
        Err(Status::unimplemented("not asked for here"))
    }

    async fn list_grant_use(
        &self,
        _: Request<v1::ListGrantUseRequest>,
    ) -> Result<Response<v1::ListGrantUseResponse>, Status> {
        Err(Status::unimplemented("not asked for here"))
    }

    async fn review_grant(
        &self,
        _: Request<v1::ReviewGrantRequest>,
    ) -> Result<Response<v1::ReviewGrantResponse>, Status> {
        Err(Status::unimplemented("not asked for here"))
    }
}

/// Scenes of this process, counted for their addresses.
static SCENES: AtomicU8 = AtomicU8::new(1);

/// A folder with an authority, and an address for the collector.
pub struct Scene {
    pub folder: tempfile::TempDir,
    pub collector_address: SocketAddr,
    pub collector: Collector,
}

impl Scene {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Authority::create(folder.path(), now(), 2).unwrap();
        // A loopback address of this scene's own, so that nobody takes the
        // port while the collector is away.
        let [high, low, ..] = std::process::id().to_le_bytes();
        let own = Ipv4Addr::new(127, high | 1, low, SCENES.fetch_add(1, Ordering::Relaxed));
        let free = std::net::TcpListener::bind((own, 0)).unwrap();
        let scene = Self {
            collector_address: free.local_addr().unwrap(),
            folder,
            collector: Collector::default(),
        };
        for (role, name) in [
            ("broker", "b"),
            ("collector", "c"),
            ("admin", "root"),
            ("soc", "sam"),
            ("agent", "jump-1"),
        ] {
            let identity: Identity = format!("monitor://{role}/{name}").parse().unwrap();
            let leaf = Leaf {
                identity: &identity,
                hosts: &["localhost".into(), own.to_string()],
                not_before: now(),
                days: 1,
            };
            Authority::open(scene.path())
                .issue(&leaf, scene.path())
                .unwrap();
        }
        std::fs::write(scene.path().join("broker.toml"), scene.config_text()).unwrap();
        scene
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn krl(&self) -> PathBuf {
        self.path().join("monitor.krl")
    }

    pub fn config_text(&self) -> String {
        format!(
            "listen = \"127.0.0.1:0\"\ndata_dir = \"data\"\nkrl = \"monitor.krl\"\ncertificate_seconds_max = 3600\n\
             [tls]\nca = \"ca.pem\"\ncertificate = \"b.pem\"\nkey = \"b.key\"\n\
             [collector]\naddress = \"https://{}\"\n",
            self.collector_address
        )
    }

    pub fn config(&self) -> Config {
        Config::load(&self.path().join("broker.toml")).unwrap()
    }

    pub fn files(&self, name: &str) -> TlsFiles {
        let of = |kind: &str| self.path().join(format!("{name}.{kind}"));
        TlsFiles {
            ca: self.path().join("ca.pem"),
            certificate: of("pem"),
            key: of("key"),
        }
    }

    pub async fn start_collector(&self) -> JoinHandle<()> {
        let listener = self.listener().await;
        let tls = self.files("c").load(now()).unwrap();
        let service = server::GrantServiceServer::new(self.collector.clone());
        let incoming = CurrentTls::fixed(tls)
            .accept(TcpListenerStream::new(listener), Clients::Certificate)
            .unwrap();
        tokio::spawn(async move {
            let router = Server::builder().add_service(service);
            router.serve_with_incoming(incoming).await.unwrap();
        })
    }

    /// A program that another test is just starting may hold a copy of the socket
    /// that listened there before, until it is a program of its own.
    async fn listener(&self) -> TcpListener {
        let mut refused = None;
        for _ in 0..1000 {
            match TcpListener::bind(self.collector_address).await {
                Ok(listener) => return listener,
                Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                    refused = Some(error);
                }
                Err(error) => panic!("{}: {error}", self.collector_address),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{}: {refused:?} for ten seconds", self.collector_address)
    }

    pub async fn start_broker(&self) -> Running {
        let bound = Bound::new(&self.config(), Arc::new(SystemClock))
            .await
            .unwrap();
        let address = format!("https://localhost:{}", bound.address().port());
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(async move {
            bound.serve(async { drop(stopped.await) }).await.unwrap();
        });
        Running {
            address,
            stop: Some(stop),
            served,
        }
    }

    pub async fn client(&self, name: &str, broker: &Running) -> Client {
        Client::connect(&broker.address, &self.files(name), now())
            .await
            .unwrap()
    }
}

/// A broker that serves.
pub struct Running {
    pub address: String,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<()>,
}

impl Running {
    pub async fn stop(mut self) {
        drop(self.stop.take());
        self.served.await.unwrap();
    }

    /// As kill -9 would: nothing is drained. Clients must be gone, since their
    /// connections share this process.
    pub async fn kill(self, scene: &Scene) {
        self.served.abort();
        assert!(self.served.await.unwrap_err().is_cancelled());
        let lock = scene.path().join("data/lock");
        until("the broker is gone", || {
            std::fs::File::open(&lock).unwrap().try_lock().is_ok()
        })
        .await;
    }
}
