//! What contradicts a session's mark.

use std::fmt;

use serde::Serialize;

/// What else says whose a process is. None of it decides: processes can leave
/// all three, and root can forge them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// The session of the audit system (`/proc/PID/sessionid`).
    AuditSession,
    /// The control group, and the login's scope or the unit that it stands for.
    ControlGroup,
    /// The terminal that controls the process.
    Terminal,
}

impl Evidence {
    /// All.
    pub const ALL: [Self; 3] = [Self::AuditSession, Self::ControlGroup, Self::Terminal];

    /// As people call it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AuditSession => "audit session",
            Self::ControlGroup => "control group",
            Self::Terminal => "terminal",
        }
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
