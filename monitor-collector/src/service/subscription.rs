//! One reader of the stream of events.
//!
//! In: the ledgers, by place; then groups as they are stored. Out: items with
//! cursors. Bound: `READER_QUEUE_MAX` items wait; a reader that takes nothing
//! for the configured time is cut off, with a cursor. Loss: none: who lags
//! behind the groups reads the ledgers again.

use std::{collections::HashMap, sync::Arc};

use monitor_model::{alert::Severity, clock::UnixNs, grant::Grant, id::GrantId};
use monitor_proto::{
    mask::Mask,
    v1::{Cut, Heartbeat, LedgerHead, SubscribeResponse, subscribe_response::Item as Message},
};
use tokio::{
    sync::{broadcast, mpsc, watch},
    time::{Instant, MissedTickBehavior, interval_at, timeout},
};
use tonic::Status;
use tracing::warn;

use super::{Edge, cursor::Subject, events::masked, sight::Sight};
use crate::{
    admission::Lasts,
    core::open::merged,
    ledger::{
        Entry,
        read::{Filter, Reader, Span, within},
    },
    reads::{Asked, Items},
    state::{Raised, read::StateReader},
    tables::Tables,
    writer::{Group, Item},
};

/// Entries that are read at once.
const PAGE: u32 = 1_000;

/// A reader.
#[derive(Debug)]
pub struct Subscription {
    pub(super) edge: Edge,
    pub(super) sight: Sight,
    /// Which entries; its tenants are all that the reader sees of those asked for.
    pub(super) filter: Filter,
    /// The policy whose tenants those are.
    pub(super) policy_version: String,
    pub(super) subject: Subject,
    pub(super) alerts: bool,
    /// How urgent alerts must be; none for all.
    pub(super) least_severity: Option<Severity>,
    /// Which parts of each event are sent; none for all.
    pub(super) mask: Option<Mask>,
    /// Where to end; none to follow.
    pub(super) until: Option<UnixNs>,
    /// Everything up to this place was handed over.
    pub(super) at: UnixNs,
    /// The place of the last item that was handed over.
    pub(super) shown: UnixNs,
    /// What was asked, as it is entered.
    pub(super) read: Arc<Asked>,
    /// How many items of each ledger were handed over.
    pub(super) sent: Items,
    pub(super) items: mpsc::Sender<Result<SubscribeResponse, Status>>,
    /// For the one message after all others.
    pub(super) last: mpsc::Sender<Result<SubscribeResponse, Status>>,
}

/// Why a stream ends.
enum End {
    /// The reader is gone.
    Gone,
    /// The reader was too slow.
    Slow,
    /// The collector is stopping, or cannot read; or the reader's certificate is over.
    Failed(Status),
}

impl Subscription {
    /// Serves the reader to the end.
    pub async fn run(mut self, lasts: Lasts) {
        let ended = tokio::select! {
            ended = self.serve() => ended,
            status = lasts.over() => Err(End::Failed(status)),
        };
        let sent = std::mem::take(&mut self.sent);
        self.edge.enter_end(&self.read, sent).await;
        match ended {
            Ok(()) | Err(End::Gone) => {}
            Err(End::Slow) => {
                let seconds = self.edge.config.stall.as_secs();
                warn!(seconds, "Reader too slow, cut off with a cursor.");
                let reason =
                    format!("nothing was taken for {seconds} s; the cursor goes on from here");
                let cut = self.message(Message::Cut(Cut { reason }));
                // There is one place, and this is the one message for it.
                _ = self.last.try_send(Ok(cut));
            }
            Err(End::Failed(status)) => _ = self.last.try_send(Err(status)),
        }
    }

    async fn serve(&mut self) -> Result<(), End> {
        // Before the ledgers are read, so that nothing falls between.
        let mut groups = self.edge.writer.groups();
        let mut tables = self.edge.writer.tables();
        loop {
            self.catch_up(&mut tables).await?;
            if self.until.is_some() {
                return self.heartbeat(&tables).await;
            }
            self.follow(&mut groups, &tables).await?;
        }
    }

    /// Hands over what the ledgers hold.
    async fn catch_up(&mut self, tables: &mut watch::Receiver<Tables>) -> Result<(), End> {
        loop {
            let up_to = self
                .until
                .unwrap_or_else(|| tables.borrow_and_update().watermark);
            if self.at >= up_to {
                return Ok(());
            }
            let (items, seen) = self
                .page(Span {
                    after: self.at,
                    up_to,
                    limit: PAGE,
                })
                .await?;
            for item in items {
                self.hand_over(&item).await?;
            }
            self.at = seen;
        }
    }

    async fn page(&self, span: Span) -> Result<(Vec<Item>, UnixNs), End> {
        let (filter, alerts) = (self.filter.clone(), self.alerts);
        let read = self.edge.look_up(move |data_dir| {
            let readers: Vec<Reader> = filter
                .tenants
                .iter()
                .map(|tenant| Reader::open(&data_dir, tenant))
                .collect::<Result<_, _>>()?;
            let (entries, mut seen) = merged(&readers, span, &filter)?;
            let mut items: Vec<Item> = entries
                .into_iter()
                .map(|entry| Item::Event(Arc::new(entry)))
                .collect();
            if alerts {
                let raised = StateReader::open(&data_dir)?.raised(span)?;
                if raised.len() >= usize::try_from(span.limit).unwrap_or(usize::MAX) {
                    seen = seen.min(raised.last().map_or(seen, |last| last.stamp));
                }
                items.extend(
                    raised
                        .into_iter()
                        .map(|raised| Item::Alert(Arc::new(raised))),
                );
                items.retain(|item| item.stamp() <= seen);
                items.sort_by_key(Item::stamp);
            }
            Ok((items, seen))
        });
        read.await.map_err(End::Failed)
    }

