//! Orders to the broker, for as long as it takes.
//!
//! In: orders that the broker has not answered, by level, from the tables: the
//! outbox is the state on disk, so a restart goes on where it stopped. Out:
//! calls of `BrokerService.RevokeCredentials`, and how each went.
//! Bound: [`CALLS_MAX`] calls at once; further orders wait. Loss: none: an
//! order is repeated under its id until the broker answers or it is lifted.

use std::{collections::HashSet, sync::Arc, time::Duration};

use monitor_model::{
    clock::{Clock, UnixNs},
    id::OrderId,
    revocation::{Order, Outcome, Revoked, Target},
};
use monitor_proto::v1::{RevokeCredentialsRequest, broker_service_client::BrokerServiceClient};
use monitor_transport::{causes, tls::Tls};
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};
use tracing::{info, warn};

use crate::{
    config::Broker,
    core::orders::{Attempt, BrokerAnswer},
    entropy,
    tables::Tables,
    writer::{Request, Writer},
};

/// Most calls at once.
pub const CALLS_MAX: usize = 64;
/// Longest wait for one answer.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Sees to it that the broker hears of every order.
#[derive(Debug)]
pub struct Revoker {
    link: Arc<Link>,
    tables: watch::Receiver<Tables>,
}

/// What every call needs.
#[derive(Debug)]
struct Link {
    endpoint: Endpoint,
    channel: tokio::sync::OnceCell<Channel>,
    broker: Broker,
    writer: Writer,
    clock: Arc<dyn Clock>,
    calls: Semaphore,
}

impl Revoker {
    /// A revoker that asks this broker.
    ///
    /// # Errors
    /// [`monitor_transport::tls::TlsError::Address`].
    pub fn new(
        broker: Broker,
        tls: &Tls,
        writer: Writer,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, monitor_transport::tls::TlsError> {
        let endpoint = tls.endpoint(&broker.address)?;
        let tables = writer.tables();
        let calls = Semaphore::new(CALLS_MAX);
        let channel = tokio::sync::OnceCell::new();
        Ok(Self {
            link: Arc::new(Link {
                endpoint,
                channel,
                broker,
                writer,
                clock,
                calls,
            }),
            tables,
        })
    }

    /// Runs until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut calls: JoinSet<OrderId> = JoinSet::new();
        let mut running: HashSet<OrderId> = HashSet::new();
        let warm = Arc::clone(&self.link);
        let warming = tokio::spawn(async move { warm.connect_early().await });
        loop {
            let unanswered = Arc::clone(&self.tables.borrow_and_update().unanswered);
            for order in unanswered.iter() {
                if running.insert(order.id) {
                    calls.spawn(Arc::clone(&self.link).pursue(order.clone()));
                }
            }
            tokio::select! {
                changed = self.tables.changed() => if changed.is_err() { break },
                Some(ended) = calls.join_next() => {
                    if let Ok(id) = ended { running.remove(&id); }
                    // What a panic ended is taken up again with the next change.
                    if calls.is_empty() { running.clear(); }
                }
                () = stop.cancelled() => break,
            }
        }
        warming.abort();
        calls.abort_all();
    }
}

impl Link {
    /// Connects before the first order needs it, so that it need not wait.
    async fn connect_early(&self) {
        let mut pause = self.broker.retry_min;
        while self.channel.get().is_none() {
            match self.endpoint.connect().await {
                Ok(channel) => {
                    info!(address = %self.broker.address, "Broker reached.");
                    _ = self.channel.set(channel);
                }
                Err(error) => {
                    warn!(address = %self.broker.address, error = %causes(&error), "Broker not reached, trying again.");
                    tokio::time::sleep(jittered(pause)).await;
                    pause = (pause * 2).min(self.broker.retry_max);
                }
            }
        }
    }

