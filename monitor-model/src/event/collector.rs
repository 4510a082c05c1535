//! What the collector says of itself: who read, and what it removed.

use std::fmt;

use serde::Serialize;

use crate::id::{PrincipalId, TenantId};

/// Longest question that an entry has, in bytes.
pub const QUESTION_BYTES_MAX: usize = 512;

/// Who called, by the certificate of the connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Caller {
    /// The role: `soc`, `admin`, `auditor`.
    pub role: String,
    /// The person.
    pub name: PrincipalId,
    /// The tenants that an auditor is bound to; empty for every other role.
    pub tenants: Vec<TenantId>,
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.role, self.name)
    }
}

/// Why content was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RemovalReason {
    /// The time for which it is kept is over.
    Retention,
}

impl fmt::Display for RemovalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Retention => "the time for which it is kept is over",
        })
    }
}
