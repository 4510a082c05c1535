//! Logins that are over: the first process of a session, which is sshd's, has
//! ended. What of the session lives on is told once what hangs up had time to.
//!
//! Bound: [`WAITING_MAX`]; when full, the one that waits longest is looked at
//! early.

use std::{collections::VecDeque, time::Duration};

use monitor_common::mark::SESSIONS_MAX;
use monitor_model::{clock::UnixNs, id::SessionId};

/// Most logouts that wait.
pub(super) const WAITING_MAX: usize = SESSIONS_MAX;
/// What a hang-up ends has ended by then.
const SETTLED: Duration = Duration::from_secs(2);

/// The table.
#[derive(Debug, Default)]
pub(super) struct Logouts(VecDeque<(UnixNs, SessionId)>);

impl Logouts {
    /// A login is over.
    pub(super) fn over(&mut self, session: SessionId, at: UnixNs) {
        if self.0.iter().any(|(_, waiting)| *waiting == session) {
            return;
        }
        if self.0.len() >= WAITING_MAX
            && let Some((due, _)) = self.0.front_mut()
        {
            *due = UnixNs(0);
        }
        self.0.push_back((at.plus(SETTLED), session));
    }

    /// A session whose processes are to be looked for now.
    pub(super) fn take_due(&mut self, now: UnixNs) -> Option<SessionId> {
        let (due, session) = *self.0.front()?;
        if due > now {
            return None;
        }
        self.0.pop_front();
        Some(session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(number: u128) -> SessionId {
        SessionId::from_parts(UnixNs::from_seconds(1), number)
    }

    #[test]
    fn a_logout_is_looked_at_once_and_when_it_has_settled() {
        let mut logouts = Logouts::default();
        logouts.over(session(1), UnixNs(5));
        logouts.over(session(1), UnixNs(6));
        assert_eq!(logouts.take_due(UnixNs(4).plus(SETTLED)), None);
        assert_eq!(logouts.take_due(UnixNs(5).plus(SETTLED)), Some(session(1)));
        assert_eq!(logouts.take_due(UnixNs(u64::MAX)), None);
    }

    #[test]
    fn a_full_table_looks_at_the_oldest_early() {
        let mut logouts = Logouts::default();
        for number in 0..=u128::try_from(WAITING_MAX).unwrap() {
            logouts.over(session(number), UnixNs(5));
        }
        assert_eq!(logouts.take_due(UnixNs(0)), Some(session(0)));
        assert_eq!(logouts.take_due(UnixNs(0)), None);
    }
}
