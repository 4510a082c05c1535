//! What becomes of sessions while events cannot be stored: the disk of the spool
//! fails, or the spool is full.
//!
//! In: whether the pipeline stores ([`Storing`]), and the policy of each tenant.
//! Out: sessions that stand still, by the way of orders, or that run a tenth of
//! the time; all go on when events have been stored for as long again. Nobody
//! else is touched: the host's own services, and sessions of other tenants.
//! Bound: the table of sessions. Loss: none here; what the kernel's rings cannot
//! hold meanwhile is counted by it and named as a gap.
//!
//! A session that an order or a person froze stays frozen. One that a person
//! released goes on, until events cannot be stored the next time.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use monitor_model::{
    clock::UnixNs,
    contain::ContainMode,
    id::{GrantId, OrderId, SessionId, TenantId},
    session::SessionState as Standing,
};
use monitor_transport::blocking::in_place;
use serde::Deserialize;
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior},
};
use tracing::{info, warn};

use super::{Command, Containment, Origin, order_named};
use crate::{kernel::SessionState, marks::Marks};

/// How often it is looked; also the beat of sessions that are slowed.
const BEAT: Duration = Duration::from_secs(1);
/// Of a beat, how long sessions that are slowed stand still.
const STANDS: Duration = Duration::from_millis(900);

/// What becomes of a session while events cannot be stored; of several that fit
/// the strongest, which is the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnUnstored {
    /// It goes on; what is lost of it is a named gap.
    #[default]
    Keep,
    /// It runs a tenth of the time.
    Throttle,
    /// It stands still.
    FailClosed,
}

/// What becomes of whose sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Of sessions of no tenant below, and of those whose grants nobody knows.
    pub rest: OnUnstored,
    /// Of sessions under a grant of the tenant.
    pub tenants: BTreeMap<TenantId, OnUnstored>,
    /// How long events cannot be stored before anything happens, and how long
    /// they are stored again before it is undone.
    pub after: Duration,
}

impl Policy {
    /// Whether sessions go on whatever happens.
    fn is_idle(&self) -> bool {
        let mut all = self.tenants.values().chain([&self.rest]);
        all.all(|one| *one == OnUnstored::Keep)
    }

    fn of(&self, tenants: &BTreeSet<Option<TenantId>>) -> OnUnstored {
        let of = |tenant: &Option<TenantId>| {
            let own = tenant.as_ref().and_then(|tenant| self.tenants.get(tenant));
            own.copied().unwrap_or(self.rest)
        };
        tenants.iter().map(of).max().unwrap_or(self.rest)
    }
}

/// Whether events are stored, and since when it is so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Storing {
    /// Whether they are.
    pub works: bool,
    /// Since when.
    pub since: Instant,
}

impl Storing {
    /// The pipeline's end, and everybody else's. It works until it is told not to.
    #[must_use]
    pub fn channel() -> (watch::Sender<Self>, watch::Receiver<Self>) {
        watch::channel(Self {
            works: true,
            since: Instant::now(),
        })
    }

    /// Tells what is so from now on, where it was not.
    pub fn tell(sender: &watch::Sender<Self>, works: bool) {
        sender.send_if_modified(|now| {
            let is_other = now.works != works;
            if is_other {
                *now = Self {
                    works,
                    since: Instant::now(),
                };
            }
            is_other
        });
    }
}

/// Holds sessions back while events cannot be stored.
#[derive(Debug)]
pub struct Unstored {
    policy: Policy,
    storing: watch::Receiver<Storing>,
    containment: Arc<Containment>,
    /// Since when events cannot be stored, as an order's name tells it.
    outage: Option<UnixNs>,
}

impl Unstored {
    /// None where sessions go on whatever happens: then nobody is asked to.
    #[must_use]
    pub fn new(
        policy: Policy,
        storing: watch::Receiver<Storing>,
        containment: Arc<Containment>,
    ) -> Option<Self> {
        let is_idle = policy.is_idle();
        (!is_idle).then_some(Self {
            policy,
            storing,
            containment,
            outage: None,
        })
    }

