//! A broker that dials in: `RevocationFeed`.
//!
//! In: what the tables say of orders, by level. Out: one stream to the broker,
//! and its answers, noted as those of a broker that is asked. Bound: one
//! stream, [`PART_BYTES_MAX`] a message, [`QUEUE_MAX`] messages that wait; a
//! broker that takes nothing for the configured time is cut off. Loss: none: an
//! order is told again until it is answered, with pauses as for other ways, and
//! all that are not answered at the beginning of each stream.
//!
//! # Layout
//! - [`telling`]: one stream.
//! - [`pace`]: when an order is told again.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use monitor_model::{
    clock::{Clock, UnixNs},
    id::{OrderId, PrincipalId},
    revocation::Revoked,
};
use monitor_proto::v1::{
    AckRequest, AckResponse, WatchRequest, WatchResponse, revocation_feed_server::RevocationFeed,
};
use monitor_transport::identity::{Identity, Role};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tracing::{info, warn};

use self::telling::Telling;
use super::{settled, way::Said};
use crate::{
    admission::Lasts,
    config::{
        Config,
        broker::{Broker, BrokerWay},
    },
    core::{acks::Acked, book::Place, orders::Attempt},
    service::{Edge, REASON_BYTES_MAX, bad, denied},
    writer::{Request as Ask, Writer},
};

mod pace;
mod telling;

/// Most bytes of one message; one order may go beyond.
pub const PART_BYTES_MAX: usize = 1 << 20;
/// Messages that wait for the broker to take them.
pub const QUEUE_MAX: usize = 4;

/// The feed.
#[derive(Clone, Debug)]
pub struct Feed {
    config: Arc<Config>,
    writer: Writer,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
    shared: Arc<Mutex<Shared>>,
}

/// What the stream and the answers share.
#[derive(Debug, Default)]
struct Shared {
    /// Ends the stream that is open.
    open: CancellationToken,
    /// When orders that are not answered were told last.
    told: HashMap<OrderId, UnixNs>,
}

impl Feed {
    /// Of this collector.
    #[must_use]
    pub fn new(edge: &Edge) -> Self {
        Self {
            config: Arc::clone(&edge.config),
            writer: edge.writer.clone(),
            clock: Arc::clone(&edge.clock),
            stop: edge.stop.clone(),
            shared: Arc::default(),
        }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The configured broker, if it is who calls.
    fn broker<T>(
        &self,
        request: &Request<T>,
        call: &'static str,
    ) -> Result<(&Broker, PrincipalId), Status> {
        let identity = Identity::of(request)?;
        let allowed = identity
            .require(&[Role::Broker])
            .and_then(|()| self.is_configured(&identity.name));
        info!(%identity, call, allowed = allowed.is_ok(), "Call.");
        Ok((allowed?, identity.name))
    }

    fn is_configured(&self, caller: &PrincipalId) -> Result<&Broker, Status> {
        let broker = self.config.broker.as_ref();
        let name = broker.and_then(|broker| match &broker.way {
            BrokerWay::Feed { name } => Some((broker, name)),
            BrokerWay::Grpc { .. } | BrokerWay::Webhook { .. } => None,
        });
        match name {
            None => Err(Status::failed_precondition(
                "this collector has no broker that dials in; give it [broker] feed = \"NAME\"",
            )),
            Some((_, name)) if name != caller => Err(Status::permission_denied(format!(
                "orders of this collector are for another broker than {caller}"
            ))),
            Some((broker, _)) => Ok(broker),
        }
    }
}

#[tonic::async_trait]
impl RevocationFeed for Feed {
    type WatchStream = ReceiverStream<Result<WatchResponse, Status>>;

    async fn watch(
        &self,
        request: Request<WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let (broker, name) = self.broker(&request, "Watch")?;
        let lasts = Lasts::of(&request)?;
        let cursor = request.into_inner().cursor;
        let from = match cursor.as_slice() {
            [] => None,
            bytes => Some(Place::from_bytes(bytes).ok_or_else(|| {
                bad(
                    "cursor",
                    "is none of this feed; give one of its messages, or none",
                )
            })?),
        };
        let (out, taken) = mpsc::channel(QUEUE_MAX);
        let replaced = CancellationToken::new();
        std::mem::replace(&mut self.shared().open, replaced.clone()).cancel();
        let last = out.clone();
        let telling = Telling::new(self, broker, from, (out, replaced));
        info!(broker = %name, resumes = from.is_some(), "Broker watches the feed.");
        tokio::spawn(async move {
            let orders = tokio::select! {
                orders = telling.run() => orders,
                status = lasts.over() => {
                    warn!(broker = %name, reason = status.message(), "Broker's stream ended.");
                    // Whoever takes nothing any more needs no reason.
                    _ = last.try_send(Err(status));
                    return;
                }
            };
            warn!(broker = %name, orders, "Broker no longer watches the feed: orders wait for it.");
        });
        Ok(Response::new(ReceiverStream::new(taken)))
    }

    async fn ack(&self, request: Request<AckRequest>) -> Result<Response<AckResponse>, Status> {
        self.broker(&request, "Ack")?;
        let now = self.clock.now();
        let mut acked = acked(request.into_inner(), now)?;
        let order = acked.attempt.order;
        if let Some(told) = self.shared().told.get(&order) {
            acked.attempt.asked_at = *told;
        }
        let is_done = acked.attempt.answer.is_ok();
        let noted = self.writer.ask(|reply| Ask::Acked(Box::new(acked), reply));
        noted.await.map_err(denied)?;
        if is_done {
            self.shared().told.remove(&order);
        }
        Ok(Response::new(AckResponse {}))
    }
}

/// A broker's answer, checked.
fn acked(message: AckRequest, now: UnixNs) -> Result<Acked, Status> {
    let AckRequest {
        order,
        attempt,
        target,
        revoked,
        published_at_unix_ns,
        failure,
        list_number,
    } = message;
    let order = OrderId::from_slice(&order).map_err(|error| bad("order", error))?;
    if attempt == 0 {
        return Err(bad(
            "attempt",
            "is 0; attempts count from 1, answer the one that came",
        ));
    }
    let target = target.ok_or_else(|| {
        bad(
            "target",
            "is missing; give the one that came with the order",
        )
    })?;
    let target = target.try_into().map_err(|error| bad("target", error))?;
    let revoked: Vec<Revoked> = revoked
        .into_iter()
        .map(Revoked::try_from)
        .collect::<Result<_, _>>()
        .map_err(|error| bad("revoked", error))?;
    let failure = failure.trim();
    if failure.len() > REASON_BYTES_MAX {
        return Err(bad(
            "failure",
            format!("give at most {REASON_BYTES_MAX} bytes"),
        ));
    }
    let is_done = !revoked.is_empty() || published_at_unix_ns.is_some();
    if !failure.is_empty() && is_done {
        return Err(bad(
            "failure",
            "stands beside what was revoked; give one of the two",
        ));
    }
    let answer = if failure.is_empty() {
        let said = Said {
            revoked,
            published_at: published_at_unix_ns.map(UnixNs),
            list: list_number,
        };
        settled(said, now).map_err(|again| again.to_string())
    } else {
        Err(failure.to_owned())
    };
    let attempt = Attempt {
        order,
        asked_at: now,
        answer,
    };
    Ok(Acked { target, attempt })
}
