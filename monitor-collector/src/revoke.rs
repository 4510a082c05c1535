//! Orders to the broker, for as long as it takes.
//!
//! In: orders that the broker has not answered, by level, from the tables: the
//! outbox is the state on disk, so a restart goes on where it stopped. Out:
//! the broker asked by the [`Way`] that is configured, and how each attempt went.
//! Bound: [`CALLS_MAX`] calls at once, [`CALL_TIMEOUT`] for each; further orders
//! wait. Loss: none: an order is repeated under its id until the broker answers
//! or it is lifted.
//!
//! # Layout
//! - [`way`]: what a way to a broker must do, and which there are.
//! - [`grpc`]: a broker that serves `BrokerService`.
//! - [`webhook`]: a broker that takes signed webhooks.
//! - [`feed`]: a broker that dials in and watches.
//! - [`named`]: the credentials that an order names.
//! - [`pauses`]: how long is waited between attempts.

use std::{collections::HashSet, sync::Arc, time::Duration};

use monitor_model::{
    clock::{Clock, UnixNs},
    id::OrderId,
    revocation::{Order, Outcome},
};
use monitor_transport::tls::CurrentTls;
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use self::{
    pauses::Pauses,
    way::{Said, Unanswered, Way, WayError},
};
use crate::{
    config::broker::Broker,
    core::orders::{Attempt, BrokerAnswer},
    entropy,
    tables::Tables,
    writer::{Request, Writer},
};

pub mod feed;
pub mod grpc;
pub mod named;
pub mod pauses;
pub mod way;
pub mod webhook;

/// Most calls at once.
pub const CALLS_MAX: usize = 64;
/// Longest wait for one answer.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Sees to it that the broker hears of every order.
#[derive(Debug)]
pub struct Revoker {
    link: Arc<Link>,
    tables: watch::Receiver<Tables>,
}

/// What every call needs.
#[derive(Debug)]
struct Link {
    way: Box<dyn Way>,
    retry: (Duration, Duration),
    writer: Writer,
    clock: Arc<dyn Clock>,
    calls: Semaphore,
}

impl Revoker {
    /// A revoker that asks this broker; none for one that dials in, whose orders
    /// wait for it in the feed.
    ///
    /// # Errors
    /// [`WayError`] says what of the way cannot be used.
    pub fn new(
        broker: &Broker,
        tls: &CurrentTls,
        writer: Writer,
        clock: Arc<dyn Clock>,
    ) -> Result<Option<Self>, WayError> {
        let Some(way) = way::open(&broker.way, tls, &clock)? else {
            return Ok(None);
        };
        let tables = writer.tables();
        let calls = Semaphore::new(CALLS_MAX);
        Ok(Some(Self {
            link: Arc::new(Link {
                way,
                retry: (broker.retry_min, broker.retry_max),
                writer,
                clock,
                calls,
            }),
            tables,
        }))
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
        let address = self.way.address();
        let mut pauses = self.pauses();
        while let Err(cause) = self.way.reach().await {
            warn!(address, %cause, "Broker not reached, trying again.");
            tokio::time::sleep(pauses.usual(chance())).await;
        }
        info!(address, "Broker reached.");
    }

    /// Asks until the broker has answered one order, or it is over.
    async fn pursue(self: Arc<Self>, mut order: Order) -> OrderId {
        let mut pauses = self.pauses();
        let mut attempts = order.attempts;
        loop {
            attempts = attempts.saturating_add(1);
            let asked_at = self.clock.now();
            let answer = match self.calls.acquire().await {
                Ok(_permit) => self.ask(&order, attempts).await,
                Err(closed) => Err(Unanswered::soon(closed.to_string())),
            };
            let attempt = Attempt {
                order: order.id,
                asked_at,
                answer: answer.as_ref().cloned().map_err(ToString::to_string),
            };
            let noted = self
                .writer
                .ask(|reply| Request::Attempted(Box::new(attempt), reply))
                .await;
            let pause = match (&answer, noted) {
                (Ok(_), Ok(())) => return order.id,
                // An answer that is not on disk is asked for again, under the same order.
                (Ok(_), Err(_)) => pauses.usual(chance()),
                (Err(why), _) => pauses.after(why, chance()),
            };
            tokio::time::sleep(pause).await;
            // As it stands now: one that was lifted meanwhile is not repeated.
            match self.standing(order.id) {
                Some(newer) => order = newer,
                None => return order.id,
            }
        }
    }

    /// Asks once.
    async fn ask(&self, order: &Order, attempt: u32) -> Result<BrokerAnswer, Unanswered> {
        let asked = tokio::time::timeout(CALL_TIMEOUT, self.way.ask(order, attempt));
        let said = asked.await.unwrap_or_else(|_| {
            let seconds = CALL_TIMEOUT.as_secs();
            Err(Unanswered::soon(format!("no answer within {seconds} s")))
        });
        let said = said.inspect_err(|why| {
            if why.is_refusal() {
                error!(order = %order.id, attempt, address = self.way.address(), %why,
                    "The broker does not take the order: it is asked again, slowly.");
            }
        })?;
        settled(said, self.clock.now())
    }

    /// An order that is still to be answered.
    fn standing(&self, id: OrderId) -> Option<Order> {
        let unanswered = Arc::clone(&self.writer.tables().borrow().unanswered);
        unanswered.iter().find(|order| order.id == id).cloned()
    }

    fn pauses(&self) -> Pauses {
        let (least, most) = self.retry;
        Pauses::new(least, most)
    }
}

/// What the broker's words come to: an answer, or that it is asked again.
fn settled(said: Said, at: UnixNs) -> Result<BrokerAnswer, Unanswered> {
    let Said {
        revoked,
        published_at,
        list,
    } = said;
    let again = revoked
        .iter()
        .filter(|one| one.outcome == Outcome::Retryable)
        .count();
    if again > 0 {
        let all = revoked.len();
        return Err(Unanswered::soon(format!(
            "{again} of {all} could not be revoked yet"
        )));
    }
    Ok(BrokerAnswer {
        revoked,
        published_at,
        list,
        at,
    })
}

/// A byte of chance, so that many do not come at once.
fn chance() -> u8 {
    entropy::random::<1>().map_or(u8::MAX, |[byte]| byte)
}
