//! Watches the collector's feed of orders, carries them out and answers them.
//!
//! In: `RevocationFeed.Watch`. Out: orders carried out as those that come by
//! `RevokeCredentials`, and an `Ack` for each. Level-triggered: a start begins
//! with a snapshot, and an order that was done and not answered is found done,
//! with the times of the first. Bound: [`AT_ONCE_MAX`] orders at once; while so
//! many are at work nothing more is read. Loss: none: what is not answered
//! comes again.

use std::sync::Arc;

use monitor_proto::v1::{
    AckRequest, FeedOrder, WatchRequest, WatchResponse,
    revocation_feed_client::RevocationFeedClient, watch_response::Message,
};
use monitor_transport::{
    causes,
    tls::{CurrentTls, PeerChannel, TlsError},
};
use tokio::{task::JoinSet, time::sleep};
use tonic::{Code, Request, Status, transport::Channel};
use tracing::{error, info, warn};

use crate::{
    broker::{Broker, TEXT_BYTES_MAX},
    courier::{CALL_TIMEOUT, Courier, CourierError, RETRY_MAX, RETRY_MIN, blocking, status_text},
    service,
};

/// Most orders at work at once.
pub const AT_ONCE_MAX: usize = 16;

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The collector ended it, or will not serve it.
    #[error("{}", status_text(.0))]
    Status(Box<Status>),
    /// It ended without a reason.
    #[error("the stream ended")]
    Ended,
    /// The work was stopped.
    #[error(transparent)]
    Stopping(#[from] CourierError),
}

impl From<Status> for FeedError {
    fn from(status: Status) -> Self {
        Self::Status(Box::new(status))
    }
}

/// Watches the feed.
#[derive(Debug)]
pub struct Watcher {
    hand: Hand,
}

/// Carries orders out.
#[derive(Clone, Debug)]
struct Hand {
    broker: Arc<Broker>,
    courier: Arc<Courier>,
    peer: Arc<PeerChannel>,
    /// Who gives the orders, as the database notes it.
    initiator: Arc<str>,
}

impl Watcher {
    /// Prepares the way; nothing is dialled yet.
    ///
    /// # Errors
    /// [`TlsError::Address`] when the address is none.
    pub fn new(
        broker: Arc<Broker>,
        courier: Arc<Courier>,
        tls: CurrentTls,
        address: &str,
    ) -> Result<Self, TlsError> {
        let hand = Hand {
            broker,
            courier,
            peer: Arc::new(PeerChannel::new(address, tls)?),
            initiator: format!("feed of {address}").into(),
        };
        Ok(Self { hand })
    }

    /// Works until it is dropped; after failures with growing pauses.
    pub async fn run(&self) {
        let mut cursor = Vec::new();
        let mut pause = RETRY_MIN;
        loop {
            let before = cursor.clone();
            let Err(error) = self.watch(&mut cursor).await;
            if cursor != before {
                pause = RETRY_MIN;
            }
            warn!(error = %causes(&error), retry_ms = pause.as_millis(), "The feed of orders is not watched; trying again.");
            sleep(pause).await;
            pause = (pause * 2).min(RETRY_MAX);
        }
    }

    /// One stream, to its end.
    async fn watch(&self, cursor: &mut Vec<u8>) -> Result<std::convert::Infallible, FeedError> {
        let mut client = self.hand.client();
        let request = WatchRequest {
            cursor: cursor.clone(),
        };
        let mut stream = client.watch(request).await?.into_inner();
        info!(resumes = !cursor.is_empty(), "Watching the feed of orders.");
        let mut work: JoinSet<Result<(), FeedError>> = JoinSet::new();
        loop {
            tokio::select! {
                message = stream.message(), if work.len() < AT_ONCE_MAX => {
                    let message = message?.ok_or(FeedError::Ended)?;
                    let at = message.cursor.clone();
                    for order in orders(message) {
                        while work.len() >= AT_ONCE_MAX {
                            ended(work.join_next().await)?;
                        }
                        work.spawn(self.hand.clone().carry_out(order));
                    }
                    // Of orders that are still at work the stream tells again.
                    if !at.is_empty() {
                        *cursor = at;
                    }
                }
                done = work.join_next(), if !work.is_empty() => ended(done)?,
            }
        }
    }
}

fn ended(
    done: Option<Result<Result<(), FeedError>, tokio::task::JoinError>>,
) -> Result<(), FeedError> {
    match done {
        Some(Ok(result)) => result,
        Some(Err(_)) => Err(CourierError::Stopping.into()),
        None => Ok(()),
    }
}

/// The orders in a message. What is over needs nothing: revoked stays revoked.
fn orders(message: WatchResponse) -> Vec<FeedOrder> {
    match message.message {
        Some(Message::Snapshot(part)) => part.orders,
        Some(Message::Changes(part)) => part.orders,
        Some(Message::Heartbeat(_)) | None => Vec::new(),
    }
}

impl Hand {
    fn client(&self) -> RevocationFeedClient<Channel> {
        RevocationFeedClient::new(self.peer.channel())
    }

    /// Does what an order says, and answers it.
    async fn carry_out(self, order: FeedOrder) -> Result<(), FeedError> {
        let FeedOrder { order, is_answered } = order;
        let Some(message) = order else {
            error!("The feed brought an order without one; it is passed over.");
            return Ok(());
        };
        let (id, attempt, target) = (
            message.order.clone(),
            message.attempt,
            message.target.clone(),
        );
        let done = match service::order(message, self.initiator.to_string()) {
            Ok(order) => {
                let broker = Arc::clone(&self.broker);
                let work = move || {
                    // Answered and known: there is nothing to make good here.
                    if is_answered && broker.store().knows_order(order.id)? {
                        return Ok(None);
                    }
                    broker.revoke(&order).map(Some)
                };
                match blocking(work).await? {
                    Ok(None) => return Ok(()),
                    Ok(Some(answer)) => Ok(answer),
                    Err(error) => Err(causes(&error)),
                }
            }
            Err(text) => Err(text),
        };
        // Grants that were ended: the collector is told of all of them.
        self.courier.wake();
        let mut ack = AckRequest {
            order: id,
            attempt,
            target,
            ..AckRequest::default()
        };
        match done {
            Ok(answer) => {
                ack.revoked = answer.revoked.iter().map(Into::into).collect();
                ack.published_at_unix_ns = answer.published_at.map(|at| at.0);
                ack.list_number = answer.list;
            }
            Err(text) => {
                error!(%text, "An order of the feed is not carried out; it comes again.");
                ack.failure = short(text);
            }
        }
        self.answer(ack).await
    }

    async fn answer(self, ack: AckRequest) -> Result<(), FeedError> {
        let mut request = Request::new(ack);
        request.set_timeout(CALL_TIMEOUT);
        let Err(status) = self.client().ack(request).await else {
            return Ok(());
        };
        // It is not wanted: another stream would tell the same.
        if matches!(status.code(), Code::NotFound | Code::InvalidArgument) {
            error!(%status, "The collector does not take an answer.");
            return Ok(());
        }
        Err(status.into())
    }
}

/// As much of a text as an answer takes.
fn short(text: String) -> String {
    if text.len() <= TEXT_BYTES_MAX {
        return text;
    }
    let fits = |&(at, letter): &(usize, char)| at + letter.len_utf8() <= TEXT_BYTES_MAX;
    let letters = text.char_indices().take_while(fits);
    letters.map(|(_, letter)| letter).collect()
}
