//! The wiring: the stages of the picture, one task each, and their end.
//!
//! ```text
//! agents == ingest ==> writer(core: dedupe, judge, ledger, sessions, alert) ==> subscriptions
//!            ^  acks, tables, commands  |                 | orders
//!            +--------------------------+                 +==> revoker ==> broker
//! ```

use std::{
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use monitor_ledger::key::KeyError;
use monitor_model::{clock::Clock, id::InvalidId, krl::LIST_BYTES_MAX};
use monitor_proto::v1::{
    agent_service_server::AgentServiceServer, alert_service_server::AlertServiceServer,
    event_service_server::EventServiceServer, evidence_service_server::EvidenceServiceServer,
    grant_service_server::GrantServiceServer, host_service_server::HostServiceServer,
    inspect_service_server::InspectServiceServer, process_service_server::ProcessServiceServer,
    revocation_feed_server::RevocationFeedServer,
    revocation_list_service_server::RevocationListServiceServer,
    revocation_service_server::RevocationServiceServer,
    session_service_server::SessionServiceServer,
};
use monitor_transport::{
    causes,
    identity::Role,
    tls::{Clients, CurrentTls, Follower, Tls, TlsError},
    token::Tokens,
};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tonic::{
    service::{InterceptorLayer, RoutesBuilder},
    transport::{Server, server::TcpIncoming},
};
use tonic_health::pb::health_server::{Health, HealthServer};
use tracing::{error, info, warn};

use crate::{
    admission::Admission,
    config::{
        Config, ConfigError,
        names::{self, SystemNames, Unresolved},
    },
    core::CoreError,
    entropy,
    ingest::{BATCH_BYTES_MAX, Ingest, agents::Agents, looking},
    reads::{COUNTED_MAX, Reads},
    revoke::{Revoker, feed::Feed, way::WayError},
    service::{
        AUDITOR_LOOKUPS_MAX, AUDITORS_MAX, Edge, LOOKUPS_MAX, READERS_MAX, Seats, cursor::Seal,
        reads::Counted,
    },
    state::{State, StateError},
    witness::{self, link::LinkError},
    writer::{Request, Thread, Writer},
};

/// How often an idle connection is tried.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Longest wait for calls to end while draining.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes that may be under way to the collector in one stream.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
/// Largest message that an agent may send: a batch and its frame.
const MESSAGE_BYTES_MAX: usize = BATCH_BYTES_MAX + (1 << 20);

/// Largest message that a broker puts a list with.
const LIST_MESSAGE_BYTES_MAX: usize = LIST_BYTES_MAX + (1 << 16);

/// How often it is looked which counted reads are to be entered.
const ENTER_EVERY: Duration = Duration::from_secs(1);

/// How often content whose time is over is removed.
const SWEEP_EVERY: Duration = Duration::from_secs(3_600);

/// Why the collector cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Wrong TLS files.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The certificate is of another role.
    #[error("{}: the certificate is of role {found}; the collector needs one of role collector", path.display())]
    Role {
        /// The certificate.
        path: PathBuf,
        /// The role found.
        found: Role,
    },
    /// The witness cannot be asked.
    #[error("ledger.witness: {0}")]
    Witness(#[from] LinkError),
    /// The broker cannot be asked.
    #[error(transparent)]
    Broker(#[from] WayError),
    /// The key that seals the ledgers cannot be used.
    #[error("ledger.seal: {0}")]
    Seal(#[from] KeyError),
    /// The store cannot be opened.
    #[error(transparent)]
    Core(#[from] CoreError),
    /// The state cannot be opened.
    #[error(transparent)]
    State(#[from] StateError),
    /// The address cannot be listened on.
    #[error("listen = {address}: {source}; give a free address, or port 0 for any free port")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The services cannot be set up.
    #[error("services cannot be set up: {cause}")]
    Services {
        /// What is wrong.
        cause: String,
    },
}

/// A running collector.
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    in_force: Mutex<Arc<Config>>,
    tokens: watch::Sender<Option<Tokens>>,
    serving: JoinHandle<Result<(), tonic::transport::Error>>,
    revoking: Option<JoinHandle<()>>,
    witnessing: Option<JoinHandle<()>>,
    writer: Writer,
    agents: Arc<Agents>,
    reads: Counted,
    /// The places of streams, of who sees everything and of auditors.
    streams: [Seats; 2],
    thread: Thread,
    /// Ends streams and calls.
    stop: CancellationToken,
    /// Ends the writer, after them.
    stop_writer: CancellationToken,
}

impl Collector {
    /// Opens everything and begins to serve.
    ///
    /// # Errors
    /// [`StartError`] says what is wrong and what would be right.
    pub async fn start(config: Config, clock: Arc<dyn Clock>) -> Result<Self, StartError> {
        let tls = config.tls.load(clock.now())?;
        let config = Arc::new(named(config, &tls)?);
        let (follower, tls) = Follower::new(tls, Arc::clone(&clock));
        let (stop, stop_writer) = (CancellationToken::new(), CancellationToken::new());
        let (writer, thread) =
            Writer::start(Arc::clone(&config), Arc::clone(&clock), stop_writer.clone())?;
        let seal = seal(&config)?;
        let (listener, address) = listen(&config).await?;
        let agents = Arc::new(Agents::listening(config.patience()));
        let home = config.home()?;
        let reads = Counted::new(Reads::new(config.aggregate, COUNTED_MAX));
        let seats = Seats::new(READERS_MAX, LOOKUPS_MAX);
        let outside = Seats::new(AUDITORS_MAX, AUDITOR_LOOKUPS_MAX);
        let edge = Edge {
            config: Arc::clone(&config),
            home: home.clone(),
            writer: writer.clone(),
            agents: Arc::clone(&agents),
            clock: Arc::clone(&clock),
            seal,
            stop: stop.clone(),
            reads: reads.clone(),
            seats: seats.clone(),
            outside: outside.clone(),
        };
        let entering = enter_due(
            writer.clone(),
            reads.clone(),
            Arc::clone(&clock),
            stop.clone(),
        );
        tokio::spawn(entering);
        tokio::spawn(sweep(writer.clone(), stop.clone()));
        let looks = looking::look(writer.clone(), Arc::clone(&agents), stop.clone());
        tokio::spawn(looks);
        let hears = Arc::clone(&agents);
        let ingest = Ingest::new(writer.clone(), hears, Arc::clone(&clock), stop.clone());
        let (tokens, in_force) = watch::channel(config.tokens.clone());
        let admission = Admission {
            tokens: in_force,
            clock: Arc::clone(&clock),
        };
        let serving = serve(tls.clone(), listener, (edge, ingest), admission).await?;
        tokio::spawn(stop.clone().run_until_cancelled_owned(follower.run()));
        warn_of_unstated(&config);
        let witnessing = witness::start(&config, &home, writer.tables(), &stop)?;
        let revoking = revoker(&config, &tls, &writer, clock, &stop)?;
        let policy = writer.tables().borrow().policy.version().to_owned();
        info!(%address, tenants = config.terms.tenants.len(), rules = config.rules.len(),
            %policy, "Collector ready.");
        Ok(Self {
            address,
            in_force: Mutex::new(config),
            tokens,
            serving,
            revoking,
            witnessing,
            writer,
            agents,
            reads,
            streams: [seats, outside],
            thread,
            stop,
            stop_writer,
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The way to what is stored.
    #[must_use]
    pub const fn writer(&self) -> &Writer {
        &self.writer
    }

    /// Goes on under tenants, inventory, policy and alert rules of another
    /// configuration. One that is wrong is refused whole: what was in force
    /// stays. Either is told in the log.
    pub async fn reload(&self, other: Result<Config, ConfigError>) {
        let (config, later) = match other {
            Ok(other) => self.in_force().reloaded(other),
            Err(error) => {
                let policy = self.policy_version();
                error!(%error, %policy, "Configuration refused, the one before stays in force.");
                return;
            }
        };
        if !later.is_empty() {
            warn!(keys = ?later, "Keys changed that take effect at the next start.");
        }
        self.go_on_under(config).await;
    }

    /// How often the host names of zones are to be resolved anew.
    #[must_use]
    pub fn resolve_every(&self) -> Duration {
        self.in_force().resolve
    }

    /// Resolves the host names of zones anew, and goes on under what they stand
    /// for now. Where one cannot be, what they stood for before stays in force.
    pub async fn resolve(&self) {
        let in_force = self.in_force();
        let look = move || {
            let moved = names::again(&in_force.terms, &SystemNames)?;
            Ok(moved.map(|terms| Config {
                terms,
                ..(*in_force).clone()
            }))
        };
        // The system's resolver may wait for seconds.
        let looked: Result<Result<_, Unresolved>, _> = tokio::task::spawn_blocking(look).await;
        match looked {
            Ok(Ok(None)) => {}
            Ok(Ok(Some(config))) => {
                info!("Host names of zones stand for other addresses.");
                self.go_on_under(config).await;
            }
            Ok(Err(error)) => {
                warn!(%error, "Host names of zones cannot be resolved, their addresses stay as they were.");
            }
            Err(error) => error!(%error, "Host names of zones were not resolved."),
        }
    }

    fn in_force(&self) -> Arc<Config> {
        let in_force = self.in_force.lock();
        Arc::clone(&in_force.unwrap_or_else(PoisonError::into_inner))
    }

    async fn go_on_under(&self, config: Config) {
        let config = Arc::new(config);
        let (tenants, rules) = (config.terms.tenants.len(), config.rules.len());
        let reload = |reply| Request::Reload(Arc::clone(&config), reply);
        match self.writer.ask(reload).await {
            Ok(policy) => {
                self.tokens.send_replace(config.tokens.clone());
                self.agents.expect_within(config.patience());
                let in_force = self.in_force.lock();
                *in_force.unwrap_or_else(PoisonError::into_inner) = config;
                info!(%policy, tenants, rules, "Configuration reloaded.");
            }
            Err(error) => {
                let policy = self.policy_version();
                error!(%error, %policy, "Configuration refused, the one before stays in force.");
            }
        }
    }

    /// The version of the policy in force.
    #[must_use]
    pub fn policy_version(&self) -> String {
        self.writer.tables().borrow().policy.version().to_owned()
    }

    /// Ends streams, puts everything that was taken on disk, and stops.
    pub async fn drain(self) {
        let Self {
            serving,
            revoking,
            witnessing,
            writer,
            reads,
            streams,
            thread,
            stop,
            stop_writer,
            ..
        } = self;
        stop.cancel();
        match tokio::time::timeout(DRAIN_TIMEOUT, serving).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(failed))) => error!(error = %causes(&failed), "Serving failed."),
            Ok(Err(failed)) => error!(error = %failed, "Serving failed."),
            Err(_) => warn!(
                seconds = DRAIN_TIMEOUT.as_secs(),
                "Calls did not end in time, ending them."
            ),
        }
        for asking in [revoking, witnessing].into_iter().flatten() {
            _ = tokio::time::timeout(DRAIN_TIMEOUT, asking).await;
        }
        // What a stream sent is entered at its end.
        for places in &streams {
            if tokio::time::timeout(DRAIN_TIMEOUT, places.left())
                .await
                .is_err()
            {
                error!("Streams did not end in time, what they sent is not entered.");
            }
        }
        reads.enter_all(&writer).await;
        stop_writer.cancel();
        if tokio::task::spawn_blocking(move || thread.join())
            .await
            .is_err()
        {
            error!("Writer could not be waited for.");
        }
        info!("Collector stopped, everything taken is on disk.");
    }
}

/// Says aloud what a configuration leaves out that somebody may rely on.
fn warn_of_unstated(config: &Config) {
    if !config.response.is_stated {
        warn!(
            "The configuration has no [response]: orders of rules are carried out, as before there was one. State its mode."
        );
    }
    if config.ledger_key.is_none() {
        warn!(
            "No [ledger] key is configured: no checkpoints are signed, and who owns the ledgers can rewrite them."
        );
    }
}

/// The configuration, with the name that the collector's certificate gives it.
fn named(config: Config, tls: &Tls) -> Result<Config, StartError> {
    let identity = tls.identity();
    if identity.role != Role::Collector {
        return Err(StartError::Role {
            path: config.tls.certificate,
            found: identity.role,
        });
    }
    let name = identity.name.as_str().parse();
    let name = name.map_err(|error: InvalidId| StartError::Services {
        cause: error.to_string(),
    })?;
    Ok(Config { name, ..config })
}

/// Listens, and writes down where.
async fn listen(config: &Config) -> Result<(TcpListener, SocketAddr), StartError> {
    let wrong = |source| StartError::Listen {
        address: config.listen,
        source,
    };
    let listener = TcpListener::bind(config.listen).await.map_err(wrong)?;
    let address = listener.local_addr().map_err(wrong)?;
    let path = config.data_dir.join("listen");
    match std::fs::write(&path, format!("{address}\n")) {
        Ok(()) => Ok((listener, address)),
        Err(source) => Err(StartError::File { path, source }),
    }
}

/// Has content removed whose time is over, once in [`SWEEP_EVERY`], until `stop`.
/// One turn of the writer after the other, so that agents come between.
async fn sweep(writer: Writer, stop: CancellationToken) {
    loop {
        let mut place = None;
        // A writer that cannot answer tells why; the next round begins anew.
        while let Ok(Some(next)) = writer
            .ask(|reply| Request::Sweep(place.take(), reply))
            .await
        {
            if stop.is_cancelled() {
                return;
            }
            place = Some(next);
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(SWEEP_EVERY) => {}
        }
    }
}

/// Enters counted reads whose time is over, until `stop`.
async fn enter_due(writer: Writer, reads: Counted, clock: Arc<dyn Clock>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(ENTER_EVERY) => {}
        }
        // Where nothing can be entered they go on to be counted.
        let Ok(room) = writer.room().await else {
            continue;
        };
        let said = reads.lock().due(clock.now());
        if !said.is_empty() {
            room.send(Request::Say(said));
        }
    }
}

fn seal(config: &Config) -> Result<Seal, StartError> {
    let fresh = entropy::random::<32>().map_err(|source| StartError::File {
        path: "/dev/urandom".into(),
        source,
    })?;
    let home = config.home()?;
    Ok(Seal::new(State::open(home)?.cursor_key(fresh)?))
}

fn revoker(
    config: &Config,
    tls: &CurrentTls,
    writer: &Writer,
    clock: Arc<dyn Clock>,
    stop: &CancellationToken,
) -> Result<Option<JoinHandle<()>>, StartError> {
    let Some(broker) = &config.broker else {
        warn!("No [broker] is configured: orders end sessions on hosts, and wait for a broker.");
        return Ok(None);
    };
    let revoker = Revoker::new(broker, tls, writer.clone(), clock)?;
    Ok(revoker.map(|revoker| tokio::spawn(revoker.run(stop.clone()))))
}

/// Says of every service of people, agents and brokers that it is there.
async fn healthy() -> HealthServer<impl Health> {
    let (health, service) = tonic_health::server::health_reporter();
    health.set_serving::<AgentServiceServer<Ingest>>().await;
    health.set_serving::<EventServiceServer<Edge>>().await;
    health.set_serving::<EvidenceServiceServer<Edge>>().await;
    health.set_serving::<SessionServiceServer<Edge>>().await;
    health.set_serving::<ProcessServiceServer<Edge>>().await;
    health.set_serving::<InspectServiceServer<Edge>>().await;
    health.set_serving::<AlertServiceServer<Edge>>().await;
    health.set_serving::<HostServiceServer<Edge>>().await;
    health.set_serving::<GrantServiceServer<Edge>>().await;
    health.set_serving::<RevocationServiceServer<Edge>>().await;
    health.set_serving::<RevocationFeedServer<Feed>>().await;
    health
        .set_serving::<RevocationListServiceServer<Edge>>()
        .await;
    service
}

async fn serve(
    tls: CurrentTls,
    listener: TcpListener,
    (edge, ingest): (Edge, Ingest),
    admission: Admission,
) -> Result<JoinHandle<Result<(), tonic::transport::Error>>, StartError> {
    let failed = |cause: String| StartError::Services { cause };
    let stop = edge.stop.clone();
    let feed = Feed::new(&edge);
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(monitor_proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let mut routes = RoutesBuilder::default();
    routes
        .add_service(healthy().await)
        .add_service(
            reflection()
                .build_v1()
                .map_err(|error| failed(error.to_string()))?,
        )
        .add_service(
            reflection()
                .build_v1alpha()
                .map_err(|error| failed(error.to_string()))?,
        )
        .add_service(AgentServiceServer::new(ingest).max_decoding_message_size(MESSAGE_BYTES_MAX))
        .add_service(EventServiceServer::new(edge.clone()))
        .add_service(EvidenceServiceServer::new(edge.clone()))
        .add_service(SessionServiceServer::new(edge.clone()))
        .add_service(ProcessServiceServer::new(edge.clone()))
        .add_service(InspectServiceServer::new(edge.clone()))
        .add_service(AlertServiceServer::new(edge.clone()))
        .add_service(HostServiceServer::new(edge.clone()))
        .add_service(GrantServiceServer::new(edge.clone()))
        .add_service(RevocationServiceServer::new(edge.clone()))
        .add_service(
            RevocationListServiceServer::new(edge)
                .max_decoding_message_size(LIST_MESSAGE_BYTES_MAX),
        )
        .add_service(RevocationFeedServer::new(feed));
    let clients = if admission.tokens.borrow().is_some() {
        Clients::CertificateOrToken
    } else {
        Clients::Certificate
    };
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let incoming = tls.accept(incoming, clients)?;
    let server = Server::builder()
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(STREAM_WINDOW_BYTES * 4)
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE))
        .layer(InterceptorLayer::new(admission))
        .add_routes(routes.routes());
    Ok(tokio::spawn(server.serve_with_incoming_shutdown(
        incoming,
        stop.cancelled_owned(),
    )))
}
