//! When an order that is not answered is told again. Pure: time and chance come in.

use std::{collections::HashMap, time::Duration};

use monitor_model::id::OrderId;
use tokio::time::Instant;

use crate::{
    core::book::{Book, Shown},
    revoke::{CALL_TIMEOUT, pauses::Pauses},
};

/// What an order waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// The answer to what was told.
    Answer,
    /// The pause after an attempt that brought none.
    Pause,
}

#[derive(Debug)]
struct Told {
    /// How many attempts had been noted when it was told.
    attempts: u32,
    wait: Wait,
    until: Instant,
    pauses: Pauses,
}

/// What is due for an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// No answer came in time: that is to be noted.
    Late(OrderId),
    /// It is told again.
    Again(OrderId),
}

/// The orders of one stream that are not answered.
#[derive(Debug)]
pub(super) struct Pace {
    retry: (Duration, Duration),
    told: HashMap<OrderId, Told>,
}

impl Pace {
    /// Nothing was told yet; pauses from the first to the second.
    pub(super) fn new(retry: (Duration, Duration)) -> Self {
        Self {
            retry,
            told: HashMap::new(),
        }
    }

    /// An order goes out now.
    pub(super) fn told(&mut self, order: &Shown, now: Instant) {
        if order.is_answered {
            self.told.remove(&order.id);
            return;
        }
        let (least, most) = self.retry;
        let told = self.told.entry(order.id).or_insert_with(|| Told {
            attempts: order.attempts,
            wait: Wait::Answer,
            until: now,
            pauses: Pauses::new(least, most),
        });
        told.attempts = order.attempts;
        told.wait = Wait::Answer;
        told.until = now + CALL_TIMEOUT;
    }

    /// How orders stand now: an attempt that was noted begins a pause.
    pub(super) fn see(&mut self, book: &Book, now: Instant, chance: u8) {
        self.told.retain(|id, told| {
            let Some(order) = book.get(*id).filter(|order| !order.is_answered) else {
                return false;
            };
            if told.wait == Wait::Answer && order.attempts > told.attempts {
                told.wait = Wait::Pause;
                told.until = now + told.pauses.usual(chance);
            }
            true
        });
    }

    /// What is due, the orders that were never told among it.
    pub(super) fn due(&mut self, book: &Book, now: Instant, chance: u8) -> Vec<Due> {
        let mut due = Vec::new();
        for order in book.orders().filter(|order| !order.is_answered) {
            match self.told.get_mut(&order.id) {
                None => due.push(Due::Again(order.id)),
                Some(told) if told.until > now => {}
                Some(told) => match told.wait {
                    Wait::Pause => due.push(Due::Again(order.id)),
                    Wait::Answer => {
                        // Where that cannot be noted, it is tried again later.
                        told.until = now + told.pauses.usual(chance);
                        due.push(Due::Late(order.id));
                    }
                },
            }
        }
        due
    }

    /// When something is due next.
    pub(super) fn next(&self) -> Option<Instant> {
        self.told.values().map(|told| told.until).min()
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.told.len()
    }
}

#[cfg(test)]
mod tests {
    use monitor_model::{
        clock::UnixNs,
        revocation::{Cause, Order, Target},
    };

    use super::*;

    const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(200));

    fn order() -> Order {
        let id = OrderId::from_parts(UnixNs(1_000_000_000), 1);
        let cause = Cause {
            text: "test".into(),
            alert: None,
            event: None,
            initiator: "eve".into(),
        };
        Order::new(id, Target::Serial(7), cause)
    }

    fn book(order: &Order) -> Book {
        let mut book = Book::new(1);
        book.note(order);
        book
    }

    #[test]
    fn what_is_not_answered_is_noted_as_late_and_told_again_after_a_pause() {
        let (mut pace, now) = (Pace::new(RETRY), Instant::now());
        let mut order = order();
        let first = book(&order);
        assert_eq!(pace.due(&first, now, 255), [Due::Again(order.id)]);
        pace.told(first.get(order.id).unwrap(), now);
        assert!(pace.due(&first, now, 255).is_empty());
        let late = now + CALL_TIMEOUT;
        assert_eq!(pace.next(), Some(late));
        assert_eq!(pace.due(&first, late, 255), [Due::Late(order.id)]);
        order.attempts = 1;
        let second = book(&order);
        pace.see(&second, late, 255);
        let again = pace.next().unwrap();
        assert!(again > late && again <= late + RETRY.1);
        assert_eq!(pace.due(&second, again, 255), [Due::Again(order.id)]);
    }

    #[test]
    fn a_failure_that_the_broker_tells_is_waited_out_and_an_answer_ends_it() {
        let (mut pace, now) = (Pace::new(RETRY), Instant::now());
        let mut order = order();
        pace.told(book(&order).get(order.id).unwrap(), now);
        order.attempts = 1;
        let failed = book(&order);
        pace.see(&failed, now, 255);
        assert!(pace.due(&failed, now, 255).is_empty());
        assert_eq!(pace.next(), Some(now + RETRY.0));
        pace.told(failed.get(order.id).unwrap(), now + RETRY.0);
        order.times.broker_answered = Some(UnixNs(5));
        let answered = book(&order);
        pace.see(&answered, now, 255);
        assert_eq!((pace.len(), pace.next()), (0, None));
        assert!(pace.due(&answered, now + CALL_TIMEOUT, 255).is_empty());
    }
}
