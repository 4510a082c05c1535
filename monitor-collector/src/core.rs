//! The stages that must move in step, on one thread and without any runtime.
//!
//! In: batches of decoded events, grants, orders, answers, receipts. Out:
//! stored entries and raised alerts, and [`Tables`] for everybody else.
//!
//! An event goes three steps. [`Core::take_in`] drops what is known, judges and
//! puts the rest into the ledgers. [`Core::settle`] puts these on disk, after
//! which a batch may be acked, and beside that lets sessions, alerts and orders
//! follow. [`Core::publish`] puts what followed on disk, in one transaction of
//! the state with the place up to which it went; nobody hears of it before.
//! A crash before that is made good at the next start, from the ledgers.
//!
//! # Layout
//! - [`alerts`]: alerts that follow, and what people do with them.
//! - [`grants`]: permissions, and what of them was used.
//! - `commit`: ledgers side by side.
//! - [`endings`]: engineers that leave and tickets that close, as a broker says.
//! - `entered`: orders as the ledgers tell them.
//! - [`mod@error`]: why it cannot go on, and why a request is refused.
//! - [`open`]: a start, and what it makes good.
//! - [`krl`]: the broker's revocation list, and which host has it.
//! - `leases`: credentials in use on hosts that are lost.
//! - [`live`]: what lives in sessions.
//! - [`orders`]: orders as they are given; `reach`: whom they reach; [`standing`]:
//!   what people and time do with them; `storm`: how much rules may cut off;
//!   `answers`, [`acks`]: what broker and hosts say; [`book`]: what a broker that
//!   dials in is told; [`denials`], `commands`: what is in
//!   force for hosts.
//! - [`retention`]: content whose time is over.
//! - `reused`: numbers that are given to other events.
//! - [`voice`]: what the collector says of itself.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use monitor_model::{
    clock::{Clock, UnixNs},
    event::{Action, Event, Kind},
    host::Host,
    id::{AgentName, OrderId, Source, TenantId},
    judge::{World, judge},
    revocation::Order,
};
use tracing::{error, warn};

use crate::{
    alert::Alerter,
    config::{lost::LostPolicy, response::ResponsePolicy, retention::Retention},
    dedupe::{Dedupe, Intervals, Stream},
    ledger::{Entry, Home, Judged, Ledger},
    processes::Processes,
    sessions::Sessions,
    state::{QUARANTINED_MAX, Raised, SetAside, State, load::Denied},
    tables::Tables,
    uses::Uses,
};

pub mod acks;
pub mod alerts;
mod answers;
pub mod aside;
pub mod book;
mod commands;
mod commit;
pub mod denials;
pub mod endings;
mod entered;
pub mod error;
pub mod grants;
pub mod krl;
mod leases;
pub mod live;
pub mod open;
pub mod orders;
mod reach;
pub mod retention;
mod reused;
pub mod standing;
mod storm;
pub mod voice;

use book::Book;
pub use error::{CoreError, Refusal};
use krl::Lists;
use voice::{Said, Voice};

/// Events after which the followed place is noted even when nothing changed.
const FOLLOWED_EVERY: u64 = 10_000;

/// A batch of an agent, decoded.
#[derive(Debug)]
pub struct Batch {
    /// The agent, by its certificate.
    pub agent: AgentName,
    /// Events with their bytes.
    pub events: Vec<(Event, Vec<u8>)>,
    /// What could not be decoded.
    pub aside: Vec<SetAside>,
}

/// What became of a group of batches.
#[derive(Debug, Default)]
pub struct Stored {
    /// New entries, in stored order.
    pub entries: Vec<Arc<Entry>>,
    /// Events that were there already.
    pub duplicates: u64,
}

