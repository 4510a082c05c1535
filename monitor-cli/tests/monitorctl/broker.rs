//! A broker of the test's own, right or wrong in one way, over real mutual TLS;
//! and the reference broker itself.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

use monitor_broker::{client::Client, config::Config, server::Bound};
use monitor_model::{
    clock::{Clock as _, SystemClock},
    grant::{Grant, GrantKind, GrantState, Holder, Scope, Tier},
    revocation::Outcome,
};
use monitor_proto::v1::{
    DescribeRequest, DescribeResponse, IssuedCertificate, RevocationOutcome, RevocationTarget,
    RevokeCredentialsRequest, RevokeCredentialsResponse, Revoked,
    broker_service_server::{BrokerService, BrokerServiceServer},
};
use monitor_transport::{
    identity::{Identity, Role},
    tls::{Clients, CurrentTls},
};
use tokio::runtime::Runtime;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

use crate::{collector::Collector, program::Site};

/// In what a broker is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// In nothing.
    None,
    /// It revokes what is revoked, at a new time.
    RevokesAgain,
    /// An order for what it does not know is an error.
    ErrorOnUnknown,
    /// Everybody with a certificate may ask.
    IgnoresIdentity,
    /// It does not know which orders there were.
    ForgetsOrders,
    /// It says that it revoked, and does not.
    OnlyClaims,
}

/// When each certificate was revoked, and the target of each order.
#[derive(Debug)]
struct World {
    certificates: BTreeMap<u64, Option<u64>>,
    claimed: BTreeMap<u64, u64>,
    orders: HashMap<Vec<u8>, RevocationTarget>,
    clock: u64,
}

#[derive(Clone)]
struct Model {
    fault: Fault,
    world: Arc<Mutex<World>>,
}

impl Model {
    fn admit<T>(&self, request: &Request<T>) -> Result<(), Status> {
        if self.fault == Fault::IgnoresIdentity {
            return Ok(());
        }
        Identity::of(request)?.require(&[Role::Collector])?;
        Ok(())
    }

    fn revoke(&self, world: &mut World, serial: u64) -> (Outcome, u64) {
        world.clock += 1;
        let now = world.clock;
        let Some(revoked_at) = world.certificates.get_mut(&serial) else {
            return (Outcome::NotFound, now);
        };
        let known = revoked_at.or(world.claimed.get(&serial).copied());
        if let Some(at) = known
            && self.fault != Fault::RevokesAgain
        {
            return (Outcome::AlreadyRevoked, at);
        }
        if self.fault == Fault::OnlyClaims {
            world.claimed.insert(serial, now);
        } else {
            *revoked_at = Some(now);
        }
        (Outcome::Revoked, now)
    }
}

#[tonic::async_trait]
impl BrokerService for Model {
    async fn revoke_credentials(
        &self,
        request: Request<RevokeCredentialsRequest>,
    ) -> Result<Response<RevokeCredentialsResponse>, Status> {
        self.admit(&request)?;
        let order = request.into_inner();
        let target = order.target.filter(|_| order.order.len() == 16);
        let target = target.ok_or_else(|| Status::invalid_argument("order or target"))?;
        let mut world = self.world.lock().unwrap();
        if self.fault == Fault::ErrorOnUnknown
            && order
                .serials
                .iter()
                .any(|serial| !world.certificates.contains_key(serial))
        {
            return Err(Status::not_found("no such certificate"));
        }
        let known = world
            .orders
            .entry(order.order)
            .or_insert_with(|| target.clone());
        if self.fault != Fault::ForgetsOrders && *known != target {
            return Err(Status::already_exists("that order was another"));
        }
        let revoked = order.serials.iter().map(|serial| {
            let (outcome, at_unix_ns) = self.revoke(&mut world, *serial);
            Revoked {
                serial: Some(*serial),
                grant: String::new(),
                outcome: RevocationOutcome::from(outcome).into(),
                at_unix_ns,
            }
        });
        Ok(Response::new(RevokeCredentialsResponse {
            revoked: revoked.collect(),
            published_at_unix_ns: None,
            list_number: None,
        }))
    }

