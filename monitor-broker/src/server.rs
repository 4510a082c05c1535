//! The running broker: TLS, services, health, reflection and the outbox.

use std::{fs, io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use monitor_model::clock::Clock;
use monitor_proto::{
    DESCRIPTORS,
    v1::{broker_service_server::BrokerServiceServer, issuer_service_server::IssuerServiceServer},
};
use monitor_transport::{
    causes,
    identity::Role,
    tls::{Clients, CurrentTls, Follower, Tls, TlsError},
};
use tokio::{net::TcpListener, sync::oneshot, time::sleep};
use tonic::transport::{Server, server::TcpIncoming};
use tracing::{info, warn};

use crate::{
    broker::{Broker, OpenError, watch},
    config::Config,
    courier::{Courier, CourierError, blocking},
    feed::Watcher,
    service::Service,
};

/// Largest message that is taken.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Longest wait for open calls when the broker stops.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// Why the broker does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The TLS files.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The certificate is of another role.
    #[error("tls.certificate names {found}; the broker's names monitor://broker/NAME")]
    Role {
        /// The identity in it.
        found: String,
    },
    /// Database, CA or list.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The address cannot be listened on.
    #[error(
        "cannot listen on {address}: {source}; give listen another port, or stop what uses this one"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The address could not be written down.
    #[error("{}: {source}", path.display())]
    Address {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The descriptors do not serve reflection.
    #[error("reflection cannot be served: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The transport failed.
    #[error("the server failed: {cause}")]
    Transport {
        /// All causes.
        cause: String,
    },
    /// Work was stopped.
    #[error(transparent)]
    Courier(#[from] CourierError),
}

/// A broker that listens and does not serve yet.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    follower: Follower,
    tls: CurrentTls,
    broker: Arc<Broker>,
    courier: Arc<Courier>,
    service: Service,
    watcher: Option<Watcher>,
}

/// Checks the TLS files of a configuration.
///
/// # Errors
/// [`ServeError::Tls`] or [`ServeError::Role`].
pub fn check_tls(config: &Config, clock: &dyn Clock) -> Result<Tls, ServeError> {
    let tls = config.tls.load(clock.now())?;
    if tls.identity().role == Role::Broker {
        return Ok(tls);
    }
    Err(ServeError::Role {
        found: tls.identity().to_string(),
    })
}

impl Bound {
    /// Opens everything and listens; the real address is logged and written
    /// to `<data_dir>/listen`.
    ///
    /// # Errors
    /// [`ServeError`] says what is wrong and what would be right.
    pub async fn new(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, ServeError> {
        let tls = check_tls(config, clock.as_ref())?;
        let (follower, tls) = Follower::new(tls, Arc::clone(&clock));
        let places = config.places.clone();
        let broker = Arc::new(blocking(move || Broker::open(&places, clock)).await??);
        let courier = Arc::new(Courier::new(
            Arc::clone(&broker),
            tls.clone(),
            &config.collector,
        )?);
        let unusable = |source| ServeError::Listen {
            address: config.listen,
            source,
        };
        let listener = TcpListener::bind(config.listen).await.map_err(unusable)?;
        let address = listener.local_addr().map_err(unusable)?;
        let path = config.places.data_dir.join("listen");
        fs::write(&path, format!("{address}\n"))
            .map_err(|source| ServeError::Address { path, source })?;
        info!(%address, ca = %broker.ca_fingerprint(), krl = %config.places.krl.display(), "The broker is ready.");
        let watcher = if config.feed {
            let (broker, courier) = (Arc::clone(&broker), Arc::clone(&courier));
            Some(Watcher::new(
                broker,
                courier,
                tls.clone(),
                &config.collector,
            )?)
        } else {
            None
        };
        let service = Service::new(Arc::clone(&broker), Arc::clone(&courier));
        Ok(Self {
            listener,
            address,
            follower,
            tls,
            broker,
            courier,
            service,
            watcher,
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is done, then answers what is open, for a few seconds at most.
    ///
    /// # Errors
    /// [`ServeError::Transport`] or [`ServeError::Reflection`].
    pub async fn serve(self, stop: impl Future<Output = ()>) -> Result<(), ServeError> {
        let (health, health_service) = tonic_health::server::health_reporter();
        health.set_serving::<BrokerServiceServer<Service>>().await;
        health.set_serving::<IssuerServiceServer<Service>>().await;
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let transport = |error: tonic::transport::Error| ServeError::Transport {
            cause: causes(&error),
        };
        let (stopping, stopped) = oneshot::channel::<()>();
        let stop = async move {
            stop.await;
            drop(stopping);
        };
        let late = async move {
            // Its other end is never sent to, only dropped.
            let _ = stopped.await;
            sleep(DRAIN_MAX).await;
        };
        // Else an answer in two parts waits for the caller's delayed ack: 40 ms.
        let incoming = TcpIncoming::from(self.listener).with_nodelay(Some(true));
        let incoming = self.tls.accept(incoming, Clients::Certificate)?;
        let watching = async {
            match &self.watcher {
                Some(watcher) => watcher.run().await,
                None => std::future::pending().await,
            }
        };
        let limit = MESSAGE_BYTES_MAX;
        let server = Server::builder()
            .add_service(health_service)
            .add_service(reflection().build_v1()?)
            .add_service(reflection().build_v1alpha()?)
            .add_service(
                BrokerServiceServer::new(self.service.clone()).max_decoding_message_size(limit),
            )
            .add_service(IssuerServiceServer::new(self.service).max_decoding_message_size(limit))
            .serve_with_incoming_shutdown(incoming, stop);
        let server = Box::pin(server);
        tokio::select! {
            ended = server => ended.map_err(transport),
            () = self.follower.run() => Ok(()),
            () = self.courier.run() => Ok(()),
            () = watching => Ok(()),
            () = watch::run(&self.broker, || self.courier.wake()) => Ok(()),
            () = late => {
                warn!(seconds = DRAIN_MAX.as_secs(), "Some connections did not end in time and are cut.");
                Ok(())
            }
        }
    }
}