/// The stages that move in step.
#[derive(Debug)]
pub struct Core {
    clock: Arc<dyn Clock>,
    /// Away while they are put on disk: nothing that follows from an entry asks
    /// a ledger.
    ledgers: BTreeMap<TenantId, Ledger>,
    /// Works on several of them.
    pool: Arc<rayon::ThreadPool>,
    /// Where they are, and the key to them.
    home: Home,
    dedupe: Dedupe,
    state: State,
    world: World,
    sessions: Sessions,
    processes: Processes,
    uses: Uses,
    alerter: Alerter,
    orders: BTreeMap<OrderId, Order>,
    /// Revocation lists on their way to hosts.
    lists: Lists,
    /// What a broker that dials in is told of them, where one does.
    book: Option<Book>,
    denied: Denied,
    /// The newest place among events and alerts.
    stamp: UnixNs,
    unnoted: u64,
    /// The last entry that was followed.
    followed: UnixNs,
    /// How far each ledger was at the last note.
    reached: BTreeMap<TenantId, u64>,
    /// Alerts that no stored event raised, until the next group.
    raised: Vec<Arc<Raised>>,
    tables: Tables,
    /// Whether the tables no longer show the orders as they are.
    tables_orders_moved: bool,
    /// What answers alerts.
    response: ResponsePolicy,
    /// What answers the loss of a host.
    lost: LostPolicy,
    /// How long ledgers keep content.
    retention: Retention,
    /// As whom it speaks.
    name: AgentName,
    /// What it says, until it is stored.
    said: Vec<Said>,
    /// What it says with the next group, once the state keeps it on disk.
    kept: Vec<Said>,
    /// Rows of the state that keep what is on its way into the ledgers.
    entering: Vec<u64>,
    /// How far it came in the ledgers that it spoke in.
    voices: BTreeMap<TenantId, Voice>,
    _lock: std::fs::File,
}

impl Core {
    /// What everybody else may know, as of the last [`Core::publish`].
    #[must_use]
    pub const fn tables(&self) -> &Tables {
        &self.tables
    }

    /// Puts what was said, and what is new in the batches, into the ledgers. On
    /// disk after [`Core::settle`].
    ///
    /// # Errors
    /// [`CoreError`]; nothing may be acked and the core must be opened anew.
    pub fn take_in(&mut self, batches: Vec<Batch>) -> Result<Stored, CoreError> {
        // What requests changed goes before: a ledger must never hold a judgement
        // under a grant that a crash can undo.
        self.state.commit()?;
        let mut stored = Stored::default();
        self.store_said(&mut stored)?;
        for batch in batches {
            for (event, event_bytes) in batch.events {
                match self.append(event, event_bytes)? {
                    Some(entry) => stored.entries.push(entry),
                    None => stored.duplicates += 1,
                }
            }
            for aside in batch.aside {
                warn!(agent = %aside.agent, batch = aside.batch, reason = %aside.reason,
                    bytes = aside.event.len(), "Event cannot be decoded, set aside.");
                self.state.put_aside(&aside)?;
            }
        }
        Ok(stored)
    }

    /// Puts what was taken in on disk, and lets sessions, alerts and orders
    /// follow from it, which is on disk after [`Core::publish`].
    ///
    /// # Errors
    /// [`CoreError`]; nothing may be acked and the core must be opened anew:
    /// nothing of what followed is on disk then.
    pub fn settle(&mut self, entries: &[Arc<Entry>]) -> Result<Vec<Arc<Raised>>, CoreError> {
        let (now, pool) = (self.clock.now(), Arc::clone(&self.pool));
        let mut ledgers = std::mem::take(&mut self.ledgers);
        let (committed, raised) =
            commit::beside(&pool, ledgers.values_mut(), now, || self.follow(entries));
        self.ledgers = ledgers;
        committed?;
        self.forget_said()?;
        raised
    }

    /// Whether a ledger holds entries that it could sign and has not.
    #[must_use]
    pub fn is_unsealed(&self) -> bool {
        self.ledgers.values().any(Ledger::is_unsealed)
    }

    /// Signs every ledger as it is.
    ///
    /// # Errors
    /// [`CoreError`]; the core must be opened anew.
    pub fn seal(&mut self) -> Result<(), CoreError> {
        let now = self.clock.now();
        for ledger in self.ledgers.values_mut() {
            ledger.seal(now)?;
        }
        Ok(())
    }