    async fn describe(
        &self,
        request: Request<DescribeRequest>,
    ) -> Result<Response<DescribeResponse>, Status> {
        self.admit(&request)?;
        let world = self.world.lock().unwrap();
        let certificates = world.certificates.iter();
        Ok(Response::new(DescribeResponse {
            grants: Vec::new(),
            certificates: certificates
                .map(|(serial, revoked_at)| IssuedCertificate {
                    serial: *serial,
                    revoked_at_unix_ns: *revoked_at,
                    ..IssuedCertificate::default()
                })
                .collect(),
        }))
    }
}

/// A running broker; gone when dropped.
pub(crate) struct Broker {
    pub(crate) address: String,
    /// Two certificates that may be revoked.
    pub(crate) serials: [u64; 2],
    _runtime: Runtime,
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

/// One with this fault.
pub(crate) fn model(site: &Site, fault: Fault) -> Broker {
    let runtime = runtime();
    let world = World {
        certificates: BTreeMap::from([(41, None), (42, None)]),
        claimed: BTreeMap::new(),
        orders: HashMap::new(),
        clock: 1_790_000_000_000_000_000,
    };
    let world = Arc::new(Mutex::new(world));
    let service = BrokerServiceServer::new(Model { fault, world });
    let tls = CurrentTls::fixed(site.tls("broker"));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    runtime.spawn(async move {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let incoming = TcpListenerStream::new(listener);
        let incoming = tls.accept(incoming, Clients::Certificate).unwrap();
        Server::builder()
            .add_service(service)
            .serve_with_incoming(incoming)
            .await
            .unwrap();
    });
    Broker {
        address: format!("https://{address}"),
        serials: [41, 42],
        _runtime: runtime,
    }
}

/// The reference broker, with two certificates that it issued.
pub(crate) fn reference(site: &Site, collector: &Collector) -> Broker {
    let text = format!(
        "listen = \"127.0.0.1:0\"\ndata_dir = \"broker-data\"\nkrl = \"krl\"\ncertificate_seconds_max = 3600\n\
         [tls]\nca = \"ca.pem\"\ncertificate = \"broker.pem\"\nkey = \"broker.key\"\n\
         [collector]\naddress = \"https://{}\"\n",
        collector.address
    );
    let config = Config::parse(&site.path("broker.toml"), &text).unwrap();
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(site.path("id"))
        .status();
    assert!(made.unwrap().success());
    let public_key = std::fs::read_to_string(site.path("id.pub")).unwrap();
    let runtime = runtime();
    let (address, serials) = runtime.block_on(async {
        let bound = Bound::new(&config, Arc::new(SystemClock)).await.unwrap();
        let address = format!("https://127.0.0.1:{}", bound.address().port());
        tokio::spawn(bound.serve(std::future::pending()));
        let now = SystemClock.now();
        let admin = Client::connect(&address, &site.files("root"), now).await;
        let mut admin = admin.unwrap();
        let mut serials = [0; 2];
        for (at, id) in ["G-1", "G-2"].into_iter().enumerate() {
            let grant = grant(id);
            admin.register(&grant).await.unwrap();
            let issued = admin.issue((&grant.id, &[]), &public_key).await;
            serials[at] = issued.unwrap().1.serial;
        }
        (address, serials)
    });
    Broker {
        address,
        serials,
        _runtime: runtime,
    }
}

fn grant(id: &str) -> Grant {
    let now = SystemClock.now();
    Grant {
        id: id.parse().unwrap(),
        principal: "alice".parse().unwrap(),
        tenant: "acme".parse().unwrap(),
        ticket: "INC-4711".into(),
        purpose: "conformance".into(),
        approved_by: "bob".parse().unwrap(),
        tier: Tier::Production,
        kind: GrantKind::JustInTime,
        not_before: now,
        expires: now.plus(Duration::from_secs(3_000)),
        scope: Scope::default(),
        state: GrantState::Standing,
        holder: Holder::Staff,
        task: String::new(),
        review: None,
    }
}
