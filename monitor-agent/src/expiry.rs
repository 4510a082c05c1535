//! Ends sessions on time: when the last grant that one stands on is over.
//!
//! On this host alone: the grants that the collector sent last are on disk, and
//! nobody is asked. A grant that is ended before its time is the collector's to
//! act on; one that the collector no longer tells of is over when it would have
//! been. In: sessions and grants. Out: ended sessions with receipts, as for an
//! order. Bound: the table of sessions. Loss: none; a session whose processes
//! would not die is tried again every [`RETRY`].

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use monitor_model::{
    clock::{Clock, UnixNs},
    contain::ContainMode,
    id::{GrantId, OrderId, SessionId},
};
use tokio::time::{Instant, MissedTickBehavior};

use crate::{
    attribute::SharedSessions,
    contain::{Command, Containment, Origin, order_named},
    standing::Standing,
};

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(1);
/// How long what would not die is left alone.
const RETRY: Duration = Duration::from_secs(30);

/// What happens to a session when its last grant is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AtExpiry {
    /// It is ended, with all that it left to others.
    #[default]
    End,
    /// It goes on; what it does is out of scope.
    Keep,
}

/// A session whose last grant is over.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Due {
    session: SessionId,
    grant: GrantId,
    since: UnixNs,
}

/// Looks who is due.
#[derive(Debug)]
pub struct Expiry {
    standing: Standing,
    sessions: SharedSessions,
    containment: Arc<Containment>,
    clock: Arc<dyn Clock>,
    /// When grants of living sessions are over, as far as they were ever told.
    ends: HashMap<GrantId, UnixNs>,
    tried: HashMap<SessionId, Instant>,
}

impl Expiry {
    /// Ends sessions by the way of orders.
    #[must_use]
    pub fn new(
        (standing, sessions): (Standing, SharedSessions),
        containment: Arc<Containment>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            standing,
            sessions,
            containment,
            clock,
            ends: HashMap::new(),
            tried: HashMap::new(),
        }
    }

    /// Goes on until the task is ended.
    pub async fn run(mut self) {
        let mut every = tokio::time::interval(EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            self.look().await;
        }
    }

    async fn look(&mut self) {
        let now = self.clock.now();
        let mut commands = Vec::new();
        for due in self.due(now) {
            let tried = self.tried.get(&due.session);
            if tried.is_some_and(|at| at.elapsed() < RETRY) {
                continue;
            }
            self.tried.insert(due.session, Instant::now());
            commands.push(Command {
                order: order_of(&due),
                session: due.session,
                mode: ContainMode::Kill,
                reason: format!("grant {} is over", due.grant),
                origin: Origin::Expiry(due.grant),
            });
        }
        self.containment.carry_out_all(commands).await;
    }

    /// Living sessions none of whose grants holds any more.
    fn due(&mut self, now: UnixNs) -> Vec<Due> {
        let sessions = self.sessions.lock();
        let living: Vec<_> = sessions
            .living()
            .into_iter()
            .filter_map(|id| sessions.get(id))
            .map(|session| (session.id, session.grants.clone()))
            .collect();
        drop(sessions);
        let needed: HashSet<&GrantId> = living.iter().flat_map(|(_, grants)| grants).collect();
        self.ends.retain(|id, _| needed.contains(id));
        let tables = self.standing.lock();
        for id in needed {
            if let Some(grant) = tables.grants.get(id) {
                self.ends.insert(id.clone(), grant.expires);
            }
        }
        drop(tables);
        self.tried
            .retain(|id, _| living.iter().any(|(living, _)| living == id));
        let last = |(session, grants): (SessionId, Vec<GrantId>)| {
            // One that nobody told of may hold for ever.
            let ends: Option<Vec<_>> = grants
                .into_iter()
                .map(|id| self.ends.get(&id).map(|end| (*end, id)))
                .collect();
            let (since, grant) = ends?.into_iter().max()?;
            (since <= now).then_some(Due {
                session,
                grant,
                since,
            })
        };
        living.into_iter().filter_map(last).collect()
    }
}

/// The name of what ends a session: the same however often it is tried.
fn order_of(due: &Due) -> OrderId {
    order_named(
        due.since,
        &format!("monitor.v1 expiry\0{}\0{}", due.session, due.grant),
    )
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use monitor_model::event::Action;
    use monitor_proto::v1;

    use super::*;
    use crate::{
        attribute::sessions::tests::session, contain::tests::bench_at, standing::tests::grant,
    };

    /// A clock that a test sets.
    #[derive(Debug, Default)]
    struct Hand(AtomicU64);

    impl Clock for Hand {
        fn now(&self) -> UnixNs {
            UnixNs(self.0.load(Ordering::Relaxed))
        }
    }

    fn give(standing: &Standing, grants: &[(&str, u64)]) {
        let grants = grants.iter().map(|(id, seconds)| {
            let mut grant = grant(id);
            grant.expires = UnixNs::from_seconds(*seconds);
            v1::Grant::from(&grant)
        });
        let grants = grants.collect();
        standing.replace_grants(v1::GrantTable { grants }).unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_session_ends_when_its_last_grant_is_over_and_not_before() {
        let clock = Arc::new(Hand::default());
        let mut bench = bench_at(clock.clone());
        let (marks, sessions) = (bench.marks.clone(), bench.containment.sessions.clone());
        let standing = bench.containment.standing.clone();
        let stands_on = |number, grants: &[&str]| {
            let mut session = session(number);
            session.grants = grants.iter().map(|id| id.parse().unwrap()).collect();
            marks
                .marked
                .lock()
                .unwrap()
                .insert(session.id, vec![4_000_001]);
            sessions.lock().put(session.clone()).unwrap();
            session.id
        };
        let one = stands_on(1, &["G1"]);
        let both = stands_on(2, &["G1", "G2"]);
        for other in [stands_on(3, &[]), stands_on(4, &["G1", "UNKNOWN"])] {
            assert!(other != one && other != both);
        }
        give(&standing, &[("G1", 2_000), ("G2", 3_000)]);
        let containment = Arc::new(bench.containment);
        let parts = (standing.clone(), sessions.clone());
        let mut expiry = Expiry::new(parts, containment, clock.clone());
        let mut at = async |seconds: u64| {
            clock
                .0
                .store(UnixNs::from_seconds(seconds).0, Ordering::Relaxed);
            expiry.look().await;
            marks.take_asked()
        };
        assert!(at(1_999).await.is_empty());
        let ended = |id| vec![format!("contain {id}"), format!("kill {id}")];
        assert_eq!(at(2_000).await, ended(one));
        let told = bench.notes.try_recv().unwrap();
        let Action::Contained { receipt } = told.action else {
            panic!("{told:?}")
        };
        assert_eq!(receipt.expired, Some("G1".parse().unwrap()));
        assert!(at(2_001).await.is_empty(), "once");
        // The collector tells of it no more: it is over all the same.
        give(&standing, &[]);
        assert!(at(2_999).await.is_empty());
        assert_eq!(at(3_000).await, ended(both));
        assert!(at(9_000).await.is_empty());
    }
}
