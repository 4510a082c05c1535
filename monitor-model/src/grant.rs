//! What a principal may do in a tenant, and when.
//!
//! - [`scope`]: which destinations, credentials and programs.

use std::{fmt, str::FromStr, time::Duration};

use serde::Serialize;

use crate::{
    clock::UnixNs,
    id::{GrantId, PrincipalId, TenantId},
};

pub mod scope;

/// Most grants that one certificate stands on: its key id must fit sshd's log line.
pub const CERTIFICATE_GRANTS_MAX: usize = 8;

/// Longest window of a break-glass grant.
pub const BREAK_GLASS_WINDOW_MAX: Duration = Duration::from_secs(8 * 3_600);
/// Longest note of a review, in bytes.
pub const REVIEW_BYTES_MAX: usize = 4_096;

pub use scope::{DestinationRule, PathPatterns, PortRange, SCOPE_ENTRIES_MAX, Scope};

/// Privilege tiers keep administration paths apart; a grant of one opens no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// Ordinary work.
    Standard,
    /// Production systems.
    Production,
    /// Backup systems and their credentials.
    Backup,
    /// Identity providers and directories.
    Identity,
    /// Endpoint management.
    Endpoint,
}

impl Tier {
    /// Every tier, weakest first.
    pub const ALL: [Self; 5] = [
        Self::Standard,
        Self::Production,
        Self::Backup,
        Self::Identity,
        Self::Endpoint,
    ];

    /// The tier's name in files and on screens.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Production => "production",
            Self::Backup => "backup",
            Self::Identity => "identity",
            Self::Endpoint => "endpoint",
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Tier {
    type Err = InvalidGrant;
    fn from_str(text: &str) -> Result<Self, InvalidGrant> {
        Self::ALL
            .into_iter()
            .find(|tier| tier.as_str() == text)
            .ok_or_else(|| InvalidGrant::Tier {
                text: text.to_owned(),
            })
    }
}

/// How a grant came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantKind {
    /// For one task, for a short time.
    JustInTime,
    /// Until further notice.
    Standing,
    /// An emergency: shorter, louder, reviewed afterwards.
    BreakGlass,
}

impl GrantKind {
    /// The kind's name in files and on screens.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::JustInTime => "just_in_time",
            Self::Standing => "standing",
            Self::BreakGlass => "break_glass",
        }
    }
}

impl fmt::Display for GrantKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for GrantKind {
    type Err = InvalidGrant;
    fn from_str(text: &str) -> Result<Self, InvalidGrant> {
        [Self::JustInTime, Self::Standing, Self::BreakGlass]
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| InvalidGrant::Kind {
                text: text.to_owned(),
            })
    }
}

/// Who holds a grant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Holder {
    /// One of the provider's own people.
    #[default]
    Staff,
    /// A person of another employer.
    Subcontractor,
    /// Whoever is on call: several people share it in turn.
    OnCall,
    /// No person: a backup job, an automation unit.
    Workload,
}

impl Holder {
    /// Every holder.
    pub const ALL: [Self; 4] = [
        Self::Staff,
        Self::Subcontractor,
        Self::OnCall,
        Self::Workload,
    ];

    /// The holder's name in files and on screens.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Staff => "staff",
            Self::Subcontractor => "subcontractor",
            Self::OnCall => "on_call",
            Self::Workload => "workload",
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Holder {
    type Err = InvalidGrant;
    fn from_str(text: &str) -> Result<Self, InvalidGrant> {
        let named = Self::ALL.into_iter().find(|one| one.as_str() == text);
        named.ok_or_else(|| InvalidGrant::Holder {
            text: text.to_owned(),
        })
    }
}

/// What somebody found who looked at the use of a break-glass grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Review {
    /// Who, by their certificate: neither the holder nor who approved it.
    pub by: PrincipalId,
    /// When it was recorded.
    pub at: UnixNs,
    /// What they found; 1 to [`REVIEW_BYTES_MAX`] bytes.
    pub note: String,
}

/// Whether a grant still stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum GrantState {
    /// Not ended by anybody; its window decides.
    Standing,
    /// Ended before its window.
    Ended {
        /// When it ended.
        at: UnixNs,
        /// Why, in words.
        reason: String,
    },
}

