//! What is known of a host as such, and what of it concerns a session.

use monitor_model::{clock::UnixNs, id::BootId, live::Missing};

/// What is known of a host as such.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marks {
    /// The boot that all of it is of.
    pub boot: BootId,
    /// Its processes are kept since then.
    pub since: UnixNs,
    /// Events that never came.
    pub lost: u64,
    /// When the last of them was missed; 0 for never.
    pub lost_at: UnixNs,
    /// When probes were loaded anew; 0 for never.
    pub unwatched_until: UnixNs,
    /// Processes without room.
    pub untaken: u64,
    /// When the last of them started; 0 for never.
    pub untaken_at: UnixNs,
}

impl Marks {
    /// Nothing known yet.
    #[must_use]
    pub const fn new(boot: BootId, since: UnixNs) -> Self {
        Self {
            boot,
            since,
            lost: 0,
            lost_at: UnixNs(0),
            unwatched_until: UnixNs(0),
            untaken: 0,
            untaken_at: UnixNs(0),
        }
    }

    /// What of it concerns a session that opened then.
    #[must_use]
    pub fn missing_since(&self, opened_at: UnixNs) -> Missing {
        let after = |at: UnixNs| (at > opened_at).then_some(at);
        let lost_at = after(self.lost_at);
        Missing {
            lost_events: if lost_at.is_some() { self.lost } else { 0 },
            lost_at,
            unwatched_until: after(self.unwatched_until),
            untaken: if self.untaken_at >= opened_at {
                self.untaken
            } else {
                0
            },
            kept_since: after(self.since),
            agent_away: false,
        }
    }
}
