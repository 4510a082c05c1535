//! Whose turn it is: one line a session, first come first served, and sessions
//! side by side.
//!
//! In: who wants to do something to a session, in the order of asking. Out: a
//! turn. Bound: [`LINE_MAX`] in one line, [`LINES_MAX`] lines, and
//! [`SIDE_BY_SIDE_MAX`] turns at a time. Loss: who finds a line full is told so;
//! orders are repeated until their receipt came.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use monitor_common::mark::SESSIONS_MAX;
use monitor_model::id::SessionId;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};

/// Most that wait for one session.
pub const LINE_MAX: usize = 16;
/// Most sessions for which somebody waits.
pub const LINES_MAX: usize = SESSIONS_MAX;
/// Most sessions to which something is done at a time: more would only take
/// processors from each other.
pub const SIDE_BY_SIDE_MAX: usize = 16;

/// A line that takes nobody more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineFull {
    /// Too many want to do something to this session.
    #[error("{LINE_MAX} orders wait for this session already, which is the most")]
    Session,
    /// Too many sessions are waited for.
    #[error("orders wait for {LINES_MAX} sessions already, which is the most")]
    Sessions,
}

/// The lines of all sessions.
#[derive(Debug)]
pub struct Turns {
    lines: Mutex<HashMap<SessionId, Line>>,
    side_by_side: Semaphore,
}

#[derive(Debug, Default)]
struct Line {
    next: u64,
    waiting: VecDeque<u64>,
    moved: Arc<Notify>,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            lines: Mutex::default(),
            side_by_side: Semaphore::new(SIDE_BY_SIDE_MAX),
        }
    }
}

impl Turns {
    /// A place at the end of a session's line.
    ///
    /// # Errors
    /// [`LineFull`]; nothing is kept then.
    pub fn line_up(self: &Arc<Self>, session: SessionId) -> Result<Ticket, LineFull> {
        let mut lines = self.lock();
        if lines.len() >= LINES_MAX && !lines.contains_key(&session) {
            return Err(LineFull::Sessions);
        }
        let line = lines.entry(session).or_default();
        if line.waiting.len() >= LINE_MAX {
            return Err(LineFull::Session);
        }
        let number = line.next;
        line.next = line.next.wrapping_add(1);
        line.waiting.push_back(number);
        Ok(Ticket {
            session,
            number,
            moved: Arc::clone(&line.moved),
            turns: Arc::clone(self),
        })
    }

    /// A place in the line of a session for which nobody waits; none where
    /// somebody does.
    pub fn alone(self: &Arc<Self>, session: SessionId) -> Option<Ticket> {
        let ticket = self.line_up(session).ok()?;
        ticket.is_first().then_some(ticket)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in a line; given back when it is dropped, wherever in the line it is.
pub struct Ticket {
    session: SessionId,
    number: u64,
    moved: Arc<Notify>,
    turns: Arc<Turns>,
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Ticket");
        shown.field("session", &self.session);
        shown.field("number", &self.number).finish_non_exhaustive()
    }
}

impl Ticket {
    /// The session of the line.
    #[must_use]
    pub const fn session(&self) -> SessionId {
        self.session
    }

    /// Waits until it is first and not too many are at work; it is its turn
    /// until both this and the ticket are dropped.
    pub async fn turn(&self) -> Turn<'_> {
        loop {
            let mut moved = std::pin::pin!(self.moved.notified());
            // Told from here on, so that no move between look and wait is missed.
            moved.as_mut().enable();
            if self.is_first() {
                break;
            }
            moved.await;
        }
        // It is never closed.
        Turn(self.turns.side_by_side.acquire().await.ok())
    }

    fn is_first(&self) -> bool {
        let lines = self.turns.lock();
        let line = lines.get(&self.session);
        line.is_some_and(|line| line.waiting.front() == Some(&self.number))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut lines = self.turns.lock();
        if let Some(line) = lines.get_mut(&self.session) {
            line.waiting.retain(|number| *number != self.number);
            if line.waiting.is_empty() {
                lines.remove(&self.session);
            }
        }
        drop(lines);
        self.moved.notify_waiters();
    }
}

/// One's turn.
#[derive(Debug)]
pub struct Turn<'a>(#[expect(dead_code, reason = "held, not read")] Option<SemaphorePermit<'a>>);

#[cfg(test)]
mod tests {
    use std::{future::Future as _, task::Poll};

    use super::*;
    use crate::attribute::sessions::tests::session;

    /// Whether it is this one's turn now.
    async fn has_come(ticket: &Ticket) -> bool {
        let mut turn = std::pin::pin!(ticket.turn());
        std::future::poll_fn(|context| {
            let come = matches!(turn.as_mut().poll(context), Poll::Ready(_));
            Poll::Ready(come)
        })
        .await
    }

    #[tokio::test]
    async fn turns_come_in_the_order_of_asking_and_other_sessions_do_not_wait() {
        let turns = Arc::new(Turns::default());
        let (one, two) = (session(1).id, session(2).id);
        let first = turns.line_up(one).unwrap();
        let second = turns.line_up(one).unwrap();
        let third = turns.line_up(one).unwrap();
        let other = turns.line_up(two).unwrap();
        assert!(has_come(&first).await && has_come(&other).await);
        assert!(!has_come(&second).await && turns.alone(one).is_none());
        // Who goes away in the middle lets nobody pass.
        drop(second);
        assert!(!has_come(&third).await);
        drop(first);
        assert!(has_come(&third).await);
        drop(third);
        assert_eq!(turns.alone(one).unwrap().session(), one);
        drop(other);
        assert!(turns.lock().is_empty());
    }

    #[tokio::test]
    async fn who_waits_is_woken_when_the_one_before_is_done() {
        let turns = Arc::new(Turns::default());
        let first = turns.line_up(session(1).id).unwrap();
        let second = turns.line_up(session(1).id).unwrap();
        let waits = tokio::spawn(async move {
            let _turn = second.turn().await;
        });
        let turn = first.turn().await;
        drop(turn);
        drop(first);
        waits.await.unwrap();
    }

    #[test]
    fn a_full_line_takes_nobody_more_and_says_so() {
        let turns = Arc::new(Turns::default());
        let line: Vec<_> = (0..LINE_MAX)
            .map(|_| turns.line_up(session(1).id).unwrap())
            .collect();
        assert_eq!(turns.line_up(session(1).id).unwrap_err(), LineFull::Session);
        drop(line);
        assert!(turns.line_up(session(1).id).is_ok());
        let all = (0..LINES_MAX).map(|number| {
            let number = u128::try_from(number).unwrap();
            let id = SessionId::from_parts(monitor_model::clock::UnixNs(1), number);
            turns.line_up(id).unwrap()
        });
        let all: Vec<_> = all.collect();
        let number = u128::try_from(LINES_MAX).unwrap();
        let one_more = SessionId::from_parts(monitor_model::clock::UnixNs(1), number);
        assert_eq!(turns.line_up(one_more).unwrap_err(), LineFull::Sessions);
        drop(all);
    }
}
