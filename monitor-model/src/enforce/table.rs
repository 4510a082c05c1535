//! What an agent is given: every grant, compiled or not.

use std::time::Duration;

use super::{Away, CompiledGrant};
use crate::id::GrantId;

/// One grant of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scoped {
    /// It is asked.
    Compiled(CompiledGrant),
    /// It does not fit: its sessions may reach everything.
    Unfit {
        /// Which.
        grant: GrantId,
        /// Why, in words.
        why: String,
    },
}

impl Scoped {
    /// Which grant.
    #[must_use]
    pub const fn grant(&self) -> &GrantId {
        match self {
            Self::Compiled(compiled) => &compiled.grant,
            Self::Unfit { grant, .. } => grant,
        }
    }
}

/// What sessions may reach, by their grants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScopeTable {
    /// A digest of all that it says; 0 where nothing is asked of anybody.
    pub version: u64,
    /// How long it holds when nothing is heard of the collector.
    pub lease: Duration,
    /// What holds then.
    pub when_away: Away,
    /// Every grant that holds or will hold.
    pub grants: Vec<Scoped>,
}
