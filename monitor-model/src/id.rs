//! The identifiers, one newtype each, so that a tenant is never taken for a grant.

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};
use ulid::Ulid;

use crate::clock::UnixNs;

/// Longest name in bytes.
pub const NAME_BYTES_MAX: usize = 128;

/// Why a text is not an identifier.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// Nothing was given.
    #[error("{what} is empty; give 1 to {NAME_BYTES_MAX} of the characters a-z A-Z 0-9 . _ - @")]
    Empty {
        /// What should have been named.
        what: &'static str,
    },
    /// More than [`NAME_BYTES_MAX`] bytes.
    #[error("{what} has {bytes} bytes; at most {NAME_BYTES_MAX} are allowed")]
    TooLong {
        /// What was named.
        what: &'static str,
        /// Its length.
        bytes: usize,
    },
    /// A character outside the allowed set.
    #[error(
        "{what} {text:?} holds {found:?}; allowed are a-z A-Z 0-9 . _ - @, the first a letter or digit"
    )]
    Character {
        /// What was named.
        what: &'static str,
        /// The text as given.
        text: String,
        /// The first character that is not allowed.
        found: char,
    },
    /// Not 26 characters of Crockford's base 32.
    #[error("{what} {text:?} is not a ULID (26 characters, as in 01JG3Y2E8QW0X9V5T4R3S2A1B0)")]
    NotUlid {
        /// What was named.
        what: &'static str,
        /// The text as given.
        text: String,
    },
    /// Not the right number of bytes.
    #[error("{what} has {bytes} bytes; it takes {wanted}")]
    Length {
        /// What was named.
        what: &'static str,
        /// The length found.
        bytes: usize,
        /// The length that would be right.
        wanted: usize,
    },
    /// Not of the form AGENT/BOOT/SOURCE/SEQUENCE.
    #[error(
        "event id {text:?} is not of the form AGENT/BOOT/SOURCE/SEQUENCE, as in jump-1/01JG3Y2E8QW0X9V5T4R3S2A1B0/p0/17"
    )]
    NotEvent {
        /// The text as given.
        text: String,
    },
    /// The source is none of `pN`, `bN`, `a`, `c`.
    #[error("event source {text:?} is not p or b with a processor number, or a, or c")]
    NotSource {
        /// The text as given.
        text: String,
    },
}

