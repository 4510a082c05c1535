//! What a broker that dials in is told of orders: those in force, with the
//! place at which each changed last. Pure.
//!
//! In: every order as it is kept. Out: what changed since a place, by level:
//! who was away is told of each order once, as it stands. Bound: as orders are;
//! of orders that are over the last [`OVER_MAX`] are known, and who comes from
//! before is told everything.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use monitor_model::{
    clock::UnixNs,
    id::{GrantId, OrderId},
    revocation::{Mode, Order, Target},
};

use crate::revoke::named::Named;

/// Most orders that are known to be over.
pub const OVER_MAX: usize = 10_000;
/// Length of a place in bytes.
const PLACE_BYTES: usize = 16;

/// A place among the changes of one life of the collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which life.
    pub life: u64,
    /// How many changes.
    pub position: u64,
}

impl Place {
    /// As cursors have it.
    #[must_use]
    pub fn to_bytes(self) -> Vec<u8> {
        [self.life.to_be_bytes(), self.position.to_be_bytes()].concat()
    }

    /// From a cursor; none when it is none.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; PLACE_BYTES] = bytes.try_into().ok()?;
        let both = u128::from_be_bytes(bytes);
        Some(Self {
            life: u64::try_from(both >> 64).ok()?,
            position: u64::try_from(both & u128::from(u64::MAX)).ok()?,
        })
    }
}

/// An order as the broker is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Its name.
    pub id: OrderId,
    /// When it came into force.
    pub issued_at: UnixNs,
    /// What is to be revoked.
    pub target: Target,
    /// Certificates known to be in use by the target.
    pub serials: Vec<u64>,
    /// Grants known to be in use by the target.
    pub grants: Vec<GrantId>,
    /// Why, in words.
    pub reason: String,
    /// Whether the broker has answered.
    pub is_answered: bool,
    /// How often it was tried; no change that is told.
    pub attempts: u32,
}

impl Shown {
    fn of(order: &Order) -> Self {
        let Named { serials, grants } = Named::of(order);
        Self {
            id: order.id,
            issued_at: order.times.ordered.unwrap_or_default(),
            target: order.target.clone(),
            serials: serials.into_iter().collect(),
            grants: grants.into_iter().collect(),
            reason: order.cause.text.clone(),
            is_answered: order.is_answered(),
            attempts: order.attempts,
        }
    }

    fn says_as(&self, other: &Self) -> bool {
        let attempts = self.attempts;
        *self
            == Self {
                attempts,
                ..other.clone()
            }
    }
}

/// An order, and where it changed last.
#[derive(Clone, Debug)]
pub struct Noted {
    /// Where.
    pub position: u64,
    /// The order.
    pub order: Arc<Shown>,
}

/// The orders in force that are for the broker.
#[derive(Clone, Debug)]
pub struct Book {
    at: Place,
    orders: BTreeMap<OrderId, Noted>,
    /// What was in force before, the earliest first.
    over: VecDeque<(u64, OrderId)>,
    /// Before this place it is not known what is over.
    whole_from: u64,
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The order is in force, as it stands.
    InForce(Arc<Shown>),
    /// It is no longer.
    Over(OrderId),
}

impl Book {
    /// Nothing is in force yet. No two lives have the same number.
    #[must_use]
    pub const fn new(life: u64) -> Self {
        Self {
            at: Place { life, position: 0 },
            orders: BTreeMap::new(),
            over: VecDeque::new(),
            whole_from: 0,
        }
    }

    /// The newest place.
    #[must_use]
    pub const fn at(&self) -> Place {
        self.at
    }

    /// Every order in force.
    pub fn orders(&self) -> impl Iterator<Item = &Arc<Shown>> {
        self.orders.values().map(|noted| &noted.order)
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, id: OrderId) -> Option<&Arc<Shown>> {
        self.orders.get(&id).map(|noted| &noted.order)
    }

    /// Takes an order as it stands now.
    pub fn note(&mut self, order: &Order) {
        if order.mode != Mode::Kill {
            return;
        }
        if !order.is_in_force() {
            if self.orders.remove(&order.id).is_some() {
                self.at.position += 1;
                self.over.push_back((self.at.position, order.id));
                if self.over.len() > OVER_MAX
                    && let Some((position, _)) = self.over.pop_front()
                {
                    self.whole_from = position;
                }
            }
            return;
        }
        let shown = Shown::of(order);
        let known = self.orders.get(&order.id);
        let same = known.filter(|known| known.order.says_as(&shown));
        let position = if let Some(known) = same {
            known.position
        } else {
            self.at.position += 1;
            self.at.position
        };
        let order = Arc::new(shown);
        self.orders.insert(order.id, Noted { position, order });
    }