    /// Whether the quarantine has room for what a batch sets aside.
    ///
    /// # Errors
    /// [`CoreError`].
    pub fn takes_aside(&self, batch: &Batch) -> Result<bool, CoreError> {
        let more = u64::try_from(batch.aside.len()).unwrap_or(u64::MAX);
        Ok(
            more == 0
                || self.state.set_aside(&batch.agent)?.saturating_add(more) <= QUARANTINED_MAX,
        )
    }

    /// Whether the state must be on disk before the last batches are acked.
    #[must_use]
    pub const fn ack_waits_for_state(&self) -> bool {
        self.state.is_changed()
    }

    /// Lets sessions, alerts and orders follow from entries. On disk after
    /// [`Core::publish`].
    fn follow(&mut self, entries: &[Arc<Entry>]) -> Result<Vec<Arc<Raised>>, CoreError> {
        let mut raised = Vec::new();
        for entry in entries {
            if entry.judged.event.id.source == Source::Collector {
                // Nothing follows from what it says itself, but for rules from what
                // happened to a broker's list.
                if entry.judged.event.action.kind() == Kind::Host {
                    raised.extend(self.follow_alert(entry)?.into_iter().map(Arc::new));
                }
                continue;
            }
            self.follow_session(entry)?;
            self.processes.apply(&entry.judged.event);
            self.uses.apply(&entry.judged, &self.world.grants);
            raised.extend(self.follow_alert(entry)?.into_iter().map(Arc::new));
        }
        if let Some(last) = entries.last() {
            self.followed = last.stored_at;
            self.unnoted += u64::try_from(entries.len()).unwrap_or(u64::MAX);
        }
        Ok(raised)
    }

    /// Notes how far it followed where that is due: with every change, and now
    /// and then without.
    fn note_when_due(&mut self) -> Result<(), CoreError> {
        let changed = self.unnoted > 0 && self.state.is_changed();
        if changed || self.unnoted >= FOLLOWED_EVERY {
            self.note_followed()?;
        }
        Ok(())
    }

    /// Notes how far it followed, and what is known as of there: a start goes
    /// on from both.
    fn note_followed(&mut self) -> Result<(), CoreError> {
        for change in self.processes.take_changes() {
            self.state.put_processes(&change)?;
        }
        for change in self.alerter.take_changes() {
            self.state.put_kept(&change)?;
        }
        for (counted, used) in self.uses.take_changes() {
            self.state.put_use(&counted, used)?;
        }
        for (stream, held) in self.dedupe.take_changes() {
            self.state.put_held(stream, held)?;
        }
        for (tenant, ledger) in &self.ledgers {
            let position = ledger.head().position;
            let reached = self.reached.insert(tenant.clone(), position);
            if reached != Some(position) {
                self.state.put_reached(tenant, position)?;
            }
        }
        self.state.put_uncounted(self.uses.uncounted())?;
        self.state.set_followed(self.followed)?;
        self.unnoted = 0;
        Ok(())
    }

    /// Puts the state on disk, and refreshes the tables.
    ///
    /// # Errors
    /// [`CoreError`]; the core must be opened anew.
    pub fn publish(&mut self) -> Result<(), CoreError> {
        self.note_when_due()?;
        self.state.commit()?;
        self.said.append(&mut self.kept);
        self.refresh();
        Ok(())
    }

    /// Stores one event unless it is known.
    fn append(
        &mut self,
        event: Event,
        event_bytes: Vec<u8>,
    ) -> Result<Option<Arc<Entry>>, CoreError> {
        let stream = Stream::from(&event.id);
        if !self.is_new(&stream, event.id.sequence)? {
            return Ok(None);
        }
        let mut judgement = judge(&self.world, &event);
        if !self.ledgers.contains_key(&judgement.ledger) {
            judgement.ledger = TenantId::provider();
        }
        let stored_at = self.next_stamp();
        let Some(ledger) = self.ledgers.get_mut(&judgement.ledger) else {
            return Ok(None);
        };
        Ok(Some(ledger.append(
            Judged {
                event_bytes,
                event,
                judgement,
            },
            stored_at,
        )?))
    }