/// One permission of one principal in one tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Grant {
    /// Its name, unique for ever.
    pub id: GrantId,
    /// Who holds it.
    pub principal: PrincipalId,
    /// What they are.
    pub holder: Holder,
    /// Where it holds.
    pub tenant: TenantId,
    /// The ticket it was given for.
    pub ticket: String,
    /// The task within the ticket; may be empty.
    pub task: String,
    /// Why, in words.
    pub purpose: String,
    /// Who approved it.
    pub approved_by: PrincipalId,
    /// The administration path it opens.
    pub tier: Tier,
    /// How it came to be.
    pub kind: GrantKind,
    /// First instant at which it holds.
    pub not_before: UnixNs,
    /// First instant at which it holds no more.
    pub expires: UnixNs,
    /// What within the tenant it opens.
    pub scope: Scope,
    /// Whether it still stands.
    pub state: GrantState,
    /// What a review of its use found; break-glass grants need one.
    pub review: Option<Review>,
}

/// A grant at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It holds.
    Alive,
    /// Its window has not begun.
    NotStarted,
    /// Its window is over.
    Expired,
    /// Somebody ended it.
    Ended,
}

impl Grant {
    /// Whether the grant holds at an instant; an end by hand goes before the window.
    #[must_use]
    pub fn life(&self, at: UnixNs) -> Life {
        if matches!(self.state, GrantState::Ended { at: ended, .. } if ended <= at) {
            Life::Ended
        } else if at < self.not_before {
            Life::NotStarted
        } else if at >= self.expires {
            Life::Expired
        } else {
            Life::Alive
        }
    }

    /// Whether its use must still be reviewed.
    #[must_use]
    pub fn awaits_review(&self) -> bool {
        self.kind == GrantKind::BreakGlass && self.review.is_none()
    }

    /// The certificate principal that stands for this grant's tenant and tier.
    #[must_use]
    pub fn certificate_principal(&self) -> String {
        format!("{}-{}", self.tenant, self.tier)
    }

    /// Checks what the types alone do not.
    ///
    /// # Errors
    /// [`InvalidGrant`] when the window is empty, or too long for its kind, or
    /// the scope too large.
    pub fn check(&self) -> Result<(), InvalidGrant> {
        if self.not_before >= self.expires {
            return Err(InvalidGrant::Window {
                not_before: self.not_before,
                expires: self.expires,
            });
        }
        let window = self.expires.since(self.not_before);
        if self.kind == GrantKind::BreakGlass && window > BREAK_GLASS_WINDOW_MAX {
            return Err(InvalidGrant::BreakGlass {
                seconds: window.as_secs(),
            });
        }
        if self.scope.destinations.len() > SCOPE_ENTRIES_MAX {
            return Err(InvalidGrant::TooMany {
                entries: self.scope.destinations.len(),
            });
        }
        Ok(())
    }
}

/// Why something is not a grant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidGrant {
    /// Unknown tier.
    #[error("tier {text:?} is not one of standard, production, backup, identity, endpoint")]
    Tier {
        /// The text as given.
        text: String,
    },
    /// Unknown kind.
    #[error("grant kind {text:?} is not one of just_in_time, standing, break_glass")]
    Kind {
        /// The text as given.
        text: String,
    },
    /// Unknown holder.
    #[error("grant holder {text:?} is not one of staff, subcontractor, on_call, workload")]
    Holder {
        /// The text as given.
        text: String,
    },
    /// A break-glass window that is too long.
    #[error(
        "the window of a break-glass grant is {seconds} seconds; at most {} are allowed: ask for a just-in-time grant",
        BREAK_GLASS_WINDOW_MAX.as_secs()
    )]
    BreakGlass {
        /// How long it was.
        seconds: u64,
    },
    /// Not a port, a range, or `*`.
    #[error("ports {text:?} are not a port, a range such as 8000-8999, or *")]
    Ports {
        /// The text as given.
        text: String,
    },
    /// Not a network with ports.
    #[error(
        "destination {text:?} is not a network with ports, as in 10.20.0.0/24:443 or [fd00::/64]:*"
    )]
    Destination {
        /// The text as given.
        text: String,
    },
    /// Not a path pattern.
    #[error("path pattern {text:?} is not one: {cause}")]
    Pattern {
        /// The text as given.
        text: String,
        /// What is wrong with it.
        cause: String,
    },
    /// More entries than a scope may have.
    #[error("a scope part has {entries} entries; at most {SCOPE_ENTRIES_MAX} are allowed")]
    TooMany {
        /// How many there were.
        entries: usize,
    },
    /// The window is empty or reversed.
    #[error("the window ends at {expires} and begins at {not_before}; it must end after it begins")]
    Window {
        /// Its begin.
        not_before: UnixNs,
        /// Its end.
        expires: UnixNs,
    },
}
