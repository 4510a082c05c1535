//! What stands out over time: no single event shows it.

use serde::Serialize;

/// Something that stands out beside what was there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sign {
    /// Nothing is heard of a host's agent.
    AgentSilent,
    /// A host's agent lives, and its probes see nothing, or not all.
    AgentBlind,
    /// Two agents speak in one host's name.
    AgentTwice,
    /// A host's agent gives numbers to events that others have.
    NumbersReused,
    /// Events of a host's agent cannot be decoded.
    EventsUnreadable,
    /// A host's real-time clock was set, forward or back.
    ClockMoved,
    /// The probes of a host were gone while it ran, and were loaded anew.
    ProbesReloaded,
    /// A grant that lay unused for long is used.
    DormantGrant,
    /// A key that was seen in one client's credentials is seen in another's.
    SharedKey,
}

impl Sign {
    /// Every sign.
    pub const ALL: [Self; 9] = [
        Self::AgentSilent,
        Self::AgentBlind,
        Self::AgentTwice,
        Self::NumbersReused,
        Self::EventsUnreadable,
        Self::ClockMoved,
        Self::ProbesReloaded,
        Self::DormantGrant,
        Self::SharedKey,
    ];

    /// The name in rules and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AgentSilent => "agent_silent",
            Self::AgentBlind => "agent_blind",
            Self::AgentTwice => "agent_twice",
            Self::NumbersReused => "numbers_reused",
            Self::EventsUnreadable => "events_unreadable",
            Self::ClockMoved => "clock_moved",
            Self::ProbesReloaded => "probes_reloaded",
            Self::DormantGrant => "dormant_grant",
            Self::SharedKey => "shared_key",
        }
    }

    /// Whether what happens on the host is not known any more, or not whose it
    /// is.
    #[must_use]
    pub const fn loses_host(self) -> bool {
        match self {
            Self::AgentSilent | Self::AgentBlind | Self::AgentTwice | Self::NumbersReused => true,
            Self::EventsUnreadable
            | Self::ClockMoved
            | Self::ProbesReloaded
            | Self::DormantGrant
            | Self::SharedKey => false,
        }
    }

    /// Whether a host can be well again of it by itself: it is heard again, or
    /// sees again. A copy stays one until a person has looked.
    #[must_use]
    pub const fn passes(self) -> bool {
        match self {
            Self::AgentSilent | Self::AgentBlind => true,
            Self::AgentTwice
            | Self::NumbersReused
            | Self::EventsUnreadable
            | Self::ClockMoved
            | Self::ProbesReloaded
            | Self::DormantGrant
            | Self::SharedKey => false,
        }
    }

    /// What it is, in words.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::AgentSilent => "Nothing is heard of a host's agent.",
            Self::AgentBlind => {
                "A host's agent lives, and its probes see nothing of what it does, or hooks of them are gone."
            }
            Self::AgentTwice => {
                "Two agents speak in one host's name, in turns: one of them is a copy."
            }
            Self::NumbersReused => {
                "A host's agent gives numbers to events that others have: it was set back, or is a copy."
            }
            Self::EventsUnreadable => {
                "Events of a host's agent cannot be decoded: it is newer than this collector, or something damages them; they are set aside."
            }
            Self::ClockMoved => "A host's real-time clock was set, forward or back.",
            Self::ProbesReloaded => {
                "The probes of a host were gone while it ran, and were loaded anew."
            }
            Self::DormantGrant => "A grant that lay unused for long is used.",
            Self::SharedKey => {
                "A key that was seen in one client's credentials is seen in another's."
            }
        }
    }
}