    /// Goes on until the task is ended.
    pub async fn run(mut self) {
        // Of an agent that was killed while they stood still.
        drop(Slowed::of(&self.containment, self.living_open()));
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beat.tick().await;
            let storing = *self.storing.borrow_and_update();
            if storing.since.elapsed() < self.policy.after {
                continue;
            }
            if storing.works {
                self.let_go().await;
            } else {
                let slowed = self.hold_back().await;
                if !slowed.is_empty() {
                    let standing = Slowed::stop(&self.containment, slowed);
                    tokio::time::sleep(STANDS).await;
                    drop(standing);
                }
            }
        }
    }

    /// Freezes whom the policy freezes; whom it slows.
    pub(super) async fn hold_back(&mut self) -> Vec<SessionId> {
        if self.outage.is_none() {
            warn!("Events cannot be stored: sessions are held back as [spool] on_failure says.");
        }
        let clock = &self.containment.clock;
        let began = *self.outage.get_or_insert_with(|| clock.now());
        let mut commands = Vec::new();
        let mut slowed = Vec::new();
        for (session, grants) in self.free() {
            match self.policy.of(&self.tenants(&grants)) {
                OnUnstored::Keep => {}
                OnUnstored::Throttle => slowed.push(session),
                OnUnstored::FailClosed => commands.push(Command {
                    order: order_of(session, began),
                    session,
                    mode: ContainMode::Freeze,
                    reason: "what is done on this host cannot be recorded at the moment".to_owned(),
                    origin: Origin::Unstored,
                }),
            }
        }
        self.containment.carry_out_all(commands).await;
        slowed
    }

    /// Releases what was frozen here, and is not held by anything newer.
    pub(super) async fn let_go(&mut self) {
        if self.outage.take().is_some() {
            info!("Events are stored again: sessions that were held back go on.");
        }
        let newest = self.containment.receipts.newest().into_iter();
        let held = newest.filter(|receipt| receipt.unstored && receipt.frozen().is_some());
        let commands = held.map(|receipt| Command {
            order: receipt.order,
            session: receipt.session,
            mode: ContainMode::Release,
            reason: "what is done on this host can be recorded again".to_owned(),
            origin: Origin::Unstored,
        });
        let commands = commands.collect();
        self.containment.carry_out_all(commands).await;
    }

    /// Sessions that nothing holds, and their grants.
    fn free(&self) -> Vec<(SessionId, Vec<GrantId>)> {
        let sessions = self.containment.sessions.lock();
        let living = sessions.living().into_iter();
        let rows = living.filter_map(|id| sessions.get(id));
        let free = rows.filter(|row| row.state == Standing::Live && row.frozen.is_none());
        free.map(|row| (row.id, row.grants.clone())).collect()
    }

    fn living_open(&self) -> Vec<SessionId> {
        self.free()
            .into_iter()
            .map(|(session, _)| session)
            .collect()
    }

    /// The tenants of grants; none of one that this agent does not know.
    fn tenants(&self, grants: &[GrantId]) -> BTreeSet<Option<TenantId>> {
        let tables = self.containment.standing.lock();
        let tenant = |id: &GrantId| tables.grants.get(id).map(|grant| grant.tenant.clone());
        grants.iter().map(tenant).collect()
    }
}

/// The name of what holds a session back: one for each time that events cannot
/// be stored, so that who was released meanwhile stays so.
fn order_of(session: SessionId, began: UnixNs) -> OrderId {
    order_named(
        began,
        &format!("monitor.v1 unstored\0{session}\0{}", began.0),
    )
}

/// Sessions that stand still for a moment, and go on when this is dropped.
struct Slowed<'a> {
    containment: &'a Arc<Containment>,
    sessions: Vec<SessionId>,
}

impl<'a> Slowed<'a> {
    const fn of(containment: &'a Arc<Containment>, sessions: Vec<SessionId>) -> Self {
        Self {
            containment,
            sessions,
        }
    }

    fn stop(containment: &'a Arc<Containment>, sessions: Vec<SessionId>) -> Self {
        let slowed = Self::of(containment, sessions);
        slowed.each(|marks, one| marks.pause(one).map(drop));
        slowed
    }

    /// Of each session that no order holds, and of what it left to others.
    fn each(&self, act: impl Fn(&dyn Marks, SessionId) -> Result<(), crate::kernel::KernelError>) {
        for session in &self.sessions {
            // While an order is carried out the session is that order's.
            let Some(_turn) = self.containment.turns.alone(*session) else {
                continue;
            };
            let marks = &*self.containment.marks;
            if !matches!(marks.state(*session), Ok(Some(SessionState::Open))) {
                continue;
            }
            for one in self.containment.with_jobs(*session) {
                if let Err(error) = in_place(|| act(marks, one)) {
                    warn!(%error, session = %one, "A session that is to be slowed could not be stopped or let go on.");
                }
            }
        }
    }
}

impl Drop for Slowed<'_> {
    fn drop(&mut self) {
        self.each(|marks, one| marks.resume(one).map(drop));
    }
}

#[cfg(test)]
mod tests;
