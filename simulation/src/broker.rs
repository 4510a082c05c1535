//! The broker, from its start to its crash: what `monitor-broker`'s `server` wires.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use monitor_broker::{
    broker::{Broker, Places, watch},
    courier::Courier,
    feed::Watcher,
    service::Service,
};
use monitor_model::clock::Clock;
use monitor_proto::v1::{
    broker_service_server::BrokerServiceServer, issuer_service_server::IssuerServiceServer,
};
use monitor_transport::tls::{Clients, CurrentTls};
use tokio::time::sleep;
use tonic::transport::Server;

use crate::{
    ground::{BrokerWay, Ground},
    keys::{BROKER, COLLECTOR},
    network::{Network, listen},
};

/// Pause before a start that failed is tried again, as systemd does it.
const RESTART: Duration = Duration::from_secs(1);
/// Longest life of a certificate.
const CERTIFICATE_MAX: Duration = Duration::from_secs(3_600);

/// Where the broker of a play lives.
#[must_use]
pub fn places(ground: &Ground) -> Places {
    Places {
        data_dir: ground.broker(),
        krl: ground.broker().with_extension("krl"),
        certificate_max: CERTIFICATE_MAX,
    }
}

/// Runs the broker until it crashes.
///
/// # Errors
/// The keys are wrong, or the port is taken.
pub async fn run(ground: Arc<Ground>) -> turmoil::Result {
    let clock: Arc<dyn Clock> = Arc::new(ground.clocks[1].clone());
    let files = ground.keys.of("broker", "b");
    let tls = files.load(clock.now())?.within(Arc::new(Network));
    let tls = CurrentTls::fixed(tls);
    let broker = Arc::new(opened(&ground, &clock).await);
    ground.trace.note(BROKER.0, "is open");
    serve(&ground, tls, broker).await?;
    Ok(())
}

async fn opened(ground: &Ground, clock: &Arc<dyn Clock>) -> Broker {
    loop {
        match Broker::open(&places(ground), Arc::clone(clock)) {
            Ok(broker) => return broker,
            Err(error) => {
                tracing::warn!(%error, "The broker does not start.");
                ground.trace.note(BROKER.0, "cannot open");
                sleep(RESTART).await;
            }
        }
    }
}

async fn serve(ground: &Ground, tls: CurrentTls, broker: Arc<Broker>) -> Result<()> {
    let address = format!("https://{}:{}", COLLECTOR.0, COLLECTOR.1);
    let courier = Arc::new(Courier::new(Arc::clone(&broker), tls.clone(), &address)?);
    let watcher = match ground.way {
        BrokerWay::Asked => None,
        BrokerWay::Feed => {
            let (broker, courier) = (Arc::clone(&broker), Arc::clone(&courier));
            Some(Watcher::new(broker, courier, tls.clone(), &address)?)
        }
    };
    let watching = async {
        match &watcher {
            Some(watcher) => watcher.run().await,
            None => std::future::pending().await,
        }
    };
    let service = Service::new(Arc::clone(&broker), Arc::clone(&courier));
    let incoming = tls.accept(listen(BROKER.1).await?, Clients::Certificate)?;
    let server = Server::builder()
        .add_service(BrokerServiceServer::new(service.clone()))
        .add_service(IssuerServiceServer::new(service))
        .serve_with_incoming(incoming);
    tokio::select! {
        ended = server => Ok(ended?),
        () = courier.run() => Ok(()),
        () = watching => Ok(()),
        () = watch::run(&broker, || courier.wake()) => Ok(()),
    }
}