    /// Hands over groups as they are stored, until it lags too far behind.
    async fn follow(
        &mut self,
        groups: &mut broadcast::Receiver<Arc<Group>>,
        tables: &watch::Receiver<Tables>,
    ) -> Result<(), End> {
        let period = self.edge.config.heartbeat;
        let mut beat = interval_at(Instant::now() + period, period);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let stop = self.edge.stop.clone();
        loop {
            tokio::select! {
                group = groups.recv() => match group {
                    Ok(group) if group.after > self.at => return Ok(()),
                    Ok(group) => self.hand_over_group(&group).await?,
                    Err(broadcast::error::RecvError::Lagged(_)) => return Ok(()),
                    Err(broadcast::error::RecvError::Closed) => return Err(stopping()),
                },
                _ = beat.tick() => self.heartbeat(tables).await?,
                () = self.items.closed() => return Err(End::Gone),
                () = stop.cancelled() => return Err(stopping()),
            }
        }
    }

    async fn hand_over_group(&mut self, group: &Group) -> Result<(), End> {
        for item in &group.items {
            if item.stamp() > self.at {
                self.hand_over(item).await?;
            }
        }
        self.at = self.at.max(group.up_to);
        Ok(())
    }

    /// Hands over one item, if it is asked for and seen.
    async fn hand_over(&mut self, item: &Item) -> Result<(), End> {
        let message = match item {
            Item::Event(entry) if self.filter.admits(entry) => {
                let grants = self.edge.writer.tables().borrow().grants.clone();
                if !self.admits_objects(entry, &grants) {
                    return Ok(());
                }
                let event = self.sight.entry(entry, &grants);
                let event = masked(self.mask.as_ref(), event).map_err(End::Failed)?;
                Message::Event(event)
            }
            Item::Alert(raised) if self.alerts && self.admits_alert(raised) => {
                Message::Alert(self.sight.alert(raised))
            }
            Item::Event(_) | Item::Alert(_) => return Ok(()),
        };
        let mut message = self.message(message);
        message.cursor = self.edge.seal.cursor(&self.subject, item.stamp());
        self.send(message).await?;
        let ledger = match item {
            Item::Event(entry) => &entry.ledger,
            Item::Alert(raised) => &raised.alert.ledger,
        };
        *self.sent.entry(ledger.clone()).or_default() += 1;
        self.at = item.stamp();
        self.shown = item.stamp();
        Ok(())
    }

    fn admits_objects(&self, entry: &Entry, grants: &HashMap<GrantId, Grant>) -> bool {
        let event = &entry.judged.event;
        self.filter.object_prefix.is_empty()
            || self.filter.admits_objects(&self.sight.event(event, grants))
    }

    fn admits_alert(&self, raised: &Raised) -> bool {
        let alert = &raised.alert;
        within(&self.filter.tenants, Some(&alert.ledger))
            && within(&self.filter.principals, alert.principal.as_ref())
            && within(&self.filter.sessions, alert.session.as_ref())
            && within(&self.filter.hosts, Some(&alert.host))
            && self
                .least_severity
                .is_none_or(|least| alert.severity >= least)
    }

    async fn heartbeat(&mut self, tables: &watch::Receiver<Tables>) -> Result<(), End> {
        let heads = tables.borrow().heads.clone();
        let mut heads: Vec<LedgerHead> = self
            .filter
            .tenants
            .iter()
            .filter_map(|tenant| Some((tenant, heads.get(tenant)?)))
            .map(|(tenant, head)| LedgerHead {
                tenant: tenant.to_string(),
                position: head.position,
                hash: head.hash.to_vec(),
            })
            .collect();
        heads.sort_by(|one, two| one.tenant.cmp(&two.tenant));
        let beat = Heartbeat {
            at_unix_ns: self.edge.clock.now().0,
            heads,
        };
        let message = self.message(Message::Heartbeat(beat));
        self.send(message).await
    }

    /// An item with the cursor of everything handed over so far. Who sees only
    /// some ledgers is not shown by it when the others moved.
    fn message(&self, item: Message) -> SubscribeResponse {
        let after = match self.sight {
            Sight::Everything => self.at,
            Sight::Tenants(_) => self.shown,
        };
        SubscribeResponse {
            item: Some(item),
            cursor: self.edge.seal.cursor(&self.subject, after),
        }
    }

    /// Every cursor goes out here: none may pass by the events of a tenant that
    /// the filter does not know yet.
    async fn send(&self, message: SubscribeResponse) -> Result<(), End> {
        let tables = self.edge.writer.tables();
        if tables.borrow().policy.version() != self.policy_version {
            return Err(End::Failed(Status::unavailable(
                "the policy was reloaded; connect again with the last cursor",
            )));
        }
        let stop = self.edge.stop.clone();
        tokio::select! {
            sent = timeout(self.edge.config.stall, self.items.send(Ok(message))) => match sent {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) => Err(End::Gone),
                Err(_) => Err(End::Slow),
            },
            () = stop.cancelled() => Err(stopping()),
        }
    }
}

fn stopping() -> End {
    End::Failed(Status::unavailable(
        "the collector is stopping; connect again with the last cursor",
    ))
}
