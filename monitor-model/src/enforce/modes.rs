//! What becomes of connections that no grant opens, by tenant and reason.

use std::fmt;

use serde::Serialize;

use crate::{id::TenantId, verdict::OutReason};

/// What becomes of a connection that no grant opens. The weakest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The kernel is not asked; the judge says what it says afterwards.
    #[default]
    Off,
    /// The kernel says on the event that it would have been refused.
    Observe,
    /// The kernel refuses it before the first packet.
    Enforce,
}

impl Mode {
    /// Every mode, the weakest first.
    pub const ALL: [Self; 3] = [Self::Off, Self::Observe, Self::Enforce];

    /// The name in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Observe => "observe",
            Self::Enforce => "enforce",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What holds on a host of which the collector did not hear for a lease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Away {
    /// The tables hold on.
    #[default]
    Keep,
    /// Only what every grant of a session opens.
    Tighten,
    /// Nothing is refused.
    Release,
}

impl Away {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Keep, Self::Tighten, Self::Release];

    /// The name in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Tighten => "tighten",
            Self::Release => "release",
        }
    }
}

impl fmt::Display for Away {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A mode for some. A part that is not stated fits all.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ModeRule {
    /// Sessions under grants of this tenant.
    pub tenant: Option<TenantId>,
    /// Connections that are out of scope for this reason.
    pub reason: Option<OutReason>,
    /// What becomes of them.
    pub mode: Mode,
}

/// What becomes of whose connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Modes {
    /// Where no rule fits.
    pub otherwise: Mode,
    /// Of those that fit the weakest holds, in whatever order they stand.
    pub rules: Vec<ModeRule>,
}

impl Modes {
    /// What becomes of a connection under a grant of a tenant.
    #[must_use]
    pub fn of(&self, tenant: &TenantId, reason: OutReason) -> Mode {
        let fits = |rule: &&ModeRule| {
            let ModeRule {
                tenant: of_tenant,
                reason: of_reason,
                mode: _,
            } = rule;
            of_tenant.as_ref().is_none_or(|of| of == tenant)
                && of_reason.is_none_or(|of| of == reason)
        };
        let fitting = self.rules.iter().filter(fits).map(|rule| rule.mode);
        fitting.min().unwrap_or(self.otherwise)
    }

    /// Whether nothing is ever asked.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.otherwise == Mode::Off && self.rules.iter().all(|rule| rule.mode == Mode::Off)
    }
}