    /// Takes a number of a stream, which no ledger held before; false where one did.
    fn is_new(&mut self, stream: &Stream, sequence: u64) -> Result<bool, CoreError> {
        if let Some(is_new) = self.dedupe.insert(stream, sequence) {
            return Ok(is_new);
        }
        self.load(stream)?;
        Ok(self.dedupe.insert(stream, sequence) == Some(true))
    }

    /// Learns from the ledgers which numbers of a stream they hold.
    fn load(&mut self, stream: &Stream) -> Result<(), CoreError> {
        let mut known = Intervals::default();
        for ledger in self.ledgers.values() {
            ledger.sequences(stream, &mut known)?;
        }
        self.dedupe.load(stream.clone(), known);
        Ok(())
    }

    /// The next place among events and alerts: now, but always after the last.
    fn next_stamp(&mut self) -> UnixNs {
        self.stamp = self.clock.now().max(UnixNs(self.stamp.0.saturating_add(1)));
        self.stamp
    }

    fn follow_session(&mut self, entry: &Entry) -> Result<(), CoreError> {
        let event = &entry.judged.event;
        let refused = self.sessions.refused;
        for login in self.sessions.apply(event) {
            self.state.put_session(&login)?;
            self.thaw(login.session.id)?;
            if let Some(ended_at) = login.session.ended_at {
                self.session_gone(login.session.id, ended_at, None)?;
            }
        }
        if self.sessions.refused > refused {
            error!(session = %entry.judged.event.id, max = crate::sessions::LIVE_MAX,
                "Too many live sessions, orders do not reach this one.");
        }
        match &event.action {
            Action::SessionOpened { session } => self.converge(session.id)?,
            Action::Contained { receipt } => self.receipt(&event.id.agent, receipt)?,
            Action::LoginRefused {
                principal, serial, ..
            } => {
                let at = (&event.id.agent, event.at);
                self.refused_login(at, principal.as_ref(), *serial)?;
            }
            Action::AgentStarted { .. } => {
                if let Some(host) = Host::of(event) {
                    self.state.put_host(&host)?;
                }
            }
            Action::SessionEnded { .. }
            | Action::Contradiction { .. }
            | Action::Survivors { .. }
            | Action::JobStarted { .. }
            | Action::JobEnded { .. }
            | Action::Exec { .. }
            | Action::Fork { .. }
            | Action::Exit { .. }
            | Action::Connect { .. }
            | Action::Credential { .. }
            | Action::LocalConnect { .. }
            | Action::Socket { .. }
            | Action::Memory { .. }
            | Action::Identity { .. }
            | Action::Signal { .. }
            | Action::Host { .. }
            | Action::Gap { .. }
            | Action::Impaired { .. }
            | Action::Read { .. }
            | Action::Removed { .. }
            | Action::Order { .. } => {}
        }
        Ok(())
    }

    /// Makes the tables say what the core knows.
    fn refresh(&mut self) {
        let grants_moved = self.tables.grants_version != self.tables.grants_shown;
        if grants_moved {
            self.tables.grants = Arc::new(self.world.grants.clone());
            self.tables.grants_shown = self.tables.grants_version;
        }
        if self.tables.denied.as_ref() != &self.denied {
            self.tables.denied = Arc::new(self.denied.clone());
            self.tables.denied_version += 1;
        }
        self.refresh_orders();
        self.tables.lists = self.lists.clone();
        let heads: HashMap<_, _> = self
            .ledgers
            .iter()
            .map(|(tenant, ledger)| (tenant.clone(), ledger.head().clone()))
            .collect();
        self.tables.heads = Arc::new(heads);
        self.tables.watermark = self.stamp;
    }
}

#[cfg(test)]
mod tests;