fn check_name(what: &'static str, text: &str) -> Result<(), InvalidId> {
    if text.is_empty() {
        return Err(InvalidId::Empty { what });
    }
    if text.len() > NAME_BYTES_MAX {
        return Err(InvalidId::TooLong {
            what,
            bytes: text.len(),
        });
    }
    let wrong = text.char_indices().find(|&(at, c)| {
        !(c.is_ascii_alphanumeric() || at > 0 && matches!(c, '.' | '_' | '-' | '@'))
    });
    match wrong {
        Some((_, found)) => Err(InvalidId::Character {
            what,
            text: text.to_owned(),
            found,
        }),
        None => Ok(()),
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $type(String);

        impl $type {
            /// Checks and takes a name.
            ///
            /// # Errors
            /// [`InvalidId`] when it is empty, too long or holds other
            /// characters than letters, digits and `. _ - @`.
            pub fn new(text: impl Into<String>) -> Result<Self, InvalidId> {
                let text = text.into();
                check_name($what, &text)?;
                Ok(Self(text))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $type {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }
    };
}

name!(
    /// A named person or a non-human identity: `alice`, `backup-nightly`.
    PrincipalId, "principal"
);
name!(
    /// One client of the MSP, or `provider`, the MSP itself.
    TenantId, "tenant"
);
name!(
    /// One permission of one principal in one tenant.
    GrantId, "grant"
);
name!(
    /// One agent, which is one host: the name its certificate carries.
    AgentName, "agent"
);

impl AgentName {
    /// As whom a collector speaks before its certificate was read.
    #[must_use]
    pub fn collector() -> Self {
        Self("collector".to_owned())
    }
}

impl TenantId {
    /// The MSP's own tenant: whatever belongs to no client is kept there.
    #[must_use]
    pub fn provider() -> Self {
        Self("provider".to_owned())
    }

    /// Whether this is the MSP's own tenant.
    #[must_use]
    pub fn is_provider(&self) -> bool {
        self.0 == "provider"
    }
}

macro_rules! ulid_id {
    ($(#[$doc:meta])* $type:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(Ulid);

        impl $type {
            /// Builds the id from its time and 80 random bits (the upper 48 are dropped).
            #[must_use]
            pub fn from_parts(at: UnixNs, random: u128) -> Self {
                Self(Ulid::from_parts(at.as_millis(), random))
            }

            /// Takes the 16 bytes as they stand in kernel records and messages.
            ///
            /// # Errors
            /// [`InvalidId::Length`] when there are not 16.
            pub fn from_slice(bytes: &[u8]) -> Result<Self, InvalidId> {
                let array = <[u8; 16]>::try_from(bytes).map_err(|_| InvalidId::Length {
                    what: $what,
                    bytes: bytes.len(),
                    wanted: 16,
                })?;
                Ok(Self(Ulid::from_bytes(array)))
            }

            /// The 16 bytes, time first.
            #[must_use]
            pub fn to_bytes(self) -> [u8; 16] {
                self.0.to_bytes()
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0.to_string())
            }
        }

        impl FromStr for $type {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Ulid::from_string(text)
                    .map(Self)
                    .map_err(|_| InvalidId::NotUlid { what: $what, text: text.to_owned() })
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}

ulid_id!(
    /// One login on one host. The same 16 bytes are the mark in the kernel.
    SessionId, "session"
);
ulid_id!(
    /// One start of a host's kernel.
    BootId, "boot"
);
ulid_id!(
    /// One alert.
    AlertId, "alert"
);
ulid_id!(
    /// One revocation order; also its idempotency key.
    OrderId, "order"
);

/// Where a sequence number counts: one stream of one host's events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// The ring of what must never wait, as filled by one processor.
    Priority {
        /// Processor number.
        cpu: u16,
    },
    /// The ring of what comes in floods, as filled by one processor.
    Bulk {
        /// Processor number.
        cpu: u16,
    },
    /// What the agent says of itself and of sessions.
    Agent,
    /// What the collector says of itself, in one ledger.
    Collector,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Priority { cpu } => write!(f, "p{cpu}"),
            Self::Bulk { cpu } => write!(f, "b{cpu}"),
            Self::Agent => f.write_str("a"),
            Self::Collector => f.write_str("c"),
        }
    }
}

impl FromStr for Source {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let wrong = || InvalidId::NotSource {
            text: text.to_owned(),
        };
        let cpu = |number: &str| number.parse::<u16>().map_err(|_| wrong());
        match text.split_at_checked(1) {
            Some(("a", "")) => Ok(Self::Agent),
            Some(("c", "")) => Ok(Self::Collector),
            Some(("p", number)) => Ok(Self::Priority { cpu: cpu(number)? }),
            Some(("b", number)) => Ok(Self::Bulk { cpu: cpu(number)? }),
            _ => Err(wrong()),
        }
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One event, for ever: the stream it came in and its place there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    /// The agent whose certificate the stream came under; the collector's own
    /// name for what it says itself.
    pub agent: AgentName,
    /// That host's boot; a name of its own for what the collector says in a ledger.
    pub boot: BootId,
    /// The stream within the boot.
    pub source: Source,
    /// Place in the stream, from 1 up without holes but for named gaps.
    pub sequence: u64,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}/{}/{}/{}",
            self.agent, self.boot, self.source, self.sequence
        )
    }
}

impl FromStr for EventId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let wrong = || InvalidId::NotEvent {
            text: text.to_owned(),
        };
        let mut parts = text.split('/');
        let (Some(agent), Some(boot), Some(source), Some(sequence), None) = (
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
        ) else {
            return Err(wrong());
        };
        Ok(Self {
            agent: agent.parse()?,
            boot: boot.parse()?,
            source: source.parse()?,
            sequence: sequence.parse().map_err(|_| wrong())?,
        })
    }
}

impl Serialize for EventId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_id_survives_its_text_form() {
        let id = EventId {
            agent: AgentName::new("jump-1").unwrap(),
            boot: BootId::from_parts(UnixNs::from_seconds(1_700_000_000), 7),
            source: Source::Bulk { cpu: 3 },
            sequence: 42,
        };
        assert_eq!(id.to_string().parse::<EventId>().unwrap(), id);
    }

    #[test]
    fn bad_names_say_what_is_allowed() {
        let error = TenantId::new("acme corp").unwrap_err();
        assert!(error.to_string().contains("' '"), "{error}");
        assert!(TenantId::new("").is_err());
        assert!(TenantId::new("-x").is_err());
        assert!(TenantId::new("x".repeat(129)).is_err());
    }

    #[test]
    fn bad_event_ids_are_refused() {
        for text in [
            "",
            "a/b",
            "jump-1/zz/p0/1",
            "jump-1/01JG3Y2E8QW0X9V5T4R3S2A1B0/q0/1",
            "x/01JG3Y2E8QW0X9V5T4R3S2A1B0/p/1",
        ] {
            assert!(text.parse::<EventId>().is_err(), "{text}");
        }
    }
}