    /// What changed since a place, in the order of the places; none where that
    /// is not known, so that everything must be told.
    #[must_use]
    pub fn since(&self, from: Place) -> Option<Vec<(u64, Change)>> {
        let known = self.whole_from..=self.at.position;
        if from.life != self.at.life || !known.contains(&from.position) {
            return None;
        }
        let in_force = self.orders.values().map(|noted| {
            let change = Change::InForce(Arc::clone(&noted.order));
            (noted.position, change)
        });
        let over = self.over.iter().map(|(at, id)| (*at, Change::Over(*id)));
        let mut changes: Vec<_> = in_force
            .chain(over)
            .filter(|(position, _)| *position > from.position)
            .collect();
        changes.sort_by_key(|(position, _)| *position);
        Some(changes)
    }
}

#[cfg(test)]
mod tests {
    use monitor_model::{
        id::SessionId,
        revocation::{
            Affected, Cause,
            life::{OrderStep, Standing},
        },
    };

    use super::*;

    fn order(n: u128) -> Order {
        let id = OrderId::from_parts(UnixNs(1_000_000_000), n);
        let cause = Cause {
            text: "test".into(),
            alert: None,
            event: None,
            initiator: "eve".into(),
        };
        let mut order = Order::new(id, Target::Serial(7), cause);
        order.times.ordered = Some(UnixNs(3));
        order
    }

    fn over(order: &Order) -> Order {
        let mut order = order.clone();
        order.steps.push(OrderStep {
            to: Standing::Lifted,
            by: "soc/eve".into(),
            note: String::new(),
            at: UnixNs(9),
        });
        order
    }

    fn told(book: &Book, position: u64) -> Vec<OrderId> {
        let from = Place { life: 1, position };
        let changes = book.since(from).unwrap().into_iter();
        let id = |(_, change)| match change {
            Change::InForce(shown) => shown.id,
            Change::Over(id) => id,
        };
        changes.map(id).collect()
    }

    #[test]
    fn what_the_broker_need_not_know_is_no_change() {
        let mut book = Book::new(1);
        let mut one = order(1);
        book.note(&one);
        let at = book.at();
        one.attempts = 3;
        let host = "jump-1".parse().unwrap();
        let mut affected = Affected::new(SessionId::from_parts(UnixNs(1), 1), host);
        affected.killed = 2;
        one.sessions.push(affected.clone());
        book.note(&one);
        assert_eq!(book.at(), at);
        assert_eq!(book.get(one.id).unwrap().attempts, 3);
        let first = one.sessions.first_mut().unwrap();
        first.serial = Some(9);
        book.note(&one);
        assert_eq!(book.at().position, at.position + 1);
        one.times.broker_answered = Some(UnixNs(5));
        book.note(&one);
        assert!(book.get(one.id).unwrap().is_answered);
        assert_eq!(book.at().position, at.position + 2);
    }

    #[test]
    fn each_order_is_told_once_as_it_stands() {
        let mut book = Book::new(1);
        let (one, two) = (order(1), order(2));
        book.note(&one);
        book.note(&two);
        book.note(&over(&one));
        assert_eq!(told(&book, 0), [two.id, one.id]);
        assert_eq!(told(&book, 2), [one.id]);
        assert!(told(&book, 3).is_empty());
        let frozen = Order {
            mode: Mode::Freeze,
            ..order(3)
        };
        book.note(&frozen);
        book.note(&over(&frozen));
        assert_eq!(book.at().position, 3);
    }

    #[test]
    fn from_before_what_is_known_and_from_another_life_everything_is_told() {
        let mut book = Book::new(1);
        for n in 0..=u128::try_from(OVER_MAX).unwrap() {
            let one = order(n);
            book.note(&one);
            book.note(&over(&one));
        }
        assert!(
            book.since(Place {
                life: 1,
                position: 1
            })
            .is_none()
        );
        assert_eq!(told(&book, 2).len(), OVER_MAX);
        let end = book.at();
        assert_eq!(book.since(end), Some(Vec::new()));
        let ahead = Place {
            position: end.position + 1,
            ..end
        };
        assert!(book.since(ahead).is_none());
        assert!(book.since(Place { life: 2, ..end }).is_none());
    }

    #[test]
    fn places_survive_their_bytes() {
        let place = Place {
            life: u64::MAX - 1,
            position: 7,
        };
        assert_eq!(Place::from_bytes(&place.to_bytes()), Some(place));
        assert_eq!(Place::from_bytes(&[0; 15]), None);
        assert_eq!(Place::from_bytes(&[]), None);
    }
}
