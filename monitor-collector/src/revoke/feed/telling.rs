//! One stream of the feed, from its beginning to its end.

use std::{sync::Arc, time::Duration};

use monitor_model::id::OrderId;
use monitor_proto::v1::{
    FeedChanges, FeedHeartbeat, FeedOrder, FeedSnapshot, RevokeCredentialsRequest, WatchResponse,
    watch_response::Message,
};
use prost::Message as _;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{
    Feed, PART_BYTES_MAX,
    pace::{Due, Pace},
};
use crate::{
    config::broker::Broker,
    core::{
        book::{Book, Change, Place, Shown},
        orders::Attempt,
    },
    revoke::{CALL_TIMEOUT, chance},
    tables::Tables,
    writer::Request as Ask,
};

type Out = mpsc::Sender<Result<WatchResponse, Status>>;

/// Why a stream ends.
enum End {
    /// The broker is gone.
    Gone,
    /// The broker is told why.
    Told(Status),
}

/// A stream.
pub(super) struct Telling {
    feed: Feed,
    tables: watch::Receiver<Tables>,
    /// Up to here everything was told; none before the first snapshot.
    at: Option<Place>,
    pace: Pace,
    heartbeat: Duration,
    stall: Duration,
    beat: Instant,
    out: Out,
    replaced: CancellationToken,
}

impl Telling {
    pub(super) fn new(
        feed: &Feed,
        broker: &Broker,
        from: Option<Place>,
        (out, replaced): (Out, CancellationToken),
    ) -> Self {
        let heartbeat = feed.config.heartbeat;
        Self {
            feed: feed.clone(),
            tables: feed.writer.tables(),
            at: from,
            pace: Pace::new((broker.retry_min, broker.retry_max)),
            heartbeat,
            stall: feed.config.stall,
            beat: Instant::now() + heartbeat,
            out,
            replaced,
        }
    }

    /// Serves the broker to the end; gives how many orders wait for an answer.
    pub(super) async fn run(mut self) -> usize {
        if let Err(End::Told(status)) = self.serve().await {
            // Where even this finds no place the broker sees the stream end.
            _ = self.out.try_send(Err(status));
        }
        self.pace.len()
    }

    async fn serve(&mut self) -> Result<(), End> {
        let (stop, replaced) = (self.feed.stop.clone(), self.replaced.clone());
        loop {
            let book = self.tables.borrow_and_update().book.clone();
            let book = book.ok_or_else(|| {
                End::Told(Status::unavailable(
                    "the collector shows no orders; try again",
                ))
            })?;
            self.pace.see(&book, Instant::now(), chance());
            self.tell(&book).await?;
            self.repeat(&book).await?;
            if Instant::now() >= self.beat {
                self.send(Message::Heartbeat(FeedHeartbeat {}), Some(book.at()))
                    .await?;
            }
            let next = self
                .pace
                .next()
                .map_or(self.beat, |next| next.min(self.beat));
            let out = self.out.clone();
            tokio::select! {
                changed = self.tables.changed() => changed.map_err(|_| stopping())?,
                () = sleep_until(next) => {}
                () = out.closed() => return Err(End::Gone),
                () = replaced.cancelled() => return Err(End::Told(Status::aborted(
                    "another Watch of this broker took the place of this one",
                ))),
                () = stop.cancelled() => return Err(stopping()),
            }
        }
    }

    /// Tells what changed, or everything where that is not known.
    async fn tell(&mut self, book: &Book) -> Result<(), End> {
        match self.at.and_then(|at| book.since(at)) {
            Some(changes) => self.tell_changes(book, changes).await?,
            None => self.tell_all(book).await?,
        }
        self.at = Some(book.at());
        Ok(())
    }

    async fn tell_all(&mut self, book: &Book) -> Result<(), End> {
        let holds = |id: &OrderId| book.get(*id).is_some();
        self.feed.shared().told.retain(|id, _| holds(id));
        let mut part = FeedSnapshot::default();
        let mut bytes = 0;
        for order in book.orders() {
            let order = self.order(order);
            let more = order.encoded_len();
            if bytes + more > PART_BYTES_MAX && !part.orders.is_empty() {
                let full = std::mem::take(&mut part);
                self.send(Message::Snapshot(full), None).await?;
                bytes = 0;
            }
            bytes += more;
            part.orders.push(order);
        }
        part.is_last = true;
        self.send(Message::Snapshot(part), Some(book.at())).await
    }

