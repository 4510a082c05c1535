//! The collector, from its start to its crash.
//!
//! What `monitor-collector`'s `pipeline` wires, with the writer's work in a task
//! where it has a thread there. Every service that this play needs is the
//! collector's own.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::Result;
use monitor_collector::{
    admission::Admission,
    config::Config,
    ingest::{Ingest, agents::Agents, looking},
    ledger::Home,
    reads::{COUNTED_MAX, Reads},
    revoke::{Revoker, feed::Feed},
    service::{Edge, Seats, cursor::Seal, reads::Counted},
    state::State,
    writer::{Work, Writer},
};
use monitor_model::clock::Clock;
use monitor_proto::v1::{
    agent_service_server::AgentServiceServer, grant_service_server::GrantServiceServer,
    revocation_feed_server::RevocationFeedServer,
    revocation_list_service_server::RevocationListServiceServer,
    revocation_service_server::RevocationServiceServer,
};
use monitor_transport::tls::{Clients, CurrentTls};
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;
use tonic::{service::InterceptorLayer, transport::Server};

use crate::{
    ground::{BrokerWay, Ground},
    keys::{BROKER, COLLECTOR},
    network::{Network, listen},
};

/// Pause before a start that failed is tried again, as systemd does it.
const RESTART: Duration = Duration::from_secs(1);
/// As the collector has it.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Runs the collector until it crashes.
///
/// # Errors
/// It can never start: the configuration or the keys are wrong.
pub async fn run(ground: Arc<Ground>) -> turmoil::Result {
    let clock: Arc<dyn Clock> = Arc::new(ground.clocks[0].clone());
    let config = Arc::new(config(&ground)?);
    let tls = config.tls.load(clock.now())?.within(Arc::new(Network));
    let tls = CurrentTls::fixed(tls);
    let stop = CancellationToken::new();
    let (writer, work) = opened(&ground, &config, &clock).await;
    tokio::task::spawn_local(work.run());
    ground.trace.note(COLLECTOR.0, "is open");
    let edge = edge(&config, &writer, &clock, &stop)?;
    let agents = Arc::clone(&edge.agents);
    tokio::spawn(looking::look(
        writer.clone(),
        Arc::clone(&agents),
        stop.clone(),
    ));
    if let Some(broker) = &config.broker {
        let revoker = Revoker::new(broker, &tls, writer.clone(), Arc::clone(&clock))?;
        if let Some(revoker) = revoker {
            tokio::spawn(revoker.run(stop.clone()));
        }
    }
    let (_, tokens) = watch::channel(None);
    let admission = Admission {
        tokens,
        clock: Arc::clone(&clock),
    };
    let ingest = Ingest::new(writer, agents, clock, stop);
    serve(tls, edge, ingest, admission).await?;
    Ok(())
}

/// The store, as soon as it can be opened.
async fn opened(ground: &Ground, config: &Arc<Config>, clock: &Arc<dyn Clock>) -> (Writer, Work) {
    loop {
        let stop = CancellationToken::new();
        match Writer::open(Arc::clone(config), Arc::clone(clock), stop) {
            Ok(opened) => return opened,
            Err(error) => {
                tracing::warn!(%error, "The collector does not start.");
                ground.trace.note(COLLECTOR.0, "cannot open");
                sleep(RESTART).await;
            }
        }
    }
}

async fn serve(tls: CurrentTls, edge: Edge, ingest: Ingest, admission: Admission) -> Result<()> {
    let incoming = tls.accept(listen(COLLECTOR.1).await?, Clients::Certificate)?;
    Server::builder()
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE))
        .layer(InterceptorLayer::new(admission))
        .add_service(AgentServiceServer::new(ingest))
        .add_service(GrantServiceServer::new(edge.clone()))
        .add_service(RevocationServiceServer::new(edge.clone()))
        .add_service(RevocationFeedServer::new(Feed::new(&edge)))
        .add_service(RevocationListServiceServer::new(edge))
        .serve_with_incoming(incoming)
        .await?;
    Ok(())
}

fn edge(
    config: &Arc<Config>,
    writer: &Writer,
    clock: &Arc<dyn Clock>,
    stop: &CancellationToken,
) -> Result<Edge> {
    let home: Home = config.home()?;
    let seal = Seal::new(State::open(home.clone())?.cursor_key([7; 32])?);
    Ok(Edge {
        config: Arc::clone(config),
        home,
        writer: writer.clone(),
        agents: Arc::new(Agents::listening(config.patience())),
        clock: Arc::clone(clock),
        seal,
        stop: stop.clone(),
        reads: Counted::new(Reads::new(config.aggregate, COUNTED_MAX)),
        seats: Seats::new(8, 8),
        outside: Seats::new(1, 1),
    })
}

fn config(ground: &Ground) -> Result<Config> {
    let files = ground.keys.of("collector", "main");
    let broker = match ground.way {
        BrokerWay::Asked => format!("address = \"https://{}:{}\"", BROKER.0, BROKER.1),
        BrokerWay::Feed => "feed = \"b\"".to_owned(),
    };
    let text = format!(
        "listen = \"127.0.0.1:0\"\ndata_dir = \"{}\"\n\
         [ledger]\nkey = \"{}\"\n\
         [broker]\n{broker}\nretry_ms_min = 250\nretry_ms_max = 4000\n\
         [response]\nmode = \"enforce\"\n\
         [tls]\nca = \"{}\"\ncertificate = \"{}\"\nkey = \"{}\"\n\
         [[tenant]]\nid = \"acme\"\n[[tenant]]\nid = \"globex\"\n\
         [[rule]]\nid = \"told\"\nverdicts = [\"out_of_scope\"]\nseverity = \"high\"\nresponse = \"notify\"\n",
        ground.collector().display(),
        ground.keys.ledger().display(),
        files.ca.display(),
        files.certificate.display(),
        files.key.display(),
    );
    let config = Config::parse(Path::new("/simulated/collector.toml"), &text)?;
    let name = "main".parse()?;
    Ok(Config { name, ..config })
}
