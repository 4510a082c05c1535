//! Uses of watched files that the watch list expects.

use serde::Serialize;

/// Why a use of a watched file is expected. Decided by the agent, on objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Expected {
    /// The program's business it is: sshd reads the host's keys. Not judged.
    Program,
    /// A person uses their own, by the audit login uid: judged against the
    /// person's own tenant.
    Person,
    /// A program of the broker hands it out: judged as any use.
    Injection,
}

impl Expected {
    /// Every way.
    pub const ALL: &[Self] = &[Self::Program, Self::Person, Self::Injection];
}