    /// Asks until the broker has answered one order, or it is over.
    async fn pursue(self: Arc<Self>, mut order: Order) -> OrderId {
        let mut pause = self.broker.retry_min;
        let mut attempts = order.attempts;
        loop {
            attempts = attempts.saturating_add(1);
            let asked_at = self.clock.now();
            let answer = match self.calls.acquire().await {
                Ok(_permit) => self.call(&order, attempts).await,
                Err(closed) => Err(closed.to_string()),
            };
            let answered = answer.is_ok();
            let attempt = Attempt {
                order: order.id,
                asked_at,
                answer,
            };
            let noted = self
                .writer
                .ask(|reply| Request::Attempted(Box::new(attempt), reply))
                .await;
            // An answer that is not on disk is asked for again, under the same order.
            if answered && noted.is_ok() {
                return order.id;
            }
            tokio::time::sleep(jittered(pause)).await;
            pause = (pause * 2).min(self.broker.retry_max);
            // As it stands now: one that was lifted meanwhile is not repeated.
            match self.standing(order.id) {
                Some(newer) => order = newer,
                None => return order.id,
            }
        }
    }

    /// An order that is still to be answered.
    fn standing(&self, id: OrderId) -> Option<Order> {
        let unanswered = Arc::clone(&self.writer.tables().borrow().unanswered);
        unanswered.iter().find(|order| order.id == id).cloned()
    }

    async fn call(&self, order: &Order, attempt: u32) -> Result<BrokerAnswer, String> {
        let channel = match self.channel.get() {
            Some(channel) => channel.clone(),
            None => self
                .endpoint
                .connect()
                .await
                .map_err(|error| causes(&error))?,
        };
        let mut client = BrokerServiceClient::new(channel);
        let call = client.revoke_credentials(request(order, attempt));
        let response = tokio::time::timeout(CALL_TIMEOUT, call)
            .await
            .map_err(|_| format!("no answer within {} s", CALL_TIMEOUT.as_secs()))?
            .map_err(|status| status_text(&status))?
            .into_inner();
        let revoked: Vec<Revoked> = response
            .revoked
            .into_iter()
            .map(Revoked::try_from)
            .collect::<Result<_, _>>()
            .map_err(|error| format!("the broker's answer makes no sense: {error}"))?;
        let again = revoked
            .iter()
            .filter(|one| one.outcome == Outcome::Retryable)
            .count();
        if again > 0 {
            return Err(format!(
                "{again} of {} could not be revoked yet",
                revoked.len()
            ));
        }
        let published_at = response.published_at_unix_ns.map(UnixNs);
        Ok(BrokerAnswer {
            revoked,
            published_at,
            at: self.clock.now(),
        })
    }
}

fn status_text(status: &tonic::Status) -> String {
    let mut text = format!("{:?}: {}", status.code(), status.message());
    if let Some(source) = std::error::Error::source(status) {
        text.push_str(": ");
        text.push_str(&causes(source));
    }
    text
}

fn request(order: &Order, attempt: u32) -> RevokeCredentialsRequest {
    let mut serials: Vec<u64> = order
        .sessions
        .iter()
        .filter_map(|affected| affected.serial)
        .collect();
    if let Target::Serial(serial) = order.target {
        serials.push(serial);
    }
    serials.sort_unstable();
    serials.dedup();
    let mut grants: Vec<String> = order
        .sessions
        .iter()
        .flat_map(|affected| &affected.grants)
        .map(ToString::to_string)
        .collect();
    if let Target::Grant(grant) = &order.target {
        grants.push(grant.to_string());
    }
    grants.sort_unstable();
    grants.dedup();
    RevokeCredentialsRequest {
        order: order.id.to_bytes().to_vec(),
        attempt,
        issued_at_unix_ns: order.times.ordered.unwrap_or_default().0,
        target: Some((&order.target).into()),
        serials,
        grants,
        reason: order.cause.text.clone(),
    }
}

/// Between half of a pause and the whole, so that many do not come at once.
fn jittered(pause: Duration) -> Duration {
    let part = entropy::random::<1>().map_or(255, |[byte]| byte);
    pause / 2 + (pause / 2) * u32::from(part) / 255
}