    async fn tell_changes(&mut self, book: &Book, changes: Vec<(u64, Change)>) -> Result<(), End> {
        let life = book.at().life;
        let mut part = FeedChanges::default();
        let (mut bytes, mut upto) = (0, None);
        for (position, change) in changes {
            if bytes > PART_BYTES_MAX {
                let full = std::mem::take(&mut part);
                self.send(Message::Changes(full), upto).await?;
                bytes = 0;
            }
            match change {
                Change::InForce(order) => {
                    let order = self.order(&order);
                    bytes += order.encoded_len();
                    part.orders.push(order);
                }
                Change::Over(id) => {
                    bytes += id.to_bytes().len();
                    part.over.push(id.to_bytes().to_vec());
                    self.feed.shared().told.remove(&id);
                }
            }
            upto = Some(Place { life, position });
        }
        if upto.is_none() {
            return Ok(());
        }
        self.send(Message::Changes(part), Some(book.at())).await
    }

    /// Tells again what is not answered, and what a stream before may have lost.
    async fn repeat(&mut self, book: &Book) -> Result<(), End> {
        let mut part = FeedChanges::default();
        let mut bytes = 0;
        for due in self.pace.due(book, Instant::now(), chance()) {
            match due {
                Due::Late(id) => self.note_late(id).await,
                Due::Again(id) => {
                    let Some(order) = book.get(id) else { continue };
                    let order = self.order(order);
                    bytes += order.encoded_len();
                    part.orders.push(order);
                }
            }
            if bytes > PART_BYTES_MAX {
                let full = std::mem::take(&mut part);
                self.send(Message::Changes(full), Some(book.at())).await?;
                bytes = 0;
            }
        }
        if part.orders.is_empty() {
            return Ok(());
        }
        self.send(Message::Changes(part), Some(book.at())).await
    }

    /// Notes an attempt that brought no answer. Where that fails the order is
    /// told again all the same.
    async fn note_late(&self, order: OrderId) {
        let asked_at = self.feed.shared().told.get(&order).copied();
        let attempt = Attempt {
            order,
            asked_at: asked_at.unwrap_or_else(|| self.feed.clock.now()),
            answer: Err(format!("no Ack within {} s", CALL_TIMEOUT.as_secs())),
        };
        let note = |reply| Ask::Attempted(Box::new(attempt), reply);
        // The writer tells why it cannot.
        _ = self.feed.writer.ask(note).await;
    }

    /// An order as it goes out now.
    fn order(&mut self, order: &Arc<Shown>) -> FeedOrder {
        self.pace.told(order, Instant::now());
        let Shown {
            id,
            issued_at,
            target,
            serials,
            grants,
            reason,
            is_answered,
            attempts,
        } = order.as_ref();
        if !is_answered {
            let now = self.feed.clock.now();
            self.feed.shared().told.insert(*id, now);
        }
        FeedOrder {
            order: Some(RevokeCredentialsRequest {
                order: id.to_bytes().to_vec(),
                attempt: attempts.saturating_add(1),
                issued_at_unix_ns: issued_at.0,
                target: Some(target.into()),
                serials: serials.clone(),
                grants: grants.iter().map(ToString::to_string).collect(),
                reason: reason.clone(),
            }),
            is_answered: *is_answered,
        }
    }

    async fn send(&mut self, message: Message, at: Option<Place>) -> Result<(), End> {
        let message = WatchResponse {
            message: Some(message),
            cursor: at.map(Place::to_bytes).unwrap_or_default(),
        };
        match timeout(self.stall, self.out.send(Ok(message))).await {
            Ok(Ok(())) => {
                self.beat = Instant::now() + self.heartbeat;
                Ok(())
            }
            Ok(Err(_)) => Err(End::Gone),
            Err(_) => {
                let seconds = self.stall.as_secs();
                Err(End::Told(Status::resource_exhausted(format!(
                    "nothing was taken for {seconds} s; watch again from the last cursor"
                ))))
            }
        }
    }
}

fn stopping() -> End {
    End::Told(Status::unavailable("the collector is stopping"))
}
